/* torchstate.h - the weights among the values of a pickle that torch.save wrote, in any form. */
#ifndef SDG_FILES_TORCHSTATE_H
#define SDG_FILES_TORCHSTATE_H

#include "files/pickle.h"
#include "files/weights.h"

/* Appends the named tensors in or below `top` to w: views of the file, or, where they do not lie in
 * C order, copies that w owns. pickle_size: bytes of the pickle, more than which its names cannot
 * take together; file_size bounds the copies. Errors: SDGEN_ERR_FORMAT, SDGEN_ERR_MEMORY. */
SDGEN_MUST_CHECK sdgen_status sdg_torchstate_add(struct sdg_weights *w,
                                                 const struct sdg_pickle_value *top,
                                                 size_t pickle_size, size_t file_size,
                                                 sdgen_error *err);

#endif
