/* fuzz_infotext.c - any bytes as the text of a picture, for every program that leaves one. The
 * first byte picks the reader. */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "image/foreign_readers.h"
#include "image/infotext_parse.h"

static sdgen_status (*const readers[])(struct sdg_settings *s, const char *text,
                                       sdgen_error *err) = {
    sdg_infotext_parse, sdg_read_comfyui, sdg_read_invokeai, sdg_read_invokeai2,
    sdg_read_dream,     sdg_read_sdcpp,   sdg_read_fooocus,  sdg_read_swarmui,
};

/* Every value is there, and fields are found where the list says. */
static void check(const struct sdg_settings *s)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct sdg_setting *item = &s->items[i];
        if (!item->name || !item->value) abort();
        if (item->field != SDG_FIELD_OTHER && sdg_settings_value(s, item->field) != item->value)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdg_settings s = {0};
    sdgen_error err = {0};
    if (!size) return 0;
    char *text = malloc(size);
    if (!text) abort();
    for (size_t i = 1; i < size; i++) text[i - 1] = (char)data[i]; /* a zero byte ends it */
    text[size - 1] = 0;
    if (readers[data[0] % (sizeof readers / sizeof readers[0])](&s, text, &err) == SDGEN_OK)
        check(&s);
    else if (!err.text[0] || strchr(err.text, '\n'))
        abort();
    sdg_settings_free(&s);
    free(text);
    return 0;
}
