/* tools/apiary/forget.c - apiary forget: instances that are down and will not come back. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/view/supervised.h"

struct forgetting {
    apiary_t *a;
    const char *service, *instance; /* instance NULL: all that are down */
    unsigned seen, forgotten;
    int rc;
};

static void forget_fails(const struct tool *t, struct forgetting *f, const apiary_swarm_status_t *row, const char *why)
{
    f->rc = tool_fail(t, TOOL_FAILED, "forget %s/%s: %s", row->service, row->instance, why);
}

/* Its record, and what a supervisor that has gone has left of it. */
static void forget_one(const struct tool *t, struct forgetting *f, const apiary_swarm_status_t *row)
{
    struct ap_segment *seg = f->a->seg;
    struct ap_supervised_view v;
    char why[192];
    bool record, remains;

    if (row->state != APIARY_DOWN) {
        if (f->instance != NULL) forget_fails(t, f, row, "it is not down; 'apiary drain' takes an instance out of the routing");
        return;
    }
    if (supervision_of(seg, row->service, row->instance, &v) && v.supervised) {
        snprintf(why, sizeof why, "'apiary up' (pid %" PRId64 ") runs it and starts it again; take it out of its configuration",
                 v.supervisor);
        forget_fails(t, f, row, why);
        return;
    }
    record = ap_swarm_forget_instance(seg, f->a->anchor->lane.index, ap_swarm_key(row->service, row->instance), true);
    if (!record && row->agents > 0 && row->queued > 0) {
        snprintf(why, sizeof why, "%u task%s for it; 'apiary task ls' shows them, and 'apiary task cancel' takes them back",
                 row->queued, row->queued == 1 ? " waits" : "s wait");
        forget_fails(t, f, row, why);
        return;
    }
    remains = ap_supervised_forget_instance(seg, row->service, row->instance);
    if (record || remains) f->forgotten++;
    else forget_fails(t, f, row, "it has changed meanwhile; 'apiary status' shows it");
}

static int forget_all(const struct tool *t, struct forgetting *f)
{
    apiary_swarm_status_t *rows = NULL;
    int n;

    /* An instance that was killed just now is down, too. */
    (void)ap_reap_all(f->a->seg, f->a->anchor->lane.index, &ap_registry_hooks);
    n = view_instances(f->a, f->service, &rows);
    if (n < 0) return tool_error(t, n, NULL, "forget");
    for (int i = 0; i < n; i++) {
        if (f->instance != NULL && strcmp(rows[i].instance, f->instance) != 0) continue;
        f->seen++;
        forget_one(t, f, &rows[i]);
    }
    free(rows);
    if (f->seen == 0)
        return tool_fail(t, TOOL_NO_PROVIDER, "forget: no instance%s%s of '%s' is known; 'apiary status' shows them",
                         f->instance != NULL ? " " : "", f->instance != NULL ? f->instance : "", f->service);
    printf("%s: %u instance%s forgotten\n", f->service, f->forgotten, f->forgotten == 1 ? "" : "s");
    return f->rc;
}

int cmd_forget(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "forget",
        .arguments = "SERVICE",
        .what = "Forgets the instances of SERVICE that are down, so that nobody waits for them or names them.",
        .more = "With an instance goes the mode that an operator has set for it. One for which tasks wait is not forgotten,\n"
                "nor one that 'apiary up' runs.",
        .least = 1,
        .most = 1,
    };
    struct forgetting f = {.rc = TOOL_OK};
    const struct tool_option options[] = {
        {"instance", 'i', "NAME", "only this instance", &f.instance, NULL},
        {.name = NULL},
    };
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    f.service = argv[0];
    rc = tool_attach(t, tool_segment(t, NULL), false, &f.a);
    if (rc != TOOL_OK) return rc;
    rc = forget_all(t, &f);
    apiary_detach(f.a);
    return tool_finish(t, rc);
}
