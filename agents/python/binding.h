/* agents/python/binding.h - the module apiary._apiary: the public interface for Python, over the public headers alone and on the
 * stable ABI of Python 3.11. A Python program sees apiary/__init__.py; here is only what that cannot do.
 *
 * THREADS  1 The GIL guards all fields here. It is released while a call waits.
 *          2 A wait comes back a few times a second to let signals be handled. Some do not, and hear no Ctrl-C: that for a claim,
 *            which would lose its place in the line; a queen's start and stop; a part or a failure, which its worker takes.
 * LIFE     A segment is detached when it was closed, or nobody refers to it, and neither a call nor a result is using it. So a view
 *          of a result's bytes can be read as long as it exists.
 * FORK     In a child all calls raise EFORKED, and nothing that the parent has is given back.
 */
#ifndef APIARY_PYTHON_BINDING_H
#define APIARY_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include <apiary.h>

typedef struct {
    PyObject_HEAD
    apiary_t *handle; /* NULL: detached */
    size_t users;     /* calls under way, and results that are not released */
    int closing;
    apiary_task_t *orphans; /* tasks that nobody refers to, and that have not ended */
    size_t orphan_count, orphan_room, orphan_next; /* next: to be looked at */
} py_segment;

/* Types and errors; each returns 0, or -1 with an exception. */
int py_add_errors(PyObject *module);
int py_add_segment(PyObject *module);
int py_add_task(PyObject *module);
int py_add_memory(PyObject *module);
int py_add_queen(PyObject *module);
/* Adds a type made from its specification, and returns it; NULL with an exception. */
PyObject *py_add_type(PyObject *module, const char *name, PyType_Spec *spec);

/* error.c: raises, and returns NULL. */
PyObject *py_raise(int error);
PyObject *py_raise_text(int error, const char *text, size_t size);
PyObject *py_raise_refusal(py_segment *segment, int error); /* of a delegation, by the thread that has asked */
PyObject *py_raise_result(const apiary_result_t *result);   /* of a task that has failed */

/* segment.c */
extern PyTypeObject *py_segment_type;
int py_segment_enter(py_segment *segment); /* 0, or -1 with an exception; to be left after the call */
void py_segment_leave(py_segment *segment);
void py_segment_orphan(py_segment *segment, apiary_task_t task); /* to be collected when it has ended */

/* options.c: a dictionary of options, or None. 0, or -1 with an exception. */
int py_options(PyObject *options, apiary_delegate_options_t *ret);
int py_seconds(PyObject *value, uint64_t *ret); /* ns; None: APIARY_FOREVER */

/* task.c */
PyObject *py_task_new(py_segment *segment, apiary_task_t task, int detached);
PyObject *py_call(py_segment *segment, PyObject *args);

/* discovery.c */
PyObject *py_discover(py_segment *segment, PyObject *args);

/* memory.c */
PyObject *py_memory_open(py_segment *segment, PyObject *args);

#endif
