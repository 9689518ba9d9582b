/* test_scheduler_names.c - every spelling of a schedule, labels, near misses, and which program has
 * which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "sampling/schedule.h"

static sdgen_error error;

static void scheduler_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sdg_scheduler want;
    } known[] = {{"normal", SDG_SCHEDULER_DISCRETE},
                 {"Automatic", SDG_SCHEDULER_OWN},
                 {"Uniform", SDG_SCHEDULER_DISCRETE},
                 {"KARRAS", SDG_SCHEDULER_KARRAS},
                 {"use_karras_sigmas", SDG_SCHEDULER_KARRAS},
                 {"SGM Uniform", SDG_SCHEDULER_SGM_UNIFORM},
                 {"SGMUniform", SDG_SCHEDULER_SGM_UNIFORM},
                 {"KL Optimal", SDG_SCHEDULER_KL_OPTIMAL},
                 {"Align Your Steps", SDG_SCHEDULER_AYS},
                 {"align_your_steps_GITS", SDG_SCHEDULER_GITS},
                 {"ddim_uniform", SDG_SCHEDULER_DDIM},
                 {"linear-quadratic", SDG_SCHEDULER_LINEAR_QUADRATIC},
                 {"SDTurboScheduler", SDG_SCHEDULER_TURBO},
                 {"bong_tangent", SDG_SCHEDULER_BONG_TANGENT},
                 {"trailing", SDG_SCHEDULER_TRAILING}};
    enum sdg_scheduler s;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        assert_int_equal(sdg_scheduler_find(&s, known[i].name, &error), SDGEN_OK);
        assert_int_equal(s, known[i].want);
    }
    for (int i = 0; i < SDG_SCHEDULER_COUNT; i++) {
        const enum sdg_scheduler each = (enum sdg_scheduler)i;
        assert_int_equal(sdg_scheduler_find(&s, sdg_scheduler_name(each), &error), SDGEN_OK);
        assert_int_equal(s, i);
        assert_int_equal(sdg_scheduler_find(&s, sdg_scheduler_label(each), &error), SDGEN_OK);
        assert_int_equal(s, i);
        assert_non_null(strstr(sdg_scheduler_aliases(each), sdg_scheduler_name(each)));
    }
    assert_null(sdg_scheduler_name(SDG_SCHEDULER_COUNT));
    assert_string_equal(sdg_scheduler_label(SDG_SCHEDULER_OWN), "Automatic");
    assert_int_equal(sdg_scheduler_find(&s, "karas", &error), SDGEN_ERR_ARG);
    assert_non_null(strstr(error.text, "nearest is karras"));
    assert_int_equal(sdg_scheduler_find(&s, "", &error), SDGEN_ERR_ARG);
}

/* Samples of what the programs themselves offer. */
static void owners(void **state)
{
    (void)state;
    assert_true(sdg_scheduler_is_own(SDG_SCHEDULER_KL_OPTIMAL, SDG_LIKE_A1111));
    assert_false(sdg_scheduler_is_own(SDG_SCHEDULER_GITS, SDG_LIKE_A1111));
    assert_true(sdg_scheduler_is_own(SDG_SCHEDULER_GITS, SDG_LIKE_SDCPP));
    assert_true(sdg_scheduler_is_own(SDG_SCHEDULER_TURBO, SDG_LIKE_COMFYUI));
    assert_true(sdg_scheduler_is_own(SDG_SCHEDULER_TRAILING, SDG_LIKE_DIFFUSERS));
    assert_false(sdg_scheduler_is_own(SDG_SCHEDULER_OWN, SDG_LIKE_A1111));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scheduler_names), cmocka_unit_test(owners)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
