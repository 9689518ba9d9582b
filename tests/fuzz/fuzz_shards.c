/* fuzz_shards.c - any bytes as an index of shards. What it names must lie beside it. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "files/shards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdg_shards s;
    sdgen_error err = {0};
    char *text = malloc(size + 1); /* the index as it is read: without zero bytes, then one */
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    if (sdg_shards_parse(&s, "input", text, size, &err) != SDGEN_OK) {
        if (strncmp(err.text, "input: ", 7) != 0 || strchr(err.text, '\n')) abort();
        s.count = s.file_count = 0;
    }
    for (size_t i = 0; i < s.file_count; i++) {
        if (strpbrk(s.files[i], "/\\:") || s.files[i][0] == '.' || !s.files[i][0]) abort();
        if (i && strcmp(s.files[i - 1], s.files[i]) >= 0) abort();
    }
    for (size_t i = 1; i < s.count; i++)
        if (strcmp(s.tensors[i - 1].name, s.tensors[i].name) >= 0) abort();
    sdg_shards_free(&s);
    free(text);
    return 0;
}
