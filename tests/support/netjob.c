/* netjob.c - see netjob.h. */
#include "tests/support/netjob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/support/hashweights.h"

void test_engine_init(struct test_engine *e, enum sdg_isa isa, int threads)
{
    *e = (struct test_engine) {.isa = isa, .threads = threads};
    sdg_kernels_init(&e->kernels, isa);
}

void test_run_text(struct sdg_ops *o, const struct test_job *j)
{
    const struct sdg_clip_take take = {.skip = (int)j->w};
    sdg_clip_encode(o, j->y, NULL, j->ids, NULL, &j->m->clip, j->n, j->h, &take);
}

void test_run_unet(struct sdg_ops *o, const struct test_job *j)
{
    const struct sdg_unet_condition condition = {
        .context = j->context, .keys = j->keys, .label = j->label, .guidance = j->guidance};
    sdg_unet_forward(o, j->y, j->x, j->t, &condition, &j->m->unet, j->n, j->h, j->w, j->upsampling);
}

void test_run_decode(struct sdg_ops *o, const struct test_job *j)
{
    sdg_vae_decode(o, j->y, j->x, &j->m->vae, j->n, j->h, j->w);
}

void test_run_encode(struct sdg_ops *o, const struct test_job *j)
{
    sdg_vae_encode(o, j->y, j->x, &j->m->vae, j->n, j->h, j->w);
}

struct test_plan test_plan_job(const struct test_engine *e, test_job_fn *fn,
                               const struct test_job *j)
{
    struct sdg_arena work;
    sdg_arena_measure(&work);
    struct sdg_ops o = {.k = &e->kernels, .work = &work, .threads = e->threads, .dry = true};
    fn(&o, j);
    assert_int_equal(work.used, 0);
    return (struct test_plan) {work.peak, o.macs};
}

void test_run_job(const struct test_engine *e, test_job_fn *fn, const struct test_job *j)
{
    const struct test_plan plan = test_plan_job(e, fn, j);
    struct sdg_arena work;
    assert_int_equal(sdg_arena_create(&work, plan.bytes, NULL), SDGEN_OK);
    struct sdg_ops o = {.k = &e->kernels, .work = &work, .threads = e->threads};
    fn(&o, j);
    assert_int_equal(work.used, 0);
    assert_int_equal(work.peak, plan.bytes);
    sdg_arena_destroy(&work);
}

float *test_new_floats(size_t count)
{
    float *y = malloc(count * sizeof *y);
    assert_non_null(y);
    return y;
}

float *test_hashed(size_t count, const char *format, ...)
{
    char name[64];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    float *y = test_new_floats(count);
    test_hash_input(y, name, count);
    return y;
}
