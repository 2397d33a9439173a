/* What an immortal object looks like, on each version of CPython.

   3.12, 3.13: Py_INCREF stops writing when the low 32 bits of the count are exactly UINT32_MAX, and
   nothing reads the high 32 bits. 3.14, 3.15: it stops at _Py_IMMORTAL_INITIAL_REFCNT and above,
   and the interpreter's own stack references go by a flag beside it.

   Both leave room to write which walk made the mark, the epoch: so the mark is also the walk's
   "seen already", and a later walk can tell its own marks from those that were there before. */

#ifndef ONECOPY_MARK_H
#define ONECOPY_MARK_H

#include "cpython.h"

#include <stdbool.h>
#include <stdint.h>

#ifndef ONECOPY_UNSUPPORTED

static inline bool mark_is_immortal(PyObject *op)
{
    return (int32_t)op->ob_refcnt < 0;
}

#if PY_VERSION_HEX >= 0x030E0000

#ifndef _Py_IMMORTAL_FLAGS
#define _Py_IMMORTAL_FLAGS 1
#endif

/* A frame that held the object while it was marked gives its reference back and counts down by one:
   the epoch is shifted so that a handful of those stay above the limit. */
static inline uint32_t mark_count(uint32_t epoch)
{
    return (uint32_t)_Py_IMMORTAL_INITIAL_REFCNT + (epoch << 8);
}

static inline bool mark_is_of(PyObject *op, uint32_t epoch)
{
    return op->ob_refcnt == mark_count(epoch);
}

static inline void mark_set(PyObject *op, uint32_t epoch)
{
    op->ob_refcnt = mark_count(epoch);
    op->ob_flags |= _Py_IMMORTAL_FLAGS;
}

/* True when use of the object would not be written to it. */
static inline bool mark_is_steady(PyObject *op)
{
    return op->ob_refcnt >= _Py_IMMORTAL_INITIAL_REFCNT && (op->ob_flags & _Py_IMMORTAL_FLAGS) != 0;
}

#else

static inline Py_ssize_t mark_count(uint32_t epoch)
{
    return (Py_ssize_t)(((uint64_t)epoch << 32) | UINT32_MAX);
}

static inline bool mark_is_of(PyObject *op, uint32_t epoch)
{
    return op->ob_refcnt == mark_count(epoch);
}

static inline void mark_set(PyObject *op, uint32_t epoch)
{
    op->ob_refcnt = mark_count(epoch);
}

static inline bool mark_is_steady(PyObject *op)
{
    return (uint32_t)op->ob_refcnt == UINT32_MAX;
}

#endif /* version */

/* The epoch is kept below this, so that it fits above the count on every version. */
#define MARK_LAST_EPOCH 0x00200000u

#endif /* ONECOPY_UNSUPPORTED */
#endif
