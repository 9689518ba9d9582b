/* test_diagnosis.c - checkpoints of every family that are not as they should be: with one tensor
 * missing, renamed, turned round, of another extent, one too many, or cut short. Each is told in
 * words, with the tensor's name. The files' data are holes (blankfile.h). */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/support/blankfile.h"
#include "tests/support/checkpoint.h"
#include "weights/model.h"

static const char *const families[] = {"sd1",     "lcm",    "sd2",        "sdxl",    "sdxl_inpaint",
                                       "refiner", "ssd_1b", "koala_700m", "bk_tiny", "sdxs_09"};

/* One tensor of each network: what it has two extents of. */
static const char *const victims[] = {
    "model.diffusion_model.time_embed.2.weight",
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_v.weight",
    "first_stage_model.decoder.up.1.block.0.nin_shortcut.weight",
    "text_model.encoder.layers.1.mlp.fc2.weight", /* of the last text encoder */
};
enum { VICTIMS = sizeof victims / sizeof victims[0] };

/* ---- files ----------------------------------------------------------------------------------- */

/* The checkpoint without the tensor `drop`, and with the first extent of `bend` one more. */
static void begin(struct test_blank *b, const struct test_checkpoint *f, const char *drop,
                  const char *bend)
{
    test_blank_begin(b);
    b->drop = drop;
    b->bend = bend;
    for (int i = 0; i < f->clip_count; i++) test_blank_text(b, f->prefixes[i], &f->clips[i]);
    test_blank_model(b, NULL, &f->unet, &f->vae);
}

/* Shape and rank of a tensor of the checkpoint; false when it has none of that name. */
struct finder {
    struct sdg_binder binder;
    const char *prefix, *name;
    int64_t shape[SDG_MAX_DIMS];
    int rank;
};

static void want_found(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                       unsigned flags, struct sdg_tensor *slot)
{
    struct finder *k = (struct finder *)self;
    const size_t length = strlen(k->prefix);
    (void)flags;
    *slot = (struct sdg_tensor) {0};
    if (strncmp(k->name, k->prefix, length) != 0 || strcmp(k->name + length, name) != 0) return;
    memcpy(k->shape, shape, (size_t)rank * sizeof *shape);
    k->rank = rank;
}

static bool find(struct finder *k, const struct test_checkpoint *f, const char *name)
{
    static struct sdg_clip clip; /* what lands in these is not looked at */
    static struct sdg_vae vae;
    struct sdg_unet unet;
    struct sdg_arena arena;
    *k = (struct finder) {.binder = {want_found}, .name = name};
    for (int i = 0; i < f->clip_count; i++) {
        k->prefix = f->prefixes[i];
        sdg_clip_bind(&clip, &f->clips[i], &k->binder);
    }
    k->prefix = "first_stage_model.";
    sdg_vae_bind(&vae, &f->vae, &k->binder);
    k->prefix = "model.diffusion_model.";
    assert_int_equal(sdg_unet_arena_create(&arena, NULL), SDGEN_OK);
    assert_int_equal(sdg_unet_bind(&unet, &f->unet, &k->binder, &arena, NULL), SDGEN_OK);
    sdg_arena_destroy(&arena);
    return k->rank > 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Writes the file, opens it, and wants success with so many tensors left over, or an error that has
 * all the words. */
static void open_written(struct test_blank *b, const char *family, const char *what, size_t unused,
                         const char *const words[3])
{
    struct sdg_model *m = calloc(1, sizeof *m);
    sdgen_error err = {.text = "opened"};
    assert_non_null(m);
    const struct sdg_model_options options = {.path = b->path};
    const sdgen_status status = sdg_model_open(m, &options, &err);
    if (!words) {
        if (status != SDGEN_OK) fail_msg("%s, %s: %s", family, what, err.text);
        if (m->unused != unused) fail_msg("%s, %s: %zu unused", family, what, m->unused);
        sdg_model_close(m);
    }
    for (int i = 0; words && i < 3; i++)
        if (status == SDGEN_OK || (words[i] && !strstr(err.text, words[i])))
            fail_msg("%s, %s: wanted \"%s\" in: %s", family, what, words[i], err.text);
    test_blank_remove(b);
    free(m);
}

static void whole_and_one_more(const char *family, const struct test_checkpoint *f)
{
    struct test_blank b;
    begin(&b, f, NULL, NULL);
    test_blank_write(&b);
    open_written(&b, family, "whole", 0, NULL);
    begin(&b, f, NULL, NULL);
    test_blank_add(&b, "model.diffusion_model.input_blocks.1.7.weight", SDG_F16,
                   (const int64_t[]) {3, 4}, 2);
    test_blank_write(&b);
    open_written(&b, family, "one more", 1, NULL);
}

static void cut_short(const char *family, const struct test_checkpoint *f)
{
    struct test_blank b;
    begin(&b, f, NULL, NULL);
    test_blank_write(&b);
    struct stat file;
    assert_int_equal(stat(b.path, &file), 0);
    assert_int_equal(truncate(b.path, file.st_size - 1), 0);
    open_written(&b, family, "cut short", 0,
                 (const char *const[]) {"first_stage_model.", "cut short", "download it again"});
}

static void one_tensor(const char *family, const struct test_checkpoint *f, const char *name)
{
    struct finder t;
    struct test_blank b;
    char wanted[128], turned[128], other[256], words[320];
    if (!find(&t, f, name)) fail_msg("%s has no %s", family, name);
    sdg_shape_text(wanted, sizeof wanted, t.shape, t.rank);

    begin(&b, f, name, NULL);
    test_blank_write(&b);
    snprintf(words, sizeof words, "is missing (want %s)", wanted);
    open_written(&b, family, "missing", 0,
                 (const char *const[]) {name, words, "1 tensors missing"});

    begin(&b, f, name, NULL); /* the other name is no reason to guess */
    snprintf(other, sizeof other, "%.*s_old.weight", (int)(strlen(name) - strlen(".weight")), name);
    test_blank_add(&b, other, SDG_F16, t.shape, t.rank);
    test_blank_write(&b);
    open_written(&b, family, "renamed", 0,
                 (const char *const[]) {name, words, "1 tensors missing"});

    begin(&b, f, name, NULL);
    int64_t shape[SDG_MAX_DIMS];
    memcpy(shape, t.shape, sizeof shape);
    shape[0] = t.shape[1];
    shape[1] = t.shape[0];
    test_blank_add(&b, name, SDG_F16, shape, t.rank);
    test_blank_write(&b);
    sdg_shape_text(turned, sizeof turned, shape, t.rank);
    snprintf(words, sizeof words, "want %s, the file has F16 %s", wanted, turned);
    if (strcmp(wanted, turned) != 0)
        open_written(&b, family, "turned", 0, (const char *const[]) {name, words, NULL});
    else
        open_written(&b, family, "turned, square", 0, NULL);

    begin(&b, f, NULL, name);
    test_blank_write(&b);
    snprintf(words, sizeof words, "want %s, the file has F16 [", wanted);
    open_written(&b, family, "bent", 0,
                 (const char *const[]) {name, words, "1 of the wrong shape or type"});
}

static void name_victim(char *name, size_t size, const struct test_checkpoint *f,
                        const char *victim)
{
    const bool text = strncmp(victim, "text_model.", strlen("text_model.")) == 0;
    snprintf(name, size, "%s%s", text ? f->prefixes[f->clip_count - 1] : "", victim);
}

/* A model of 7 GB is opened, or refused, by its names: its numbers are not read. */
static void so_is_one_of_full_size(void **state)
{
    struct test_checkpoint f;
    (void)state;
    test_checkpoint_read(&f, "sdxl", "full");
    whole_and_one_more("sdxl in full size", &f);
}

static void each_family_is_told_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        struct test_checkpoint f;
        test_checkpoint_read(&f, families[i], "small");
        whole_and_one_more(families[i], &f);
        cut_short(families[i], &f);
        for (size_t v = 0; v < VICTIMS; v++) {
            char name[256];
            struct finder t;
            name_victim(name, sizeof name, &f, victims[v]);
            if (find(&t, &f, name)) one_tensor(families[i], &f, name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_family_is_told_in_words),
                                       cmocka_unit_test(so_is_one_of_full_size)};
    return cmocka_run_group_tests_name("diagnosis", tests, NULL, NULL);
}
