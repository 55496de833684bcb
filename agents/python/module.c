/* agents/python/module.c - the module itself. See binding.h. */
#include "agents/python/binding.h"

PyObject *py_add_type(PyObject *module, const char *name, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddObjectRef(module, name, type) == 0) return type;
    Py_XDECREF(type);
    return NULL;
}

static PyObject *module_option_names(PyObject *self, PyObject *unused)
{
    PyObject *names = PyDict_New();
    const char *name;
    (void)self, (void)unused;
    for (size_t i = 0; names != NULL && (name = apiary_option_name(i)) != NULL; i++) {
        PyObject *what = PyUnicode_FromString(apiary_option_what(name));
        if (what == NULL || PyDict_SetItemString(names, name, what) < 0) Py_CLEAR(names);
        Py_XDECREF(what);
    }
    return names;
}

static PyMethodDef module_methods[] = {
    {"option_names", module_option_names, METH_NOARGS, "The options of a delegation, each with a sentence about it."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "apiary._apiary", .m_size = -1, .m_methods = module_methods,
    .m_doc = "The part of apiary that is not written in Python.",
};

PyMODINIT_FUNC PyInit__apiary(void);

PyMODINIT_FUNC PyInit__apiary(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    if (py_add_errors(module) == 0 && py_add_segment(module) == 0 && py_add_task(module) == 0 && py_add_memory(module) == 0 &&
        py_add_queen(module) == 0 &&
        PyModule_AddStringConstant(module, "version", apiary_version()) == 0 &&
        PyModule_AddIntConstant(module, "DETACH", APIARY_DETACH) == 0 &&
        PyModule_AddIntConstant(module, "PARTS", APIARY_PARTS) == 0 &&
        PyModule_AddIntConstant(module, "NO_FALLBACK", APIARY_NO_FALLBACK) == 0 &&
        PyModule_AddIntConstant(module, "NO_HEDGE", APIARY_NO_HEDGE) == 0)
        return module;
    Py_DECREF(module);
    return NULL;
}
