/* status.h - how errors travel: a status code up the call chain, the text in an sdgen_error.
 *
 *     if (n > limit) return sdg_fail(err, SDGEN_ERR_FORMAT, "%s: header of %zu bytes ...", ...);
 *     SDG_TRY(sdg_map_file(&map, path, err));        jumps to the function's one `fail:` label
 *
 * SDG_TRY needs a local `sdgen_status status` and a label `fail:` in the calling function. */
#ifndef SDG_BASE_STATUS_H
#define SDG_BASE_STATUS_H

#include "sdgen.h"

/* Stores code and the formatted line in err (which may be NULL) and returns code. Control
 * characters in the result (file names and tensor names are hostile) are replaced by '?', newlines
 * included; over-long text is cut. */
sdgen_status sdg_fail(sdgen_error *err, sdgen_status code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define SDG_TRY(call)                                 \
    do {                                              \
        if ((status = (call)) != SDGEN_OK) goto fail; \
    } while (0)

#endif
