/* prompt_compel_weights.c - the weights of fragments in compel's language, once all of them are
 * read: flatten() of src/compel/prompt_parser.py. */
#include "text/prompt_parts.h"

#include <stdlib.h>

static int outer_first(const void *a, const void *b)
{
    const struct sdg_compel_weight *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    if (x->end != y->end) return x->end > y->end ? -1 : 1;
    return 0;
}

/* Products from the outside in, as flatten() multiplies; brackets around the same fragments
 * commute. The stack holds the product of each open bracket with all around it. */
static bool multiply(double *to, size_t n, struct sdg_compel_weight *w, size_t count)
{
    struct sdg_compel_weight *stack = NULL;
    size_t depth = 0, capacity = 0, next = 0;
    if (count) qsort(w, count, sizeof *w, outer_first);
    for (size_t i = 0; i < n; i++) {
        while (depth > 0 && stack[depth - 1].end <= i) depth--;
        for (; next < count && w[next].first <= i; next++) {
            if (w[next].end <= i) continue; /* of nothing */
            if (!sdg_list_grow((void **)&stack, &capacity, depth, sizeof *stack)) {
                free(stack);
                return false;
            }
            const double around = depth ? stack[depth - 1].weight : 1;
            stack[depth] = w[next];
            stack[depth++].weight *= around;
        }
        to[i] = depth ? stack[depth - 1].weight : 1;
    }
    free(stack);
    return true;
}

/* Fragments of one weight that follow each other are one text, blanks between them. */
static bool fuse(struct sdg_compel *c, struct sdg_compel_member *m, const struct sdg_segments *from,
                 const double *weights)
{
    const size_t first = c->segments.count;
    for (size_t i = m->first; i < m->first + m->count; i++) {
        const struct sdg_segment *x = &from->at[i];
        const char *text = from->text.at + x->start;
        struct sdg_segment *last =
            c->segments.count > first ? &c->segments.at[c->segments.count - 1] : NULL;
        if (last && last->weight == weights[i]) {
            if (!sdg_text_add(&c->segments.text, " ", 1)) return false;
            if (!sdg_text_add(&c->segments.text, text, x->length)) return false;
            last->length += 1 + x->length;
        } else if (!sdg_segments_add(&c->segments, text, x->length, weights[i])) {
            return false;
        }
    }
    m->first = first;
    m->count = c->segments.count - first;
    return true;
}

bool sdg_compel_fuse(struct sdg_compel *c, const struct sdg_segments *fragments,
                     struct sdg_compel_weight *weights, size_t count)
{
    double *products = malloc((fragments->count + 1) * sizeof *products);
    bool fine = products && multiply(products, fragments->count, weights, count);
    for (size_t k = 0; fine && k < c->member_count; k++)
        fine = fuse(c, &c->members[k], fragments, products);
    free(products);
    return fine;
}
