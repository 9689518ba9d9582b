/* engine.h - what hangs off an sdgen_engine. */
#ifndef SDG_PIPELINE_ENGINE_H
#define SDG_PIPELINE_ENGINE_H

#include "base/log.h"
#include "kernels/kernels.h"
#include "pipeline/memory.h"
#include "text/tokenizer.h"
#include "files/hashcache.h"
#include "weights/model.h"
#include "weights/packcache.h"

struct sdgen_engine {
    struct sdg_model model;
    struct sdg_model *refiner; /* or NULL */
    struct sdg_tokenizer *tokenizer;
    struct sdg_kernels kernels; /* the tier's table */
    struct sdg_packs *packs;    /* weights as its products read them */
    struct sdg_packcache cache; /* the file that they are in, if they are in one */
    bool bf16;                  /* inputs of matrix products are rounded to bf16 */
    bool exact_conv;            /* no convolution by transforms */
    enum sdg_isa isa;
    int threads;
    bool pin;                        /* while a call runs, each on a core of its own */
    size_t max_ram;                  /* bytes; 0: no limit */
    size_t base_bytes;               /* sdg_memory_base, when the model was opened */
    struct sdg_memory_state *memory; /* with a limit */
    struct sdg_log log;
    struct sdg_hashjob *model_hash, *vae_hash,
        *refiner_hash; /* SHA-256 of the files, computed beside other work */
};

/* The files that its models lie in. Returns how many. */
enum { SDG_MODEL_FILES = 6, SDG_ENGINE_FILES = 2 * SDG_MODEL_FILES };
size_t sdg_engine_files(const struct sdg_weights *files[SDG_ENGINE_FILES],
                        const struct sdgen_engine *e);

/* An ops context for this engine over `work`. */
struct sdg_ops sdg_engine_ops(const struct sdgen_engine *e, struct sdg_arena *work,
                              const volatile int *cancel);

#endif
