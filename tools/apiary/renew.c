/* tools/apiary/renew.c - see renew.h. */
#include "tools/apiary/renew.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/deployment/deployment_diff.h"
#include "shm/event.h"
#include "tools/apiary/former.h"
#include "tools/common/wire.h"

#define KILL_AFTER UINT64_C(2000000000) /* the time to finish tasks is over */

void renew_note(struct change *c, json_t *list, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = tool_vformat(format, args);
    va_end(args);
    crew_say(c->up->crew, "apiary: up: %s", text);
    json_array_append_new(list, tool_json_text(text));
    free(text);
}

bool renew_broken_off(const struct change *c)
{
    return crew_interrupts(c->up->crew) > 0;
}

void renew_event(const struct change *c, uint32_t kind, const char *service)
{
    struct ap_segment *seg = c->up->a->seg;
    int row = ap_service_find(seg, service);
    if (row >= 0) ap_event_log(seg, kind, c->up->a->anchor->lane.index, (uint64_t)row, c->up->config.revision);
}

/* ---- one instance --------------------------------------------------------------------------------------------- */

static bool renew_settled(struct up *up)
{
    queens_look(up);
    const struct queen *q = up->watched;
    return q->passes || queen_hopeless(q) || (q->child->held && q->lost);
}

bool renew_await_until(struct change *c, struct queen *q, uint64_t until)
{
    uint64_t now = ap_ops_system.now();
    c->up->watched = q;
    int rc = up_wait(c->up, until > now ? until - now : 0, renew_settled);
    return rc != TOOL_FAILED && q->passes;
}

uint64_t renew_until(const struct change *c)
{
    uint64_t now = ap_ops_system.now();
    return c->up->wait < UINT64_MAX - now ? now + c->up->wait : UINT64_MAX;
}

static bool renew_await(struct change *c, struct queen *q)
{
    return renew_await_until(c, q, renew_until(c));
}

static bool renew_gone(struct up *up)
{
    const struct crew_child *child = up->watched->child;
    if (child->pid == 0) return true;
    if (ap_ops_system.now() < up->until) return false;
    kill(child->pid, SIGKILL);
    up->until = UINT64_MAX;
    return false;
}

/* One that was dismissed has ended; false: this process is told to end, too. */
static bool renew_see_off(struct change *c, struct queen *q)
{
    struct up *up = c->up;
    up->watched = q;
    up->until = ap_ops_system.now() + up->drain + KILL_AFTER;
    return up_wait(up, UINT64_MAX, renew_gone) == TOOL_OK;
}

static void renew_dismiss(struct change *c, struct queen *q)
{
    q->leaves = true;
    crew_dismiss(c->up->crew, q->child);
}

static bool renew_remove(struct change *c, struct queen *q)
{
    if (!renew_see_off(c, q)) return false;
    queens_remove(c->up, q);
    return true;
}

void renew_complain(struct change *c, const struct queen *q, const char *then)
{
    char text[32], *why = queen_trouble(q);
    if (q->child->held) then = "it is started when that passes";
    if (why != NULL) renew_note(c, c->failed, "%s; %s", why, then);
    else renew_note(c, c->failed, "%s does not pass within %s; %s", q->child->label, tool_format_duration(c->up->wait, text), then);
    free(why);
}

static bool renew_beside(struct change *c, struct queen *q)
{
    struct queen *next = queens_new(c->up, q->swarm, q->number);
    next->follows = queen_instance(q) + 1;
    if (renew_await(c, next)) {
        next->follows = 0;
        former_hand_on(c->up->a->seg, q->child->pid, next->child->pid); /* what an operator has said is of the place */
        char *old = tool_strdup(q->child->label);
        renew_dismiss(c, q);
        bool gone = renew_remove(c, q);
        if (gone) renew_note(c, c->done, "%s has taken the place of %s", next->child->label, old);
        free(old);
        return gone;
    }
    if (renew_broken_off(c)) return false;
    renew_complain(c, next, "the old one stays"); /* before it is told to end, which would be the reason then */
    renew_dismiss(c, next);
    (void)renew_remove(c, next);
    return false;
}

static bool renew_in_place(struct change *c, struct queen *q)
{
    crew_dismiss(c->up->crew, q->child);
    if (!renew_see_off(c, q)) return false;
    q->passed = q->passes = false;
    q->since = ap_ops_system.now();
    crew_again(c->up->crew, q->child);
    if (renew_await(c, q)) {
        renew_note(c, c->done, "%s is started again", q->child->label);
        return true;
    }
    if (!renew_broken_off(c)) renew_complain(c, q, "it is tried again and again");
    return false;
}

/* ---- the instances of a service ------------------------------------------------------------------------------- */

/* Those that are not about to leave; the list is to be freed. */
static size_t renew_instances(const struct up *up, const char *service, struct queen ***ret)
{
    size_t n = 0;
    *ret = tool_alloc((up->queen_count + 1) * sizeof(struct queen *));
    for (size_t i = 0; i < up->queen_count; i++) {
        if (!up->queens[i]->leaves && strcmp(up->queens[i]->swarm->service, service) == 0) (*ret)[n++] = up->queens[i];
    }
    return n;
}

bool renew_is_stale(const struct queen *q)
{
    uint64_t wanted = 0;
    return ap_deployment_fingerprint(q->swarm, AP_EFFECT_RESTART, &wanted) < 0 || q->runs != wanted;
}

/* ---- as it runs ----------------------------------------------------------------------------------------------- */

bool renew_is_unlike(const struct queen *q)
{
    uint64_t wanted = 0;
    if (renew_is_stale(q)) return false;
    return q->unsure || ap_deployment_fingerprint(q->swarm, AP_EFFECT_ADJUST, &wanted) < 0 || q->says != wanted;
}

/* The process that was told has ended: nothing more is to come, and the next one was started with the text in force. */
static bool renew_ended(const struct queen *q)
{
    return q->child->pid == 0 || q->child->starts != q->told;
}

static bool renew_heard(struct up *up)
{
    const struct queen *q = up->watched;
    if (renew_ended(q)) return true;
    up->heard = wire_answered(q->child->wire, q->asked, up->heard_text, sizeof up->heard_text);
    return up->heard != 0;
}

/* Whether an answer is to be waited for. */
static bool renew_tell(struct change *c, struct queen *q)
{
    if (q->child->pid == 0) return false;
    int fd = wire_file("configuration", c->up->config.now.text, c->up->config.now.size);
    if (fd < 0) renew_note(c, c->failed, "%s cannot be told: %s", q->child->label, strerror(errno));
    if (fd < 0) return false;
    bool sent = wire_send(q->child->wire, fd, ++q->asked);
    close(fd);
    q->told = q->child->starts;
    q->sure = !q->unsure;
    if (sent) q->unsure = true;
    else renew_note(c, c->failed, "%s cannot be told; it is ending, or does not read what it was told before", q->child->label);
    return sent;
}

/* Nothing is said of one that ends meanwhile. */
static void renew_hear(struct change *c, struct queen *q, uint64_t until)
{
    struct up *up = c->up;
    char text[32];
    uint64_t wanted = 0, now = ap_ops_system.now();
    up->watched = q;
    up->heard = 0;
    int rc = up_wait(up, until > now ? until - now : 0, renew_heard);
    if (rc == TOOL_FAILED || renew_ended(q)) return;
    if (up->heard == 1 && *up->heard_text == '\0' && ap_deployment_fingerprint(q->swarm, AP_EFFECT_ADJUST, &wanted) == 0) {
        q->says = wanted;
        q->unsure = false;
        q->adjusted = true;
        renew_note(c, c->done, "%s has taken it over as it runs", q->child->label);
        return;
    }
    if (up->heard == 1 && *up->heard_text != '\0' && q->sure) q->unsure = false; /* it says what it said before */
    if (up->heard == 1) renew_note(c, c->failed, "%s has not taken it over: %s", q->child->label, up->heard_text);
    else if (rc == TOOL_TIMEOUT)
        renew_note(c, c->failed, "%s has not taken it over within %s", q->child->label, tool_format_duration(up->wait, text));
    else renew_note(c, c->failed, "%s has not said whether it has taken it over; it is ending", q->child->label);
}

void renew_adjust(struct change *c)
{
    struct up *up = c->up;
    for (size_t i = 0; i < up->queen_count; i++) {
        struct queen *q = up->queens[i];
        bool stays = !q->leaves && ap_deployment_swarm(up->d, q->swarm->service) != NULL;
        q->adjusted = false;
        q->awaited = stays && renew_is_unlike(q) && renew_tell(c, q);
    }
    uint64_t until = renew_until(c);
    for (size_t i = 0; i < up->queen_count && !renew_broken_off(c); i++) {
        if (up->queens[i]->awaited) renew_hear(c, up->queens[i], until);
    }
}

/* ---- restarted ------------------------------------------------------------------------------------------------ */

static bool renew_starts_first(const struct queen *q, bool rolling)
{
    if (!q->passes || q->drained) return false;
    if (rolling || q->swarm->update == AP_UPDATE_START_FIRST) return true;
    return q->swarm->update == AP_UPDATE_BY_COUNT && q->swarm->instances > 1;
}

static bool renew_one(struct change *c, struct queen *q, bool rolling)
{
    bool begun = q->stale && !renew_is_stale(q); /* it has ended by itself meanwhile, and was started with the new text */
    q->stale = false;
    if (q->child->held && q->child->pid == 0) { /* nothing runs that could be restarted; who asks need not wait to be told so */
        renew_complain(c, q, "");
        return false;
    }
    if (!begun) return renew_starts_first(q, rolling) ? renew_beside(c, q) : renew_in_place(c, q);
    bool passes = renew_await(c, q);
    if (passes) renew_note(c, c->done, "%s is started again", q->child->label);
    else if (!renew_broken_off(c)) renew_complain(c, q, "it is tried again and again");
    return passes;
}

bool renew_service(struct change *c, const char *service, bool rolling, bool stale_only)
{
    struct queen **list;
    size_t n = renew_instances(c->up, service, &list);
    bool all = true;
    queens_look(c->up);
    for (size_t i = 0; i < n && all; i++) {
        if (!stale_only) list[i]->stale = false; /* a change that failed has left it: what is asked for now is another process */
        if (!stale_only || list[i]->stale) all = renew_one(c, list[i], rolling);
    }
    free(list);
    return all;
}

static bool renew_has(const struct up *up, const char *service, uint32_t number)
{
    for (size_t i = 0; i < up->queen_count; i++) {
        const struct queen *q = up->queens[i];
        if (!q->leaves && q->number == number && strcmp(q->swarm->service, service) == 0) return true;
    }
    return false;
}

void renew_add(struct change *c, const struct ap_deployment_swarm *s)
{
    struct up *up = c->up;
    for (uint32_t k = 0; k < s->instances; k++) {
        if (renew_has(up, s->service, k)) continue;
        struct queen *q = queens_new(up, s, k);
        q->fresh = true;
        queens_tell(up, q->child);
    }
}

void renew_await_added(struct change *c)
{
    struct up *up = c->up;
    uint64_t until = renew_until(c);
    for (size_t i = 0; i < up->queen_count && !renew_broken_off(c); i++) {
        struct queen *q = up->queens[i];
        if (q->fresh && renew_await_until(c, q, until)) renew_note(c, c->done, "%s is started", q->child->label);
    }
}

void renew_finish(struct change *c)
{
    for (size_t i = c->up->queen_count; i-- > 0 && !renew_broken_off(c);) {
        struct queen *q = c->up->queens[i];
        if (q->leaves && q->child->told && !renew_remove(c, q)) return;
    }
}

void renew_shrink(struct change *c, const char *service, uint32_t wanted)
{
    struct queen **list;
    size_t n = renew_instances(c->up, service, &list);
    for (size_t i = 0; i < n; i++) {
        if (list[i]->number >= wanted) renew_dismiss(c, list[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (!list[i]->leaves) continue;
        char *label = tool_strdup(list[i]->child->label);
        bool gone = renew_remove(c, list[i]);
        if (gone) renew_note(c, c->done, "%s has left", label);
        free(label);
        if (!gone) break;
    }
    free(list);
}
