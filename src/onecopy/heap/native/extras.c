#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "extras.h"

#include "dicts.h"

static int see_all(Walk *walk, PyObject *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (walk_see_if_any(walk, parts[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int walk_type(Walk *walk, PyObject *op)
{
    PyTypeObject *type = (PyTypeObject *)op;
    (void)PyUnstable_Type_AssignVersionTag(type);
    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        /* The tp_traverse of a static type aborts the process. */
        PyObject *dict = PyType_GetDict(type);
        PyObject *const parts[] = {dict, type->tp_bases, type->tp_mro, (PyObject *)type->tp_base};
        int done = see_all(walk, parts, sizeof(parts) / sizeof(parts[0]));
        Py_XDECREF(dict);
        return done;
    }
    const PyHeapTypeObject *heap = (const PyHeapTypeObject *)op;
    PyObject *const parts[] = {heap->ht_name, heap->ht_qualname, heap->ht_slots, heap->ht_module,
                               (PyObject *)type->tp_subclasses};
    if (see_all(walk, parts, sizeof(parts) / sizeof(parts[0])) < 0) {
        return -1;
    }
    if (dicts_see_shared_names(walk, type) < 0) {
        return -1;
    }
    traverseproc traverse = Py_TYPE(op)->tp_traverse;
    return traverse == NULL ? 0 : traverse(op, walk_see, walk);
}

static int walk_code(Walk *walk, PyObject *op)
{
    const PyCodeObject *code = (const PyCodeObject *)op;
    PyObject *const parts[] = {code->co_consts,
                               code->co_names,
                               code->co_exceptiontable,
                               code->co_localsplusnames,
                               code->co_localspluskinds,
                               code->co_filename,
                               code->co_name,
                               code->co_qualname,
                               code->co_linetable};
    if (see_all(walk, parts, sizeof(parts) / sizeof(parts[0])) < 0) {
        return -1;
    }
    if (code->_co_cached == NULL) {
        return 0;
    }
    const _PyCoCached *cached = code->_co_cached;
    PyObject *const more[] = {cached->_co_code, cached->_co_varnames, cached->_co_cellvars,
                              cached->_co_freevars};
    return see_all(walk, more, sizeof(more) / sizeof(more[0]));
}

static int walk_descriptor(Walk *walk, PyObject *op)
{
    const PyDescrObject *descriptor = (const PyDescrObject *)op;
    PyObject *const parts[] = {descriptor->d_name, descriptor->d_qualname};
    return see_all(walk, parts, sizeof(parts) / sizeof(parts[0]));
}

static int see_attribute(Walk *walk, PyObject *op, const char *name)
{
    PyObject *value = PyObject_GetAttrString(op, name);
    if (value == NULL) {
        PyErr_Clear();
        return 0;
    }
    int done = walk_see(value, walk);
    Py_DECREF(value);
    return done;
}

static int walk_range(Walk *walk, PyObject *op)
{
    if (see_attribute(walk, op, "start") < 0 || see_attribute(walk, op, "stop") < 0) {
        return -1;
    }
    return see_attribute(walk, op, "step");
}

void extras_choose(Kind *kind)
{
    PyTypeObject *type = kind->type;
    if (type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS) {
        kind->extra = walk_type;
        kind->program = true;
    } else if (type == &PyCode_Type) {
        kind->extra = walk_code;
        kind->program = true;
    } else if (type == &PyMethodDescr_Type || type == &PyMemberDescr_Type ||
               type == &PyGetSetDescr_Type || type == &PyWrapperDescr_Type ||
               type == &PyClassMethodDescr_Type) {
        kind->extra = walk_descriptor;
        kind->program = true;
    } else if (type == &PyFunction_Type || PyType_IsSubtype(type, &PyModule_Type) ||
               PyType_IsSubtype(type, &PyCFunction_Type)) {
        kind->program = true;
    } else if (type == &PyRange_Type) {
        kind->extra = walk_range;
    }
}

#endif
