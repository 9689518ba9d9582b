/* test_facts.c - what shapes do not tell (weights/facts.h), each witness by itself: flags,
 * metadata, configurations beside the weights, the statistic of SD2's two trainings. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "weights/facts.h"
#include "weights/family.h"
#include "weights/keys.h"
#include "files/read.h"

/* ---- weights in memory ---- */

static void begin(struct sdg_weights *w)
{
    *w = (struct sdg_weights) {.path = strdup("in memory")};
}

static void add(struct sdg_weights *w, const char *name, const float *values, int64_t count)
{
    struct sdg_entry *e;
    char *room;
    sdgen_error err = {0};
    assert_int_equal(sdg_weights_add(&e, &room, w, strlen(name), &err), SDGEN_OK);
    strcpy(room, name);
    e->tensor = (struct sdg_tensor) {values, SDG_F32, 1, {count}};
    assert_int_equal(sdg_weights_sort(w, &err), SDGEN_OK);
}

/* One text or metadata entry is all that a case needs. */
static struct sdg_sidetext one_text;
static struct sdg_metadata one_entry;

static void add_text(struct sdg_weights *w, const char *name, const char *text)
{
    one_text = (struct sdg_sidetext) {name, text};
    w->texts = &one_text;
    w->text_count = 1;
}

static void add_metadata(struct sdg_weights *w, const char *key, const char *value)
{
    one_entry = (struct sdg_metadata) {key, value};
    w->metadata = &one_entry;
    w->metadata_count = 1;
}

static void end(struct sdg_weights *w)
{
    w->texts = NULL;
    w->metadata = NULL;
    sdg_weights_close(w);
}

static void find(struct sdg_facts *facts, enum sdg_family family, const struct sdg_weights *w)
{
    const struct sdg_finding found = {.kind = SDG_KIND_CHECKPOINT,
                                      .family = family,
                                      .label = family == SDG_FAMILY_SDXL ? SDG_LABEL_SIZES
                                                                         : SDG_LABEL_NONE};
    sdg_facts_find(facts, &found, w, w, w, 8);
}

static bool says(const struct sdg_facts *f, const char *words)
{
    for (int i = 0; i < f->evidence_count; i++)
        if (strstr(f->evidence[i], words)) return true;
    return false;
}

/* ---- cases ---- */

/* ComfyUI's threshold is 0.09, on the biased standard deviation. */
static void test_statistic(void **state)
{
    static const char name[] = SDG_KEY_UNET "output_blocks.11.1.transformer_blocks.0.norm1.bias";
    static const float narrow[] = {0.589f, 0.411f, 0.589f, 0.411f}; /* 0.089 about 0.5 */
    static const float wide[] = {0.591f, 0.409f, 0.591f, 0.409f};
    struct sdg_weights w;
    struct sdg_facts f;
    (void)state;
    begin(&w);
    add(&w, name, narrow, 4);
    find(&f, SDG_FAMILY_SD2, &w);
    assert_int_equal(f.target, SDG_TARGET_EPS);
    assert_int_equal(f.native_width, 512);
    assert_true(says(&f, "0.0890: epsilon"));
    end(&w);
    begin(&w);
    add(&w, name, wide, 4);
    find(&f, SDG_FAMILY_SD2, &w);
    assert_int_equal(f.target, SDG_TARGET_V);
    assert_int_equal(f.native_width, 768);
    assert_true(says(&f, "0.0910: v-prediction"));
    find(&f, SDG_FAMILY_SD1, &w); /* it tells nothing about another family */
    assert_int_equal(f.target, SDG_TARGET_EPS);
    add_metadata(&w, "modelspec.prediction_type", "epsilon"); /* who knows is believed */
    find(&f, SDG_FAMILY_SD2, &w);
    assert_int_equal(f.target, SDG_TARGET_EPS);
    end(&w);
}

static void test_flags(void **state)
{
    static const float zero[] = {0}, low[] = {0.01f}, high[] = {200};
    static const float mean[] = {-1.6574f, 1.886f, -1.383f, 2.5155f};
    static const float std[] = {8.4927f, 5.9022f, 6.5498f, 5.2299f};
    struct sdg_weights w;
    struct sdg_facts f;
    (void)state;
    begin(&w);
    add(&w, "v_pred", zero, 0);
    add(&w, "ztsnr", zero, 0);
    find(&f, SDG_FAMILY_SDXL, &w);
    assert_int_equal(f.target, SDG_TARGET_V);
    assert_true(f.zero_terminal_snr && f.zero_empty_prompt && f.sigma_max == 0);
    add(&w, "edm_vpred.sigma_max", high, 1);
    add(&w, "edm_vpred.sigma_min", low, 1);
    find(&f, SDG_FAMILY_SDXL, &w);
    assert_int_equal(f.target, SDG_TARGET_EDM_V);
    assert_true(f.sigma_max == 200 && f.sigma_min == 0.01f && f.sigma_data == 1);
    assert_true(f.latent_scale == 0.13025f && f.latent_std[3] == 1 && f.latent_mean[0] == 0);
    add(&w, "edm_mean", mean, 4);
    add(&w, "edm_std", std, 4);
    find(&f, SDG_FAMILY_SDXL, &w);
    assert_int_equal(f.target, SDG_TARGET_EDM);
    assert_true(f.sigma_max == 80 && f.sigma_min == 0.002f && f.sigma_data == 0.5f);
    assert_true(f.latent_scale == 0.5f && f.latent_mean[2] == mean[2] && f.latent_std[1] == std[1]);
    end(&w);
}

static void test_scheduler(void **state)
{
    struct sdg_scheduler_facts s;
    struct sdg_weights w;
    struct sdg_facts f;
    (void)state;
    sdg_scheduler_read(&s, "{\"_class_name\":\"DDIMScheduler\",\"beta_start\":0.00085,"
                           "\"steps_offset\":1,\"set_alpha_to_one\":false,\"solver_order\":\"2\","
                           "\"rescale_betas_zero_snr\":true,\"timestep_spacing\":\"trailing\"}");
    assert_true(s.there);
    assert_string_equal(s.class_name, "DDIMScheduler");
    assert_string_equal(s.timestep_spacing, "trailing");
    assert_string_equal(s.beta_schedule, "");
    assert_true(s.beta_start == 0.00085 && isnan(s.beta_end));
    assert_int_equal(s.steps_offset, 1);
    assert_int_equal(s.solver_order, -1); /* a text is no number */
    assert_int_equal(s.set_alpha_to_one, 0);
    assert_int_equal(s.rescale_betas_zero_snr, 1);
    assert_int_equal(s.skip_prk_steps, -1);
    sdg_scheduler_read(&s, "[]");
    assert_false(s.there);
    sdg_scheduler_read(&s, "{");
    assert_false(s.there);
    sdg_scheduler_read(&s, NULL);
    assert_false(s.there);

    static const struct {
        const char *text;
        enum sdg_target target;
        bool zero_snr;
    } cases[] = {
        {"{\"prediction_type\":\"v_prediction\",\"rescale_betas_zero_snr\":true}", SDG_TARGET_V,
         true},
        {"{\"prediction_type\":\"sample\"}", SDG_TARGET_X0, false},
        {"{\"_class_name\":\"EDMEulerScheduler\",\"prediction_type\":\"v_prediction\","
         "\"sigma_max\":120.0}",
         SDG_TARGET_EDM_V, false},
        {"{\"_class_name\":\"EDMDPMSolverMultistepScheduler\",\"prediction_type\":\"epsilon\"}",
         SDG_TARGET_EDM, false},
        {"{\"prediction_type\":7}", SDG_TARGET_EPS, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&w);
        add_text(&w, "scheduler/scheduler_config.json", cases[i].text);
        find(&f, SDG_FAMILY_SDXL, &w);
        assert_int_equal(f.target, cases[i].target);
        assert_int_equal(f.zero_terminal_snr, cases[i].zero_snr);
        end(&w);
    }
}

static void test_configurations(void **state)
{
    struct sdg_weights w;
    struct sdg_facts f;
    (void)state;
    begin(&w);
    add_text(&w, "vae/config.json",
             "{\"scaling_factor\":0.5,\"latents_mean\":[1,2,3,4],\"latents_std\":[5,6,7,8]}");
    find(&f, SDG_FAMILY_SDXL, &w);
    assert_true(f.latent_scale == 0.5f && f.latent_mean[3] == 4 && f.latent_std[0] == 5);
    add_text(&w, "config.json", "{\"scaling_factor\":-1,\"latents_mean\":[1,2],\"latents_std\":0}");
    find(&f, SDG_FAMILY_SD1, &w);
    assert_true(f.latent_scale == 0.18215f && f.latent_mean[0] == 0 && f.latent_std[0] == 1);
    add_text(&w, "unet/config.json", "{\"sample_size\":96}");
    find(&f, SDG_FAMILY_SD1, &w);
    assert_int_equal(f.native_width, 768);
    add_text(&w, "unet/config.json", "{\"sample_size\":1e9}");
    find(&f, SDG_FAMILY_SDXL, &w);
    assert_int_equal(f.native_width, 1024);
    add_text(&w, "model_index.json",
             "{\"force_zeros_for_empty_prompt\":false,"
             "\"_name_or_path\":\"someone/sdxl-turbo\"}");
    find(&f, SDG_FAMILY_SDXL, &w);
    assert_false(f.zero_empty_prompt);
    assert_int_equal(f.distilled, SDG_DISTILLED_TURBO);
    end(&w);
}

static void test_few_steps(void **state)
{
    static const struct {
        const char *title;
        enum sdg_distilled distilled;
    } cases[] = {{"Stable Diffusion XL Turbo", SDG_DISTILLED_TURBO},
                 {"sdxl_lightning_4step", SDG_DISTILLED_LIGHTNING},
                 {"Turbografx", SDG_DISTILLED_NO},
                 {"LCM Dreamshaper", SDG_DISTILLED_LCM},
                 {"Hyper-SD", SDG_DISTILLED_HYPER},
                 {"hyperrealism", SDG_DISTILLED_NO},
                 {"", SDG_DISTILLED_NO}};
    static const float zero[1] = {0};
    struct sdg_weights w;
    struct sdg_facts f;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&w);
        add_metadata(&w, "modelspec.title", cases[i].title);
        find(&f, SDG_FAMILY_SDXL, &w);
        assert_int_equal(f.distilled, cases[i].distilled);
        end(&w);
    }
    begin(&w);
    add(&w, SDG_KEY_UNET "time_embed.cond_proj.weight", zero, 1);
    find(&f, SDG_FAMILY_SD1, &w);
    assert_int_equal(f.distilled, SDG_DISTILLED_LCM);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistic), cmocka_unit_test(test_flags),
        cmocka_unit_test(test_scheduler), cmocka_unit_test(test_configurations),
        cmocka_unit_test(test_few_steps),
    };
    return cmocka_run_group_tests_name("facts", tests, NULL, NULL);
}
