/* test_infotext_parse.c - what pictures say, read: the pictures of tools/golden_infotext.py value
 * by value, and 5,000 random settings written and read again.
 *
 * With a file's name as argument it writes the random settings there, one JSON object a line, for
 * other programs' readers (tools/check_infotext.py); with "-" it reads texts, one JSON string a
 * line, and answers with what it finds in each. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/filemap.h"
#include "image/foreign_readers.h"
#include "image/infotext.h"
#include "image/infotext_parse.h"

#define FOLDER "tests/golden/infotext/"
enum { ROUND_TRIPS = 5000 };

/* ---- pictures ---- */

static cJSON *read_json(const char *path)
{
    struct sdg_filemap map;
    sdgen_error err;
    if (sdg_filemap_open(&map, path, &err) != SDGEN_OK) fail_msg("%s", err.text);
    cJSON *json = cJSON_ParseWithLength((const char *)map.data, map.size);
    sdg_filemap_close(&map);
    assert_non_null(json);
    return json;
}

static void read_picture(struct sdg_settings *s, const char *name)
{
    char path[256];
    struct sdg_filemap map;
    struct sdg_imagetext t = {0};
    const char *text;
    sdgen_error err;
    snprintf(path, sizeof path, FOLDER "%s", name);
    *s = (struct sdg_settings) {0};
    if (sdg_filemap_open(&map, path, &err) != SDGEN_OK ||
        sdg_imagetext_read(&t, map.data, map.size, path, &err) != SDGEN_OK ||
        sdg_settings_read(s, &text, &t, path, &err) != SDGEN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(t.width, 8);
    assert_int_equal(t.height, 8);
    sdg_filemap_close(&map);
    sdg_imagetext_free(&t);
}

/* Takes the pair [name, value] out of the expected unknown ones. */
static bool take_other(cJSON *others, const struct sdg_setting *item)
{
    cJSON *pair;
    cJSON_ArrayForEach(pair, others)
    {
        if (strcmp(cJSON_GetArrayItem(pair, 0)->valuestring, item->name) != 0 ||
            strcmp(cJSON_GetArrayItem(pair, 1)->valuestring, item->value) != 0)
            continue;
        cJSON_Delete(cJSON_DetachItemViaPointer(others, pair));
        return true;
    }
    return false;
}

static void expect(const struct sdg_settings *s, cJSON *want)
{
    cJSON *fields = cJSON_GetObjectItem(want, "fields"),
          *others = cJSON_GetObjectItem(want, "others");
    cJSON *implied = cJSON_GetObjectItem(want, "implied");
    assert_string_equal(sdg_program_name(s->program),
                        cJSON_GetObjectItem(want, "program")->valuestring);
    for (size_t i = 0; i < s->count; i++) {
        const struct sdg_setting *item = &s->items[i];
        const char *name = item->field ? sdg_field_name(item->field) : item->name;
        if (item->field == SDG_FIELD_OTHER && !item->implied) {
            if (!take_other(others, item))
                fail_msg("%s: %s: %s was not in it", want->string, item->name, item->value);
            continue;
        }
        cJSON *value =
            cJSON_DetachItemFromObjectCaseSensitive(item->implied ? implied : fields, name);
        if (!value) fail_msg("%s: %s: %s was not in it", want->string, name, item->value);
        assert_string_equal(item->value, value->valuestring);
        cJSON_Delete(value);
    }
    const cJSON *left = fields->child ? fields : others->child ? others : implied;
    if (left->child) {
        char *text = cJSON_PrintUnformatted(left);
        fail_msg("%s: not read: %s", want->string, text);
    }
}

static void pictures_say_what_went_in(void **state)
{
    (void)state;
    cJSON *expected = read_json(FOLDER "expected.json"), *want;
    int count = 0;
    cJSON_ArrayForEach(want, expected)
    {
        struct sdg_settings s;
        read_picture(&s, want->string);
        expect(&s, want);
        sdg_settings_free(&s);
        count++;
    }
    assert_true(count >= 5 * 30);
    cJSON_Delete(expected);
}

/* ---- random settings ---- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static const char *pick(uint64_t *r, const char *const *from)
{
    uint32_t count = 0;
    while (from[count]) count++;
    return from[next_random(r) % count];
}

static double real(uint64_t *r)
{
    static const double usual[] = {0.5, 1, 7, 7.5, 0.1, 1e-5, 14.614642, 1.0 / 3};
    return next_random(r) % 3 ? usual[next_random(r) % 8] : (next_random(r) % 100000) / 997.0;
}

/* Half of the time 0. */
static double maybe(uint64_t *r)
{
    return next_random(r) % 2 ? real(r) : 0;
}

static const char *const prompts[] = {"a cat",
                                      "",
                                      "a (cat:1.2), [dog|fox]\nand more",
                                      "\xe7\x8c\xab \xc3\xa9",
                                      "Steps: 20, a: b",
                                      "quote \" back \\",
                                      "<lora:x:1>",
                                      NULL};
static const char *const negatives[] = {"", "blurry", "two\nlines, here", "(bad:1.5)", NULL};
static const char *const names[] = {"Euler a", "DPM++ 2M SDE Heun", "DDIM", "UniPC", NULL};
static const char *const schedules[] = {"Automatic", "Karras", "SGM Uniform", "Align Your Steps",
                                        NULL};
static const char *const models[] = {
    "v1-5", "odd, name: \"x\"", "tab\there, too", "\xe7\x8c\xab", "Model", NULL};
static const char *const hashes[] = {"6ce0161689", "0123456789", NULL};
static const char *const likes[] = {"diffusers", "comfyui", "sd.cpp", NULL};

static const double list[] = {14.6146, 7.8, 2.5, 0.0291675, 0};

static void random_run(struct sdg_infotext *info, uint64_t *r)
{
    *info = (struct sdg_infotext) {.prompt = pick(r, prompts),
                                   .negative = pick(r, negatives),
                                   .steps = 1 + (int)(next_random(r) % 150),
                                   .width = 8 * (1 + (int)(next_random(r) % 256)),
                                   .height = 8 * (1 + (int)(next_random(r) % 256)),
                                   .sampler = pick(r, names),
                                   .schedule = pick(r, schedules),
                                   .cfg_scale = real(r),
                                   .seed = (int64_t)next_random(r) << (next_random(r) % 32)};
    if (next_random(r) % 2) info->model = pick(r, models), info->model_hash = pick(r, hashes);
    if (next_random(r) % 3 == 0) info->vae = pick(r, models), info->vae_hash = pick(r, hashes);
    info->subseed_strength = maybe(r);
    if (info->subseed_strength > 0) info->subseed = next_random(r);
    if (next_random(r) % 4 == 0) info->resize_width = 512, info->resize_height = 768;
    info->clip_skip = (int)(next_random(r) % 4);
    if (next_random(r) % 2) info->ensd = 31337;
    info->rng = next_random(r) % 2 ? "NV" : "CPU";
    if (next_random(r) % 3 == 0) info->emphasis = "No norm";
    info->discard_penultimate = next_random(r) % 4 == 0;
    info->schedule_min = maybe(r), info->schedule_max = maybe(r), info->schedule_rho = maybe(r);
    info->gits_coefficient = maybe(r);
    if (next_random(r) % 4 == 0) info->has_image_cfg = true, info->image_cfg = maybe(r);
    if (next_random(r) % 4 == 0) info->refiner = "sd_xl_refiner", info->refiner_switch = 0.8;
    if (next_random(r) % 2 == 0) info->refiner_hash = "7440042bbd";
    if (next_random(r) % 4 == 0) info->original_width = 4096, info->original_height = 2048;
    if (next_random(r) % 4 == 0)
        info->crop_left = 7, info->target_width = 1, info->target_height = 9;
    if (next_random(r) % 4 == 0) info->has_scores = true, info->aesthetic_score = 6.5;
    if (next_random(r) % 4 == 0) info->tile_width = 512, info->tile_height = 256;
    info->tile_overlap = maybe(r);
    if (next_random(r) % 4 == 0) info->unet = pick(r, models), info->clip_g = pick(r, models);
    if (next_random(r) % 4 == 0) info->clip_l = pick(r, models), info->taesd = pick(r, models);
    info->empty_negative = next_random(r) % 4 == 0;
    info->ema = next_random(r) % 4 == 0;
    if (next_random(r) % 4 == 0) info->pictures = "image mask";
    if (next_random(r) % 4 == 0) info->spacing = "trailing";
    if (next_random(r) % 4 == 0)
        info->sigmas = list, info->sigma_count = 1 + (int)(next_random(r) % 5);
    if (next_random(r) % 5 == 0) info->timesteps = list, info->timestep_count = 3;
    info->eta = real(r), info->has_eta = next_random(r) % 2;
    if (next_random(r) % 2) info->eta_name = "Eta DDIM";
    info->s_churn = maybe(r), info->s_tmin = maybe(r), info->s_tmax = maybe(r);
    info->s_noise = maybe(r), info->has_s_noise = next_random(r) % 2;
    info->r = maybe(r), info->has_r = next_random(r) % 2;
    if (next_random(r) % 3 == 0) info->variant = "bh2";
    info->order = (int)(next_random(r) % 4);
    info->no_lower_order_final = next_random(r) % 3 == 0, info->unipc = next_random(r) % 2;
    info->skip_early = maybe(r), info->ngms = maybe(r), info->ngms_all_steps = next_random(r) % 2;
    info->cfg_rescale = maybe(r), info->has_interval = next_random(r) % 2;
    info->guidance_start = maybe(r), info->guidance_end = real(r);
    if (next_random(r) % 4 == 0) info->prediction = "v";
    info->zero_terminal_snr = next_random(r) % 4 == 0;
    if (next_random(r) % 2) info->like = pick(r, likes);
    if (next_random(r) % 4 == 0) info->language = "compel";
    info->old_editing = next_random(r) % 4 == 0;
    info->joint = next_random(r) % 4 == 0, info->batch_size = 4,
    info->batch_pos = (int)(next_random(r) % 4);
}

static void add_text(cJSON *o, const char *key, const char *value)
{
    if (value) cJSON_AddStringToObject(o, key, value);
}

static void add_whole(cJSON *o, const char *key, bool is, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    add_text(o, key, is ? text : NULL);
}

static void add_real(cJSON *o, const char *key, bool is, double value)
{
    char text[SDG_NUMBER_SIZE];
    sdg_number_text(text, value);
    add_text(o, key, is ? text : NULL);
}

/* Every value of the struct as a text by its field's name, where it is to be written. */
static cJSON *wanted(const struct sdg_infotext *i)
{
    cJSON *o = cJSON_CreateObject();
    add_whole(o, "Steps", 1, i->steps);
    add_text(o, "Sampler", i->sampler);
    add_text(o, "Schedule type", i->schedule);
    add_real(o, "CFG scale", 1, i->cfg_scale);
    add_whole(o, "Seed", 1, i->seed);
    add_whole(o, "Size-1", 1, i->width);
    add_whole(o, "Size-2", 1, i->height);
    add_text(o, "Model hash", i->model_hash);
    /* A1111 writes one word where key and value are the same; its reader finds nothing then. */
    add_text(o, "Model", i->model && strcmp(i->model, "Model") != 0 ? i->model : NULL);
    add_text(o, "VAE hash", i->vae_hash);
    add_text(o, "VAE", i->vae);
    add_whole(o, "Variation seed", i->subseed_strength > 0, i->subseed);
    add_real(o, "Variation seed strength", i->subseed_strength > 0, i->subseed_strength);
    add_whole(o, "Seed resize from-1", i->resize_width, i->resize_width);
    add_whole(o, "Seed resize from-2", i->resize_height, i->resize_height);
    add_whole(o, "Clip skip", i->clip_skip > 0, i->clip_skip);
    add_whole(o, "ENSD", i->ensd, i->ensd);
    add_text(o, "RNG", i->rng);
    add_text(o, "Emphasis", i->emphasis);
    add_text(o, "Old prompt editing timelines", i->old_editing ? "True" : NULL);
    add_text(o, "Noise Schedule", i->zero_terminal_snr ? "Zero Terminal SNR" : NULL);
    add_text(o, "Discard penultimate sigma", i->discard_penultimate ? "True" : NULL);
    add_real(o, "Schedule min sigma", i->schedule_min > 0, i->schedule_min);
    add_real(o, "Schedule max sigma", i->schedule_max > 0, i->schedule_max);
    add_real(o, "Schedule rho", i->schedule_rho > 0, i->schedule_rho);
    add_real(o, i->eta_name ? i->eta_name : "Eta", i->has_eta, i->eta);
    add_real(o, "Sigma churn", i->s_churn > 0, i->s_churn);
    add_real(o, "Sigma tmin", i->s_tmin > 0, i->s_tmin);
    add_real(o, "Sigma tmax", i->s_tmax > 0, i->s_tmax);
    add_real(o, "Sigma noise", i->has_s_noise, i->s_noise);
    add_text(o, i->unipc ? "UniPC variant" : "Solver variant", i->variant);
    add_whole(o, i->unipc ? "UniPC order" : "Solver order", i->order, i->order);
    add_text(o, i->unipc ? "UniPC lower order final" : "Lower order final",
             i->no_lower_order_final ? "False" : NULL);
    add_real(o, "Skip Early CFG", i->skip_early > 0, i->skip_early);
    add_real(o, "NGMS", i->ngms > 0, i->ngms);
    add_text(o, "NGMS all steps", i->ngms_all_steps ? "True" : NULL);
    add_text(o, "Like", i->like);
    add_text(o, "Prompt language", i->language);
    add_text(o, "Prediction", i->prediction);
    add_text(o, "Timestep spacing", i->spacing);
    add_real(o, "GITS coefficient", i->gits_coefficient > 0, i->gits_coefficient);
    add_real(o, "Image CFG scale", i->has_image_cfg, i->image_cfg);
    add_text(o, "Refiner",
             !i->refiner       ? NULL
             : i->refiner_hash ? "sd_xl_refiner [7440042bbd]"
                               : "sd_xl_refiner");
    add_real(o, "Refiner switch at", i->refiner != NULL, i->refiner_switch);
    add_whole(o, "Original size-1", i->original_width, i->original_width);
    add_whole(o, "Original size-2", i->original_height, i->original_height);
    add_whole(o, "Crop left", i->crop_left, i->crop_left);
    add_whole(o, "Crop top", i->crop_top, i->crop_top);
    add_whole(o, "Target size-1", i->target_width, i->target_width);
    add_whole(o, "Target size-2", i->target_height, i->target_height);
    add_real(o, "Aesthetic score", i->has_scores, i->aesthetic_score);
    add_real(o, "Negative aesthetic score", i->has_scores, i->negative_aesthetic_score);
    add_text(o, "UNet", i->unet);
    add_text(o, "CLIP-L", i->clip_l);
    add_text(o, "CLIP-G", i->clip_g);
    add_text(o, "TAESD", i->taesd);
    add_text(o, "EMA", i->ema ? "True" : NULL);
    add_text(o, "Empty negative prompt", i->empty_negative ? "True" : NULL);
    add_text(o, "Pictures", i->pictures);
    add_whole(o, "VAE tile size-1", i->tile_width, i->tile_width);
    add_whole(o, "VAE tile size-2", i->tile_height, i->tile_height);
    add_real(o, "VAE tile overlap", i->tile_width, i->tile_overlap);
    static const char *const lists[] = {"",
                                        "14.6146",
                                        "14.6146 7.8",
                                        "14.6146 7.8 2.5",
                                        "14.6146 7.8 2.5 0.0291675",
                                        "14.6146 7.8 2.5 0.0291675 0"};
    add_text(o, "Sigmas", i->sigma_count ? lists[i->sigma_count] : NULL);
    add_text(o, "Timesteps", i->timestep_count ? lists[i->timestep_count] : NULL);
    add_real(o, "Midpoint", i->has_r, i->r);
    add_real(o, "CFG rescale", i->cfg_rescale > 0, i->cfg_rescale);
    add_real(o, "Guidance start", i->has_interval, i->guidance_start);
    add_real(o, "Guidance end", i->has_interval, i->guidance_end);
    add_text(o, "Batch noise", i->joint ? "joint" : NULL);
    add_whole(o, "Batch size", i->joint, i->batch_size);
    add_whole(o, "Batch pos", i->joint, i->batch_pos);
    add_text(o, "Version", "sdgen " SDGEN_VERSION);
    add_text(o, "Prompt", i->prompt);
    add_text(o, "Negative prompt", i->negative);
    return o;
}

static void random_settings_come_back(void **state)
{
    (void)state;
    uint64_t r = 1;
    for (int n = 0; n < ROUND_TRIPS; n++) {
        struct sdg_infotext info;
        struct sdg_settings s = {0};
        sdgen_error err;
        random_run(&info, &r);
        char *text = sdg_infotext_make(&info);
        assert_non_null(text);
        assert_int_equal(sdg_infotext_parse(&s, text, &err), SDGEN_OK);
        assert_int_equal(s.program, SDG_PROGRAM_SDGEN);
        cJSON *want = wanted(&info);
        for (size_t k = 0; k < s.count; k++) {
            if (s.items[k].field == SDG_FIELD_OTHER) fail_msg("%s in %s", s.items[k].name, text);
            cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(want, s.items[k].name);
            if (!value || strcmp(value->valuestring, s.items[k].value) != 0)
                fail_msg("%s: %s in %s", s.items[k].name, s.items[k].value, text);
            cJSON_Delete(value);
        }
        if (want->child) fail_msg("%s was lost from %s", want->child->string, text);
        cJSON_Delete(want);
        sdg_settings_free(&s);
        free(text);
    }
}

/* ---- for other readers ---- */

static int write_settings(const char *path)
{
    FILE *out = fopen(path, "w");
    uint64_t r = 1;
    if (!out) return 1;
    for (int n = 0; n < ROUND_TRIPS; n++) {
        struct sdg_infotext info;
        random_run(&info, &r);
        char *text = sdg_infotext_make(&info);
        cJSON *want = wanted(&info);
        cJSON_AddStringToObject(want, "text", text ? text : "");
        char *line = cJSON_PrintUnformatted(want);
        fprintf(out, "%s\n", line ? line : "{}");
        cJSON_free(line);
        cJSON_Delete(want);
        free(text);
    }
    return fclose(out) != 0;
}

static int answer_texts(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        cJSON *text = cJSON_Parse(line), *pairs = cJSON_CreateArray();
        struct sdg_settings s = {0};
        sdgen_error err;
        if (cJSON_IsString(text) && sdg_infotext_parse(&s, text->valuestring, &err) == SDGEN_OK)
            for (size_t i = 0; i < s.count; i++) {
                const char *pair[] = {s.items[i].name, s.items[i].value};
                if (!s.items[i].implied)
                    cJSON_AddItemToArray(pairs, cJSON_CreateStringArray(pair, 2));
            }
        char *answer = cJSON_PrintUnformatted(pairs);
        puts(answer ? answer : "null");
        cJSON_free(answer);
        cJSON_Delete(pairs);
        cJSON_Delete(text);
        sdg_settings_free(&s);
    }
    free(line);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1) return strcmp(argv[1], "-") == 0 ? answer_texts() : write_settings(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_say_what_went_in),
        cmocka_unit_test(random_settings_come_back),
    };
    return cmocka_run_group_tests_name("infotext_parse", tests, NULL, NULL);
}
