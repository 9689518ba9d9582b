/* torchforms.h - telling the forms of torch.save that are older than its zip archives (read.h has
 * their readers). */
#ifndef SDG_FILES_TORCHFORMS_H
#define SDG_FILES_TORCHFORMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stream of pickles that begins with PyTorch's magic number: PyTorch before 1.6. */
bool sdg_torchlegacy_is(const uint8_t *data, size_t size);

/* Bytes of that magic number, as a pickle of its own; 0 when data does not begin with it. It must
 * stand there as a number: a pickle that computes it is no file of torch.save. */
size_t sdg_torchlegacy_magic(const uint8_t *data, size_t size);

/* A tar archive whose first member is one of those that PyTorch 0.1 wrote. */
bool sdg_torchtar_is(const uint8_t *data, size_t size);

#endif
