/* How large objects are: as sys.getsizeof says, but without asking for each. */

#ifndef ONECOPY_SIZES_H
#define ONECOPY_SIZES_H

#include "kinds.h"

/* Works out how the objects of a kind are measured. */
void sizes_choose(Kind *kind, PyObject *first);

/* Bytes that the object itself takes, with what only it can own: the table of a list, the keys of a
 * dict. */
Py_ssize_t sizes_of(const Kind *kind, PyObject *op);

#endif
