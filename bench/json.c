/* json.c - a run as a JSON file, and the times of peers out of one.
 *
 *   {"isa": "avx2", "threads": 2, "precision": "f32", "weights": "F16",
 *    "peaks": {"FMA 256 bit": 1.1e11}, "bandwidth": 2e10,
 *    "networks": [{"name": ..., "whole": true, "shapes": [
 *        {"name": "conv 2x64x64 320->320", "kind": "conv", "n": 2, ..., "count": 7, "flops": ...,
 *         "seconds": [one a round], "peak": [one a round], ...}]}],
 *    "stages": [...], "picture": {...}}
 *
 * Times are raw, round by round: who reads the file can judge their noise. */
#include "bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>

#include "bench/blas.h"

/* ---- files ----------------------------------------------------------------------------------- */

sdgen_status bench_read_file(char **text, const char *path, sdgen_error *err)
{
    *text = NULL;
    FILE *f = fopen(path, "rb");
    if (!f) return sdg_fail(err, SDGEN_ERR_IO, "%s: %s", path, strerror(errno));
    size_t size = 0, room = 1 << 16;
    char *data = malloc(room + 1);
    while (data) {
        size += fread(data + size, 1, room - size, f);
        if (size < room) break;
        room *= 2;
        char *grown = realloc(data, room + 1);
        if (!grown) free(data);
        data = grown;
    }
    const bool bad = ferror(f) != 0;
    fclose(f);
    if (!data || bad) {
        free(data);
        return sdg_fail(err, SDGEN_ERR_IO, "%s: cannot be read", path);
    }
    data[size] = 0;
    *text = data;
    return SDGEN_OK;
}

sdgen_status bench_write_file(const char *path, const char *text, sdgen_error *err)
{
    FILE *f = fopen(path, "wb");
    if (!f) return sdg_fail(err, SDGEN_ERR_IO, "%s: %s", path, strerror(errno));
    const bool written = fputs(text, f) >= 0;
    if (fclose(f) != 0 || !written)
        return sdg_fail(err, SDGEN_ERR_IO, "%s: %s", path, strerror(errno));
    return SDGEN_OK;
}

/* ---- out ------------------------------------------------------------------------------------- */

static void put_size(cJSON *o, const char *name, size_t value)
{
    cJSON_AddNumberToObject(o, name, (double)value);
}

static void put_times(cJSON *o, const char *seconds, const char *peak, const struct bench_times *t)
{
    if (t->rounds == 0) return;
    cJSON_AddItemToObject(o, seconds, cJSON_CreateDoubleArray(t->seconds, t->rounds));
    cJSON_AddItemToObject(o, peak, cJSON_CreateDoubleArray(t->peak, t->rounds));
}

static cJSON *row_object(const struct bench_run *run, const struct bench_row *row)
{
    const struct bench_shape *s = &row->shape;
    const size_t weight = run->way.weights == SDG_F32 ? 4 : 2;
    cJSON *o = cJSON_CreateObject();
    char kind[BENCH_NAME];
    snprintf(kind, sizeof kind, "%.*s", (int)strcspn(row->name, " /*"), row->name);
    cJSON_AddStringToObject(o, "name", row->name);
    cJSON_AddStringToObject(o, "kind", kind);
    cJSON_AddNumberToObject(o, "count", s->count);
    put_size(o, "n", s->n);
    put_size(o, "size", s->size);
    put_size(o, "rows", s->rows);
    put_size(o, "in", s->in);
    put_size(o, "out", s->out);
    put_size(o, "keys", s->keys);
    put_size(o, "heads", s->heads);
    cJSON_AddNumberToObject(o, "stride", s->stride);
    cJSON_AddNumberToObject(o, "up", s->up);
    cJSON_AddNumberToObject(o, "flops", bench_shape_flops(s));
    cJSON_AddNumberToObject(o, "bytes", bench_shape_bytes(s, weight));
    put_times(o, "seconds", "peak", &row->times);
    put_times(o, "unpacked_seconds", "unpacked_peak", &row->unpacked);
    put_times(o, "openblas_seconds", "openblas_peak", &row->blas);
    if (row->onednn > 0) cJSON_AddNumberToObject(o, "onednn_seconds", row->onednn);
    return o;
}

static void put_machine(cJSON *root, const struct bench_run *run)
{
    cJSON_AddStringToObject(root, "sdgen", SDGEN_VERSION);
    cJSON_AddStringToObject(root, "isa", sdg_isa_label(run->isa));
    cJSON_AddNumberToObject(root, "threads", run->way.threads);
    cJSON_AddStringToObject(root, "precision", run->way.bf16 ? "bf16" : "f32");
    cJSON_AddStringToObject(root, "weights", sdg_dtype_name(run->way.weights));
    cJSON_AddStringToObject(root, "unit", bench_unit_name(run->unit));
    cJSON *peaks = cJSON_AddObjectToObject(root, "peaks");
    for (int i = 0; i < BENCH_UNITS; i++)
        if (run->peaks[i] > 0)
            cJSON_AddNumberToObject(peaks, bench_unit_name((enum bench_unit)i), run->peaks[i]);
    cJSON_AddNumberToObject(root, "bandwidth", run->bandwidth);
    const char *blas = bench_blas_name();
    if (blas) cJSON_AddStringToObject(root, "openblas", blas);
}

static void put_stages(cJSON *root, const struct bench_run *run)
{
    cJSON *stages = cJSON_AddArrayToObject(root, "stages");
    for (int i = 0; i < run->stage_count; i++) {
        const struct bench_stage *s = &run->stages[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(stages, o);
        cJSON_AddStringToObject(o, "name", s->name);
        cJSON_AddNumberToObject(o, "multiply_adds", s->macs);
        cJSON_AddNumberToObject(o, "listed_multiply_adds", s->listed);
        put_times(o, "seconds", "peak", &s->times);
        if (s->parts > 0) cJSON_AddNumberToObject(o, "gap", bench_cost(&s->times) / s->parts - 1);
    }
    const struct bench_picture *p = &run->picture;
    if (p->whole <= 0) return;
    cJSON *o = cJSON_AddObjectToObject(root, "picture");
    cJSON_AddNumberToObject(o, "size", p->size);
    cJSON_AddNumberToObject(o, "steps", p->steps);
    cJSON_AddNumberToObject(o, "load", p->load);
    cJSON_AddNumberToObject(o, "text", p->text);
    cJSON_AddNumberToObject(o, "step", p->step);
    cJSON_AddNumberToObject(o, "decode", p->decode);
    cJSON_AddNumberToObject(o, "whole", p->whole);
}

sdgen_status bench_write_json(const struct bench_run *run, const char *path, sdgen_error *err)
{
    cJSON *root = cJSON_CreateObject();
    put_machine(root, run);
    cJSON *networks = cJSON_AddArrayToObject(root, "networks");
    for (int i = 0; i < run->table_count; i++) {
        const struct bench_table *t = &run->tables[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(networks, o);
        cJSON_AddStringToObject(o, "name", t->name);
        cJSON_AddBoolToObject(o, "whole", t->whole);
        cJSON *shapes = cJSON_AddArrayToObject(o, "shapes");
        for (size_t k = 0; k < t->count; k++)
            if (t->rows[k].measured) cJSON_AddItemToArray(shapes, row_object(run, &t->rows[k]));
    }
    put_stages(root, run);
    char *text = cJSON_Print(root);
    cJSON_Delete(root);
    if (!text) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    const sdgen_status status = bench_write_file(path, text, err);
    cJSON_free(text);
    return status;
}

/* ---- times of peers -------------------------------------------------------------------------- */

sdgen_status bench_read_peers(struct bench_run *run, const char *path, sdgen_error *err)
{
    char *text;
    sdgen_status status = bench_read_file(&text, path, err);
    if (status != SDGEN_OK) return status;
    cJSON *root = cJSON_Parse(text);
    const cJSON *onednn = cJSON_GetObjectItemCaseSensitive(root, "onednn");
    const cJSON *precision = cJSON_GetObjectItemCaseSensitive(root, "precision");
    const cJSON *threads = cJSON_GetObjectItemCaseSensitive(root, "threads");
    if (!cJSON_IsObject(onednn) || !cJSON_IsString(precision) || !cJSON_IsNumber(threads))
        status = sdg_fail(err, SDGEN_ERR_FORMAT, "%s: not a file of tools/bench_torch.py", path);
    else if (strcmp(precision->valuestring, run->way.bf16 ? "bf16" : "f32") != 0 ||
             threads->valueint != run->way.threads)
        status = sdg_fail(err, SDGEN_ERR_ARG,
                          "%s: measured with %s and %d threads, this run has %s and %d", path,
                          precision->valuestring, threads->valueint, run->way.bf16 ? "bf16" : "f32",
                          run->way.threads);
    for (int i = 0; status == SDGEN_OK && i < run->table_count; i++)
        for (size_t k = 0; k < run->tables[i].count; k++) {
            struct bench_row *row = &run->tables[i].rows[k];
            const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(onednn, row->name);
            if (cJSON_IsNumber(seconds)) row->onednn = seconds->valuedouble;
        }
    cJSON_Delete(root);
    free(text);
    return status;
}
