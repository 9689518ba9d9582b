/* packs.h - all weights of an engine, packed once into the panels that its matrix products read.
 *
 * Which weights those are, and for which product, a dry run of the networks tells: every operation
 * notes the weight it would read (sdg_packs_note). Then sdg_packs_build packs them all in parallel
 * into one block of memory, and operations find them there by the address of the original. What is
 * not found is packed panel by panel while it is read: slower, with the same bits. */
#ifndef SDG_OPS_PACKS_H
#define SDG_OPS_PACKS_H

#include "base/status.h"
#include "base/tensor.h"

struct sdg_kernels;
struct sdg_matmul;
struct sdg_packs;

/* A packed weight; data NULL: there is none. dtype: the product's own input type, or f16 or bf16
 * where the file has that and the product reads f32: half the memory, widened on reading. */
struct sdg_packed {
    const void *data; /* [panel][tap][depth][nr] */
    enum sdg_dtype dtype;
};

/* Bytes of one element of A and of packed B. */
size_t sdg_matmul_element(const struct sdg_matmul *mul);

/* `in` values rounded up to what the product takes at a step: the depth of a panel and of a row. */
size_t sdg_matmul_depth(const struct sdg_matmul *mul, size_t in);

/* Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_packs_create(struct sdg_packs **packs, sdgen_error *err);
void sdg_packs_destroy(struct sdg_packs *packs); /* NULL is fine */

/* weight [out][in][taps] is going to be read by mul. Once per pair counts; not after build. */
void sdg_packs_note(struct sdg_packs *packs, const struct sdg_tensor *weight,
                    const struct sdg_matmul *mul);

/* Bytes that the noted weights take when packed. */
size_t sdg_packs_bytes(const struct sdg_packs *packs);

/* Packs everything noted. `done` (may be NULL) is told each time some weights are no longer needed
 * where they were: it may give their pages back. Errors: SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_packs_build(
    struct sdg_packs *packs, const struct sdg_kernels *k, int threads,
    void (*done)(void *user, const struct sdg_tensor *weight), void *user, sdgen_error *err);

struct sdg_packed sdg_packs_find(const struct sdg_packs *packs, const struct sdg_tensor *weight,
                                 const struct sdg_matmul *mul);

#endif
