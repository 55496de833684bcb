/* tests/crash/full.c - a search for room in a table while another leaves a row and takes the next: it was never full. */
#include "sweep.h"

/* The table of services becomes full: a name that a member uses, one that nobody uses, and the actor's. */
void image_names(void)
{
    uint32_t index;

    if (ap_member_open(survivor.seg, "one", "used", APIARY_CLIENT, &survivor.second) < 0 ||
        ap_service_intern(survivor.seg, survivor.second.index, "used", &index) < 0 ||
        ap_service_intern(survivor.seg, survivor.lane.index, "unused", &index) < 0)
        exit(2);
    ap_lane_share(&survivor.second);
}

static void member_leaves(void)
{
    ap_member_close(survivor.seg, survivor.second.member, survivor.second.index);
    ap_lane_close_shared(&survivor.second);
}

/* Which of the two names is used changes. */
void other_use_name(void)
{
    uint32_t index;

    member_leaves();
    if (ap_member_open(survivor.seg, "two", "unused", APIARY_CLIENT, &survivor.second) < 0 ||
        ap_service_intern(survivor.seg, survivor.second.index, "unused", &index) < 0)
        fail("who comes to use a name does not get it");
    ap_lane_share(&survivor.second);
}

/* The tables of members and lanes have room for one more. */
static struct ap_lane_handle idle[2];

void image_member(void)
{
    if (ap_member_open(survivor.seg, "one", NULL, APIARY_CLIENT, &survivor.second) < 0) exit(2);
    ap_lane_share(&survivor.second);
}

void image_lanes(void)
{
    image_member();
    for (int i = 0; i < 2; i++) {
        if (ap_lane_open(survivor.seg, survivor.lane.member, &idle[i]) < 0) exit(2);
        ap_lane_share(&idle[i]);
    }
}

/* Takes the room that there is, and makes some elsewhere. */
void other_turn_over(void)
{
    struct ap_lane_handle next;

    if (ap_member_open(survivor.seg, "two", NULL, APIARY_CLIENT, &next) < 0) return;
    ap_lane_share(&next);
    member_leaves();
    survivor.second = next;
}

void run_member_open(void)
{
    actor.result = ap_member_open(actor.seg, "actor", NULL, APIARY_CLIENT, &actor.second);
    if (actor.result < 0) return;
    ap_member_close(actor.seg, actor.second.member, actor.second.index);
    ap_lane_close(&actor.second);
}

void run_lane_once(void)
{
    actor.result = ap_lane_open(actor.seg, actor.lane.member, &actor.second);
    if (actor.result == 0) ap_lane_close(&actor.second);
}

void before_turned_over(bool over)
{
    if (over && actor.result < 0) fail("the table is said to be full, and there was room before and after");
    member_leaves();
}

void before_lanes_turned_over(bool over)
{
    before_turned_over(over);
    for (int i = 0; i < 2; i++) {
        struct ap_lane_handle h = idle[i];
        ap_lane_close_shared(&h);
    }
}

void run_enter_name(void)
{
    uint32_t index;

    actor.result = ap_service_intern(actor.seg, actor.lane.index, "entered", &index);
}

void before_entered(bool over)
{
    if (over && actor.result < 0) fail("the table is said to be full, and it never was");
    member_leaves();
}

/* Another enters the same name; whoever is first in the table, nobody waits for the other. */
void other_enter_name(void)
{
    if (ap_service_intern(survivor.seg, survivor.lane.index, "entered", &survivor.count) < 0)
        fail("a name cannot be entered while somebody else is about to");
}

void before_same_name(bool over)
{
    uint32_t index;

    (void)over;
    if (ap_service_intern(survivor.seg, survivor.lane.index, "entered", &index) < 0 || index != survivor.count)
        fail("a name has another row now, though somebody has entered it");
    survivor.count = 0;
}

/* There is one row left. */
void image_last_row(void)
{
    uint32_t index;

    image_member();
    if (ap_service_intern(survivor.seg, survivor.lane.index, "left", &index) < 0) exit(2);
    snprintf(ap_member_at(survivor.seg, survivor.second.member)->swarm, APIARY_NAME_MAX + 1, "left");
}

/* While the actor fills the last row, nobody knows what for: then the table is full. */
static bool filling(void)
{
    for (uint32_t i = 0; i < survivor.seg->sections[AP_SECTION_SERVICES].count; i++)
        if (AP_SERVICE_STATE(ap_service_at(survivor.seg, i)->life) == AP_SERVICE_FILLING) return true;
    return false;
}

void other_enter_last(void)
{
    survivor.count = TASKS;
    if (!filling()) other_enter_name();
}

void before_last_row(bool over)
{
    if (survivor.count != TASKS) before_same_name(over);
    survivor.count = 0;
    member_leaves();
}

/* ---- swarms, queues, supervised instances: what the dead or gone have left is room, too ------------------------- */

static struct ap_agent_registration mover = {.name = "mover"};
static struct ap_swarm_registration first_swarm = {.service = "server", .instance = "first"};
static struct ap_swarm_registration next_swarm = {.service = "server", .instance = "next"};

static int enrol(const struct side *s, struct ap_swarm_registration *r)
{
    r->lane = s->lane.index;
    r->member = s->lane.member;
    return ap_swarm_register(s->seg, r);
}

static void leave(const struct side *s, struct ap_swarm_registration *r)
{
    ap_swarm_deregister(s->seg, s->lane.index, r);
}

/* One swarm is there, one has gone: its record may be used by another. */
void image_swarms(void)
{
    if (enrol(&survivor, &first_swarm) < 0 || enrol(&survivor, &next_swarm) < 0) exit(2);
    leave(&survivor, &next_swarm);
}

void run_enrol(void)
{
    struct ap_swarm_registration r = {.service = "server", .instance = "actor"};

    actor.result = enrol(&actor, &r);
    if (actor.result == 0) leave(&actor, &r);
}

/* The other comes, and the first one goes. */
void other_enrol(void)
{
    survivor.result = enrol(&survivor, &next_swarm);
    if (survivor.result == 0) leave(&survivor, &first_swarm);
}

void before_enrolled(bool over)
{
    if (over && actor.result < 0) fail("the table is said to be full, and there was room before and after");
    leave(&survivor, survivor.result == 0 ? &next_swarm : &first_swarm);
}

void run_enrol_agent(void)
{
    struct ap_agent_registration agent = {.name = "actor", .lane = actor.lane.index};
    struct ap_swarm_registration r = {.service = "server", .instance = "actor", .agents = &agent, .agent_count = 1};

    actor.result = enrol(&actor, &r);
    if (actor.result == 0) leave(&actor, &r);
}

/* The other queue is that of a swarm which has gone. */
void image_house(void)
{
    mover.lane = survivor.lane.index;
    next_swarm.agents = &mover;
    next_swarm.agent_count = 1;
    if (enrol(&survivor, &next_swarm) < 0) exit(2);
    leave(&survivor, &next_swarm);
}

/* Which comes back, while the survivor leaves its own queue to whoever comes. */
void other_move_house(void)
{
    survivor.result = enrol(&survivor, &next_swarm);
    if (survivor.result < 0) return;
    ap_queue_close(survivor.seg, 0, ap_load_acquire(&ap_queue_at(survivor.seg, 0)->life));
    ap_swarm_end(survivor.seg, 0, ap_load_acquire(&ap_swarm_at(survivor.seg, 0)->life));
}

void before_moved_house(bool over)
{
    if (over && actor.result < 0) fail("there is said to be no queue, and there was one before and after");
    if (survivor.result < 0) return;
    leave(&survivor, &next_swarm);
    survivor_register();
}

/* Of the rows one is of a supervisor who has gone, and the first is another lane's. */
void image_supervised(void)
{
    uint64_t count = survivor.seg->sections[AP_SECTION_SUPERVISED].count;
    struct ap_supervision s = {.state = AP_CHILD_WAITING};
    uint32_t row;

    image_member();
    for (uint64_t i = 0; i < count; i++) {
        uint32_t lane = i == 0 ? survivor.second.index : survivor.lane.index;

        if (i == 2) ap_supervised_end(survivor.seg, lane);
        if (ap_supervised_take(survivor.seg, lane, 1, "server", &s, &row) < 0 || row != i) exit(2);
    }
}

void run_supervise_once(void)
{
    struct ap_supervision s = {.state = AP_CHILD_WAITING};
    uint32_t row;

    actor.result = ap_supervised_take(actor.seg, actor.lane.index, 1, "server", &s, &row);
    if (actor.result == 0) ap_supervised_end(actor.seg, actor.lane.index);
}

void other_supervise(void)
{
    struct ap_supervision s = {.state = AP_CHILD_WAITING};
    uint32_t row;

    if (ap_supervised_take(survivor.seg, survivor.lane.index, 1, "server", &s, &row) < 0) return;
    ap_supervised_end(survivor.seg, survivor.second.index);
}

void before_supervised(bool over)
{
    ap_supervised_end(survivor.seg, survivor.lane.index);
    ap_supervised_end(survivor.seg, survivor.second.index);
    before_turned_over(over);
    ap_supervised_forget(survivor.seg);
}
