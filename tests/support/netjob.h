/* netjob.h - one pass of one network, in exactly the memory that a dry run of it asks for. */
#ifndef SDG_TESTS_SUPPORT_NETJOB_H
#define SDG_TESTS_SUPPORT_NETJOB_H

#include "cpu.h"
#include "kernels.h"
#include "tests/support/testmodel.h"

struct test_engine {
    struct sdg_kernels kernels;
    enum sdg_isa isa;
    int threads;
};
void test_engine_init(struct test_engine *e, enum sdg_isa isa, int threads);

/* A pass with everything it needs. */
struct test_job {
    const struct test_model *m;
    float *y;
    const float *x, *t;
    const int32_t *ids;
    const struct sdg_unet_context *context;
    const float *label, *guidance;
    const float *const *keys;
    size_t n, h, w; /* text: h is the number of tokens, w the layers skipped */
    enum sdg_unet_upsampling upsampling;
};
typedef void test_job_fn(struct sdg_ops *o, const struct test_job *j);
test_job_fn test_run_text, test_run_unet, test_run_decode, test_run_encode;

/* What a dry run says about a pass. */
struct test_plan {
    size_t bytes;
    double macs;
};
struct test_plan test_plan_job(const struct test_engine *e, test_job_fn *fn,
                               const struct test_job *j);

/* Fails the test when the pass takes other memory than was planned. */
void test_run_job(const struct test_engine *e, test_job_fn *fn, const struct test_job *j);

/* Memory for count floats, and filled with the hash of a name; the caller frees. */
float *test_new_floats(size_t count);
float *test_hashed(size_t count, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
