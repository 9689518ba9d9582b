/* pool.h - many small pieces of memory that are freed together. */
#ifndef SDG_FILES_POOL_H
#define SDG_FILES_POOL_H

#include <stddef.h>

/* size bytes aligned for any scalar, contents undefined; NULL when memory cannot be had. *pool is
 * NULL at first and belongs to the pool from then on. */
void *sdg_pool_alloc(void **pool, size_t size);

/* Frees every piece; *pool is NULL again. */
void sdg_pool_free(void **pool);

#endif
