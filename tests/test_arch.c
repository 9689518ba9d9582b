/* test_arch.c - plans of networks read back from files that the networks' own walks have written:
 * the real SD1.5, whose parameter counts are known, the UNets of all families, small ones of every
 * form, damaged and impossible ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/blankfile.h"
#include "tests/support/testmodel.h"
#include "weights/arch.h"
#include "weights/arch_names.h"

#define CLIP "cond_stage_model.transformer."
#define UNET "model.diffusion_model."
#define VAE "first_stage_model."

static void open_blank(struct sdg_weights *w, struct test_blank *b)
{
    sdgen_error err = {0};
    test_blank_write(b);
    if (sdg_weights_open(w, b->path, &err) != SDGEN_OK) fail_msg("%s", err.text);
}

static void close_blank(struct sdg_weights *w, struct test_blank *b)
{
    sdg_weights_close(w);
    test_blank_remove(b);
}

#define EXPECT_OK(call)                                   \
    do {                                                  \
        sdgen_error err = {0};                            \
        if ((call) != SDGEN_OK) fail_msg("%s", err.text); \
    } while (0)

/* ---- a list of what a walk asks for ---- */

struct names {
    struct sdg_binder binder;
    char name[1024][96];
    size_t count;
};

static void want_name(struct sdg_binder *self, const char *name, const int64_t *shape, int rank,
                      unsigned flags, struct sdg_tensor *slot)
{
    struct names *n = (struct names *)self;
    (void)shape, (void)rank, (void)flags;
    *slot = (struct sdg_tensor) {0};
    assert_true(n->count < 1024);
    snprintf(n->name[n->count++], sizeof n->name[0], "%s", name);
}

static void list_unet(struct names *n, const struct sdg_unet_config *c)
{
    struct sdg_arena arena;
    struct sdg_unet unet;
    *n = (struct names) {.binder = {want_name}};
    EXPECT_OK(sdg_unet_arena_create(&arena, &err));
    EXPECT_OK(sdg_unet_bind(&unet, c, &n->binder, &arena, &err));
    sdg_arena_destroy(&arena);
}

static void list_vae(struct names *n, const struct sdg_vae_config *c)
{
    static struct sdg_vae vae;
    *n = (struct names) {.binder = {want_name}};
    sdg_vae_bind(&vae, c, &n->binder);
}

static bool same_plan(const struct sdg_unet_config *a, const struct sdg_unet_config *b)
{
    const size_t first = offsetof(struct sdg_unet_config, linear_projection); /* padding behind */
    return memcmp(a, b, first) == 0 && a->linear_projection == b->linear_projection &&
           memcmp(a->heads, b->heads, sizeof a->heads) == 0 && a->middle_heads == b->middle_heads;
}

static void expect_unet(const struct sdg_unet_config *want)
{
    struct test_blank b;
    struct sdg_weights w;
    struct sdg_unet_config got;
    test_blank_begin(&b);
    test_blank_model(&b, NULL, want, NULL);
    open_blank(&w, &b);
    EXPECT_OK(sdg_arch_unet(&got, &w, UNET, &err));
    if (!same_plan(&got, want)) fail_msg("another plan than the one written");
    close_blank(&w, &b);
}

static void expect_vae(const struct sdg_vae_config *want)
{
    struct test_blank b;
    struct sdg_weights w;
    struct sdg_vae_config got;
    test_blank_begin(&b);
    test_blank_model(&b, NULL, NULL, want);
    open_blank(&w, &b);
    EXPECT_OK(sdg_arch_vae(&got, &w, VAE, &err));
    assert_memory_equal(&got, want, offsetof(struct sdg_vae_config, has_encoder));
    assert_int_equal(got.has_encoder, want->has_encoder);
    close_blank(&w, &b);
}

/* Tensors and parameters of Stable Diffusion 1.5, as the published checkpoint has them. */
static void test_sd15_counts(void **state)
{
    static const struct {
        const struct sdg_clip_config *clip;
        const struct sdg_unet_config *unet;
        const struct sdg_vae_config *vae;
        size_t tensors, parameters;
    } known[] = {{&test_sd15_clip, NULL, NULL, 196, 123060480},
                 {NULL, &test_sd15_unet, NULL, 686, 859520964},
                 {NULL, NULL, &test_sd15_vae, 248, 83653863}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct test_blank b;
        test_blank_begin(&b);
        test_blank_model(&b, known[i].clip, known[i].unet, known[i].vae);
        assert_int_equal(b.count, known[i].tensors);
        assert_int_equal(b.parameters, known[i].parameters);
        test_blank_remove(&b);
    }
}

static void test_sd15(void **state)
{
    struct test_blank b;
    struct sdg_weights w;
    struct sdg_clip_config clip;
    (void)state;
    expect_unet(&test_sd15_unet);
    expect_vae(&test_sd15_vae);
    test_blank_begin(&b);
    test_blank_model(&b, &test_sd15_clip, &test_sd15_unet, &test_sd15_vae);
    open_blank(&w, &b);
    EXPECT_OK(sdg_arch_clip(&clip, &w, CLIP, false, &err));
    assert_memory_equal(&clip, &test_sd15_clip, sizeof clip);
    close_blank(&w, &b);
}

static void set_depth(struct sdg_unet_config *c, int level, int depth)
{
    for (int i = 0; i < SDG_UNET_MAX_PER_LEVEL; i++) {
        c->depth_in[level][i] = i < c->blocks[level] ? depth : 0;
        c->depth_out[level][i] = i <= c->blocks[level] ? depth : 0;
    }
}

static void test_unets_of_other_forms(void **state)
{
    struct sdg_unet_config c = test_small_unet;
    (void)state;
    expect_unet(&c);
    c.middle_depth = 3; /* deep transformers, nine input channels, four resblocks a level */
    c.in_channels = 9;
    c.blocks[0] = c.blocks[1] = 4;
    set_depth(&c, 0, 0);
    set_depth(&c, 1, 2);
    expect_unet(&c);
    c.middle_depth = 0; /* transformers on the first level only */
    set_depth(&c, 0, 16);
    set_depth(&c, 1, 0);
    expect_unet(&c);
    c = test_small_unet; /* linear projections: heads of 64 */
    c.linear_projection = true;
    c.channels[0] = 64, c.channels[1] = 128;
    set_depth(&c, 0, 1);
    c.heads[0] = 1, c.heads[1] = 2, c.middle_heads = 2;
    expect_unet(&c);
    c = test_small_unet; /* one level, and the most that there can be */
    c.levels = 1;
    c.channels[1] = c.blocks[1] = c.heads[1] = 0;
    set_depth(&c, 1, 0);
    expect_unet(&c);
    c.levels = SDG_UNET_MAX_LEVELS;
    for (int l = 0; l < c.levels; l++) {
        c.channels[l] = 32 + 32 * (l % 3);
        c.blocks[l] = 1 + l % 4;
        c.heads[l] = 8;
    }
    c.time_width = 77;
    expect_unet(&c);
}

/* The UNet of every family, full size: as many tensors and parameters as the published files have,
 * (SD1, SD2, SDXL, refiner, BK-SDM) or as diffusers builds from the same configuration, and its
 * plan read back from names and shapes. */
static void test_families(void **state)
{
    static const struct {
        const char *name;
        size_t tensors, parameters;
    } published[] = {{"sd1", 686, 859520964},         {"sd1_inpaint", 686, 859535364},
                     {"sd1_pix2pix", 686, 859532484}, {"sd2", 686, 865910724},
                     {"sdxl", 1680, 2567463684},      {"refiner", 1220, 2259526660},
                     {"bk_base", 442, 579384964},     {"bk_small", 396, 482346884},
                     {"bk_tiny", 358, 323384964},     {"bk_v2_tiny", 358, 326825604},
                     {"ssd_1b", 944, 1331334404},     {"vega", 564, 745225604},
                     {"koala_700m", 584, 782822724},  {"koala_1b", 790, 1161184324}};
    enum { KNOWN = sizeof published / sizeof published[0], MOST = 64 };
    static struct test_family families[MOST];
    const int count = test_families_read(families, MOST);
    int seen = 0;
    (void)state;
    for (int i = 0; i < count; i++) {
        struct test_blank b;
        test_blank_begin(&b);
        test_blank_model(&b, NULL, &families[i].unet, NULL);
        for (int k = 0; k < KNOWN; k++) {
            if (strcmp(families[i].name, published[k].name) != 0) continue;
            seen++;
            if (b.count != published[k].tensors || b.parameters != published[k].parameters)
                fail_msg("%s: %zu tensors, %zu parameters", published[k].name, b.count,
                         b.parameters);
        }
        test_blank_remove(&b);
        expect_unet(&families[i].unet);
    }
    assert_int_equal(seen, KNOWN);
}

/* The rank of the projections tells the heads only where the context does not. */
static void test_heads(void **state)
{
    static const struct {
        int context;
        bool linear;
        int heads; /* of 128 channels */
    } cases[] = {{768, false, 8},  {768, true, 8},  {1024, false, 2}, {1024, true, 2},
                 {1280, false, 2}, {1280, true, 2}, {2048, false, 2}, {2048, true, 2},
                 {64, false, 8},   {64, true, 2}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sdg_unet_config c = test_small_unet;
        c.channels[0] = c.channels[1] = 128;
        c.context = cases[i].context;
        c.linear_projection = cases[i].linear;
        c.heads[0] = c.heads[1] = c.middle_heads = cases[i].heads;
        expect_unet(&c);
    }
}

/* A folder's configuration says the number of heads; one that makes no sense is not listened to. */
static void test_configured_heads(void **state)
{
    static const struct {
        const char *text;
        int heads[4], middle;
    } cases[] = {
        {"{\"attention_head_dim\": [5, 10, 20, 20]}", {5, 10, 20, 20}, 20},
        {"{\"attention_head_dim\": 8, \"num_attention_heads\": [4, 4, 4, 16]}", {4, 4, 4, 16}, 16},
        {"{\"attention_head_dim\": 4, \"num_attention_heads\": null}", {4, 4, 4, 4}, 4},
        {"{\"attention_head_dim\": [5, 10, 20]}", {8, 8, 8, 8}, 8},
        {"{\"attention_head_dim\": 7}", {8, 8, 8, 8}, 8},
        {"{\"attention_head_dim\": [0, -1, 1, 1]}", {8, 8, 8, 8}, 8},
        {"[]", {8, 8, 8, 8}, 8},
    };
    struct test_blank b;
    struct sdg_weights w;
    struct sdg_unet_config unet;
    (void)state;
    test_blank_begin(&b);
    test_blank_model(&b, NULL, &test_sd15_unet, NULL);
    open_blank(&w, &b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sdg_sidetext text = {"config.json", cases[i].text};
        w.texts = &text;
        w.text_count = 1;
        EXPECT_OK(sdg_arch_unet(&unet, &w, UNET, &err));
        for (int l = 0; l < 4; l++) assert_int_equal(unet.heads[l], cases[i].heads[l]);
        assert_int_equal(unet.middle_heads, cases[i].middle);
    }
    w.texts = NULL;
    sdg_weights_close(&w);
    test_blank_remove(&b);
}

/* No single tensor that is missing or has another shape may bend the plan: the binder is to say
 * what is wrong with it, not the plan. Only three widths are in one tensor alone. */
static void test_one_bad_tensor_bends_no_plan(void **state)
{
    static const char *const sole[] = {"input_blocks.0.0.weight", "label_emb.0.0.weight",
                                       "time_embed.cond_proj.weight"};
    struct test_layout l;
    static struct names names;
    (void)state;
    test_layout_read(&l, "sdxs"); /* a transformer at each level, one without self-attention */
    l.unet.label = 160;
    l.unet.time_cond = 48;
    l.unet.middle = 2;
    l.unet.middle_depth = 1;
    list_unet(&names, &l.unet);
    for (int bent = -1; bent <= 1; bent++) { /* -1: missing; else the extent that is off */
        for (size_t i = 0; i < names.count; i++) {
            char full[256];
            bool only_witness = false;
            struct test_blank b;
            struct sdg_weights w;
            struct sdg_unet_config got;
            for (size_t k = 0; k < 3; k++) only_witness |= strcmp(names.name[i], sole[k]) == 0;
            if (only_witness) continue;
            snprintf(full, sizeof full, UNET "%s", names.name[i]);
            test_blank_begin(&b);
            b.drop = bent < 0 ? full : NULL;
            b.bend = bent < 0 ? NULL : full;
            b.bend_at = bent < 0 ? 0 : bent;
            test_blank_model(&b, NULL, &l.unet, NULL);
            open_blank(&w, &b);
            EXPECT_OK(sdg_arch_unet(&got, &w, UNET, &err));
            if (!same_plan(&got, &l.unet)) fail_msg("%s bends the plan", full);
            close_blank(&w, &b);
        }
    }
}

/* The same of a VAE. */
static void test_one_bad_tensor_bends_no_vae(void **state)
{
    static struct names names;
    const struct sdg_vae_config c = test_small_vae;
    (void)state;
    list_vae(&names, &c);
    for (int bent = -1; bent <= 1; bent++) {
        for (size_t i = 0; i < names.count; i++) {
            char full[256];
            struct test_blank b;
            struct sdg_weights w;
            struct sdg_vae_config got;
            snprintf(full, sizeof full, VAE "%s", names.name[i]);
            test_blank_begin(&b);
            b.drop = bent < 0 ? full : NULL;
            b.bend = bent < 0 ? NULL : full;
            b.bend_at = bent < 0 ? 0 : bent;
            test_blank_model(&b, NULL, NULL, &c);
            open_blank(&w, &b);
            EXPECT_OK(sdg_arch_vae(&got, &w, VAE, &err));
            if (memcmp(&got, &c, offsetof(struct sdg_vae_config, has_encoder)) != 0)
                fail_msg("%s bends the plan", full);
            close_blank(&w, &b);
        }
    }
}

static void test_vaes_of_other_forms(void **state)
{
    struct sdg_vae_config c = test_small_vae;
    (void)state;
    expect_vae(&c);
    c.has_encoder = false;
    c.z_channels = 16;
    expect_vae(&c);
    c.levels = 1;
    c.channels[1] = 0;
    c.image_channels = 4;
    expect_vae(&c);
    c.levels = SDG_VAE_MAX_LEVELS;
    c.blocks = SDG_VAE_MAX_BLOCKS;
    c.has_encoder = true;
    for (int l = 0; l < c.levels; l++) c.channels[l] = 32;
    expect_vae(&c);
}

/* ---- what is refused ---- */

/* A small, whole model with one more tensor of zeros, or with one left out or bent. */
struct mischief {
    const char *add;
    int64_t shape[2];
    const char *drop, *bend;
    const char *complaint; /* must be in the message */
};

static void expect_refusal(const struct mischief *m)
{
    struct test_blank b;
    struct sdg_weights w;
    sdgen_error err = {0};
    struct sdg_clip_config clip;
    struct sdg_unet_config unet;
    struct sdg_vae_config vae;
    test_blank_begin(&b);
    b.drop = m->drop;
    b.bend = m->bend;
    test_blank_model(&b, &test_small_clip, &test_small_unet, &test_small_vae);
    if (m->add) test_blank_add(&b, m->add, SDG_F16, m->shape, 2);
    open_blank(&w, &b);
    sdgen_status status = sdg_arch_clip(&clip, &w, CLIP, false, &err);
    if (status == SDGEN_OK) status = sdg_arch_unet(&unet, &w, UNET, &err);
    if (status == SDGEN_OK) status = sdg_arch_vae(&vae, &w, VAE, &err);
    if (status != SDGEN_ERR_MODEL || !strstr(err.text, m->complaint))
        fail_msg("wanted a complaint about %s, got status %d: %s", m->complaint, (int)status,
                 err.text);
    assert_non_null(strstr(err.text, b.path));
    close_blank(&w, &b);
}

static void test_refusals(void **state)
{
    static const struct mischief all[] = {
        /* more than there is room for */
        {UNET "input_blocks.48.0.op.weight", {0, 0}, NULL, NULL, "input_blocks.48.0.op"},
        {UNET "output_blocks.999999999999999999999.0.x", {0, 0}, NULL, NULL, "more blocks"},
        {UNET "middle_block.1.transformer_blocks.16.x", {0, 0}, NULL, NULL, "more blocks"},
        {UNET "output_blocks.0.1.transformer_blocks.4294967296.x",
         {0, 0},
         NULL,
         NULL,
         "more blocks"},
        {CLIP "text_model.encoder.layers.64.mlp.fc1.bias", {0, 0}, NULL, NULL, "more layers"},
        {VAE "decoder.up.8.block.0.x", {0, 0}, NULL, NULL, "decoder.up.8"},
        {VAE "decoder.up.0.block.9.x", {0, 0}, NULL, NULL, "decoder.up.0.block.9"},
        {VAE "encoder.down.1.attn.0.q.weight", {0, 0}, NULL, NULL, "attention only in the middle"},
        /* blocks that do not fit the others */
        {UNET "input_blocks.5.0.in_layers.0.weight",
         {0, 0},
         NULL,
         NULL,
         "input_blocks.4 is missing"},
        {UNET "input_blocks.4.0.in_layers.0.weight",
         {0, 0},
         NULL,
         NULL,
         "output_blocks has 4 entries"},
        {UNET "input_blocks.4.0.op.weight", {0, 0}, NULL, NULL, "ends a level of"},
        {UNET "output_blocks.4.0.in_layers.0.weight", {0, 0}, NULL, NULL, "has 5 entries"},
        {UNET "output_blocks.2.1.conv.weight", {0, 0}, NULL, NULL, "output_blocks.2 ends a level"},
        {VAE "encoder.down.2.block.0.x", {0, 0}, NULL, NULL, "3 levels"},
        {VAE "encoder.down.1.block.1.x", {0, 0}, NULL, NULL, "2 resblocks, not 1"},
        {VAE "decoder.up.1.block.2.x", {0, 0}, NULL, NULL, "3 resblocks, not 2"},
        {UNET "time_embed.cond_proj.weight", {32, 3}, NULL, NULL, "embedded in 3 values"},
        {UNET "label_emb.0.2.bias", {0, 0}, NULL, NULL, "label_emb.0.0.weight"},
        /* the only witness of a width is gone */
        {NULL, {0}, UNET "input_blocks.0.0.weight", NULL, "input_blocks.0.0.weight"},
        {NULL,
         {0},
         CLIP "text_model.embeddings.token_embedding.weight",
         NULL,
         "token_embedding.weight"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) expect_refusal(&all[i]);
}

/* Widths that no layer has: absurd, zero, of no whole groups, of no whole heads. */
static void test_absurd_widths(void **state)
{
    static const struct sdg_width_rule rule = {{{"a", 0}, {"b", 1}, {"c", 0}}, 32};
    static const struct {
        int64_t a, b, c;
        int want; /* 0: refused */
    } cases[] = {
        {64, 64, 64, 64}, {96, 64, 64, 64},  {64, 96, 64, 64},
        {64, 64, 96, 64}, {64, 96, 128, 64}, {0, 0, 64, 0},
        {64, 0, 0, 0},    {48, 48, 64, 0},   {INT64_C(1) << 40, 0, 32, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_blank b;
        struct sdg_weights w;
        sdgen_error err = {0};
        int width = 0;
        test_blank_begin(&b);
        /* no data: each has a zero extent beside the one that is looked at */
        test_blank_add(&b, "p.x.a", SDG_F32, (const int64_t[]) {cases[i].a, 0}, 2);
        test_blank_add(&b, "p.x.b", SDG_F32, (const int64_t[]) {0, cases[i].b}, 2);
        test_blank_add(&b, "p.x.c", SDG_F32, (const int64_t[]) {cases[i].c, 0}, 2);
        open_blank(&w, &b);
        const sdgen_status status = sdg_arch_width(&width, &w, "p.", "x.", &rule, &err);
        assert_int_equal(status, cases[i].want ? SDGEN_OK : SDGEN_ERR_MODEL);
        if (cases[i].want) assert_int_equal(width, cases[i].want);
        assert_int_equal(sdg_arch_width(&width, &w, "q.", "x.", &rule, &err), SDGEN_ERR_MODEL);
        assert_non_null(strstr(err.text, "q.x.a"));
        close_blank(&w, &b);
    }
}

static void test_heads_that_do_not_divide(void **state)
{
    struct sdg_unet_config c = test_small_unet;
    struct test_blank b;
    struct sdg_weights w;
    sdgen_error err = {0};
    (void)state;
    c.linear_projection = true; /* 96 channels are no whole number of heads of 64 */
    test_blank_begin(&b);
    test_blank_model(&b, NULL, &c, NULL);
    open_blank(&w, &b);
    assert_int_equal(sdg_arch_unet(&c, &w, UNET, &err), SDGEN_ERR_MODEL);
    assert_non_null(strstr(err.text, "96 channels"));
    close_blank(&w, &b);
}

static void test_nothing_there(void **state)
{
    struct test_blank b;
    struct sdg_weights w;
    sdgen_error err = {0};
    struct sdg_clip_config clip;
    struct sdg_unet_config unet;
    struct sdg_vae_config vae;
    (void)state;
    test_blank_begin(&b);
    test_blank_add(&b, "x", SDG_F32, NULL, 0);
    open_blank(&w, &b);
    assert_int_equal(sdg_arch_clip(&clip, &w, CLIP, false, &err), SDGEN_ERR_MODEL);
    assert_int_equal(sdg_arch_unet(&unet, &w, UNET, &err), SDGEN_ERR_MODEL);
    assert_int_equal(sdg_arch_vae(&vae, &w, VAE, &err), SDGEN_ERR_MODEL);
    close_blank(&w, &b);
}

static void test_numbers_in_names(void **state)
{
    static const struct {
        const char *name;
        int number; /* -1: none */
    } cases[] = {{"a.0.x", 0},
                 {"a.12.x", 12},
                 {"a.012.x", -1},
                 {"a..x", -1},
                 {"a.-1.x", -1},
                 {"a.1", -1},
                 {"a.1x.y", -1},
                 {"b.1.x", -1},
                 {"a.00.x", -1},
                 {"a.999999.", 999999},
                 {"a.18446744073709551616.x", 999999},
                 {"a.+1.x", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *rest = NULL;
        int number = -1;
        assert_int_equal(sdg_name_number(&rest, &number, cases[i].name, "a."),
                         cases[i].number >= 0);
        assert_int_equal(number, cases[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sd15_counts),
        cmocka_unit_test(test_sd15),
        cmocka_unit_test(test_unets_of_other_forms),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_configured_heads),
        cmocka_unit_test(test_one_bad_tensor_bends_no_plan),
        cmocka_unit_test(test_one_bad_tensor_bends_no_vae),
        cmocka_unit_test(test_vaes_of_other_forms),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_absurd_widths),
        cmocka_unit_test(test_heads_that_do_not_divide),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_numbers_in_names),
    };
    return cmocka_run_group_tests_name("arch", tests, NULL, NULL);
}
