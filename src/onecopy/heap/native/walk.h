/* The walk over everything reachable: an explicit stack, and a mark or a bit for what was seen. */

#ifndef ONECOPY_WALK_H
#define ONECOPY_WALK_H

#include "addresses.h"
#include "cpython.h"
#include "kinds.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WALK_SEAL,    /* mark, and fill caches */
    WALK_MEASURE, /* count only */
    WALK_USE /* what a program does that reads every object: take a reference, hash, encode, look at
                __dict__ */
} WalkMode;

/* Which instances are given their __dict__ before the fork. */
typedef enum {
    DICTS_NONE,
    DICTS_ALL,
    DICTS_AS_USED /* those of types of which some instance has one already */
} Dicts;

typedef struct {
    PyObject *op; /* owned, so that nothing on the stack can go away */
    Kind *kind;
    Py_ssize_t position;
} Step;

typedef struct {
    PyTypeObject *type; /* owned */
    PyObject *walker;   /* owned */
} Walker;

struct Walk {
    WalkMode mode;
    uint32_t epoch;
    bool data_only;
    Dicts dicts;
    bool fill_utf8;
    bool fill_weakrefs;
    Addresses seen;      /* what cannot carry the mark of this walk */
    Addresses set_aside; /* of the program, met while walking data only */
    Addresses pages;     /* written to by use */
    KindTable kinds;
    Step *stack;
    size_t depth;
    size_t capacity;
    PyObject **aside;
    size_t aside_count;
    size_t aside_capacity;
    Walker *walkers;
    size_t walker_count;
    PyTypeObject *file_type; /* _io._IOBase, borrowed */
    PyTypeObject *zone_type; /* datetime.timezone, borrowed; NULL while datetime is not imported */
    PyObject *files;         /* the open files that were met */
    PyObject *failures;      /* (type, exception) of each walker that raised */
    PyObject *const *own;    /* containers of the caller's that must not be marked */
    size_t own_count;
    Tally group;
    bool failed;
};

/* `walkers`: a dict of type to callable; `file_type`: io objects. 0, or -1 with an error set. */
int walk_start(Walk *walk, WalkMode mode, PyObject *walkers, PyObject *file_type);
void walk_end(Walk *walk);

/* Sees one object, without following it yet: -1 with an error set. Signature of a visitproc, for
 * tp_traverse. */
int walk_see(PyObject *op, void *walk);
int walk_see_if_any(Walk *walk, PyObject *op);

/* Follows all that was seen: in follow.c. */
int walk_drain(Walk *walk);

/* Whether an object that can be marked, or was walked without, was seen in this walk. */
bool walk_has_seen(const Walk *walk, PyObject *op);

#endif
