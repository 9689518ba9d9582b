/* inspect_json.c - the report of `sdgen inspect --json`: one object, nothing cut, counts as
 * numbers. */
#include "cli/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>

#include "cli/message.h"

static void add_shape(cJSON *object, const char *key, const int64_t *shape, int rank)
{
    cJSON *array = cJSON_AddArrayToObject(object, key);
    for (int d = 0; d < rank; d++)
        cJSON_AddItemToArray(array, cJSON_CreateNumber((double)shape[d]));
}

static void add_ints(cJSON *object, const char *key, const int *values, int count)
{
    cJSON_AddItemToObject(object, key, cJSON_CreateIntArray(values, count));
}

/* [[1,1],[1,1],[0,0]]: layers of the transformers beside the resblocks, level by level. */
static void add_depths(cJSON *object, const char *key, const struct sdg_unet_config *c,
                       const int (*depth)[SDG_UNET_MAX_PER_LEVEL], int more)
{
    cJSON *levels = cJSON_AddArrayToObject(object, key);
    for (int l = 0; l < c->levels; l++)
        cJSON_AddItemToArray(levels, cJSON_CreateIntArray(depth[l], c->blocks[l] + more));
}

static void add_number(cJSON *object, const char *key, size_t n)
{
    cJSON_AddNumberToObject(object, key, (double)n);
}

static void add_components(cJSON *root, const struct sdg_inspection *r)
{
    cJSON *list = cJSON_AddArrayToObject(root, "components");
    for (int i = 0; i < SDG_COMPONENTS; i++) {
        const struct sdg_component *c = &r->components[i];
        if (!c->tensors) continue;
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(list, o);
        cJSON_AddStringToObject(o, "name", c->label);
        cJSON_AddStringToObject(o, "prefix", c->prefix);
        add_number(o, "tensors", c->tensors);
        add_number(o, "parameters", c->parameters);
        cJSON *types = cJSON_AddObjectToObject(o, "tensors_by_type");
        for (int d = 0; d < SDG_DTYPE_COUNT; d++)
            if (c->by_dtype[d])
                add_number(types, sdg_dtype_name((enum sdg_dtype)d), c->by_dtype[d]);
    }
}

static void add_plans(cJSON *root, const struct sdg_inspection *r)
{
    if (r->has_unet) {
        const struct sdg_unet_config *c = &r->unet;
        cJSON *o = cJSON_AddObjectToObject(root, "unet");
        add_ints(o, "widths", c->channels, c->levels);
        add_depths(o, "encoder_transformers", c, c->depth_in, 0);
        add_depths(o, "decoder_transformers", c, c->depth_out, 1);
        add_ints(o, "heads", c->heads, c->levels);
        cJSON *without = cJSON_AddArrayToObject(o, "levels_without_self_attention");
        for (int l = 0; l < c->levels; l++)
            if (c->only_cross[l]) cJSON_AddItemToArray(without, cJSON_CreateNumber(l));
        add_ints(o, "resblocks", c->blocks, c->levels);
        add_number(o, "middle_resblocks", (size_t)c->middle);
        add_number(o, "middle_transformers", (size_t)c->middle_depth);
        add_number(o, "context", (size_t)c->context);
        add_number(o, "label", (size_t)c->label);
        add_number(o, "guidance_embedding", (size_t)c->time_cond);
        add_number(o, "in_channels", (size_t)c->in_channels);
        add_number(o, "out_channels", (size_t)c->out_channels);
        cJSON_AddBoolToObject(o, "linear_projection", c->linear_projection);
    }
    cJSON *texts = r->clip_count ? cJSON_AddArrayToObject(root, "text_encoders") : NULL;
    for (int i = 0; i < r->clip_count; i++) {
        const struct sdg_clip_config *c = &r->clips[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddItemToArray(texts, o);
        add_number(o, "layers", (size_t)c->layers);
        add_number(o, "width", (size_t)c->width);
        add_number(o, "heads", (size_t)c->heads);
        add_number(o, "mlp", (size_t)c->mlp);
        add_number(o, "projection", (size_t)c->projection);
        cJSON_AddStringToObject(o, "activation", c->activation == SDG_GELU ? "gelu" : "quick_gelu");
        add_number(o, "vocabulary", (size_t)c->vocab);
        add_number(o, "positions", (size_t)c->positions);
    }
    if (r->has_vae) {
        cJSON *o = cJSON_AddObjectToObject(root, "vae");
        add_ints(o, "widths", r->vae.channels, r->vae.levels);
        add_number(o, "resblocks", (size_t)r->vae.blocks);
        add_number(o, "latent_channels", (size_t)r->vae.z_channels);
        add_number(o, "factor", (size_t)1 << (r->vae.levels - 1));
        cJSON_AddBoolToObject(o, "encoder", r->vae.has_encoder);
    }
}

static void add_facts(cJSON *root, const struct sdg_inspection *r)
{
    const struct sdg_facts *f = &r->facts;
    if (!r->has_unet || !f->native_width) return;
    cJSON *o = cJSON_AddObjectToObject(root, "trained");
    cJSON_AddStringToObject(o, "family", sdg_family_name(f->family));
    cJSON_AddStringToObject(o, "prediction", sdg_target_name(f->target));
    cJSON_AddBoolToObject(o, "zero_terminal_snr", f->zero_terminal_snr);
    add_number(o, "width", (size_t)f->native_width);
    add_number(o, "height", (size_t)f->native_height);
    cJSON_AddNumberToObject(o, "latent_scale", (double)f->latent_scale);
    cJSON *evidence = cJSON_AddArrayToObject(o, "evidence");
    for (int i = 0; i < f->evidence_count; i++)
        cJSON_AddItemToArray(evidence, cJSON_CreateString(f->evidence[i]));
}

static void add_binding(cJSON *root, const struct sdg_inspection *r)
{
    if (!r->bound) return;
    cJSON *o = cJSON_AddObjectToObject(root, "binding");
    add_number(o, "used", r->binder.used);
    add_number(o, "leftovers", r->leftovers);
    cJSON *missing = cJSON_AddArrayToObject(o, "missing");
    cJSON *misshaped = cJSON_AddArrayToObject(o, "misshaped");
    for (size_t i = 0; i < r->binder.problem_count; i++) {
        const struct sdg_bind_problem *p = &r->binder.problems[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(p->found ? misshaped : missing, item);
        cJSON_AddStringToObject(item, "name", p->name);
        add_shape(item, "want", p->shape, p->rank);
        if (!p->found) continue;
        add_shape(item, "found", p->found->tensor.shape, p->found->tensor.rank);
        cJSON_AddStringToObject(item, "type", sdg_dtype_name(p->found->tensor.dtype));
    }
    cJSON *unused = cJSON_AddArrayToObject(o, "unused");
    for (size_t i = 0; i < r->file.count; i++)
        if (!r->binder.taken[i] && !sdg_is_leftover(r->file.entries[i].name))
            cJSON_AddItemToArray(unused, cJSON_CreateString(r->file.entries[i].name));
}

static void add_scan(cJSON *root, const struct sdg_inspection *r)
{
    if (!r->values) return;
    cJSON *o = cJSON_AddObjectToObject(root, "scan");
    add_number(o, "nan", r->sum.nan);
    add_number(o, "inf", r->sum.inf);
    add_number(o, "denormal", r->sum.denormal);
    add_number(o, "zero", r->sum.zero);
    cJSON *list = cJSON_AddArrayToObject(o, "tensors"),
          *zeros = cJSON_AddArrayToObject(o, "all_zero");
    cJSON *twins = cJSON_AddArrayToObject(o, "duplicates");
    for (size_t i = 0; i < r->file.count; i++) {
        const struct sdg_value_counts *v = &r->values[i];
        const struct sdg_entry *e = &r->file.entries[i];
        const size_t count = sdg_tensor_count(&e->tensor);
        if (count > 1 && v->zero == count) cJSON_AddItemToArray(zeros, cJSON_CreateString(e->name));
        if (v->nan || v->inf) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddItemToArray(list, item);
            cJSON_AddStringToObject(item, "name", e->name);
            add_number(item, "nan", v->nan);
            add_number(item, "inf", v->inf);
        }
        if (r->twins.of && r->twins.of[i] != i) {
            cJSON *item = cJSON_CreateObject();
            cJSON_AddItemToArray(twins, item);
            cJSON_AddStringToObject(item, "name", e->name);
            cJSON_AddStringToObject(item, "is", r->file.entries[r->twins.of[i]].name);
        }
    }
}

static void add_advice(cJSON *root, const struct sdg_inspection *r)
{
    cJSON *list = cJSON_AddArrayToObject(root, "commands");
    for (int i = 0; i < r->advice_count; i++) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddItemToArray(list, item);
        cJSON_AddStringToObject(item, "to", r->advice[i].purpose);
        cJSON_AddStringToObject(item, "command", r->advice[i].command);
    }
}

static void add_hashes(cJSON *root, const struct sdg_inspection *r)
{
    char brief[11];
    if (r->hash[0]) {
        snprintf(brief, sizeof brief, "%.10s", r->hash);
        cJSON_AddStringToObject(root, "sha256", r->hash);
        cJSON_AddStringToObject(root, "model_hash", brief);
    }
    if (r->hashes.old[0]) cJSON_AddStringToObject(root, "old_hash", r->hashes.old);
    if (r->hashes.addnet[0]) cJSON_AddStringToObject(root, "addnet_hash", r->hashes.addnet);
}

static void print(cJSON *root)
{
    if (sdg_say_json(root) != SDG_EXIT_OK) puts("{\"ok\": false, \"error\": \"out of memory\"}");
}

void sdg_inspect_json(const struct sdg_inspection *r)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", r->file.path);
    cJSON_AddStringToObject(root, "form", sdg_form_name(r->file.form));
    add_number(root, "bytes", sdg_weights_bytes(&r->file));
    add_number(root, "tensors", r->file.count);
    cJSON_AddStringToObject(root, "kind", r->finding.name);
    cJSON *evidence = cJSON_AddArrayToObject(root, "evidence");
    for (int i = 0; i < r->finding.evidence_count; i++)
        cJSON_AddItemToArray(evidence, cJSON_CreateString(r->finding.evidence[i]));
    cJSON_AddBoolToObject(root, "ok", r->status == SDGEN_OK);
    cJSON_AddStringToObject(root, "condition",
                            r->condition == SDG_CONDITION_OK           ? "ok"
                            : r->condition == SDG_CONDITION_REPAIRABLE ? "repairable"
                                                                       : "refused");
    if (r->status != SDGEN_OK) cJSON_AddStringToObject(root, "error", r->verdict.text);
    add_hashes(root, r);
    add_components(root, r);
    add_plans(root, r);
    add_facts(root, r);
    cJSON *metadata = cJSON_AddObjectToObject(root, "metadata");
    for (size_t i = 0; i < r->file.metadata_count; i++)
        cJSON_AddStringToObject(metadata, r->file.metadata[i].key, r->file.metadata[i].value);
    sdg_inspect_pickles_json(root, &r->pickles);
    add_binding(root, r);
    add_scan(root, r);
    add_advice(root, r);
    print(root);
}

void sdg_inspect_json_refused(const char *path, const sdgen_error *error,
                              const struct sdg_scan *pickles)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", path);
    cJSON_AddBoolToObject(root, "ok", false);
    cJSON_AddStringToObject(root, "condition", "refused");
    cJSON_AddStringToObject(root, "error", error->text);
    sdg_inspect_pickles_json(root, pickles);
    print(root);
}
