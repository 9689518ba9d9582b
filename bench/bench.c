/* bench.c - the order of a benchmark run; see bench.h. */
#include "bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"

/* ---- choices --------------------------------------------------------------------------------- */

static sdgen_status choose_isa(struct bench_run *run, sdgen_error *err)
{
    const enum sdg_isa best = sdg_isa_detect();
    const char *name = run->o.isa;
    run->isa = best;
    if (!name || strcmp(name, "auto") == 0) return SDGEN_OK;
    for (int i = 0; i < SDG_ISA_COUNT; i++)
        if (strcmp(name, sdg_isa_label((enum sdg_isa)i)) == 0 && sdg_isa_is_here((enum sdg_isa)i)) {
            run->isa = (enum sdg_isa)i;
            return SDGEN_OK;
        }
    return sdg_fail(err, SDGEN_ERR_ARG, "--isa %s: this machine has no more than %s", name,
                    sdg_isa_label(best));
}

static bool is(const char *value, const char *name)
{
    return value && strcmp(value, name) == 0;
}

static sdgen_status choose(struct bench_run *run, sdgen_error *err)
{
    struct bench_options *o = &run->o;
    if (o->rounds == 0) o->rounds = o->quick ? 3 : 5;
    if (o->size == 0) o->size = 512;
    if (o->steps == 0) o->steps = 3;
    if (!o->network) o->network = "sd15";
    const sdgen_status status = choose_isa(run, err);
    if (status != SDGEN_OK) return status;
    sdg_kernels_init(&run->kernels, run->isa);
    run->way = (struct bench_way) {.k = &run->kernels,
                                   .weights = SDG_F16,
                                   .exact_conv = o->exact_conv != 0,
                                   .conv = SDG_CONV_WAYS};
    run->way.threads = o->threads > 0 ? o->threads : sdg_physical_cores();
    run->way.bf16 =
        is(o->precision, "bf16") || (!is(o->precision, "f32") && sdg_isa_prefers_bf16(run->isa));
    if (is(o->weights, "f32")) run->way.weights = SDG_F32;
    if (is(o->weights, "bf16")) run->way.weights = SDG_BF16;
    run->unit = bench_unit_for(run->isa, run->way.bf16);
    return SDGEN_OK;
}

/* "sd15" means "sd15-unet" and "sd15-vae". */
static bool wanted(const char *network, const char *key)
{
    const size_t length = strlen(network);
    return strcmp(network, "all") == 0 ||
           (strncmp(network, key, length) == 0 && (key[length] == 0 || key[length] == '-'));
}

/* ---- the run --------------------------------------------------------------------------------- */

static void measure_machine(struct bench_run *run)
{
    for (int i = 0; i < BENCH_UNITS; i++) {
        if (!bench_unit_of_tier((enum bench_unit)i, run->isa)) continue;
        for (int r = 0; r < 5; r++) {
            const double peak = bench_peak((enum bench_unit)i, run->way.threads);
            if (peak > run->peaks[i]) run->peaks[i] = peak;
        }
    }
    run->bandwidth = bench_bandwidth(run->way.threads);
}

void bench_measure_table(struct bench_run *run, struct bench_table *t)
{
    bench_print_head(run, t);
    for (size_t i = 0; i < t->count; i++) {
        bench_measure(run, &t->rows[i]);
        if (!t->rows[i].measured) t->whole = false;
        bench_print_row(run, &t->rows[i]);
    }
    bench_print_sums(run, t);
}

static sdgen_status open_known(struct bench_run *run, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    bool any = false;
    struct bench_list *list = calloc(1, sizeof *list);
    if (!list) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    for (int i = 0; bench_known_key(i); i++) {
        if (!wanted(run->o.network, bench_known_key(i))) continue;
        any = true;
        bench_known(list, i);
        SDG_TRY(bench_table_open(run, list, err));
    }
    if (!any)
        SDG_TRY(sdg_fail(err, SDGEN_ERR_ARG,
                         "--network %s: there are sd15, sd21 and sdxl, alone or "
                         "followed by -unet or -vae, and all",
                         run->o.network));
    if (run->table_count == 0)
        SDG_TRY(sdg_fail(err, SDGEN_ERR_ARG, "no operation has \"%s\" in its name",
                         run->o.pattern ? run->o.pattern : ""));
fail:
    free(list);
    return status;
}

static sdgen_status measure(struct bench_run *run, sdgen_error *err)
{
    sdgen_status status;
    if (run->o.model) return bench_stages(run, err);
    SDG_TRY(open_known(run, err));
    if (run->o.with) SDG_TRY(bench_read_peers(run, run->o.with, err));
    if (run->o.tune) return bench_tune(run, err);
    for (int i = 0; i < run->table_count; i++) bench_measure_table(run, &run->tables[i]);
fail:
    return status;
}

sdgen_status bench_main(const struct bench_options *o, bool *worse, sdgen_error *err)
{
    sdgen_status status;
    struct bench_run *run = calloc(1, sizeof *run);
    *worse = false;
    if (!run) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory");
    run->o = *o;
    SDG_TRY(choose(run, err));
    measure_machine(run);
    bench_print_machine(run);
    if (o->peaks) goto fail;
    SDG_TRY(measure(run, err));
    bench_print_stages(run);
    if (o->json) SDG_TRY(bench_write_json(run, o->json, err));
    if (o->svg) SDG_TRY(bench_write_svg(run, o->svg, err));
    if (o->compare) SDG_TRY(bench_compare(run, o->compare, worse, err));
fail:
    for (int i = 0; i < run->table_count; i++) free(run->tables[i].rows);
    free(run);
    return status;
}
