/* tests/crash/homes.c - homes of a stateful capability: all who ask for one share get the same, whoever dies or comes between. */
#include "sweep.h"

#include <unistd.h>

#include "registry/routing/homes.h"

#define KEY 5u
#define OTHER_KEY 6u

static uint32_t homes_echo(const struct side *s)
{
    return (uint32_t)ap_capability_find(s->seg, "echo", 4);
}

/* The second provider of "echo" is the survivor's, too, so that it stays until all is asked. */
static const char *const echo[] = {"echo", NULL};
static struct ap_agent_registration agent = {.name = "two", .capabilities = echo};
static struct ap_swarm_registration swarm = {.service = "second", .agents = &agent, .agent_count = 1};

void image_homes(void)
{
    struct ap_terms_conflicts told = {.count = 0};
    uint64_t said[AP_TERMS] = {[AP_TERM_stateful] = 1 + 1};

    agent.lane = swarm.lane = survivor.lane.index;
    swarm.member = survivor.lane.member;
    if (ap_swarm_register(survivor.seg, &swarm) != 0) exit(2);
    ap_terms_declare(survivor.seg, survivor.lane.index, 0, homes_echo(&survivor), said, &told);
}

static uint32_t homes_picked(struct side *s, uint64_t key)
{
    struct ap_balance balance = {.turn = 0};
    uint32_t queue;
    uint64_t life;

    return ap_route_keyed(s->seg, homes_echo(s), -1, key, &balance, AP_NO_QUEUE, &queue, &life) == 0 ? queue : AP_NO_QUEUE;
}

void run_home(void)
{
    actor.count = homes_picked(&actor, KEY);
    if (actor.count == AP_NO_QUEUE) _exit(29);
}

/* Another share first, so that the next home would be another one. */
void other_home(void)
{
    homes_picked(&survivor, OTHER_KEY);
    survivor.count = homes_picked(&survivor, KEY);
}

void before_homes(bool over)
{
    uint32_t now = homes_picked(&survivor, KEY);

    (void)over;
    if (survivor.count != now) fail("a task went to queue %u, and the next of its key goes to %u", survivor.count, now);
    if (actor.count != now) fail("the actor's task went to queue %u, and the next of its key goes to %u", actor.count, now);
    if (now == AP_NO_QUEUE) fail("a share has no home");
    ap_swarm_deregister(survivor.seg, survivor.lane.index, &swarm);
}

/* It may have given the share a home; whoever asks next gets one. */
void before_home(bool over)
{
    uint32_t was = AP_PROVIDER_QUEUE(ap_homes_at(survivor.seg, homes_echo(&survivor))->of[ap_home_share(KEY)]);
    uint32_t now = homes_picked(&survivor, KEY);

    if (now == AP_NO_QUEUE) fail("a share has no home");
    if ((over || was != AP_NO_QUEUE) && now != was) fail("a share had queue %u as its home, and has %u", was, now);
    ap_swarm_deregister(survivor.seg, survivor.lane.index, &swarm);
}
