/* tools/apiary/memory_watch.c - apiary memory watch: the keys that there are, and then each change of them. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/apiary/memory.h"

#define ROUND UINT64_C(1000000000) /* how often it is looked whether the segment is there, and whether to stop */

static volatile sig_atomic_t watch_stopped;

static void watch_stop(int number)
{
    (void)number;
    watch_stopped = 1;
}

static const char *event_word(uint64_t event)
{
    static const char *const words[] = {
        [APIARY_MEMORY_PRESENT] = "present", [APIARY_MEMORY_SYNCED] = "synced",   [APIARY_MEMORY_PUT] = "put",
        [APIARY_MEMORY_DELETED] = "deleted", [APIARY_MEMORY_EXPIRED] = "expired", [APIARY_MEMORY_BEHIND] = "behind",
    };

    return event < sizeof words / sizeof *words && words[event] != NULL ? words[event] : "?";
}

static int change_print(struct tool *t, const apiary_memory_change_t *c)
{
    bool of_key = c->event != APIARY_MEMORY_SYNCED && c->event != APIARY_MEMORY_BEHIND;
    bool of_value = c->event == APIARY_MEMORY_PRESENT || c->event == APIARY_MEMORY_PUT;
    char *shown;

    if (t->json)
        return tool_json_print(json_pack("{s:s, s:o, s:o, s:o, s:o}", "event", event_word(c->event), "key",
                                         of_key ? tool_json_text(c->key) : json_null(), "revision",
                                         c->revision != 0 ? json_integer((json_int_t)c->revision) : json_null(), "version",
                                         of_key ? json_integer((json_int_t)c->version) : json_null(), "size",
                                         of_value ? json_integer((json_int_t)c->size) : json_null()));
    shown = tool_printable(c->key, strlen(c->key));
    printf("%-8s", event_word(c->event));
    if (c->revision != 0) printf(" %16" PRIu64, c->revision);
    else printf(" %16s", "-");
    if (of_key) printf(" %10" PRIu64, c->version);
    if (of_value) printf(" %6" PRIu64 " B", c->size);
    else if (of_key) printf(" %8s", "-");
    if (of_key) printf("  %s", shown);
    printf("\n");
    free(shown);
    return TOOL_OK;
}

static int watch_run(struct tool *t, const struct memory_call *call, apiary_memory_watch_t *w, const char *prefix)
{
    apiary_memory_change_t c = {.struct_size = sizeof c};
    int r, rc = TOOL_OK;

    while (rc == TOOL_OK && !watch_stopped) {
        r = apiary_memory_next_change(w, ROUND, &c);
        if (r < 0 && r != APIARY_ENOTREADY) return memory_error(t, call, r, prefix);
        if (r == 1) rc = change_print(t, &c);
        if (r == 1 && rc == TOOL_OK) rc = tool_finish(t, TOOL_OK);
        if (r == 0 && ap_segment_removed(call->a->seg))
            return tool_fail(t, TOOL_NO_SEGMENT, "%s was removed", tool_segment(t, NULL));
    }
    return rc;
}

int memory_watch(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory watch",
        .arguments = "[PREFIX]",
        .what = "Prints the keys that begin with a text, and then each change of them as it comes.",
        .more = "Each line has the event, its revision, the version of the value, its size, and the key. Changes come after\n"
                "'synced'. 'behind' says that some are not known any more: forget what came before, the present keys follow.",
        .most = 1,
        .json = true,
    };
    struct memory_call call = {.time = 0};
    const char *revision = NULL;
    const struct tool_option options[] = {
        SPACE_OPTIONS(call),
        {"revision", 'r', "REVISION", "only what came after this revision", &revision, NULL},
        NO_MORE,
    };
    struct sigaction act = {.sa_handler = watch_stop};
    apiary_memory_watch_t *w;
    uint64_t from = 0;
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    if (revision != NULL && !tool_revision(revision, &from))
        return tool_usage_error(t, &usage, "--revision: '%s' is not a revision as this command prints it", revision);
    rc = memory_begin(t, &usage, &call, false);
    if (rc != TOOL_OK) return rc;
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    r = apiary_memory_watch(call.m, argc > 0 ? argv[0] : "", from, &w);
    if (r < 0) return memory_end(t, &call, memory_error(t, &call, r, argc > 0 ? argv[0] : ""));
    rc = watch_run(t, &call, w, argc > 0 ? argv[0] : "");
    apiary_memory_unwatch(w);
    return memory_end(t, &call, rc);
}
