#include "kinds.h"

#include "extras.h"
#include "times.h"
#include "walk.h"

#include <string.h>

/* The start of a dict's keys, the same from 3.12 to 3.15: checked against sys.getsizeof when the module is loaded. */
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

static bool dict_layout_known;

static Py_ssize_t dict_table_size(PyObject *op)
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
    return (Py_ssize_t)sizeof(DictKeys) + ((Py_ssize_t)1 << keys->log2_index_bytes) + entries * entry;
}

static const NamedEntry *named_entries(const DictKeys *keys)
{
    return (const NamedEntry *)(const void *)((const char *)(keys + 1) + ((size_t)1 << keys->log2_index_bytes));
}

int kinds_see_shared_names(Walk *walk, PyTypeObject *type)
{
    const DictKeys *keys = (const DictKeys *)(const void *)((PyHeapTypeObject *)type)->ht_cached_keys;
    if (keys == NULL || !dict_layout_known) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < keys->used; i++) {
        if (walk_see_if_any(walk, named_entries(keys)[i].key) < 0) {
            return -1;
        }
    }
    return 0;
}

static Py_ssize_t str_size(const Kind *kind, PyObject *op)
{
    Py_ssize_t length = PyUnicode_GET_LENGTH(op);
    if (PyUnicode_IS_COMPACT_ASCII(op)) {
        return (Py_ssize_t)sizeof(PyASCIIObject) + length + 1;
    }
    const PyCompactUnicodeObject *compact = (const PyCompactUnicodeObject *)op;
    Py_ssize_t utf8 = compact->utf8 == NULL ? 0 : compact->utf8_length + 1;
    if (!PyUnicode_IS_COMPACT(op)) {
        utf8 = compact->utf8 == PyUnicode_DATA(op) ? 0 : utf8;
        return kind->base_size + (length + 1) * (Py_ssize_t)PyUnicode_KIND(op) + utf8;
    }
    return (Py_ssize_t)sizeof(PyCompactUnicodeObject) + (length + 1) * (Py_ssize_t)PyUnicode_KIND(op) + utf8;
}

static Py_ssize_t size_by_method(const Kind *kind, PyObject *op)
{
    PyObject *answer = PyObject_CallOneArg(kind->size_method, op);
    Py_ssize_t size = answer == NULL ? -1 : PyLong_AsSsize_t(answer);
    Py_XDECREF(answer);
    if (size < 0) {
        PyErr_Clear();
        return kind->base_size;
    }
    return size + kind->item_size; /* what lies before the object */
}

Py_ssize_t kinds_size(const Kind *kind, PyObject *op)
{
    switch (kind->sizing) {
    case SIZE_FIXED:
        return kind->base_size;
    case SIZE_ITEMS:
        return kind->base_size + Py_ABS(Py_SIZE(op)) * kind->item_size;
    case SIZE_INT:
        return kind->base_size + (Py_ssize_t)(((PyLongObject *)op)->long_value.lv_tag >> 3) * kind->item_size;
    case SIZE_STR:
        return str_size(kind, op);
    case SIZE_LIST:
        return kind->base_size + ((PyListObject *)op)->allocated * (Py_ssize_t)sizeof(PyObject *);
    case SIZE_DICT:
        return kind->base_size + dict_table_size(op);
    case SIZE_SET: {
        const PySetObject *set = (const PySetObject *)op;
        Py_ssize_t table = set->table == set->smalltable ? 0 : (set->mask + 1) * (Py_ssize_t)sizeof(setentry);
        return kind->base_size + table;
    }
    case SIZE_METHOD:
        return size_by_method(kind, op);
    }
    return kind->base_size;
}

static Py_ssize_t size_before(const PyTypeObject *type)
{
    Py_ssize_t size = 0;
    if (type->tp_flags & Py_TPFLAGS_HAVE_GC) {
        size += 2 * (Py_ssize_t)sizeof(void *);
    }
    if (type->tp_flags & (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF)) {
        size += 2 * (Py_ssize_t)sizeof(void *);
    }
    return size;
}

static bool begins_with_any(const char *name, const char *const *starts)
{
    for (; *starts != NULL; starts++) {
        if (strncmp(name, *starts, strlen(*starts)) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_any(const char *name, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (strcmp(name, *names) == 0) {
            return true;
        }
    }
    return false;
}

/* A __sizeof__ is called only where it is C of the standard library or numpy: any other may be the user's code. */
static bool size_method_is_safe(PyObject *method)
{
    static const char *const OWNERS[] = {"collections.", "array.", "numpy.", "decimal.", "_io.", "_random.", "_struct.", NULL};
    if (!Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        return false;
    }
    const PyTypeObject *owner = ((PyDescrObject *)method)->d_type;
    return strchr(owner->tp_name, '.') == NULL ? !(owner->tp_flags & Py_TPFLAGS_HEAPTYPE) : begins_with_any(owner->tp_name, OWNERS);
}

/* _PyType_Lookup, not getattr: a metaclass may answer getattr with the user's code. */
static void choose_size_method(Kind *kind, PyObject *first)
{
    PyTypeObject *type = kind->type;
    PyObject *name = PyUnicode_InternFromString("__sizeof__");
    PyObject *method = name == NULL ? NULL : _PyType_Lookup(type, name);
    Py_XDECREF(name);
    PyErr_Clear();
    if (method == NULL || !size_method_is_safe(method)) {
        return;
    }
    kind->size_method = Py_NewRef(method);
    kind->item_size = size_before(type);
    if (((PyDescrObject *)method)->d_type == &PyBaseObject_Type && type->tp_itemsize == 0) {
        kind->base_size = size_by_method(kind, first); /* the same for each instance: asked once */
    } else {
        kind->sizing = SIZE_METHOD;
    }
}

static void choose_sizing(Kind *kind, PyObject *first)
{
    PyTypeObject *type = kind->type;
    kind->base_size = type->tp_basicsize + size_before(type);
    kind->item_size = type->tp_itemsize;
    kind->sizing = type->tp_itemsize == 0 ? SIZE_FIXED : SIZE_ITEMS;
    if (type == &PyLong_Type) {
        kind->sizing = SIZE_INT;
        kind->base_size = (Py_ssize_t)offsetof(PyLongObject, long_value.ob_digit);
    } else if (PyUnicode_Check(first)) {
        kind->sizing = SIZE_STR;
    } else if (type == &PyList_Type) {
        kind->sizing = SIZE_LIST;
    } else if (type == &PyDict_Type && dict_layout_known) {
        kind->sizing = SIZE_DICT;
    } else if (type == &PySet_Type || type == &PyFrozenSet_Type) {
        kind->sizing = SIZE_SET;
    } else if (type != &PyTuple_Type && type != &PyBytes_Type) {
        choose_size_method(kind, first);
    }
}
static LeftOut reason_to_leave_out(const Walk *walk, PyTypeObject *type)
{
    static const char *const SUSPENDED[] = {"async_generator_asend", "async_generator_athrow", "coroutine_wrapper", "anext_awaitable", NULL};
    static const char *const VIEWS[] = {"managedbuffer", "pickle.PickleBuffer", "_buffer_wrapper", NULL};
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
    if (is_any(type->tp_name, SUSPENDED)) {
        return LEFT_SUSPENDED;
    }
    if (begins_with_any(type->tp_name, CYTHON)) {
        const char *last = strrchr(type->tp_name, '.');
        if (last != NULL && (strcmp(last, ".generator") == 0 || strcmp(last, ".coroutine") == 0 || strcmp(last, ".async_generator") == 0)) {
            return LEFT_SUSPENDED;
        }
    }
    return is_any(type->tp_name, VIEWS) ? LEFT_VIEW : MARKED;
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
    static const char *const PLAIN[] = {
        "NoneType", "ellipsis", "NotImplementedType", "PyCapsule", "_thread.lock", "_thread.RLock", "_thread._localdummy", "_random.Random",
        "_struct.Struct", "decimal.Decimal", "_socket.socket", "select.epoll", "select.poll", "posix.DirEntry", "mmap.mmap", "array.array",
        "datetime.date", "datetime.timedelta", "datetime.tzinfo", "code_position_iterator", "line_iterator", "weakref.ReferenceType",
        "_hashlib.HASH", "_hashlib.HMAC", "_blake2.blake2b", "_blake2.blake2s", "_md5.md5", "_sha1.sha1", "Token.MISSING", "stderrprinter",
        "sys.flags", "moduledef", "_ssl._SSLContext", NULL};
    static const char *const FAMILIES[] = {"numpy.", "_ctypes.", NULL};
    PyTypeObject *const bases[] = {&PyUnicode_Type, &PyBytes_Type, &PyLong_Type, &PyFloat_Type, &PyComplex_Type, &PyByteArray_Type, &PyBaseObject_Type};
    PyTypeObject *type = kind->type;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        if (PyType_IsSubtype(type, bases[i]) && type->tp_basicsize == bases[i]->tp_basicsize && type->tp_itemsize == bases[i]->tp_itemsize) {
            return true;
        }
    }
    return is_any(type->tp_name, PLAIN) || begins_with_any(type->tp_name, FAMILIES);
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

static void work_out(Walk *walk, Kind *kind, PyObject *first)
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
    bool shows_nothing = kind->cursor == CURSOR_NONE && kind->traverse == NULL && kind->extra == NULL && kind->walker == NULL;
    kind->leaf = shows_nothing;
    kind->unwalkable = shows_nothing && kind->left_out == MARKED && !refers_to_nothing(kind);
    kind->sequence_of_parts = type == &PyTuple_Type || type == &PyFrozenSet_Type;
    if (is_instance_of_a_class(type)) {
        kind->keeps_dict = (type->tp_flags & Py_TPFLAGS_MANAGED_DICT) != 0;
        kind->keeps_weakrefs = type->tp_weaklistoffset != 0 && kind->left_out == MARKED;
    }
    choose_sizing(kind, first);
}

static size_t slot_of(Kind *const *slots, size_t size, const PyTypeObject *type)
{
    size_t slot = (size_t)(((uintptr_t)type * 0x9E3779B97F4A7C15u) >> 32) & (size - 1);
    while (slots[slot] != NULL && slots[slot]->type != type) {
        slot = (slot + 1) & (size - 1);
    }
    return slot;
}

static int grow(KindTable *table)
{
    size_t size = table->size == 0 ? 1024 : table->size * 2;
    Kind **slots = PyMem_RawCalloc(size, sizeof(Kind *));
    if (slots == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t i = 0; i < table->size; i++) {
        if (table->slots[i] != NULL) {
            slots[slot_of(slots, size, table->slots[i]->type)] = table->slots[i];
        }
    }
    PyMem_RawFree(table->slots);
    table->slots = slots;
    table->size = size;
    return 0;
}

static Kind *add(Walk *walk, PyObject *first)
{
    KindTable *table = &walk->kinds;
    if ((table->count + 1) * 2 > table->size && grow(table) < 0) {
        return NULL;
    }
    Kind *kind = PyMem_RawCalloc(1, sizeof(Kind));
    if (kind == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    kind->type = (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(first));
    table->slots[slot_of(table->slots, table->size, kind->type)] = kind;
    table->count++;
    /* The type itself is reached by every object of it, and by none of their tp_traverse where it is static. */
    work_out(walk, kind, first);
    return walk_see((PyObject *)kind->type, walk) < 0 ? NULL : kind;
}

Kind *kinds_find(const KindTable *table, const PyTypeObject *type)
{
    return table->size == 0 ? NULL : table->slots[slot_of(table->slots, table->size, type)];
}

Kind *kinds_get(Walk *walk, PyObject *op)
{
    Kind *kind = kinds_find(&walk->kinds, Py_TYPE(op));
    return kind != NULL ? kind : add(walk, op);
}

void kinds_clear(KindTable *table)
{
    for (size_t i = 0; i < table->size; i++) {
        Kind *kind = table->slots[i];
        if (kind != NULL) {
            Py_DECREF((PyObject *)kind->type);
            Py_XDECREF(kind->size_method);
            PyMem_RawFree(kind);
        }
    }
    PyMem_RawFree(table->slots);
    *table = (KindTable){0};
}

static int layout_is_right(const char *text, PyObject *globals)
{
    PyObject *dict = PyRun_String(text, Py_eval_input, globals, globals);
    PyObject *answer = dict == NULL ? NULL : PyObject_CallMethod(dict, "__sizeof__", NULL);
    int right = -1;
    if (answer != NULL) {
        right = PyLong_AsSsize_t(answer) == (Py_ssize_t)sizeof(PyDictObject) + dict_table_size(dict);
    }
    const DictKeys *keys = dict == NULL ? NULL : (const DictKeys *)(const void *)((PyDictObject *)dict)->ma_keys;
    Py_ssize_t position = 0;
    PyObject *key;
    if (right == 1 && PyDict_Next(dict, &position, &key, NULL) && PyUnicode_CheckExact(key)) {
        right = keys->used == PyDict_GET_SIZE(dict) && named_entries(keys)[0].key == key;
    }
    Py_XDECREF(answer);
    Py_XDECREF(dict);
    return right;
}

int kinds_start(void)
{
    static const char *const SAMPLES[] = {"{}", "{'a': 1}", "{1: 2}", "dict.fromkeys(range(1000))", "{str(i): i for i in range(300)}", NULL};
    PyObject *globals = PyDict_New();
    int right = globals == NULL ? -1 : 1;
    for (size_t i = 0; right == 1 && SAMPLES[i] != NULL; i++) {
        right = layout_is_right(SAMPLES[i], globals);
    }
    Py_XDECREF(globals);
    dict_layout_known = right == 1;
    return right < 0 ? -1 : 0;
}
