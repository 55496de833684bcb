/* tools/view/task.c - the tasks of a segment as JSON. See view.h. */
#include <string.h>

#include "registry/conflict/coalesce.h"
#include "registry/routing/kept.h"
#include "registry/routing/rules.h"
#include "tools/view/view.h"

static void task_agent_name(const struct ap_segment *seg, uint32_t queue, char *ret, size_t size)
{
    struct agent_view agent;
    if (view_agent(seg, queue, &agent)) {
        snprintf(ret, size, "%s/%s", agent.swarm.service, agent.name);
    } else {
        snprintf(ret, size, "queue %u", queue);
    }
}

/* One that waits for its time has none yet. */
void view_task_agent(const struct ap_segment *seg, const struct task_view *v, char *ret, size_t size)
{
    if (v->state == AP_TASK_SCHEDULED) snprintf(ret, size, "-");
    else task_agent_name(seg, v->queue, ret, size);
}

const char *view_task_follows(const struct ap_segment *seg, const struct task_view *v, char ret[48])
{
    uint64_t ref;

    *ret = '\0';
    if (v->state != AP_TASK_SCHEDULED || (v->request & AP_REQUEST_COALESCED) == 0) return ret;
    if (!ap_coalesce_leader(seg, v->id.slot, v->id.generation, &ref) || AP_REF_SLOT(ref) == v->id.slot) return ret;
    return tool_format_task(ap_task_id(seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref)), ret);
}

/* Whether a gate has passed it on, and for which service; "": one that calls for none. */
bool view_task_passed(const struct ap_segment *seg, const struct task_view *v, char ret[APIARY_NAME_MAX + 1])
{
    uint32_t by = AP_PASSED_CALLER(v->carried.passed);
    *ret = '\0';
    if (by != 0) ap_service_name(seg, by - 1, ret);
    return v->carried.passed != 0;
}

json_t *view_task_json(const struct ap_segment *seg, const struct task_view *v)
{
    char id[48], agent[2 * APIARY_NAME_MAX + 4], passed[APIARY_NAME_MAX + 1], follows[48];
    view_task_agent(seg, v, agent, sizeof agent);
    json_t *o = json_object();
    json_object_set_new(o, "task", json_string(tool_format_task(v->id, id)));
    json_object_set_new(o, "state", json_string(ap_task_state_name(v->state)));
    json_object_set_new(o, "capability", tool_json_text(v->capability));
    json_object_set_new(o, "caller", tool_json_text(v->caller));
    json_object_set_new(o, "follows", *view_task_follows(seg, v, follows) != '\0' ? json_string(follows) : json_null());
    json_object_set_new(o, "passed_on_for", view_task_passed(seg, v, passed) ? tool_json_text(passed) : json_null());
    json_object_set_new(o, "agent", tool_json_text(agent));
    json_object_set_new(o, "attempts", json_integer(v->starts));
    json_object_set_new(o, "crashes", json_integer(v->crashes));
    json_object_set_new(o, "failures", json_integer(v->failures));
    json_object_set_new(o, "cancel_requested", json_boolean((v->request & AP_REQUEST_CANCEL) != 0));
    json_object_set_new(o, "detached", json_boolean((v->request & AP_REQUEST_GIVEN_UP) != 0));
    json_object_set_new(o, "client_pid", json_integer(v->client_pid));
    json_object_set_new(o, "worker_pid", json_integer(v->worker_pid));
    json_object_set_new(o, "body_size", json_integer(v->body_size));
    json_object_set_new(o, "result_size", json_integer(v->result_size));
    json_object_set_new(o, "error", v->state == AP_TASK_FAILED ? json_string(apiary_error_name(v->code)) : json_null());
    json_object_set_new(o, "agent_code", json_integer(v->agent_code));
    json_object_set_new(o, "carried", tool_carried_json(&v->carried));
    json_object_set_new(o, "beats", json_integer((json_int_t)v->progress.beats));
    json_object_set_new(o, "progress", v->progress.beats != 0 ? tool_json_text(v->progress.text) : json_null());
    json_object_set_new(o, "parts", v->stream.attempt == 0 ? json_null() :
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:b}", "attempt", (json_int_t)v->stream.attempt, "sent",
                                  (json_int_t)v->stream.sent, "read", (json_int_t)(v->stream.sent - v->stream.unread), "bytes",
                                  (json_int_t)v->stream.bytes, "window", (json_int_t)v->stream.capacity, "waiting",
                                  v->stream.wants != 0));
    json_object_set_new(o, "beat_ns", json_integer((json_int_t)v->progress.at));
    json_object_set_new(o, "queued_ns", json_integer((json_int_t)v->queued));
    json_object_set_new(o, "due_ns", v->state == AP_TASK_SCHEDULED ? json_integer((json_int_t)v->due) : json_null());
    json_object_set_new(o, "started_ns", json_integer((json_int_t)v->started));
    json_object_set_new(o, "finished_ns", json_integer((json_int_t)v->finished));
    json_object_set_new(o, "deadline_ns",
                        v->deadline == APIARY_FOREVER ? json_null() : json_integer((json_int_t)v->deadline));
    return o;
}

int view_task_state(const char *text)
{
    for (int s = AP_TASK_RESERVED; s < AP_TASK_STATES; s++) {
        if (strcasecmp(text, ap_task_state_name((uint32_t)s)) == 0) return s;
    }
    return -1;
}

/* Finished, and nobody will collect it: its slot is as good as free. */
bool view_task_over(const struct task_view *v)
{
    return !ap_task_waits(v->state) && v->state != AP_TASK_RUNNING &&
           (v->request & AP_REQUEST_GIVEN_UP) != 0;
}

json_t *view_tasks_json(const struct ap_segment *seg, const char *segment, int state, uint32_t first, uint32_t most,
                        uint32_t *ret_next)
{
    json_t *tasks = json_array();
    struct task_view v;
    uint32_t slot = first;
    for (; slot < seg->geometry.tasks && json_array_size(tasks) < most; slot++) {
        if (view_task(seg, slot, &v) && (state >= 0 ? v.state == (uint32_t)state : !view_task_over(&v)))
            json_array_append_new(tasks, view_task_json(seg, &v));
    }
    if (ret_next != NULL) *ret_next = slot;
    return json_pack("{s:s, s:I, s:o}", "segment", segment, "now_ns", (json_int_t)ap_ops_system.now(), "tasks", tasks);
}
