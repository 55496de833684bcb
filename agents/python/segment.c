/* agents/python/segment.c - an attached segment: its life, delegation, claims. */
#include <stdlib.h>
#include <string.h>

#include "agents/python/binding.h"

PyTypeObject *py_segment_type;

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void segment_detach(py_segment *s)
{
    apiary_t *handle = s->handle;
    s->handle = NULL;
    free(s->orphans);
    s->orphans = NULL;
    s->orphan_count = 0;
    if (handle == NULL) return;
    Py_BEGIN_ALLOW_THREADS
    apiary_detach(handle); /* in a child it refuses: the parent has it */
    Py_END_ALLOW_THREADS
}

int py_segment_enter(py_segment *s)
{
    if (s->handle == NULL || s->closing) {
        py_raise(APIARY_ESTALE);
        return -1;
    }
    s->users++;
    return 0;
}

void py_segment_leave(py_segment *s)
{
    s->users--;
    if (s->users == 0 && s->closing) segment_detach(s);
}

static PyObject *segment_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"segment", "name", "swarm", "read_only", "queen", NULL};
    const char *segment = NULL;
    char message[1024] = "";
    apiary_attach_options_t options = {.struct_size = sizeof options, .message = message, .message_size = sizeof message};
    apiary_t *handle;
    int queen = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|zzzpp", names, &segment, &options.name, &options.swarm, &options.read_only,
                                     &queen))
        return NULL;
    if (queen) options.kind = APIARY_QUEEN;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    py_segment *s = (py_segment *)alloc(type, 0);
    if (s == NULL) return NULL;
    int r = apiary_attach(segment, &options, &handle);
    if (r < 0) {
        Py_DECREF(s);
        return message[0] != '\0' ? py_raise_text(r, message, strlen(message)) : py_raise(r);
    }
    s->handle = handle;
    return (PyObject *)s;
}

static void segment_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    segment_detach((py_segment *)self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *segment_close(PyObject *self, PyObject *unused)
{
    py_segment *s = (py_segment *)self;
    (void)unused;
    if (s->handle == NULL) Py_RETURN_NONE;
    s->closing = 1;
    if (s->users > 0) apiary_interrupt(s->handle); /* who waits ends, and the last detaches */
    else segment_detach(s);
    Py_RETURN_NONE;
}

/* ---- tasks that nobody refers to --------------------------------------------------------------------------------- */

static int orphan_collect(py_segment *s, apiary_task_t task)
{
    apiary_result_t result = {.struct_size = sizeof result};
    int r = apiary_poll(s->handle, task, &result);
    if (r == 0) apiary_release(s->handle, &result);
    return r != APIARY_ENOTREADY;
}

void py_segment_orphan(py_segment *s, apiary_task_t task)
{
    if (s->handle == NULL) return;
    apiary_cancel(s->handle, task);
    if (orphan_collect(s, task)) return;
    if (s->orphan_count == s->orphan_room) {
        size_t room = s->orphan_room > 0 ? 2 * s->orphan_room : 16;
        apiary_task_t *more = realloc(s->orphans, room * sizeof *more);
        if (more == NULL) return; /* its result goes by itself, result_ttl after its deadline */
        s->orphans = more;
        s->orphan_room = room;
    }
    s->orphans[s->orphan_count++] = task;
}

/* Some of them, in turn. */
static void orphans_look(py_segment *s)
{
    for (size_t looks = s->orphan_count < 4 ? s->orphan_count : 4; looks > 0; looks--) {
        if (s->orphan_next >= s->orphan_count) s->orphan_next = 0;
        if (orphan_collect(s, s->orphans[s->orphan_next])) s->orphans[s->orphan_next] = s->orphans[--s->orphan_count];
        else s->orphan_next++;
    }
}

/* ---- delegation -------------------------------------------------------------------------------------------------- */

static PyObject *segment_delegate(PyObject *self, PyObject *args)
{
    py_segment *s = (py_segment *)self;
    apiary_delegate_options_t options;
    const char *capability;
    PyObject *given = NULL, *ret = NULL;
    unsigned flags = 0;
    Py_buffer body;
    apiary_task_t task;
    if (!PyArg_ParseTuple(args, "sy*|OI", &capability, &body, &given, &flags)) return NULL;
    if (py_options(given, &options) == 0 && py_segment_enter(s) == 0) {
        orphans_look(s);
        options.flags |= flags;
        int r = apiary_delegate(s->handle, capability, body.buf, (size_t)body.len, &options, &task);
        ret = r < 0 ? py_raise_refusal(s, r) : py_task_new(s, task, (options.flags & APIARY_DETACH) != 0);
        py_segment_leave(s);
    }
    PyBuffer_Release(&body);
    return ret;
}

static PyObject *segment_call(PyObject *self, PyObject *args)
{
    return py_call((py_segment *)self, args);
}

/* The calling thread's descriptor: readable when one of its tasks may have ended. */
static PyObject *segment_lane_fd(PyObject *self, PyObject *unused)
{
    py_segment *s = (py_segment *)self;
    (void)unused;
    if (py_segment_enter(s) < 0) return NULL;
    int fd = apiary_lane_fd(s->handle);
    py_segment_leave(s);
    return fd < 0 ? py_raise(fd) : PyLong_FromLong(fd);
}

static PyObject *segment_interrupt(PyObject *self, PyObject *unused)
{
    py_segment *s = (py_segment *)self;
    (void)unused;
    if (py_segment_enter(s) < 0) return NULL;
    apiary_interrupt(s->handle);
    py_segment_leave(s);
    Py_RETURN_NONE;
}

/* ---- claims ------------------------------------------------------------------------------------------------------ */

static PyObject *segment_claim(PyObject *self, PyObject *args)
{
    static const char *const names[] = {"fail", "wait", "use-existing", "steal-if-expired"};
    py_segment *s = (py_segment *)self;
    apiary_claim_options_t options = {.struct_size = sizeof options};
    apiary_claim_t claim = {.struct_size = sizeof claim};
    const char *key, *policy;
    PyObject *ttl_given, *timeout_given;
    uint64_t ttl, timeout;
    int stays, r;
    if (!PyArg_ParseTuple(args, "sOsOp", &key, &ttl_given, &policy, &timeout_given, &stays)) return NULL;
    if (py_seconds(ttl_given, &ttl) < 0 || py_seconds(timeout_given, &timeout) < 0) return NULL;
    while (options.policy < 4 && strcmp(names[options.policy], policy) != 0) options.policy++;
    if (options.policy++ == 4)
        return PyErr_Format(PyExc_ValueError, "policy: '%s' is none of fail, wait, use-existing, steal-if-expired", policy);
    options.flags = stays ? APIARY_CLAIM_STAYS : 0;
    if (py_segment_enter(s) < 0) return NULL;
    options.timeout = timeout;
    Py_BEGIN_ALLOW_THREADS
    r = apiary_claim(s->handle, key, ttl, &options, &claim); /* in one wait, or it would lose its place in the line */
    Py_END_ALLOW_THREADS
    py_segment_leave(s);
    if (r < 0) return py_raise(r);
    return Py_BuildValue("OKKLs", r == 0 ? Py_True : Py_False, (unsigned long long)claim.token, (unsigned long long)claim.expires,
                         (long long)claim.pid, claim.holder);
}

static PyObject *segment_claim_renew(PyObject *self, PyObject *args)
{
    py_segment *s = (py_segment *)self;
    unsigned long long token;
    const char *key;
    PyObject *given;
    uint64_t ttl;
    if (!PyArg_ParseTuple(args, "sKO", &key, &token, &given) || py_seconds(given, &ttl) < 0 || py_segment_enter(s) < 0) return NULL;
    int r = apiary_claim_renew(s->handle, key, token, ttl, NULL);
    py_segment_leave(s);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *segment_claim_release(PyObject *self, PyObject *args)
{
    py_segment *s = (py_segment *)self;
    unsigned long long token;
    const char *key;
    if (!PyArg_ParseTuple(args, "sK", &key, &token) || py_segment_enter(s) < 0) return NULL;
    int r = apiary_claim_release(s->handle, key, token);
    py_segment_leave(s);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *segment_claim_check(PyObject *self, PyObject *args)
{
    py_segment *s = (py_segment *)self;
    unsigned long long token;
    const char *key;
    if (!PyArg_ParseTuple(args, "sK", &key, &token) || py_segment_enter(s) < 0) return NULL;
    int r = apiary_claim_check(s->handle, key, token);
    py_segment_leave(s);
    if (r < 0 && r != APIARY_ESTALE) return py_raise(r);
    return PyBool_FromLong(r == 0);
}

static PyObject *segment_discover(PyObject *self, PyObject *args)
{
    return py_discover((py_segment *)self, args);
}

static PyObject *segment_memory(PyObject *self, PyObject *args)
{
    return py_memory_open((py_segment *)self, args);
}

static PyMethodDef segment_methods[] = {
    {"close", segment_close, METH_NOARGS, NULL},
    {"delegate", segment_delegate, METH_VARARGS, "delegate(capability, body, options, flags) -> Task"},
    {"call", segment_call, METH_VARARGS, "call(capability, body, options) -> bytes"},
    {"lane_fd", segment_lane_fd, METH_NOARGS, NULL},
    {"interrupt", segment_interrupt, METH_NOARGS, NULL},
    {"claim", segment_claim, METH_VARARGS, "claim(key, ttl, policy, timeout, stays) -> (got, token, expires, pid, holder)"},
    {"claim_renew", segment_claim_renew, METH_VARARGS, NULL},
    {"claim_release", segment_claim_release, METH_VARARGS, NULL},
    {"claim_check", segment_claim_check, METH_VARARGS, NULL},
    {"discover", segment_discover, METH_VARARGS, "discover(capability) -> list of dicts"},
    {"memory", segment_memory, METH_VARARGS, "memory(name, local) -> Memory"},
    {NULL, NULL, 0, NULL},
};

int py_add_segment(PyObject *module)
{
    PyType_Slot slots[] = {{Py_tp_new, segment_new}, {Py_tp_dealloc, segment_dealloc}, {Py_tp_methods, segment_methods}, {0, NULL}};
    PyType_Spec spec = {"apiary._apiary.Segment", sizeof(py_segment), 0, Py_TPFLAGS_DEFAULT, slots};
    py_segment_type = (PyTypeObject *)py_add_type(module, "Segment", &spec);
    return py_segment_type != NULL ? 0 : -1;
}
