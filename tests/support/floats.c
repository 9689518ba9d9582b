/* floats.c - see floats.h. */
#include "tests/support/floats.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

struct test_floats test_golden(const struct sdg_weights *w, const char *format, ...)
{
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const struct sdg_entry *e = sdg_weights_find(w, name);
    if (!e) fail_msg("%s: no tensor %s", w->path, name);
    struct test_floats f = {.count = sdg_tensor_count(&e->tensor)};
    f.data = malloc((f.count + 1) * sizeof *f.data);
    assert_non_null(f.data);
    sdg_tensor_widen(f.data, &e->tensor, 0, f.count);
    return f;
}

void test_floats_free(struct test_floats *f)
{
    free(f->data);
    *f = (struct test_floats) {0};
}

const char *test_metadata(const struct sdg_weights *w, const char *key)
{
    const char *value = sdg_weights_metadata(w, key);
    if (!value) fail_msg("%s: no metadata %s", w->path, key);
    return value;
}

double test_difference(const float *a, const float *b, size_t count)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    return worst;
}

double test_ratio(const float *a, const float *b, size_t count)
{
    double top = 0;
    for (size_t i = 0; i < count; i++) top = fmax(top, fabs((double)b[i]));
    const double d = test_difference(a, b, count);
    return d == 0 ? 0 : top > 0 ? d / top : INFINITY;
}
