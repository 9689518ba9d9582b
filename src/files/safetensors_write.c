/* safetensors_write.c - the header of a safetensors file, byte for byte as huggingface/safetensors
 * writes it (safetensors/src/tensor.rs, prepare): JSON without spaces, metadata first, then tensors
 * in the order of their data, padded with spaces to a multiple of eight. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "files/tensor_write.h"

enum { HEADER_MAX = 100000000 };

/* Types from the strictest alignment to none, as the original orders them; 0: not of the form. */
static const char ranks[SDG_DTYPE_COUNT] = {
    [SDG_U64] = 1,      [SDG_I64] = 2,      [SDG_F64] = 3, [SDG_F32] = 4, [SDG_U32] = 5,
    [SDG_I32] = 6,      [SDG_BF16] = 7,     [SDG_F16] = 8, [SDG_U16] = 9, [SDG_I16] = 10,
    [SDG_F8_E4M3] = 11, [SDG_F8_E5M2] = 12, [SDG_I8] = 13, [SDG_U8] = 14, [SDG_BOOL] = 15,
};

static int compare(const void *a, const void *b)
{
    const struct sdg_write_tensor *x = a, *y = b;
    if (x->dtype != y->dtype) return ranks[x->dtype] - ranks[y->dtype];
    return strcmp(x->name, y->name);
}

/* A JSON string (RFC 8259, section 7) with the escapes that serde_json uses. */
static void put_string(FILE *f, const char *text)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    fputc('"', f);
    for (const char *c = text; *c; c++) {
        const char *special = strchr(from, *c);
        if (special)
            fprintf(f, "\\%c", to[special - from]);
        else if ((unsigned char)*c < 0x20)
            fprintf(f, "\\u%04x", *c);
        else
            fputc(*c, f);
    }
    fputc('"', f);
}

static void put_header(FILE *f, const struct sdg_write_tensor *tensors, size_t count,
                       const struct sdg_write_pair *pairs, size_t pair_count)
{
    fputc('{', f);
    if (pair_count) fputs("\"__metadata__\":{", f);
    for (size_t i = 0; i < pair_count; i++) {
        char digits[16];
        snprintf(digits, sizeof digits, "%" PRIu32, pairs[i].number);
        if (i) fputc(',', f);
        put_string(f, pairs[i].key);
        fputc(':', f);
        put_string(f, pairs[i].text ? pairs[i].text : digits);
    }
    if (pair_count) fputs(count ? "}," : "}", f);
    for (size_t i = 0; i < count; i++) {
        const struct sdg_write_tensor *t = &tensors[i];
        char shape[SDG_MAX_DIMS * 21 + 2];
        if (i) fputc(',', f);
        put_string(f, t->name);
        fprintf(f, ":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                sdg_dtype_name(t->dtype), sdg_shape_text(shape, sizeof shape, t->shape, t->rank),
                t->offset, t->offset + t->bytes);
    }
    fputc('}', f);
}

sdgen_status sdg_write_safetensors(struct sdg_writer *w, const char *path,
                                   struct sdg_write_tensor *tensors, size_t count,
                                   const struct sdg_write_pair *pairs, size_t pair_count,
                                   sdgen_error *err)
{
    sdgen_status status;
    char *header = NULL;
    size_t size = 0;
    *w = (struct sdg_writer) {0};
    for (size_t i = 0; i < count; i++)
        if (!ranks[tensors[i].dtype])
            return sdg_fail(err, SDGEN_ERR_ARG,
                            "%s: tensor %.200s: safetensors cannot hold numbers of type %s", path,
                            tensors[i].name, sdg_dtype_name(tensors[i].dtype));
    SDG_TRY(sdg_write_names(tensors, count, path, err));
    if (count) qsort(tensors, count, sizeof *tensors, compare);
    SDG_TRY(sdg_write_begin(w, path, tensors, count, 1, err));
    FILE *f = open_memstream(&header, &size);
    if (f) put_header(f, tensors, count, pairs, pair_count);
    bool bad = !f || ferror(f);
    if (f && fclose(f) != 0) bad = true;
    if (bad) {
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", path);
        goto fail;
    }
    const uint64_t padded = ((uint64_t)size + 7) / 8 * 8;
    if (padded > HEADER_MAX) {
        status = sdg_fail(err, SDGEN_ERR_ARG, "%s: a header of %" PRIu64 " bytes is too large",
                          path, padded);
        goto fail;
    }
    for (int i = 0; i < 8; i++) fputc((int)(padded >> 8 * i & 0xff), w->file.stream);
    fwrite(header, 1, size, w->file.stream);
    for (uint64_t i = size; i < padded; i++) fputc(' ', w->file.stream);
    SDG_TRY(sdg_write_check(w, err));
    free(header);
    return SDGEN_OK;
fail:
    free(header);
    sdg_write_abort(w);
    return status;
}
