/* tools/apiary/services_watch.c - apiary services --watch: who is registered, and then each change. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/apiary/apiary.h"

#define ROUND UINT64_C(1000000000) /* how often it is looked whether the segment is there, and whether to stop */

static volatile sig_atomic_t services_stopped;

static void services_stop(int number)
{
    (void)number;
    services_stopped = 1;
}

bool tool_revision(const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static const char *instance_event_word(uint64_t event)
{
    static const char *const words[] = {
        [APIARY_INSTANCE_PRESENT] = "present", [APIARY_INSTANCE_SYNCED] = "synced", [APIARY_INSTANCE_REGISTERED] = "registered",
        [APIARY_INSTANCE_MODE] = "mode",       [APIARY_INSTANCE_WEIGHT] = "weight", [APIARY_INSTANCE_LEFT] = "left",
        [APIARY_INSTANCE_DIED] = "died",       [APIARY_INSTANCE_BEHIND] = "behind",
    };

    return event < sizeof words / sizeof *words && words[event] != NULL ? words[event] : "?";
}

static json_t *instance_json(const apiary_instance_t *i)
{
    json_t *o = json_object();

    json_object_set_new(o, "service", tool_json_text(i->service));
    json_object_set_new(o, "instance", tool_json_text(i->instance));
    json_object_set_new(o, "registration", json_integer((json_int_t)i->registration));
    json_object_set_new(o, "alive", json_boolean(i->alive != 0));
    json_object_set_new(o, "pid", i->pid != 0 ? json_integer(i->pid) : json_null());
    json_object_set_new(o, "mode", json_string(tool_mode_name((int)i->mode)));
    json_object_set_new(o, "weight", json_integer(i->weight));
    json_object_set_new(o, "version", tool_json_text(i->version));
    json_object_set_new(o, "tags", view_tags_json(i->tags));
    json_object_set_new(o, "port", json_integer(i->port));
    json_object_set_new(o, "max_delegations", json_integer(i->max_delegations));
    json_object_set_new(o, "health_endpoint", view_endpoint_json(i->health_endpoint));
    json_object_set_new(o, "metrics_endpoint", view_endpoint_json(i->metrics_endpoint));
    return o;
}

static int instance_change_print(const struct tool *t, const apiary_instance_change_t *c, const apiary_instance_t *i)
{
    bool is_of_one = c->event != APIARY_INSTANCE_SYNCED && c->event != APIARY_INSTANCE_BEHIND;
    json_t *revision = c->revision != 0 ? json_integer((json_int_t)c->revision) : json_null();

    if (t->json)
        return tool_json_print(json_pack("{s:s, s:o, s:o}", "event", instance_event_word(c->event), "revision", revision,
                                         "instance", is_of_one ? instance_json(i) : json_null()));
    json_decref(revision);
    printf("%-10s", instance_event_word(c->event));
    if (c->revision != 0) printf(" %16" PRIu64, c->revision);
    else printf(" %16s", "-");
    if (is_of_one)
        printf("  %s/%s  %s %u  %s  %s", i->service, i->instance, tool_mode_name((int)i->mode), i->weight,
               i->version[0] != '\0' ? i->version : "-", i->tags[0] != '\0' ? i->tags : "-");
    printf("\n");
    return TOOL_OK;
}

static int services_watch_run(struct tool *t, apiary_t *a, apiary_instance_watch_t *w)
{
    apiary_instance_change_t c = {.struct_size = sizeof c};
    apiary_instance_t instance = {.struct_size = sizeof instance};
    int rc = TOOL_OK;

    while (rc == TOOL_OK && !services_stopped) {
        int r = apiary_instance_next(w, ROUND, &c, &instance);

        if (r < 0) return tool_error(t, r, NULL, "services --watch");
        if (r == 1) rc = instance_change_print(t, &c, &instance);
        if (r == 1 && rc == TOOL_OK) rc = tool_finish(t, TOOL_OK);
        if (r == 0 && ap_segment_removed(a->seg)) return tool_fail(t, TOOL_NO_SEGMENT, "%s was removed", tool_segment(t, NULL));
    }
    return rc;
}

int services_watch(struct tool *t, const apiary_instance_query_t *query, uint64_t revision)
{
    struct sigaction act = {.sa_handler = services_stop};
    apiary_instance_watch_t *w;
    apiary_t *a = NULL;
    int rc = tool_attach(t, tool_segment(t, NULL), false, &a), r;

    if (rc != TOOL_OK) return rc;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    r = apiary_instance_watch(a, query, revision, &w);
    if (r < 0) {
        rc = tool_error(t, r, NULL, "services --watch");
    } else {
        rc = services_watch_run(t, a, w);
        apiary_instance_unwatch(w);
    }
    apiary_detach(a);
    return tool_finish(t, rc);
}
