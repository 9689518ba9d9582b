/* outtypes.h - the type of the numbers of each tensor that is written: --type, rules by name, and
 * what the form of the file has room for.
 *
 * A rule is PATTERN=TYPE, the pattern a POSIX extended regular expression that is searched for in
 * the name as single files have it; of several that match the first counts (stable-diffusion.cpp,
 * --tensor-type-rules). Quantised types are for matrices whose rows are whole blocks. Where one is
 * the type of all, embeddings of tokens and positions and those of timestep and label keep theirs,
 * which are small or matter more than they weigh; vectors and convolutions cannot have it. */
#ifndef SDG_CONVERT_OUTTYPES_H
#define SDG_CONVERT_OUTTYPES_H

#include <stdbool.h>
#include "base/status.h"
#include "base/tensor.h"

enum { SDG_TYPE_KEEP = -1 };

struct sdg_typing;

/* type: "f32", "q8_0", ... or NULL, to keep what each tensor has; rules may be NULL. Errors:
 * SDGEN_ERR_ARG for what is no type or no pattern; SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_typing_create(struct sdg_typing **typing, const char *type,
                                                const char *rules, sdgen_error *err);
void sdg_typing_destroy(struct sdg_typing *typing); /* accepts NULL */

/* Whether any of it asks for a quantised type, which only GGUF holds. */
bool sdg_typing_quantises(const struct sdg_typing *typing);

/* For a tensor of the name, shape and type it has: what it is written as. network: it is a weight
 * of one; others keep their type but for rules. gguf: the file is one, else safetensors. A type
 * that the form cannot hold becomes the nearest that holds all its values. */
enum sdg_dtype sdg_typing_choose(const struct sdg_typing *typing, const char *name,
                                 const struct sdg_tensor *t, bool network, bool gguf);

#endif
