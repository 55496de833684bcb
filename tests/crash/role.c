/* tests/crash/role.c - things that one of several has: the mode of an instance and the reason for it, the monitor's role, the last
 * word on a capability's terms. */
#include "sweep.h"

#include <unistd.h>

#define READY_BECAUSE "a reason of several words"
#define PAUSED_BECAUSE "another reason, and a longer one"

void run_mode(void)
{
    if (ap_swarm_mode_set(actor.seg, 0, "server", "0", APIARY_READY, READY_BECAUSE) != 1) _exit(17);
}

void other_mode(void)
{
    if (ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_PAUSE, PAUSED_BECAUSE) != 1) fail("the mode cannot be changed");
}

/* The mode that stands has its own reason, whoever was overtaken. */
void before_mode(bool over)
{
    bool paused = AP_MODE_OF(ap_load_acquire(&ap_swarm_at(survivor.seg, 0)->mode)) == APIARY_PAUSE;
    char reason[AP_REASON_MAX + 1];

    ap_swarm_reason(survivor.seg, 0, reason);
    if (over && strcmp(reason, paused ? PAUSED_BECAUSE : READY_BECAUSE) != 0)
        fail("the mode is %s because of '%s'", paused ? "PAUSE" : "READY", reason);
    ap_swarm_mode_set(survivor.seg, 0, "server", "0", APIARY_READY, "");
}

/* ---- what the coordinator has found out ---------------------------------------------------------------------------- */

#define FOUND "http://127.0.0.1:1/health: status 503, a reason of more than one word"

void run_health(void)
{
    const struct ap_swarm *s = ap_swarm_at(actor.seg, 0);

    actor.result = ap_health_tell(actor.seg, actor.lane.index, 0, actor.seen, AP_FOUND_FAILING, FOUND, 503, UINT64_MAX);
    if (actor.result != 1 && actor.result != APIARY_ESTALE) _exit(17);
    if (actor.result == APIARY_ESTALE && AP_SWARM_EPOCH(s->life) == AP_SWARM_EPOCH(actor.seen)) _exit(17);
}

void prepare_health(void)
{
    actor.seen = ap_load_acquire(&ap_swarm_at(actor.seg, 0)->life);
}

/* The instance is registered anew. */
void other_health(void)
{
    struct ap_swarm *s = ap_swarm_at(survivor.seg, 0);
    uint64_t life = ap_load_relaxed(&s->life);

    ap_store_release(&s->life, AP_SWARM_LIFE(AP_SWARM_EPOCH(life) + 1, AP_SWARM_LANE(life), AP_SWARM_LIVE));
    ap_health_begin(s, ap_load_relaxed(&s->key));
}

static void health_is(bool over, uint32_t least, uint32_t most)
{
    char text[AP_FOUND_MAX + 1];
    uint32_t found = ap_health_read(ap_swarm_at(survivor.seg, 0), text);

    if (strncmp(text, FOUND, strlen(text)) != 0 || (found == 0 && text[0] != '\0')) fail("found %u, because of '%s'", found, text);
    if (over && (found < least || found > most)) fail("found %u", found);
    if (over && found != 0 && strcmp(text, FOUND) != 0) fail("it is done, and the reason is '%s'", text);
}

/* The finding and the reason for it, or the beginning of that; and then its end. */
void before_health(bool over)
{
    health_is(over, AP_FOUND_FAILING | AP_FOUND_HEARD, AP_FOUND_FAILING | AP_FOUND_HEARD);
}

/* Whatever was found out about the one before is not held against the new one. */
void before_health_anew(bool over)
{
    health_is(over, 0, 0);
}

/* ---- the monitor's role --------------------------------------------------------------------------------------- */

void run_role(void)
{
    for (int i = 0; i < 2; i++) {
        actor.result = ap_monitor_role_take(actor.seg);
        if (actor.result == 0) continue;
        ap_segment_watched(actor.seg, actor.lane.index);
        ap_monitor_role_release(actor.seg);
    }
}

/* The other has it for a moment, unless it is taken. */
void other_role(void)
{
    if (ap_monitor_role_take(survivor.seg)) ap_monitor_role_release(survivor.seg);
}

/* Wherever its holder died, the next one has it, and the one after. */
void before_role(bool over)
{
    (void)over;
    for (int i = 0; i < 2; i++) {
        if (!ap_monitor_role_take(survivor.seg)) fail("nobody can have the role");
        else ap_monitor_role_release(survivor.seg);
    }
}

/* ---- what is declared of a capability ------------------------------------------------------------------------- */

static const char *const other_only[] = {"other", NULL};
static const struct ap_terms by_load = {.balance = AP_POLICY_least_loaded + 1};
static const uint64_t survivors[AP_TERMS] = {[AP_TERM_balance] = AP_POLICY_round_robin + 1};
static struct ap_terms_conflicts told_actor, told_survivor;

static uint32_t other_index(void)
{
    uint32_t index;

    if (ap_capability_intern(survivor.seg, "other", &index) < 0) exit(2);
    return index;
}

/* Somebody had it balanced in turn, who has gone. */
void image_declared(void)
{
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, other_index(), survivors, &told_survivor);
}

static void register_other(const struct ap_terms *terms)
{
    struct ap_agent_registration agent = {.name = "one", .capabilities = other_only, .terms = terms, .lane = actor.lane.index};
    struct ap_swarm_registration r = {.service = "victim", .lane = actor.lane.index, .member = actor.api->member,
                                      .agents = &agent, .agent_count = 1, .conflicts = &told_actor};

    if (ap_swarm_register(actor.seg, &r) != 0) _exit(10);
}

void run_declare(void)
{
    register_other(&by_load);
}

/* By an agent that declares nothing, and sees nobody who does. */
void run_take_away(void)
{
    register_other(NULL);
}

/* The survivor's agent comes to offer it, and declares what that one had. */
void other_declare(void)
{
    struct ap_agent_record *agent = ap_agent_at(survivor.seg, 0);

    ap_store_relaxed(&agent->capabilities[1], (uint16_t)other_index());
    ap_store_relaxed(&agent->capability_count, 2);
    told_actor.count = told_survivor.count = 0; /* before, there was nobody to contradict */
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, other_index(), survivors, &told_survivor);
    survivor.count = 1;
}

/* What the living declare stays, unless another declares something else, and that is told. */
void before_declared(bool over)
{
    struct ap_agent_record *agent = ap_agent_at(survivor.seg, 0);
    uint64_t value;
    bool is = ap_term_read(survivor.seg, other_index(), AP_TERM_balance, &value);
    uint32_t told = told_actor.count + told_survivor.count;

    if (over && survivor.count == 1 && (!is || (value != AP_POLICY_round_robin && told != 1)))
        fail("it is %s, value %llu, told %u times", is ? "declared" : "not declared", (unsigned long long)value, told);
    ap_store_relaxed(&agent->capability_count, 1);
    ap_store_relaxed(&agent->capabilities[1], 0);
    survivor.count = 0;
}
