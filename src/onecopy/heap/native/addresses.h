/* A set of object addresses: a bitmap with one bit for 16 bytes, in leaves of 64 KiB found through
   a hash table.

   No two objects begin in the same 16 bytes, so a bit is an object. It costs 1/128 of the memory
   the objects lie in, where a table of pointers would cost up to a third. */

#ifndef ONECOPY_ADDRESSES_H
#define ONECOPY_ADDRESSES_H

#include <stddef.h>
#include <stdint.h>

enum { LEAF_WORDS = 64 };

typedef struct {
    uintptr_t region; /* address >> 16, plus one: 0 is an empty slot */
    uint64_t *bits;
} AddressLeaf;

typedef struct {
    AddressLeaf *table;
    size_t slots; /* a power of two, or 0 */
    size_t used;
    AddressLeaf last;
} Addresses;

/* 1: added now. 0: was there. -1: out of memory (no Python error is set). */
int addresses_add(Addresses *set, const void *address);
int addresses_has(const Addresses *set, const void *address);
void addresses_clear(Addresses *set);

#endif
