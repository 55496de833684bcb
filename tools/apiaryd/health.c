/* tools/apiaryd/health.c - the thread that asks the instances whether they are well. See health.h. */
#include "tools/apiaryd/health.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/text.h"
#include "core/thread.h"
#include "tools/common/common.h"

#define MS UINT64_C(1000000)
#define HOLDS 3 /* intervals for which a verdict holds, beside the time of an answer */
#define WITHOUT_MEMORY 100 /* ms */

/* ---- an instance -------------------------------------------------------------------------------------------------- */

static void instance_forget(struct health_instance *in)
{
    endpoint_free(in);
    *in = (struct health_instance){.health = in->health, .swarm = in->swarm};
}

/* The verdict of another coordinator before this one, unless it has ended meanwhile. */
static uint32_t instance_found(const struct ap_segment *seg, const struct ap_swarm *s, char text[AP_FOUND_MAX + 1])
{
    uint32_t found = ap_health_read(s, text);

    if (ap_load_relaxed(&s->health_until) > seg->ops->now()) return found;
    text[0] = '\0';
    return 0;
}

/* This coordinator goes on from that verdict. */
static void instance_begin(struct health_instance *in, const struct ap_swarm *s, uint64_t life)
{
    const struct ap_segment *seg = in->health->a->seg;
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], text[AP_FOUND_MAX + 1];
    char *deaf;
    uint64_t first;
    bool heard = (ap_health_read(s, text) & AP_FOUND_HEARD) != 0; /* which does not end with the verdict */
    uint32_t found = instance_found(seg, s, text);

    instance_forget(in);
    in->life = life;
    in->terms = ap_health_terms(s, in->health->interval);
    in->endpoint = (enum ap_health_found)(found & AP_FOUND_ENDPOINT);
    in->heard = heard;
    in->deaf = (found & AP_FOUND_DEAF) != 0;
    deaf = strstr(text, "agent ");
    if (in->deaf && deaf != NULL) ap_format(in->deaf_why, sizeof in->deaf_why, "%s", deaf);
    if (deaf != NULL && deaf - text >= 2) deaf[-2] = '\0';
    if (in->endpoint == AP_FOUND_FAILING) ap_format(in->why, sizeof in->why, "%s", text);
    first = ap_load_relaxed(&s->up) + in->terms.interval;
    in->due = in->probe_due = first < seg->ops->now() ? seg->ops->now() : first;
    ap_service_name(seg, ap_load_relaxed(&s->service), service);
    ap_text_copy(instance, s->instance, sizeof instance);
    ap_format(in->name, sizeof in->name, "%s/%s", service, instance);
}

void instance_tell(struct health_instance *in)
{
    struct ap_segment *seg = in->health->a->seg;
    uint64_t until = seg->ops->now() + HOLDS * in->terms.interval + in->terms.timeout;
    bool fails = in->endpoint == AP_FOUND_FAILING || (in->endpoint == AP_FOUND_ABSENT && !in->deaf);
    uint32_t found = in->endpoint | (in->deaf ? AP_FOUND_DEAF : 0) | (in->heard ? AP_FOUND_HEARD : 0);
    char text[2 * AP_FOUND_MAX + 3];
    int rc;

    snprintf(text, sizeof text, "%s%s%s", fails ? in->why : "", fails && in->deaf ? "; " : "", in->deaf ? in->deaf_why : "");
    rc = ap_health_tell(seg, in->health->a->anchor->lane.index, in->swarm, in->life, found, text, in->answer, until);

    if (rc == APIARY_ESTALE) instance_forget(in); /* if it is there again, the next look finds it */
}

/* Asked again in parts of the interval while it is not clear. */
static void instance_next(struct health_instance *in)
{
    uint64_t spacing = in->terms.interval, now = in->health->a->seg->ops->now();

    if (in->failures > 0 && in->failures < in->terms.unhealthy_after) spacing /= in->terms.unhealthy_after;
    if (in->successes > 0 && in->endpoint == AP_FOUND_FAILING) spacing /= in->terms.healthy_after;
    in->due = in->begun + spacing;
    if (in->due < now) in->due = now;
}

/* ---- the endpoint ------------------------------------------------------------------------------------------------- */

static void endpoint_say(const struct health_instance *in, enum ap_health_found before)
{
    if (in->endpoint == AP_FOUND_FAILING && before != AP_FOUND_FAILING)
        ap_log(4, "%s: its health endpoint fails, %u times in a row: %s", in->name, in->failures, in->why);
    if (in->endpoint == AP_FOUND_PASSING && before == AP_FOUND_FAILING)
        ap_log(5, "%s: its health endpoint passes again", in->name);
}

static void endpoint_judge(struct health_instance *in, bool passes)
{
    enum ap_health_found before = in->endpoint;

    in->heard = in->heard || passes || in->answer != ANSWER_NOBODY;
    in->failures = passes ? 0 : in->failures + 1;
    in->successes = passes ? in->successes + 1 : 0;
    if (!in->heard) {
        in->endpoint = AP_FOUND_ABSENT;
        in->failures = 0;
    } else if (in->failures >= in->terms.unhealthy_after) {
        in->endpoint = AP_FOUND_FAILING;
    } else if (passes && (before != AP_FOUND_FAILING || in->successes >= in->terms.healthy_after)) {
        in->endpoint = AP_FOUND_PASSING;
    } else if (before == AP_FOUND_ABSENT) {
        in->endpoint = 0;
    }
    endpoint_say(in, before);
    instance_next(in);
    instance_tell(in);
}

/* Nothing is known of the endpoint then: it is asked again when it is due. */
static void endpoint_hindered(struct health_instance *in, const char *why)
{
    endpoint_drop(in);
    if (!in->hindered) ap_log(4, "%s: its health endpoint could not be asked, which is not held against it: %s", in->name, why);
    in->hindered = true;
}

static void endpoint_begin(struct health_instance *in)
{
    const struct ap_swarm *s = ap_swarm_at(in->health->a->seg, in->swarm);
    char url[sizeof s->health_endpoint];

    ap_text_copy(url, s->health_endpoint, sizeof url);
    if (url[0] == '\0') return;
    if (endpoint_ask(in, url) != APIARY_EINVAL) return; /* without memory: in the next round */
    in->endpoint = AP_FOUND_ABSENT;
    ap_format(in->why, sizeof in->why, "cannot be asked: it is not http:// on this machine");
    instance_tell(in);
}

static void endpoints_collect(struct health *h)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct health_instance *in = NULL;
        CURLcode result = message->data.result; /* the message goes with its transfer */

        if (message->msg != CURLMSG_DONE) continue;
        if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&in) != CURLE_OK || in == NULL) continue;
        const char *why = endpoint_hindrance(in, result);
        if (why != NULL) {
            endpoint_hindered(in, why);
            continue;
        }
        in->hindered = false;
        endpoint_judge(in, endpoint_answered(in, result));
    }
}

/* ---- the thread --------------------------------------------------------------------------------------------------- */

/* A registration may say otherwise while it stands. */
static void instance_adjusted(struct health_instance *in, const struct ap_swarm *s, uint64_t now)
{
    uint64_t before = in->terms.interval;

    in->terms = ap_health_terms(s, in->health->interval);
    if (in->terms.interval == before) return;
    if (in->due > now + in->terms.interval) in->due = now + in->terms.interval;
    if (in->probe_due > now + in->terms.interval) in->probe_due = now + in->terms.interval;
}

/* Returns when it is due again. */
static uint64_t instance_look(struct health_instance *in, uint64_t now)
{
    const struct ap_segment *seg = in->health->a->seg;
    const struct ap_swarm *s = ap_swarm_at(seg, in->swarm);
    uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
    bool lives = AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_lane_alive(seg, AP_SWARM_LANE(life)) == 1;
    uint64_t next = UINT64_MAX;

    if (in->life != 0 && (!lives || in->life != life)) instance_forget(in);
    if (!lives) return UINT64_MAX;
    if (in->life == 0) instance_begin(in, s, life);
    else instance_adjusted(in, s, now);
    if (in->probes == 0 && now >= in->probe_due) probes_begin(in, now);
    if (in->probes == 0) next = in->probe_due;
    if (in->asked) return next; /* its transfer has a time of its own */
    if (now >= in->due) {
        in->begun = now;
        in->due = now + in->terms.interval;
        endpoint_begin(in);
        if (in->asked) return now; /* the transfer is to be set going */
    }
    return in->due < next ? in->due : next;
}

static uint64_t health_look(struct health *h)
{
    uint64_t now = h->a->seg->ops->now(), next = now + h->interval;

    for (uint32_t i = 0; i < h->count; i++) {
        uint64_t due = instance_look(&h->all[i], now);
        if (due < next) next = due;
    }
    return h->look < next ? h->look : next;
}

static void *health_main(void *user)
{
    struct health *h = user;

    while (!ap_load_acquire(&h->stop)) {
        uint64_t next, now;
        int running, wait = 0;

        curl_multi_perform(h->multi, &running);
        endpoints_collect(h);
        probes_collect(h, h->a->seg->ops->now());
        next = health_look(h);
        now = h->a->seg->ops->now();
        if (next > now) wait = next - now < INT_MAX * MS ? (int)((next - now + MS - 1) / MS) : INT_MAX;
        if (curl_multi_poll(h->multi, NULL, 0, wait, NULL) != CURLM_OK) poll(NULL, 0, WITHOUT_MEMORY);
    }
    return NULL;
}

static void health_free(struct health *h)
{
    for (uint32_t i = 0; h->all != NULL && i < h->count; i++) endpoint_free(&h->all[i]);
    if (h->multi != NULL) curl_multi_cleanup(h->multi);
    free(h->agents);
    free(h->all);
    free(h);
}

struct health *health_start(apiary_t *a, uint64_t interval, char *why, size_t size)
{
    struct health *h = tool_alloc(sizeof *h);
    CURLcode ready = curl_global_init(CURL_GLOBAL_NOTHING); /* no TLS: plain HTTP on loopback */
    int error;

    *h = (struct health){.a = a, .interval = interval, .count = (uint32_t)a->seg->sections[AP_SECTION_SWARMS].count,
                         .look = UINT64_MAX};
    h->agents = tool_alloc(a->seg->geometry.queues * sizeof *h->agents);
    h->all = tool_alloc(h->count * sizeof *h->all);
    for (uint32_t i = 0; i < h->count; i++) h->all[i] = (struct health_instance){.health = h, .swarm = i};
    h->multi = ready == CURLE_OK ? curl_multi_init() : NULL;
    if (h->multi == NULL) {
        ap_format(why, size, "libcurl: %s", ready != CURLE_OK ? curl_easy_strerror(ready) : "no memory");
        health_free(h);
        return NULL;
    }
    error = ap_thread_start(&h->thread, "apiary-health", health_main, h);
    if (error == 0) return h;
    ap_format(why, size, "%s", strerror(error));
    health_free(h);
    return NULL;
}

void health_stop(struct health *h)
{
    if (h == NULL) return;
    ap_store_release(&h->stop, 1);
    curl_multi_wakeup(h->multi);
    pthread_join(h->thread, NULL);
    health_free(h);
}
