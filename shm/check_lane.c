/* shm/check_lane.c - the checkers of members and lanes. See check.h for the rules. */
#include <limits.h>

#include "core/name.h"
#include "shm/claim.h"
#include "shm/image.h"
#include "shm/part.h"
#include "shm/task.h"

#define TID_MASK 0x3fffffffu
#define TID_MAX (1u << 22) /* the kernel's PID_MAX_LIMIT */

/* ---- members -------------------------------------------------------------------------------------------------- */

static void member_anchor(struct ap_look *look, const struct ap_member *m, uint64_t life)
{
    const struct ap_lane *lane = ap_lane_at(look->seg, AP_MEMBER_LANE(life));
    uint64_t lane_life = 0;
    uint32_t member;

    switch (ap_look_owner(look, AP_MEMBER_LANE(life), &lane_life)) {
    case AP_OWNER_ABSENT: return; /* M1 */
    case AP_OWNER_DEAD:
        ap_look_found(look, AP_REPAIRABLE, &m->life, life, "M3", "its process is dead and not recovered yet (lane %u)",
                      AP_MEMBER_LANE(life));
        return;
    case AP_OWNER_FREE:
        ap_look_found(look, AP_CORRUPT, &m->life, life ^ lane_life, "M3", "its anchor lane %u is FREE",
                      AP_MEMBER_LANE(life));
        return;
    case AP_OWNER_LIVE: break;
    }
    member = ap_look_32(look, &lane->member);
    /* The lane learns its member last. */
    if (AP_MEMBER_STATE(life) == AP_LIFE_LIVE && member != look->index && member != 0)
        ap_look_found(look, AP_CORRUPT, &m->life, life ^ member, "M3", "its anchor lane %u belongs to member %u",
                      AP_MEMBER_LANE(life), member);
}

static void member_identity(struct ap_look *look, const struct ap_member *m, uint64_t life)
{
    uint64_t pid = ap_look_64(look, (const uint64_t *)&m->pid), start = ap_look_64(look, &m->start_time);
    uint32_t kind = ap_look_32(look, &m->kind);
    char name[sizeof m->name], swarm[sizeof m->swarm];

    if (pid == 0 || pid > TID_MAX)
        ap_look_found(look, AP_CORRUPT, &m->pid, pid ^ life, "M2", "process %lld is none", (long long)pid);
    if (start == 0) ap_look_found(look, AP_CORRUPT, &m->start_time, life, "M2", "its process has no start time");
    if (kind < APIARY_CLIENT || kind > APIARY_TOOL)
        ap_look_found(look, AP_CORRUPT, &m->kind, kind ^ life, "M2", "kind %u", kind);
    ap_look_date(look, &m->attached, "M5", "attached");
    ap_look_text(look, m->name, sizeof name, "M4", "name", name);
    if (ap_look_text(look, m->swarm, sizeof swarm, "M4", "swarm", swarm) != 0 && !ap_name_valid(swarm, APIARY_NAME_MAX))
        ap_look_found(look, AP_CORRUPT, m->swarm, life, "M4", "swarm \"%s\" is not a service name", swarm);
}

static void look_member(struct ap_look *look)
{
    const struct ap_member *m = ap_member_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &m->life);
    uint32_t state = AP_MEMBER_STATE(life), lane = AP_MEMBER_LANE(life);

    if (state != AP_LIFE_FREE && state != AP_LIFE_LIVE && state != AP_MEMBER_CLAIMED)
        ap_look_found(look, AP_CORRUPT, &m->life, life, "M1", "state %u", state);
    if (lane >= look->seg->geometry.lanes || (state == AP_LIFE_FREE && lane != 0))
        ap_look_found(look, AP_CORRUPT, &m->life, life, "M1", "anchor lane %u, state %u", lane, state);
    if (state == AP_LIFE_LIVE || state == AP_MEMBER_CLAIMED) member_anchor(look, m, life);
    if (state == AP_LIFE_LIVE) member_identity(look, m, life);
    ap_look_zero(look, &m->reserved, sizeof m->reserved, "M6", "reserved");
    ap_look_zero(look, m->pad, sizeof m->pad, "M6", "pad");
}

/* ---- lanes ---------------------------------------------------------------------------------------------------- */

/* The lock word, the mutex' owner and tid are three witnesses of one thread. */
static void lane_holder(struct ap_look *look, const struct ap_lane *lane, uint64_t life, uint32_t lock)
{
    uint32_t tid = ap_look_32(look, &lane->tid), holder = lock & TID_MASK;
    uint32_t owner = ap_look_32(look, (const uint32_t *)&lane->mutex.__data.__owner);

    if (tid == 0 || tid > TID_MAX)
        ap_look_found(look, AP_CORRUPT, &lane->tid, life ^ tid, "L6", "thread %u is none", tid);
    if (holder == tid || owner == INT_MAX) return; /* INT_MAX: a reaper has just taken it */
    /* Between a reaper's lock and its mark in `owner` lie two instructions. */
    look->patient = true;
    if (owner != tid)
        ap_look_found(look, AP_CORRUPT, &lane->tid, life ^ tid, "L6", "thread %u, but %u holds the mutex", tid, holder);
    if (owner != holder)
        ap_look_found(look, AP_CORRUPT, ap_robust_word(&lane->mutex), life ^ lock, "L6",
                      "thread %u holds the mutex of thread %u", holder, tid);
}

static void lane_member(struct ap_look *look, const struct ap_lane *lane, uint64_t life, uint32_t index)
{
    const struct ap_member *m = ap_member_at(look->seg, index);
    uint64_t member;

    if (m == NULL) return; /* said already */
    member = ap_look_64(look, &m->life);
    if (AP_MEMBER_STATE(member) == AP_LIFE_LIVE) return;
    /* An anchor lane is opened before its member and closed after it. */
    if (index == 0) return;
    look->patient = true;
    ap_look_found(look, AP_REPAIRABLE, &lane->member, life ^ member, "L3", "member %u is not LIVE", index);
}

static void check_lane_lane_live(struct ap_look *look, const struct ap_lane *lane, uint64_t life, uint32_t kind, uint32_t lock)
{
    uint32_t state = AP_LIFE_STATE(life);

    if (kind == 0) ap_look_found(look, AP_CORRUPT, &lane->kind, life, "L4", "kind 0");
    if (state != AP_LIFE_LIVE) {
        look->patient = true;
        ap_look_found(look, AP_REPAIRABLE, &lane->life, life, "L5", "its recovery is not complete");
        return;
    }
    if (ap_lane_dead(look->seg, (uint32_t)look->index) || ap_image_gone(look->seg, (uint32_t)look->index)) {
        ap_look_found(look, AP_REPAIRABLE, ap_robust_word(&lane->mutex), life ^ lock, "L5",
                      "its %s is dead and not recovered yet (lock word 0x%08x)",
                      kind == AP_LANE_SHARED ? "process" : "thread", lock);
        return;
    }
    if (kind == AP_LANE_THREAD) lane_holder(look, lane, life, lock);
}

static void lane_hands(struct ap_look *look, const struct ap_lane *lane)
{
    for (unsigned i = 0; i < AP_HANDS; i++) {
        uint64_t hand = ap_look_64(look, &lane->hand[i]);
        const struct ap_slot *slot = ap_slot_at(look->seg, AP_REF_SLOT(hand));

        if (hand == 0 || (slot != NULL && hand >> 60 == 0 && AP_REF_GENERATION(hand) != 0)) continue;
        ap_look_found(look, AP_CORRUPT, &lane->hand[i], hand, "L8", "hand %u: reference %016llx names no task", i,
                      (unsigned long long)hand);
    }
}

/* The traces that a dead thread leaves for its reaper. */
static void lane_crash(struct ap_look *look, const struct ap_lane *lane)
{
    uint64_t inside = ap_look_64(look, &lane->inside);
    uint32_t crash = ap_look_32(look, &lane->crash);
    bool known = (inside & AP_INSIDE_IS_AGENT) != 0 ? (inside & ~AP_INSIDE_IS_AGENT) < look->seg->geometry.queues
                                                     : inside >> 60 == 0 && AP_REF_SLOT(inside) < look->seg->geometry.tasks;

    if (!known)
        ap_look_found(look, AP_CORRUPT, &lane->inside, inside, "L8", "inside %016llx, which is no task's code and no agent's",
                      (unsigned long long)inside);
    if (crash > AP_CRASH_EXEC) ap_look_found(look, AP_CORRUPT, &lane->crash, crash, "L8", "its thread ended by %u", crash);
}

static void lane_waits(struct ap_look *look, const struct ap_lane *lane)
{
    uint64_t waits = ap_look_64(look, &lane->waits);

    if (waits != 0 && ap_claim_at(look->seg, (waits & 0xffff) - 1) == NULL)
        ap_look_found(look, AP_CORRUPT, &lane->waits, waits, "L11", "it waits for claim %llu, which is none",
                      (unsigned long long)((waits & 0xffff) - 1));
}

static void look_lane(struct ap_look *look)
{
    const struct ap_lane *lane = ap_lane_at(look->seg, look->index);
    uint64_t life = ap_look_64(look, &lane->life), joined = ap_look_64(look, &lane->joined);
    uint64_t image = ap_look_64(look, &lane->image), judge = ap_look_64(look, &lane->judge);
    uint64_t images = ap_look_64(look, &look->seg->header->images);
    uint32_t state = AP_LIFE_STATE(life), kind = ap_look_32(look, &lane->kind), member = ap_look_32(look, &lane->member);
    uint32_t lock = ap_look_mutex(look, &lane->mutex, "L7");
    const uint8_t *base = (const uint8_t *)lane;

    if (state > AP_LIFE_DEAD && state != AP_LIFE_JUDGED)
        ap_look_found(look, AP_CORRUPT, &lane->life, life, "L4", "state %u", state);
    if (kind > AP_LANE_SHARED) ap_look_found(look, AP_CORRUPT, &lane->kind, life ^ kind, "L4", "kind %u", kind);
    if (member >= look->seg->geometry.members)
        ap_look_found(look, AP_CORRUPT, &lane->member, life ^ member, "L3", "member %u is out of range", member);
    if (image > images)
        ap_look_found(look, AP_CORRUPT, &lane->image, image, "L9", "image %llu has not been given out",
                      (unsigned long long)image);
    if (judge > images)
        ap_look_found(look, AP_CORRUPT, &lane->judge, judge, "L9", "image %llu, its judge, has not been given out",
                      (unsigned long long)judge);
    if (joined > ap_look_now(look)) ap_look_found(look, AP_CORRUPT, &lane->joined, joined, "L9", "joined in the future");
    if (state == AP_LIFE_LIVE || state == AP_LIFE_DEAD || state == AP_LIFE_JUDGED)
        check_lane_lane_live(look, lane, life, kind, lock);
    if (state == AP_LIFE_LIVE) lane_member(look, lane, life, member);
    lane_hands(look, lane);
    lane_crash(look, lane);
    ap_look_zero(look, lane->pad0, sizeof lane->pad0, "L10", "pad0");
    ap_look_zero(look, base + offsetof(struct ap_lane, mutex) + sizeof lane->mutex,
                 offsetof(struct ap_lane, bell) - offsetof(struct ap_lane, mutex) - sizeof lane->mutex, "L10",
                 "behind the mutex");
    lane_waits(look, lane);
    ap_look_zero(look, base + offsetof(struct ap_lane, passed) + sizeof lane->passed,
                 offsetof(struct ap_lane, hand) - offsetof(struct ap_lane, passed) - sizeof lane->passed, "L10",
                 "behind passed");
}

/* ---- parts ------------------------------------------------------------------------------------------------------ */

static const struct ap_field member_fields[] = {
    AP_FIELD(ap_member, life), AP_FIELD(ap_member, pid), AP_FIELD(ap_member, start_time), AP_FIELD(ap_member, pid_namespace),
    AP_FIELD(ap_member, attached), AP_FIELD(ap_member, kind), AP_FIELD(ap_member, name), AP_FIELD(ap_member, swarm),
    AP_FIELD(ap_member, grants), {NULL, 0, 0},
};
static const struct ap_number member_numbers[] = {
    {.key = "members", .what = "attached processes", .at = AP_NUMBER_AT(members), .otherwise = 128, .min = 1, .max = AP_MEMBERS_MAX,
     .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_members = {
    .name = "members", .element = "member", .size = sizeof(struct ap_member), .fields = member_fields,
    .numbers = member_numbers, .look = look_member,
    .withdraw = ap_part_nothing, .settle = ap_members_settle,
};

static const struct ap_field lane_fields[] = {
    AP_FIELD(ap_lane, life), AP_FIELD(ap_lane, kind), AP_FIELD(ap_lane, tid), AP_FIELD(ap_lane, member),
    AP_FIELD(ap_lane, crash), AP_FIELD(ap_lane, joined), AP_FIELD(ap_lane, pid), AP_FIELD(ap_lane, image),
    AP_FIELD(ap_lane, judge), AP_FIELD(ap_lane, turns), AP_FIELD(ap_lane, mutex), AP_FIELD(ap_lane, bell), AP_FIELD(ap_lane, wants),
    AP_FIELD(ap_lane, waits), AP_FIELD(ap_lane, passed), AP_FIELD(ap_lane, hand), AP_FIELD(ap_lane, inside), {NULL, 0, 0},
};
static const struct ap_number lane_numbers[] = {
    {.key = "lanes", .what = "threads of them that delegate or work", .at = AP_NUMBER_AT(lanes), .otherwise = 256, .min = 1,
     .max = AP_LANES_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_lanes = {
    .name = "lanes", .element = "lane", .size = sizeof(struct ap_lane), .fields = lane_fields, .numbers = lane_numbers,
    .look = look_lane,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
