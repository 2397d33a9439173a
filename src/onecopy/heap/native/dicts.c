#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "dicts.h"

/* The start of a dict's keys, the same from 3.12 to 3.15: checked against sys.getsizeof when the
 * module is loaded. */
typedef struct {
    Py_ssize_t references;
    uint8_t log2_size;
    uint8_t log2_index_bytes;
    uint8_t kind; /* 0: entries with a hash; else without */
    uint32_t version;
    Py_ssize_t usable;
    Py_ssize_t used;
} DictKeys;

typedef struct {
    PyObject *key;
    PyObject *value;
} NamedEntry;

bool dicts_layout_known;

Py_ssize_t dicts_table_size(PyObject *op)
{
    const PyDictObject *dict = (const PyDictObject *)op;
    const DictKeys *keys = (const DictKeys *)(const void *)dict->ma_keys;
    if (dict->ma_values != NULL) {
#if PY_VERSION_HEX >= 0x030D0000
        return 0; /* the values lie in the instance */
#else
        return (keys->usable + keys->used) * (Py_ssize_t)sizeof(PyObject *);
#endif
    }
    if (keys->references != 1) {
        return 0; /* the keys of the empty dict */
    }
    Py_ssize_t entries = (((Py_ssize_t)1 << keys->log2_size) << 1) / 3;
    Py_ssize_t entry = (keys->kind == 0 ? 3 : 2) * (Py_ssize_t)sizeof(PyObject *);
    return (Py_ssize_t)sizeof(DictKeys) + ((Py_ssize_t)1 << keys->log2_index_bytes) +
           entries * entry;
}

static const NamedEntry *named_entries(const DictKeys *keys)
{
    return (const NamedEntry *)(const void *)((const char *)(keys + 1) +
                                              ((size_t)1 << keys->log2_index_bytes));
}

int dicts_see_shared_names(Walk *walk, PyTypeObject *type)
{
    const DictKeys *keys =
        (const DictKeys *)(const void *)((PyHeapTypeObject *)type)->ht_cached_keys;
    if (keys == NULL || !dicts_layout_known) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < keys->used; i++) {
        if (walk_see_if_any(walk, named_entries(keys)[i].key) < 0) {
            return -1;
        }
    }
    return 0;
}

static int layout_is_right(const char *text, PyObject *globals)
{
    PyObject *dict = PyRun_String(text, Py_eval_input, globals, globals);
    PyObject *answer = dict == NULL ? NULL : PyObject_CallMethod(dict, "__sizeof__", NULL);
    int right = -1;
    if (answer != NULL) {
        right =
            PyLong_AsSsize_t(answer) == (Py_ssize_t)sizeof(PyDictObject) + dicts_table_size(dict);
    }
    const DictKeys *keys =
        dict == NULL ? NULL : (const DictKeys *)(const void *)((PyDictObject *)dict)->ma_keys;
    Py_ssize_t position = 0;
    PyObject *key;
    if (right == 1 && PyDict_Next(dict, &position, &key, NULL) && PyUnicode_CheckExact(key)) {
        right = keys->used == PyDict_GET_SIZE(dict) && named_entries(keys)[0].key == key;
    }
    Py_XDECREF(answer);
    Py_XDECREF(dict);
    return right;
}

int dicts_start(void)
{
    static const char *const SAMPLES[] = {
        "{}", "{'a': 1}", "{1: 2}", "dict.fromkeys(range(1000))", "{str(i): i for i in range(300)}",
        NULL};
    PyObject *globals = PyDict_New();
    int right = globals == NULL ? -1 : 1;
    for (size_t i = 0; right == 1 && SAMPLES[i] != NULL; i++) {
        right = layout_is_right(SAMPLES[i], globals);
    }
    Py_XDECREF(globals);
    dicts_layout_known = right == 1;
    return right < 0 ? -1 : 0;
}

#endif
