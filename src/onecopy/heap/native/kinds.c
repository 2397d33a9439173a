#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "kinds.h"

#include "classify.h"
#include "walk.h"

static int grow(KindTable *table)
{
    size_t size = table->size == 0 ? 1024 : table->size * 2;
    Kind **slots = PyMem_RawCalloc(size, sizeof(Kind *));
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < table->size; i++) {
        if (table->slots[i] != NULL) {
            slots[kinds_slot(slots, size, table->slots[i]->type)] = table->slots[i];
        }
    }
    PyMem_RawFree(table->slots);
    table->slots = slots;
    table->size = size;
    return 0;
}

Kind *kinds_add(Walk *walk, PyObject *first)
{
    KindTable *table = &walk->kinds;
    if ((table->count + 1) * 2 > table->size && grow(table) < 0) {
        return NULL;
    }
    Kind *kind = PyMem_RawCalloc(1, sizeof(Kind));
    if (kind == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    kind->type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(first));
    table->slots[kinds_slot(table->slots, table->size, kind->type)] = kind;
    table->count++;
    /* The type itself is reached by every object of it, and by none of their tp_traverse where it
     * is static. */
    classify(walk, kind, first);
    return walk_see((PyObject *)kind->type, walk) < 0 ? NULL : kind;
}

void kinds_clear(KindTable *table)
{
    for (size_t i = 0; i < table->size; i++) {
        Kind *kind = table->slots[i];
        if (kind != NULL) {
            Py_DECREF((PyObject *)kind->type);
            Py_XDECREF(kind->size_method);
            PyMem_RawFree(kind);
        }
    }
    PyMem_RawFree(table->slots);
    *table = (KindTable){0};
}

#endif
