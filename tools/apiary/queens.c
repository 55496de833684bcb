/* tools/apiary/queens.c - the queens of `apiary up`: what they are called, whether they pass, why they do not. */
#include "tools/apiary/up.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/deployment/deployment_diff.h"
#include "shm/event.h"
#include "tools/apiary/autoscale.h"
#include "tools/apiary/control.h"
#include "tools/apiary/former.h"
#include "tools/apiary/live.h"
#include "tools/apiary/order.h"

#define TURN UINT64_C(20000000)
#define AFTER_DRAIN UINT64_C(2000000000) /* for a queen to give up those that have not drained */
#define GAP UINT64_C(3000000000) /* between two looks: this process, or the whole machine, was stopped. See end_stuck */
#define RUNS UINT64_C(5000000000) /* a process that ended before, and has lived so long, is not about to end again */
#define STUCK UINT64_C(10000000000) /* within one task: from here on a queen says "critical" herself */
#define KEEPS_ENDING 5 /* ends in a row after which a service that never passed is not waited for */

enum { ARGUMENT_INSTANCE = 4 }; /* in the list below */

static char **queens_arguments(const struct up *up, const char *service)
{
    char drain[32];
    snprintf(drain, sizeof drain, "%lluns", (unsigned long long)up->drain);
    const char *const list[] = {"apiary",  "queen",     service,     "--instance", "",        "--stdin",     "--config",
                                up->path,  "--segment", up->segment, "--drain",    drain,     "--log-level", up->level,
                                "--wait=10s", "--changes", up->state != NULL ? "--state" : NULL, up->state, NULL};
    char **ret = tool_alloc(sizeof list + 4 * sizeof *list); /* and what queens_option adds */
    for (size_t i = 0; list[i] != NULL; i++)
        ret[i] = tool_strdup(list[i]);
    return ret;
}

/* One that may be another at each start. Takes over the value; NULL: it is left out. */
static void queens_option(const struct queen *q, const char *name, char *value)
{
    char **at = q->child->argv;
    while (*at != NULL && strcmp(*at, name) != 0) at++;
    if (*at != NULL) {
        free(at[0]);
        free(at[1]);
        while ((at[0] = at[2]) != NULL) at++;
    }
    while (*at != NULL) at++;
    at[0] = value != NULL ? tool_strdup(name) : NULL;
    at[1] = value;
    at[2] = NULL;
}

/* An operator's numbers of replicas go to the queen beside the text. */
static void queens_replicas(const struct up *up, const struct queen *q)
{
    char *list = config_scales_of(up->config.now.scales, q->swarm->service);
    bool any = *list != '\0';
    queens_option(q, "--replicas", any ? list : NULL);
    if (!any) free(list);
}

/* ---- what is said of them in the segment ---------------------------------------------------------------------- */

static enum ap_child_state state_of(const struct queen *q)
{
    const struct crew_child *c = q->child;
    if (c->pid != 0 && c->told) return AP_CHILD_LEAVING;
    if (c->pid != 0) return q->passes ? AP_CHILD_PASSING : q->registered ? AP_CHILD_RUNNING : AP_CHILD_STARTING;
    if (c->told) return AP_CHILD_STOPPED;
    if (c->held) return AP_CHILD_HELD;
    if (!c->wanted) return AP_CHILD_GIVEN_UP;
    return c->ends == 0 ? AP_CHILD_STARTING : AP_CHILD_WAITING;
}

/* Before it was given a name: that of its place. */
uint32_t queen_instance(const struct queen *q)
{
    const char *name = q->child->argv[ARGUMENT_INSTANCE];
    return *name != '\0' ? (uint32_t)strtoul(name, NULL, 10) : q->number;
}

static void queens_describe(const struct queen *q, struct ap_supervision *ret)
{
    const struct crew_child *c = q->child;
    *ret = (struct ap_supervision){.state = state_of(q),
                                   .instance = queen_instance(q),
                                   .starts = c->starts,
                                   .ends = c->ends,
                                   .end = c->end,
                                   .code = c->code,
                                   .stage = c->stage,
                                   .pid = c->pid,
                                   .ended = c->ended};
    ret->due = ret->state == AP_CHILD_WAITING ? c->due : 0;
    ret->changed = q->shown && q->last.state == ret->state ? q->last.changed : ap_ops_system.realtime();
    const char *said = ret->state != AP_CHILD_HELD ? c->words : q->waits != NULL ? q->waits : "";
    ap_supervision_said(ret, said, strlen(said));
}

/* In the event log: how a process has ended, and its last words. */
static void queens_enter(struct up *up, const struct queen *q, const struct ap_supervision *now)
{
    ap_event_log_more(up->a->seg, AP_EVENT_INSTANCE_ENDED, up->a->anchor->lane.index, q->row, (uint64_t)now->end << 32 | now->code,
                      (uint64_t)q->last.pid, now->said, strnlen(now->said, sizeof now->said));
}

void queens_tell(void *user, struct crew_child *child)
{
    struct up *up = user;
    struct queen *q = child->user;
    struct ap_supervision now;
    if (q == NULL || up->a == NULL) return;
    if (child->pid == 0) q->passes = q->registered = false;
    queens_describe(q, &now);
    if (q->shown && memcmp(&now, &q->last, sizeof now) == 0) return;
    if (q->shown) {
        ap_supervised_write(up->a->seg, q->row, &now);
    } else {
        int rc = ap_supervised_take(up->a->seg, up->a->anchor->lane.index, getpid(), q->swarm->service, &now, &q->row);
        q->shown = rc == 0;
        if (!q->shown && !up->hidden)
            crew_say(up->crew, "apiary: up: 'apiary status' will not say why %s is down: %s", child->label, apiary_strerror(rc));
        up->hidden = up->hidden || !q->shown;
    }
    if (q->shown && now.end != AP_END_NONE && now.ended != q->last.ended) queens_enter(up, q, &now);
    q->last = now;
}

/* ---- the processes -------------------------------------------------------------------------------------------- */

struct queen *queens_new(struct up *up, const struct ap_deployment_swarm *swarm, uint32_t number)
{
    struct queen *q = tool_alloc(sizeof *q);
    char *label = tool_format("%s/%u", swarm->service, number);
    *q = (struct queen){.swarm = swarm, .number = number};
    q->child = crew_add(up->crew, label, "/proc/self/exe", queens_arguments(up, swarm->service), swarm->restart);
    q->child->user = q;
    q->child->wired = true;
    up->queens = tool_realloc(up->queens, (up->queen_count + 1) * sizeof(struct queen *));
    up->queens[up->queen_count++] = q;
    order_hold(up, q);
    free(label);
    return q;
}

void queens_remove(struct up *up, struct queen *q)
{
    former_removed(up, q);
    if (q->shown) ap_supervised_release(up->a->seg, up->a->anchor->lane.index, q->row);
    for (size_t i = 0; i < up->queen_count; i++) {
        if (up->queens[i] != q) continue;
        memmove(&up->queens[i], &up->queens[i + 1], (--up->queen_count - i) * sizeof(struct queen *));
        break;
    }
    crew_remove(up->crew, q->child);
    free(q->waits);
    free(q);
}

void queens_free(struct up *up)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        free(up->queens[i]->waits);
        free(up->queens[i]);
    }
    free(up->queens);
}

void queens_add(struct up *up)
{
    up->first_queen = crew_count(up->crew);
    autoscale_adopt(up);
    for (size_t i = 0; i < up->d->swarm_count; i++) {
        for (uint32_t k = 0; k < up->d->swarms[i].instances; k++)
            queens_new(up, &up->d->swarms[i], k);
    }
    former_note(up);
    ap_supervised_forget(up->a->seg);
    order_start(up);
    for (size_t i = 0; i < up->queen_count; i++)
        queens_tell(up, up->queens[i]->child);
}

/* Whether somebody else who lives is this instance, or is about to be. */
static bool taken(const struct up *up, const struct queen *of, const char *instance)
{
    const char *service = of->swarm->service;
    struct swarm_view v;
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (q != of && q->child->pid != 0 && strcmp(q->swarm->service, service) == 0 &&
            strcmp(q->child->argv[ARGUMENT_INSTANCE], instance) == 0)
            return true;
    }
    for (uint32_t i = 0; ap_swarm_at(up->a->seg, i) != NULL; i++) {
        if (view_swarm(up->a->seg, i, &v) && v.alive && strcmp(v.service, service) == 0 &&
            strcmp(v.instance, instance) == 0)
            return true;
    }
    return false;
}

/* The name that it had unless a queen of another supervisor still works under it: then the next one that no
 * sister can have. Under the first name again it would leave the record of its last one behind, which would be down for ever. */
static void name_instance(const struct up *up, const struct queen *q)
{
    uint32_t number = queen_instance(q);
    char *name = tool_format("%u", number);
    while (taken(up, q, name)) {
        free(name);
        number += q->swarm->instances;
        name = tool_format("%u", number);
    }
    free(q->child->argv[ARGUMENT_INSTANCE]);
    q->child->argv[ARGUMENT_INSTANCE] = name;
    free(q->child->label);
    q->child->label = tool_format("%s/%s", q->swarm->service, name);
}

bool queens_prepare(void *user, struct crew_child *child)
{
    struct up *up = user;
    struct queen *q = child->user;
    if (child == up->config.judge) return true;
    config_give(&up->config, child);
    if (q == NULL) return true;
    if (ap_deployment_fingerprint(q->swarm, AP_EFFECT_RESTART, &q->runs) < 0) return false;
    if (ap_deployment_fingerprint(q->swarm, AP_EFFECT_ADJUST, &q->says) < 0) return false;
    q->unsure = false;
    name_instance(up, q);
    queens_replicas(up, q);
    uint32_t former = 0;
    queens_option(q, "--heir-of", former_heir_of(up, q, &former) ? tool_format("%u", former) : NULL);
    return true;
}

/* An agent may have made another program of its queen: the same process, which would keep the place for as long as it runs. The
 * program of a queen is known from one that serves (an emulator's, where one runs them). */
static void end_stranger(struct up *up, const struct queen *q)
{
    char path[32];
    struct stat program;
    pid_t pid = q->child->pid;
    if (pid == 0 || (q->registered && up->program != 0)) return;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (stat(path, &program) < 0) return;
    if (q->registered) {
        up->program = program.st_ino;
        up->program_device = program.st_dev;
    } else if (up->program != 0 && (up->program != program.st_ino || up->program_device != program.st_dev)) {
        crew_say(up->crew, "apiary: %s: pid %d has become another program; it is killed", q->child->label, (int)pid);
        kill(pid, SIGKILL);
    }
}

static uint32_t swarm_of(const struct up *up, const apiary_swarm_status_t *row)
{
    struct swarm_view v;
    for (uint32_t i = 0; ap_swarm_at(up->a->seg, i) != NULL; i++)
        if (view_swarm(up->a->seg, i, &v) && strcmp(v.service, row->service) == 0 && strcmp(v.instance, row->instance) == 0)
            return i;
    return AP_NO_SWARM;
}

/* Alive, and a worker of it, or all of it, has not gone on for as long as the configuration has patience. After a gap it has that
 * time anew: queens that were stopped with this process, by a pause of the machine, have all the ages of stuck ones.
 * A pause that is shorter than a gap makes nobody as old as that: restart_stuck is at least a gap and a beat. */
static void end_stuck(struct up *up, const struct queen *q, const apiary_swarm_status_t *row)
{
    uint64_t stuck = row->stuck > row->beat_age ? row->stuck : row->beat_age;
    char age[32];
    if (q->swarm->restart_stuck == 0 || stuck < q->swarm->restart_stuck) return;
    if (up->looked - up->resumed < q->swarm->restart_stuck) return;
    if (q->child->told || q->child->restarting || row->state == APIARY_DOWN) return;
    crew_say(up->crew, "apiary: %s: pid %d is stuck, %s has not gone on for %s; it is restarted", q->child->label,
             (int)q->child->pid, row->stuck >= row->beat_age ? "a worker" : "its queen", tool_format_duration(stuck, age));
    ap_event_log(up->a->seg, AP_EVENT_SWARM_STUCK, up->a->anchor->lane.index, swarm_of(up, row), stuck);
    crew_restart(q->child, up->drain + AFTER_DRAIN);
}

/* A worker that is within a task for a while does not pass, and is at work. */
static bool queen_works(const struct queen *q, const apiary_swarm_status_t *row)
{
    uint64_t most = q->swarm->restart_stuck != 0 ? q->swarm->restart_stuck : STUCK;
    bool at_fault = row->state == APIARY_CRITICAL && row->stuck == 0; /* it has lost a worker, say */
    return !at_fault && row->ejected == 0 && row->found[0] == '\0' && row->beat_age < BEAT_LATE && row->stuck < most;
}

bool queens_look(struct up *up)
{
    apiary_swarm_status_t *rows = NULL;
    uint64_t now = ap_ops_system.now();
    if (now - up->looked >= GAP) up->resumed = now;
    up->looked = now;
    int count = view_status(up->a, NULL, &rows);
    size_t good = 0;
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        q->passes = q->drained = q->registered = q->works = q->away = false;
        q->queued = q->running = 0;
        for (int k = 0; k < count && q->child->pid != 0; k++) {
            if (rows[k].pid != q->child->pid) continue;
            end_stuck(up, q, &rows[k]);
            q->queued = rows[k].queued;
            q->running = rows[k].running;
            q->registered = rows[k].state != APIARY_STARTING && rows[k].state != APIARY_DOWN;
            q->works = q->registered && queen_works(q, &rows[k]);
            q->away = rows[k].mode != APIARY_READY;
            if (rows[k].state != APIARY_PASSING) continue;
            q->passes = true;
            q->drained = rows[k].mode != APIARY_READY;
        }
        q->passed = q->passed || q->passes;
        good += q->passes;
        end_stranger(up, q);
    }
    free(rows);
    order_look(up);
    for (size_t i = 0; i < up->queen_count; i++)
        queens_tell(up, up->queens[i]->child);
    former_look(up);
    return good == up->queen_count;
}

bool queen_runs(const struct queen *q)
{
    const struct crew_child *c = q->child;
    return c->pid != 0 && (c->ends == 0 || (q->registered && ap_ops_system.now() - c->started >= RUNS));
}

bool queen_starts_slowly(const struct queen *q)
{
    const struct crew_child *c = q->child;
    return c->pid != 0 && !q->registered && ap_ops_system.now() - c->started >= RUNS;
}

char *queen_trouble(const struct queen *q)
{
    const struct crew_child *c = q->child;
    char age[32];
    if (c->held) return tool_format("%s waits for %s", c->label, q->waits != NULL ? q->waits : "others");
    if (q->passes || *c->why == '\0' || queen_runs(q)) return NULL;
    const char *said = *c->words != '\0' ? "; it said: " : "", *times = c->starts == 1 ? "" : "s";
    if (!queen_starts_slowly(q))
        return tool_format("%s is down: %s, started %u time%s%s%s", c->label, c->why, c->starts, times, said, c->words);
    return tool_format("%s has been starting for %s, started %u time%s; before that it was down: %s%s%s", c->label,
                       tool_format_duration(ap_ops_system.now() - c->started, age), c->starts, times, c->why, said, c->words);
}

int up_wait(struct up *up, uint64_t limit, bool (*done)(struct up *))
{
    uint64_t now = ap_ops_system.now(), until = limit < UINT64_MAX - now ? now + limit : UINT64_MAX;
    while (!done(up)) {
        if (crew_interrupts(up->crew) > 0) return TOOL_FAILED;
        if (ap_ops_system.now() >= until) return TOOL_TIMEOUT;
        if (up->live != NULL) live_turn(up, TURN);
        else crew_turn(up->crew, TURN);
        control_tend(up->control);
    }
    return TOOL_OK;
}

/* A configuration that is refused does not heal while somebody waits for it. */
bool queen_hopeless(const struct queen *q)
{
    const struct crew_child *c = q->child;
    if (q->passed) return false;
    return !c->wanted || c->ends >= KEEPS_ENDING || (c->ends > 0 && c->last_exit == TOOL_CONFIG);
}

static bool settled(struct up *up)
{
    bool all = true, none_left = true;
    queens_look(up);
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (up->once && queen_hopeless(q)) return true;
        all = all && q->passes;
        none_left = none_left && (q->passes || queen_hopeless(q) || order_gives_up(up, q));
    }
    return all || none_left;
}

/* Names the culprits: instances that cannot start, or else those that took too long. */
static int say_missing(struct up *up)
{
    bool some = false;
    int rc = TOOL_FAILED;
    for (size_t i = 0; i < up->queen_count; i++)
        some = some || (!up->queens[i]->passes && queen_hopeless(up->queens[i]));
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (q->passes || (some && up->once && !queen_hopeless(q))) continue;
        if (queen_hopeless(q) && q->child->last_exit > 0 && q->child->last_exit < 128) rc = q->child->last_exit;
        char *why = queen_trouble(q);
        if (q->child->held)
            crew_say(up->crew, "apiary: up: %s; it is started when that passes", why);
        else
            crew_say(up->crew, "apiary: up: %s%s; its messages are above, or run 'apiary queen %s -c %s'",
                     why != NULL ? why : q->child->label, why != NULL ? "" : " does not pass yet", q->swarm->service,
                     up->path);
        free(why);
    }
    return some ? rc : TOOL_TIMEOUT;
}

int queens_wait(struct up *up)
{
    int rc;
    uint32_t phase;
    do { /* each phase has its time */
        phase = up->phase_begun;
        rc = up_wait(up, up->wait, settled);
    } while (rc == TOOL_TIMEOUT && up->phase_begun != phase);
    if (crew_interrupts(up->crew) > 0) return TOOL_FAILED;
    if (rc == TOOL_OK && queens_look(up)) return TOOL_OK;
    return say_missing(up);
}
