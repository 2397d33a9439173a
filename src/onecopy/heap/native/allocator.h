/* Free memory among the sealed objects: a child that reuses it copies the page it lies in. */

#ifndef ONECOPY_ALLOCATOR_H
#define ONECOPY_ALLOCATOR_H

#include <stddef.h>

/* Takes, for good, the free blocks of partly used pools of Python's small object allocator, so that
   what children allocate begins in pages of their own. Bytes taken; 0 under another allocator. */
size_t allocator_fill_pools(void);

/* Gives the free pages of the C library's heap back to the kernel. */
void allocator_trim(void);

#endif
