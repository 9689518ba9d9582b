/* vocabulary.h - CLIP's 49,408 pieces: which two make a third, and how each is written. */
#ifndef SDG_TEXT_VOCABULARY_H
#define SDG_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SDG_BYTES = 256,              /* ids 0..255: single bytes */
    SDG_FIRST_MERGE = 512,        /* 256..511: single bytes that end a word; from here on: merges */
    SDG_VOCABULARY = 49408,       /* the last two are start and end */
    SDG_MERGE_SLOTS_LOG2 = 17,    /* 131,072 slots for 48,894 merges: three in eight are filled */
    SDG_NO_MERGE = SDG_VOCABULARY /* larger than any id */
};

struct sdg_vocabulary {
    uint16_t *slots;  /* open addressing: 1 + index of the merge; 0: free */
    char *letters;    /* all pieces, each ended by 0 */
    uint32_t *starts; /* [SDG_VOCABULARY] where each begins in letters */
};
/* false: no memory; what was made is freed by destroy. */
bool sdg_vocabulary_create(struct sdg_vocabulary *v);
void sdg_vocabulary_destroy(struct sdg_vocabulary *v);

/* The id of the piece that left and right make together, or SDG_NO_MERGE. Lower ids come first. */
uint32_t sdg_vocabulary_merge(const struct sdg_vocabulary *v, uint32_t left, uint32_t right);

/* The id of a single byte. */
uint32_t sdg_byte_id(unsigned char byte);

/* Byte-pair encoding of one piece of text (Sennrich et al. 2016, algorithm 1; the last byte is
 * marked as the end of a word): joins, as long as any can be joined, the two neighbours of lowest
 * rank, the leftmost first. Replaces ids[n], at first one id per byte, by *count ids. Cost n log n.
 * false: no memory. */
bool sdg_merge_piece(uint32_t *ids, size_t *count, size_t n, const struct sdg_vocabulary *v);

#endif
