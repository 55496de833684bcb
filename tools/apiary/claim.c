/* tools/apiary/claim.c - apiary claim acquire, renew, release, check, ls: claims on keys, by hand and for scripts. */
#include "tools/apiary/apiary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry/conflict/conflict.h"
#include "tools/apiary/claim.h"

#define TTL_OTHERWISE (60 * UINT64_C(1000000000))

int claim_error(const struct tool *t, int error, const char *key)
{
    if (error == APIARY_ESTALE)
        return tool_error(t, error, "the token is not its key's any more; 'apiary claim ls' shows who has what", "%s", key);
    if (error == APIARY_EINVAL)
        return tool_fail(t, TOOL_USAGE, "'%s' is no key: 1 to %d bytes, without control characters", key, APIARY_CLAIM_KEY_MAX);
    return tool_error(t, error, NULL, "%s", key);
}

int claim_time(const struct tool *t, const struct tool_usage *usage, const char *option, const char *text, uint64_t otherwise,
               uint64_t *ret)
{
    *ret = otherwise;
    if (text == NULL || tool_duration(text, ret) == 0) return TOOL_OK;
    return tool_usage_error(t, usage, "--%s: '%s' is not a duration above 0; write 250ms, 5s or 2m", option, text);
}

int claim_policy(const struct tool *t, const struct tool_usage *usage, const struct claim_how *how, apiary_claim_options_t *ret)
{
    if ((how->wait != NULL) + how->steal + how->existing > 1)
        return tool_usage_error(t, usage, "--wait, --steal and --existing are one or the other");
    ret->policy = how->wait != NULL ? APIARY_CLAIM_WAIT
                  : how->steal      ? APIARY_CLAIM_STEAL_IF_EXPIRED
                  : how->existing   ? APIARY_CLAIM_USE_EXISTING
                                    : APIARY_CLAIM_FAIL;
    if (how->wait == NULL || *how->wait == '\0') return TOOL_OK;
    return claim_time(t, usage, "wait", how->wait, 0, &ret->timeout);
}

/* ---- what was claimed ------------------------------------------------------------------------------------------- */

static int claim_print(const struct tool *t, apiary_t *a, const char *key, const apiary_claim_t *claim, bool granted)
{
    if (!t->json) {
        printf("%llu\n", (unsigned long long)claim->token);
        return TOOL_OK;
    }
    return tool_json_print(json_pack("{s:o, s:o, s:b, s:o, s:I, s:o}", "key", tool_json_text(key), "token",
                                     tool_json_number(claim->token), "granted", granted, "expires_in_ns",
                                     view_claim_left(claim->expires, a->seg->ops->now()), "pid", (json_int_t)claim->pid, "holder",
                                     tool_json_text(claim->holder)));
}

static int claim_acquire(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim acquire",
        .arguments = "KEY",
        .what = "Claims a key, and prints the token.",
        .more = "The claim stays when this command has ended: until it is released with the token, or its time is over.\n"
                "For a command that is to run alone see 'apiary claim run'.",
        .least = 1,
        .most = 1,
        .json = true,
    };
    struct claim_how how = {.wait = NULL};
    const char *ttl = NULL;
    const struct tool_option options[] = {
        {"ttl", 't', "TIME", "how long the claim lasts unless it is renewed [60s]", &ttl, NULL},
        {"wait", 'w', "[TIME]", "wait until it is free, in line with the others who wait; for so long [for ever]", &how.wait, NULL},
        {"steal", 0, NULL, "take it from a living holder whose time is over", NULL, &how.steal},
        {"existing", 0, NULL, "if another has it, print that one's token", NULL, &how.existing},
        {.name = NULL},
    };
    apiary_claim_options_t o = {.struct_size = sizeof o, .flags = APIARY_CLAIM_STAYS};
    apiary_claim_t claim = {.struct_size = sizeof claim};
    apiary_t *a = NULL;
    uint64_t time;
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = claim_policy(t, &usage, &how, &o);
    if (rc == TOOL_OK) rc = claim_time(t, &usage, "ttl", ttl, TTL_OTHERWISE, &time);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    r = apiary_claim(a, argv[0], time, &o, &claim);
    rc = r < 0 ? claim_error(t, r, argv[0]) : claim_print(t, a, argv[0], &claim, r == 0);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- by the token ----------------------------------------------------------------------------------------------- */

static int claim_token(const struct tool *t, const struct tool_usage *usage, const char *text, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0) return TOOL_OK;
    return tool_usage_error(t, usage, "'%s' is not a token; 'apiary claim ls' shows them", text);
}

static int claim_renew(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim renew",
        .arguments = "KEY TOKEN",
        .what = "Lets a claim last for a time from now on.",
        .least = 2,
        .most = 2,
        .json = true,
    };
    const char *ttl = NULL;
    const struct tool_option options[] = {
        {"ttl", 't', "TIME", "how long from now on [60s]", &ttl, NULL},
        {.name = NULL},
    };
    apiary_claim_t claim = {.struct_size = sizeof claim};
    apiary_t *a = NULL;
    uint64_t time, token;
    int rc = tool_parse(t, &usage, options, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = claim_time(t, &usage, "ttl", ttl, TTL_OTHERWISE, &time);
    if (rc == TOOL_OK) rc = claim_token(t, &usage, argv[1], &token);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc != TOOL_OK) return rc;
    r = apiary_claim_renew(a, argv[0], token, time, &claim);
    if (r < 0) rc = claim_error(t, r, argv[0]);
    else if (t->json) rc = claim_print(t, a, argv[0], &claim, true);
    apiary_detach(a);
    return tool_finish(t, rc);
}

static int claim_by_token(struct tool *t, const struct tool_usage *usage, bool read_only, int argc, char **argv,
                          int (*act)(apiary_t *a, const char *key, uint64_t token))
{
    const struct tool_option none[] = {{.name = NULL}};
    apiary_t *a = NULL;
    uint64_t token;
    int rc = tool_parse(t, usage, none, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = claim_token(t, usage, argv[1], &token);
    if (rc == TOOL_OK) rc = tool_attach(t, tool_segment(t, NULL), read_only, &a);
    if (rc != TOOL_OK) return rc;
    r = act(a, argv[0], token);
    if (r < 0) rc = claim_error(t, r, argv[0]);
    apiary_detach(a);
    return tool_finish(t, rc);
}

static int claim_release(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim release",
        .arguments = "KEY TOKEN",
        .what = "Ends a claim.",
        .least = 2,
        .most = 2,
    };
    return claim_by_token(t, &usage, false, argc, argv, apiary_claim_release);
}

static int claim_check(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim check",
        .arguments = "KEY TOKEN",
        .what = "Tells by its exit code whether the claim with this token holds: 0, else 1.",
        .least = 2,
        .most = 2,
    };
    return claim_by_token(t, &usage, false, argc, argv, apiary_claim_check);
}

/* ---- ls --------------------------------------------------------------------------------------------------------- */

static void row_show(const struct ap_segment *seg, const struct ap_claim_view *v, struct tool_table *table)
{
    uint64_t now = seg->ops->now();
    char service[APIARY_NAME_MAX + 1] = "", token[24], pid[16], left[32] = "-", waiting[16];

    if (v->caller != 0) ap_service_name(seg, v->caller - 1, service);
    snprintf(token, sizeof token, "%llu", (unsigned long long)v->token);
    snprintf(pid, sizeof pid, "%u", v->pid);
    snprintf(waiting, sizeof waiting, "%u", v->waiting);
    if (v->until != UINT64_MAX && v->until <= now) snprintf(left, sizeof left, "over");
    else if (v->until != UINT64_MAX) tool_format_duration(v->until - now, left);
    tool_table_add(table, (const char *const[]){v->key, token, v->lane == AP_NO_LANE ? "-" : pid, *service != '\0' ? service : "-",
                                                left, waiting});
}

static int claim_list(const struct tool *t, apiary_t *a)
{
    static const char *const heads[] = {"=key", ">token", ">pid", "?service", ">expires in", ">waiting", NULL};
    struct tool_table *table;
    struct ap_claim_view view;

    if (t->json) return tool_json_print(view_claims_json(a, tool_segment(t, NULL)));
    table = tool_table_new(heads);
    for (uint32_t i = 0; i < a->seg->geometry.claims; i++)
        if (ap_claim_read(a->seg, i, &view)) row_show(a->seg, &view, table);
    tool_table_print(table, stdout);
    return TOOL_OK;
}

static int claim_ls(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim ls",
        .arguments = "",
        .what = "Lists the keys that are claimed, who has them, and how many wait.",
        .json = true,
        .table = true,
    };
    const struct tool_option none[] = {{.name = NULL}};
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = claim_list(t, a);
    apiary_detach(a);
    return tool_finish(t, rc);
}

int cmd_claim(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "claim",
        .arguments = "acquire KEY | run KEY -- COMMAND | renew KEY TOKEN | release KEY TOKEN | check KEY TOKEN | ls",
        .what = "Claims keys, which one at a time may have; 'apiary claim acquire --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"acquire", "claim one and print its token", claim_acquire},
        {"run", "run a command while the claim is held", claim_run},
        {"renew", "let one last longer", claim_renew},
        {"release", "end one", claim_release},
        {"check", "ask whether a token holds", claim_check},
        {"ls", "list them", claim_ls},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
