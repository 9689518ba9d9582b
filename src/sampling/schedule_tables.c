/* schedule_tables.c - published lists of levels, stretched to other lengths by interpolation that
 * is linear in log sigma.
 *
 * Align Your Steps (Sabour et al. 2024): ten steps each for Stable Diffusion 1 and SDXL. A1111
 * holds the rounded numbers of the paper's page and makes n values and a 0 of them
 * (modules/sd_schedulers.py, get_align_your_steps_sigmas); ComfyUI and stable-diffusion.cpp hold
 * ten decimals and make n + 1 values, the last of which becomes 0 (comfy_extras/
 * nodes_align_your_steps.py; src/runtime/denoiser.hpp). GITS: gits_sigmas.c; ComfyUI,
 * comfy_extras/nodes_gits.py. */
#include "sampling/schedule_families.h"

#include <math.h>

enum { AYS_LEVELS = 11, LONGEST = SDG_GITS_MAX_STEPS + 1 };
#define GITS_COEFFICIENT 1.2
#define GITS_FIRST 0.8
#define GITS_STEP 0.05

static const double ays_page[2][AYS_LEVELS] = {
    {14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029},
    {14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029}};
static const double ays_exact[2][AYS_LEVELS] = {
    {14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
     0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582},
    {14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
     0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582}};

/* numpy.linspace(0, 1, n)[i] */
static double unit(int i, int n)
{
    if (n == 1) return 0;
    return i == n - 1 ? 1 : i * (1.0 / (n - 1));
}

/* sigma[n] from table[m], both falling; f64 as numpy.interp does it, over the reversed table. */
static void stretch(float *sigma, int n, const double *table, int m)
{
    for (int i = 0; i < n; i++) {
        const double x = unit(n - 1 - i, n);
        int low = 0;
        while (low < m - 2 && unit(low + 1, m) <= x) low++;
        const double from = log(table[m - 1 - low]), to = log(table[m - 2 - low]);
        const double slope = (to - from) / (unit(low + 1, m) - unit(low, m));
        sigma[i] = (float)exp(slope * (x - unit(low, m)) + from);
    }
}

/* The same in stable-diffusion.cpp: places counted up in f32, which drifts. */
static void stretch_sdcpp(float *sigma, int n, const double *table, int m)
{
    const float wide = 1.0f / (float)(m - 1), narrow = 1.0f / (float)(n - 1);
    float places[LONGEST] = {0};
    float x = 0;
    for (int i = 1; i < m; i++) places[i] = places[i - 1] + wide;
    for (int i = 0, low = 0; i < n; i++, x += narrow) {
        if (i == n - 1 && x > places[m - 1]) x = places[m - 1];
        while (low < m - 2 && x > places[low + 1]) low++;
        const double w = (double)(x - places[low]) / (double)(places[low + 1] - places[low]);
        const float from = logf((float)table[m - 1 - low]), to = logf((float)table[m - 2 - low]);
        sigma[n - 1 - i] = (float)exp((double)from * (1 - w) + (double)to * w);
    }
}

/* a->sigma[n] = table[m], as it is or stretched. */
static void fit(struct sdg_sigma_list *a, int n, const double *table, int m)
{
    a->count = n;
    if (n == m)
        for (int i = 0; i < n; i++) a->sigma[i] = (float)table[i];
    else if (a->l->like == SDG_LIKE_SDCPP)
        stretch_sdcpp(a->sigma, n, table, m);
    else
        stretch(a->sigma, n, table, m);
}

static void align_your_steps(struct sdg_sigma_list *a)
{
    const enum sdg_scheduler s = a->r->scheduler;
    const int model = s == SDG_SCHEDULER_AYS ? a->r->sdxl : s == SDG_SCHEDULER_AYS_SDXL;
    if (a->l->like == SDG_LIKE_A1111) {
        fit(a, a->n, ays_page[model], AYS_LEVELS);
        a->sigma[a->count++] = 0;
    } else {
        fit(a, a->n + 1, ays_exact[model], AYS_LEVELS);
        a->sigma[a->count - 1] = 0;
    }
}

/* Coefficients come in steps of 0.05; the longest row is the one that is stretched. */
static sdgen_status gits(struct sdg_sigma_list *a, sdgen_error *err)
{
    const double wish = a->r->gits_coefficient;
    const double place = ((wish > 0 ? wish : GITS_COEFFICIENT) - GITS_FIRST) / GITS_STEP;
    const int index = (int)rint(place);
    const int row = a->n < SDG_GITS_MAX_STEPS ? a->n : SDG_GITS_MAX_STEPS;
    double table[LONGEST];
    if (!(fabs(place - index) < 0.01) || index < 0 || index >= SDG_GITS_COEFFICIENTS)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--gits-coefficient %g: there are tables for 0.80, 0.85, ... 1.50", wish);
    if (a->n < SDG_GITS_MIN_STEPS)
        return sdg_fail(err, SDGEN_ERR_ARG, "--steps %d: GITS has tables from %d steps on",
                        a->r->steps, SDG_GITS_MIN_STEPS);
    sdg_gits_row(table, index, row);
    fit(a, a->n + 1, table, row + 1);
    a->sigma[a->count - 1] = 0;
    return SDGEN_OK;
}

sdgen_status sdg_list_table(struct sdg_sigma_list *a, sdgen_error *err)
{
    if (a->r->scheduler == SDG_SCHEDULER_GITS) return gits(a, err);
    align_your_steps(a);
    return SDGEN_OK;
}
