/* tools/apiary/capability.c - apiary capability: what capabilities declare, and what is in force. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "registry/routing/hedging.h"
#include "registry/routing/places.h"
#include "registry/routing/rules.h"
#include "registry/routing/target.h"

static const struct tool_option no_options[] = {{.name = NULL}};

static const struct tool_usage capability_ls_usage = {
    .command = "capability ls",
    .arguments = "",
    .what = "Shows every capability: how many agents offer it, and what they declare of it.",
    .json = true,
    .table = true,
};

static const struct tool_usage capability_show_usage = {
    .command = "capability show",
    .arguments = "CAPABILITY",
    .what = "Shows the terms of a capability: what is in force, and whether it was declared.",
    .least = 1,
    .most = 1,
    .json = true,
    .table = true,
};

/* "balance=round_robin"; "-" where nothing is declared. */
static char *capability_declared(const struct ap_segment *seg, uint32_t capability)
{
    char *list = tool_strdup("");
    for (uint32_t t = 0; t < AP_TERMS; t++) {
        uint64_t value;
        char text[48];
        if (!view_term(seg, capability, t, &value)) continue;
        ap_term_print(t, value, text, sizeof text);
        char *longer = tool_format("%s%s%s=%s", list, *list != '\0' ? " " : "", ap_term_rows[t].key, text);
        free(list);
        list = longer;
    }
    if (*list != '\0') return list;
    free(list);
    return tool_strdup("-");
}

static int capability_list_all(const struct tool *t, const struct ap_segment *seg)
{
    if (t->json) return tool_json_print(view_capabilities_json(seg));
    struct tool_table *table = tool_table_new((const char *const[]){"capability", ">providers", "terms", NULL});
    for (uint32_t i = 0; ap_capability_at(seg, i) != NULL; i++) {
        char name[APIARY_CAPABILITY_MAX + 1], providers[16];
        ap_capability_name(seg, i, name);
        if (name[0] == '\0') continue;
        char *declared = capability_declared(seg, i);
        snprintf(providers, sizeof providers, "%u", view_providers(seg, i));
        tool_table_add(table, (const char *const[]){name, providers, declared});
        free(declared);
    }
    tool_table_print(table, stdout);
    return TOOL_OK;
}

static int capability_show_one(const struct tool *t, const struct ap_segment *seg, const char *name)
{
    int capability = ap_capability_find(seg, name, strlen(name));
    if (capability < 0) return tool_error(t, APIARY_ENOCAP, NULL, "capability show %s", name);
    if (t->json) return tool_json_print(view_capability_json(seg, (uint32_t)capability));
    struct tool_table *table = tool_table_new((const char *const[]){"term", "value", "declared", "?what", NULL});
    for (uint32_t i = 0; i < AP_TERMS; i++) {
        uint64_t value;
        char text[48];
        bool declared = view_term(seg, (uint32_t)capability, i, &value);
        ap_term_print(i, value, text, sizeof text);
        tool_table_add(table, (const char *const[]){ap_term_rows[i].key, text, declared ? "yes" : "no", ap_term_rows[i].what});
    }
    tool_table_print(table, stdout);
    char *hedging = view_hedging(seg, (uint32_t)capability);
    if (hedging != NULL) printf("%s\n", hedging);
    free(hedging);
    view_homes(seg, (uint32_t)capability);
    struct ap_target_verdict verdict;
    for (int i = 0; ap_target_read(seg, (uint32_t)capability, &verdict) && i < AP_TARGETS; i++) {
        char text[128];
        if (verdict.targets[i] != 0)
            printf("target %s: %s\n", verdict.states[i] == AP_TARGET_NONE ? "without a verdict" :
                   ap_target_state_name(verdict.states[i]), ap_target_print(&verdict, (enum ap_target)i, text));
    }
    if (ap_places_bound(seg, (uint32_t)capability) != 0)
        printf("running at once: %" PRIu32 " of %" PRIu32 "; %" PRIu64 " tasks had to wait\n",
               ap_places_taken(seg, (uint32_t)capability), ap_places_bound(seg, (uint32_t)capability),
               ap_places_waited(seg, (uint32_t)capability));
    const struct ap_terms *row = ap_terms_at(seg, (uint32_t)capability);
    if ((ap_load_relaxed(&row->urgent) | ap_load_relaxed(&row->high) | ap_load_relaxed(&row->low)) != 0)
        printf("priorities: %" PRIu64 " urgent, %" PRIu64 " high, %" PRIu64 " low\n", ap_load_relaxed(&row->urgent),
               ap_load_relaxed(&row->high), ap_load_relaxed(&row->low));
    if (ap_load_relaxed(&row->coalesced) != 0)
        printf("coalesced: %" PRIu64 " tasks had the result of another one of their key\n", ap_load_relaxed(&row->coalesced));
    struct ap_rules rules;
    if (!ap_rules_of(seg, (uint32_t)capability, &rules)) return TOOL_OK;
    for (uint32_t i = 0; i < rules.count; i++) {
        char text[160];
        ap_rule_print(&rules.list[i], text, sizeof text);
        printf("%s %s\n", i == 0 ? "rules:" : "      ", text);
    }
    printf("refused by them: %" PRIu64 "\n", ap_load_relaxed(&row->refused));
    if (ap_rules_fallback(seg, (uint32_t)capability) >= 0)
        printf("gone to the fallback: %" PRIu64 "\n", ap_load_relaxed(&row->fell_back));
    return TOOL_OK;
}

static int capability_run(struct tool *t, const struct tool_usage *usage, int argc, char **argv)
{
    int rc = tool_parse(t, usage, no_options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if (argc > 0 && !ap_capability_valid(argv[0])) return tool_usage_error(t, usage, "'%s' is not a capability name", argv[0]);
    apiary_t *a = NULL;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    rc = argc > 0 ? capability_show_one(t, a->seg, argv[0]) : capability_list_all(t, a->seg);
    apiary_detach(a);
    return tool_finish(t, rc);
}

static int cmd_capability_ls(struct tool *t, int argc, char **argv)
{
    return capability_run(t, &capability_ls_usage, argc, argv);
}

static int cmd_capability_show(struct tool *t, int argc, char **argv)
{
    return capability_run(t, &capability_show_usage, argc, argv);
}

int cmd_capability(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "capability",
        .arguments = "ls | show CAPABILITY",
        .what = "Shows what capabilities declare: their terms.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"ls", "every capability", cmd_capability_ls},
        {"show", "one of them", cmd_capability_show},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
