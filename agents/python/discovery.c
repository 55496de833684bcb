/* agents/python/discovery.c - who offers a capability. */
#include <stdlib.h>
#include <string.h>

#include "agents/python/binding.h"

static PyObject *provider_row(const apiary_provider_t *p)
{
    return Py_BuildValue("{s:s, s:s, s:s, s:L, s:I, s:O, s:K}", "service", p->service, "instance", p->instance, "agent",
                         p->agent, "pid", (long long)p->pid, "in_flight", (unsigned)p->in_flight, "alive",
                         p->alive ? Py_True : Py_False, "provider", (unsigned long long)p->provider);
}

PyObject *py_discover(py_segment *s, PyObject *args)
{
    apiary_provider_t *rows = NULL;
    const char *capability;
    size_t room = 16;
    int count = 0;
    if (!PyArg_ParseTuple(args, "s", &capability) || py_segment_enter(s) < 0) return NULL;
    for (;; room = (size_t)count) { /* again when there are more */
        apiary_provider_t *more = realloc(rows, room * sizeof *rows);
        if (more == NULL) break;
        rows = more;
        memset(rows, 0, room * sizeof *rows);
        rows->struct_size = sizeof *rows;
        count = apiary_discover(s->handle, capability, rows, room);
        if (count < 0 || (size_t)count <= room) break;
    }
    py_segment_leave(s);
    PyObject *ret = rows == NULL ? PyErr_NoMemory() : count < 0 ? py_raise(count) : PyList_New(0);
    for (int i = 0; ret != NULL && i < count && (size_t)i < room; i++) {
        PyObject *row = provider_row(&rows[i]);
        if (row == NULL || PyList_Append(ret, row) < 0) Py_CLEAR(ret);
        Py_XDECREF(row);
    }
    free(rows);
    return ret;
}
