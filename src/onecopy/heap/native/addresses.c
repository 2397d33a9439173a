#include "addresses.h"

#include <stdlib.h>

static size_t slot_of(const AddressLeaf *table, size_t slots, uintptr_t region)
{
    size_t slot = (size_t)((region * 0x9E3779B97F4A7C15u) >> 20) & (slots - 1);
    while (table[slot].region != 0 && table[slot].region != region) {
        slot = (slot + 1) & (slots - 1);
    }
    return slot;
}

static int grow(Addresses *set)
{
    size_t slots = set->slots == 0 ? 64 : set->slots * 2;
    AddressLeaf *table = calloc(slots, sizeof(AddressLeaf));
    if (table == NULL) {
        return -1;
    }
    for (size_t i = 0; i < set->slots; i++) {
        if (set->table[i].region != 0) {
            table[slot_of(table, slots, set->table[i].region)] = set->table[i];
        }
    }
    free(set->table);
    set->table = table;
    set->slots = slots;
    return 0;
}

/* The leaf for this region, made if it is not there; NULL when out of memory. */
static uint64_t *leaf_for(Addresses *set, uintptr_t region)
{
    if ((set->used + 1) * 4 > set->slots * 3 && grow(set) < 0) {
        return NULL;
    }
    AddressLeaf *leaf = &set->table[slot_of(set->table, set->slots, region)];
    if (leaf->region == 0) {
        leaf->bits = calloc(LEAF_WORDS, sizeof(uint64_t));
        if (leaf->bits == NULL) {
            return NULL;
        }
        leaf->region = region;
        set->used++;
    }
    set->last = *leaf;
    return leaf->bits;
}

int addresses_add(Addresses *set, const void *address)
{
    uintptr_t where = (uintptr_t)address;
    uintptr_t region = (where >> 16) + 1;
    uint64_t *bits = set->last.region == region ? set->last.bits : leaf_for(set, region);
    if (bits == NULL) {
        return -1;
    }
    size_t index = (where & 0xFFFF) >> 4;
    uint64_t bit = (uint64_t)1 << (index & 63);
    if (bits[index >> 6] & bit) {
        return 0;
    }
    bits[index >> 6] |= bit;
    return 1;
}

int addresses_has(const Addresses *set, const void *address)
{
    if (set->slots == 0) {
        return 0;
    }
    uintptr_t where = (uintptr_t)address;
    const AddressLeaf *leaf = &set->table[slot_of(set->table, set->slots, (where >> 16) + 1)];
    size_t index = (where & 0xFFFF) >> 4;
    return leaf->region != 0 && (leaf->bits[index >> 6] >> (index & 63) & 1) != 0;
}

void addresses_clear(Addresses *set)
{
    for (size_t i = 0; i < set->slots; i++) {
        free(set->table[i].bits);
    }
    free(set->table);
    *set = (Addresses){0};
}
