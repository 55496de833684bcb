/* registry/discovery/swarm_plan.c - what a registration declares of its capabilities, entered before anything of it shows. See
 * swarm_plan.h. */
#include "registry/discovery/swarm_plan.h"

#include <string.h>

#include "core/name.h"
#include "registry/routing/rule_sets.h"

/* An agent's declarations of one capability; NULL: it says nothing. */
struct said {
    const struct ap_terms *terms;
    const struct ap_rules *rules;
};

static int plan_capability(struct ap_plan *p, struct ap_agent_plan *agent, const char *name, const struct said said, uint32_t *ret)
{
    uint32_t index, at = 0;
    int r = ap_capability_intern(p->seg, name, &index);

    if (r < 0) return r;
    while (at < agent->count && agent->capabilities[at] != index) at++;
    if (at == AP_AGENT_CAPABILITIES) return APIARY_EINVAL;
    if (at == agent->count) agent->capabilities[agent->count++] = (uint16_t)index;
    if (said.terms != NULL && ap_terms_add(agent->terms[at], said.terms, name)) agent->declares[at] = true;
    if (said.rules != NULL && said.rules->count != 0) agent->rules[at] = said.rules;
    *ret = index;
    return 0;
}

/* "name@2" is offered as "name", too, on the same terms, if it has them. */
int ap_plan_agent(struct ap_plan *p, size_t i)
{
    const struct ap_agent_registration *a = &p->r->agents[i];
    int r = ap_name_valid(a->name, APIARY_NAME_MAX) ? 0 : APIARY_EINVAL;

    for (size_t k = 0; r == 0 && k < i; k++)
        if (strcmp(p->r->agents[k].name, a->name) == 0) r = APIARY_EINVAL;
    for (const char *const *c = a->capabilities; r == 0 && c != NULL && *c != NULL; c++) {
        const struct said said = {a->terms != NULL ? &a->terms[c - a->capabilities] : NULL,
                                  a->rules != NULL ? &a->rules[c - a->capabilities] : NULL};
        const char *at = strchr(*c, '@');
        char base[APIARY_CAPABILITY_MAX + 1];
        uint32_t index;

        r = plan_capability(p, &p->agents[i], *c, said, &index);
        if (r < 0 || at == NULL) continue;
        memcpy(base, *c, (size_t)(at - *c));
        base[at - *c] = '\0';
        r = plan_capability(p, &p->agents[i], base, said, &index);
        if (r == 0) ap_store_relaxed(&ap_capability_at(p->seg, index)->majors, 1);
    }
    return r;
}

/* Holds what one agent says of a capability until it is declared. */
static int plan_hold(struct ap_plan *p, uint32_t lane, struct ap_agent_plan *agent, uint32_t at)
{
    uint64_t set;
    int r = agent->rules[at] != NULL ? ap_rules_hold(p->seg, lane, agent->rules[at], &set) : 0;

    if (r < 0) p->r->no_room_for_rules = r == APIARY_ETABLEFULL;
    if (r < 0 || agent->rules[at] == NULL) return r;
    agent->terms[at][AP_TERM_rules] = set + 1;
    agent->declares[at] = true;
    return 0;
}

int ap_plan_rules(struct ap_plan *p)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < p->r->agent_count; i++)
        for (uint32_t c = 0; r == 0 && c < p->agents[i].count; c++) r = plan_hold(p, p->r->lane, &p->agents[i], c);
    return r;
}

/* Only rules that it declares otherwise than before are entered, and the former ones of these held where they are: so
 * they stay what they are compared with. Where nobody has them any more, no term names them. */
int ap_plan_other_rules(struct ap_plan *was, struct ap_plan *next, uint32_t lane)
{
    uint64_t set;
    int r = 0;

    for (size_t i = 0; r == 0 && i < was->r->agent_count; i++)
        for (uint32_t c = 0; r == 0 && c < was->agents[i].count; c++) {
            const struct ap_rules *before = was->agents[i].rules[c], *now = next->agents[i].rules[c];

            if (before != NULL && now != NULL && memcmp(before, now, sizeof *now) == 0) continue;
            r = plan_hold(next, lane, &next->agents[i], c);
            if (before != NULL && ap_rules_hold_there(was->seg, lane, before, &set))
                was->agents[i].terms[c][AP_TERM_rules] = set + 1;
        }
    return r;
}
