/* arch_names.h - how the arch_*.c files read a network's plan out of tensor names and shapes.
 *
 * Two kinds of evidence. Names tell what is there: blocks, levels, layers. They are gathered in one
 * pass over all entries, so a single missing tensor hides no block. Shapes tell widths, and a width
 * is attested by several tensors ("witnesses"): the value that two of them agree on wins, so a
 * single mis-shaped tensor does not bend the plan. What is wrong is then reported by the binder, by
 * name. */
#ifndef SDG_WEIGHTS_ARCH_NAMES_H
#define SDG_WEIGHTS_ARCH_NAMES_H

#include <stdbool.h>
#include "files/weights.h"

enum { SDG_ARCH_MAX_WIDTH = 32768 }; /* wider than any layer of any diffusion model */

/* The text after `stem` when name begins with it, else NULL. */
const char *sdg_name_after(const char *name, const char *stem);

/* Reads "<stem><number>." at the start of name: true with the text after the dot in *rest. A number
 * of more than six digits counts as 999999. Forms that no writer makes ("01") are not numbers. */
bool sdg_name_number(const char **rest, int *number, const char *name, const char *stem);

/* The tensor `prefix` + `block` + `leaf`, or NULL. */
const struct sdg_tensor *sdg_arch_tensor(const struct sdg_weights *w, const char *prefix,
                                         const char *block, const char *leaf);

struct sdg_witness {
    const char *leaf; /* below the block */
    int dim;          /* which of its extents says the width */
};

enum { SDG_WITNESSES = 3 };

/* Where a width is looked up and what it must satisfy. */
struct sdg_width_rule {
    struct sdg_witness by[SDG_WITNESSES]; /* unused ones have leaf NULL */
    int multiple;                         /* the width must be a multiple of this; 0: of 1 */
};

/* *width = the extent two witnesses agree on, else that of the first there is. Errors:
 * SDGEN_ERR_MODEL when there is no witness, or the width is absurd or no multiple. */
SDGEN_MUST_CHECK sdgen_status sdg_arch_width(int *width, const struct sdg_weights *w,
                                             const char *prefix, const char *block,
                                             const struct sdg_width_rule *rule, sdgen_error *err);

#endif
