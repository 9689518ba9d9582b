/* fuzz_pickle.c - any bytes as the pickle of a checkpoint, past the archive around it. Tensors that
 * come out must lie inside of the storage; and a pickle that the machine runs to its end refers to
 * no name that the scanner does not know. */
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"
#include "files/pickle_machine.h"
#include "files/picklescan.h"
#include "files/pool.h"

static const uint8_t storage[64];

static sdgen_status find(struct sdg_pickle_value *result, struct sdg_pickle_machine *m,
                         const struct sdg_pickle_value *id)
{
    struct sdg_pickle_storage s;
    const sdgen_status status = sdg_pickle_storage_id(&s, m, id, 5);
    if (status != SDGEN_OK) return status;
    if (s.bytes > sizeof storage) return sdg_pickle_refuse(m, "the storage is too large");
    struct sdg_torch_storage *t = sdg_pool_alloc(&m->p->pool, sizeof *t);
    if (!t) abort();
    *t = (struct sdg_torch_storage) {storage, s.bytes, s.class->dtype};
    *result = (struct sdg_pickle_value) {.kind = SDG_PICKLE_STORAGE, .as.storage = t};
    return SDGEN_OK;
}

/* Spreads a tensor out as the reader of files would. */
static void check(const struct sdg_torch_tensor *t)
{
    size_t bytes = 0;
    const uint8_t *data = sdg_torch_data(t);
    if (data < storage || data > storage + sizeof storage) abort();
    if (!sdg_shape_bytes(&bytes, t->shape, t->rank, sdg_dtype_size(t->dtype))) abort();
    if (bytes > 1 << 20) return;
    if (sdg_torch_contiguous(t) && bytes > sizeof storage) abort();
    void *copy = malloc(bytes ? bytes : 1);
    if (!copy) abort();
    sdg_torch_gather(copy, t);
    free(copy);
}

static void check_names(const uint8_t *data, size_t size)
{
    struct sdg_scan s = {0};
    size_t used;
    if (!sdg_scan_pickle(&s, &used, "", data, size)) abort();
    for (size_t i = 0; i < s.global_count; i++)
        if (s.globals[i].pickle == 0 && s.globals[i].verdict > SDG_VERDICT_UNREAD) abort();
    if (!s.pickles[0].ended || s.pickles[0].size != size) abort();
    sdg_scan_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sdg_pickle p = {
        .path = "input", .part = "pickle", .data = data, .size = size, .persistent = find};
    struct sdg_pickle_value top;
    sdgen_error err = {0};
    if (sdg_pickle_run(&top, &p, &err) != SDGEN_OK) {
        if (strncmp(err.text, "input: ", 7) != 0 || strchr(err.text, '\n')) abort();
        sdg_pool_free(&p.pool);
        return 0;
    }
    check_names(data, size);
    if (top.kind == SDG_PICKLE_TENSOR) {
        check(top.as.tensor);
    } else if (top.kind == SDG_PICKLE_DICT) {
        for (size_t i = 0; i < top.as.dict->count; i++)
            if (top.as.dict->pairs[i].value.kind == SDG_PICKLE_TENSOR)
                check(top.as.dict->pairs[i].value.as.tensor);
    }
    sdg_pool_free(&p.pool);
    return 0;
}
