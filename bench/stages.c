/* stages.c - whole networks of a checkpoint, as one image of 512 x 512 pixels under guidance uses
 * them. tools/bench_torch.py does the same with PyTorch. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "weights/model.h"

enum { SIDE = 64, TOKENS = 77, IMAGES = 2 };

struct stages {
    struct sdg_model model;
    int32_t ids[IMAGES * TOKENS];
    float *text, *latent, *eps, *image;
    struct sdg_unet_context context[IMAGES];
};

typedef void stage_fn(struct sdg_ops *o, struct stages *s);

static void run_text(struct sdg_ops *o, struct stages *s)
{
    sdg_clip_forward(o, s->text, s->ids, &s->model.clip, IMAGES, TOKENS, 0);
}

static void run_unet(struct sdg_ops *o, struct stages *s)
{
    static const float t[IMAGES] = {500.0f, 500.0f};
    sdg_unet_forward(o, s->eps, s->latent, t, s->context, &s->model.unet, IMAGES, SIDE, SIDE,
                     SDG_UPSAMPLE_CROP_AFTER);
}

static void run_vae(struct sdg_ops *o, struct stages *s)
{
    sdg_vae_decode(o, s->image, s->latent, &s->model.vae, 1, SIDE, SIDE);
}

static float *waves(size_t count)
{
    float *p = malloc(count * sizeof *p);
    for (size_t i = 0; p && i < count; i++) p[i] = 0.001f * (float)(i * 7919 % 2003) - 1.0f;
    return p;
}

static bool open_stages(struct stages *s)
{
    const size_t width = (size_t)s->model.clip.config.width;
    const size_t z = (size_t)s->model.vae.config.z_channels;
    const size_t pixels = SIDE * SIDE * (size_t)sdg_vae_factor(&s->model.vae.config) *
                          (size_t)sdg_vae_factor(&s->model.vae.config);
    s->text = waves(IMAGES * TOKENS * width);
    s->latent = waves(IMAGES * z * SIDE * SIDE);
    s->eps = waves(IMAGES * z * SIDE * SIDE);
    s->image = waves(3 * pixels);
    for (int i = 0; i < IMAGES * TOKENS; i++) s->ids[i] = i % 1000;
    for (size_t i = 0; i < IMAGES; i++)
        s->context[i] = (struct sdg_unet_context) {s->text + i * TOKENS * width, TOKENS};
    return s->text && s->latent && s->eps && s->image;
}

/* Seconds of one run in a work area of the planned size; 0 without memory. */
static double time_stage(const struct sdg_ops *like, stage_fn *fn, struct stages *s)
{
    struct sdg_arena work;
    sdg_arena_measure(&work);
    struct sdg_ops o = *like;
    o.work = &work;
    o.dry = true;
    fn(&o, s);
    if (sdg_arena_create(&work, work.peak, NULL) != SDGEN_OK) return 0;
    o.dry = false;
    const double start = bench_now(o.threads);
    fn(&o, s);
    const double seconds = bench_now(o.threads) - start;
    sdg_arena_destroy(&work);
    return seconds;
}

bool bench_stages(const struct sdg_ops *o, const char *path, int rounds)
{
    sdgen_error error;
    struct stages s = {0};
    const struct sdg_model_options options = {.path = path};
    if (sdg_model_open(&s.model, &options, &error) != SDGEN_OK) {
        fprintf(stderr, "sdgen-bench: %s\n", error.text);
        return false;
    }
    const bool ok = open_stages(&s);
    for (int i = 0; i < rounds && ok; i++) {
        const double text = time_stage(o, run_text, &s), unet = time_stage(o, run_unet, &s);
        const double vae = time_stage(o, run_vae, &s);
        printf("text (2 prompts) %7.3f s   UNet step (2 x 512 x 512) %7.3f s   VAE %7.3f s\n", text,
               unet, vae);
        fflush(stdout);
    }
    free(s.text);
    free(s.latent);
    free(s.eps);
    free(s.image);
    sdg_model_close(&s.model);
    return ok;
}
