/* bundle_choose.c - which of several files holds the weights of a component.
 *
 *     diffusion_pytorch_model.safetensors             whole; model, pytorch_model: of transformers
 *     diffusion_pytorch_model.fp16.safetensors        a variant
 *     diffusion_pytorch_model.safetensors.index.json  names shards
 *     diffusion_pytorch_model.safetensors.index.fp16.json, ....safetensors.fp16.index.json: of a
 *     variant, as diffusers writes and as it wrote once
 *
 * .bin is torch.save's. First counts the variant: the wanted one, else full precision, else fp16;
 * then safetensors before .bin, then whole before shards. */
#include <string.h>

#include "files/bundle.h"

enum { TOKENS = 6 };

struct token {
    const char *text;
    size_t size;
};

/* What a file name says. */
struct weight_name {
    struct token variant; /* size 0: none */
    bool is_bin, is_index;
    int stem; /* number in stems */
};

static const char *const stems[] = {"diffusion_pytorch_model", "model", "pytorch_model"};

static bool same(const struct token *t, const char *text)
{
    return t->size == strlen(text) && memcmp(t->text, text, t->size) == 0;
}

/* Cuts at the dots; 0 when there are too many. */
static int cut(struct token tokens[TOKENS], const char *name)
{
    int count = 0;
    for (const char *p = name;; p += tokens[count - 1].size + 1) {
        if (count == TOKENS) return 0;
        tokens[count++] = (struct token) {p, strcspn(p, ".")};
        if (p[tokens[count - 1].size] == 0) return count;
    }
}

/* False when the file holds no weights, or only some of them: shards are named by their index. */
static bool read_name(struct weight_name *n, const char *name)
{
    struct token t[TOKENS];
    const int count = cut(t, name);
    bool has_type = false, has_index = false;
    *n = (struct weight_name) {.variant = {"", 0}};
    const int stem_count = sizeof stems / sizeof *stems;
    while (n->stem < stem_count && (count < 2 || !same(&t[0], stems[n->stem]))) n->stem++;
    if (n->stem == stem_count) return false;
    n->is_index = same(&t[count - 1], "json");
    const int last = n->is_index ? count - 2 : count - 1;
    for (int i = 1; i <= last; i++) {
        const bool is_type = same(&t[i], "safetensors") || same(&t[i], "bin");
        if (is_type && !has_type) {
            has_type = true;
            n->is_bin = same(&t[i], "bin");
        } else if (n->is_index && !has_index && same(&t[i], "index")) {
            has_index = true;
        } else if (n->variant.size == 0 && t[i].size > 0) {
            n->variant = t[i];
        } else {
            return false;
        }
    }
    for (size_t i = 0; i + 4 <= n->variant.size; i++)
        if (memcmp(n->variant.text + i, "-of-", 4) == 0) return false;
    return has_type && has_index == n->is_index &&
           (n->is_index || same(&t[last], n->is_bin ? "bin" : "safetensors"));
}

/* How far down the list of variants; 0 is best. */
static unsigned variant_rank(const struct token *variant, const char *wanted)
{
    static const char *const order[] = {"", "fp32", "fp16", "bf16", "ema"};
    const unsigned count = sizeof order / sizeof *order;
    unsigned rank = 0;
    if (wanted && same(variant, wanted)) return 0;
    while (rank < count && !same(variant, order[rank])) rank++;
    return 1 + rank + same(variant, "non_ema");
}

const struct sdg_bundle_file *sdg_bundle_choose(bool *is_index, struct sdg_bundle *b,
                                                const char *folder)
{
    const struct sdg_bundle_file *best = NULL;
    const size_t skip = folder[0] ? strlen(folder) + 1 : 0;
    unsigned least = ~0u;
    *is_index = false;
    for (size_t i = 0; i < b->count; i++) {
        const char *name = b->files[i].name;
        struct weight_name n;
        if (skip && (strncmp(name, folder, skip - 1) != 0 || name[skip - 1] != '/')) continue;
        if (strchr(name + skip, '/') || !read_name(&n, name + skip)) continue;
        const unsigned variant = variant_rank(&n.variant, b->variant);
        const unsigned rank =
            ((variant * 2 + n.is_bin) * 2 + n.is_index) * 4 + (unsigned)n.stem; /* 4: stems fit */
        if (variant == 0) b->variant_found = true;
        if (rank >= least) continue;
        least = rank;
        best = &b->files[i];
        *is_index = n.is_index;
    }
    return best;
}
