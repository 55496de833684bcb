/* agents/python/options.c - keyword arguments as options of a delegation. The names and the texts are the library's own
 * (apiary_option_set); a number is a number of seconds where the option is a time. */
#include <math.h>
#include <string.h>

#include "agents/python/binding.h"

int py_seconds(PyObject *value, uint64_t *ret)
{
    if (value == Py_None) {
        *ret = APIARY_FOREVER;
        return 0;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1 && PyErr_Occurred()) return -1;
    if (!(seconds >= 0)) {
        PyErr_SetString(PyExc_ValueError, "a time is a number of seconds, 0 or more, or None");
        return -1;
    }
    *ret = seconds < 1e9 ? (uint64_t)llround(seconds * 1e9) : APIARY_FOREVER;
    return 0;
}

/* A time is what says the same of "1s" and of "1000ms". */
static int option_is_time(const char *name)
{
    apiary_delegate_options_t one = {.struct_size = sizeof one}, other = {.struct_size = sizeof other};
    return apiary_option_set(&one, name, "1s") == 0 && apiary_option_set(&other, name, "1000ms") == 0 &&
           memcmp(&one, &other, sizeof one) == 0;
}

/* The value as the library's text, a new reference. */
static PyObject *option_as_text(const char *name, PyObject *value)
{
    uint64_t ns;
    char text[32];
    if (PyBool_Check(value)) return PyUnicode_FromString(value == Py_True ? "true" : "false");
    if (PyUnicode_Check(value) || !option_is_time(name)) return PyObject_Str(value);
    PyObject *total = PyObject_HasAttrString(value, "total_seconds") ? PyObject_CallMethod(value, "total_seconds", NULL)
                                                                     : Py_NewRef(value);
    int r = total != NULL ? py_seconds(total, &ns) : -1;
    Py_XDECREF(total);
    if (r < 0) return NULL;
    PyOS_snprintf(text, sizeof text, "%lluns", (unsigned long long)ns);
    return PyUnicode_FromString(text);
}

static int option_add(PyObject *key, PyObject *value, apiary_delegate_options_t *ret)
{
    const char *name = PyUnicode_AsUTF8AndSize(key, NULL);
    PyObject *text = name != NULL ? option_as_text(name, value) : NULL;
    const char *utf8 = text != NULL ? PyUnicode_AsUTF8AndSize(text, NULL) : NULL;
    int r = utf8 != NULL ? apiary_option_set(ret, name, utf8) : -1;
    if (utf8 != NULL && r == APIARY_ENOTSUP)
        PyErr_Format(PyExc_TypeError, "there is no option '%s' of a delegation", name);
    else if (utf8 != NULL && r < 0)
        PyErr_Format(PyExc_ValueError, "%s: '%s' cannot be that; expected %s", name, utf8, apiary_option_what(name));
    Py_XDECREF(text);
    return r < 0 ? -1 : 0;
}

int py_options(PyObject *options, apiary_delegate_options_t *ret)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    *ret = (apiary_delegate_options_t){.struct_size = sizeof *ret};
    if (options == NULL || options == Py_None) return 0;
    while (PyDict_Next(options, &at, &key, &value))
        if (value != Py_None && option_add(key, value, ret) < 0) return -1;
    return 0;
}
