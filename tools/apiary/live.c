/* tools/apiary/live.c - see live.h. */
#include "tools/apiary/live.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/event.h"
#include "tools/apiary/autoscale.h"
#include "tools/apiary/change.h"
#include "tools/apiary/control.h"

#define EVERY UINT64_C(1000000000)
#define PLAIN_EVERY 10 /* seconds */

struct figures {
    uint32_t passing, drained, down, starts, queued, running;
    uint64_t finished, done, failed;
};

static void live_look(struct up *up, struct figures *ret)
{
    apiary_swarm_status_t *rows = NULL;
    int count = view_status(up->a, NULL, &rows);
    *ret = (struct figures){.passing = 0};
    for (int i = 0; i < count; i++) {
        ret->queued += rows[i].queued;
        ret->running += rows[i].running;
        ret->finished += rows[i].finished;
        ret->done += rows[i].done;
        ret->failed += rows[i].failed;
    }
    free(rows);
    queens_look(up);
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        ret->passing += q->passes && !q->drained;
        ret->drained += q->drained;
        ret->down += !q->passes;
        ret->starts += q->child->starts;
    }
}

static void say_swarm_event(const struct ap_segment *seg, struct crew *crew, const char *when, const struct ap_event *e)
{
    struct swarm_view swarm;
    bool known = e->a <= UINT32_MAX && view_swarm(seg, (uint32_t)e->a, &swarm);
    crew_say(crew, "%s %s: %s/%s%s%s", when, ap_event_text(e->kind), known ? swarm.service : "?",
             known ? swarm.instance : "?", e->kind == AP_EVENT_SWARM_MODE ? " " : "",
             e->kind == AP_EVENT_SWARM_MODE ? tool_mode_name((int)e->b) : "");
}

/* Which request it was, while its client has not taken the answer yet. */
static void say_crashed(const struct ap_segment *seg, struct crew *crew, const char *when, const struct ap_event *e)
{
    struct task_view task;
    char id[48];
    bool known = e->a < seg->geometry.tasks && view_task(seg, (uint32_t)e->a, &task) && task.code == APIARY_ECRASHED;
    crew_say(crew, "%s %s%s%s%s%s", when, ap_event_text(e->kind), known ? ": " : "", known ? task.capability : "",
             known ? ", task " : "", known ? tool_format_task(task.id, id) : "");
}

static const char *clock_time(uint64_t realtime, char ret[16])
{
    time_t seconds = (time_t)(realtime / UINT64_C(1000000000));
    struct tm tm;
    if (localtime_r(&seconds, &tm) == NULL || strftime(ret, 16, "%H:%M:%S", &tm) == 0) strcpy(ret, "--:--:--");
    return ret;
}

/* Everything from `next` on; what was overwritten meanwhile is passed over. Swarms are named one by one, what happens to
 * tasks and blocks is counted. Left out are who comes and goes as a member, the tasks that fail, which the figures count, and what
 * this process tells with more: the ends of processes, numbers of instances. */
static uint64_t say_events(const struct ap_segment *seg, struct crew *crew, uint64_t next)
{
    uint64_t end = ap_load_relaxed(&seg->header->event_next);
    uint64_t counts[AP_EVENT_KINDS] = {0};
    char when[16] = "";
    if (end < next || end - next > seg->geometry.events)
        next = end > seg->geometry.events ? end - seg->geometry.events : 0;
    for (; next < end; next++) {
        struct ap_event e;
        if (ap_event_read(seg, next, &e) != 1 || e.kind >= AP_EVENT_KINDS) continue;
        clock_time(e.time, when);
        switch (e.kind) {
        case AP_EVENT_SWARM_REGISTERED:
        case AP_EVENT_SWARM_LEFT:
        case AP_EVENT_SWARM_DIED:
        case AP_EVENT_SWARM_MODE:
            say_swarm_event(seg, crew, when, &e);
            break;
        case AP_EVENT_TASK_CRASHED:
            say_crashed(seg, crew, when, &e);
            break;
        case AP_EVENT_MEMBER_JOINED:
        case AP_EVENT_MEMBER_LEFT:
        case AP_EVENT_TASK_FAILED:
        case AP_EVENT_INSTANCE_ENDED:
        case AP_EVENT_SERVICE_SCALED:
        case AP_EVENT_SERVICE_HELD:
            break;
        default:
            counts[e.kind]++;
        }
    }
    for (uint32_t kind = 0; kind < AP_EVENT_KINDS; kind++) {
        if (counts[kind] == 1) crew_say(crew, "%s %s", when, ap_event_text(kind));
        if (counts[kind] > 1) crew_say(crew, "%s %s, %" PRIu64 " times", when, ap_event_text(kind), counts[kind]);
    }
    return end;
}

static const char *down_why(const struct queen *q)
{
    const struct crew_child *c = q->child;
    if (queen_runs(q)) return c->told ? "it leaves" : q->registered ? "it runs and does not pass, see 'apiary status'" : "starting";
    return *c->why != '\0' && !queen_starts_slowly(q) ? c->why : "starting";
}

/* "; down: a/0 (killed by signal 9, started 3 times), b/0 (...)" */
static char *down_text(const struct up *up)
{
    char *text = tool_strdup("");
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (q->passes) continue;
        const struct crew_child *c = q->child;
        const char *before = *text == '\0' ? "; down: " : ", ";
        const char *awaited = q->waits != NULL ? q->waits : "others";
        char *longer = c->held ? tool_format("%s%s%s (waits for %s)", text, before, c->label, awaited)
                               : tool_format("%s%s%s (%s, started %u time%s)", text, before, c->label, down_why(q), c->starts,
                                             c->starts == 1 ? "" : "s");
        free(text);
        text = longer;
    }
    return text;
}

static void say_figures(struct up *up, const struct figures *now, const struct figures *before, double seconds)
{
    char drained[32] = "", restarts[48] = "";
    uint32_t again = now->starts > up->queen_count ? now->starts - (uint32_t)up->queen_count : 0;
    double rate =
        now->finished >= before->finished && seconds > 0 ? (double)(now->finished - before->finished) / seconds : 0;
    if (now->drained > 0) snprintf(drained, sizeof drained, ", %u drained", now->drained);
    if (again > 0) snprintf(restarts, sizeof restarts, ", %u restart%s", again, again == 1 ? "" : "s");
    char *down = down_text(up);
    char *line = tool_format("%u of %zu instances passing%s, %u queued, %u running, %" PRIu64 " done, %" PRIu64
                             " failed, %.0f tasks/s%s%s",
                             now->passing, up->queen_count, drained, now->queued, now->running, now->done,
                             now->failed, rate, restarts, down);
    char *state = tool_format("STATUS=%u of %zu instances passing%s%s", now->passing, up->queen_count, drained, down);
    if (tool_colours(stderr)) {
        crew_status(up->crew, line);
    } else {
        crew_say(up->crew, "%s", line);
    }
    if (!up->ready) up->ready = tool_notify("READY=1");
    tool_notify(state);
    free(state);
    free(line);
    free(down);
}

struct live {
    bool terminal;
    struct figures before;
    uint64_t next; /* event */
    uint64_t shown_at;
};

void live_turn(struct up *up, uint64_t timeout)
{
    struct live *l = up->live;
    struct figures now;
    crew_turn(up->crew, timeout);
    control_tend(up->control);
    l->next = say_events(up->a->seg, up->crew, l->next);
    uint64_t at = ap_ops_system.now(), passed = at - l->shown_at;
    live_look(up, &now);
    bool changed = memcmp(&now, &l->before, sizeof now) != 0;
    if (passed < EVERY || (!l->terminal && (!changed || passed < PLAIN_EVERY * EVERY))) return;
    say_figures(up, &now, &l->before, (double)passed / 1e9);
    l->before = now;
    l->shown_at = at;
}

void live_run(struct up *up)
{
    struct live l = {.terminal = tool_colours(stderr),
                     .next = ap_load_relaxed(&up->a->seg->header->event_next),
                     .shown_at = ap_ops_system.now()};
    live_look(up, &l.before);
    say_figures(up, &l.before, &l.before, 0);
    up->live = &l;
    change_due(up); /* what was asked for before */
    while (crew_interrupts(up->crew) == 0) {
        live_turn(up, EVERY);
        autoscale_turn(up);
        change_due(up);
    }
    up->live = NULL;
}
