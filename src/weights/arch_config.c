/* arch_config.c - see arch_config.h. */
#include "weights/arch_config.h"

#include <stdio.h>
#include <string.h>
#include <cjson/cJSON.h>

#include "weights/arch_names.h"

/* The configuration in the folder that the network at prefix came from, or NULL. The caller
 * deletes. */
static cJSON *read_config(const struct sdg_weights *w, const char *prefix)
{
    char name[64];
    const char *part = "";
    for (size_t e = 0; e < w->count && !part[0]; e++)
        if (sdg_name_after(w->entries[e].name, prefix)) part = w->entries[e].part;
    snprintf(name, sizeof name, "%.40s%sconfig.json", part, part[0] ? "/" : "");
    const char *text = sdg_weights_text(w, name);
    return text ? cJSON_Parse(text) : NULL;
}

bool sdg_config_activation(enum sdg_activation *activation, const struct sdg_weights *w,
                           const char *prefix)
{
    cJSON *config = read_config(w, prefix);
    const cJSON *act = cJSON_GetObjectItemCaseSensitive(config, "hidden_act");
    const bool quick = cJSON_IsString(act) && strcmp(act->valuestring, "quick_gelu") == 0;
    const bool exact = cJSON_IsString(act) && strcmp(act->valuestring, "gelu") == 0;
    *activation = quick ? SDG_QUICK_GELU : SDG_GELU;
    cJSON_Delete(config);
    return quick || exact;
}

/* One number for all levels, or a list of one for each. */
static bool heads_of_levels(int *heads, const cJSON *said, const struct sdg_unet_config *c)
{
    if (!cJSON_IsNumber(said) && cJSON_GetArraySize(said) != c->levels) return false;
    for (int l = 0; l < c->levels; l++) {
        const cJSON *n = cJSON_IsNumber(said) ? said : cJSON_GetArrayItem(said, l);
        if (!cJSON_IsNumber(n) || n->valueint < 1 || c->channels[l] % n->valueint != 0)
            return false;
        heads[l] = n->valueint;
    }
    return true;
}

bool sdg_config_heads(struct sdg_unet_config *c, const struct sdg_weights *w, const char *prefix)
{
    int heads[SDG_UNET_MAX_LEVELS];
    cJSON *config = read_config(w, prefix);
    const cJSON *said = cJSON_GetObjectItemCaseSensitive(config, "num_attention_heads");
    if (!said || cJSON_IsNull(said))
        said = cJSON_GetObjectItemCaseSensitive(config, "attention_head_dim");
    const bool found = said && heads_of_levels(heads, said, c);
    if (found) {
        memcpy(c->heads, heads, (size_t)c->levels * sizeof *heads);
        c->middle_heads = heads[c->levels - 1];
    }
    cJSON_Delete(config);
    return found;
}
