/* What the walk knows of each type it meets: how to go through its objects, how large they are,
   which caches to fill, and whether they may be marked. Worked out once for a type, at its first
   object. */

#ifndef ONECOPY_KINDS_H
#define ONECOPY_KINDS_H

#include "cpython.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Walk Walk;

typedef struct {
    Py_ssize_t objects;
    Py_ssize_t bytes;
} Tally;

typedef enum { CURSOR_NONE, CURSOR_LIST, CURSOR_TUPLE, CURSOR_DICT } Cursor;

/* Why the objects of a type are left out, that is not marked. All but frames are walked. The order
 * is that of REASONS in _seal.py. */
typedef enum { MARKED, LEFT_FRAME, LEFT_SUSPENDED, LEFT_VIEW, LEFT_FILE, LEFT_HALF_BUILT } LeftOut;

typedef enum {
    SIZE_FIXED,
    SIZE_ITEMS,
    SIZE_INT,
    SIZE_STR,
    SIZE_LIST,
    SIZE_DICT,
    SIZE_SET,
    SIZE_METHOD
} Sizing;

typedef enum {
    CACHE_NONE,
    CACHE_STR,
    CACHE_BYTES_HASH,
    CACHE_FROZENSET_HASH,
    CACHE_TIME_HASH,
    CACHE_TUPLE_HASH
} Cache;

typedef int (*ExtraWalk)(Walk *walk, PyObject *op);

typedef struct Kind {
    PyTypeObject *type; /* owned */
    Cursor cursor;
    LeftOut left_out;
    Sizing sizing;
    Cache cache;
    hashfunc hash; /* of CACHE_TIME_HASH */
    traverseproc traverse;
    ExtraWalk extra;       /* what tp_traverse does not show */
    PyObject *walker;      /* borrowed: a registered walker in Python */
    PyObject *size_method; /* owned: the descriptor of a __sizeof__ written in C */
    Py_ssize_t base_size;
    Py_ssize_t item_size;
    bool leaf;       /* refers to nothing */
    bool program;    /* a type, module, function, code: not counted as part of a dataset */
    bool unwalkable; /* may hold objects that nothing shows */
    bool keeps_dict; /* makes its __dict__ at the first use of it */
    bool keeps_weakrefs;
    bool dicts_used;   /* some instance had its __dict__ when it was met */
    bool dicts_passed; /* some instance was met before that, and left without */
    Tally marked;
    Py_ssize_t left_objects;
    Tally hidden;  /* of an unwalkable type */
    Tally written; /* by the use of it: objects, and bytes of pages that they were the first to
                      touch */
} Kind;

typedef struct {
    Kind **slots;
    size_t count;
    size_t size; /* a power of two, or 0 */
} KindTable;

void kinds_clear(KindTable *table);

static inline size_t kinds_slot(Kind *const *slots, size_t size, const PyTypeObject *type)
{
    size_t slot = (size_t)(((uintptr_t)type * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);
    while (slots[slot] != NULL && slots[slot]->type != type) {
        slot = (slot + 1) & (size - 1);
    }
    return slot;
}

/* The kind of a type that was met; NULL if it was not. */
static inline Kind *kinds_find(const KindTable *table, const PyTypeObject *type)
{
    return table->size == 0 ? NULL : table->slots[kinds_slot(table->slots, table->size, type)];
}

/* Works out the kind of the type of its first object; NULL with an error set. */
Kind *kinds_add(Walk *walk, PyObject *first);

#endif
