/* Works out what the walk must know of a type. */

#ifndef ONECOPY_CLASSIFY_H
#define ONECOPY_CLASSIFY_H

#include "walk.h"

void classify(const Walk *walk, Kind *kind, PyObject *first);

#endif
