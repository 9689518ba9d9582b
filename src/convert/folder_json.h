/* folder_json.h - between folder_configs.c and folder_index.c: how their objects begin and grow. */
#ifndef SDG_CONVERT_FOLDER_JSON_H
#define SDG_CONVERT_FOLDER_JSON_H

#include "models/clip_text.h"

struct cJSON;

/* An object of that class; NULL class: without one. */
struct cJSON *sdg_config_begin(const char *class_name);
void sdg_config_number(struct cJSON *o, const char *key, double value);
/* A number that is kept in f32, in the fewest digits that tell it. */
void sdg_config_float(struct cJSON *o, const char *key, float value);
const char *sdg_config_activation_name(const struct sdg_clip_config *c);

#endif
