/* tools/apiary_live.c - see apiary_live.h. */
#include "tools/apiary_live.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shm/event.h"

#define EVERY UINT64_C(1000000000)
#define PLAIN_EVERY 10 /* seconds */

struct figures {
    uint32_t passing, registered, queued, running;
    uint64_t finished, failed;
};

static void look(apiary_t *a, struct figures *ret)
{
    apiary_swarm_status_t *rows = NULL;
    *ret = (struct figures){.passing = 0};
    int n = view_status(a, NULL, &rows);
    for (int i = 0; i < n; i++) {
        ret->registered++;
        ret->passing += rows[i].state == APIARY_PASSING;
        ret->queued += rows[i].queued;
        ret->running += rows[i].running;
        ret->finished += rows[i].finished;
        ret->failed += rows[i].failed;
    }
    free(rows);
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
 * tasks and blocks is counted, and who comes and goes as a client is left out. */
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

static void say_figures(struct crew *crew, const struct figures *now, const struct figures *before, double seconds,
                        size_t instances)
{
    char line[200];
    double rate =
        now->finished >= before->finished && seconds > 0 ? (double)(now->finished - before->finished) / seconds : 0;
    snprintf(line, sizeof line,
             "%u of %zu instances passing, %u queued, %u running, %" PRIu64 " done, %" PRIu64 " failed, %.0f tasks/s",
             now->passing, instances, now->queued, now->running, now->finished, now->failed, rate);
    if (tool_colours(stderr)) {
        crew_status(crew, line);
    } else {
        crew_say(crew, "%s", line);
    }
}

void live_run(apiary_t *a, struct crew *crew, size_t instances)
{
    bool terminal = tool_colours(stderr);
    struct figures before, now;
    uint64_t next = ap_load_relaxed(&a->seg->header->event_next);
    uint64_t shown_at = ap_ops_system.now();
    look(a, &before);
    say_figures(crew, &before, &before, 0, instances);
    while (crew_interrupts(crew) == 0) {
        crew_turn(crew, EVERY);
        next = say_events(a->seg, crew, next);
        uint64_t at = ap_ops_system.now();
        look(a, &now);
        uint64_t passed = at - shown_at;
        bool changed = memcmp(&now, &before, sizeof now) != 0;
        if (passed < EVERY || (!terminal && (!changed || passed < PLAIN_EVERY * EVERY))) continue;
        say_figures(crew, &now, &before, (double)passed / 1e9, instances);
        before = now;
        shown_at = at;
    }
}
