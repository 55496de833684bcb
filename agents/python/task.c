/* agents/python/task.c - a delegated task, and its result, which is read in place. */
#include "agents/python/binding.h"

#define SLICE (100 * UINT64_C(1000000)) /* between two looks for signals */

typedef struct {
    PyObject_HEAD
    py_segment *segment;
    apiary_task_t task;
    int collected; /* nothing is to be done for it any more */
} py_task;

typedef struct {
    PyObject_HEAD
    py_segment *segment; /* NULL: released */
    apiary_result_t result;
    size_t views;
} py_result;

static PyTypeObject *task_type, *result_type;

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* The result is this object's from here on; it keeps the segment attached. */
static PyObject *result_new(py_segment *s, const apiary_result_t *result)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(result_type, Py_tp_alloc);
    py_result *r = (py_result *)alloc(result_type, 0);
    if (r == NULL) {
        apiary_result_t given_up = *result;
        apiary_release(s->handle, &given_up);
        return NULL;
    }
    r->result = *result;
    r->segment = (py_segment *)Py_NewRef((PyObject *)s);
    s->users++;
    return (PyObject *)r;
}

static void result_let_go(py_result *r)
{
    py_segment *s = r->segment;
    r->segment = NULL;
    if (s == NULL) return;
    apiary_release(s->handle, &r->result);
    py_segment_leave(s);
    Py_DECREF((PyObject *)s);
}

static void result_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    result_let_go((py_result *)self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int result_buffer(PyObject *self, Py_buffer *view, int flags)
{
    py_result *r = (py_result *)self;
    if (r->segment == NULL) {
        PyErr_SetString(PyExc_BufferError, "the result is released");
        return -1;
    }
    /* NULL is no address of a buffer, not even of an empty one. */
    void *data = r->result.size > 0 ? (void *)r->result.data : "";
    if (PyBuffer_FillInfo(view, self, data, (Py_ssize_t)r->result.size, 1, flags) < 0) return -1;
    r->views++;
    return 0;
}

static void result_buffer_released(PyObject *self, Py_buffer *view)
{
    (void)view;
    ((py_result *)self)->views--;
}

static PyObject *result_release(PyObject *self, PyObject *unused)
{
    py_result *r = (py_result *)self;
    (void)unused;
    if (r->views > 0) {
        PyErr_SetString(PyExc_BufferError, "a view of the result is still there; release that first");
        return NULL;
    }
    result_let_go(r);
    Py_RETURN_NONE;
}

static Py_ssize_t result_length(PyObject *self)
{
    return (Py_ssize_t)((py_result *)self)->result.size;
}

static PyObject *result_check(PyObject *self, PyObject *unused)
{
    py_result *r = (py_result *)self;
    (void)unused;
    if (r->segment != NULL && r->result.code < 0) return py_raise_result(&r->result);
    Py_RETURN_NONE;
}

static PyObject *result_get(PyObject *self, void *which)
{
    const apiary_result_t *r = &((py_result *)self)->result;
    switch ((intptr_t)which) {
    case 0: return PyLong_FromLong(r->code);
    case 1: return PyLong_FromUnsignedLong(r->agent_code);
    case 2: return PyLong_FromUnsignedLong(r->attempts);
    case 3: return PyLong_FromUnsignedLong(r->parts);
    default: return PyUnicode_FromString(r->code < 0 ? apiary_error_name(r->code) : "");
    }
}

static PyGetSetDef result_members[] = {
    {"code", result_get, NULL, "0, or the error's number", (void *)0},
    {"agent_code", result_get, NULL, "the agent's own number of a failure", (void *)1},
    {"attempts", result_get, NULL, "how often the task was started", (void *)2},
    {"parts", result_get, NULL, "parts that came before it", (void *)3},
    {"error", result_get, NULL, "the error's name, or \"\"", (void *)4},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef result_methods[] = {
    {"release", result_release, METH_NOARGS, "Gives the segment's memory back. Without it that is done when nobody refers to it."},
    {"check", result_check, METH_NOARGS, "Raises if the task has failed."},
    {NULL, NULL, 0, NULL},
};

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static uint64_t await_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* apiary_await in slices: an error of the library, or 1 with an exception when a signal's handler has raised one. */
static int await_slices(py_segment *s, apiary_task_t task, uint64_t timeout, apiary_result_t *ret)
{
    uint64_t now = await_now(), until = timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout;
    for (;;) {
        uint64_t left = until - now < SLICE ? until - now : SLICE;
        int r;
        Py_BEGIN_ALLOW_THREADS
        r = apiary_await(s->handle, task, left, ret);
        Py_END_ALLOW_THREADS
        if (r == APIARY_EINTERRUPTED && !s->closing) r = APIARY_ENOTREADY; /* that was for another wait */
        if (r != APIARY_ENOTREADY) return r;
        if (s->closing) return APIARY_EINTERRUPTED; /* it was not asleep yet when that was said */
        if (PyErr_CheckSignals() < 0) return 1;
        now = await_now();
        if (now >= until) return r;
    }
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

PyObject *py_task_new(py_segment *s, apiary_task_t task, int detached)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(task_type, Py_tp_alloc);
    py_task *t = (py_task *)alloc(task_type, 0);
    if (t == NULL) {
        if (!detached) py_segment_orphan(s, task);
        return NULL;
    }
    t->segment = (py_segment *)Py_NewRef((PyObject *)s);
    t->task = task;
    t->collected = detached;
    return (PyObject *)t;
}

static void task_dealloc(PyObject *self)
{
    py_task *t = (py_task *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (!t->collected) py_segment_orphan(t->segment, t->task);
    Py_DECREF((PyObject *)t->segment);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *task_ended(py_task *t, int r, const apiary_result_t *result)
{
    if (r == 0) {
        t->collected = 1;
        return result_new(t->segment, result);
    }
    if (r == APIARY_ETIMEDOUT || r == APIARY_ESTALE) t->collected = 1; /* it is given up */
    return r > 0 ? NULL : py_raise(r);
}

static PyObject *task_wait(PyObject *self, PyObject *args)
{
    py_task *t = (py_task *)self;
    apiary_result_t result = {.struct_size = sizeof result};
    PyObject *given = Py_None;
    uint64_t timeout;
    if (!PyArg_ParseTuple(args, "|O", &given) || py_seconds(given, &timeout) < 0 || py_segment_enter(t->segment) < 0) return NULL;
    PyObject *ret = task_ended(t, await_slices(t->segment, t->task, timeout, &result), &result);
    py_segment_leave(t->segment);
    return ret;
}

static PyObject *task_poll(PyObject *self, PyObject *unused)
{
    py_task *t = (py_task *)self;
    apiary_result_t result = {.struct_size = sizeof result};
    PyObject *ret;
    (void)unused;
    if (py_segment_enter(t->segment) < 0) return NULL;
    int r = apiary_poll(t->segment->handle, t->task, &result);
    ret = r == APIARY_ENOTREADY ? Py_NewRef(Py_None) : task_ended(t, r, &result);
    py_segment_leave(t->segment);
    return ret;
}

static PyObject *task_cancelled_by(PyObject *self, PyObject *unused)
{
    py_task *t = (py_task *)self;
    (void)unused;
    if (py_segment_enter(t->segment) < 0) return NULL;
    int r = apiary_cancel(t->segment->handle, t->task);
    py_segment_leave(t->segment);
    if (r < 0 && r != APIARY_ESTALE) return py_raise(r);
    return PyBool_FromLong(r == 0);
}

static PyObject *task_progress(PyObject *self, PyObject *unused)
{
    py_task *t = (py_task *)self;
    apiary_progress_t progress = {.struct_size = sizeof progress};
    (void)unused;
    if (py_segment_enter(t->segment) < 0) return NULL;
    int r = apiary_progress(t->segment->handle, t->task, &progress);
    py_segment_leave(t->segment);
    if (r < 0) return py_raise(r);
    if (r == 0) Py_RETURN_NONE;
    return PyUnicode_DecodeUTF8(progress.text, (Py_ssize_t)progress.size, "replace");
}

/* apiary_next_part in slices, to *bytes, which grows to what the part needs: as that, or 2 with an exception. */
static int next_part_slices(const py_task *t, uint64_t timeout, PyObject **bytes, apiary_part_t *part)
{
    uint64_t now = await_now(), until = timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout;
    for (;;) {
        uint64_t left = until - now < SLICE ? until - now : SLICE;
        char *to = PyBytes_AsString(*bytes);
        size_t room = (size_t)PyBytes_Size(*bytes);
        int r;
        Py_BEGIN_ALLOW_THREADS
        r = apiary_next_part(t->segment->handle, t->task, left, to, room, part);
        Py_END_ALLOW_THREADS
        if (r == 1 && part->size > room) { /* it stays the next one until there is room for it */
            Py_DECREF(*bytes);
            *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)part->size);
            if (*bytes == NULL) return 2;
            continue;
        }
        if (r == APIARY_EINTERRUPTED && !t->segment->closing) r = APIARY_ENOTREADY;
        if (r != APIARY_ENOTREADY) return r;
        if (t->segment->closing) return APIARY_EINTERRUPTED;
        if (PyErr_CheckSignals() < 0) return 2;
        now = await_now();
        if (now >= until) return r;
    }
}

/* The next part; None at the end. */
static PyObject *task_next_part(PyObject *self, PyObject *args)
{
    py_task *t = (py_task *)self;
    apiary_part_t part = {.struct_size = sizeof part};
    PyObject *given = Py_None, *bytes, *ret = NULL;
    uint64_t timeout;
    if (!PyArg_ParseTuple(args, "|O", &given) || py_seconds(given, &timeout) < 0) return NULL;
    if ((bytes = PyBytes_FromStringAndSize(NULL, 4096)) == NULL) return NULL;
    if (py_segment_enter(t->segment) == 0) {
        int r = next_part_slices(t, timeout, &bytes, &part);
        py_segment_leave(t->segment);
        if (r == 1) ret = PyBytes_FromStringAndSize(PyBytes_AsString(bytes), (Py_ssize_t)part.size);
        else if (r == 0) ret = Py_NewRef(Py_None);
        else if (r < 0) py_raise(r);
    }
    Py_XDECREF(bytes);
    return ret;
}

static PyObject *task_id(PyObject *self, void *unused)
{
    const apiary_task_t *t = &((py_task *)self)->task;
    char text[48];
    (void)unused;
    PyOS_snprintf(text, sizeof text, "%x-%x-%llx", (unsigned)t->slot, (unsigned)t->epoch, (unsigned long long)t->generation);
    return PyUnicode_FromString(text);
}

static PyGetSetDef task_members[] = {
    {"id", task_id, NULL, "as `apiary task show` takes it", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef task_methods[] = {
    {"wait", task_wait, METH_VARARGS, "wait(timeout=None) -> Result, of a failed task, too"},
    {"poll", task_poll, METH_NOARGS, "poll() -> Result, or None while it has not ended"},
    {"cancel", task_cancelled_by, METH_NOARGS, "cancel() -> whether there was still a task"},
    {"progress", task_progress, METH_NOARGS, "progress() -> what its agent has said last, or None"},
    {"next_part", task_next_part, METH_VARARGS, "next_part(timeout=None) -> bytes, None at the end"},
    {NULL, NULL, 0, NULL},
};

/* ---- delegate, wait and copy in one ------------------------------------------------------------------------------ */

PyObject *py_call(py_segment *s, PyObject *args)
{
    apiary_delegate_options_t options;
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    const char *capability;
    PyObject *given = NULL, *ret = NULL;
    Py_buffer body;
    if (!PyArg_ParseTuple(args, "sy*|O", &capability, &body, &given)) return NULL;
    if (py_options(given, &options) < 0 || py_segment_enter(s) < 0) {
        PyBuffer_Release(&body);
        return NULL;
    }
    int r = apiary_delegate(s->handle, capability, body.buf, (size_t)body.len, &options, &task);
    PyBuffer_Release(&body);
    if (r < 0) py_raise_refusal(s, r);
    else if ((r = await_slices(s, task, UINT64_MAX, &result)) == 0) {
        ret = result.code < 0 ? py_raise_result(&result) : PyBytes_FromStringAndSize(result.data, (Py_ssize_t)result.size);
        apiary_release(s->handle, &result);
    } else {
        if (r == 1 || r == APIARY_EINTERRUPTED) py_segment_orphan(s, task);
        if (r < 0) py_raise(r);
    }
    py_segment_leave(s);
    return ret;
}

int py_add_task(PyObject *module)
{
    PyType_Slot of_task[] = {{Py_tp_dealloc, task_dealloc}, {Py_tp_methods, task_methods}, {Py_tp_getset, task_members},
                             {0, NULL}};
    PyType_Slot of_result[] = {{Py_tp_dealloc, result_dealloc}, {Py_tp_methods, result_methods}, {Py_tp_getset, result_members},
                               {Py_sq_length, result_length}, {Py_bf_getbuffer, result_buffer},
                               {Py_bf_releasebuffer, result_buffer_released}, {0, NULL}};
    PyType_Spec task = {"apiary._apiary.Task", sizeof(py_task), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, of_task};
    PyType_Spec result = {"apiary._apiary.Result", sizeof(py_result), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          of_result};
    task_type = (PyTypeObject *)py_add_type(module, "Task", &task);
    result_type = (PyTypeObject *)py_add_type(module, "Result", &result);
    return task_type != NULL && result_type != NULL ? 0 : -1;
}
