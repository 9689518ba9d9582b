/* test_torchfile.c - checkpoints of torch.save: every tensor of every golden against its twin in
 * safetensors, bit for bit; zip archives in all the shapes that PyTorch's versions wrote; the kinds
 * of files that are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/hostile.h"

#define FOLDER "tests/golden/torch/"

static char *path;

static int set_up(void **state)
{
    (void)state;
    path = test_file_make();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_file_remove(path);
    return 0;
}

static void open_well(struct sdg_weights *w, const char *name)
{
    sdgen_error err = {0};
    if (sdg_weights_open(w, name, &err) != SDGEN_OK) fail_msg("%s", err.text);
    (void)test_touch(w);
}

static void compare(const struct sdg_weights *have, const struct sdg_weights *want)
{
    assert_int_equal(have->count, want->count);
    for (size_t i = 0; i < want->count; i++) {
        const struct sdg_tensor *y = &want->entries[i].tensor;
        const struct sdg_entry *e = sdg_weights_find(have, want->entries[i].name);
        if (!e) fail_msg("%s: no %s", have->path, want->entries[i].name);
        assert_int_equal(e->tensor.dtype, y->dtype);
        assert_int_equal(e->tensor.rank, y->rank);
        for (int d = 0; d < y->rank; d++) assert_int_equal(e->tensor.shape[d], y->shape[d]);
        const size_t bytes = sdg_tensor_count(y) * sdg_dtype_size(y->dtype);
        if (memcmp(e->tensor.data, y->data, bytes) != 0) fail_msg("%s: other values", e->name);
    }
}

/* ---- files of PyTorch ---- */

static void test_twins(void **state)
{
    static const char *const names[] = {"floats",    "integers",      "newer",   "lightning",
                                        "module",    "nested_module", "ordered", "views",
                                        "only_dict", "twice_nested",  "mixed"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[64];
        struct sdg_weights have, want;
        snprintf(file, sizeof file, FOLDER "%s.ckpt", names[i]);
        open_well(&have, file);
        assert_int_equal(have.form, SDG_FORM_TORCH_ZIP);
        assert_string_equal(sdg_form_name(have.form), "torch zip");
        snprintf(file, sizeof file, FOLDER "%s.safetensors", names[i]);
        open_well(&want, file);
        compare(&have, &want);
        sdg_weights_close(&have);
        sdg_weights_close(&want);
    }
}

static bool in_file(const struct sdg_weights *w, const char *name)
{
    const uint8_t *p = sdg_weights_find(w, name)->tensor.data;
    return p >= w->maps[0].data && p < w->maps[0].data + w->maps[0].size;
}

/* What lies in C order is not copied; tensors that share a storage share memory. */
static void test_no_copies(void **state)
{
    struct sdg_weights w;
    (void)state;
    open_well(&w, FOLDER "views.ckpt");
    assert_true(in_file(&w, "whole") && in_file(&w, "row") && in_file(&w, "rows"));
    assert_true(in_file(&w, "thin") && in_file(&w, "one") && in_file(&w, "parameter"));
    assert_false(in_file(&w, "transposed") || in_file(&w, "expanded") || in_file(&w, "step"));
    assert_ptr_equal(sdg_weights_find(&w, "whole")->tensor.data,
                     sdg_weights_find(&w, "shared")->tensor.data);
    assert_ptr_equal((const float *)sdg_weights_find(&w, "whole")->tensor.data + 12,
                     sdg_weights_find(&w, "row")->tensor.data);
    sdg_weights_close(&w);
}

static void test_refused_by_name(void **state)
{
    static const struct {
        const char *name, *wanted;
    } files[] = {
        {"module", "whole module (torch.nn.modules.container.Sequential)"},
        {"list", "holds a list"},
        {"tensor", "holds a single tensor"},
        {"number", "not named tensors"},
        {"complex", "ComplexFloatStorage"},
        {"sparse", "sparse tensors"},
        {"quantised", "torch.QInt8Storage"},
        {"negative", "negated"},
        {"code", "data.pkl, byte 169: it refers to __builtin__.print"},
        {"empty", "holds no tensors"},
        {"numbers", "holds no tensors"},
        {"deep_rank", "more than 8 dimensions"},
        {"meta", "tensors without numbers"},
        {"f8_other", "torch.float8_e8m0fnu"},
        {"legacy", "before PyTorch 1.6"},
        {"protocol4", "operation FRAME"},
        {"script", "TorchScript"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char file[64];
        snprintf(file, sizeof file, FOLDER "refused_%s.pt", files[i].name);
        test_refused(files[i].name, file, files[i].wanted);
    }
}

/* ---- archives of all ages ---- */

/* {"a": tensor of f32 [2,2] in storage "0"} as PyTorch 1.6 wrote it. */
static const char pickle[] =
    "\200\2}q\0X\1\0\0\0aq\1ctorch._utils\n_rebuild_tensor_v2\nq\2((X\7\0\0\0storageq\3ctorch\n"
    "FloatStorage\nq\4X\1\0\0\0000q\5X\3\0\0\0cpuq\6K\4tq\7QK\0K\2K\2\206q\10K\2K\1\206q\11\211"
    "ccollections\nOrderedDict\nq\12)Rq\13tq\14Rq\15s.";
static const uint8_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void open_zip(struct test_zip *z, const struct test_zip_end *end)
{
    struct sdg_weights w;
    test_zip_end(z, end);
    test_file_write(path, &z->out);
    test_zip_free(z);
    open_well(&w, path);
    assert_int_equal(w.count, 1);
    const struct sdg_tensor *t = &sdg_weights_find(&w, "a")->tensor;
    assert_int_equal(t->dtype, SDG_F32);
    assert_int_equal(t->rank, 2);
    assert_memory_equal(t->data, numbers, sizeof numbers);
    sdg_weights_close(&w);
}

/* How the two entries that count are stored: model after `kind`. */
static void add_both(struct test_zip *z, struct test_zip_entry kind)
{
    kind.name = "model/data.pkl";
    kind.data = pickle;
    kind.size = sizeof pickle - 1;
    test_zip_add(z, &kind);
    kind.name = "model/data/0";
    kind.data = numbers;
    kind.size = sizeof numbers;
    test_zip_add(z, &kind);
}

static void test_archives(void **state)
{
    static const struct test_zip_entry kinds[] = {
        {0},             /* PyTorch: sizes in data descriptors */
        {.sizes = true}, /* PyTorch 1.6 and other zip writers: in the local header */
        {.zip64 = true}, /* as entries beyond 4 GiB */
        {.padding = 61}, /* odd alignment */
        {.sizes = true, .padding = 1},
        {.sizes = true, .flags = 0x0800, .local_flags = 0x0800}, /* no UTF-8 flag */
    };
    static const struct test_zip_end ends[] = {
        {0},
        {.all_ones = true},
        {.no_zip64 = true},
        {.comment = "a comment"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
            struct test_zip z = {0};
            add_both(&z, kinds[k]);
            open_zip(&z, &ends[e]);
        }
    }
}

static void test_other_entries(void **state)
{
    static const struct test_zip_entry others[] = {
        {.name = "model/version", .data = "3\n", .size = 2},
        {.name = "model/byteorder", .data = "little", .size = 6},
        {.name = "model/.format_version", .data = "1", .size = 1},
        {.name = "model/.storage_alignment", .data = "64", .size = 2},
        {.name = "model/.data/serialization_id", .data = "0123", .size = 4},
        {.name = "model/data/1", .data = "", .size = 0},
        {.name = "model/", .data = "", .size = 0},
        {.name = "model/extra/readme.txt", .data = "hello", .size = 5},
    };
    struct test_zip z = {0};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (i == 4) add_both(&z, (struct test_zip_entry) {.padding = 3});
        test_zip_add(&z, &others[i]);
    }
    open_zip(&z, &(struct test_zip_end) {0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twins),           cmocka_unit_test(test_no_copies),
        cmocka_unit_test(test_refused_by_name), cmocka_unit_test(test_archives),
        cmocka_unit_test(test_other_entries),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
