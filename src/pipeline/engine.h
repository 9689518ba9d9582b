/* engine.h - what hangs off an sdgen_engine. */
#ifndef SDG_PIPELINE_ENGINE_H
#define SDG_PIPELINE_ENGINE_H

#include "base/log.h"
#include "kernels/kernels.h"
#include "text/tokenizer.h"
#include "weights/hashcache.h"
#include "weights/model.h"
#include "weights/packcache.h"

/* Groups of packed weights (ops/packs.h), each built and dropped on its own. */
enum { SDG_GROUP_TEXT, SDG_GROUP_UNET, SDG_GROUP_REFINER, SDG_GROUP_VAE, SDG_GROUPS };

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
    bool pin; /* while a call runs, each on a core of its own */
    struct sdg_log log;
    struct sdg_hashjob *model_hash,
        *vae_hash; /* SHA-256 of the files, computed beside other work */
};

/* An ops context for this engine over `work`. */
struct sdg_ops sdg_engine_ops(const struct sdgen_engine *e, struct sdg_arena *work,
                              const volatile int *cancel);

#endif
