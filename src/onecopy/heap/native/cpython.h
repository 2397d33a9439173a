/* Python.h, spared the stricter warnings that this extension is compiled with, and whether this
   build of Python is one that can be sealed: on any other the extension is compiled empty. */

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

#if defined(PYPY_VERSION) || defined(GRAALVM_PYTHON)
#define ONECOPY_UNSUPPORTED "this is not CPython"
#elif defined(Py_GIL_DISABLED)
#define ONECOPY_UNSUPPORTED "this is a free-threaded build of Python"
#elif defined(Py_REF_DEBUG) || defined(Py_TRACE_REFS)
#define ONECOPY_UNSUPPORTED "this is a debug build of Python"
#elif SIZEOF_VOID_P != 8
#define ONECOPY_UNSUPPORTED "this is a 32-bit build of Python"
#elif PY_VERSION_HEX < 0x030C0000 || PY_VERSION_HEX >= 0x03100000
#define ONECOPY_UNSUPPORTED                                                                        \
    "how this version of Python marks immortal objects is not known to onecopy"
#endif

#endif
