#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "allocator.h"

#include <stdint.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    ALIGNMENT = 16,
    LARGEST = 512,
    POOL_SIZE = 1 << 14,
    POOL_HEADER = 48,
    RUN = 4, /* so many blocks one after the other, from the start of a pool, tell a fresh pool */
};

/* Exported by 3.12 and 3.13, though in no public header. */
extern const char *_PyMem_GetCurrentAllocatorName(void) __attribute__((weak));

static int is_pymalloc(void)
{
    if (_PyMem_GetCurrentAllocatorName == NULL) {
        return 0;
    }
    const char *name = _PyMem_GetCurrentAllocatorName();
    return name != NULL && strcmp(name, "pymalloc") == 0;
}

/* The allocator takes a fresh pool only once no partly used pool of that size is left. */
static size_t fill_size(size_t size)
{
    const size_t limit = (size_t)1
                         << 33; /* should a future allocator lay out its pools otherwise */
    void *run[RUN];
    size_t length = 0;
    size_t taken = 0;
    while (length < RUN && taken < limit) {
        char *block = PyObject_Malloc(size);
        if (block == NULL) {
            break;
        }
        taken += size;
        if (((uintptr_t)block & (POOL_SIZE - 1)) == POOL_HEADER) {
            length = 0;
        } else if (length == 0 || (char *)run[length - 1] + size != block) {
            length = 0;
            continue;
        }
        run[length++] = block;
    }
    while (length > 0) {
        PyObject_Free(run[--length]);
        taken -= size;
    }
    return taken;
}

size_t allocator_fill_pools(void)
{
    size_t taken = 0;
    if (is_pymalloc()) {
        for (size_t size = ALIGNMENT; size <= LARGEST; size += ALIGNMENT) {
            taken += fill_size(size);
        }
    }
    return taken;
}

void allocator_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

#endif
