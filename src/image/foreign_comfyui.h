/* foreign_comfyui.h - a ComfyUI graph while it is read; not for others. */
#ifndef SDG_IMAGE_FOREIGN_COMFYUI_H
#define SDG_IMAGE_FOREIGN_COMFYUI_H

#include "image/foreign_json.h"

struct sdg_comfy_node {
    const char *id, *class;
    const cJSON *inputs;
    size_t order;    /* in the file */
    unsigned marks;  /* of walks */
    bool understood; /* what it does is known, even where it has no values */
};

struct sdg_comfy_graph {
    cJSON *json;
    struct sdg_comfy_node *nodes; /* [count], by id */
    size_t count;
    struct sdg_settings *s;
};

SDGEN_MUST_CHECK sdgen_status sdg_comfy_open(struct sdg_comfy_graph *g, const char *prompt,
                                             sdgen_error *err);
void sdg_comfy_close(struct sdg_comfy_graph *g);

const cJSON *sdg_comfy_input(const struct sdg_comfy_node *node, const char *key);
bool sdg_comfy_is(const struct sdg_comfy_node *node, const char *class);
/* The node behind a link, behind node.key; NULL where there is none, or no node. */
struct sdg_comfy_node *sdg_comfy_target(const struct sdg_comfy_graph *g, const cJSON *link);
struct sdg_comfy_node *sdg_comfy_follow(const struct sdg_comfy_graph *g,
                                        const struct sdg_comfy_node *node, const char *key);

/* Puts the value of node.key, its own or what a link leads to, and marks it as used. Nothing where
 * there is none. */
SDGEN_MUST_CHECK sdgen_status sdg_comfy_put(struct sdg_comfy_graph *g, enum sdg_field field,
                                            struct sdg_comfy_node *node, const char *key,
                                            sdgen_error *err);
/* Marks the value of node.key as used when it is the usual one, which says nothing. */
void sdg_comfy_drop(struct sdg_comfy_graph *g, struct sdg_comfy_node *node, const char *key,
                    const char *usual);

/* Everything that the sampler draws with (foreign_comfywalk.c). */
SDGEN_MUST_CHECK sdgen_status sdg_comfy_sampler(struct sdg_comfy_graph *g,
                                                struct sdg_comfy_node *sampler, sdgen_error *err);

#endif
