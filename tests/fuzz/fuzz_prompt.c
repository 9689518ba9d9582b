/* fuzz_prompt.c - any bytes as a prompt in each of the languages. The first byte chooses the
 * rules. What comes out must hold together: turns that end in order, texts that exist, chunks that
 * begin and end as they should. */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "text/prompt.h"

static void check_chunks(const struct sdg_chunks *c)
{
    if (c->count < 1) abort();
    for (size_t i = 0; i < c->count; i++) {
        const int32_t *row = c->ids + i * SDG_CHUNK_LENGTH;
        if (row[0] != SDG_TOKEN_START || row[SDG_CHUNK_LENGTH - 1] != SDG_TOKEN_END) abort();
        if (c->weights[i * SDG_CHUNK_LENGTH] != 1) abort();
    }
}

static void check_prompt(const struct sdg_prompt *p, const struct sdg_prompt_rules *rules)
{
    if (p->part_count < 1 || p->text_count < 1) abort();
    for (size_t i = 0; i < p->part_count; i++) {
        const struct sdg_prompt_part *part = &p->parts[i];
        int last = 0;
        if (part->count < 1) abort();
        for (size_t k = 0; k < part->count; k++) {
            if (part->turns[k].text >= p->text_count || part->turns[k].until <= last) abort();
            last = part->turns[k].until;
        }
        for (int call = 0; call <= rules->steps; call++)
            if (sdg_prompt_text_at(part, call) >= p->text_count) abort();
    }
    for (size_t i = 0; i < p->text_count; i++) check_chunks(&p->texts[i].chunks);
    for (size_t i = 0; i < p->network_count; i++)
        if (!p->networks[i].name || !p->networks[i].arguments) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdg_tokenizer *tokenizer; /* built once: it takes longer than most inputs */
    struct sdg_prompt p = {0};
    sdgen_error error = {0};
    if (!tokenizer && sdg_tokenizer_create(&tokenizer, &error) != SDGEN_OK) abort();
    if (size == 0) return 0;
    const unsigned how = data[0];
    const struct sdg_prompt_rules rules = {
        .language = (enum sdg_prompt_language)(how % 5),
        .chunking = (enum sdg_chunking)(how / 5 % 4),
        .negative = how / 20 % 2,
        .steps = 10,
        .base_steps = how / 40 % 2 ? 7 : 0,
        .old_editing = how / 80 % 2,
        .no_attention = how / 160 % 2,
    };
    char *text = malloc(size);
    if (!text) abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    if (sdg_prompt_parse(&p, text, &rules, tokenizer, &error) == SDGEN_OK)
        check_prompt(&p, &rules);
    else if (error.text[0] == 0)
        abort();
    sdg_prompt_free(&p);
    free(text);
    return 0;
}
