#include "walk.h"

#include "caches.h"
#include "mark.h"
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
    Py_ssize_t bytes = kinds_size(kind, op);
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
        if (kind->left_out == LEFT_FILE && walk->mode == WALK_SEAL && PyList_Append(walk->files, op) < 0) {
            return -1;
        }
    }
    return 0;
}

static int see(Walk *walk, PyObject *op)
{
    Kind *kind = kinds_get(walk, op);
    if (kind == NULL) {
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

/* ---- following what was seen ---- */

static int keep_failure(Walk *walk, const Kind *kind)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *pair = PyTuple_Pack(2, (PyObject *)kind->type, error);
    int done = pair == NULL ? -1 : PyList_Append(walk->failures, pair);
    Py_XDECREF(pair);
    Py_XDECREF(error);
    return done;
}

/* Goes through what a registered walker gives. What it raises is the user's to hear of after the seal; it does not stop it. */
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
        done = walk_see_if_any(walk, instance_dict(op));
    }
    Py_DECREF(op);
    return done != 0 || walk->failed ? -1 : 0;
}

/* Goes through the items of an array until one of them has to be followed first. A last item takes its container's place on the
   stack, so that a long chain of pairs needs no deep stack. */
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
        /* Seeing the key cannot run code that takes the value away: only walkers run the user's code, and they run in finish(). */
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

int walk_group(Walk *walk, PyObject *value)
{
    walk->group = (Tally){0, 0};
    walk->data_only = true;
    int done = walk_see(value, walk) < 0 ? -1 : walk_drain(walk);
    walk->data_only = false;
    return done;
}

/* ---- everything else ---- */

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

static bool has_seen(const Walk *walk, PyObject *op)
{
    return (walk->mode == WALK_SEAL && mark_is_of(op, walk->epoch)) || addresses_has(&walk->seen, op);
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

/* A local variable may be the only one to hold an object that the collector does not track: a large str, an array. PyFrame_GetVar
   reads one without leaving a dict of all of them in the frame. */
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

/* A tuple or frozenset that nothing refers to which was reached may be half built, and its builder insists on a count of one: what it
   holds is walked, and it stays as it is. */
static int see_parts(Walk *walk, PyObject *op)
{
    Kind *kind = kinds_get(walk, op);
    if (kind == NULL) {
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
        if (!may_be_half_built(op) && !is_own(walk, op) && (walk_see(op, walk) < 0 || walk_drain(walk) < 0)) {
            return -1;
        }
    }
    /* Last, when all that could refer to them has been seen. */
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *op = PyList_GET_ITEM(tracked, i);
        if (may_be_half_built(op) && !is_own(walk, op) && !has_seen(walk, op) && see_parts(walk, op) < 0) {
            return -1;
        }
    }
    return 0;
}

int walk_program(Walk *walk, PyObject *frames)
{
    walk->group = (Tally){0, 0};
    if (see_aside(walk) < 0 || walk_see(PyImport_GetModuleDict(), walk) < 0 || walk_drain(walk) < 0) {
        return -1;
    }
    return see_frames(walk, frames);
}

static int fill_late_dict(PyObject *op, void *argument)
{
    Walk *walk = argument;
    const Kind *kind = kinds_find(&walk->kinds, Py_TYPE(op));
    if (kind == NULL || !kind->dicts_passed || !kind->dicts_used || instance_dict(op) != NULL || !has_seen(walk, op)) {
        return 1;
    }
    if (caches_fill_dict(op) < 0 || walk_see(instance_dict(op), walk) < 0 || walk_drain(walk) < 0) {
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
        walk->walkers[walk->walker_count++] = (Walker){(PyTypeObject *)Py_NewRef(type), Py_NewRef(walker)};
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
