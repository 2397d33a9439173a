/* Types as extension modules have them: Shown is no object of the collector's,
   but has a tp_traverse (as msgspec's structs without gc); Hidden shows what it
   holds to nobody (as pyahocorasick's automaton). */

#include <Python.h>
#include <structmember.h>

typedef struct {
  PyObject_HEAD PyObject *value;
} Holder;

static int holder_traverse(PyObject *self, visitproc visit, void *arg) {
  Py_VISIT(((Holder *)self)->value);
  return 0;
}

static int holder_init(PyObject *self, PyObject *args, PyObject *kwargs) {
  (void)kwargs;
  PyObject *value;
  if (!PyArg_ParseTuple(args, "O", &value)) {
    return -1;
  }
  Py_XSETREF(((Holder *)self)->value, Py_NewRef(value));
  return 0;
}

static void holder_dealloc(PyObject *self) {
  Py_XDECREF(((Holder *)self)->value);
  Py_TYPE(self)->tp_free(self);
}

static PyMemberDef members[] = {
    {"value", T_OBJECT, offsetof(Holder, value), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyTypeObject shown = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "hidden.Shown",
    .tp_basicsize = sizeof(Holder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = holder_init,
    .tp_dealloc = holder_dealloc,
    .tp_members = members,
    .tp_traverse = holder_traverse,
};

static PyTypeObject hidden = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "hidden.Hidden",
    .tp_basicsize = sizeof(Holder),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .tp_new = PyType_GenericNew,
    .tp_init = holder_init,
    .tp_dealloc = holder_dealloc,
    .tp_members = members,
};

static int start(PyObject *module) {
  return PyModule_AddType(module, &shown) < 0 ||
                 PyModule_AddType(module, &hidden) < 0
             ? -1
             : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)start}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = "hidden", .m_slots = slots};

PyMODINIT_FUNC PyInit_hidden(void) { return PyModuleDef_Init(&definition); }
