/* agents/python/error.c - an exception for each row of apiary_error.def, named as there: apiary.EQUEUEFULL. */
#include <string.h>

#include "agents/python/binding.h"

enum { ERRORS = 0
#define X(name, number, text, advice) +1
#include "apiary_error.def"
#undef X
};

static const int numbers[ERRORS] = {
#define X(name, number, text, advice) name,
#include "apiary_error.def"
#undef X
};

static PyObject *base, *classes[ERRORS];

static PyObject *error_class(int error)
{
    for (size_t i = 0; i < ERRORS; i++)
        if (numbers[i] == error) return classes[i];
    return base;
}

/* The classes of Python itself that say the same. */
static PyObject *error_parents(int error)
{
    PyObject *also = error == APIARY_ETIMEDOUT || error == APIARY_ENOTREADY ? PyExc_TimeoutError
                     : error == APIARY_ENOKEY                               ? PyExc_LookupError
                     : error == APIARY_EPERM                                ? PyExc_PermissionError
                     : error == APIARY_EINVAL                               ? PyExc_ValueError
                                                                            : NULL;
    return also != NULL ? PyTuple_Pack(2, base, also) : PyTuple_Pack(1, base);
}

int py_add_errors(PyObject *module)
{
    base = PyErr_NewExceptionWithDoc("apiary.ApiaryError",
                                     "What the library refuses, and what has become of a task.\n\n"
                                     "name, advice: as the library has them. retry_after: seconds, where it is a matter of "
                                     "load, else 0.\nagent_code, attempts: of a task that has failed.",
                                     NULL, NULL);
    if (base == NULL || PyModule_AddObjectRef(module, "ApiaryError", base) < 0) return -1;
    for (size_t i = 0; i < ERRORS; i++) {
        const char *name = apiary_error_name(numbers[i]) + strlen("APIARY_");
        char whole[64], what[512];
        PyOS_snprintf(whole, sizeof whole, "apiary.%s", name);
        PyOS_snprintf(what, sizeof what, "%s; %s", apiary_strerror(numbers[i]), apiary_advice(numbers[i]));
        PyObject *parents = error_parents(numbers[i]);
        classes[i] = parents != NULL ? PyErr_NewExceptionWithDoc(whole, what, parents, NULL) : NULL;
        Py_XDECREF(parents);
        if (classes[i] == NULL || PyModule_AddObjectRef(module, name, classes[i]) < 0) return -1;
    }
    return 0;
}

static int error_set(PyObject *to, const char *name, PyObject *value) /* takes the reference */
{
    int r = value != NULL ? PyObject_SetAttrString(to, name, value) : -1;
    Py_XDECREF(value);
    return r;
}

static PyObject *raise_all(int error, PyObject *text, double retry_after, const apiary_result_t *result)
{
    PyObject *class = error_class(error), *e = text != NULL ? PyObject_CallFunctionObjArgs(class, text, NULL) : NULL;
    Py_XDECREF(text);
    if (e != NULL && error_set(e, "name", PyUnicode_FromString(apiary_error_name(error))) == 0 &&
        error_set(e, "advice", PyUnicode_FromString(apiary_advice(error))) == 0 &&
        error_set(e, "retry_after", PyFloat_FromDouble(retry_after)) == 0 &&
        error_set(e, "agent_code", PyLong_FromUnsignedLong(result != NULL ? result->agent_code : 0)) == 0 &&
        error_set(e, "attempts", PyLong_FromUnsignedLong(result != NULL ? result->attempts : 0)) == 0)
        PyErr_SetObject(class, e);
    Py_XDECREF(e);
    return NULL;
}

PyObject *py_raise(int error)
{
    double after = (double)apiary_retry_after(error) / 1e9;
    return raise_all(error, PyUnicode_FromFormat("%s; %s", apiary_strerror(error), apiary_advice(error)), after, NULL);
}

PyObject *py_raise_text(int error, const char *text, size_t size)
{
    return raise_all(error, PyUnicode_DecodeUTF8(text, (Py_ssize_t)size, "replace"), (double)apiary_retry_after(error) / 1e9, NULL);
}

PyObject *py_raise_refusal(py_segment *segment, int error)
{
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    int r = apiary_refusal(segment->handle, &refusal);
    if (r < 0 || refusal.error != error || refusal.message[0] == '\0') return py_raise(error);
    PyObject *text = PyUnicode_DecodeUTF8(refusal.message, (Py_ssize_t)strlen(refusal.message), "replace");
    return raise_all(error, text, (double)refusal.retry_after / 1e9, NULL);
}

PyObject *py_raise_result(const apiary_result_t *result)
{
    PyObject *text = result->size > 0 ? PyUnicode_DecodeUTF8(result->data, (Py_ssize_t)result->size, "replace")
                                      : PyUnicode_FromFormat("%s; %s", apiary_strerror(result->code), apiary_advice(result->code));
    return raise_all(result->code, text, 0, result);
}
