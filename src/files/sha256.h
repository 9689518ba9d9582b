/* sha256.h - SHA-256 (FIPS 180-4), for the names that files go by: model hashes. */
#ifndef SDG_FILES_SHA256_H
#define SDG_FILES_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SDG_SHA256_HEX = 65 }; /* 64 digits and the NUL */

struct sdg_sha256 {
    uint32_t state[8];
    uint64_t length;   /* bytes so far */
    uint8_t block[64]; /* the unfinished block: length % 64 bytes */
};

void sdg_sha256_init(struct sdg_sha256 *s);
void sdg_sha256_update(struct sdg_sha256 *s, const void *data, size_t size);

/* The digest in lower-case hexadecimal. s is used up. */
void sdg_sha256_hex(char hex[SDG_SHA256_HEX], struct sdg_sha256 *s);

#endif
