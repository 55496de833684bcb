/* agents/python/queen.c - a queen in this process, and the tasks that its handlers have. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agents/python/binding.h"
#include "agents/python/serving.h"

typedef struct {
    PyObject_HEAD
    py_segment *segment;
    PyObject *agents; /* (name, capabilities, concurrency, terms): the texts of the description */
    struct serving *serving;
    apiary_queen_t *queen; /* NULL: it has left */
} py_queen;

typedef struct {
    PyObject_HEAD
    py_queen *queen;
    apiary_job_t *job;
    struct served *served;
    size_t views;
} py_job;

static PyTypeObject *queen_type, *job_type;

/* ---- the queen --------------------------------------------------------------------------------------------------- */

/* The lists of capabilities of all agents in one block; the texts are those of `agents`. */
static int describe(py_queen *q, apiary_agent_description_t *to, const char **names, size_t room, unsigned workers)
{
    for (size_t i = 0; i < q->serving->agent_count; i++) {
        PyObject *capabilities;
        if (!PyArg_ParseTuple(PyTuple_GetItem(q->agents, (Py_ssize_t)i), "sO!Iz", &to[i].name, &PyTuple_Type, &capabilities,
                              &q->serving->agents[i].concurrency, &to[i].terms))
            return -1;
        q->serving->agents[i].name = to[i].name;
        to[i].kind = &serving_kind;
        to[i].worker = (uint32_t)(i % workers);
        to[i].capabilities = names;
        for (Py_ssize_t c = 0; c < PyTuple_Size(capabilities); c++, room--) {
            const char *name = PyUnicode_AsUTF8AndSize(PyTuple_GetItem(capabilities, c), NULL);
            if (name == NULL) return -1;
            if (room > 1) *names++ = name;
        }
        *names++ = NULL;
        room--;
    }
    return 0;
}

static size_t count_names(PyObject *agents)
{
    size_t count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_Size(agents); i++) {
        PyObject *agent = PyTuple_GetItem(agents, i), *list = PyTuple_Check(agent) ? PyTuple_GetItem(agent, 1) : NULL;
        if (list == NULL || !PyTuple_Check(list)) return 0;
        count += (size_t)PyTuple_Size(list) + 1;
    }
    return count;
}

/* The queen's threads take no signal: those are for the main thread, which Python wakes by them. */
static int start_without_signals(py_queen *q, const apiary_swarm_description_t *swarm, char *message, size_t size)
{
    sigset_t all, before;
    int r;
    Py_BEGIN_ALLOW_THREADS
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = serving_start(q->serving, q->segment->handle, swarm, message, size, &q->queen);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    Py_END_ALLOW_THREADS
    return r;
}

static int queen_begin(py_queen *q, apiary_swarm_description_t *swarm)
{
    size_t names_count = count_names(q->agents), count = (size_t)PyTuple_Size(q->agents);
    const char **names = calloc(names_count + 1, sizeof *names);
    apiary_agent_description_t *agents = calloc(count + 1, sizeof *agents);
    char message[1024] = "";
    int r = 1;
    q->serving = serving_new(count);
    if (names == NULL || agents == NULL || q->serving == NULL) PyErr_NoMemory();
    else if (swarm->workers == 0) PyErr_SetString(PyExc_ValueError, "workers: 1 or more");
    else if (names_count == 0) PyErr_SetString(PyExc_TypeError, "agents: a tuple of (name, capabilities, concurrency, terms)");
    else if (describe(q, agents, names, names_count + 1, swarm->workers) == 0 && py_segment_enter(q->segment) == 0) {
        swarm->agents = agents;
        swarm->agent_count = count;
        swarm->log = serving_log;
        swarm->log_user = q->serving;
        r = start_without_signals(q, swarm, message, sizeof message);
        if (r < 0) py_segment_leave(q->segment); /* else it is left when the queen has */
        if (r < 0 && message[0] != '\0') py_raise_text(r, message, strlen(message));
        else if (r < 0) py_raise(r);
    }
    free(names);
    free(agents);
    return r;
}

static PyObject *queen_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"segment", "service", "agents", "instance", "version", "workers", "max_delegations", "port", "tags",
                            NULL};
    apiary_swarm_description_t swarm = {APIARY_SWARM_DESCRIPTION, .version = "1", .workers = 1};
    PyObject *segment, *agents;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!sO!|zsIIHz", names, py_segment_type, &segment, &swarm.service,
                                     &PyTuple_Type, &agents, &swarm.instance, &swarm.version, &swarm.workers,
                                     &swarm.max_concurrent_delegations, &swarm.port, &swarm.tags))
        return NULL;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    py_queen *q = (py_queen *)alloc(type, 0);
    if (q == NULL) return NULL;
    q->segment = (py_segment *)Py_NewRef(segment);
    q->agents = Py_NewRef(agents);
    if (queen_begin(q, &swarm) == 0) return (PyObject *)q;
    Py_DECREF((PyObject *)q);
    return NULL;
}

static int queen_leave(py_queen *q, uint64_t timeout)
{
    int r = 0;
    if (q->queen == NULL) return 0;
    Py_BEGIN_ALLOW_THREADS
    r = apiary_queen_stop(q->queen, timeout);
    Py_END_ALLOW_THREADS
    if (r == APIARY_ETIMEDOUT || r == APIARY_EINVAL || r == APIARY_EFORKED || q->queen == NULL) return r;
    q->queen = NULL;
    serving_close(q->serving);
    py_segment_leave(q->segment);
    return r == APIARY_ESTALE ? 0 : r;
}

static PyObject *queen_told_to_stop(PyObject *self, PyObject *args)
{
    PyObject *given = Py_None;
    uint64_t timeout;
    if (!PyArg_ParseTuple(args, "|O", &given) || py_seconds(given, &timeout) < 0) return NULL;
    int r = queen_leave((py_queen *)self, timeout);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static void queen_dealloc(PyObject *self)
{
    py_queen *q = (py_queen *)self;
    PyTypeObject *type = Py_TYPE(self);
    /* A queen that cannot leave keeps what it uses: the process ends it. */
    if (queen_leave(q, 0) == 0) serving_free(q->serving);
    Py_XDECREF(q->agents);
    Py_DECREF((PyObject *)q->segment);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

/* A Job, (level, line) of the log, or None: nothing in 100 ms, so that signals are heard, or it is closed. */
static PyObject *queen_next(PyObject *self, PyObject *unused)
{
    py_queen *q = (py_queen *)self;
    struct taken *t;
    PyObject *ret;
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    t = serving_next(q->serving, 100 * UINT64_C(1000000));
    Py_END_ALLOW_THREADS
    if (t == NULL) Py_RETURN_NONE;
    if (t->job == NULL) ret = Py_BuildValue("iN", t->level, PyUnicode_DecodeUTF8(t->text, (Py_ssize_t)strlen(t->text), "replace"));
    else {
        allocfunc alloc = (allocfunc)PyType_GetSlot(job_type, Py_tp_alloc);
        py_job *j = (py_job *)alloc(job_type, 0);
        if (j != NULL) {
            j->queen = (py_queen *)Py_NewRef(self);
            q->segment->users++; /* as long as there may be a view of the request */
            j->job = t->job;
            j->served = &q->serving->agents[t->agent];
        } else
            apiary_job_finish_from_thread(t->job, 1, "out of memory", strlen("out of memory"));
        ret = (PyObject *)j;
    }
    free(t);
    return ret;
}

static void job_dealloc(PyObject *self)
{
    py_job *j = (py_job *)self;
    PyTypeObject *type = Py_TYPE(self);
    static const char text[] = "its handler has let go of it";
    if (j->job != NULL) apiary_job_finish_from_thread(j->job, 1, text, strlen(text));
    if (j->queen != NULL) py_segment_leave(j->queen->segment);
    Py_XDECREF((PyObject *)j->queen);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static int job_buffer(PyObject *self, Py_buffer *view, int flags)
{
    py_job *j = (py_job *)self;
    size_t size = 0;
    const void *data = j->job != NULL ? apiary_job_data(j->job, &size) : NULL;
    if (j->job == NULL) {
        PyErr_SetString(PyExc_BufferError, "the task has its answer");
        return -1;
    }
    if (PyBuffer_FillInfo(view, self, size > 0 && data != NULL ? (void *)data : "", (Py_ssize_t)size, 1, flags) < 0) return -1;
    j->views++;
    return 0;
}

static void job_buffer_released(PyObject *self, Py_buffer *view)
{
    (void)view;
    ((py_job *)self)->views--;
}

/* The job, which may be finished now: what it has in the segment goes then. NULL with an exception. */
static apiary_job_t *job_unviewed(py_job *j)
{
    if (j->job == NULL) py_raise(APIARY_ESTALE);
    else if (j->views > 0) PyErr_SetString(PyExc_BufferError, "a view of the request is still there; release that first");
    else return j->job;
    return NULL;
}

static PyObject *job_reply(PyObject *self, PyObject *args)
{
    py_job *j = (py_job *)self;
    apiary_job_t *job = job_unviewed(j);
    Py_buffer data;
    int r;
    if (job == NULL || !PyArg_ParseTuple(args, "y*", &data)) return NULL;
    /* The data may be the request itself: it is copied before that goes. */
    r = apiary_job_finish_from_thread(job, 0, data.buf, (size_t)data.len);
    j->job = NULL;
    PyBuffer_Release(&data);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *job_fail(PyObject *self, PyObject *args)
{
    py_job *j = (py_job *)self;
    apiary_job_t *job = job_unviewed(j);
    const char *text;
    Py_ssize_t size;
    unsigned code;
    int r;
    if (job == NULL || !PyArg_ParseTuple(args, "Is#", &code, &text, &size)) return NULL;
    j->job = NULL;
    Py_BEGIN_ALLOW_THREADS
    r = serving_fail(j->served, job, code, text, (size_t)size);
    Py_END_ALLOW_THREADS
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *job_part(PyObject *self, PyObject *args)
{
    py_job *j = (py_job *)self;
    apiary_job_t *job = j->job;
    Py_buffer data;
    int r;
    if (job == NULL) return py_raise(APIARY_ESTALE);
    if (!PyArg_ParseTuple(args, "y*", &data)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    r = serving_part(j->served, job, data.buf, (size_t)data.len);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

static PyObject *job_beat(PyObject *self, PyObject *args)
{
    py_job *j = (py_job *)self;
    const char *text;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "s#", &text, &size)) return NULL;
    int r = j->job != NULL ? apiary_job_beat(j->job, text, (size_t)size) : APIARY_ESTALE;
    return r < 0 && r != APIARY_ESTALE ? py_raise(r) : PyBool_FromLong(r != 0);
}

static PyObject *job_retry(PyObject *self, PyObject *args)
{
    py_job *j = (py_job *)self;
    PyObject *given;
    uint64_t after;
    if (!PyArg_ParseTuple(args, "O", &given) || py_seconds(given, &after) < 0) return NULL;
    int r = j->job != NULL ? apiary_job_retry(j->job, after) : APIARY_ESTALE;
    if (r < 0) return py_raise(r);
    Py_RETURN_NONE;
}

enum { CAPABILITY, CALLER, CANCELLED, ATTEMPT, DEADLINE, AGENT, TRACEPARENT };

static PyObject *job_tell(PyObject *self, void *which)
{
    py_job *j = (py_job *)self;
    char text[APIARY_TRACE_TEXT] = "";
    apiary_trace_t trace;
    uint64_t deadline;
    if ((intptr_t)which == AGENT) return PyLong_FromSize_t((size_t)(j->served - j->queen->serving->agents));
    if ((intptr_t)which == CANCELLED) return PyBool_FromLong(j->job == NULL || apiary_job_cancelled(j->job));
    if (j->job == NULL) return py_raise(APIARY_ESTALE);
    switch ((intptr_t)which) {
    case CAPABILITY: return PyUnicode_FromString(apiary_job_capability(j->job));
    case CALLER: return PyUnicode_FromString(apiary_job_caller(j->job));
    case ATTEMPT: return PyLong_FromUnsignedLong(apiary_job_attempt(j->job));
    case DEADLINE:
        deadline = apiary_job_deadline(j->job);
        return deadline == APIARY_FOREVER ? Py_NewRef(Py_None) : PyFloat_FromDouble((double)deadline / 1e9);
    default:
        if (apiary_job_trace(j->job, &trace) == 1) apiary_trace_format(&trace, text);
        return PyUnicode_FromString(text);
    }
}

static PyGetSetDef job_members[] = {
    {"capability", job_tell, NULL, "what was asked for", (void *)CAPABILITY},
    {"caller", job_tell, NULL, "the calling service, or \"\"", (void *)CALLER},
    {"cancelled", job_tell, NULL, "whether it is to stop", (void *)CANCELLED},
    {"attempt", job_tell, NULL, "1, or more after earlier ones", (void *)ATTEMPT},
    {"deadline", job_tell, NULL, "as time.monotonic(), or None", (void *)DEADLINE},
    {"agent", job_tell, NULL, "the position of its agent", (void *)AGENT},
    {"traceparent", job_tell, NULL, "its trace, as W3C Trace Context writes it, or \"\"", (void *)TRACEPARENT},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef job_methods[] = {
    {"reply", job_reply, METH_VARARGS, "reply(data)"},
    {"fail", job_fail, METH_VARARGS, "fail(code, text)"},
    {"part", job_part, METH_VARARGS, "part(data): waits for its reader"},
    {"beat", job_beat, METH_VARARGS, "beat(text) -> whether it is to stop"},
    {"retry", job_retry, METH_VARARGS, "retry(after): seconds; None: not again"},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef queen_methods[] = {
    {"next", queen_next, METH_NOARGS, "next() -> Job, (level, line) or None"},
    {"stop", queen_told_to_stop, METH_VARARGS, "stop(timeout=None)"},
    {NULL, NULL, 0, NULL},
};

int py_add_queen(PyObject *module)
{
    PyType_Slot of_queen[] = {{Py_tp_new, queen_new}, {Py_tp_dealloc, queen_dealloc}, {Py_tp_methods, queen_methods}, {0, NULL}};
    PyType_Slot of_job[] = {{Py_tp_dealloc, job_dealloc}, {Py_tp_methods, job_methods}, {Py_tp_getset, job_members},
                            {Py_bf_getbuffer, job_buffer}, {Py_bf_releasebuffer, job_buffer_released}, {0, NULL}};
    PyType_Spec queen = {"apiary._apiary.Queen", sizeof(py_queen), 0, Py_TPFLAGS_DEFAULT, of_queen};
    PyType_Spec job = {"apiary._apiary.Job", sizeof(py_job), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, of_job};
    queen_type = (PyTypeObject *)py_add_type(module, "Queen", &queen);
    job_type = (PyTypeObject *)py_add_type(module, "Job", &job);
    return queen_type != NULL && job_type != NULL ? 0 : -1;
}
