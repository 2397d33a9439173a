#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "walk.h"

#include "caches.h"
#include "mark.h"
#include "sizes.h"
#include "times.h"

static int no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

/* ---- the stack, and what is set aside ---- */

static int push(Walk *walk, PyObject *op, Kind *kind)
{
    if (walk->depth == walk->capacity) {
        size_t capacity = walk->capacity == 0 ? 1024 : walk->capacity * 2;
        Step *stack = PyMem_RawRealloc(walk->stack, capacity * sizeof(Step));
        if (stack == NULL) {
            return no_memory();
        }
        walk->stack = stack;
        walk->capacity = capacity;
    }
    walk->stack[walk->depth++] = (Step){Py_NewRef(op), kind, 0};
    return 0;
}

static int put_aside(Walk *walk, PyObject *op)
{
    int added = addresses_add(&walk->set_aside, op);
    if (added <= 0) {
        return added == 0 ? 0 : no_memory();
    }
    if (walk->aside_count == walk->aside_capacity) {
        size_t capacity = walk->aside_capacity == 0 ? 1024 : walk->aside_capacity * 2;
        PyObject **aside = PyMem_RawRealloc(walk->aside, capacity * sizeof(PyObject *));
        if (aside == NULL) {
            return no_memory();
        }
        walk->aside = aside;
        walk->aside_capacity = capacity;
    }
    walk->aside[walk->aside_count++] = Py_NewRef(op);
    return 0;
}

/* ---- seeing an object ---- */

/* 1: for the first time in this walk. 0: seen before. -1: error set. */
static int note(Walk *walk, Kind *kind, PyObject *op, bool *marked)
{
    *marked = false;
    if (walk->mode == WALK_SEAL && kind->left_out == MARKED) {
        if (mark_is_of(op, walk->epoch)) {
            return 0;
        }
        if (!mark_is_immortal(op)) {
            mark_set(op, walk->epoch);
            *marked = true;
            return 1;
        }
        if (!mark_is_steady(op)) {
            mark_set(op, walk->epoch); /* an extension of an old ABI moved the count */
            return 1;
        }
    }
    int added = addresses_add(&walk->seen, op);
    return added < 0 ? no_memory() : added;
}

static int count_use(Walk *walk, Kind *kind, PyObject *op, bool cached)
{
    Py_INCREF(op);
    Py_DECREF(op);
    if (mark_is_steady(op) && !cached) {
        return 0;
    }
    kind->written.objects++;
    int added = addresses_add(&walk->pages, (const void *)((uintptr_t)op & ~(uintptr_t)4095));
    if (added < 0) {
        return no_memory();
    }
    kind->written.bytes += added * 4096;
    return 0;
}

static int count(Walk *walk, Kind *kind, PyObject *op, bool marked)
{
    Py_ssize_t bytes = sizes_of(kind, op);
    walk->group.objects++;
    walk->group.bytes += bytes;
    if (marked) {
        kind->marked.objects++;
        kind->marked.bytes += bytes;
    }
    if (kind->unwalkable) {
        kind->hidden.objects++;
        kind->hidden.bytes += bytes;
    }
    if (kind->left_out != MARKED) {
        kind->left_objects++;
        if (kind->left_out == LEFT_FILE && walk->mode == WALK_SEAL &&
            PyList_Append(walk->files, op) < 0) {
            return -1;
        }
    }
    return 0;
}

static int see(Walk *walk, PyObject *op)
{
    Kind *kind = kinds_find(&walk->kinds, Py_TYPE(op));
    if (kind == NULL && (kind = kinds_add(walk, op)) == NULL) {
        return -1;
    }
    if (kind->left_out == LEFT_FRAME) {
        return 0;
    }
    if (kind->program && walk->data_only) {
        return put_aside(walk, op);
    }
    bool marked;
    int fresh = note(walk, kind, op, &marked);
    if (fresh <= 0) {
        return fresh;
    }
    int cached = walk->mode == WALK_MEASURE ? 0 : caches_fill(walk, kind, op);
    if (cached < 0 || count(walk, kind, op, marked) < 0) {
        return -1;
    }
    if (walk->mode == WALK_USE && count_use(walk, kind, op, cached > 0) < 0) {
        return -1;
    }
    return kind->leaf ? 0 : push(walk, op, kind);
}

int walk_see(PyObject *op, void *walk)
{
    if (see(walk, op) < 0) {
        ((Walk *)walk)->failed = true;
        return -1;
    }
    return 0;
}

int walk_see_if_any(Walk *walk, PyObject *op)
{
    return op == NULL ? 0 : walk_see(op, walk);
}

bool walk_has_seen(const Walk *walk, PyObject *op)
{
    return (walk->mode == WALK_SEAL && mark_is_of(op, walk->epoch)) ||
           addresses_has(&walk->seen, op);
}

/* ---- start and end ---- */

static int take_walkers(Walk *walk, PyObject *walkers)
{
    Py_ssize_t position = 0;
    PyObject *type;
    PyObject *walker;
    walk->walkers = PyMem_RawCalloc((size_t)PyDict_GET_SIZE(walkers) + 1, sizeof(Walker));
    if (walk->walkers == NULL) {
        return no_memory();
    }
    while (PyDict_Next(walkers, &position, &type, &walker)) {
        walk->walkers[walk->walker_count++] =
            (Walker){(PyTypeObject *)Py_NewRef(type), Py_NewRef(walker)};
    }
    return 0;
}

int walk_start(Walk *walk, WalkMode mode, PyObject *walkers, PyObject *file_type)
{
    walk->mode = mode;
    walk->file_type = (PyTypeObject *)file_type;
    walk->files = PyList_New(0);
    walk->failures = PyList_New(0);
    if (walk->files == NULL || walk->failures == NULL) {
        return -1;
    }
    return take_walkers(walk, walkers) < 0 ? -1 : times_find(walk);
}

void walk_end(Walk *walk)
{
    while (walk->depth > 0) {
        Py_DECREF(walk->stack[--walk->depth].op);
    }
    while (walk->aside_count > 0) {
        Py_DECREF(walk->aside[--walk->aside_count]);
    }
    for (size_t i = 0; i < walk->walker_count; i++) {
        Py_DECREF((PyObject *)walk->walkers[i].type);
        Py_DECREF(walk->walkers[i].walker);
    }
    PyMem_RawFree(walk->stack);
    PyMem_RawFree(walk->aside);
    PyMem_RawFree(walk->walkers);
    Py_CLEAR(walk->files);
    Py_CLEAR(walk->failures);
    addresses_clear(&walk->seen);
    addresses_clear(&walk->set_aside);
    addresses_clear(&walk->pages);
    kinds_clear(&walk->kinds);
}

#endif
