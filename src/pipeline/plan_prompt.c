/* plan_prompt.c - in which language the prompts are written, and what they say. */
#include "pipeline/plan_parts.h"

#include <math.h>

#include "base/names.h"

enum { MAX_PARTS = 256 }; /* each is one more pass of the UNet in every call */

/* ---- language and emphasis ---- */

static sdgen_status plan_language(struct sdg_plan *p, sdgen_error *err)
{
    p->language = p->convention->language;
    if (p->params->literal_prompt) {
        p->language = SDG_PROMPT_PLAIN;
        return SDGEN_OK;
    }
    if (!p->params->prompt_language) return SDGEN_OK;
    return sdg_prompt_language_find(&p->language, p->params->prompt_language, err);
}

static sdgen_status plan_emphasis(struct sdg_plan *p, sdgen_error *err)
{
    static const enum sdg_emphasis modes[] = {SDG_EMPHASIS_ORIGINAL, SDG_EMPHASIS_NO_NORM,
                                              SDG_EMPHASIS_IGNORE, SDG_EMPHASIS_NONE};
    const char *name = p->params->emphasis;
    p->emphasis = sdg_emphasis_default(p->language);
    if (!name) return SDGEN_OK;
    const int i = sdg_name_choice(name, "original|nonorm|ignore|none");
    if (i < 0)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "--emphasis %s: no such mode; there are original, no-norm, ignore and none",
                        name);
    p->emphasis = modes[i];
    return SDGEN_OK;
}

/* ---- texts ---- */

/* What is written as <name:...> asks for networks that nothing here can add. */
static sdgen_status check_networks(const struct sdg_plan *p, const struct sdg_prompt *prompt,
                                   sdgen_error *err)
{
    if (prompt->network_count == 0 || p->params->ignore_unsupported) return SDGEN_OK;
    const struct sdg_prompt_network *n = &prompt->networks[0];
    return sdg_fail(err, SDGEN_ERR_ARG,
                    "prompt: <%s:%s> asks for an extra network, which is not supported yet; take "
                    "it out, or draw without it by --ignore-unsupported",
                    n->name, n->arguments);
}

static bool is_composed(const struct sdg_prompt *prompt)
{
    double sum = 0;
    for (size_t i = 0; i < prompt->part_count; i++) sum += prompt->parts[i].weight;
    return fabs(sum - 1) > 1e-9;
}

sdgen_status sdg_plan_prompts(struct sdg_plan *p, const struct sdgen_engine *e, sdgen_error *err)
{
    const sdgen_image_params *params = p->params;
    sdgen_status status;
    if (!params->prompt) return sdg_fail(err, SDGEN_ERR_ARG, "no prompt: say what to draw with -p");
    SDG_TRY(plan_language(p, err));
    SDG_TRY(plan_emphasis(p, err));
    struct sdg_prompt_rules rules = {
        .language = p->language,
        .chunking = p->convention->chunking,
        .steps = p->calls,
        .old_editing = params->old_prompt_editing != 0,
        .no_attention = p->emphasis == SDG_EMPHASIS_NONE,
    };
    SDG_TRY(sdg_prompt_parse(&p->cond, params->prompt, &rules, e->tokenizer, err));
    SDG_TRY(check_networks(p, &p->cond, err));
    if (p->cond.part_count > MAX_PARTS)
        return sdg_fail(err, SDGEN_ERR_ARG, "prompt: %zu parts joined by AND; at most %d",
                        p->cond.part_count, MAX_PARTS);
    rules.negative = true;
    SDG_TRY(sdg_prompt_parse(&p->uncond, params->negative_prompt ? params->negative_prompt : "",
                             &rules, e->tokenizer, err));
    SDG_TRY(check_networks(p, &p->uncond, err));
    p->composed = is_composed(&p->cond);
    p->guided |= p->composed;
fail:
    return status;
}
