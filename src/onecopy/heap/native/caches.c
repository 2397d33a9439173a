#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "caches.h"

#include "dicts.h"
#include "times.h"

enum {
    LONGEST_UTF8 = 256 /* characters: longer strings have pages of their own, more or less, and
                          their UTF-8 would take as much again */
};

static int fill_str(Walk *walk, PyObject *op)
{
    int wrote = 0;
    if (((PyASCIIObject *)op)->hash == -1) {
        (void)PyUnicode_Type.tp_hash(op);
        wrote = 1;
    }
    if (walk->fill_utf8 && !PyUnicode_IS_COMPACT_ASCII(op) &&
        ((PyCompactUnicodeObject *)op)->utf8 == NULL && PyUnicode_GET_LENGTH(op) <= LONGEST_UTF8) {
        Py_ssize_t length;
        if (PyUnicode_AsUTF8AndSize(op, &length) == NULL) {
            PyErr_Clear(); /* a lone surrogate: nothing to keep, for a child neither */
        } else {
            wrote = 1;
        }
    }
    return wrote;
}

static int fill_bytes_hash(PyObject *op)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    bool empty = ((PyBytesObject *)op)->ob_shash == -1;
#pragma GCC diagnostic pop
    if (empty) {
        (void)PyBytes_Type.tp_hash(op);
    }
    return empty;
}

/* From the hashes that the set keeps of its members: no code of theirs runs. */
static int fill_frozenset_hash(PyObject *op)
{
    if (((PySetObject *)op)->hash != -1) {
        return 0;
    }
    (void)PyFrozenSet_Type.tp_hash(op);
    return 1;
}

#if PY_VERSION_HEX >= 0x030E0000
/* 3.14 keeps the hash of a tuple in it. Only where no code of the user's can run: tuples of plain
 * values. */
static int fill_tuple_hash(PyObject *op)
{
    PyTupleObject *tuple = (PyTupleObject *)op;
    if (tuple->ob_hash != -1) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < Py_SIZE(op); i++) {
        PyObject *item = tuple->ob_item[i];
        if (item == NULL ||
            !(PyUnicode_CheckExact(item) || PyLong_CheckExact(item) || PyFloat_CheckExact(item) ||
              PyBytes_CheckExact(item) || PyBool_Check(item) || item == Py_None)) {
            return 0;
        }
    }
    (void)PyTuple_Type.tp_hash(op);
    return 1;
}
#endif

int caches_fill_dict(PyObject *op)
{
    PyObject *dict = PyObject_GenericGetDict(op, NULL);
    if (dict == NULL) {
        return -1;
    }
    Py_DECREF(dict);
    return 1;
}

static int fill_dict(const Walk *walk, Kind *kind, PyObject *op)
{
    if (dicts_of_instance(op) != NULL) {
        kind->dicts_used = true;
        return 0;
    }
    if (walk->dicts == DICTS_ALL || (walk->dicts == DICTS_AS_USED && kind->dicts_used)) {
        return caches_fill_dict(op);
    }
    kind->dicts_passed = true;
    return 0;
}

/* The first weak reference without a callback is kept in the object and given to all who ask for
 * one: made here, and kept for good. */
static int fill_weakref(Walk *walk, PyObject *op)
{
    if (*PyObject_GET_WEAKREFS_LISTPTR(op) != NULL) {
        return 0;
    }
    PyObject *reference = PyWeakref_NewRef(op, NULL);
    if (reference == NULL) {
        return -1;
    }
    return walk_see(reference, walk) < 0 ? -1 : 1;
}

int caches_fill(Walk *walk, Kind *kind, PyObject *op)
{
    int wrote = 0;
    switch (kind->cache) {
    case CACHE_NONE:
        break;
    case CACHE_STR:
        wrote = fill_str(walk, op);
        break;
    case CACHE_BYTES_HASH:
        wrote = fill_bytes_hash(op);
        break;
    case CACHE_FROZENSET_HASH:
        wrote = fill_frozenset_hash(op);
        break;
    case CACHE_TIME_HASH:
        wrote = times_fill_hash(walk, kind, op);
        break;
    case CACHE_TUPLE_HASH:
#if PY_VERSION_HEX >= 0x030E0000
        wrote = fill_tuple_hash(op);
#endif
        break;
    }
    if (kind->keeps_dict) {
        int made = fill_dict(walk, kind, op);
        if (made < 0) {
            return -1;
        }
        wrote |= made;
    }
    if (kind->keeps_weakrefs && walk->fill_weakrefs) {
        int made = fill_weakref(walk, op);
        if (made < 0) {
            return -1;
        }
        wrote |= made;
    }
    return wrote;
}

#endif
