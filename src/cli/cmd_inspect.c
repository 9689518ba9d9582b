/* cmd_inspect.c - `sdgen inspect FILE`: what a weight file is, whether it is whole, what it would
 * do to programs that trust it, and what can be done about it.
 *
 * Opens the file, tells its family with the evidence, reads the plans of its networks, binds them
 * as a load would (which finds missing and mis-shaped tensors), counts the rest, looks through the
 * pickles, hashes, and with --scan looks at every value. Collecting is here (inspect.h). */
#define _GNU_SOURCE
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/parallel.h"
#include "cli/inspect.h"
#include "cli/message.h"
#include "cli/options.h"
#include "weights/arch.h"
#include "weights/arch_names.h"
#include "files/hashcache.h"
#include "weights/keys.h"
#include "weights/model.h"
#include "files/zip.h"

/* ---- collecting ---- */

static void count_components(struct sdg_inspection *r)
{
    static const struct {
        const char *label, *prefix;
    } known[SDG_COMPONENTS] = {
        {"UNet", "model.diffusion_model."},
        {"text encoder", "cond_stage_model."},
        {"text encoders", "conditioner."},
        {"VAE", "first_stage_model."},
        {"tiny VAE", "taesd."},
        {"ControlNet", "control_model."},
        {"EMA copy", "model_ema."},
        {"other", ""},
    };
    for (int i = 0; i < SDG_COMPONENTS; i++)
        r->components[i] =
            (struct sdg_component) {.label = known[i].label, .prefix = known[i].prefix};
    for (size_t e = 0; e < r->file.count; e++) {
        struct sdg_component *c = r->components;
        while (!sdg_name_after(r->file.entries[e].name, c->prefix)) c++; /* the last takes all */
        c->tensors++;
        c->parameters += sdg_tensor_count(&r->file.entries[e].tensor);
        c->by_dtype[r->file.entries[e].tensor.dtype]++;
    }
}

/* Slots for the networks while they are bound; what lands in them is not looked at. */
struct networks {
    struct sdg_clip clip;
    struct sdg_unet unet;
    struct sdg_vae vae;
    struct sdg_arena arena;
};

/* UNet and text encoders of a checkpoint. */
static sdgen_status bind_checkpoint(struct sdg_inspection *r, struct networks *n, sdgen_error *err)
{
    sdgen_status status;
    const struct sdg_finding *f = &r->finding;
    struct sdg_filebinder *b = &r->binder;
    for (int i = 0; i < f->text_count; i++) {
        SDG_TRY(sdg_arch_clip(&r->clips[i], &r->file, f->texts[i],
                              sdg_family_openclip(f->family, i), err));
        r->clip_count++;
    }
    SDG_TRY(sdg_arch_unet(&r->unet, &r->file, SDG_KEY_UNET, err));
    r->has_unet = true;
    SDG_TRY(sdg_unet_arena_create(&n->arena, err));
    for (int i = 0; i < f->text_count; i++) {
        sdg_filebinder_network(b, f->texts[i], false);
        sdg_clip_bind(&n->clip, &r->clips[i], &b->binder);
    }
    sdg_filebinder_network(b, SDG_KEY_UNET, false);
    SDG_TRY(sdg_unet_bind(&n->unet, &r->unet, &b->binder, &n->arena, err));
fail:
    return status;
}

static sdgen_status bind_networks(struct sdg_inspection *r, struct networks *n, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_filebinder *b = &r->binder;
    const struct sdg_clip_config *clips[SDG_TEXTS_MAX] = {&r->clips[0], &r->clips[1]};
    SDG_TRY(sdg_filebinder_init(b, &r->file, NULL, err));
    if (r->finding.kind == SDG_KIND_CHECKPOINT) SDG_TRY(bind_checkpoint(r, n, err));
    if (r->finding.vae) {
        SDG_TRY(sdg_arch_vae(&r->vae, &r->file, SDG_KEY_VAE, err));
        r->has_vae = true;
        sdg_filebinder_network(b, SDG_KEY_VAE, false);
        sdg_vae_bind(&n->vae, &r->vae, &b->binder);
    }
    r->bound = true;
    if (r->has_unet)
        sdg_facts_find(&r->facts, &r->finding, &r->file, &r->file, r->has_vae ? &r->file : NULL,
                       r->has_vae ? sdg_vae_factor(&r->vae) : 8);
    SDG_TRY(sdg_filebinder_finish(b, err));
    if (r->has_unet)
        SDG_TRY(sdg_model_fits(clips, r->clip_count, &r->unet, r->has_vae ? &r->vae : NULL,
                               &r->facts, r->file.path, err));
fail:
    return status;
}

static void count_unused(struct sdg_inspection *r)
{
    for (size_t i = 0; i < r->file.count; i++) {
        if (r->binder.taken[i]) continue;
        if (sdg_is_leftover(r->file.entries[i].name))
            r->leftovers++;
        else
            r->unused++;
    }
}

/* The family's own verdict, or what is found when the networks are bound. */
static void judge(struct sdg_inspection *r)
{
    const enum sdg_kind kind = r->finding.kind;
    r->status = sdg_family_check_scales(&r->file, &r->verdict);
    if (r->status != SDGEN_OK) return;
    if (kind != SDG_KIND_CHECKPOINT && kind != SDG_KIND_VAE) {
        r->status = sdg_family_check(&r->finding, &r->file, &r->verdict);
        return;
    }
    struct networks *n = calloc(1, sizeof *n);
    if (n)
        r->status = bind_networks(r, n, &r->verdict);
    else
        r->status = sdg_fail(&r->verdict, SDGEN_ERR_MEMORY, "%s: out of memory", r->file.path);
    if (n) sdg_arena_destroy(&n->arena);
    free(n);
    if (r->bound) count_unused(r);
}

/* ---- values ---- */

static void scan_one(void *arg, size_t task, int worker)
{
    struct sdg_inspection *r = arg;
    (void)worker;
    sdg_count_values(&r->values[task], &r->file.entries[task].tensor);
}

static void sum_values(struct sdg_inspection *r)
{
    for (size_t i = 0; i < r->file.count; i++) {
        const struct sdg_value_counts *v = &r->values[i];
        const size_t count = sdg_tensor_count(&r->file.entries[i].tensor);
        const bool bad = v->nan || v->inf;
        r->sum.nan += v->nan;
        r->sum.inf += v->inf;
        r->sum.denormal += v->denormal;
        r->sum.zero += v->zero;
        r->bad_tensors += bad;
        r->bad_used += bad && (!r->bound || r->binder.taken[i]);
        r->zero_tensors += count > 1 && v->zero == count;
    }
}

static sdgen_status scan(struct sdg_inspection *r, sdgen_error *err)
{
    const int threads = sdg_physical_cores();
    sdgen_status status;
    r->values = calloc(r->file.count + 1, sizeof *r->values);
    if (!r->values)
        return sdg_fail(err, SDGEN_ERR_MEMORY, "%s: no memory for --scan", r->file.path);
    sdg_parallel_for(threads, r->file.count, scan_one, r);
    sum_values(r);
    SDG_TRY(sdg_twins_find(&r->twins, &r->file, threads, err));
    size_t unknown;
    if (r->file.form == SDG_FORM_TORCH_ZIP)
        SDG_TRY(sdg_zip_check_crcs(&unknown, r->file.path, r->file.maps[0].data,
                                   r->file.maps[0].size, threads, err));
    if (r->bad_used)
        SDG_TRY(sdg_fail(err, SDGEN_ERR_MODEL,
                         "%s: %zu NaN and %zu infinite values in %zu tensors: pictures will be "
                         "black; get the file anew",
                         r->file.path, r->sum.nan, r->sum.inf, r->bad_tensors));
fail:
    return status;
}

/* ---- pickles ---- */

/* What the pickles of a single file would do; of a file that could not be opened, too. The map must
 * stay as long as the scan, whose names lie in it. */
static void scan_pickles(struct sdg_scan *s, struct sdg_filemap *map, const char *path)
{
    sdgen_error ignored; /* an archive that cannot be read has been refused before */
    *s = (struct sdg_scan) {0};
    if (sdg_filemap_open(map, path, &ignored) != SDGEN_OK) return;
    if (sdg_scan_file(s, path, map->data, map->size, &ignored) != SDGEN_OK && !s->pickle_count)
        sdg_scan_free(s);
}

static void inspection_destroy(struct sdg_inspection *r)
{
    free(r->values);
    sdg_twins_free(&r->twins);
    sdg_scan_free(&r->pickles);
    sdg_filemap_close(&r->pickle_map);
    sdg_filebinder_destroy(&r->binder);
    sdg_weights_close(&r->file);
    free(r);
}

/* ---- the command ---- */

static int refuse(const struct sdg_inspect_options *o, const sdgen_error *error)
{
    struct sdg_scan pickles;
    struct sdg_filemap map = {.fd = -1};
    scan_pickles(&pickles, &map, o->path);
    if (o->json)
        sdg_inspect_json_refused(o->path, error, &pickles);
    else
        sdg_inspect_text_refused(o->path, error, &pickles, o->verbose);
    sdg_scan_free(&pickles);
    sdg_filemap_close(&map);
    fflush(stdout);
    return sdg_say_failure("%s", error->text);
}

static void examine(struct sdg_inspection *r, const struct sdg_inspect_options *o)
{
    struct sdg_hashjob *job =
        o->no_hash || r->file.map_count != 1 ? NULL : sdg_hashjob_start(o->path);
    sdg_family_find(&r->finding, &r->file);
    count_components(r);
    judge(r);
    if (o->scan) {
        sdgen_error error;
        const sdgen_status status = scan(r, &error);
        if (status != SDGEN_OK && r->status == SDGEN_OK) {
            r->status = status;
            r->verdict = error;
        }
    }
    if (r->file.map_count == 1) scan_pickles(&r->pickles, &r->pickle_map, o->path);
    if (!o->no_hash) sdg_filehashes_of(&r->hashes, &r->file);
    sdg_hashjob_wait(job, r->hash);
    sdg_hashjob_free(job);
    sdg_inspect_advise(r);
}

int sdg_cmd_inspect(int argc, char **argv)
{
    struct sdg_inspect_options o = {0};
    const int end = sdg_args_parse(&o, sdg_command_find("inspect"), argc, argv);
    if (end >= 0) return end;
    if (!o.path) return sdg_say_usage("name a weight file; see sdgen inspect --help");
    struct sdg_inspection *r = calloc(1, sizeof *r);
    if (!r) return sdg_say_failure("out of memory");
    r->pickle_map.fd = -1;
    sdgen_error error;
    if (sdg_weights_open(&r->file, o.path, &error) != SDGEN_OK ||
        sdg_keys_canonical(&r->file, &error) != SDGEN_OK) {
        inspection_destroy(r);
        return refuse(&o, &error);
    }
    examine(r, &o);
    if (o.json)
        sdg_inspect_json(r);
    else
        sdg_inspect_text(r, o.verbose);
    const int exit_status = (int)r->condition;
    inspection_destroy(r);
    if (fflush(stdout) != 0 || ferror(stdout)) return sdg_say_failure("cannot write the report");
    return exit_status;
}
