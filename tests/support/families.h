/* families.h - the networks of every family, stock or with a fifth of the channels, as configs. */
#ifndef SDG_TESTS_SUPPORT_FAMILIES_H
#define SDG_TESTS_SUPPORT_FAMILIES_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "tests/support/blankfile.h"
#include "weights/facts.h"

struct test_family {
    const char *name; /* "sd15", "sd21", "sdxl", "ssd-1b", ... */
    enum sdg_family family;
    struct sdg_unet_config unet;
    struct sdg_clip_config clips[2];
    const char *prefixes[2]; /* of the text encoders, canonical */
    int clip_count;
    struct sdg_vae_config vae;
};

enum { TEST_FAMILIES = 14 };

/* Number i; small: 64 channels for each 320, text encoders of 64 and 128 with the stock number of
 * layers of SD1 (12), a vocabulary of CLIP's size, and the stock structure. */
void test_family_make(struct test_family *f, int i, bool small);
void test_family_named(struct test_family *f, const char *name, bool small);

/* All tensors of the family to b, through b->spell. */
void test_family_add(struct test_blank *b, const struct test_family *f);

#endif
