/* Dates and times: their fields are public, their references (the zone) are shown to nobody, and
 * they keep their hash. */

#ifndef ONECOPY_TIMES_H
#define ONECOPY_TIMES_H

#include "walk.h"

/* Finds the types of the datetime module if it is imported. -1 with an error set. */
int times_find(Walk *walk);

/* Sets kind->cache, kind->hash and kind->extra where the type is a date, a time or a zone. */
void times_choose(const Walk *walk, Kind *kind);

/* Fills the hash if it is empty and no code of the user's would run for it. 1: filled, 0: nothing
 * to do. */
int times_fill_hash(const Walk *walk, const Kind *kind, PyObject *op);

#endif
