/* agents/execution_service/schedule.c - kind "schedule": when each of some dependent tasks runs on a number of workers.
 *
 *   task_scheduling {"workers":2,"tasks":{"a":{"takes":3},"b":{"takes":2,"after":["a"]}}} ->
 *     {"length":5,"critical_path":5,"schedule":[{"task":"a","worker":0,"start":0,"end":3},...]}
 * List scheduling: whenever a worker is free, the ready task with the longest way to the end starts (Graham 1969: at most
 * 2 - 1/workers times the optimum). Of equals the one named first. A cycle of dependencies fails.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { TASKS_MOST = 256, WORKERS_MOST = 64 };

struct task {
    const char *name;
    const json_t *after;
    double takes, way, end; /* way: to the end, itself included */
    int visited;            /* 0 no, 1 on the stack, 2 done */
    bool scheduled;
};
struct plan {
    size_t count, workers;
    struct task tasks[TASKS_MOST];
    bool follows[TASKS_MOST][TASKS_MOST]; /* [a][b]: b comes after a */
    double free_at[WORKERS_MOST];
};

static size_t schedule_find(const struct plan *p, const char *name)
{
    size_t i = 0;
    while (i < p->count && strcmp(p->tasks[i].name, name) != 0)
        i++;
    return i;
}

static bool read_tasks(apiary_job_t *job, const json_t *request, struct plan *p)
{
    const json_t *tasks;
    const char *name;
    json_t *task, *before;
    size_t i;
    if (!ap_need_object(job, request, "tasks", &tasks)) return false;
    if (json_object_size(tasks) == 0 || json_object_size(tasks) > TASKS_MOST) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "%zu tasks; 1 to %d are allowed", json_object_size(tasks),
                        TASKS_MOST);
        return false;
    }
    json_object_foreach((json_t *)tasks, name, task)
    {
        const json_t *takes = json_object_get(task, "takes"), *after = json_object_get(task, "after");
        const char *member;
        json_t *unused;
        if (!json_is_number(takes) || json_number_value(takes) < 0) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "task \"%s\" has no \"takes\" of 0 or more", name);
            return false;
        }
        if (after && !json_is_array(after)) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"after\" of task \"%s\" is not a list of tasks", name);
            return false;
        }
        json_object_foreach(task, member, unused) if (strcmp(member, "takes") != 0 && strcmp(member, "after") != 0)
        {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "task \"%s\" has a member \"%s\"; takes, after are known", name, member);
            return false;
        }
        p->tasks[p->count++] = (struct task){.name = name, .after = after, .takes = json_number_value(takes)};
    }
    for (size_t t = 0; t < p->count; t++)
        json_array_foreach(p->tasks[t].after, i, before)
        {
            size_t b = json_is_string(before) ? schedule_find(p, json_string_value(before)) : p->count;
            if (b == p->count) {
                apiary_job_fail(job, AP_CODE_BAD_REQUEST, "task \"%s\" comes after something that is not a task",
                                p->tasks[t].name);
                return false;
            }
            p->follows[b][t] = true;
        }
    return true;
}

/* false: a cycle, and *in is one of its tasks. At most TASKS_MOST deep. */
static bool schedule_measure(struct plan *p, size_t t, size_t *in)
{
    struct task *task = &p->tasks[t];
    double longest = 0;
    if (task->visited == 1) *in = t;
    if (task->visited) return task->visited == 2;
    task->visited = 1;
    for (size_t next = 0; next < p->count; next++) {
        if (!p->follows[t][next]) continue;
        if (!schedule_measure(p, next, in)) return false;
        if (p->tasks[next].way > longest) longest = p->tasks[next].way;
    }
    task->way = task->takes + longest;
    task->visited = 2;
    return true;
}

/* When the task can start as far as others go; negative: one that it comes after is not scheduled. */
static double ready_at(const struct plan *p, size_t t)
{
    double at = 0;
    for (size_t before = 0; before < p->count; before++) {
        if (!p->follows[before][t]) continue;
        if (!p->tasks[before].scheduled) return -1;
        if (p->tasks[before].end > at) at = p->tasks[before].end;
    }
    return at;
}

static json_t *place_one(struct plan *p)
{
    size_t worker = 0, best = p->count;
    double start = 0;
    for (size_t w = 1; w < p->workers; w++)
        if (p->free_at[w] < p->free_at[worker]) worker = w;
    for (size_t t = 0; t < p->count; t++) {
        double at = p->tasks[t].scheduled ? -1 : ready_at(p, t);
        if (at < 0) continue;
        if (at < p->free_at[worker]) at = p->free_at[worker];
        if (best == p->count || at < start || (at == start && p->tasks[t].way > p->tasks[best].way)) {
            best = t;
            start = at;
        }
    }
    struct task *task = &p->tasks[best];
    task->scheduled = true;
    task->end = p->free_at[worker] = start + task->takes;
    return json_pack("{s:s,s:i,s:f,s:f}", "task", task->name, "worker", (int)worker, "start", start, "end", task->end);
}

static void lay_out(apiary_job_t *job, struct plan *p)
{
    double length = 0, path = 0;
    size_t in = 0;
    for (size_t t = 0; t < p->count; t++)
        if (!schedule_measure(p, t, &in)) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the tasks' dependencies go round in a circle at \"%s\"",
                            p->tasks[in].name);
            return;
        }
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++)
        json_array_append_new(list, place_one(p));
    for (size_t t = 0; t < p->count; t++) {
        length = p->tasks[t].end > length ? p->tasks[t].end : length;
        path = p->tasks[t].way > path ? p->tasks[t].way : path;
    }
    if (!isfinite(length) || !isfinite(path)) {
        json_decref(list);
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the sum of what tasks take is out of range (beyond 1.8e308)");
        return;
    }
    ap_answer(job, "{s:f,s:f,s:o}", "length", length, "critical_path", path, "schedule", list);
}

static void schedule(void *state, apiary_job_t *job, const json_t *request)
{
    int64_t workers = 1;
    if (!ap_may_integer(job, request, "workers", 1, WORKERS_MOST, &workers)) return;
    struct plan *p = apiary_agent_alloc(state, sizeof *p);
    if (!p) {
        ap_out_of_memory(job);
        return;
    }
    memset(p, 0, sizeof *p);
    p->workers = (size_t)workers;
    if (read_tasks(job, request, p)) lay_out(job, p);
    apiary_agent_free(state, p);
}

const struct ap_function ap_functions_schedule[] = {
    {.capability = "task_scheduling",
     .call = schedule,
     .in = AP_OBJECT("'tasks'", "'workers':{'type':'integer','minimum':1,'maximum':64},"
                      "'tasks':{'type':'object','additionalProperties':{'type':'object','required':['takes'],"
           "'properties':{'takes':{'type':'number','minimum':0},'after':{'type':'array','items':{'type':'string'},"
           "'maxItems':256}},'additionalProperties':false},'minProperties':1,'maxProperties':256}"),
     .out = AP_OBJECT("'length','critical_path','schedule'", "'length':{'type':'number'},"
                      "'critical_path':{'type':'number'},"
                      "'schedule':{'type':'array','items':{'type':'object','required':['task','worker','start','end'],"
           "'properties':{'task':{'type':'string'},'worker':{'type':'integer'},'start':{'type':'number'},"
           "'end':{'type':'number'}},'additionalProperties':false}}"),
     .bound = "256 tasks on 64 workers, some 17 million steps",
     .again = AP_AGAIN_SAME,
     .send = "{\"workers\":2,\"tasks\":{\"build\":{\"takes\":3},\"lint\":{\"takes\":1}}}",
     .answer = "{\"length\":3.0,\"critical_path\":3.0,\"schedule\":[{\"task\":\"build\",\"worker\":0,\"start\":0.0,"
           "\"end\":3.0},{\"task\":\"lint\",\"worker\":1,\"start\":0.0,\"end\":1.0}]}"},
    {.capability = NULL},
};

static void schedule_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_schedule, state, job);
}

const apiary_agent_kind_t ap_kind_schedule = {
    APIARY_AGENT_KIND,
    .name = "schedule",
    .what = "task_scheduling: a schedule of dependent tasks on a number of workers",
    .create = ap_create_plain,
    .handle = schedule_handle,
    .capabilities = (const char *const[]){"task_scheduling", NULL},
};
