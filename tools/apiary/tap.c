/* tools/apiary/tap.c - apiary tap: tasks as they finish, from the records of the last tasks (shm/finished.h). While it runs it says
 * in the segment every half second that somebody taps, so that every task is recorded; what overflows the records is counted.
 */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/apiary/spans.h"
#include "tools/common/finished.h"

#define MS UINT64_C(1000000)
#define AGAIN (500 * MS) /* well before a lease is over */
#define ROUND_MS 5
#define TELL (1000 * MS)
#define SPANS_FILE (UINT64_C(64) << 20)

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

struct tap {
    struct tool *t;
    const struct ap_segment *seg;
    struct finished_tail tail;
    const char *from, *to, *capability;
    uint64_t slower;
    bool failed;
    struct spans spans; /* with --otlp */
    uint64_t most, told, missed; /* missed: as told last */
    uint64_t again, tell;        /* when to say that it taps, and what it missed */
};

/* ---- which, and how ------------------------------------------------------------------------------------------------ */

static bool tap_wants(const struct tap *tap, const struct ap_finished *r)
{
    char text[APIARY_CAPABILITY_MAX + 1], service[APIARY_NAME_MAX + 1];

    if (tap->failed && (r->how == AP_FINISH_DONE || r->how == AP_FINISH_CANCELLED)) return false;
    if (r->finished - r->queued < tap->slower) return false;
    if (tap->from != NULL && strcmp(*finished_caller(tap->seg, r, service) != '\0' ? service : "-", tap->from) != 0) return false;
    if (tap->to != NULL && strcmp(finished_service(tap->seg, r->queue, service), tap->to) != 0) return false;
    return tap->capability == NULL || strcmp(finished_capability(tap->seg, r, text), tap->capability) == 0;
}

static const char *clock_text(uint64_t realtime, char ret[16])
{
    time_t seconds = (time_t)(realtime / 1000000000);
    struct tm at;

    gmtime_r(&seconds, &at);
    snprintf(ret, 16, "%02d:%02d:%02d.%03u", at.tm_hour, at.tm_min, at.tm_sec, (unsigned)(realtime / MS % 1000));
    return ret;
}

/* "failed", "failed with 7", "failed: timed out" */
static void tap_end_text(const struct ap_finished *r, char *ret, size_t size)
{
    int code = -(int)r->code;

    if (code == 0 || r->how == AP_FINISH_CANCELLED) snprintf(ret, size, "%s", ap_finish_text(r->how));
    else if (code == APIARY_EAGENT) snprintf(ret, size, "%s with %" PRIu32, ap_finish_text(r->how), r->agent_code);
    else snprintf(ret, size, "%s: %s", ap_finish_text(r->how), apiary_error_name(code));
}

#define COLUMNS "%-12s %9s %9s %9s %9s  %-20s %-32s %-24s %-20s %s\n"

static void tap_heading(void)
{
    printf(COLUMNS, "UTC", "WAITED", "RAN", "REQUEST", "RESULT", "CALLER", "AGENT", "CAPABILITY", "TASK", "END");
}

static void tap_line(const struct tap *tap, const struct ap_finished *r)
{
    char at[16], waited[32], ran[32] = "-", in[32], out[32], caller[APIARY_NAME_MAX + 1], agent[FINISHED_AGENT], task[48], end[96];
    char capability[APIARY_CAPABILITY_MAX + 1], *what = NULL, *who;

    finished_task(r, task);
    tap_end_text(r, end, sizeof end);
    if (r->started != 0) tool_format_duration(finished_ran(r), ran);
    finished_agent(tap->seg, r->queue, agent);
    who = tool_printable(agent, strlen(agent));
    finished_capability(tap->seg, r, capability);
    what = tool_printable(capability, strlen(capability));
    printf(COLUMNS, clock_text(finished_time(tap->seg, r->finished, true), at), tool_format_duration(finished_waited(r), waited),
           ran, tool_format_bytes(r->body_size, in), tool_format_bytes(r->result_size, out),
           *finished_caller(tap->seg, r, caller) != '\0' ? caller : "-", who, what, task, end);
    free(who);
    free(what);
}

static int tap_tell(struct tap *tap, const struct ap_finished *r)
{
    tap->told++;
    if (tap->t->json) return tool_json_print(finished_json(tap->seg, r, true));
    tap_line(tap, r);
    return TOOL_OK;
}

/* Once a second at most, and at the end. */
static int tap_tell_missed(struct tap *tap, uint64_t now)
{
    if (tap->tail.missed == tap->missed || now < tap->tell) return TOOL_OK;
    tap->missed = tap->tail.missed;
    tap->tell = now + TELL;
    if (tap->t->json && !tap->spans.wanted) return tool_json_print(json_pack("{s:o}", "missed", tool_json_number(tap->missed)));
    tool_warn(tap->t, "%" PRIu64 " tasks so far have come too fast to be told", tap->missed);
    return TOOL_OK;
}

/* ---- rounds -------------------------------------------------------------------------------------------------------- */

/* Those that are wanted are put together at the front. */
static int tap_spans(struct tap *tap, struct ap_finished *all, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n && tap->told < tap->most; i++) {
        if ((all[i].flags & APIARY_TRACE_SAMPLED) == 0 || !tap_wants(tap, &all[i])) continue;
        all[kept++] = all[i];
        tap->told++;
    }
    return spans_write(tap->t, &tap->spans, tap->seg, all, kept);
}

static int tap_round(struct tap *tap)
{
    uint64_t now = tap->seg->ops->now();
    struct ap_finished *all;
    size_t n;
    int rc = TOOL_OK;

    if (now >= tap->again && !tap->spans.wanted) { /* spans are of sampled traces, which are recorded anyway */
        ap_tap(tap->seg, now + AP_TAP_LEASE);
        tap->again = now + AGAIN;
    }
    n = finished_tail_next(tap->seg, &tap->tail, &all);
    if (tap->spans.wanted) {
        rc = tap_spans(tap, all, n);
        free(all);
        return rc == TOOL_OK ? tap_tell_missed(tap, now) : rc;
    }
    for (size_t i = 0; i < n && rc == TOOL_OK && tap->told < tap->most; i++)
        if (tap_wants(tap, &all[i])) rc = tap_tell(tap, &all[i]);
    free(all);
    if (rc == TOOL_OK) rc = tap_tell_missed(tap, now);
    return n > 0 && rc == TOOL_OK ? tool_finish(tap->t, rc) : rc;
}

static int tap_run(struct tap *tap)
{
    const struct sigaction stop = {.sa_handler = on_stop};
    int rc;

    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    finished_tail_begin(tap->seg, &tap->tail);
    if (!tap->spans.wanted) ap_tap(tap->seg, tap->seg->ops->now() + AP_TAP_LEASE);
    if (!tap->t->json && !tap->spans.wanted) tap_heading();
    rc = tool_finish(tap->t, TOOL_OK);
    while (rc == TOOL_OK && !stopped && tap->told < tap->most) {
        if (ap_segment_removed(tap->seg)) {
            rc = tool_fail(tap->t, TOOL_NO_SEGMENT, "%s was removed", tool_segment(tap->t, NULL));
            break;
        }
        rc = tap_round(tap);
        if (tap->told < tap->most && rc == TOOL_OK) poll(NULL, 0, ROUND_MS);
    }
    tap->tell = 0;
    if (rc == TOOL_OK) rc = tap_tell_missed(tap, tap->seg->ops->now());
    finished_tail_end(&tap->tail);
    spans_close(&tap->spans);
    return rc;
}

/* A whole number above 0. */
static bool tap_number(const char *text, uint64_t *ret)
{
    char *end;

    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *ret > 0;
}

static int tap_options(struct tap *tap, const struct tool_usage *usage, const char *slower, const char *count, const char *rotate)
{

    if (slower != NULL && tool_duration(slower, &tap->slower) < 0)
        return tool_usage_error(tap->t, usage, "--slower: '%s' is no time; write 5ms, 2s", slower);
    if (tap->spans.path != NULL && !tap->spans.wanted) return tool_usage_error(tap->t, usage, "--output is for --otlp");
    if (rotate != NULL && tap->spans.path == NULL) return tool_usage_error(tap->t, usage, "--rotate is for --output");
    if (rotate != NULL && !tap_number(rotate, &tap->spans.most))
        return tool_usage_error(tap->t, usage, "--rotate: '%s' is not a number above 0", rotate);
    if (count != NULL && !tap_number(count, &tap->most))
        return tool_usage_error(tap->t, usage, "--count: '%s' is not a number above 0", count);
    return TOOL_OK;
}

int cmd_tap(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "tap",
        .arguments = "",
        .what = "Shows tasks as they finish, until Ctrl-C.",
        .more = "While it runs, every end of a task is recorded in the segment, with the ends of attempts that are tried again.\n"
                "What comes faster than it is read is counted. Needs no coordinator.",
        .json = true,
    };
    const char *slower = NULL, *count = NULL, *rotate = NULL;
    struct tap tap = {.t = t, .most = UINT64_MAX, .spans = {.most = SPANS_FILE}};
    const struct tool_option options[] = {
        {"from", 0, "SERVICE", "only those that this service has asked for; '-': nobody's", &tap.from, NULL},
        {"to", 0, "SERVICE", "only those of this service's agents", &tap.to, NULL},
        {"capability", 0, "NAME", "only those of this capability", &tap.capability, NULL},
        {"slower", 0, "TIME", "only those that took at least so long, from being queued on: 5ms, 2s", &slower, NULL},
        {"failed", 0, NULL, "only those that did not end well, and were not cancelled", NULL, &tap.failed},
        {"otlp", 0, NULL, "spans of sampled traces, as lines of OTLP JSON; nothing else is recorded for that", NULL,
         &tap.spans.wanted},
        {"output", 0, "FILE", "append the spans to it", &tap.spans.path, NULL},
        {"rotate", 0, "BYTES", "with so many the file becomes FILE.1, and another begins [67108864]", &rotate, NULL},
        {"count", 'n', "NUMBER", "end after so many", &count, NULL},
        {.name = NULL},
    };
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = tap_options(&tap, &usage, slower, count, rotate);
    if (rc != TOOL_OK) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    tap.seg = a->seg;
    rc = tap_run(&tap);
    apiary_detach(a);
    return rc;
}
