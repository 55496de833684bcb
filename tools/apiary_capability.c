/* tools/apiary_capability.c - apiary capability: what capabilities declare, and what is in force. */
#include "tools/apiary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/name.h"
#include "registry/routing/hedging.h"
#include "registry/routing/places.h"
#include "registry/routing/rules.h"

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

static uint32_t capability_providers(const struct ap_segment *seg, uint32_t capability)
{
    uint32_t n = 0;
    for (int q = -1; (q = ap_capability_next(seg, capability, (uint32_t)(q + 1))) >= 0;)
        n++;
    return n;
}

/* Whether it was declared; what is in force in *ret. */
static bool capability_term(const struct ap_segment *seg, uint32_t capability, enum ap_term term, uint64_t *ret)
{
    return ap_load_relaxed(&ap_capability_at(seg, capability)->terms) != 0 ? ap_term_read(seg, capability, term, ret)
                                                                          : (*ret = ap_term_rows[term].otherwise, false);
}

static json_t *capability_rules_json(const struct ap_rules *rules)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < rules->count; i++) {
        const struct ap_rule *r = &rules->list[i];
        json_t *o = json_object();
        json_object_set_new(o, "rule", json_string(ap_rule_verb_name(r->verb)));
        json_object_set_new(o, "from", r->from[0] != '\0' ? json_string(r->from) : json_null());
        json_object_set_new(o, "to", r->to[0] != '\0' ? json_string(r->to) : json_null());
        json_array_append_new(list, o);
    }
    return list;
}

json_t *view_hedging_json(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    if (!ap_hedging_allowed(seg, capability)) return json_null();
    uint64_t time = ap_hedging_time(seg, capability);
    return json_pack("{s:I, s:I, s:I, s:o}", "sent", (json_int_t)ap_load_relaxed(&row->hedged), "answered_first",
                     (json_int_t)ap_load_relaxed(&row->hedge_won), "held_back", (json_int_t)ap_load_relaxed(&row->hedge_held),
                     "p95_ns", time != 0 ? json_integer((json_int_t)time) : json_null());
}

char *view_hedging(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    char time[32] = "";
    if (!ap_hedging_allowed(seg, capability)) return NULL;
    if (ap_hedging_time(seg, capability) != 0) tool_format_duration(ap_hedging_time(seg, capability), time);
    return tool_format("hedged: %" PRIu64 " second copies, %" PRIu64 " of them answered first, %" PRIu64 " held back%s%s",
                       ap_load_relaxed(&row->hedged), ap_load_relaxed(&row->hedge_won), ap_load_relaxed(&row->hedge_held),
                       time[0] != '\0' ? "; 19 of 20 tasks end within " : "", time);
}

static json_t *capability_priorities_json(const struct ap_segment *seg, uint32_t capability)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    return json_pack("{s:I, s:I, s:I}", "urgent", (json_int_t)ap_load_relaxed(&row->urgent), "high",
                     (json_int_t)ap_load_relaxed(&row->high), "low", (json_int_t)ap_load_relaxed(&row->low));
}

/* Of one of which so many may run at once; else null. */
static json_t *capability_places_json(const struct ap_segment *seg, uint32_t capability)
{
    if (ap_places_bound(seg, capability) == 0) return json_null();
    return json_pack("{s:i, s:i, s:I}", "most", (int)ap_places_bound(seg, capability), "taken",
                     (int)ap_places_taken(seg, capability), "waited", (json_int_t)ap_places_waited(seg, capability));
}

/* Numbers in nanoseconds and bytes, as everywhere in JSON. */
static json_t *capability_json(const struct ap_segment *seg, uint32_t capability)
{
    json_t *terms = json_object();
    char name[APIARY_CAPABILITY_MAX + 1];
    ap_capability_name(seg, capability, name);
    for (uint32_t t = 0; t < AP_TERMS; t++) {
        const struct ap_term_row *row = &ap_term_rows[t];
        uint64_t value = 0;
        bool declared = capability_term(seg, capability, t, &value);
        bool word = row->type == 'w' || ((row->type == 'n' || row->type == 't') && row->words(value) != NULL);
        if (row->type == 'r') continue;
        json_t *v = word               ? json_string(row->words(value) != NULL ? row->words(value) : "?")
                    : row->type == 'n' ? json_integer((json_int_t)ap_term_number(row, value))
                    : row->type == 'b' ? json_boolean(value != 0)
                                       : json_integer((json_int_t)value);
        json_object_set_new(terms, row->key, json_pack("{s:o, s:b}", "value", v, "declared", declared));
    }
    struct ap_rules rules = {.count = 0};
    ap_rules_of(seg, capability, &rules);
    return json_pack("{s:s, s:i, s:o, s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "capability", name, "providers",
                     (int)capability_providers(seg, capability), "terms", terms, "rules", capability_rules_json(&rules), "refused",
                     (json_int_t)ap_load_relaxed(&ap_terms_at(seg, capability)->refused), "fell_back",
                     (json_int_t)ap_load_relaxed(&ap_terms_at(seg, capability)->fell_back), "hedging",
                     view_hedging_json(seg, capability), "homes", view_homes_json(seg, capability), "places",
                     capability_places_json(seg, capability), "priorities", capability_priorities_json(seg, capability));
}

/* "balance=round_robin"; "-" where nothing is declared. */
static char *capability_declared(const struct ap_segment *seg, uint32_t capability)
{
    char *list = tool_strdup("");
    for (uint32_t t = 0; t < AP_TERMS; t++) {
        uint64_t value;
        char text[48];
        if (!capability_term(seg, capability, t, &value)) continue;
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
    json_t *list = json_array();
    struct tool_table *table = t->json ? NULL : tool_table_new((const char *const[]){"capability", ">providers", "terms", NULL});
    for (uint32_t i = 0; ap_capability_at(seg, i) != NULL; i++) {
        char name[APIARY_CAPABILITY_MAX + 1], providers[16];
        ap_capability_name(seg, i, name);
        if (name[0] == '\0') continue;
        if (t->json) {
            json_array_append_new(list, capability_json(seg, i));
            continue;
        }
        char *declared = capability_declared(seg, i);
        snprintf(providers, sizeof providers, "%u", capability_providers(seg, i));
        tool_table_add(table, (const char *const[]){name, providers, declared});
        free(declared);
    }
    if (table != NULL) tool_table_print(table, stdout);
    int rc = t->json ? tool_json_print(json_pack("{s:O}", "capabilities", list)) : TOOL_OK;
    json_decref(list);
    return rc;
}

static int capability_show_one(const struct tool *t, const struct ap_segment *seg, const char *name)
{
    int capability = ap_capability_find(seg, name, strlen(name));
    if (capability < 0) return tool_error(t, APIARY_ENOCAP, NULL, "capability show %s", name);
    if (t->json) return tool_json_print(capability_json(seg, (uint32_t)capability));
    struct tool_table *table = tool_table_new((const char *const[]){"term", "value", "declared", "?what", NULL});
    for (uint32_t i = 0; i < AP_TERMS; i++) {
        uint64_t value;
        char text[48];
        bool declared = capability_term(seg, (uint32_t)capability, i, &value);
        ap_term_print(i, value, text, sizeof text);
        tool_table_add(table, (const char *const[]){ap_term_rows[i].key, text, declared ? "yes" : "no", ap_term_rows[i].what});
    }
    tool_table_print(table, stdout);
    char *hedging = view_hedging(seg, (uint32_t)capability);
    if (hedging != NULL) printf("%s\n", hedging);
    free(hedging);
    view_homes(seg, (uint32_t)capability);
    if (ap_places_bound(seg, (uint32_t)capability) != 0)
        printf("running at once: %" PRIu32 " of %" PRIu32 "; %" PRIu64 " tasks had to wait\n",
               ap_places_taken(seg, (uint32_t)capability), ap_places_bound(seg, (uint32_t)capability),
               ap_places_waited(seg, (uint32_t)capability));
    const struct ap_terms *row = ap_terms_at(seg, (uint32_t)capability);
    if ((ap_load_relaxed(&row->urgent) | ap_load_relaxed(&row->high) | ap_load_relaxed(&row->low)) != 0)
        printf("priorities: %" PRIu64 " urgent, %" PRIu64 " high, %" PRIu64 " low\n", ap_load_relaxed(&row->urgent),
               ap_load_relaxed(&row->high), ap_load_relaxed(&row->low));
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
