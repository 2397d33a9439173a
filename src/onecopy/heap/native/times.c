#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "times.h"

#include <string.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <datetime.h>
#pragma GCC diagnostic pop

int times_find(Walk *walk)
{
    PyObject *modules = PyImport_GetModuleDict();
    if (PyDict_GetItemString(modules, "_datetime") == NULL) {
        PyErr_Clear();
        return 0;
    }
    PyDateTime_IMPORT;
    if (PyDateTimeAPI == NULL) {
        PyErr_Clear(); /* the datetime written in Python: plain instances, walked as such */
        return 0;
    }
    walk->zone_type = Py_TYPE(PyDateTime_TimeZone_UTC);
    return 0;
}

/* The zone, borrowed; NULL where there is none. */
static PyObject *zone_of(PyObject *op)
{
    if (!_PyDateTime_HAS_TZINFO(op)) {
        return NULL;
    }
    return PyTime_Check(op) ? ((PyDateTime_Time *)op)->tzinfo : ((PyDateTime_DateTime *)op)->tzinfo;
}

static int walk_zoned(Walk *walk, PyObject *op)
{
    return walk_see_if_any(walk, zone_of(op));
}

/* The offset and the name of a timezone are private: its arguments for pickling are the objects
 * themselves. */
static int walk_timezone(Walk *walk, PyObject *op)
{
    PyObject *parts = PyObject_CallMethod(op, "__getinitargs__", NULL);
    if (parts == NULL || !PyTuple_Check(parts)) {
        PyErr_Clear();
        Py_XDECREF(parts);
        return 0;
    }
    int done = 0;
    for (Py_ssize_t i = 0; done == 0 && i < PyTuple_GET_SIZE(parts); i++) {
        done = walk_see(PyTuple_GET_ITEM(parts, i), walk);
    }
    Py_DECREF(parts);
    return done;
}

void times_choose(const Walk *walk, Kind *kind)
{
    if (walk->zone_type == NULL) {
        return;
    }
    PyTypeObject *const keep_hash[] = {PyDateTimeAPI->DateTimeType, PyDateTimeAPI->TimeType,
                                       PyDateTimeAPI->DateType, PyDateTimeAPI->DeltaType};
    if (kind->type == walk->zone_type) {
        kind->extra = walk_timezone;
        return;
    }
    for (size_t i = 0; i < sizeof(keep_hash) / sizeof(keep_hash[0]); i++) {
        if (PyType_IsSubtype(kind->type, keep_hash[i])) {
            kind->cache = CACHE_TIME_HASH;
            kind->hash = keep_hash[i]->tp_hash;
            kind->extra = i < 2 ? walk_zoned : NULL;
            return;
        }
    }
}

/* The hash of a time with a zone asks the zone. */
static bool zone_is_builtin(const Walk *walk, PyObject *op)
{
    PyObject *zone = zone_of(op);
    return zone == NULL || zone == Py_None || Py_IS_TYPE(zone, walk->zone_type) ||
           strcmp(Py_TYPE(zone)->tp_name, "zoneinfo.ZoneInfo") == 0;
}

int times_fill_hash(const Walk *walk, const Kind *kind, PyObject *op)
{
    bool zoned = kind->extra != NULL;
    if (((_PyDateTime_BaseTZInfo *)op)->hashcode != -1 || (zoned && !zone_is_builtin(walk, op))) {
        return 0;
    }
    if (kind->hash(op) == -1) {
        PyErr_Clear();
    }
    return 1;
}

#endif
