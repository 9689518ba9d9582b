/* families.c - see families.h. Structures: Stability AI's configurations (generative-models,
 * configs/ inference), ComfyUI comfy/model_detection.py for the distilled ones, the BK-SDM paper
 * (Kim et al. 2023, table 1). */
#include "tests/support/families.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "weights/keys.h"

enum { L, H, G }; /* text encoders */

static const struct sdg_clip_config encoders[] = {
    [L] = {49408, 77, .width = 768, .layers = 12, .heads = 12, .mlp = 3072,
           .activation = SDG_QUICK_GELU},
    [H] = {49408, 77, .width = 1024, .layers = 24, .heads = 16, .mlp = 4096, .projection = 1024,
           .activation = SDG_GELU},
    [G] = {49408, 77, .width = 1280, .layers = 32, .heads = 20, .mlp = 5120, .projection = 1280,
           .activation = SDG_GELU},
};

/* Depths of transformers on the way in and out, level by level, the shallowest first; NULL:
 * mirrored. */
static const struct stock {
    const char *name;
    enum sdg_family family;
    int base, mult[4], levels, blocks, in;
    const char *depth_in[4], *depth_out[4]; /* a letter for each resblock: '0'.. '9', 'a' for 10 */
    int middle, middle_depth, context, label;
    bool linear;
} stocks[TEST_FAMILIES] = {
    {"sd15",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4, 4},
     4,
     2,
     4,
     {"11", "11", "11", "00"},
     {0},
     2,
     1,
     768,
     0,
     false},
    {"sd15-inpaint",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4, 4},
     4,
     2,
     9,
     {"11", "11", "11", "00"},
     {0},
     2,
     1,
     768,
     0,
     false},
    {"sd15-edit",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4, 4},
     4,
     2,
     8,
     {"11", "11", "11", "00"},
     {0},
     2,
     1,
     768,
     0,
     false},
    {"sd21",
     SDG_FAMILY_SD2,
     320,
     {1, 2, 4, 4},
     4,
     2,
     4,
     {"11", "11", "11", "00"},
     {0},
     2,
     1,
     1024,
     0,
     true},
    {"sdxl",
     SDG_FAMILY_SDXL,
     320,
     {1, 2, 4},
     3,
     2,
     4,
     {"00", "22", "aa"},
     {0},
     2,
     10,
     2048,
     2816,
     true},
    {"refiner",
     SDG_FAMILY_SDXL_REFINER,
     384,
     {1, 2, 4, 4},
     4,
     2,
     4,
     {"00", "44", "44", "00"},
     {0},
     2,
     4,
     1280,
     2560,
     true},
    {"ssd-1b",
     SDG_FAMILY_SDXL,
     320,
     {1, 2, 4},
     3,
     2,
     4,
     {"00", "22", "44"},
     {"000", "211", "44a"},
     1,
     0,
     2048,
     2816,
     true},
    {"vega",
     SDG_FAMILY_SDXL,
     320,
     {1, 2, 4},
     3,
     2,
     4,
     {"00", "11", "22"},
     {"000", "111", "222"},
     1,
     0,
     2048,
     2816,
     true},
    {"koala-700m",
     SDG_FAMILY_SDXL,
     320,
     {1, 2, 4},
     3,
     1,
     4,
     {"0", "2", "5"},
     {0},
     0,
     0,
     2048,
     2816,
     true},
    {"koala-1b",
     SDG_FAMILY_SDXL,
     320,
     {1, 2, 4},
     3,
     1,
     4,
     {"0", "2", "6"},
     {0},
     2,
     6,
     2048,
     2816,
     true},
    {"bk-sdm-base",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4, 4},
     4,
     1,
     4,
     {"1", "1", "1", "0"},
     {0},
     2,
     1,
     768,
     0,
     false},
    {"bk-sdm-small",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4, 4},
     4,
     1,
     4,
     {"1", "1", "1", "0"},
     {0},
     0,
     0,
     768,
     0,
     false},
    {"bk-sdm-tiny",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4},
     3,
     1,
     4,
     {"1", "1", "1"},
     {0},
     0,
     0,
     768,
     0,
     false},
    {"sdxs-512",
     SDG_FAMILY_SD1,
     320,
     {1, 2, 4},
     3,
     1,
     4,
     {"0", "1", "1"},
     {0},
     0,
     0,
     768,
     0,
     false},
};

static int depth_of(char letter)
{
    return letter == 'a' ? 10 : letter - '0';
}

static void make_unet(struct sdg_unet_config *c, const struct stock *s, bool small)
{
    const int unit = small ? 5 : 1;
    *c = (struct sdg_unet_config) {
        .in_channels = s->in,
        .out_channels = 4,
        .model_channels = s->base / unit / 64 * 64,
        .levels = s->levels,
        .middle = s->middle,
        .middle_depth = s->middle_depth,
        .linear_projection = s->linear,
    };
    for (int l = 0; l < s->levels; l++) {
        c->blocks[l] = s->blocks;
        c->channels[l] = c->model_channels * s->mult[l];
        for (int i = 0; i < s->blocks; i++) c->depth_in[l][i] = depth_of(s->depth_in[l][i]);
        for (int i = 0; i <= s->blocks; i++)
            c->depth_out[l][i] = depth_of(s->depth_out[0] ? s->depth_out[l][i] : s->depth_in[l][0]);
    }
    c->time_width = 4 * c->model_channels;
}

static void make_texts(struct test_family *f, bool small)
{
    static const char *const one[] = {SDG_KEY_CLIP},
                             *const two[] = {SDG_KEY_CLIP_0, SDG_KEY_CLIP_1},
                             *const refiner[] = {SDG_KEY_CLIP_0};
    static const int which[][2] = {[SDG_FAMILY_SD1] = {L},
                                   [SDG_FAMILY_SD2] = {H},
                                   [SDG_FAMILY_SDXL] = {L, G},
                                   [SDG_FAMILY_SDXL_REFINER] = {G}};
    const char *const *prefixes = f->family == SDG_FAMILY_SDXL           ? two
                                  : f->family == SDG_FAMILY_SDXL_REFINER ? refiner
                                                                         : one;
    f->clip_count = f->family == SDG_FAMILY_SDXL ? 2 : 1;
    for (int i = 0; i < f->clip_count; i++) {
        struct sdg_clip_config *c = &f->clips[i];
        *c = encoders[which[f->family][i]];
        f->prefixes[i] = prefixes[i];
        if (!small) continue;
        c->width = c->activation == SDG_GELU ? 128 : 64;
        c->heads = c->width / 64;
        c->mlp = 2 * c->width;
        if (c->projection) c->projection = c->width;
    }
}

void test_family_make(struct test_family *f, int i, bool small)
{
    const struct stock *s = &stocks[i];
    *f = (struct test_family) {.name = s->name, .family = s->family, .vae = test_sd15_vae};
    make_unet(&f->unet, s, small);
    make_texts(f, small);
    f->unet.context = s->context;
    f->unet.label = s->label;
    if (small) {
        f->unet.context = 0;
        for (int k = 0; k < f->clip_count; k++) f->unet.context += f->clips[k].width;
        if (s->label) f->unet.label = f->clips[f->clip_count - 1].width + s->label - 1280;
        for (int l = 0; l < f->vae.levels; l++) f->vae.channels[l] /= 4;
    }
}

void test_family_named(struct test_family *f, const char *name, bool small)
{
    int i = 0;
    while (i < TEST_FAMILIES && strcmp(stocks[i].name, name) != 0) i++;
    if (i == TEST_FAMILIES) fail_msg("no family %s", name);
    test_family_make(f, i, small);
}

void test_family_add(struct test_blank *b, const struct test_family *f)
{
    test_blank_model(b, NULL, &f->unet, &f->vae);
    for (int i = 0; i < f->clip_count; i++) test_blank_text(b, f->prefixes[i], &f->clips[i]);
}
