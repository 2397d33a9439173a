/* onecopy.heap._immortal: marks everything reachable immortal. What it offers is private to
 * onecopy.heap. */

#include "native/mark.h"

#ifdef ONECOPY_UNSUPPORTED

static PyMethodDef methods[] = {{NULL, NULL, 0, NULL}};

#else

#include "native/allocator.h"
#include "native/dicts.h"
#include "native/roots.h"

#include <string.h>

static uint32_t last_epoch;

/* ---- answers ---- */

static PyObject *tally_tuple(Tally tally)
{
    return Py_BuildValue("(nn)", tally.objects, tally.bytes);
}

/* A list of (type, ...) for each kind that `row` gives a row for; `row` answers NULL with no error
 * set to leave one out. */
static PyObject *rows_of(const KindTable *table, PyObject *(*row)(const Kind *))
{
    PyObject *rows = PyList_New(0);
    for (size_t i = 0; rows != NULL && i < table->size; i++) {
        PyObject *one = table->slots[i] == NULL ? NULL : row(table->slots[i]);
        if (PyErr_Occurred() || (one != NULL && PyList_Append(rows, one) < 0)) {
            Py_CLEAR(rows);
        }
        Py_XDECREF(one);
    }
    return rows;
}

static PyObject *sealed_row(const Kind *kind)
{
    int reason = kind->left_out == MARKED ? LEFT_HALF_BUILT : (int)kind->left_out;
    return Py_BuildValue("(Onninnn)", (PyObject *)kind->type, kind->marked.objects,
                         kind->marked.bytes, reason, kind->left_objects, kind->hidden.objects,
                         kind->hidden.bytes);
}

static PyObject *used_row(const Kind *kind)
{
    if (kind->written.objects == 0) {
        return NULL;
    }
    return Py_BuildValue("(Onn)", (PyObject *)kind->type, kind->written.objects,
                         kind->written.bytes);
}

/* ---- the walks ---- */

static int walk_groups(Walk *walk, PyObject *groups, PyObject *tallies)
{
    Py_ssize_t position = 0;
    PyObject *name;
    PyObject *value;
    while (PyDict_Next(groups, &position, &name, &value)) {
        if (walk_group(walk, value) < 0) {
            return -1;
        }
        PyObject *tally = tally_tuple(walk->group);
        int done = tally == NULL ? -1 : PyDict_SetItem(tallies, name, tally);
        Py_XDECREF(tally);
        if (done < 0) {
            return -1;
        }
    }
    return 0;
}

static Dicts dicts_of(PyObject *asked)
{
    if (asked == Py_None) {
        return DICTS_AS_USED;
    }
    return asked == Py_True ? DICTS_ALL : DICTS_NONE;
}

/* Once all that the program can reach is marked: the collector takes no interest in what is
   immortal, so this costs one pass over its lists, where a collection of the unmarked heap goes
   through every reference twice. What is left to it is garbage, which must not be sealed, and what
   only C refers to. */
static int collect(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *found = gc == NULL ? NULL : PyObject_CallMethod(gc, "collect", NULL);
    Py_XDECREF(gc);
    Py_XDECREF(found);
    return found == NULL ? -1 : 0;
}

PyDoc_STRVAR(seal_doc,
             "seal(groups, frames, walkers, file_type, instance_dicts, utf8, weakrefs)\n\n"
             "Mark everything reachable. Returns (rows by type, tallies by group, open files, "
             "failures of walkers).");

static PyObject *seal(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *groups;
    PyObject *frames;
    PyObject *walkers;
    PyObject *file_type;
    PyObject *dicts;
    int utf8;
    int weakrefs;
    if (!PyArg_ParseTuple(args, "O!O!O!O!Opp", &PyDict_Type, &groups, &PyList_Type, &frames,
                          &PyDict_Type, &walkers, &PyType_Type, &file_type, &dicts, &utf8,
                          &weakrefs)) {
        return NULL;
    }
    if (last_epoch >= MARK_LAST_EPOCH) {
        PyErr_SetString(PyExc_RuntimeError, "this process was sealed too often");
        return NULL;
    }
    int collecting = PyGC_Disable();
    PyObject *result = NULL;
    PyObject *tallies = PyDict_New();
    PyObject *const own[] = {groups, frames, tallies, args};
    Walk walk = {.epoch = ++last_epoch,
                 .dicts = dicts_of(dicts),
                 .fill_utf8 = utf8 != 0,
                 .fill_weakrefs = weakrefs != 0};
    walk.own = own;
    walk.own_count = sizeof(own) / sizeof(own[0]);
    if (tallies != NULL && walk_start(&walk, WALK_SEAL, walkers, file_type) == 0 &&
        walk_groups(&walk, groups, tallies) == 0 && walk_program(&walk, frames) == 0 &&
        walk_late_dicts(&walk) == 0 && collect() == 0 && walk_tracked(&walk) == 0) {
        PyObject *rows = rows_of(&walk.kinds, sealed_row);
        result =
            rows == NULL ? NULL : Py_BuildValue("(NOOO)", rows, tallies, walk.files, walk.failures);
    }
    Py_XDECREF(tallies);
    walk_end(&walk);
    if (collecting) {
        PyGC_Enable();
    }
    return result;
}

PyDoc_STRVAR(measure_doc, "measure(value, walkers, file_type)\n\nObjects and bytes reachable from "
                          "a value, as data. Marks nothing.");

static PyObject *measure(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *value;
    PyObject *walkers;
    PyObject *file_type;
    if (!PyArg_ParseTuple(args, "OO!O!", &value, &PyDict_Type, &walkers, &PyType_Type,
                          &file_type)) {
        return NULL;
    }
    int collecting = PyGC_Disable();
    Walk walk = {0};
    PyObject *result = NULL;
    if (walk_start(&walk, WALK_MEASURE, walkers, file_type) == 0 && walk_group(&walk, value) == 0) {
        result = Py_BuildValue("((nn)O)", walk.group.objects, walk.group.bytes, walk.failures);
    }
    walk_end(&walk);
    if (collecting) {
        PyGC_Enable();
    }
    return result;
}

PyDoc_STRVAR(use_doc, "use(frames, walkers, file_type)\n\n"
                      "Use every object there is, and tell which were written to by it: [(type, "
                      "objects, bytes of pages)].");

static PyObject *use(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *frames;
    PyObject *walkers;
    PyObject *file_type;
    if (!PyArg_ParseTuple(args, "O!O!O!", &PyList_Type, &frames, &PyDict_Type, &walkers,
                          &PyType_Type, &file_type)) {
        return NULL;
    }
    int collecting = PyGC_Disable();
    PyObject *const own[] = {frames, args};
    Walk walk = {.dicts = DICTS_AS_USED,
                 .fill_utf8 = true,
                 .own = own,
                 .own_count = sizeof(own) / sizeof(own[0])};
    PyObject *result = NULL;
    if (walk_start(&walk, WALK_USE, walkers, file_type) == 0 && walk_program(&walk, frames) == 0 &&
        walk_tracked(&walk) == 0) {
        result = rows_of(&walk.kinds, used_row);
    }
    walk_end(&walk);
    if (collecting) {
        PyGC_Enable();
    }
    return result;
}

/* ---- single objects, for the self-test and the tests ---- */

PyDoc_STRVAR(mark_doc, "mark(object)\n\nMark this one object immortal, for good.");

static PyObject *mark(PyObject *module, PyObject *op)
{
    (void)module;
    mark_set(op, last_epoch + 1);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(count_doc, "count(object)\n\nThe object's reference count as it is stored.");

static PyObject *count(PyObject *module, PyObject *op)
{
    (void)module;
    return PyLong_FromSsize_t((Py_ssize_t)op->ob_refcnt);
}

PyDoc_STRVAR(
    is_immortal_doc,
    "is_immortal(object)\n\nWhether the object is immortal and use of it is not written to it.");

static PyObject *is_immortal(PyObject *module, PyObject *op)
{
    (void)module;
    return PyBool_FromLong(mark_is_steady(op));
}

PyDoc_STRVAR(
    touch_doc,
    "touch(object, times)\n\nTake and give back so many references, then so many more at once.");

static PyObject *touch(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *op;
    int times;
    if (!PyArg_ParseTuple(args, "Oi", &op, &times)) {
        return NULL;
    }
    for (int i = 0; i < times; i++) {
        Py_INCREF(op);
        Py_DECREF(op);
    }
    for (int i = 0; i < times; i++) {
        Py_INCREF(op);
    }
    for (int i = 0; i < times; i++) {
        Py_DECREF(op);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(tidy_doc, "tidy()\n\nFill the free blocks of partly used pools and trim the C heap. "
                       "Returns the bytes filled.");

static PyObject *tidy(PyObject *module, PyObject *args)
{
    (void)module;
    (void)args;
    size_t filled = allocator_fill_pools();
    allocator_trim();
    return PyLong_FromSize_t(filled);
}

static PyMethodDef methods[] = {
    {"seal", seal, METH_VARARGS, seal_doc},
    {"measure", measure, METH_VARARGS, measure_doc},
    {"use", use, METH_VARARGS, use_doc},
    {"mark", mark, METH_O, mark_doc},
    {"count", count, METH_O, count_doc},
    {"is_immortal", is_immortal, METH_O, is_immortal_doc},
    {"touch", touch, METH_VARARGS, touch_doc},
    {"tidy", tidy, METH_NOARGS, tidy_doc},
    {NULL, NULL, 0, NULL},
};

#endif /* ONECOPY_UNSUPPORTED */

static int start(PyObject *module)
{
#ifdef ONECOPY_UNSUPPORTED
    return PyModule_AddStringConstant(module, "UNSUPPORTED", ONECOPY_UNSUPPORTED);
#else
    if (dicts_start() < 0) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "UNSUPPORTED", Py_None);
#endif
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)start},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_immortal", .m_doc = "Marks everything reachable immortal.",
    .m_methods = methods,  .m_slots = slots,
};

PyMODINIT_FUNC PyInit__immortal(void)
{
    return PyModuleDef_Init(&definition);
}
