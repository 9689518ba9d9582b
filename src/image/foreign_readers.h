/* foreign_readers.h - how a picture was made, whoever drew it. */
#ifndef SDG_IMAGE_FOREIGN_READERS_H
#define SDG_IMAGE_FOREIGN_READERS_H

#include "image/imagetext.h"
#include "image/settings.h"

/* Finds out which program's texts these are and reads them into *s (zeroed). *text is the text that
 * was read, inside of t. Errors: SDGEN_ERR_FORMAT where there is none that sdgen knows, or it is
 * broken; SDGEN_ERR_MEMORY. On failure *s is empty. */
SDGEN_MUST_CHECK sdgen_status sdg_settings_read(struct sdg_settings *s, const char **text,
                                                const struct sdg_imagetext *t, const char *path,
                                                sdgen_error *err);

/* One a program; *s is zeroed, s->program is set. */
sdgen_status sdg_read_comfyui(struct sdg_settings *s, const char *prompt, sdgen_error *err);
sdgen_status sdg_read_sdcpp(struct sdg_settings *s, const char *text, sdgen_error *err);
sdgen_status sdg_read_invokeai(struct sdg_settings *s, const char *json, sdgen_error *err);
sdgen_status sdg_read_invokeai2(struct sdg_settings *s, const char *json, sdgen_error *err);
sdgen_status sdg_read_dream(struct sdg_settings *s, const char *text, sdgen_error *err);
sdgen_status sdg_read_novelai(struct sdg_settings *s, const struct sdg_imagetext *t,
                              sdgen_error *err);
sdgen_status sdg_read_fooocus(struct sdg_settings *s, const char *json, sdgen_error *err);
sdgen_status sdg_read_swarmui(struct sdg_settings *s, const char *json, sdgen_error *err);

#endif
