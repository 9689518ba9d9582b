/* folder_configs.h - the JSON files of a diffusers folder, made from the plans of the networks and
 * the facts: what diffusers and transformers build their modules from.
 *
 * Keys and values as in the published folders of SD1.5, SD2.1, SDXL and the refiner. Each is an
 * object for the caller to delete, or NULL when memory ran out. */
#ifndef SDG_CONVERT_FOLDER_CONFIGS_H
#define SDG_CONVERT_FOLDER_CONFIGS_H

#include "models/clip_text.h"
#include "models/unet.h"
#include "models/vae.h"
#include "weights/facts.h"

struct cJSON;

struct cJSON *sdg_config_unet(const struct sdg_unet_config *c, const struct sdg_facts *facts,
                              int factor);
struct cJSON *sdg_config_vae(const struct sdg_vae_config *c, const struct sdg_facts *facts);
struct cJSON *sdg_config_taesd(void);
/* projecting: CLIPTextModelWithProjection. layers: those that the folder's model runs. */
struct cJSON *sdg_config_text(const struct sdg_clip_config *c, bool projecting, int layers);
struct cJSON *sdg_config_scheduler(const struct sdg_facts *facts);

/* Which folders there are. */
struct sdg_config_texts {
    bool first, second; /* text_encoder, text_encoder_2 */
    bool tiny;          /* the VAE is the tiny one */
};
struct cJSON *sdg_config_index(const struct sdg_facts *facts, const struct sdg_config_texts *texts,
                               const char *scheduler_class);
struct cJSON *sdg_config_tokenizer(bool second);
struct cJSON *sdg_config_special_tokens(bool second);

#endif
