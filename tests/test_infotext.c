/* test_infotext.c - the parameters text against A1111's rules. tools/golden_image.py made the
 * texts, and saw that A1111's reader finds in them what went in. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "image/infotext.h"
#include "tests/support/floats.h"

static struct sdg_weights golden;

static int open_golden(void **state)
{
    (void)state;
    sdgen_error err;
    if (sdg_weights_open(&golden, "tests/golden/image.safetensors", &err) == SDGEN_OK) return 0;
    printf("# %s\n", err.text);
    return 1;
}

static int close_golden(void **state)
{
    (void)state;
    sdg_weights_close(&golden);
    return 0;
}

/* Field `name` of case i, or NULL. */
static const char *field(int i, const char *name)
{
    char key[32];
    snprintf(key, sizeof key, "%d.%s", i, name);
    return sdg_weights_metadata(&golden, key);
}

static double number(int i, const char *name)
{
    const char *text = field(i, name);
    return text ? strtod(text, NULL) : 0;
}

static char *make(int i)
{
    const struct sdg_infotext info = {
        .prompt = field(i, "prompt"),
        .negative = field(i, "negative"),
        .steps = (int)number(i, "steps"),
        .width = (int)number(i, "width"),
        .height = (int)number(i, "height"),
        .sampler = field(i, "sampler"),
        .schedule = field(i, "schedule"),
        .cfg_scale = number(i, "cfg"),
        .seed = strtoll(field(i, "seed"), NULL, 10),
        .model_hash = field(i, "model_hash"),
        .model = field(i, "model"),
        .vae_hash = field(i, "vae_hash"),
        .vae = field(i, "vae"),
        /* 1 is the model's own, which is not said */
        .clip_skip = number(i, "clip_skip") > 1 ? (int)number(i, "clip_skip") : 0,
        .has_eta = field(i, "eta") != NULL,
        .eta = number(i, "eta"),
        .eta_name = field(i, "eta_name"),
        .emphasis = field(i, "emphasis"),
        .rng = field(i, "rng"),
    };
    return sdg_infotext_make(&info);
}

/* Cuts ", Version: ..." off: goldens outlive versions. */
static char *without_version(const char *text)
{
    const char *end = NULL;
    for (const char *s = text; (s = strstr(s, ", Version: sdgen ")) != NULL; s++) end = s;
    if (!end) fail_msg("no version in: %s", text);
    return strndup(text, (size_t)(end - text));
}

static void texts_are_those_of_a1111(void **state)
{
    (void)state;
    const int cases = atoi(test_metadata(&golden, "cases"));
    assert_true(cases >= 10);
    for (int i = 0; i < cases; i++) {
        char *text = make(i);
        assert_non_null(text);
        char *got = without_version(text), *want = without_version(field(i, "text"));
        assert_string_equal(got, want);
        free(got);
        free(want);
        free(text);
    }
}

static void version_is_the_programs(void **state)
{
    (void)state;
    char *text = make(0);
    const char *tail = ", Version: sdgen " SDGEN_VERSION;
    assert_non_null(text);
    assert_string_equal(text + strlen(text) - strlen(tail), tail);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_of_a1111),
        cmocka_unit_test(version_is_the_programs),
    };
    return cmocka_run_group_tests_name("infotext", tests, open_golden, close_golden);
}
