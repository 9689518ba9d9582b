/* packs.h - all weights of an engine, packed once into the panels that its matrix products read.
 *
 * Which weights those are, and for which product, a dry run of the networks tells: every operation
 * notes the weight it would read (sdg_packs_note). From then on
 *
 *     sdg_packs_choose   picks what shall be packed, within a number of bytes
 *     sdg_packs_build    packs that in parallel into one block of memory
 *     sdg_packs_use      finds it there, by the address of the original
 *     sdg_packs_drop     gives the block back
 *
 * Weights come in groups (text encoder, UNet, VAE), each chosen, built and dropped on its own. What
 * is not packed is *streamed*: made ready panel by panel from the file's own layout while it is
 * read, slower, with the same bits. Its pages are asked for some weights before their turn, so that
 * the disk works while the processor does, and given back some weights after it (struct sdg_pages).
 *
 * Instead of being built, everything may be found in an image that an earlier run wrote and that
 * lies in a mapped file (sdg_packs_write, sdg_packs_adopt). Then the choice says only what stays in
 * memory; the rest is streamed from the image, ready to be multiplied. */
#ifndef SDG_OPS_PACKS_H
#define SDG_OPS_PACKS_H

#include "base/status.h"
#include "base/tensor.h"

struct sdg_kernels;
struct sdg_matmul;
struct sdg_packs;

enum {
    SDG_PACKS_LAYOUT = 1,        /* number it anew when packed bytes change their meaning */
    SDG_PACKS_GROUPS = 8,        /* groups are 0 to 7; their meaning is the caller's */
    SDG_PACKS_PAGE = 4096,       /* packs begin on such a boundary of an image of them all */
    SDG_PACKS_WINDOW = 48 << 20, /* of streaming, where nothing else was said */
};

/* A packed weight; data NULL: there is none. dtype: the product's own input type, or f16 or bf16
 * where the file has that and the product reads f32: half the memory, widened on reading. */
struct sdg_packed {
    const void *data; /* [panel][tap][depth][nr] */
    enum sdg_dtype dtype;
};

/* What becomes of the pages that originals lie in; either may be NULL. */
struct sdg_pages {
    void (*ahead)(void *user, const struct sdg_tensor *weight); /* will be read soon */
    void (*done)(void *user, const struct sdg_tensor *weight);  /* is not needed for now */
    void *user;
};

/* Bytes of one element of A and of packed B. */
size_t sdg_matmul_element(const struct sdg_matmul *mul);

/* `in` values rounded up to what the product takes at a step: the depth of a panel and of a row. */
size_t sdg_matmul_depth(const struct sdg_matmul *mul, size_t in);

/* Panel number `panel` of a weight [out][in][taps], from the layout of a file, to [tap][depth][nr]
 * in the type that the product reads. scratch: as many floats as sdg_pack_scratch says. */
void sdg_pack_panel(void *to, const struct sdg_kernels *k, const struct sdg_matmul *mul,
                    const struct sdg_tensor *weight, size_t panel, float *scratch);
size_t sdg_pack_scratch(const struct sdg_matmul *mul, const struct sdg_tensor *weight);

/* Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_packs_create(struct sdg_packs **packs, sdgen_error *err);
void sdg_packs_destroy(struct sdg_packs *packs); /* NULL is fine */
void sdg_packs_pages(struct sdg_packs *packs, const struct sdg_pages *pages);

/* Once *cancel is non-zero packing ends with SDGEN_ERR_CANCELLED. NULL: never. */
void sdg_packs_cancel(struct sdg_packs *packs, const volatile int *cancel);

/* ---- notes ---- */

/* What is noted from now on belongs to this group; at first to 0. */
void sdg_packs_group(struct sdg_packs *packs, int group);

/* weight [out][in][taps] is going to be read by mul, against `rows` rows at a time. Once per pair
 * counts, with its largest number of rows; nothing new is taken after the first choice. */
void sdg_packs_note(struct sdg_packs *packs, const struct sdg_tensor *weight,
                    const struct sdg_matmul *mul, size_t rows);

/* Bytes that all noted weights of a group take when packed; of all groups: group -1. */
size_t sdg_packs_bytes(const struct sdg_packs *packs, int group);

/* ---- what is packed ---- */

/* Chooses weights of a group that together take at most `budget` bytes when packed, and returns how
 * many they take. Those first whose bytes are used most often, which is as often as they meet rows;
 * in the order of their notes among equals; so the choice is the same on every machine. SIZE_MAX
 * chooses all, 0 none. What was built of the group is dropped.
 *
 * A dry run behind this sees chosen weights as packed, built or not: so build before a network
 * runs in the memory that a dry run measured. */
size_t sdg_packs_choose(struct sdg_packs *packs, int group, size_t budget);

/* How many bytes of streamed weights may stay in memory at a time; as many are asked for
 * beforehand, which count as nobody's memory. */
void sdg_packs_window(struct sdg_packs *packs, size_t bytes);

/* Bytes that streaming the weights of a group that are not chosen keeps in memory beside what is
 * chosen: the window, but no less than the largest of them and no more than all. */
size_t sdg_packs_streamed(const struct sdg_packs *packs, int group);

/* Packs what is chosen of a group (everything where nothing was), unless it is there already. Pages
 * of originals are given back as they are consumed. Errors: SDGEN_ERR_MEMORY, SDGEN_ERR_CANCELLED.
 * Then nothing of the group is packed. */
SDGEN_MUST_CHECK sdgen_status sdg_packs_build(struct sdg_packs *packs, int group,
                                              const struct sdg_kernels *k, int threads,
                                              sdgen_error *err);

/* Gives back the memory of a group, and the pages that streaming it still holds. It can be built
 * again. */
void sdg_packs_drop(struct sdg_packs *packs, int group);

/* ---- finding ---- */

/* For a dry run: as the real run will find it. The address may not be read from. */
struct sdg_packed sdg_packs_plan(const struct sdg_packs *packs, const struct sdg_tensor *weight,
                                 const struct sdg_matmul *mul);

/* For a real one, at the beginning of an operation. Turns the pages of streamed weights. */
struct sdg_packed sdg_packs_use(struct sdg_packs *packs, const struct sdg_tensor *weight,
                                const struct sdg_matmul *mul);

/* ---- all of them in one image ---- */

/* What lies where in the image, and what it was made from. */
struct sdg_pack_row {
    const struct sdg_tensor *weight;
    enum sdg_dtype dtype;
    size_t at, bytes;  /* at: a multiple of SDG_PACKS_PAGE */
    size_t nr, k_step; /* of the product */
    int layout;        /* enum sdg_matmul_layout */
};

size_t sdg_packs_count(const struct sdg_packs *packs);
struct sdg_pack_row sdg_packs_row(const struct sdg_packs *packs, size_t i);
size_t sdg_packs_image_bytes(const struct sdg_packs *packs);

/* Receives a piece of the image; what lies between pieces is zero. */
typedef sdgen_status (*sdg_packs_sink)(void *user, size_t at, const void *data, size_t bytes,
                                       sdgen_error *err);

/* Packs everything noted, a batch at a time, and hands it to the sink, in order. Errors:
 * SDGEN_ERR_MEMORY, SDGEN_ERR_CANCELLED, those of the sink. */
SDGEN_MUST_CHECK sdgen_status sdg_packs_write(const struct sdg_packs *packs,
                                              const struct sdg_kernels *k, int threads,
                                              sdg_packs_sink sink, void *user, sdgen_error *err);

/* From now on packs are found in the image: read-only pages of a file, which must stay mapped.
 * Nothing may be built before. */
void sdg_packs_adopt(struct sdg_packs *packs, const void *image);

#endif
