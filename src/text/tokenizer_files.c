/* tokenizer_files.c - see tokenizer_files.h. */
#define _GNU_SOURCE
#include "text/tokenizer_files.h"

#include <stdio.h>
#include <stdlib.h>

#include "models/data/clip_merges.h"
#include "text/vocabulary.h"

static const char *piece(const struct sdg_vocabulary *v, uint32_t id)
{
    return v->letters + v->starts[id];
}

/* Pieces are printable: all that JSON escapes of them are quotes and backslashes. */
static void put_vocabulary(FILE *f, const struct sdg_vocabulary *v)
{
    for (uint32_t id = 0; id < SDG_VOCABULARY; id++) {
        fputs(id ? ",\"" : "{\"", f);
        for (const char *c = piece(v, id); *c; c++) {
            if (*c == '"' || *c == '\\') fputc('\\', f);
            fputc(*c, f);
        }
        fprintf(f, "\":%u", (unsigned)id);
    }
    fputs("}\n", f);
}

static void put_merges(FILE *f, const struct sdg_vocabulary *v)
{
    fputs("#version: 0.2\n", f);
    for (int i = 0; i < SDG_CLIP_MERGES; i++)
        fprintf(f, "%s %s\n", piece(v, sdg_clip_merges[i][0]), piece(v, sdg_clip_merges[i][1]));
}

static bool make(char **text, const struct sdg_vocabulary *v,
                 void (*put)(FILE *f, const struct sdg_vocabulary *v))
{
    size_t size = 0;
    FILE *f = open_memstream(text, &size);
    if (!f) return false;
    put(f, v);
    const bool bad = ferror(f) != 0;
    return fclose(f) == 0 && !bad;
}

sdgen_status sdg_tokenizer_files(char **vocab_json, char **merges_txt, sdgen_error *err)
{
    struct sdg_vocabulary v;
    *vocab_json = *merges_txt = NULL;
    const bool fine = sdg_vocabulary_create(&v) && make(vocab_json, &v, put_vocabulary) &&
                      make(merges_txt, &v, put_merges);
    sdg_vocabulary_destroy(&v);
    if (fine) return SDGEN_OK;
    free(*vocab_json);
    free(*merges_txt);
    *vocab_json = *merges_txt = NULL;
    return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for the tokenizer's files");
}
