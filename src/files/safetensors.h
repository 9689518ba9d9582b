/* safetensors.h - telling the safetensors form (read.h has its reader). */
#ifndef SDG_FILES_SAFETENSORS_H
#define SDG_FILES_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether data begins as safetensors do: a plausible length, then a header that opens with a brace.
 */
bool sdg_safetensors_is(const uint8_t *data, size_t size);

/* Whether data, which is nothing else, may be a damaged or cut one, so that its reader can say what
 * is wrong. */
bool sdg_safetensors_was(const uint8_t *data, size_t size);

#endif
