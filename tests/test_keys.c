/* test_keys.c - canonical names (weights/keys.h): against diffusers' and transformers' own
 * converters (tests/golden/keys.tsv, from tools/golden_keys.py), from every spelling back to
 * themselves. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/families.h"
#include "weights/arch_names.h"
#include "weights/keys.h"
#include "files/sha256.h"

/* ---- lists of names ---- */

struct names {
    char **text;
    size_t count, room;
};

static void names_add(struct names *n, const char *name)
{
    if (n->count == n->room) {
        n->room = n->room ? 2 * n->room : 256;
        n->text = realloc(n->text, n->room * sizeof *n->text);
        assert_non_null(n->text);
    }
    n->text[n->count] = strdup(name);
    assert_non_null(n->text[n->count++]);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *n)
{
    if (n->count) qsort(n->text, n->count, sizeof *n->text, compare);
}

static void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->text[i]);
    free(n->text);
    *n = (struct names) {0};
}

static void names_of(struct names *n, const struct sdg_weights *w)
{
    for (size_t i = 0; i < w->count; i++) names_add(n, w->entries[i].name);
    names_sort(n);
}

static void expect_same(const struct names *found, const struct names *wanted, const char *what)
{
    for (size_t i = 0; i < found->count && i < wanted->count; i++)
        if (strcmp(found->text[i], wanted->text[i]) != 0)
            fail_msg("%s: found %s, want %s", what, found->text[i], wanted->text[i]);
    if (found->count != wanted->count)
        fail_msg("%s: %zu names, want %zu", what, found->count, wanted->count);
}

/* ---- files ---- */

typedef bool spell_fn(char *spelt, size_t size, const char *name);

static void open_as(struct sdg_weights *w, struct test_blank *b, const struct test_family *f,
                    spell_fn *spell, const char *only)
{
    sdgen_error err = {0};
    test_blank_begin(b);
    b->spell = spell;
    b->only = only;
    test_family_add(b, f);
    test_blank_write(b);
    if (sdg_weights_open(w, b->path, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static void close_both(struct sdg_weights *w, struct test_blank *b)
{
    sdg_weights_close(w);
    test_blank_remove(b);
}

/* ---- against the originals ---- */

/* The lines that golden_keys.py hashes, for the tensors below one prefix. */
static void list_spelt(struct names *n, const struct sdg_weights *w, const char *prefix,
                       bool with_single)
{
    struct sdg_speller *s;
    sdgen_error err = {0};
    assert_int_equal(sdg_speller_create(&s, w, &err), SDGEN_OK);
    for (size_t i = 0; i < w->count; i++) {
        struct sdg_spelt single, folder;
        char line[2 * SDG_KEY_SIZE + 2];
        const char *name = w->entries[i].name, *rest = sdg_name_after(name, prefix);
        if (!rest) continue;
        assert_true(sdg_speller_spell(&single, s, name, SDG_SPELL_SINGLE));
        assert_true(sdg_speller_spell(&folder, s, name, SDG_SPELL_FOLDER));
        const char *below = sdg_name_after(single.name, "conditioner.embedders.1.model.");
        if (!below) below = sdg_name_after(single.name, prefix);
        assert_non_null(below);
        snprintf(line, sizeof line, "%s%s%s", with_single ? below : "", with_single ? "\t" : "",
                 folder.name);
        names_add(n, line);
    }
    sdg_speller_destroy(s);
    names_sort(n);
}

static void hash_of(char hex[SDG_SHA256_HEX], const struct names *n)
{
    struct sdg_sha256 hash;
    sdg_sha256_init(&hash);
    for (size_t i = 0; i < n->count; i++) {
        sdg_sha256_update(&hash, n->text[i], strlen(n->text[i]));
        sdg_sha256_update(&hash, "\n", 1);
    }
    sdg_sha256_hex(hex, &hash);
}

static void test_originals(void **state)
{
    char kind[8], family[32], component[8], want[SDG_SHA256_HEX], found[SDG_SHA256_HEX];
    size_t count, rows = 0;
    FILE *golden = fopen("tests/golden/keys.tsv", "r");
    (void)state;
    assert_non_null(golden);
    while (fscanf(golden, "%7s %31s %7s %zu %64s", kind, family, component, &count, want) == 5) {
        const char *prefix = strcmp(component, "unet") == 0  ? SDG_KEY_UNET
                             : strcmp(component, "vae") == 0 ? SDG_KEY_VAE
                                                             : SDG_KEY_CLIP_1;
        struct test_family f;
        struct test_blank b;
        struct sdg_weights w;
        struct names n = {0};
        test_family_named(&f, family, true);
        for (int i = 0; i < f.clip_count; i++) f.clips[i].layers = 3;
        open_as(&w, &b, &f, NULL, NULL);
        list_spelt(&n, &w, prefix, strcmp(kind, "pairs") == 0);
        hash_of(found, &n);
        if (n.count != count || strcmp(found, want) != 0)
            fail_msg("%s %s: %zu names with hash %s, want %zu with %s", family, component, n.count,
                     found, count, want);
        names_free(&n);
        close_both(&w, &b);
        rows++;
    }
    fclose(golden);
    assert_int_equal(rows, 14);
}

/* Parameters and tensors of the stock models (Stability AI's checkpoints, as published). */
static void test_counts(void **state)
{
    static const struct {
        const char *family, *only;
        size_t parameters, tensors;
    } known[] = {
        {"sd15", SDG_KEY_UNET, 859520964, 686},      {"sd15-inpaint", SDG_KEY_UNET, 859535364, 686},
        {"sd15-edit", SDG_KEY_UNET, 859532484, 686}, {"sd21", SDG_KEY_UNET, 865910724, 686},
        {"sdxl", SDG_KEY_UNET, 2567463684, 1680},    {"refiner", SDG_KEY_UNET, 2259526660, 1220},
        {"sd15", SDG_KEY_VAE, 83653863, 248},        {"sd15", SDG_KEY_CLIP, 123060480, 196},
        {"sd21", SDG_KEY_CLIP, 354032640, 389},      {"sdxl", SDG_KEY_CLIP_0, 123060480, 196},
        {"sdxl", SDG_KEY_CLIP_1, 694659840, 517},
    };
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct test_family f;
        struct test_blank b;
        test_family_named(&f, known[i].family, false);
        test_blank_begin(&b);
        b.only = known[i].only;
        test_family_add(&b, &f);
        if (b.parameters != known[i].parameters || b.count != known[i].tensors)
            fail_msg("%s %s: %zu parameters in %zu tensors", known[i].family, known[i].only,
                     b.parameters, b.count);
        test_blank_remove(&b);
    }
}

/* ---- spellings ---- */

static const struct sdg_speller *speller; /* of the family that is being written */

static bool spell_single(char *spelt, size_t size, const char *name)
{
    struct sdg_spelt s;
    sdg_speller_spell(&s, speller, name, SDG_SPELL_SINGLE);
    snprintf(spelt, size, "%s", s.name);
    return s.third <= 0; /* the fused tensor once */
}

static void spell_with(char *spelt, size_t size, const char *name, const char *const prefixes[4])
{
    static const char *const folders[] = {"unet", "vae", "text_encoder", "text_encoder_2"};
    struct sdg_spelt s;
    int i = 0;
    sdg_speller_spell(&s, speller, name, SDG_SPELL_FOLDER);
    while (strcmp(folders[i], s.folder) != 0) i++;
    snprintf(spelt, size, "%s%s", prefixes[i], s.name);
}

/* Components of diffusers as prefixes. */
static bool spell_flat(char *spelt, size_t size, const char *name)
{
    static const char *const prefixes[] = {"unet.", "vae.", "text_encoder.", "text_encoder_2."};
    spell_with(spelt, size, name, prefixes);
    return true;
}

/* diffusers' names below the prefixes of single files and ComfyUI's. */
static bool spell_mixed(char *spelt, size_t size, const char *name)
{
    static const char *const prefixes[] = {SDG_KEY_UNET, SDG_KEY_VAE,
                                           "text_encoders.clip_l.transformer.", "clip_g."};
    spell_with(spelt, size, name, prefixes);
    return true;
}

static bool is_middle_attention(const char *name)
{
    return strstr(name, "mid.attn_1.") != NULL;
}

/* Before diffusers 0.17 the VAE's attention was named otherwise; and text encoders of transformers
 * 5 have no "text_model.". */
static bool spell_old_and_new(char *spelt, size_t size, const char *name)
{
    static const char *const swaps[][2] = {
        {"to_q.", "query."}, {"to_k.", "key."}, {"to_v.", "value."}, {"to_out.0.", "proj_attn."}};
    char *at;
    spell_flat(spelt, size, name);
    for (int i = 0; i < 4 && is_middle_attention(name); i++)
        if ((at = strstr(spelt, swaps[i][0]))) {
            sprintf(at, "%s%s", swaps[i][1], strrchr(name, '.') + 1);
            break;
        }
    if ((at = strstr(spelt, "text_model."))) memmove(at, at + 11, strlen(at + 11) + 1);
    return true;
}

static void test_spellings(void **state)
{
    static spell_fn *const spells[] = {NULL, spell_single, spell_flat, spell_mixed,
                                       spell_old_and_new};
    (void)state;
    for (int i = 0; i < TEST_FAMILIES; i++) {
        struct test_family f;
        struct test_blank b;
        struct sdg_weights w;
        struct names want = {0};
        struct sdg_speller *s;
        sdgen_error err = {0};
        test_family_make(&f, i, true);
        for (int k = 0; k < f.clip_count; k++) f.clips[k].layers = 2;
        open_as(&w, &b, &f, NULL, NULL);
        names_of(&want, &w);
        assert_int_equal(sdg_speller_create(&s, &w, &err), SDGEN_OK);
        speller = s;
        close_both(&w, &b);
        for (size_t k = 0; k < sizeof spells / sizeof spells[0]; k++) {
            struct names found = {0};
            char what[64];
            open_as(&w, &b, &f, spells[k], NULL);
            if (sdg_keys_canonical(&w, &err) != SDGEN_OK) fail_msg("%s", err.text);
            names_of(&found, &w);
            snprintf(what, sizeof what, "%s, spelling %zu", f.name, k);
            expect_same(&found, &want, what);
            names_free(&found);
            close_both(&w, &b);
        }
        sdg_speller_destroy(s);
        names_free(&want);
    }
}

/* ---- single networks ---- */

static bool spell_bare(char *spelt, size_t size, const char *name)
{
    static const char *const none[] = {"", "", "", ""};
    spell_with(spelt, size, name, none);
    return true;
}

static bool spell_bare_single(char *spelt, size_t size, const char *name)
{
    static const char *const prefixes[] = {SDG_KEY_UNET, SDG_KEY_VAE, "cond_stage_model.model.",
                                           "cond_stage_model.transformer.",
                                           "conditioner.embedders.1.model."};
    char full[SDG_KEY_SIZE];
    const bool kept = spell_single(full, sizeof full, name);
    const char *rest = full;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (sdg_name_after(full, prefixes[i])) rest = sdg_name_after(full, prefixes[i]);
    snprintf(spelt, size, "%s", rest);
    return kept;
}

/* Each network alone in a file, with nothing in front of its names. A text encoder alone is one of
 * SD1's kind, wherever it came from. */
static void test_bare(void **state)
{
    static const struct {
        const char *family, *only;
    } alone[] = {{"sd15", SDG_KEY_UNET}, {"sdxl", SDG_KEY_UNET}, {"ssd-1b", SDG_KEY_UNET},
                 {"sd15", SDG_KEY_VAE},  {"sd15", SDG_KEY_CLIP}, {"sd21", SDG_KEY_CLIP}};
    static spell_fn *const spells[] = {spell_bare, spell_bare_single};
    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++) {
        struct test_family f;
        struct test_blank b;
        struct sdg_weights w;
        struct names want = {0};
        struct sdg_speller *s;
        sdgen_error err = {0};
        test_family_named(&f, alone[i].family, true);
        open_as(&w, &b, &f, NULL, alone[i].only);
        names_of(&want, &w);
        assert_int_equal(sdg_speller_create(&s, &w, &err), SDGEN_OK);
        speller = s;
        close_both(&w, &b);
        for (int k = 0; k < 2; k++) {
            struct names found = {0};
            open_as(&w, &b, &f, spells[k], alone[i].only);
            if (sdg_keys_canonical(&w, &err) != SDGEN_OK) fail_msg("%s", err.text);
            names_of(&found, &w);
            expect_same(&found, &want, alone[i].family);
            names_free(&found);
            close_both(&w, &b);
        }
        sdg_speller_destroy(s);
        names_free(&want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_originals),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_bare),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
