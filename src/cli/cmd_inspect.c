/* cmd_inspect.c - `sdgen inspect FILE`: what a weight file is, and whether it is whole.
 *
 * Opens the file, tells its family with the evidence, reads the plans of its networks, binds them
 * as a load would (which finds missing and mis-shaped tensors), counts the rest, hashes, and with
 * --scan looks at every value. Collecting is here, showing in inspect_text.c and inspect_json.c. */
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
#include "weights/hashcache.h"
#include "weights/keys.h"
#include "weights/model.h"
#include "weights/zip.h"

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

static void scan_one(void *arg, size_t task, int worker)
{
    struct sdg_inspection *r = arg;
    (void)worker;
    sdg_count_nonfinite(&r->values[task], &r->file.entries[task].tensor);
}

static void scan(struct sdg_inspection *r)
{
    r->values = calloc(r->file.count + 1, sizeof *r->values);
    if (!r->values) {
        r->status =
            sdg_fail(&r->verdict, SDGEN_ERR_MEMORY, "%s: no memory for --scan", r->file.path);
        return;
    }
    sdg_parallel_for(sdg_physical_cores(), r->file.count, scan_one, r);
    for (size_t i = 0; i < r->file.count; i++) {
        r->nan += r->values[i].nan;
        r->inf += r->values[i].inf;
        r->bad_tensors += r->values[i].nan || r->values[i].inf;
    }
    size_t unknown;
    if (r->file.form == SDG_FORM_TORCH_ZIP && r->status == SDGEN_OK)
        r->status = sdg_zip_check_crcs(&unknown, r->file.path, r->file.maps[0].data,
                                       r->file.maps[0].size, sdg_physical_cores(), &r->verdict);
    if (r->bad_tensors && r->status == SDGEN_OK)
        r->status = sdg_fail(&r->verdict, SDGEN_ERR_MODEL,
                             "%s: %zu NaN and %zu infinite values in %zu tensors: pictures will be "
                             "black; get the file anew",
                             r->file.path, r->nan, r->inf, r->bad_tensors);
}

static void inspection_destroy(struct sdg_inspection *r)
{
    free(r->values);
    sdg_filebinder_destroy(&r->binder);
    sdg_weights_close(&r->file);
    free(r);
}

/* ---- the command ---- */

int sdg_cmd_inspect(int argc, char **argv)
{
    struct sdg_inspect_options o = {0};
    const int end = sdg_args_parse(&o, sdg_command_find("inspect"), argc, argv);
    if (end >= 0) return end;
    if (!o.path) return sdg_say_usage("name a weight file; see sdgen inspect --help");
    struct sdg_inspection *r = calloc(1, sizeof *r);
    if (!r) return sdg_say_failure("out of memory");
    sdgen_error error;
    if (sdg_weights_open(&r->file, o.path, &error) != SDGEN_OK ||
        sdg_keys_canonical(&r->file, &error) != SDGEN_OK) {
        if (o.json) sdg_inspect_json_error(o.path, &error);
        inspection_destroy(r);
        return sdg_say_failure("%s", error.text);
    }
    struct sdg_hashjob *job = o.no_hash ? NULL : sdg_hashjob_start(o.path);
    sdg_family_find(&r->finding, &r->file);
    count_components(r);
    judge(r);
    if (o.scan) scan(r);
    sdg_hashjob_wait(job, r->hash);
    sdg_hashjob_free(job);
    if (o.json)
        sdg_inspect_json(r);
    else
        sdg_inspect_text(r, o.verbose);
    const int exit_status = r->status == SDGEN_OK ? SDG_EXIT_OK : SDG_EXIT_FAILURE;
    inspection_destroy(r);
    if (fflush(stdout) != 0 || ferror(stdout)) return sdg_say_failure("cannot write the report");
    return exit_status;
}
