/* foreign_comfyui.c - ComfyUI: the graph that drew the picture, PNG text "prompt" (ComfyUI nodes.py
 * SaveImage). Every node is {"class_type": ..., "inputs": {name: value or [node, output]}}.
 *
 * The reader starts at the sampler of the first pass and walks against the arrows: positive and
 * negative to the text encoders, model and clip to the loaders, latent_image to the empty latent.
 * What it took is marked; every other value of the graph is put in as unknown, "Class.input", so a
 * node that sdgen does not do is seen by its values, or by its name when it has none. Walks are
 * bounded by the number of nodes; ids are found by bisection. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/foreign_comfyui.h"
#include "image/foreign_json.h"
#include "image/foreign_readers.h"

enum { VALUE_WALK = 8, NAME = 160, TAKEN = 1 << 20 };

/* ---- the graph ---- */

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct sdg_comfy_node *)a)->id, ((const struct sdg_comfy_node *)b)->id);
}

sdgen_status sdg_comfy_open(struct sdg_comfy_graph *g, const char *prompt, sdgen_error *err)
{
    sdgen_status status;
    SDG_TRY(sdg_foreign_open(&g->json, prompt, "ComfyUI's prompt", err));
    g->nodes = calloc((size_t)cJSON_GetArraySize(g->json) + 1, sizeof *g->nodes);
    if (!g->nodes) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for ComfyUI's graph");
    const cJSON *item;
    cJSON_ArrayForEach(item, g->json)
    {
        const cJSON *class = cJSON_GetObjectItemCaseSensitive(item, "class_type");
        const cJSON *inputs = cJSON_GetObjectItemCaseSensitive(item, "inputs");
        if (!item->string || !cJSON_IsString(class) || !cJSON_IsObject(inputs)) continue;
        g->nodes[g->count] = (struct sdg_comfy_node) {
            .id = item->string, .class = class->valuestring, .inputs = inputs, .order = g->count};
        g->count++;
    }
    if (!g->count) return sdg_fail(err, SDGEN_ERR_FORMAT, "ComfyUI's prompt: no nodes in it");
    qsort(g->nodes, g->count, sizeof *g->nodes, by_id);
fail:
    return status;
}

void sdg_comfy_close(struct sdg_comfy_graph *g)
{
    cJSON_Delete(g->json);
    free(g->nodes);
}

struct sdg_comfy_node *sdg_comfy_target(const struct sdg_comfy_graph *g, const cJSON *link)
{
    const cJSON *id = cJSON_IsArray(link) && cJSON_GetArraySize(link) == 2 ? link->child : NULL;
    char buffer[SDG_NUMBER_SIZE];
    const struct sdg_comfy_node key = {.id = id ? sdg_foreign_text(buffer, id) : NULL};
    return key.id ? bsearch(&key, g->nodes, g->count, sizeof *g->nodes, by_id) : NULL;
}

const cJSON *sdg_comfy_input(const struct sdg_comfy_node *node, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(node->inputs, key);
}

struct sdg_comfy_node *sdg_comfy_follow(const struct sdg_comfy_graph *g,
                                        const struct sdg_comfy_node *node, const char *key)
{
    return node ? sdg_comfy_target(g, sdg_comfy_input(node, key)) : NULL;
}

bool sdg_comfy_is(const struct sdg_comfy_node *node, const char *class)
{
    return strcmp(node->class, class) == 0;
}

/* ---- values ---- */

/* cJSON uses the lowest ten bits of `type`; one far above says here that the value was used. */
static void mark(const cJSON *item)
{
    ((cJSON *)(uintptr_t)item)->type |= TAKEN;
}

/* The value at node.key; where that is a link, the value that the node behind it hands out. Without
 * a value, NULL. */
static const cJSON *value_at(const struct sdg_comfy_graph *g, struct sdg_comfy_node *node,
                             const char *key)
{
    static const char *const names[] = {"value",  "seed",  "int",    "float",      "string", "text",
                                        "number", "Value", "Number", "noise_seed", "String"};
    char buffer[SDG_NUMBER_SIZE];
    const cJSON *item = sdg_comfy_input(node, key);
    for (int i = 0; item && i < VALUE_WALK; i++) {
        if (sdg_foreign_text(buffer, item)) return item;
        struct sdg_comfy_node *from = sdg_comfy_target(g, item);
        if (!from) return NULL;
        from->understood = true;
        item = sdg_comfy_input(from, key);
        for (size_t k = 0; !item && k < sizeof names / sizeof names[0]; k++)
            item = sdg_comfy_input(from, names[k]);
    }
    return NULL;
}

sdgen_status sdg_comfy_put(struct sdg_comfy_graph *g, enum sdg_field field,
                           struct sdg_comfy_node *node, const char *key, sdgen_error *err)
{
    char name[NAME];
    const cJSON *item = value_at(g, node, key);
    if (!item) return SDGEN_OK;
    mark(item);
    snprintf(name, sizeof name, "%s.%s", node->class, key);
    return sdg_foreign_put(g->s, field, name, item, err);
}

void sdg_comfy_drop(struct sdg_comfy_graph *g, struct sdg_comfy_node *node, const char *key,
                    const char *usual)
{
    char buffer[SDG_NUMBER_SIZE];
    const cJSON *item = value_at(g, node, key);
    const char *text = item ? sdg_foreign_text(buffer, item) : NULL;
    if (text && strcmp(text, usual) == 0) mark(item);
}

/* ---- which sampler ---- */

/* Marks every node that `node` draws from, itself included, with `bit`. `stack` holds count nodes.
 */
static void reach(struct sdg_comfy_graph *g, struct sdg_comfy_node **stack,
                  struct sdg_comfy_node *node, unsigned bit)
{
    size_t depth = 0;
    if (!node || node->marks & bit) return;
    node->marks |= bit;
    stack[depth++] = node;
    while (depth) {
        const cJSON *item;
        const struct sdg_comfy_node *top = stack[--depth];
        cJSON_ArrayForEach(item, top->inputs)
        {
            struct sdg_comfy_node *next = sdg_comfy_target(g, item);
            if (!next || next->marks & bit) continue;
            next->marks |= bit;
            stack[depth++] = next; /* each node once */
        }
    }
}

static bool is_sampler(const struct sdg_comfy_node *n)
{
    return sdg_comfy_is(n, "SamplerCustom") || sdg_comfy_is(n, "SamplerCustomAdvanced") ||
           (sdg_comfy_input(n, "sampler_name") && sdg_comfy_input(n, "steps") &&
            sdg_comfy_input(n, "cfg"));
}

static bool is_output(const struct sdg_comfy_node *n)
{
    return strstr(n->class, "Save") || strstr(n->class, "Preview");
}

static struct sdg_comfy_node *latent_of(const struct sdg_comfy_graph *g,
                                        const struct sdg_comfy_node *sampler)
{
    struct sdg_comfy_node *n = sdg_comfy_follow(g, sampler, "latent_image");
    return n ? n : sdg_comfy_follow(g, sampler, "latent");
}

/* The sampler that starts from no other sampler's latent: the first pass. Of several, the one that
 * comes first in the file. NULL when there is none. */
static sdgen_status first_sampler(struct sdg_comfy_node **found, struct sdg_comfy_graph *g,
                                  sdgen_error *err)
{
    enum { SHOWN = 1, UPSTREAM = 2, MOST = 32 };
    struct sdg_comfy_node **stack = calloc(g->count, sizeof *stack), *best = NULL;
    bool outputs = false;
    int samplers = 0;
    if (!stack) return sdg_fail(err, SDGEN_ERR_MEMORY, "out of memory for ComfyUI's graph");
    for (size_t i = 0; i < g->count; i++)
        if (is_output(&g->nodes[i])) {
            reach(g, stack, &g->nodes[i], SHOWN);
            outputs = true;
        }
    for (size_t i = 0; i < g->count && samplers < MOST; i++) {
        struct sdg_comfy_node *n = &g->nodes[i];
        if (!is_sampler(n) || (outputs && !(n->marks & SHOWN))) continue;
        samplers++;
        for (size_t k = 0; k < g->count; k++) g->nodes[k].marks &= ~(unsigned)UPSTREAM;
        reach(g, stack, latent_of(g, n), UPSTREAM);
        bool first = true;
        for (size_t k = 0; k < g->count; k++)
            first = first && !(g->nodes[k].marks & UPSTREAM && is_sampler(&g->nodes[k]));
        if (first && (!best || n->order < best->order)) best = n;
    }
    free(stack);
    *found = best;
    return SDGEN_OK;
}

/* ---- what the walks left ---- */

static bool harmless(const struct sdg_comfy_node *n)
{
    static const char *const classes[] = {"Note", "MarkdownNote", "Reroute", "VAEDecode",
                                          "VAEDecodeTiled"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (sdg_comfy_is(n, classes[i])) return true;
    return is_output(n);
}

static sdgen_status put_rest(struct sdg_comfy_graph *g, sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    char name[NAME], buffer[SDG_NUMBER_SIZE];
    for (size_t i = 0; i < g->count; i++) {
        const struct sdg_comfy_node *n = &g->nodes[i];
        const cJSON *item;
        bool seen = n->understood;
        if (harmless(n)) continue;
        cJSON_ArrayForEach(item, n->inputs)
        {
            if (!sdg_foreign_text(buffer, item)) continue;
            seen = true;
            if (item->type & TAKEN) continue;
            snprintf(name, sizeof name, "%s.%s", n->class, item->string);
            SDG_TRY(sdg_foreign_put(g->s, SDG_FIELD_OTHER, name, item, err));
        }
        if (!seen)
            SDG_TRY(sdg_settings_put(g->s, SDG_FIELD_OTHER, n->class, n->id, strlen(n->id), err));
    }
fail:
    return status;
}

sdgen_status sdg_read_comfyui(struct sdg_settings *s, const char *prompt, sdgen_error *err)
{
    sdgen_status status;
    struct sdg_comfy_graph g = {.s = s};
    struct sdg_comfy_node *sampler = NULL;
    s->program = SDG_PROGRAM_COMFYUI;
    SDG_TRY(sdg_comfy_open(&g, prompt, err));
    SDG_TRY(first_sampler(&sampler, &g, err));
    if (sampler) SDG_TRY(sdg_comfy_sampler(&g, sampler, err));
    SDG_TRY(put_rest(&g, err));
fail:
    sdg_comfy_close(&g);
    return status;
}
