/* scheduler_facts.c - a diffusers scheduler's configuration (see facts.h), by a table of its
 * members. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <cjson/cJSON.h>

#include "weights/facts.h"

#define AT(member) offsetof(struct sdg_scheduler_facts, member)
#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct member {
    const char *key;
    size_t at;
} words[] =
    {
        {"_class_name", AT(class_name)},
        {"prediction_type", AT(prediction_type)},
        {"timestep_spacing", AT(timestep_spacing)},
        {"beta_schedule", AT(beta_schedule)},
        {"algorithm_type", AT(algorithm_type)},
        {"solver_type", AT(solver_type)},
        {"final_sigmas_type", AT(final_sigmas_type)},
        {"interpolation_type", AT(interpolation_type)},
},
  reals[] =
      {
          {"beta_start", AT(beta_start)}, {"beta_end", AT(beta_end)},
          {"sigma_min", AT(sigma_min)},   {"sigma_max", AT(sigma_max)},
          {"sigma_data", AT(sigma_data)},
},
  integers[] =
      {
          {"num_train_timesteps", AT(num_train_timesteps)},
          {"steps_offset", AT(steps_offset)},
          {"solver_order", AT(solver_order)},
},
  truths[] = {
      {"rescale_betas_zero_snr", AT(rescale_betas_zero_snr)},
      {"set_alpha_to_one", AT(set_alpha_to_one)},
      {"skip_prk_steps", AT(skip_prk_steps)},
      {"use_karras_sigmas", AT(use_karras_sigmas)},
      {"use_exponential_sigmas", AT(use_exponential_sigmas)},
      {"use_beta_sigmas", AT(use_beta_sigmas)},
      {"thresholding", AT(thresholding)},
      {"clip_sample", AT(clip_sample)},
};

static void *at(struct sdg_scheduler_facts *s, size_t offset)
{
    return (char *)s + offset;
}

void sdg_scheduler_read(struct sdg_scheduler_facts *s, const char *text)
{
    cJSON *root = text ? cJSON_Parse(text) : NULL;
    *s = (struct sdg_scheduler_facts) {.there = cJSON_IsObject(root)};
    for (size_t i = 0; i < COUNT(words); i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, words[i].key);
        if (cJSON_IsString(v))
            snprintf(at(s, words[i].at), SDG_SCHEDULER_WORD, "%s", v->valuestring);
    }
    for (size_t i = 0; i < COUNT(reals); i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, reals[i].key);
        *(double *)at(s, reals[i].at) = cJSON_IsNumber(v) ? v->valuedouble : (double)NAN;
    }
    for (size_t i = 0; i < COUNT(integers); i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, integers[i].key);
        *(int *)at(s, integers[i].at) = cJSON_IsNumber(v) && v->valueint >= 0 ? v->valueint : -1;
    }
    for (size_t i = 0; i < COUNT(truths); i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, truths[i].key);
        *(int *)at(s, truths[i].at) = cJSON_IsBool(v) ? cJSON_IsTrue(v) : -1;
    }
    cJSON_Delete(root);
}
