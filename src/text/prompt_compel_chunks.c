/* prompt_compel_chunks.c - what compel's text encoder is given for a parsed prompt
 * (prompt_compel.c), and how the encodings are summed: src/compel/embeddings_provider.py
 * (get_embeddings_for_weighted_prompt_fragments, with its defaults: truncation,
 * DownweightMode.MASK) and compel.py (build_conditioning_tensor_for_conjunction).
 *
 * For a text with fragments of weights w_k < 1, the encoding is
 *
 *     (E + sum_k t_k E_k) / (1 + sum_k t_k),    t_k = tan((1 - w_k) pi / 2),
 *
 * E_k being E with fragment k hidden from the text encoder's attention; in all of them each token's
 * weight acts as emphasis. A text of .and() with weight v is Z0 + v (Z - Z0), Z0 the empty text.
 * All of that is linear, so it becomes one list of factors and pieces. */
#include "text/prompt_parts.h"

#include <math.h>
#include <stdlib.h>

#define EPSILON 1e-5 /* least weight that t_k is computed from */
#define PI 3.14159265358979323846

struct maker {
    struct sdg_prompt_text *t;
    const struct sdg_compel *c;
    const struct sdg_tokenizer *tokenizer;
    size_t capacity;
    sdgen_error *err;
};

/* The segments of a member as a list of their own, sharing memory. */
static struct sdg_segments part_of(const struct sdg_compel *c, const struct sdg_compel_member *m)
{
    struct sdg_segments part = c->segments;
    part.at = m->count ? c->segments.at + m->first : NULL;
    part.count = m->count;
    return part;
}

static sdgen_status no_memory(const struct maker *m)
{
    return sdg_fail(m->err, SDGEN_ERR_MEMORY, "prompt: no memory for %zu encodings",
                    m->t->piece_count + 1);
}

/* A piece with the chunk of some segments; *piece stays valid until the next call. */
static sdgen_status add_piece(struct sdg_prompt_piece **piece, struct maker *m,
                              const struct sdg_segments *segments, double factor)
{
    struct sdg_prompt_text *t = m->t;
    if (!sdg_list_grow((void **)&t->pieces, &m->capacity, t->piece_count, sizeof *t->pieces))
        return no_memory(m);
    struct sdg_prompt_piece *x = &t->pieces[t->piece_count++];
    *x = (struct sdg_prompt_piece) {.factor = factor, .section = t->section_count};
    *piece = x;
    return sdg_chunk_segments(&x->chunks, segments, m->tokenizer, SDG_CHUNKS_TRUNCATE, m->err);
}

static double lerp_factor(double weight)
{
    return tan((1 - (weight > EPSILON ? weight : EPSILON)) * PI / 2);
}

/* Places of each fragment in its chunk: tokens[i] many, the end token's place being the last that
 * anything is given. Only fragments that reach into the chunk count. */
static sdgen_status add_masked(struct maker *m, const struct sdg_segments *s, double factor)
{
    struct sdg_tokens tokens = {0};
    struct sdg_prompt_piece *piece;
    sdgen_status status = SDGEN_OK;
    const size_t base = m->t->piece_count - 1;
    size_t place = 1;
    double sum = 1;
    for (size_t k = 0; k < s->count && place < SDG_CHUNK_LENGTH - 1; k++) {
        const struct sdg_segment *x = &s->at[k];
        tokens.count = 0;
        SDG_TRY(sdg_tokenize(&tokens, s->text.at + x->start, x->length, m->tokenizer, m->err));
        const size_t n = tokens.count < SDG_CHUNK_TEXT ? tokens.count : SDG_CHUNK_TEXT;
        const size_t end =
            place + n < SDG_CHUNK_LENGTH ? place + n : SDG_CHUNK_LENGTH; /* behind it */
        if (n > 0 && x->weight < 1) {
            SDG_TRY(add_piece(&piece, m, s, lerp_factor(x->weight)));
            sum += piece->factor;
            piece->hidden = calloc(SDG_CHUNK_LENGTH, 1);
            if (!piece->hidden) {
                status = no_memory(m);
                goto fail;
            }
            for (size_t i = place; i < end; i++) piece->hidden[i] = 1;
        }
        place = end;
    }
    m->t->pieces[base].factor = 1;
    for (size_t i = base; i < m->t->piece_count; i++) m->t->pieces[i].factor *= factor / sum;
fail:
    sdg_tokens_free(&tokens);
    return status;
}

static sdgen_status add_section(struct maker *m, const struct sdg_compel_section *section)
{
    struct sdg_prompt_piece *piece;
    sdgen_status status = SDGEN_OK;
    for (size_t i = section->first; i < section->first + section->count; i++) {
        const struct sdg_compel_member *member = &m->c->members[i];
        const struct sdg_segments part = part_of(m->c, member);
        SDG_TRY(add_piece(&piece, m, &part, 1));
        SDG_TRY(add_masked(m, &part, member->factor * section->weight));
    }
    if (section->weight != 1)
        SDG_TRY(add_piece(&piece, m, &(struct sdg_segments) {0}, 1 - section->weight));
    m->t->section_count++;
fail:
    return status;
}

/* One text whose weights are all at least 1 needs no sum. */
static bool is_simple(const struct sdg_compel *c)
{
    if (c->section_count > 1 || c->member_count > 1) return false;
    for (size_t i = 0; i < c->member_count; i++)
        if (c->members[i].factor != 1) return false;
    for (size_t i = 0; i < c->section_count; i++)
        if (c->sections[i].weight != 1) return false;
    for (size_t i = 0; i < c->segments.count; i++)
        if (c->segments.at[i].weight < 1) return false;
    return true;
}

/* For people, and for what is simple: the chunk of each text in turn. */
static sdgen_status add_chunks(struct maker *m, const struct sdg_compel_member *member)
{
    struct sdg_chunks more = {0}, *all = &m->t->chunks;
    const struct sdg_segments part = part_of(m->c, member);
    sdgen_status status;
    SDG_TRY(sdg_chunk_segments(&more, &part, m->tokenizer, SDG_CHUNKS_TRUNCATE, m->err));
    SDG_TRY(sdg_chunks_pad(all, all->count + 1, m->err));
    for (size_t i = 0; i < SDG_CHUNK_LENGTH; i++) {
        all->ids[(all->count - 1) * SDG_CHUNK_LENGTH + i] = more.ids[i];
        all->weights[(all->count - 1) * SDG_CHUNK_LENGTH + i] = more.weights[i];
    }
    all->tokens += more.tokens;
    all->dropped += more.dropped;
fail:
    sdg_chunks_free(&more);
    return status;
}

sdgen_status sdg_compel_chunks(struct sdg_prompt_text *t, const struct sdg_compel *c,
                               const struct sdg_tokenizer *tokenizer, sdgen_error *err)
{
    struct maker m = {.t = t, .c = c, .tokenizer = tokenizer, .err = err};
    sdgen_status status = SDGEN_OK;
    for (size_t i = 0; i < c->member_count; i++) SDG_TRY(add_chunks(&m, &c->members[i]));
    SDG_TRY(sdg_chunks_pad(&t->chunks, 1, err));
    for (size_t i = 0; i < c->section_count && !is_simple(c); i++)
        SDG_TRY(add_section(&m, &c->sections[i]));
fail:
    return status;
}
