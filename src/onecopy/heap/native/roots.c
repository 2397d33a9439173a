#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "roots.h"

#include "caches.h"
#include "dicts.h"

int walk_group(Walk *walk, PyObject *value)
{
    walk->group = (Tally){0, 0};
    walk->data_only = true;
    int done = walk_see(value, walk) < 0 ? -1 : walk_drain(walk);
    walk->data_only = false;
    return done;
}

static int see_aside(Walk *walk)
{
    while (walk->aside_count > 0) {
        PyObject *op = walk->aside[--walk->aside_count];
        int done = walk_see(op, walk) < 0 ? -1 : walk_drain(walk);
        Py_DECREF(op);
        if (done < 0) {
            return -1;
        }
    }
    return 0;
}

static bool is_own(const Walk *walk, const PyObject *op)
{
    if (op == walk->files || op == walk->failures) {
        return true;
    }
    for (size_t i = 0; i < walk->own_count; i++) {
        if (walk->own[i] == op) {
            return true;
        }
    }
    return false;
}

/* A local variable may be the only one to hold an object that the collector does not track: a large
   str, an array. PyFrame_GetVar reads one without leaving a dict of all of them in the frame. */
static int see_locals(Walk *walk, PyFrameObject *frame)
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    PyObject *names = code->co_localsplusnames;
    int done = 0;
    for (Py_ssize_t i = 0; done == 0 && i < PyTuple_GET_SIZE(names); i++) {
        PyObject *value = PyFrame_GetVar(frame, PyTuple_GET_ITEM(names, i));
        if (value == NULL) {
            PyErr_Clear();
            continue;
        }
        done = is_own(walk, value) ? 0 : walk_see(value, walk);
        Py_DECREF(value);
    }
    if (done == 0 && (code->co_flags & CO_OPTIMIZED) == 0) {
        PyObject *namespace = PyFrame_GetLocals(frame);
        if (namespace == NULL) {
            PyErr_Clear();
        } else {
            done = walk_see(namespace, walk);
            Py_DECREF(namespace);
        }
    }
    Py_DECREF(code);
    return done;
}

static int see_frames(Walk *walk, PyObject *frames)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(frames); i++) {
        PyFrameObject *frame = (PyFrameObject *)Py_NewRef(PyList_GET_ITEM(frames, i));
        while (frame != NULL) {
            PyFrameObject *back = NULL;
            int done = see_locals(walk, frame);
            if (done == 0) {
                back = PyFrame_GetBack(frame);
            }
            Py_DECREF(frame);
            if (done < 0 || walk_drain(walk) < 0) {
                return -1;
            }
            frame = back;
        }
    }
    return 0;
}

/* A tuple or frozenset that nothing refers to which was reached may be half built, and its builder
   insists on a count of one: what it holds is walked, and it stays as it is. */
static int see_parts(Walk *walk, PyObject *op)
{
    Kind *kind = kinds_find(&walk->kinds, Py_TYPE(op));
    if (kind == NULL && (kind = kinds_add(walk, op)) == NULL) {
        return -1;
    }
    kind->left_objects++;
    return Py_TYPE(op)->tp_traverse(op, walk_see, walk) != 0 ? -1 : walk_drain(walk);
}

static bool may_be_half_built(PyObject *op)
{
    return PyTuple_CheckExact(op) || PyFrozenSet_CheckExact(op);
}

static int see_tracked(Walk *walk, PyObject *tracked)
{
    Py_ssize_t size = PyList_GET_SIZE(tracked);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *op = PyList_GET_ITEM(tracked, i);
        if (!may_be_half_built(op) && !is_own(walk, op) &&
            (walk_see(op, walk) < 0 || walk_drain(walk) < 0)) {
            return -1;
        }
    }
    /* Last, when all that could refer to them has been seen. */
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *op = PyList_GET_ITEM(tracked, i);
        if (may_be_half_built(op) && !is_own(walk, op) && !walk_has_seen(walk, op) &&
            see_parts(walk, op) < 0) {
            return -1;
        }
    }
    return 0;
}

int walk_program(Walk *walk, PyObject *frames)
{
    walk->group = (Tally){0, 0};
    if (see_aside(walk) < 0 || walk_see(PyImport_GetModuleDict(), walk) < 0 ||
        walk_drain(walk) < 0) {
        return -1;
    }
    return see_frames(walk, frames);
}

static int fill_late_dict(PyObject *op, void *argument)
{
    Walk *walk = argument;
    const Kind *kind = kinds_find(&walk->kinds, Py_TYPE(op));
    if (kind == NULL || !kind->dicts_passed || !kind->dicts_used || dicts_of_instance(op) != NULL ||
        !walk_has_seen(walk, op)) {
        return 1;
    }
    if (caches_fill_dict(op) < 0 || walk_see(dicts_of_instance(op), walk) < 0 ||
        walk_drain(walk) < 0) {
        walk->failed = true;
        return 0;
    }
    return 1;
}

int walk_late_dicts(Walk *walk)
{
    bool late = false;
    for (size_t i = 0; i < walk->kinds.size; i++) {
        const Kind *kind = walk->kinds.slots[i];
        late = late || (kind != NULL && kind->dicts_used && kind->dicts_passed);
    }
    if (late && walk->dicts == DICTS_AS_USED) {
        PyUnstable_GC_VisitObjects(fill_late_dict, walk);
    }
    return walk->failed ? -1 : 0;
}

int walk_tracked(Walk *walk)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *tracked = gc == NULL ? NULL : PyObject_CallMethod(gc, "get_objects", NULL);
    Py_XDECREF(gc);
    if (tracked == NULL) {
        return -1;
    }
    PyObject_GC_UnTrack(tracked);
    int done = see_tracked(walk, tracked);
    Py_DECREF(tracked);
    return done;
}

#endif
