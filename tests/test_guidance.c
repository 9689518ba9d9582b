/* test_guidance.c - classifier-free guidance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sampling/guidance.h"

static const float cond[4] = {1, -2, 0.5f, 3}, uncond[4] = {0.5f, -1, 0.5f, -3};

static void formula(void **state)
{
    (void)state;
    static const float want[4] = {4.25f, -8.5f, 0.5f, 42};
    float eps[4];
    sdg_guide(eps, cond, uncond, 7.5f, 4);
    for (int i = 0; i < 4; i++) assert_true(eps[i] == want[i]);
}

static void scale_of_one_and_nought(void **state)
{
    (void)state;
    float eps[4];
    sdg_guide(eps, cond, uncond, 1, 4);
    for (int i = 0; i < 4; i++) assert_true(eps[i] == cond[i]);
    sdg_guide(eps, cond, uncond, 0, 4);
    for (int i = 0; i < 4; i++) assert_true(eps[i] == uncond[i]);
}

static void in_place(void **state)
{
    (void)state;
    float want[4], a[4], b[4];
    sdg_guide(want, cond, uncond, 3, 4);
    for (int i = 0; i < 4; i++) {
        a[i] = cond[i];
        b[i] = uncond[i];
    }
    sdg_guide(a, a, uncond, 3, 4);
    sdg_guide(b, cond, b, 3, 4);
    for (int i = 0; i < 4; i++) assert_true(a[i] == want[i] && b[i] == want[i]);
}

static void nothing(void **state)
{
    (void)state;
    float eps = 5;
    sdg_guide(&eps, cond, uncond, 3, 0);
    assert_true(eps == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formula),
        cmocka_unit_test(scale_of_one_and_nought),
        cmocka_unit_test(in_place),
        cmocka_unit_test(nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
