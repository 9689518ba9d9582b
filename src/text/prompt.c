/* prompt.c - a prompt from text to chunks, in the order of the program that is followed (prompt.h):
 *
 *     A1111    comments, networks, AND, editing; then every text: brackets, tokens, chunks
 *     compel   its own grammar, then chunks and what is to be done with their encodings
 *     others   networks, if any; brackets, tokens, chunks
 *
 * Sources: AUTOMATIC1111 stable-diffusion-webui 1.10 (modules/processing.py, prompt_parser.py),
 * stable-diffusion.cpp (examples/common). A negative prompt keeps <...> and AND as text there. Each
 * stage has its own file, prompt_*.c. */
#include "text/prompt_parts.h"

#include <stdlib.h>
#include <string.h>

/* All texts of one prompt, in bytes: a short prompt can ask for a different long text at every
 * model call. */
#define TEXTS_LIMIT ((size_t)1 << 28)

struct work {
    struct sdg_prompt *p;
    const struct sdg_prompt_rules *rules;
    const struct sdg_tokenizer *tokenizer;
    struct sdg_segments segments;
    struct sdg_text rendered;
    size_t text_capacity, part_capacity;
    size_t *slots; /* hash table of text index + 1 */
    size_t slot_count, total;
};

static sdgen_status no_memory(size_t length, sdgen_error *err)
{
    return sdg_fail(err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu bytes", length);
}

/* ---- one text ---- */

static sdgen_status weigh(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    struct sdg_segments *s = &w->segments;
    sdg_segments_reset(s);
    if (!w->rules->no_attention) {
        switch (w->rules->language) {
        case SDG_PROMPT_A1111: return sdg_attention_a1111(s, text, length, err);
        case SDG_PROMPT_SDCPP: return sdg_attention_sdcpp(s, text, length, err);
        case SDG_PROMPT_COMFYUI: return sdg_attention_comfyui(s, w->p, text, length, err);
        case SDG_PROMPT_COMPEL:
        case SDG_PROMPT_PLAIN: break;
        }
    }
    return sdg_segments_add(s, text, length, 1) ? SDGEN_OK : no_memory(length, err);
}

static sdgen_status make_compel(struct work *w, struct sdg_prompt_text *t, const char *text,
                                size_t length, sdgen_error *err)
{
    struct sdg_compel c;
    sdgen_status status = sdg_compel_parse(&c, w->p, text, length, err);
    if (status != SDGEN_OK) return status;
    status = sdg_compel_chunks(t, &c, w->tokenizer, err);
    sdg_compel_free(&c);
    return status;
}

static sdgen_status make_text(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    struct sdg_prompt *p = w->p;
    sdgen_status status;
    if (!sdg_list_grow((void **)&p->texts, &w->text_capacity, p->text_count, sizeof *p->texts))
        return no_memory(length, err);
    struct sdg_prompt_text *t = &p->texts[p->text_count];
    *t = (struct sdg_prompt_text) {.text = malloc(length + 1)};
    if (!t->text) return no_memory(length, err);
    p->text_count++;
    if (length > 0) memcpy(t->text, text, length);
    t->text[length] = 0;
    if (w->rules->language == SDG_PROMPT_COMPEL && !w->rules->no_attention) {
        SDG_TRY(make_compel(w, t, text, length, err));
    } else {
        SDG_TRY(weigh(w, text, length, err));
        SDG_TRY(
            sdg_chunk_segments(&t->chunks, &w->segments, w->tokenizer, w->rules->chunking, err));
    }
    if (t->chunks.tokens > p->tokens) p->tokens = t->chunks.tokens;
    if (t->chunks.dropped > p->dropped) p->dropped = t->chunks.dropped;
    for (size_t i = 0; i < t->chunks.count * SDG_CHUNK_LENGTH && !p->weighted; i++)
        p->weighted = t->chunks.weights[i] != 1;
fail:
    return status;
}

/* ---- distinct texts ---- */

static size_t hash_of(const char *text, size_t length)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot of a text, or the free one where it belongs. */
static size_t find_slot(const struct work *w, const char *text, size_t length)
{
    size_t slot = hash_of(text, length) & (w->slot_count - 1);
    while (w->slots[slot]) {
        const char *known = w->p->texts[w->slots[slot] - 1].text;
        if (strncmp(known, text, length) == 0 && known[length] == 0) break;
        slot = (slot + 1) & (w->slot_count - 1);
    }
    return slot;
}

static bool grow_slots(struct work *w)
{
    if (w->slot_count > 2 * w->p->text_count) return true;
    const size_t count = w->slot_count ? 4 * w->slot_count : 64;
    size_t *slots = calloc(count, sizeof *slots);
    if (!slots) return false;
    free(w->slots);
    w->slots = slots;
    w->slot_count = count;
    for (size_t i = 0; i < w->p->text_count; i++) {
        const char *text = w->p->texts[i].text;
        w->slots[find_slot(w, text, strlen(text))] = i + 1;
    }
    return true;
}

static sdgen_status index_of(size_t *index, struct work *w, const char *text, size_t length,
                             sdgen_error *err)
{
    sdgen_status status = SDGEN_OK;
    if (!grow_slots(w)) return no_memory(length, err);
    const size_t slot = find_slot(w, text, length);
    if (w->slots[slot]) {
        *index = w->slots[slot] - 1;
        return status;
    }
    w->total += length;
    if (w->total > TEXTS_LIMIT)
        return sdg_fail(err, SDGEN_ERR_ARG,
                        "prompt: its texts at all model calls are more than %zu MB together",
                        TEXTS_LIMIT >> 20);
    *index = w->p->text_count;
    SDG_TRY(make_text(w, text, length, err));
    w->slots[slot] = *index + 1;
fail:
    return status;
}

/* ---- parts and turns ---- */

static struct sdg_prompt_part *add_part(struct work *w, double weight)
{
    struct sdg_prompt *p = w->p;
    if (!sdg_list_grow((void **)&p->parts, &w->part_capacity, p->part_count, sizeof *p->parts))
        return NULL;
    p->parts[p->part_count] = (struct sdg_prompt_part) {.weight = weight};
    return &p->parts[p->part_count++];
}

/* A text that stays the same at all model calls. */
static sdgen_status steady_part(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    struct sdg_prompt_part *part = add_part(w, 1);
    if (part) part->turns = calloc(1, sizeof *part->turns);
    if (!part || !part->turns) return no_memory(length, err);
    part->count = 1;
    part->turns[0].until = w->rules->steps;
    return index_of(&part->turns[0].text, w, text, length, err);
}

static sdgen_status edited_part(struct work *w, const char *text, const struct sdg_side *side,
                                sdgen_error *err)
{
    struct sdg_editing *e = NULL;
    struct sdg_prompt_part *part = add_part(w, side->weight);
    sdgen_status status = SDGEN_OK;
    size_t count = 0;
    if (!part) return no_memory(side->length, err);
    SDG_TRY(sdg_editing_parse(&e, text + side->start, side->length, w->rules, err));
    while (sdg_editing_until(e, count) >= 0) count++;
    part->turns = calloc(count, sizeof *part->turns);
    for (size_t i = 0; i < count; i++) {
        const int until = sdg_editing_until(e, i);
        if (!part->turns || !sdg_editing_render(&w->rendered, e, until)) {
            status = no_memory(side->length, err);
            goto fail;
        }
        part->turns[part->count++].until = until;
        SDG_TRY(index_of(&part->turns[i].text, w, w->rendered.at, w->rendered.count, err));
    }
fail:
    sdg_editing_free(e);
    return status;
}

/* ---- languages ---- */

static sdgen_status read_a1111(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    struct sdg_text bare = {0}, rest = {0};
    struct sdg_sides sides = {0};
    const bool negative = w->rules->negative;
    sdgen_status status = SDGEN_OK;
    bool fine = sdg_prompt_strip_comments(&bare, text, length);
    if (negative) {
        const struct sdg_side all = {.length = bare.count, .weight = 1};
        if (fine) SDG_TRY(edited_part(w, bare.at, &all, err));
    } else {
        fine = fine && sdg_prompt_take_networks(&rest, w->p, bare.at, bare.count) &&
               sdg_prompt_split_and(&sides, rest.at, rest.count);
        for (size_t i = 0; fine && i < sides.count; i++)
            SDG_TRY(edited_part(w, rest.at, &sides.at[i], err));
    }
    if (!fine) status = no_memory(length, err);
fail:
    sdg_text_free(&bare);
    sdg_text_free(&rest);
    free(sides.at);
    return status;
}

static sdgen_status read_sdcpp(struct work *w, const char *text, size_t length, sdgen_error *err)
{
    struct sdg_text rest = {0};
    sdgen_status status;
    if (w->rules->negative) return steady_part(w, text, length, err);
    if (sdg_prompt_take_loras(&rest, w->p, text, length))
        status = steady_part(w, rest.at, rest.count, err);
    else
        status = no_memory(length, err);
    sdg_text_free(&rest);
    return status;
}

sdgen_status sdg_prompt_parse(struct sdg_prompt *p, const char *text,
                              const struct sdg_prompt_rules *rules, const struct sdg_tokenizer *t,
                              sdgen_error *err)
{
    const size_t length = strlen(text);
    struct work w = {.p = p, .rules = rules, .tokenizer = t};
    sdgen_status status;
    sdg_prompt_free(p);
    if (length > SDG_PROMPT_LIMIT)
        return sdg_fail(err, SDGEN_ERR_ARG, "prompt: %zu bytes are too many, %zu are the most",
                        length, SDG_PROMPT_LIMIT);
    if (rules->language == SDG_PROMPT_A1111)
        status = read_a1111(&w, text, length, err);
    else if (rules->language == SDG_PROMPT_SDCPP)
        status = read_sdcpp(&w, text, length, err);
    else
        status = steady_part(&w, text, length, err);
    sdg_segments_free(&w.segments);
    sdg_text_free(&w.rendered);
    free(w.slots);
    if (status != SDGEN_OK) sdg_prompt_free(p);
    return status;
}

void sdg_prompt_free(struct sdg_prompt *p)
{
    for (size_t i = 0; i < p->text_count; i++) {
        struct sdg_prompt_text *t = &p->texts[i];
        for (size_t k = 0; k < t->piece_count; k++) {
            sdg_chunks_free(&t->pieces[k].chunks);
            free(t->pieces[k].hidden);
        }
        free(t->pieces);
        sdg_chunks_free(&t->chunks);
        free(t->text);
    }
    for (size_t i = 0; i < p->part_count; i++) free(p->parts[i].turns);
    for (size_t i = 0; i < p->network_count; i++) {
        free(p->networks[i].name);
        free(p->networks[i].arguments);
    }
    free(p->texts);
    free(p->parts);
    free(p->networks);
    *p = (struct sdg_prompt) {0};
}

/* Behind the last turn, the first counts again: A1111 (reconstruct_cond_batch) looks for an entry
 * that has not ended, from entry 0 on, and keeps that where it finds none. */
size_t sdg_prompt_text_at(const struct sdg_prompt_part *part, int call)
{
    size_t low = 0, high = part->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (part->turns[middle].until >= call)
            high = middle;
        else
            low = middle + 1;
    }
    return part->turns[low < part->count ? low : 0].text;
}
