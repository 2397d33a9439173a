/* Python.h, spared the stricter warnings that this extension is compiled with. */

#ifndef ONECOPY_CPYTHON_H
#define ONECOPY_CPYTHON_H

#define PY_SSIZE_T_CLEAN

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <Python.h>
#pragma GCC diagnostic pop

#endif
