/* test_torchfile.c - checkpoints of torch.save in all its forms and protocols: every tensor of
 * every golden against its twin in safetensors, bit for bit; zip archives in all the shapes that
 * PyTorch's versions wrote; checksums; storages beyond 4 GiB; the kinds of files that are refused
 * by name. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/hostile.h"
#include "files/zip.h"

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

/* The tensors of FOLDER/file, told as that form, are those of FOLDER/twin.safetensors. */
static void compare_twin(const char *file, enum sdg_form form, const char *twin)
{
    char name[96];
    struct sdg_weights have, want;
    snprintf(name, sizeof name, FOLDER "%s", file);
    open_well(&have, name);
    assert_int_equal(have.form, form);
    snprintf(name, sizeof name, FOLDER "%s.safetensors", twin);
    open_well(&want, name);
    compare(&have, &want);
    sdg_weights_close(&have);
    sdg_weights_close(&want);
}

static const char *const saved[] = {"floats",        "integers",  "newer",        "lightning",
                                    "module",        "ordered",   "views",        "only_dict",
                                    "nested_module", "leftovers", "twice_nested", "mixed"};

static void test_zip_twins(void **state)
{
    char file[64];
    (void)state;
    for (size_t i = 0; i < sizeof saved / sizeof *saved; i++) {
        snprintf(file, sizeof file, "%s.ckpt", saved[i]);
        compare_twin(file, SDG_FORM_TORCH_ZIP, saved[i]);
    }
    compare_twin("mixed_nocrc.ckpt", SDG_FORM_TORCH_ZIP, "mixed");
    assert_string_equal(sdg_form_name(SDG_FORM_TORCH_ZIP), "torch zip");
}

static void test_legacy_twins(void **state)
{
    char file[64];
    (void)state;
    for (size_t i = 0; i < sizeof saved / sizeof *saved; i++) {
        snprintf(file, sizeof file, "legacy_%s.pt", saved[i]);
        compare_twin(file, SDG_FORM_TORCH_LEGACY, saved[i]);
    }
    compare_twin("legacy_python2.pt", SDG_FORM_TORCH_LEGACY, "legacy_python2");
    compare_twin("legacy_parts.pt", SDG_FORM_TORCH_LEGACY, "legacy_parts");
    assert_string_equal(sdg_form_name(SDG_FORM_TORCH_LEGACY), "torch legacy");
}

static void test_protocols(void **state)
{
    static const char *const names[] = {"lightning", "leftovers"};
    static const int protocols[] = {1, 3, 4, 5};
    char file[64];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < 4; k++) {
            snprintf(file, sizeof file, "%s_p%d.ckpt", names[i], protocols[k]);
            compare_twin(file, SDG_FORM_TORCH_ZIP, names[i]);
            snprintf(file, sizeof file, "legacy_%s_p%d.pt", names[i], protocols[k]);
            compare_twin(file, SDG_FORM_TORCH_LEGACY, names[i]);
        }
    }
}

static void test_tar_twins(void **state)
{
    (void)state;
    compare_twin("tar_plain.pt", SDG_FORM_TORCH_TAR, "tar_plain");
    compare_twin("tar_views.pt", SDG_FORM_TORCH_TAR, "tar_views");
    compare_twin("tar_gnu.pt", SDG_FORM_TORCH_TAR, "tar_plain");
    assert_string_equal(sdg_form_name(SDG_FORM_TORCH_TAR), "torch tar");
}

static bool in_file(const struct sdg_weights *w, const char *name)
{
    const uint8_t *p = sdg_weights_find(w, name)->tensor.data;
    return p >= w->maps[0].data && p < w->maps[0].data + w->maps[0].size;
}

/* What lies in C order is not copied; tensors that share a storage share memory. */
static void check_copies(const char *file)
{
    struct sdg_weights w;
    open_well(&w, file);
    assert_true(in_file(&w, "whole") && in_file(&w, "row") && in_file(&w, "rows"));
    assert_true(in_file(&w, "thin") && in_file(&w, "one") && in_file(&w, "parameter"));
    assert_false(in_file(&w, "transposed") || in_file(&w, "expanded") || in_file(&w, "step"));
    assert_ptr_equal(sdg_weights_find(&w, "whole")->tensor.data,
                     sdg_weights_find(&w, "shared")->tensor.data);
    assert_ptr_equal((const uint8_t *)sdg_weights_find(&w, "whole")->tensor.data +
                         12 * sizeof(float),
                     sdg_weights_find(&w, "row")->tensor.data);
    sdg_weights_close(&w);
}

static void test_no_copies(void **state)
{
    struct sdg_weights w;
    (void)state;
    check_copies(FOLDER "views.ckpt");
    check_copies(FOLDER "legacy_views.pt");
    open_well(&w, FOLDER "tar_views.pt");
    assert_true(in_file(&w, "whole") && in_file(&w, "row") && in_file(&w, "part"));
    assert_false(in_file(&w, "turned") || in_file(&w, "step"));
    assert_ptr_equal((const uint8_t *)sdg_weights_find(&w, "big")->tensor.data + 2 * sizeof(float),
                     sdg_weights_find(&w, "part")->tensor.data);
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
        {"own_module", "whole module (upscaler.Own)"},
        {"legacy_module", "whole module (torch.nn.modules.container.Sequential)"},
        {"legacy_own_module", "whole module (upscaler.Own)"},
        {"legacy_code", "it refers to __builtin__.print"},
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

/* ---- checksums ---- */

static void check_crcs(const char *wanted, size_t unknown_wanted, const struct test_bytes *b)
{
    size_t unknown = 0;
    sdgen_error err = {0};
    const sdgen_status status =
        sdg_zip_check_crcs(&unknown, "model.ckpt", b->data, b->size, 2, &err);
    if (!wanted && status != SDGEN_OK) fail_msg("%s", err.text);
    if (wanted) {
        assert_int_not_equal(status, SDGEN_OK);
        if (!strstr(err.text, wanted)) fail_msg("want \"%s\": %s", wanted, err.text);
    }
    assert_int_equal(unknown, unknown_wanted);
}

/* Numbers that changed are found when they are looked for, and do not keep a file from loading. */
static void test_checksums(void **state)
{
    struct test_bytes b = {0};
    struct sdg_weights w;
    (void)state;
    test_bytes_read(&b, FOLDER "mixed.ckpt");
    check_crcs(NULL, 0, &b);
    uint8_t *stored = memmem(b.data, b.size, "\0\0\x80\xbe\0\0\0\x3f", 8); /* -1/4, 1/2 */
    assert_non_null(stored);
    stored[0] ^= 1;
    check_crcs("mixed/data/0 is not what its checksum says (1 such", 0, &b);
    test_file_write(path, &b);
    open_well(&w, path);
    sdg_weights_close(&w);
    test_bytes_free(&b);
    test_bytes_read(&b, FOLDER "mixed_nocrc.ckpt");
    check_crcs(NULL, 9, &b);
    test_bytes_free(&b);
}

/* ---- storages beyond 4 GiB ---- */

enum { HUGE_COUNT = 1200000000 }; /* f32: 4.8 GB */

/* Writes `head` and 4.8 GB of zeros, but for the last number, into a file with a hole. */
static bool write_huge(const struct test_bytes *head)
{
    test_file_write(path, head);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    bool written = fseeko(f, (off_t)head->size + 4ll * HUGE_COUNT - 4, SEEK_SET) == 0 &&
                   fwrite("\0\0\xc0\x3f", 1, 4, f) == 4; /* 1.5 */
    written &= fclose(f) == 0;
    return written;
}

static void test_huge_legacy(void **state)
{
    static const char before[] = "\200\2\212\12l\374\234F\371 j\250P\31.\200\2M\351\3.\200\2}.",
                      object[] =
                          "\200\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storage"
                          "ctorch\nFloatStorage\nX\1\0\0\0005X\3\0\0\0cpuJ\0\214\206GNtQK\0"
                          "J\0\214\206G\205K\1\205\211}tRs.\200\2]X\1\0\0\0005a.";
    struct test_bytes b = {0};
    struct sdg_weights w;
    (void)state;
    test_bytes_add(&b, before, sizeof before - 1);
    test_bytes_add(&b, object, sizeof object - 1);
    test_bytes_number(&b, HUGE_COUNT, 8);
    if (write_huge(&b)) {
        sdgen_error err = {0};
        if (sdg_weights_open(&w, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
        const struct sdg_tensor *t = &sdg_weights_find(&w, "a")->tensor;
        float last;
        assert_int_equal(t->shape[0], HUGE_COUNT);
        memcpy(&last, (const uint8_t *)t->data + 4ll * (HUGE_COUNT - 1), 4);
        assert_true(last == 1.5f);
        sdg_weights_close(&w);
    }
    assert_int_equal(truncate(path, 0), 0);
    test_bytes_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zip_twins), cmocka_unit_test(test_legacy_twins),
        cmocka_unit_test(test_protocols), cmocka_unit_test(test_tar_twins),
        cmocka_unit_test(test_no_copies), cmocka_unit_test(test_refused_by_name),
        cmocka_unit_test(test_archives),  cmocka_unit_test(test_other_entries),
        cmocka_unit_test(test_checksums), cmocka_unit_test(test_huge_legacy),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
