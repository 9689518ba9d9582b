/* vocabulary.c - see vocabulary.h. The encoding itself has its own file, merge.c. */
#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>
#include "models/data/clip_merges.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#define SLOTS ((size_t)1 << SDG_MERGE_SLOTS_LOG2)

/* Every byte is written as a letter that can be seen: the printable ones of Latin-1 stand for
 * themselves and come first in the vocabulary, the other 68 bytes are the letters from U+0100 on
 * (Radford et al. 2019, GPT-2: bytes_to_unicode). */
uint32_t sdg_byte_id(unsigned char byte)
{
    if (byte <= 32) return 188u + byte;
    if (byte <= 126) return byte - 33u;
    if (byte <= 160) return byte - 127u + 221;
    if (byte <= 172) return byte - 161u + 94;
    return byte == 173 ? 255 : byte - 174u + 106;
}

static uint32_t letter_of(uint32_t id)
{
    if (id < 94) return id + 33;
    if (id < 106) return id - 94 + 161;
    return id < 188 ? id - 106 + 174 : id - 188 + 256;
}

/* Multiplicative hashing (Knuth, The Art of Computer Programming, section 6.4) of the two ids. */
static size_t slot_of(uint32_t left, uint32_t right)
{
    return (left << 16 | right) * 2654435769u >> (32 - SDG_MERGE_SLOTS_LOG2);
}

static bool fill_slots(struct sdg_vocabulary *v)
{
    v->slots = calloc(SLOTS, sizeof *v->slots);
    if (!v->slots) return false;
    for (uint32_t i = 0; i < SDG_CLIP_MERGES; i++) {
        size_t slot = slot_of(sdg_clip_merges[i][0], sdg_clip_merges[i][1]);
        while (v->slots[slot]) slot = (slot + 1) % SLOTS;
        v->slots[slot] = (uint16_t)(i + 1);
    }
    return true;
}

uint32_t sdg_vocabulary_merge(const struct sdg_vocabulary *v, uint32_t left, uint32_t right)
{
    for (size_t slot = slot_of(left, right); v->slots[slot]; slot = (slot + 1) % SLOTS) {
        const uint16_t *merge = sdg_clip_merges[v->slots[slot] - 1];
        if (merge[0] == left && merge[1] == right) return v->slots[slot] - 1 + SDG_FIRST_MERGE;
    }
    return SDG_NO_MERGE;
}

/* Writes the piece of id at `to` when to is not NULL; returns its length. Pieces of lower ids are
 * already written. */
static size_t spell(const struct sdg_vocabulary *v, char *to, const uint16_t *lengths, uint32_t id)
{
    static const char end_of_word[] = "</w>";
    if (id < SDG_FIRST_MERGE) {
        char letter[4];
        size_t size = sdg_utf8_encode(letter, letter_of(id % SDG_BYTES));
        size_t mark = id >= SDG_BYTES ? sizeof end_of_word - 1 : 0;
        if (to) memcpy(to, letter, size);
        if (to) memcpy(to + size, end_of_word, mark);
        return size + mark;
    }
    if (id >= SDG_TOKEN_START) {
        const char *special = id == SDG_TOKEN_START ? "<|startoftext|>" : "<|endoftext|>";
        if (to) memcpy(to, special, strlen(special));
        return strlen(special);
    }
    const uint16_t *merge = sdg_clip_merges[id - SDG_FIRST_MERGE];
    if (to) {
        memcpy(to, v->letters + v->starts[merge[0]], lengths[merge[0]]);
        memcpy(to + lengths[merge[0]], v->letters + v->starts[merge[1]], lengths[merge[1]]);
    }
    return (size_t)lengths[merge[0]] + lengths[merge[1]];
}

static bool spell_all(struct sdg_vocabulary *v)
{
    uint16_t *lengths = malloc(SDG_VOCABULARY * sizeof *lengths);
    uint32_t total = 0;
    v->starts = malloc(SDG_VOCABULARY * sizeof *v->starts);
    if (!lengths || !v->starts) goto done;
    for (uint32_t id = 0; id < SDG_VOCABULARY; id++) {
        lengths[id] = (uint16_t)spell(v, NULL, lengths, id);
        v->starts[id] = total;
        total += lengths[id] + 1u;
    }
    v->letters = calloc(total, 1);
    for (uint32_t id = 0; v->letters && id < SDG_VOCABULARY; id++)
        spell(v, v->letters + v->starts[id], lengths, id);
done:
    free(lengths);
    return v->letters != NULL;
}

bool sdg_vocabulary_create(struct sdg_vocabulary *v)
{
    *v = (struct sdg_vocabulary) {0};
    return fill_slots(v) && spell_all(v);
}

void sdg_vocabulary_destroy(struct sdg_vocabulary *v)
{
    free(v->slots);
    free(v->letters);
    free(v->starts);
    *v = (struct sdg_vocabulary) {0};
}
