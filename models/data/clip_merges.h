/* clip_merges.h - the merges of CLIP's byte-pair encoding, as OpenAI trained them (Radford et al.
 * 2021, section 2.4: lower-cased byte-pair encoding).
 *
 * Ids 0..255 are the bytes, 256..511 the bytes at the end of a word ("a</w>"); merge i joins the
 * pieces of two lower ids into the piece of id 512 + i. Its rank is i: low ranks are applied first.
 */
#ifndef SDG_MODELS_DATA_CLIP_MERGES_H
#define SDG_MODELS_DATA_CLIP_MERGES_H

#include <stdint.h>

enum { SDG_CLIP_MERGES = 48894 };

extern const uint16_t sdg_clip_merges[SDG_CLIP_MERGES][2];

#endif
