#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "sizes.h"

#include "dicts.h"
#include "names.h"

#include <string.h>

#define LARGEST ((Py_ssize_t)1 << 40)

/* A type may declare items and have none (msgspec.Raw): what stands where their number would, a
 * pointer say, is then taken for it. No object has a terabyte. */
static Py_ssize_t believable(const Kind *kind, Py_ssize_t size)
{
    return size >= 0 && size < LARGEST ? size : kind->base_size;
}

static Py_ssize_t str_size(const Kind *kind, PyObject *op)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(op);
    if (PyUnicode_IS_COMPACT_ASCII(op)) {
        return (Py_ssize_t)sizeof(PyASCIIObject) + length + 1;
    }
    const PyCompactUnicodeObject *compact = (const PyCompactUnicodeObject *)op;
    Py_ssize_t utf8 = compact->utf8 == NULL ? 0 : compact->utf8_length + 1;
    if (!PyUnicode_IS_COMPACT(op)) {
        utf8 = compact->utf8 == PyUnicode_DATA(op) ? 0 : utf8;
        return kind->base_size + (length + 1) * (Py_ssize_t)PyUnicode_KIND(op) + utf8;
    }
    return (Py_ssize_t)sizeof(PyCompactUnicodeObject) +
           (length + 1) * (Py_ssize_t)PyUnicode_KIND(op) + utf8;
}

static Py_ssize_t size_by_method(const Kind *kind, PyObject *op)
{
    PyObject *answer = PyObject_CallOneArg(kind->size_method, op);
    Py_ssize_t size = answer == NULL ? -1 : PyLong_AsSsize_t(answer);
    Py_XDECREF(answer);
    PyErr_Clear();
    return believable(kind, size < 0 ? size : size + kind->item_size); /* what lies before it */
}

Py_ssize_t sizes_of(const Kind *kind, PyObject *op)
{
    switch (kind->sizing) {
    case SIZE_FIXED:
        return kind->base_size;
    case SIZE_ITEMS:
        return believable(kind, kind->base_size + Py_ABS(Py_SIZE(op)) * kind->item_size);
    case SIZE_INT:
        return kind->base_size +
               (Py_ssize_t)(((PyLongObject *)op)->long_value.lv_tag >> 3) * kind->item_size;
    case SIZE_STR:
        return str_size(kind, op);
    case SIZE_LIST:
        return kind->base_size + ((PyListObject *)op)->allocated * (Py_ssize_t)sizeof(PyObject *);
    case SIZE_DICT:
        return kind->base_size + dicts_table_size(op);
    case SIZE_SET: {
        const PySetObject *set = (const PySetObject *)op;
        Py_ssize_t table =
            set->table == set->smalltable ? 0 : (set->mask + 1) * (Py_ssize_t)sizeof(setentry);
        return kind->base_size + table;
    }
    case SIZE_METHOD:
        return size_by_method(kind, op);
    }
    return kind->base_size;
}

static Py_ssize_t size_before(const PyTypeObject *type)
{
    Py_ssize_t size = 0;
    if (type->tp_flags & Py_TPFLAGS_HAVE_GC) {
        size += 2 * (Py_ssize_t)sizeof(void *);
    }
    if (type->tp_flags & (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF)) {
        size += 2 * (Py_ssize_t)sizeof(void *);
    }
    return size;
}

/* A __sizeof__ is called only where it is C of the standard library or numpy: any other may be the
 * user's code. */
static bool size_method_is_safe(PyObject *method)
{
    static const char *const OWNERS[] = {"collections.", "array.",   "numpy.",   "decimal.",
                                         "_io.",         "_random.", "_struct.", NULL};
    if (!Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        return false;
    }
    const PyTypeObject *owner = ((PyDescrObject *)method)->d_type;
    return strchr(owner->tp_name, '.') == NULL ? !(owner->tp_flags & Py_TPFLAGS_HEAPTYPE)
                                               : names_begin_with_any(owner->tp_name, OWNERS);
}

/* _PyType_Lookup, not getattr: a metaclass may answer getattr with the user's code. */
static void choose_size_method(Kind *kind, PyObject *first)
{
    PyTypeObject *type = kind->type;
    PyObject *name = PyUnicode_InternFromString("__sizeof__");
    PyObject *method = name == NULL ? NULL : _PyType_Lookup(type, name);
    Py_XDECREF(name);
    PyErr_Clear();
    if (method == NULL || !size_method_is_safe(method)) {
        return;
    }
    kind->size_method = Py_NewRef(method);
    kind->item_size = size_before(type);
    if (((PyDescrObject *)method)->d_type == &PyBaseObject_Type && type->tp_itemsize == 0) {
        kind->base_size = size_by_method(kind, first); /* the same for each instance: asked once */
    } else {
        kind->sizing = SIZE_METHOD;
    }
}

void sizes_choose(Kind *kind, PyObject *first)
{
    PyTypeObject *type = kind->type;
    kind->base_size = type->tp_basicsize + size_before(type);
    kind->item_size = type->tp_itemsize;
    kind->sizing = type->tp_itemsize == 0 ? SIZE_FIXED : SIZE_ITEMS;
    if (type == &PyLong_Type) {
        kind->sizing = SIZE_INT;
        kind->base_size = (Py_ssize_t)offsetof(PyLongObject, long_value.ob_digit);
    } else if (PyUnicode_Check(first)) {
        kind->sizing = SIZE_STR;
    } else if (type == &PyList_Type) {
        kind->sizing = SIZE_LIST;
    } else if (type == &PyDict_Type && dicts_layout_known) {
        kind->sizing = SIZE_DICT;
    } else if (type == &PySet_Type || type == &PyFrozenSet_Type) {
        kind->sizing = SIZE_SET;
    } else if (type != &PyTuple_Type && type != &PyBytes_Type) {
        choose_size_method(kind, first);
    }
}

#endif
