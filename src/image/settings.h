/* settings.h - what a picture says about how it was made: one list of named values, whoever wrote
 * them.
 *
 * The readers (infotext_parse.h, foreign_readers.h) put every value they find into the list under
 * the name its program gives it. Where sdgen knows what the value means, it also has a field; the
 * rest is SDG_FIELD_OTHER and keeps its name, so that nothing is lost silently. */
#ifndef SDG_IMAGE_SETTINGS_H
#define SDG_IMAGE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/status.h"

enum sdg_program {
    SDG_PROGRAM_UNKNOWN,
    SDG_PROGRAM_SDGEN,
    SDG_PROGRAM_A1111,
    SDG_PROGRAM_FORGE,
    SDG_PROGRAM_SDNEXT,
    SDG_PROGRAM_COMFYUI,
    SDG_PROGRAM_INVOKEAI,
    SDG_PROGRAM_SDCPP,
    SDG_PROGRAM_NOVELAI,
    SDG_PROGRAM_FOOOCUS,
    SDG_PROGRAM_SWARMUI,
    SDG_PROGRAM_COUNT
};
const char *sdg_program_name(enum sdg_program p);

/* Fields have the meaning, the count and the unit that A1111 gives them: clip skip 1 is the last
 * layer; readers of other programs translate. */
enum sdg_field {
    SDG_FIELD_OTHER,
    SDG_FIELD_PROMPT,
    SDG_FIELD_NEGATIVE,
    SDG_FIELD_STEPS,
    SDG_FIELD_SAMPLER,
    SDG_FIELD_SCHEDULE,
    SDG_FIELD_CFG_SCALE,
    SDG_FIELD_SEED,
    SDG_FIELD_WIDTH,
    SDG_FIELD_HEIGHT,
    SDG_FIELD_MODEL_HASH,
    SDG_FIELD_MODEL,
    SDG_FIELD_VAE_HASH,
    SDG_FIELD_VAE,
    SDG_FIELD_SUBSEED,
    SDG_FIELD_SUBSEED_STRENGTH,
    SDG_FIELD_RESIZE_WIDTH,
    SDG_FIELD_RESIZE_HEIGHT,
    SDG_FIELD_CLIP_SKIP,
    SDG_FIELD_ENSD,
    SDG_FIELD_RNG,
    SDG_FIELD_EMPHASIS,
    SDG_FIELD_OLD_EDITING,
    SDG_FIELD_NOISE_SCHEDULE,
    SDG_FIELD_DISCARD_PENULTIMATE,
    SDG_FIELD_SCHEDULE_MIN,
    SDG_FIELD_SCHEDULE_MAX,
    SDG_FIELD_SCHEDULE_RHO,
    SDG_FIELD_ETA,
    SDG_FIELD_ETA_DDIM,
    SDG_FIELD_S_CHURN,
    SDG_FIELD_S_TMIN,
    SDG_FIELD_S_TMAX,
    SDG_FIELD_S_NOISE,
    SDG_FIELD_UNIPC_VARIANT,
    SDG_FIELD_UNIPC_SKIP_TYPE,
    SDG_FIELD_UNIPC_ORDER,
    SDG_FIELD_UNIPC_LOWER_ORDER_FINAL,
    SDG_FIELD_SOLVER_VARIANT,
    SDG_FIELD_ORDER,
    SDG_FIELD_LOWER_ORDER_FINAL,
    SDG_FIELD_MIDPOINT,
    SDG_FIELD_SKIP_EARLY,
    SDG_FIELD_NGMS,
    SDG_FIELD_NGMS_ALL_STEPS,
    SDG_FIELD_CFG_RESCALE,
    SDG_FIELD_GUIDANCE_START,
    SDG_FIELD_GUIDANCE_END,
    SDG_FIELD_LIKE,
    SDG_FIELD_LANGUAGE,
    SDG_FIELD_PREDICTION,
    SDG_FIELD_SPACING,
    SDG_FIELD_GITS_COEFFICIENT,
    SDG_FIELD_SIGMAS,
    SDG_FIELD_TIMESTEPS,
    SDG_FIELD_IMAGE_CFG,
    SDG_FIELD_REFINER,
    SDG_FIELD_REFINER_SWITCH,
    SDG_FIELD_ORIGINAL_WIDTH,
    SDG_FIELD_ORIGINAL_HEIGHT,
    SDG_FIELD_CROP_LEFT,
    SDG_FIELD_CROP_TOP,
    SDG_FIELD_TARGET_WIDTH,
    SDG_FIELD_TARGET_HEIGHT,
    SDG_FIELD_AESTHETIC,
    SDG_FIELD_NEGATIVE_AESTHETIC,
    SDG_FIELD_TILE_WIDTH,
    SDG_FIELD_TILE_HEIGHT,
    SDG_FIELD_TILE_OVERLAP,
    SDG_FIELD_UNET,
    SDG_FIELD_CLIP_L,
    SDG_FIELD_CLIP_G,
    SDG_FIELD_TAESD,
    SDG_FIELD_EMA,
    SDG_FIELD_EMPTY_NEGATIVE,
    SDG_FIELD_PICTURES,
    SDG_FIELD_BATCH_NOISE,
    SDG_FIELD_BATCH_SIZE,
    SDG_FIELD_BATCH_POS,
    SDG_FIELD_VERSION,
    SDG_FIELD_COUNT
};

struct sdg_setting {
    enum sdg_field field;
    char *name, *value; /* the name as its program writes it */
    bool implied;       /* not written, but meant: by the program's version, by its habit */
};

enum { SDG_SETTINGS_MAX = 4096 };

struct sdg_settings {
    enum sdg_program program;
    struct sdg_setting *items; /* [count], in the order of the text */
    size_t count, capacity;
    size_t at[SDG_FIELD_COUNT]; /* place in items plus 1, 0: not there */
};
void sdg_settings_free(struct sdg_settings *s);

/* Adds value[length] (copied). A field that is there already takes the new name and value; other
 * names may come more than once. name NULL: the field's own. Errors: SDGEN_ERR_MEMORY,
 * SDGEN_ERR_FORMAT beyond SDG_SETTINGS_MAX. */
SDGEN_MUST_CHECK sdgen_status sdg_settings_put(struct sdg_settings *s, enum sdg_field field,
                                               const char *name, const char *value, size_t length,
                                               sdgen_error *err);

/* The value, or NULL. */
const char *sdg_settings_value(const struct sdg_settings *s, enum sdg_field field);

/* A1111's name of the field ("Size-1"), and the field of a name, SDG_FIELD_OTHER for unknown ones.
 */
const char *sdg_field_name(enum sdg_field field);
enum sdg_field sdg_field_find(const char *name);
/* Values that are numbers, where all is well. */
bool sdg_field_is_number(enum sdg_field field);

/* The shortest digits that read back as x, whole numbers without a point: 7, 7.5, 0.1, 1e-05. */
enum { SDG_NUMBER_SIZE = 32 };
void sdg_number_text(char text[SDG_NUMBER_SIZE], double x);

/* What Python's str.strip() takes away. */
bool sdg_is_space(uint32_t code);

#endif
