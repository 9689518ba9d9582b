/* gguf_write.c - the header of a GGUF file (gguf.h has the layout), version 3. */
#include <string.h>

#include "files/gguf.h"
#include "files/tensor_write.h"

enum { RANK_MAX = 4 /* GGML_MAX_DIMS */ };

static void put_number(FILE *f, uint64_t value, int width)
{
    for (int i = 0; i < width; i++) fputc((int)(value >> 8 * i & 0xff), f);
}

static void put_text(FILE *f, const char *text)
{
    put_number(f, strlen(text), 8);
    fputs(text, f);
}

static void put_pair(FILE *f, const struct sdg_write_pair *p)
{
    put_text(f, p->key);
    put_number(f, p->text ? SDG_GGUF_TEXT : SDG_GGUF_U32, 4);
    if (p->text)
        put_text(f, p->text);
    else
        put_number(f, p->number, 4);
}

static void put_tensor(FILE *f, const struct sdg_write_tensor *t)
{
    put_text(f, t->name);
    put_number(f, (uint64_t)t->rank, 4);
    for (int d = t->rank - 1; d >= 0; d--) put_number(f, (uint64_t)t->shape[d], 8);
    put_number(f, (uint64_t)sdg_gguf_type(t->dtype), 4);
    put_number(f, t->offset, 8);
}

/* What belongs to the file that metadata came from: its alignment, and shapes that it had folded.
 */
static bool is_kept(const struct sdg_write_pair *p)
{
    return p->key[0] && strcmp(p->key, SDG_GGUF_ALIGNMENT_KEY) != 0 &&
           strncmp(p->key, SDG_GGUF_SHAPE_KEY, sizeof SDG_GGUF_SHAPE_KEY - 1) != 0;
}

sdgen_status sdg_write_gguf(struct sdg_writer *w, const char *path,
                            struct sdg_write_tensor *tensors, size_t count,
                            const struct sdg_write_pair *pairs, size_t pair_count, sdgen_error *err)
{
    sdgen_status status;
    uint64_t kept = 0;
    *w = (struct sdg_writer) {0};
    for (size_t i = 0; i < pair_count; i++) kept += is_kept(&pairs[i]);
    for (size_t i = 0; i < count; i++) {
        const struct sdg_write_tensor *t = &tensors[i];
        if (sdg_gguf_type(t->dtype) < 0 || t->rank > RANK_MAX)
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "%s: tensor %.200s: GGUF cannot hold %d dimensions of type %s", path,
                            t->name, t->rank, sdg_dtype_name(t->dtype));
    }
    SDG_TRY(sdg_write_names(tensors, count, path, err));
    SDG_TRY(sdg_write_begin(w, path, tensors, count, SDG_GGUF_ALIGNMENT, err));
    FILE *f = w->file.stream;
    fputs(SDG_GGUF_MAGIC, f);
    put_number(f, SDG_GGUF_VERSION, 4);
    put_number(f, count, 8);
    put_number(f, kept, 8);
    for (size_t i = 0; i < pair_count; i++)
        if (is_kept(&pairs[i])) put_pair(f, &pairs[i]);
    for (size_t i = 0; i < count; i++) put_tensor(f, &tensors[i]);
    const long end = ftell(f);
    for (long at = end; end >= 0 && at % SDG_GGUF_ALIGNMENT; at++) fputc(0, f);
    SDG_TRY(sdg_write_check(w, err));
fail:
    if (status != SDGEN_OK) sdg_write_abort(w);
    return status;
}
