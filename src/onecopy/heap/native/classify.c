#include "cpython.h"

#ifndef ONECOPY_UNSUPPORTED

#include "classify.h"

#include "extras.h"
#include "names.h"
#include "sizes.h"
#include "times.h"

static LeftOut reason_to_leave_out(const Walk *walk, PyTypeObject *type)
{
    static const char *const SUSPENDED[] = {"async_generator_asend", "async_generator_athrow",
                                            "coroutine_wrapper", "anext_awaitable", NULL};
    static const char *const VIEWS[] = {"managedbuffer", "pickle.PickleBuffer", "_buffer_wrapper",
                                        NULL};
    static const char *const CYTHON[] = {"_cython_", NULL};
    if (type == &PyFrame_Type) {
        return LEFT_FRAME;
    }
    if (type == &PyGen_Type || type == &PyCoro_Type || type == &PyAsyncGen_Type) {
        return LEFT_SUSPENDED;
    }
    if (type == &PyMemoryView_Type) {
        return LEFT_VIEW;
    }
    if (walk->file_type != NULL && PyType_IsSubtype(type, walk->file_type)) {
        return LEFT_FILE;
    }
    if (names_are_any(type->tp_name, SUSPENDED)) {
        return LEFT_SUSPENDED;
    }
    if (names_begin_with_any(type->tp_name, CYTHON)) {
        const char *last = strrchr(type->tp_name, '.');
        if (last != NULL && (strcmp(last, ".generator") == 0 || strcmp(last, ".coroutine") == 0 ||
                             strcmp(last, ".async_generator") == 0)) {
            return LEFT_SUSPENDED;
        }
    }
    return names_are_any(type->tp_name, VIEWS) ? LEFT_VIEW : MARKED;
}

static void choose_cache(Kind *kind)
{
    PyTypeObject *type = kind->type;
    if (type->tp_flags & Py_TPFLAGS_UNICODE_SUBCLASS) {
        kind->cache = CACHE_STR;
    } else if (type->tp_flags & Py_TPFLAGS_BYTES_SUBCLASS) {
        kind->cache = CACHE_BYTES_HASH;
    } else if (PyType_IsSubtype(type, &PyFrozenSet_Type)) {
        kind->cache = CACHE_FROZENSET_HASH;
    } else if (type == &PyTuple_Type) {
        kind->cache = CACHE_TUPLE_HASH;
    }
}

/* Types that refer to no object, and subclasses of them that add no field. */
static bool refers_to_nothing(const Kind *kind)
{
    // clang-format off
    static const char *const PLAIN[] = {
        "NoneType", "ellipsis", "NotImplementedType", "PyCapsule", "Token.MISSING", "moduledef",
        "stderrprinter", "sys.flags", "code_position_iterator", "line_iterator",
        "_thread.lock", "_thread.RLock", "_thread._localdummy", "functools._lru_list_elem",
        "datetime.date", "datetime.timedelta", "datetime.tzinfo", "decimal.Decimal",
        "array.array", "mmap.mmap", "posix.DirEntry", "select.epoll", "select.poll",
        "_socket.socket", "_ssl._SSLContext", "_random.Random", "_struct.Struct",
        "_hashlib.HASH", "_hashlib.HMAC", "_blake2.blake2b", "_blake2.blake2s", "_md5.md5",
        "_sha1.sha1", NULL};
    // clang-format on
    static const char *const FAMILIES[] = {"numpy.", "_ctypes.", NULL};
    PyTypeObject *const bases[] = {&PyUnicode_Type,   &PyBytes_Type,   &PyLong_Type,
                                   &PyFloat_Type,     &PyComplex_Type, &PyByteArray_Type,
                                   &PyBaseObject_Type};
    PyTypeObject *type = kind->type;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        if (PyType_IsSubtype(type, bases[i]) && type->tp_basicsize == bases[i]->tp_basicsize &&
            type->tp_itemsize == bases[i]->tp_itemsize) {
            return true;
        }
    }
    /* What Cython makes for itself shows what it holds, if it holds anything. */
    return names_are_any(type->tp_name, PLAIN) || names_begin_with_any(type->tp_name, FAMILIES) ||
           strstr(type->tp_name, ".__pyx_") != NULL;
}

static PyObject *registered_walker(const Walk *walk, PyTypeObject *type)
{
    PyObject *mro = type->tp_mro;
    if (mro == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(mro); i++) {
        for (size_t j = 0; j < walk->walker_count; j++) {
            if ((PyObject *)walk->walkers[j].type == PyTuple_GET_ITEM(mro, i)) {
                return walk->walkers[j].walker;
            }
        }
    }
    return NULL;
}

static bool is_instance_of_a_class(const PyTypeObject *type)
{
    const unsigned long program = Py_TPFLAGS_TYPE_SUBCLASS;
    return (type->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0 && (type->tp_flags & program) == 0;
}

void classify(const Walk *walk, Kind *kind, PyObject *first)
{
    PyTypeObject *type = kind->type;
    kind->left_out = reason_to_leave_out(walk, type);
    if (kind->left_out == LEFT_FRAME) {
        return;
    }
    kind->walker = registered_walker(walk, type);
    choose_cache(kind);
    extras_choose(kind);
    times_choose(walk, kind);
    if (type == &PyList_Type) {
        kind->cursor = CURSOR_LIST;
    } else if (type == &PyTuple_Type) {
        kind->cursor = CURSOR_TUPLE;
    } else if (type->tp_flags & Py_TPFLAGS_DICT_SUBCLASS) {
        kind->cursor = CURSOR_DICT;
    }
    if (type == &PyList_Type || type == &PyTuple_Type || type == &PyDict_Type) {
        kind->traverse = NULL;
    } else if (!(type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS)) {
        kind->traverse = type->tp_traverse;
    }
    bool shows_nothing = kind->cursor == CURSOR_NONE && kind->traverse == NULL &&
                         kind->extra == NULL && kind->walker == NULL;
    kind->leaf = shows_nothing;
    kind->unwalkable = shows_nothing && kind->left_out == MARKED && !refers_to_nothing(kind);
    if (is_instance_of_a_class(type)) {
        kind->keeps_dict = (type->tp_flags & Py_TPFLAGS_MANAGED_DICT) != 0;
        kind->keeps_weakrefs = type->tp_weaklistoffset != 0 && kind->left_out == MARKED;
    }
    sizes_choose(kind, first);
}

#endif
