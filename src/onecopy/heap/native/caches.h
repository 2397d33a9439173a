/* The caches that objects fill at their first use. Immortal is not immutable: a cache filled after
 * the fork is a page copied. */

#ifndef ONECOPY_CACHES_H
#define ONECOPY_CACHES_H

#include "walk.h"

/* Fills what is empty in the caches of this object. 1: it wrote to the object. 0: nothing to do.
 * -1: error set. */
int caches_fill(Walk *walk, Kind *kind, PyObject *op);

/* Gives an instance its __dict__. 1, or -1 with an error set. */
int caches_fill_dict(PyObject *op);

#endif
