#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "dicts.h"
#include "walk.h"

/* -1 for what is no error of the walker's: Ctrl-C, an exit. */
static int keep_failure(Walk *walk, const Kind *kind)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *error = PyErr_GetRaisedException();
    PyObject *pair = PyTuple_Pack(2, (PyObject *)kind->type, error);
    int done = pair == NULL ? -1 : PyList_Append(walk->failures, pair);
    Py_XDECREF(pair);
    Py_XDECREF(error);
    return done;
}

/* Goes through what a registered walker gives. What it raises is the user's to hear of after the
 * seal; it does not stop it. */
static int ask_walker(Walk *walk, const Kind *kind, PyObject *op)
{
    PyObject *answer = PyObject_CallOneArg(kind->walker, op);
    PyObject *parts = answer == NULL ? NULL : PyObject_GetIter(answer);
    Py_XDECREF(answer);
    if (parts == NULL) {
        return keep_failure(walk, kind);
    }
    int done = 0;
    PyObject *part;
    while (done == 0 && (part = PyIter_Next(parts)) != NULL) {
        done = walk_see(part, walk);
        Py_DECREF(part);
    }
    Py_DECREF(parts);
    if (done == 0 && PyErr_Occurred()) {
        return keep_failure(walk, kind);
    }
    return done;
}

/* Takes the last step off the stack and follows it to its end. */
static int finish(Walk *walk, const Kind *kind)
{
    PyObject *op = walk->stack[--walk->depth].op;
    int done = 0;
    if (kind->extra != NULL) {
        done = kind->extra(walk, op);
    }
    if (done == 0 && kind->walker != NULL) {
        done = ask_walker(walk, kind, op);
    }
    if (done == 0 && kind->traverse != NULL) {
        done = kind->traverse(op, walk_see, walk);
    }
    if (done == 0 && kind->keeps_dict) {
        done = walk_see_if_any(walk, dicts_of_instance(op));
    }
    Py_DECREF(op);
    return done != 0 || walk->failed ? -1 : 0;
}

/* Goes through the items of an array until one of them has to be followed first. A last item takes
   its container's place on the stack, so that a long chain of pairs needs no deep stack. */
static int step_items(Walk *walk, PyObject *const *items, Py_ssize_t size)
{
    size_t mine = walk->depth - 1;
    PyObject *op = walk->stack[mine].op;
    Py_ssize_t i = walk->stack[mine].position;
    while (i < size - 1) {
        PyObject *item = items[i++];
        if (item != NULL) {
            if (i + 8 < size) {
                __builtin_prefetch(items[i + 7], 1);
            }
            walk->stack[mine].position = i;
            if (walk_see(item, walk) < 0) {
                return -1;
            }
            if (walk->depth != mine + 1) {
                return 0;
            }
        }
    }
    walk->depth = mine;
    int done = i < size ? walk_see_if_any(walk, items[i]) : 0;
    Py_DECREF(op);
    return done;
}

static int step_dict(Walk *walk, const Kind *kind)
{
    size_t mine = walk->depth - 1;
    PyObject *op = walk->stack[mine].op;
    PyObject *key;
    PyObject *value;
    while (PyDict_Next(op, &walk->stack[mine].position, &key, &value)) {
        /* Seeing the key cannot run code that takes the value away: only walkers run the user's
         * code, and they run in finish(). */
        if (walk_see(key, walk) < 0 || walk_see(value, walk) < 0) {
            return -1;
        }
        if (walk->depth != mine + 1) {
            return 0;
        }
    }
    return finish(walk, kind);
}

int walk_drain(Walk *walk)
{
    while (walk->depth > 0) {
        PyObject *op = walk->stack[walk->depth - 1].op;
        const Kind *kind = walk->stack[walk->depth - 1].kind;
        int done;
        switch (kind->cursor) {
        case CURSOR_LIST:
            done = step_items(walk, ((PyListObject *)op)->ob_item, PyList_GET_SIZE(op));
            break;
        case CURSOR_TUPLE:
            done = step_items(walk, ((PyTupleObject *)op)->ob_item, PyTuple_GET_SIZE(op));
            break;
        case CURSOR_DICT:
            done = step_dict(walk, kind);
            break;
        default:
            done = finish(walk, kind);
        }
        if (done < 0) {
            return -1;
        }
    }
    return 0;
}

#endif
