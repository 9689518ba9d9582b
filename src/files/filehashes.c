/* filehashes.c - see filehashes.h. Sources: AUTOMATIC1111 stable-diffusion-webui, modules/
 * sd_models.py (model_hash) and modules/hashes.py (addnet_hash_safetensors). */
#include "files/filehashes.h"

#include <stdio.h>

enum { OLD_AT = 0x100000, OLD_BYTES = 0x10000, LENGTH_SIZE = 8 };

static void digest(char hex[SDG_SHA256_HEX], const uint8_t *data, size_t size)
{
    struct sdg_sha256 s;
    sdg_sha256_init(&s);
    if (size) sdg_sha256_update(&s, data, size);
    sdg_sha256_hex(hex, &s);
}

void sdg_filehashes_of(struct sdg_filehashes *h, const struct sdg_weights *w)
{
    char hex[SDG_SHA256_HEX];
    *h = (struct sdg_filehashes) {{0}, {0}};
    if (w->map_count != 1) return;
    const uint8_t *data = w->maps[0].data;
    const size_t size = w->maps[0].size;
    const size_t at = size < OLD_AT ? size : OLD_AT;
    digest(hex, data + at, size - at < OLD_BYTES ? size - at : OLD_BYTES);
    snprintf(h->old, sizeof h->old, "%.*s", SDG_OLD_HASH_DIGITS, hex);
    if (w->form != SDG_FORM_SAFETENSORS || size < LENGTH_SIZE) return;
    uint64_t header = 0;
    for (int i = LENGTH_SIZE - 1; i >= 0; i--) header = header << 8 | data[i];
    if (header > size - LENGTH_SIZE) return;
    digest(h->addnet, data + LENGTH_SIZE + header, size - LENGTH_SIZE - (size_t)header);
}
