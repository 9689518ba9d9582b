/* outstream.c - the numbers of tensors, piece by piece from the file that is read to the one that
 * is written (see outputs.h). Pages of the source are let go as they are used up, so that a model
 * of any size passes through a few megabytes. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "convert/outputs.h"

enum {
    PIECE = 1 << 20, /* numbers; whole blocks of any type */
    TASK = 1 << 15,  /* numbers that one thread takes at a time */
    TASKS = PIECE / TASK,
    RAW_PIECE = 4 << 20,   /* bytes */
    LET_GO_ALL = 64 << 20, /* bytes after which also the pages that tensors share are let go */
    HALF_INFINITE = 65520  /* what rounds to infinity in f16 */
};

sdgen_status sdg_out_stream_begin(struct sdg_out_stream *s, sdgen_error *err)
{
    s->done = s->since = 0;
    s->infinite = 0;
    s->threads = sdg_physical_cores();
    s->x = malloc(PIECE * sizeof(float));
    s->y = malloc(PIECE * sizeof(int64_t));
    if (s->x && s->y) return SDGEN_OK;
    sdg_out_stream_end(s);
    return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
}

void sdg_out_stream_end(struct sdg_out_stream *s)
{
    free(s->x);
    free(s->y);
    s->x = s->y = NULL;
}

static sdgen_status put(struct sdg_out_stream *s, struct sdg_writer *w, const void *data,
                        size_t bytes, sdgen_error *err)
{
    if (s->cancel && *s->cancel) {
        sdg_write_abort(w);
        return sdg_fail(err, SDGEN_ERR_CANCELLED, "stopped; nothing was written");
    }
    const sdgen_status status = sdg_write_numbers(w, data, bytes, err);
    s->done += bytes;
    s->since += bytes;
    if (s->since >= LET_GO_ALL) {
        sdg_weights_let_go_all(&s->from->all);
        if (s->let_go) s->let_go(s->user);
        s->since = 0;
    }
    if (s->progress && s->all) s->progress(s->progress_user, (double)s->done / (double)s->all);
    return status;
}

/* ---- ways ---- */

static sdgen_status copy(struct sdg_out_stream *s, struct sdg_writer *w, const struct sdg_tensor *x,
                         sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const size_t bytes = sdg_tensor_bytes(x);
    struct sdg_tensor piece = {.dtype = SDG_U8, .rank = 1};
    for (size_t at = 0; at < bytes; at += (size_t)piece.shape[0]) {
        piece.data = (const char *)x->data + at;
        piece.shape[0] = (int64_t)(bytes - at < RAW_PIECE ? bytes - at : RAW_PIECE);
        SDG_TRY(put(s, w, piece.data, (size_t)piece.shape[0], err));
        sdg_weights_let_go(&s->from->all, &piece);
    }
fail:
    return status;
}

/* Integers of a type that the form has no room for, in the next larger one that holds a sign. */
static void convert_whole(void *to, enum sdg_dtype d, const struct sdg_tensor *x, size_t first,
                          size_t count)
{
    const unsigned char *from = x->data;
    const size_t size = sdg_dtype_size(x->dtype), wide = sdg_dtype_size(d);
    unsigned char *y = to;
    memset(y, 0, count * wide);
    for (size_t i = 0; i < count; i++) memcpy(y + i * wide, from + (first + i) * size, size);
}

static void values(struct sdg_out_stream *s, float *y, const struct sdg_out *t, int part,
                   size_t first, size_t count)
{
    if (t->computed)
        s->values(s->user, y, t, part, first, count);
    else
        sdg_tensor_widen(y, &t->parts[part]->tensor, first, count);
}

/* Into *infinite: how many numbers were too large. */
static void narrow(size_t *infinite, void *y, enum sdg_dtype d, const float *x, size_t count)
{
    *infinite = 0;
    for (size_t i = 0; d == SDG_F16 && i < count; i++) {
        const float size = x[i] < 0 ? -x[i] : x[i];
        *infinite += size >= (float)HALF_INFINITE && size <= FLT_MAX;
    }
    sdg_tensor_narrow(y, d, x, count);
}

/* A piece of a part: [count] numbers from number first on, by threads that take TASK at a time. */
struct piece {
    struct sdg_out_stream *s;
    const struct sdg_out *t;
    int part;
    size_t first, count;
    size_t infinite[TASKS];
};

static void convert_task(void *arg, size_t task, int worker)
{
    struct piece *p = arg;
    const enum sdg_dtype d = p->t->as.dtype;
    const size_t at = task * TASK, count = p->count - at < TASK ? p->count - at : TASK;
    char *y = (char *)p->s->y + sdg_dtype_bytes(d, at);
    float *x = (float *)p->s->x + at;
    (void)worker;
    if (sdg_dtype_is_float(d)) {
        values(p->s, x, p->t, p->part, p->first + at, count);
        narrow(&p->infinite[task], y, d, x, count);
    } else {
        convert_whole(y, d, &p->t->parts[p->part]->tensor, p->first + at, count);
    }
}

static sdgen_status convert(struct sdg_out_stream *s, struct sdg_writer *w, const struct sdg_out *t,
                            int part, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    const struct sdg_tensor *x = &t->parts[part]->tensor;
    const size_t all = sdg_tensor_count(x);
    for (size_t at = 0; at < all; at += PIECE) {
        struct piece p = {.s = s, .t = t, .part = part, .first = at};
        p.count = all - at < PIECE ? all - at : PIECE;
        sdg_parallel_for(s->threads, (p.count + TASK - 1) / TASK, convert_task, &p);
        for (int i = 0; i < TASKS; i++) s->infinite += p.infinite[i];
        SDG_TRY(put(s, w, s->y, sdg_dtype_bytes(t->as.dtype, p.count), err));
    }
    sdg_weights_let_go(&s->from->all, x);
fail:
    return status;
}

/* A projection of text: small enough to be turned in memory. */
static sdgen_status turn(struct sdg_out_stream *s, struct sdg_writer *w, const struct sdg_out *t,
                         sdgen_error *err)
{
    const struct sdg_tensor *x = &t->parts[0]->tensor;
    const size_t rows = (size_t)x->shape[0], columns = (size_t)x->shape[1], n = rows * columns;
    const bool same = x->dtype == t->as.dtype && !t->computed && sdg_dtype_block(x->dtype) == 1;
    const size_t item = same ? sdg_dtype_size(x->dtype) : sizeof(float);
    sdgen_status status = SDGEN_ERR_MEMORY;
    char *from = same ? NULL : malloc(n * item + 1), *to = malloc(2 * n * item + 1);
    if ((!same && !from) || !to) {
        sdg_write_abort(w);
        status = sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for %.200s", t->name);
        goto done;
    }
    if (!same) values(s, (float *)(void *)from, t, 0, 0, n);
    const char *source = same ? x->data : from;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(to + (c * rows + r) * item, source + (r * columns + c) * item, item);
    char *out = same ? to : to + n * item;
    size_t infinite = 0;
    if (!same) narrow(&infinite, out, t->as.dtype, (float *)(void *)to, n);
    s->infinite += infinite;
    status = put(s, w, out, sdg_dtype_bytes(t->as.dtype, n), err);
done:
    free(from);
    free(to);
    return status;
}

sdgen_status sdg_out_write(struct sdg_out_stream *s, struct sdg_writer *w, const struct sdg_out *t,
                           sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    if (t->transposed) return turn(s, w, t, err);
    for (int part = 0; part < t->part_count; part++) {
        const struct sdg_tensor *x = &t->parts[part]->tensor;
        const bool same =
            x->dtype == t->as.dtype || (x->dtype == SDG_BOOL && t->as.dtype == SDG_I8);
        if (same && !t->computed)
            SDG_TRY(copy(s, w, x, err));
        else
            SDG_TRY(convert(s, w, t, part, err));
    }
fail:
    return status;
}

sdgen_status sdg_out_file_write(struct sdg_out_stream *s, const struct sdg_outputs *o,
                                const struct sdg_out_file *f, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_writer w = {0};
    size_t count = 0;
    struct sdg_write_tensor *list = calloc(o->count + 1, sizeof *list);
    if (!list) return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: out of memory", f->path);
    for (size_t i = 0; i < o->count; i++) {
        const struct sdg_out *t = &o->list[i];
        if (strcmp(t->folder, f->folder) != 0) continue;
        struct sdg_write_tensor *to = &list[count++];
        *to = (struct sdg_write_tensor) {
            .name = t->name, .dtype = t->as.dtype, .rank = t->as.rank, .user = t};
        memcpy(to->shape, t->as.shape, sizeof to->shape);
    }
    if (f->gguf)
        SDG_TRY(sdg_write_gguf(&w, f->path, list, count, f->pairs, f->pair_count, err));
    else
        SDG_TRY(sdg_write_safetensors(&w, f->path, list, count, f->pairs, f->pair_count, err));
    for (size_t i = 0; i < count; i++) SDG_TRY(sdg_out_write(s, &w, list[i].user, err));
    SDG_TRY(sdg_write_commit(&w, f->overwrite, err));
fail:
    free(list);
    return status;
}
