/* test_vae_tiles.c - blended tiles of the VAE against diffusers' tiled_decode: the cases of
 * tools/golden_vae_tiles.py, in exactly the memory that a dry run planned. Bound: 1e-4 of the
 * largest value, as for whole pictures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cpu.h"
#include "kernels.h"
#include "models/vae.h"
#include "tests/support/floats.h"
#include "tests/support/hashweights.h"
#include "tests/support/testmodel.h"

#define GOLDEN "tests/golden/vae_tiles.safetensors"
#define BOUND 1e-4

struct tile_case {
    size_t h, w, tile;
    double overlap;
};

static struct test_model *open_shallow(void)
{
    struct test_layout l;
    char path[512];
    const char *dir = getenv("TMPDIR");
    test_layout_read(&l, "shallow");
    snprintf(path, sizeof path, "%s/sdgen-tiles-%d.safetensors", dir ? dir : "/tmp", (int)getpid());
    test_model_write(path, &l);
    struct test_model *m = test_model_open(path, &l);
    unlink(path);
    return m;
}

static size_t peak_of(const struct sdg_kernels *k, const struct test_model *m,
                      const struct tile_case *c, const struct sdg_vae_tiling *tiling)
{
    struct sdg_arena work;
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = k, .work = &work, .threads = 2, .dry = true};
    sdg_vae_decode_tiled(&o, NULL, NULL, &m->vae, c->h, c->w, tiling);
    assert_int_equal(work.used, 0);
    return work.peak;
}

static void check_case(const struct sdg_kernels *k, const struct test_model *m,
                       const struct sdg_weights *golden, const struct tile_case *c)
{
    const struct sdg_vae_tiling tiling = {c->tile, c->tile, c->overlap};
    const size_t latent = 4 * c->h * c->w, bytes = peak_of(k, m, c, &tiling);
    char name[64];
    snprintf(name, sizeof name, "input.tiles.%zux%zu", c->h, c->w);
    struct test_floats want = test_golden(golden, "%s", name + strlen("input."));
    float *z = malloc(latent * sizeof *z), *y = malloc(want.count * sizeof *y);
    assert_non_null(z);
    assert_non_null(y);
    test_hash_input(z, name, latent);
    assert_int_equal(want.count, 3 * 2 * c->h * 2 * c->w);
    struct sdg_arena work;
    assert_int_equal(sdg_arena_create(&work, bytes, NULL), SDGEN_OK);
    memset(work.base, 0xff, bytes); /* not numbers: what is read unwritten shows */
    memset(y, 0xff, want.count * sizeof *y);
    struct sdg_ops o = {.k = k, .work = &work, .threads = 2};
    sdg_vae_decode_tiled(&o, y, z, &m->vae, c->h, c->w, &tiling);
    assert_int_equal(work.peak, bytes);
    const double ratio = test_ratio(y, want.data, want.count);
    print_message("# %s, tiles of %zu, overlap %g: max error %.1e of the maximum\n", name, c->tile,
                  c->overlap, ratio);
    assert_true(ratio < BOUND);
    sdg_arena_destroy(&work);
    test_floats_free(&want);
    free(z);
    free(y);
}

static void matches_diffusers(void **state)
{
    (void)state;
    static const struct tile_case cases[] = {
        {13, 20, 8, 0.25}, {8, 20, 8, 0.25}, {11, 8, 4, 0.5}, {10, 7, 8, 0.75}, {5, 8, 8, 0.25}};
    static const size_t tiles[] = {12, 8, 24, 20, 1};
    struct sdg_weights golden;
    struct sdg_kernels k;
    struct test_model *m = open_shallow();
    sdg_kernels_init(&k, sdg_isa_detect());
    assert_int_equal(sdg_weights_open(&golden, GOLDEN, NULL), SDGEN_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct tile_case *c = &cases[i];
        const struct sdg_vae_tiling tiling = {c->tile, c->tile, c->overlap};
        assert_int_equal(sdg_vae_tile_count(c->h, c->w, &tiling), tiles[i]);
        check_case(&k, m, &golden, c);
    }
    sdg_weights_close(&golden);
    test_model_close(m);
}

/* A tile as large as the latent, or larger, is the whole picture, with its bits. */
static void one_tile_is_the_whole(void **state)
{
    (void)state;
    enum { H = 5, W = 8, PIXELS = 3 * 2 * H * 2 * W };
    const struct sdg_vae_tiling tiling = {H + 1, W, 0.25};
    static float z[4 * H * W], whole[PIXELS], tiled[PIXELS];
    struct sdg_arena work;
    struct sdg_kernels k;
    struct test_model *m = open_shallow();
    sdg_kernels_init(&k, sdg_isa_detect());
    test_hash_input(z, "input.one", 4 * H * W);
    assert_int_equal(sdg_arena_create(&work, (size_t)64 << 20, NULL), SDGEN_OK);
    struct sdg_ops o = {.k = &k, .work = &work, .threads = 2};
    sdg_vae_decode(&o, whole, z, &m->vae, 1, H, W);
    sdg_vae_decode_tiled(&o, tiled, z, &m->vae, H, W, &tiling);
    assert_memory_equal(whole, tiled, sizeof whole);
    sdg_arena_destroy(&work);
    test_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_diffusers),
        cmocka_unit_test(one_tile_is_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
