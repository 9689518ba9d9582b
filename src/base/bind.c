/* bind.c - see bind.h. */
#include "base/bind.h"

#include <stdio.h>

enum { NAME_MAX_LENGTH = 256 };

void sdg_bind_rows(struct sdg_binder *b, const char *prefix, const struct sdg_bind_row *rows,
                   size_t count, const int64_t *dims, void *block)
{
    for (size_t r = 0; r < count; r++) {
        char name[NAME_MAX_LENGTH];
        snprintf(name, sizeof name, "%s%s", prefix, rows[r].name);
        int64_t shape[4] = {0};
        for (int d = 0; d < rows[r].rank; d++)
            shape[d] = rows[r].dims[d] < 0 ? -rows[r].dims[d] : dims[rows[r].dims[d]];
        struct sdg_tensor *slot = (struct sdg_tensor *)((char *)block + rows[r].slot);
        b->want(b, name, shape, rows[r].rank, rows[r].flags, slot);
    }
}
