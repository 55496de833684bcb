/* tools/apiary/check.c - apiary check: what a monitoring system asks for. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "registry/routing/rule_sets.h"
#include "tools/apiary/check.h"
#include "tools/apiary/check_targets.h"
#include "tools/view/index.h"

#define LOOK_EVERY 20 /* ms */
#define OVERDUE UINT64_C(2000000000) /* past its deadline; whoever looks after the host ends a task within 50 ms */

/* ---- a list of complaints ------------------------------------------------------------------------------------- */

enum judgement { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN }; /* exit codes of monitoring plug-ins */

struct report {
    enum judgement worst;
    FILE *out; /* complaints with commas between, into `text` */
    char *text;
    size_t size;
    bool some;
};

static void complaints_begin(struct report *r)
{
    *r = (struct report){.worst = CHECK_OK};
    r->out = tool_or_end(open_memstream(&r->text, &r->size));
}

static void complain(struct report *r, enum judgement j, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void complain(struct report *r, enum judgement j, const char *format, ...)
{
    va_list list;
    if (j > r->worst) r->worst = j;
    if (r->some) fputs(", ", r->out);
    r->some = true;
    va_start(list, format);
    vfprintf(r->out, format, list);
    va_end(list);
}

static int verdict(enum judgement j, const char *text, const char *figures)
{
    static const char *const names[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};
    printf("APIARY %s: %s%s%s\n", names[j], text, *figures != '\0' ? " | " : "", figures);
    return (int)j;
}

/* ---- what is asked for ---------------------------------------------------------------------------------------- */

struct asked {
    const char *segment, *service;  /* service NULL: all */
    const struct ap_deployment *d; /* NULL: what is registered */
};

/* ---- the instances -------------------------------------------------------------------------------------------- */

static bool check_service_passes(const apiary_swarm_status_t *rows, int n, const char *service)
{
    int count;
    const apiary_swarm_status_t *of = view_rows_of(rows, n, service, &count);
    for (int i = 0; i < count; i++)
        if (of[i].state == APIARY_PASSING) return true;
    return false;
}

/* Readers of the line take the text behind a '|' for figures. */
static char *without_bars(char *text)
{
    for (char *c = text; (c = strchr(c, '|')) != NULL;)
        *c = '/';
    return text;
}

char *check_why_not(const apiary_swarm_status_t *s, struct ap_supervised_view *v, bool known)
{
    if (known) supervision_as_seen(s, v);
    char *why = known ? supervision_text(v) : NULL;
    char *ret = without_bars(why != NULL ? tool_format(" (%s)", why) : tool_strdup(""));
    free(why);
    return ret;
}

static void judge_instance(struct report *r, struct view_index *x, const apiary_swarm_status_t *s, bool other_passes)
{
    enum judgement j = other_passes || s->state == APIARY_WARNING || s->state == APIARY_STARTING || s->state == APIARY_PASSING
                           ? CHECK_WARNING
                           : CHECK_CRITICAL;
    char *service = tool_printable(s->service, strlen(s->service));
    char age[32], beat[64] = "", ejected[96] = "", stuck[64] = "";
    if (s->state != APIARY_DOWN && s->beat_age >= BEAT_LATE)
        snprintf(beat, sizeof beat, " (no beat for %s)", tool_format_duration(s->beat_age, age));
    if (s->ejected > 0)
        snprintf(ejected, sizeof ejected, " (%u of %u agents passed over: the tasks fail)", s->ejected, s->agents);
    if (s->stuck > 0)
        snprintf(stuck, sizeof stuck, " (a worker has not gone on for %s)", tool_format_duration(s->stuck, age));
    char *found = s->found[0] != '\0' ? without_bars(tool_format(" (its health check fails: %s)", s->found)) : tool_strdup("");
    struct ap_supervised_view v;
    bool passes = s->state == APIARY_PASSING;
    char *why = passes ? tool_strdup("") : check_why_not(s, &v, view_supervision_of(x, s->service, s->instance, &v));
    const char *mode = s->mode != APIARY_READY ? tool_mode_name((int)s->mode) : "";
    complain(r, j, "%s/%s %s%s%s%s%s%s%s%s", service, s->instance, tool_state_name((int)s->state), *mode != '\0' ? " in " : "",
             mode, beat, stuck, ejected, found, why);
    free(why);
    free(found);
    free(service);
}

/* Instances of the configuration that have not registered: as many as are missing of a service, under the lowest free numbers. The
 * numbers of the others do not matter: a supervisor that has replaced another one continues that one's numbers. Registered
 * instances are judged elsewhere. The first names the segment: it may be another than was thought of. */
static void judge_absent(struct report *r, const struct asked *of, const apiary_swarm_status_t *rows, int n)
{
    bool told = false;
    for (size_t i = 0; i < of->d->swarm_count; i++) {
        const struct ap_deployment_swarm *s = &of->d->swarms[i];
        if (of->service != NULL && strcmp(s->service, of->service) != 0) continue;
        int count;
        const apiary_swarm_status_t *own = view_rows_of(rows, n, s->service, &count);
        uint32_t known = (uint32_t)count;
        for (uint32_t k = 0; known < s->instances; k++) {
            if (view_registered(own, count, k)) continue;
            known++;
            complain(r, check_service_passes(rows, n, s->service) ? CHECK_WARNING : CHECK_CRITICAL, "%s/%u is not registered%s%s",
                     s->service, k, told ? "" : " in ", told ? "" : of->segment);
            told = true;
        }
    }
}

/* ---- the segment: what makes delegations fail, or hang, while each swarm passes --------------------------------- */

static void judge_usage(struct report *r, const struct usage_view *u)
{
    bool room = u->slabs_leased < u->slabs;
    char block[32];
    if (!room)
        complain(r, CHECK_WARNING, "no room for another thread in the task table (%u of %u tasks in use)", u->tasks_used,
                 u->tasks);
    for (uint32_t i = 0; i < u->refused_count; i++)
        complain(r, CHECK_WARNING, "no free payload block of %s", tool_format_bytes(u->refused[i], block));
    if ((!room || u->refused_count > 0) && u->holder_pid != 0)
        complain(r, CHECK_WARNING, "%u result%s not collected, %u of them by pid %" PRId64, u->results,
                 u->results == 1 ? " is" : "s are", u->holder_results, u->holder_pid);
    if (u->left >= AP_SLAB_SLOTS)
        complain(r, CHECK_WARNING, "%u results wait to be collected past their deadlines, %u of them by pid %" PRId64, u->left,
                 u->left_by, u->left_pid);
}

static void complain_share(struct report *r, const struct ap_segment *seg, uint32_t member, const struct ap_share *s,
                           const char *of, uint64_t all)
{
    struct ap_member m;
    /* Where none is free, everybody is refused, and that is told elsewhere. */
    if (s->free == 0 || s->held < ap_share_most(seg, s) || !ap_member_read(seg, member, &m)) return;
    char *name = tool_printable(m.name, strnlen(m.name, sizeof m.name));
    complain(r, CHECK_WARNING, "'%s' (pid %" PRId64 ") holds its share of the %s, %u of %" PRIu64 " (member_share is %u %%)", name,
             m.pid, of, s->held, all, seg->geometry.member_share);
    free(name);
}

/* Results that are refused to be kept, and values of the memory, while there are free blocks. */
static void judge_kept(struct report *r, const struct ap_segment *seg)
{
    for (uint32_t class = 0; class < AP_POOL_CLASSES; class++) {
        struct ap_share s = ap_share_blocks_of(seg, class, AP_SHARE_KEPT);
        char size[32];
        if (s.held == 0 || s.held < ap_share_kept_most(seg, class)) continue;
        complain(r, CHECK_WARNING,
                 "what is kept holds its share of the blocks of %s, %u of %u: further results of that size are not kept, nor "
                 "values of the memory (kept_share is %u %%); 'apiary kept ls'",
                 tool_format_bytes(ap_pool_class_size[class], size), s.held, seg->geometry.pool_blocks[class],
                 seg->geometry.kept_share);
    }
}

/* An instance whose rules find no room is not registered. */
static void judge_rules(struct report *r, const struct ap_segment *seg)
{
    uint32_t used = ap_rules_used(seg), all = (uint32_t)seg->sections[AP_SECTION_RULES].count;
    if (used < all - all / 8) return;
    complain(r, CHECK_WARNING,
             "%u of %u sets of rules are in use: new ones %s refused; let capabilities have the same rules, or raise rule_sets of "
             "meta_registry, which needs a new segment",
             used, all, used == all ? "are" : "will soon be");
}

/* Members that are refused more, while others find room. */
static void judge_shares(struct report *r, const struct ap_segment *seg)
{
    struct ap_share s;
    uint32_t member;
    char of[64], size[32];
    if (seg->geometry.member_share >= 100) return;
    if (ap_share_slabs_most(seg, &member, &s))
        complain_share(r, seg, member, &s, "parts of the task table", seg->sections[AP_SECTION_SLABS].count);
    for (uint32_t class = 0; class < AP_POOL_CLASSES; class++) {
        if (!ap_share_blocks_most(seg, class, &member, &s)) continue;
        snprintf(of, sizeof of, "blocks of %s", tool_format_bytes(ap_pool_class_size[class], size));
        complain_share(r, seg, member, &s, of, seg->geometry.pool_blocks[class]);
    }
}

/* Whether a supervisor lives that would restart instances. */
static void judge_supervisor(struct report *r, const struct ap_segment *seg)
{
    struct ap_supervised_view v;
    if (supervision_lost(seg, &v))
        complain(r, CHECK_WARNING, "'apiary up' (pid %" PRId64 ") has died: services that end are not restarted", v.supervisor);
}

/* The process that is to notice deaths. */
static void judge_monitor(struct report *r, const struct ap_segment *seg)
{
    struct monitor_view m;
    char age[32];
    if (!view_stopped_monitor(seg, &m)) return;
    char *name = tool_printable(m.name, strlen(m.name));
    complain(r, CHECK_WARNING, "the monitor (%s, pid %" PRId64 ") is stopped, %s%s", name, m.pid,
             m.replaced ? "another watches in its stead" : "no process has looked for deaths for ",
             m.replaced ? "" : tool_format_duration(m.age, age));
    free(name);
}

struct lanes_seen {
    uint32_t free, dead, held; /* held: dead, and somebody is at it */
};

static struct lanes_seen look_at_lanes(const struct ap_segment *seg)
{
    struct lanes_seen ret = {0};
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        ret.free += AP_LIFE_STATE(ap_load_acquire(&ap_lane_at(seg, i)->life)) == AP_LIFE_FREE;
        ret.dead += ap_lane_dead(seg, i) != 0;
        ret.held += ap_reap_held(seg, i) != 0;
    }
    return ret;
}

/* A recovery takes a moment: only a dead lane that is still there after several looks has been left unrecovered. */
static void judge_lanes(struct report *r, const struct ap_segment *seg)
{
    struct lanes_seen seen = look_at_lanes(seg);
    for (int tries = 0; tries < 25 && seen.dead + seen.held > 0; tries++) {
        poll(NULL, 0, LOOK_EVERY);
        seen = look_at_lanes(seg);
    }
    if (seen.dead > 0)
        complain(r, CHECK_WARNING, "%u dead thread%s not recovered: no monitor watches this segment", seen.dead,
                 seen.dead == 1 ? " is" : "s are");
    struct monitor_view reaper;
    if (seen.held > 0 && view_reaper(seg, &reaper)) {
        char *name = tool_printable(reaper.name, strlen(reaper.name));
        complain(r, CHECK_WARNING,
                 "the recovery of a dead thread does not finish: its reaper (%s, pid %" PRId64 ") is stopped", name,
                 reaper.pid);
        free(name);
    }
    if (seen.free == 0)
        complain(r, CHECK_WARNING, "no free lane: no other thread can delegate (%u lanes in use)", seg->geometry.lanes);
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Each handle is a member, and one process may have all of them. */
static void judge_members(struct report *r, const struct ap_segment *seg)
{
    uint32_t n = 0, most = 0, run = 0;
    int64_t *pids = tool_alloc(seg->geometry.members * sizeof *pids), holder = 0;
    struct ap_member m;
    for (uint32_t i = 0; i < seg->geometry.members; i++)
        if (ap_member_read(seg, i, &m)) pids[n++] = m.pid;
    qsort(pids, n, sizeof *pids, by_number);
    for (uint32_t i = 0; i < n; i++) {
        run = i > 0 && pids[i] == pids[i - 1] ? run + 1 : 1;
        if (run <= most) continue;
        most = run;
        holder = pids[i];
    }
    if (n == seg->geometry.members)
        complain(r, CHECK_WARNING, "no free member: no other process can attach (%u in use, %u of them by pid %" PRId64 ")", n,
                 most, holder);
    free(pids);
}

/* Tasks that wait where nobody takes them, and those that nobody has ended at their deadline. */
static void judge_tasks(struct report *r, const struct ap_segment *seg)
{
    uint64_t now = seg->ops->now();
    uint32_t stranded = 0, overdue = 0;
    char example[APIARY_CAPABILITY_MAX + 1] = "";
    struct task_view v;
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        if (AP_WORD_STATE(ap_load_relaxed(&ap_slot_at(seg, i)->word)) != AP_TASK_QUEUED || !view_task(seg, i, &v)) continue;
        const struct ap_queue *q = ap_queue_at(seg, v.queue);
        bool closed = q == NULL || AP_QUEUE_STATE(ap_load_acquire(&q->life)) != AP_QUEUE_OPEN; /* QUEUE-A4 pairs QUEUE-R4 */
        if (closed && stranded++ == 0) memcpy(example, v.capability, sizeof example);
        overdue += v.deadline < now && now - v.deadline > OVERDUE;
    }
    if (stranded > 0)
        complain(r, CHECK_WARNING, "%u task%s for an agent that is down (%s)", stranded, stranded == 1 ? " waits" : "s wait",
                 example);
    if (overdue > 0)
        complain(r, CHECK_WARNING, "%u queued task%s past the deadline and not ended", overdue, overdue == 1 ? " is" : "s are");
}

/* The targets of capabilities, as the coordinator judges them. */
static void judge_targets(struct report *r, const struct ap_segment *seg, const char *service)
{
    struct targets_view v;
    check_targets(seg, service, &v);
    if (v.missed != NULL)
        complain(r, v.badly ? CHECK_CRITICAL : CHECK_WARNING, "%s", without_bars(v.missed));
    if (v.none > 0)
        complain(r, CHECK_OK, "no verdict on %u target%s: nothing was asked within five minutes, or no coordinator judges", v.none,
                 v.none == 1 ? "" : "s");
    free(v.missed);
}

/* ---- check ---------------------------------------------------------------------------------------------------- */

static const struct tool_usage check_usage = {
    .command = "check",
    .arguments = "[SERVICE]",
    .what = "Judges the swarms in one line, as plug-ins of monitoring systems do.",
    .more =
        "Exit codes: 0 all instances pass, 1 warning (an instance is not ready, or down while another one of its\n"
        "service passes, or the supervisor has died, or there is no coordinator, or the monitor is stopped, or something\n"
        "of the segment is used up or left lying: the task table, payload blocks of a size, members, lanes, dead threads,\n"
        "a reaper that is stopped, tasks that no agent takes, or a capability misses a target), 2 critical (a service\n"
        "has no passing instance, a capability misses its target_success badly, or there is no segment), 3 unknown\n"
        "(usage, or a service that was never registered).\n"
        "With --config as many instances as it has of each service are to be registered, too.",
    .most = 1,
};

static int check_judge(const apiary_t *a, const struct asked *of, const apiary_swarm_status_t *rows, int n)
{
    struct view_index *x = view_index_take(a->seg);
    struct report r;
    uint64_t queued = 0, running = 0, failed = 0;
    int passing = 0;
    struct usage_view usage;
    complaints_begin(&r);
    for (int i = 0; i < n; i++) {
        queued += rows[i].queued;
        running += rows[i].running;
        failed += rows[i].failed;
        bool passes = rows[i].state == APIARY_PASSING;
        passing += passes;
        if (!passes || rows[i].mode != APIARY_READY)
            judge_instance(&r, x, &rows[i], check_service_passes(rows, n, rows[i].service));
    }
    if (of->d != NULL) judge_absent(&r, of, rows, n);
    view_usage(a->seg, &usage);
    if (view_daemon(a->seg) == 0) complain(&r, CHECK_WARNING, "no coordinator");
    judge_supervisor(&r, a->seg);
    judge_monitor(&r, a->seg);
    judge_usage(&r, &usage);
    judge_shares(&r, a->seg);
    judge_kept(&r, a->seg);
    judge_rules(&r, a->seg);
    judge_members(&r, a->seg);
    judge_lanes(&r, a->seg);
    judge_tasks(&r, a->seg);
    judge_targets(&r, a->seg, of->service);
    char *figures = tool_format("instances=%d passing=%d queued=%" PRIu64 " running=%" PRIu64 " failed=%" PRIu64
                                "c tasks=%u;;;0;%u",
                                n, passing, queued, running, failed, usage.tasks_used, usage.tasks);
    if (fclose(r.out) != 0) tool_or_end(NULL);
    if (r.worst == CHECK_OK) {
        char *note = r.text;
        r.text = tool_format("%d instance%s passing%s%s", passing, passing == 1 ? "" : "s", r.some ? ", " : "", note);
        free(note);
    }
    int rc = verdict(r.worst, r.text, figures);
    free(figures);
    free(r.text);
    view_index_free(x);
    return rc;
}

static int check_nobody(const struct asked *of)
{
    char *text = tool_format("no swarm%s %s registered in %s", of->service != NULL ? " of this service" : "",
                             of->service != NULL ? "was ever" : "is", of->segment);
    int rc = verdict(of->service != NULL ? CHECK_UNKNOWN : CHECK_CRITICAL, text, "");
    free(text);
    return rc;
}

static int check(apiary_t *a, const struct asked *of)
{
    apiary_swarm_status_t *rows = NULL;
    int n = view_instances(a, of->service, &rows), rc;
    bool known = of->d != NULL &&
                 (of->service == NULL ? of->d->swarm_count > 0 : ap_deployment_swarm(of->d, of->service) != NULL);
    if (n < 0) {
        rc = verdict(CHECK_UNKNOWN, apiary_strerror(n), "");
    } else if (n == 0 && !known) {
        rc = check_nobody(of);
    } else {
        rc = check_judge(a, of, rows, n);
    }
    free(rows);
    return rc;
}

int check_choose(const struct tool *t, const char *path, const struct ap_deployment *d, const char **ret)
{
    const char *why;
    return tool_choose_segment(t, path, d != NULL ? d->segment.name : NULL, ret, &why);
}

int cmd_check(struct tool *t, int argc, char **argv)
{
    const char *config = NULL, *phase = NULL, *path = NULL;
    struct asked of = {.service = NULL};
    const struct tool_option options[] = {
        {"config", 'c', "FILE", "all instances of this configuration are to be there", &config, NULL},
        {"phase", 'p', "NAME|N", "with --config: only those of its phases up to this one", &phase, NULL},
        {.name = NULL},
    };
    struct ap_deployment *d = NULL;
    int rc = tool_parse(t, &check_usage, options, &argc, &argv);
    if (rc == TOOL_GO_ON && phase != NULL && config == NULL)
        rc = tool_usage_error(t, &check_usage, "--phase: it goes with --config");
    if (rc == TOOL_GO_ON && config != NULL && apiary_load_phases(t, config, phase, &path, &d) != TOOL_OK) rc = TOOL_USAGE;
    if (rc == TOOL_GO_ON && check_choose(t, path, d, &of.segment) != TOOL_OK) rc = TOOL_USAGE;
    if (rc != TOOL_GO_ON) ap_deployment_free(d);
    if (rc != TOOL_GO_ON) return rc == TOOL_USAGE ? (int)CHECK_UNKNOWN : rc;
    char message[512] = "";
    apiary_attach_options_t attach = {.struct_size = sizeof attach, .kind = APIARY_TOOL, .read_only = 1, .message = message,
                                      .message_size = sizeof message};
    apiary_t *a = NULL;
    rc = apiary_attach(of.segment, &attach, &a);
    if (rc < 0) {
        rc = verdict(CHECK_CRITICAL, *message != '\0' ? message : apiary_strerror(rc), "");
    } else {
        of.service = argc > 0 ? argv[0] : NULL;
        of.d = d;
        rc = check(a, &of);
    }
    apiary_detach(a);
    ap_deployment_free(d);
    return fflush(stdout) == 0 && ferror(stdout) == 0 ? rc : (int)CHECK_UNKNOWN;
}
