/* Where dicts keep their keys, and instances their dict. */

#ifndef ONECOPY_DICTS_H
#define ONECOPY_DICTS_H

#include "walk.h"

/* Whether dicts are laid out as is known here: checked by dicts_start against the interpreter. */
extern bool dicts_layout_known;

/* Bytes of a dict's own table. Only where the layout is known. */
Py_ssize_t dicts_table_size(PyObject *op);

/* Sees the names of the attributes that the instances of a class share: only the class refers to
 * them. */
int dicts_see_shared_names(Walk *walk, PyTypeObject *type);

/* Checks the layout, once. -1 with an error set. */
int dicts_start(void);

/* The __dict__ of an instance, borrowed; NULL while it has not been asked for. Where an instance
   has both a __dict__ and its values beside it, tp_traverse shows the values alone. Only for a kind
   that keeps_dict. */
static inline PyObject *dicts_of_instance(PyObject *op)
{
    /* Before it is asked for: NULL, or on 3.12 a pointer to the values with the lowest bit set. */
    uintptr_t place = ((const uintptr_t *)op)[-3];
    return (place & 1) == 0 ? (PyObject *)place : NULL;
}

#endif
