/* agents/python/memory.c - the memory that swarms share: keys, values and watches. */
#include <string.h>

#include "agents/python/binding.h"

#define SLICE (100 * UINT64_C(1000000)) /* between two looks for signals */

typedef struct {
    PyObject_HEAD
    py_segment *segment;
    apiary_memory_t *memory;
} py_memory;

typedef struct {
    PyObject_HEAD
    py_segment *segment;
    apiary_memory_watch_t *watch;
} py_watch;

static PyTypeObject *memory_type, *watch_type;

PyObject *py_memory_open(py_segment *s, PyObject *args)
{
    const char *name;
    int local, r;
    py_memory *m;
    if (!PyArg_ParseTuple(args, "sp", &name, &local)) return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(memory_type, Py_tp_alloc);
    if ((m = (py_memory *)alloc(memory_type, 0)) == NULL) return NULL;
    m->segment = (py_segment *)Py_NewRef((PyObject *)s);
    if (py_segment_enter(s) == 0) {
        r = apiary_memory_open(s->handle, name, local ? APIARY_MEMORY_LOCAL : 0, &m->memory);
        py_segment_leave(s);
        if (r == 0) return (PyObject *)m;
        py_raise(r);
    }
    Py_DECREF((PyObject *)m);
    return NULL;
}

static void shared_dealloc(PyObject *self)
{
    py_memory *m = (py_memory *)self;
    PyTypeObject *type = Py_TYPE(self);
    apiary_memory_close(m->memory);
    Py_DECREF((PyObject *)m->segment);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* (value, version, seconds left or None) */
static PyObject *shared_get(PyObject *self, PyObject *args)
{
    py_memory *m = (py_memory *)self;
    apiary_memory_value_t value = {.struct_size = sizeof value};
    size_t room = 512;
    const char *key;
    PyObject *bytes = NULL, *ret = NULL;
    int r;
    if (!PyArg_ParseTuple(args, "s", &key) || py_segment_enter(m->segment) < 0) return NULL;
    do { /* again with room for all of it, should it have become longer meanwhile */
        Py_XDECREF(bytes);
        room = value.size > room ? value.size : room;
        bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
        r = bytes != NULL ? apiary_memory_get(m->memory, key, PyBytes_AsString(bytes), room, &value) : 1;
    } while (r == 0 && value.size > room);
    py_segment_leave(m->segment);
    if (r < 0) py_raise(r);
    else if (r == 0 && value.ttl == APIARY_FOREVER)
        ret = Py_BuildValue("y#KO", PyBytes_AsString(bytes), (Py_ssize_t)value.size, (unsigned long long)value.version, Py_None);
    else if (r == 0)
        ret = Py_BuildValue("y#Kd", PyBytes_AsString(bytes), (Py_ssize_t)value.size, (unsigned long long)value.version,
                            (double)value.ttl / 1e9);
    Py_XDECREF(bytes);
    return ret;
}

enum { PUT, ADD, REPLACE, CAS };

static PyObject *shared_change(PyObject *self, PyObject *args, int how)
{
    py_memory *m = (py_memory *)self;
    unsigned long long version = 0;
    uint64_t made = 0, ttl;
    PyObject *given;
    const char *key;
    Py_buffer value;
    int r = 1;
    if (!PyArg_ParseTuple(args, "sy*O|K", &key, &value, &given, &version)) return NULL;
    if (py_seconds(given, &ttl) == 0 && py_segment_enter(m->segment) == 0) {
        size_t size = (size_t)value.len;
        if (how == PUT) r = apiary_memory_put(m->memory, key, value.buf, size, ttl, &made);
        else if (how == ADD) r = apiary_memory_add(m->memory, key, value.buf, size, ttl, &made);
        else if (how == REPLACE) r = apiary_memory_replace(m->memory, key, value.buf, size, ttl, &made);
        else r = apiary_memory_cas(m->memory, key, value.buf, size, ttl, version, &made);
        py_segment_leave(m->segment);
    }
    PyBuffer_Release(&value);
    if (r < 0) py_raise(r);
    return r == 0 ? PyLong_FromUnsignedLongLong(made) : NULL;
}

static PyObject *shared_put(PyObject *self, PyObject *args)
{
    return shared_change(self, args, PUT);
}

static PyObject *shared_add(PyObject *self, PyObject *args)
{
    return shared_change(self, args, ADD);
}

static PyObject *shared_replace(PyObject *self, PyObject *args)
{
    return shared_change(self, args, REPLACE);
}

static PyObject *shared_cas(PyObject *self, PyObject *args)
{
    return shared_change(self, args, CAS);
}

static PyObject *shared_delete(PyObject *self, PyObject *args)
{
    py_memory *m = (py_memory *)self;
    const char *key;
    if (!PyArg_ParseTuple(args, "s", &key) || py_segment_enter(m->segment) < 0) return NULL;
    int r = apiary_memory_delete(m->memory, key);
    py_segment_leave(m->segment);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *shared_incr(PyObject *self, PyObject *args)
{
    py_memory *m = (py_memory *)self;
    long long by;
    int64_t sum;
    const char *key;
    if (!PyArg_ParseTuple(args, "sL", &key, &by) || py_segment_enter(m->segment) < 0) return NULL;
    int r = apiary_memory_incr(m->memory, key, by, &sum);
    py_segment_leave(m->segment);
    return r < 0 ? py_raise(r) : PyLong_FromLongLong(sum);
}

static PyObject *shared_touch(PyObject *self, PyObject *args)
{
    py_memory *m = (py_memory *)self;
    PyObject *given;
    const char *key;
    uint64_t ttl;
    if (!PyArg_ParseTuple(args, "sO", &key, &given) || py_seconds(given, &ttl) < 0 || py_segment_enter(m->segment) < 0) return NULL;
    int r = apiary_memory_touch(m->memory, key, ttl);
    py_segment_leave(m->segment);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *shared_scan(PyObject *self, PyObject *args)
{
    py_memory *m = (py_memory *)self;
    char key[APIARY_MEMORY_KEY_MAX + 1];
    uint64_t position = 0;
    const char *prefix;
    int r = 0;
    PyObject *keys = PyList_New(0);
    if (keys == NULL || !PyArg_ParseTuple(args, "s", &prefix) || py_segment_enter(m->segment) < 0) {
        Py_XDECREF(keys);
        return NULL;
    }
    while (keys != NULL && (r = apiary_memory_scan(m->memory, prefix, &position, key, NULL)) == 1) {
        PyObject *text = PyUnicode_DecodeUTF8(key, (Py_ssize_t)strlen(key), "surrogateescape");
        if (text == NULL || PyList_Append(keys, text) < 0) Py_CLEAR(keys);
        Py_XDECREF(text);
    }
    py_segment_leave(m->segment);
    if (keys == NULL || r == 0) return keys;
    Py_DECREF(keys);
    return py_raise(r);
}

/* ---- watches ----------------------------------------------------------------------------------------------------- */

static PyObject *shared_watch(PyObject *self, PyObject *args)
{
    py_memory *m = (py_memory *)self;
    unsigned long long revision;
    const char *prefix;
    int r = 1;
    if (!PyArg_ParseTuple(args, "sK", &prefix, &revision)) return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(watch_type, Py_tp_alloc);
    py_watch *w = (py_watch *)alloc(watch_type, 0);
    if (w == NULL) return NULL;
    w->segment = (py_segment *)Py_NewRef((PyObject *)m->segment);
    if (py_segment_enter(m->segment) == 0) {
        r = apiary_memory_watch(m->memory, prefix, revision, &w->watch);
        py_segment_leave(m->segment);
    }
    if (r == 0) {
        m->segment->users++; /* it reads the segment as long as it is there */
        return (PyObject *)w;
    }
    Py_DECREF((PyObject *)w);
    return r < 0 ? py_raise(r) : NULL;
}

static void watch_dealloc(PyObject *self)
{
    py_watch *w = (py_watch *)self;
    PyTypeObject *type = Py_TYPE(self);
    apiary_memory_unwatch(w->watch);
    if (w->watch != NULL) py_segment_leave(w->segment);
    Py_DECREF((PyObject *)w->segment);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* (event, key, version, size, revision), or None when there was none in time. */
static PyObject *watch_next(PyObject *self, PyObject *args)
{
    static const char *const events[] = {"", "present", "synced", "put", "deleted", "expired", "behind"};
    py_watch *w = (py_watch *)self;
    apiary_memory_change_t change = {.struct_size = sizeof change};
    PyObject *given = Py_None;
    uint64_t timeout;
    int r, raised = 0;
    if (!PyArg_ParseTuple(args, "|O", &given) || py_seconds(given, &timeout) < 0 || py_segment_enter(w->segment) < 0) return NULL;
    do {
        uint64_t slice = timeout < SLICE ? timeout : SLICE;
        Py_BEGIN_ALLOW_THREADS
        r = apiary_memory_next_change(w->watch, slice, &change);
        Py_END_ALLOW_THREADS
        raised = PyErr_CheckSignals() < 0;
        if (timeout != APIARY_FOREVER) timeout -= slice;
        if (r == APIARY_EINTERRUPTED || r == 0) r = w->segment->closing ? APIARY_EINTERRUPTED : 0;
    } while (!raised && r == 0 && timeout > 0);
    py_segment_leave(w->segment);
    if (raised) return NULL;
    if (r < 0) return py_raise(r);
    if (r == 0) Py_RETURN_NONE;
    const char *event = change.event < sizeof events / sizeof *events ? events[change.event] : "unknown";
    return Py_BuildValue("ssKKK", event, change.key, (unsigned long long)change.version, (unsigned long long)change.size,
                         (unsigned long long)change.revision);
}

static PyMethodDef shared_methods[] = {
    {"get", shared_get, METH_VARARGS, "get(key) -> (value, version, ttl)"},
    {"put", shared_put, METH_VARARGS, "put(key, value, ttl) -> version"},
    {"add", shared_add, METH_VARARGS, "add(key, value, ttl) -> version"},
    {"replace", shared_replace, METH_VARARGS, "replace(key, value, ttl) -> version"},
    {"cas", shared_cas, METH_VARARGS, "cas(key, value, ttl, version) -> version"},
    {"delete", shared_delete, METH_VARARGS, NULL},
    {"incr", shared_incr, METH_VARARGS, "incr(key, by) -> sum"},
    {"touch", shared_touch, METH_VARARGS, NULL},
    {"scan", shared_scan, METH_VARARGS, "scan(prefix) -> keys"},
    {"watch", shared_watch, METH_VARARGS, "watch(prefix, revision) -> Watch"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef watch_methods[] = {
    {"next", watch_next, METH_VARARGS, "next(timeout=None) -> (event, key, version, size, revision), or None"},
    {NULL, NULL, 0, NULL},
};

int py_add_memory(PyObject *module)
{
    PyType_Slot of_memory[] = {{Py_tp_dealloc, shared_dealloc}, {Py_tp_methods, shared_methods}, {0, NULL}};
    PyType_Slot of_watch[] = {{Py_tp_dealloc, watch_dealloc}, {Py_tp_methods, watch_methods}, {0, NULL}};
    PyType_Spec memory = {"apiary._apiary.Memory", sizeof(py_memory), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          of_memory};
    PyType_Spec watch = {"apiary._apiary.Watch", sizeof(py_watch), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                         of_watch};
    memory_type = (PyTypeObject *)py_add_type(module, "Memory", &memory);
    watch_type = (PyTypeObject *)py_add_type(module, "Watch", &watch);
    return memory_type != NULL && watch_type != NULL ? 0 : -1;
}
