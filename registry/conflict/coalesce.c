/* registry/conflict/coalesce.c - tasks of one dedup key share one run. See coalesce.h. */
#include "registry/conflict/coalesce.h"

#include "registry/client/carried.h"
#include "registry/routing/terms.h"
#include "shm/follow.h"
#include "shm/start_by.h"

_Static_assert(sizeof(struct ap_leading) == 2 * AP_LINE, "a group is two lines");

#define NAMINGS 64 /* each that fails is another's progress; the bound is for a segment that is being corrupted */

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static bool leading_flies(uint64_t word, uint64_t generation)
{
    return AP_WORD_GENERATION(word) == generation && (ap_task_waits(AP_WORD_STATE(word)) || AP_WORD_STATE(word) == AP_TASK_RUNNING);
}

static bool flies(const struct ap_segment *seg, uint32_t slot, uint64_t generation)
{
    const struct ap_slot *at = ap_slot_at(seg, slot);

    return at != NULL && leading_flies(ap_load_acquire(&at->word), generation); /* TASK-A1 pairs TASK-R1 */
}

bool ap_dedup_of(const struct ap_segment *seg, uint32_t slot, uint64_t generation, struct ap_dedup *ret)
{
    const struct ap_slot *at = ap_slot_at(seg, slot);
    const struct ap_carried *row = ap_carried_at(seg, slot);
    uint64_t request;

    if (at == NULL || row == NULL || !flies(seg, slot, generation)) return false;
    request = ap_load_acquire(&at->request); /* TASK-A7 pairs TASK-R7 */
    ret->key = ap_load_acquire(&row->generation) == generation ? ap_load_acquire(&row->dedup_key) : 0;
    ret->capability = ap_load_acquire(&at->capability);
    ret->only = ap_load_acquire(&at->only);
    /* A second look at the word: what was read is this task's. */
    return flies(seg, slot, generation) && ret->key != 0 &&
           ap_request_has(request, AP_WORD(0, 0, 0, generation), AP_REQUEST_COALESCED);
}

static bool same_key(const struct ap_dedup *a, const struct ap_dedup *b)
{
    return a->key == b->key && a->capability == b->capability && a->only == b->only;
}

/* splitmix64 */
uint64_t ap_dedup_group(const struct ap_segment *seg, const struct ap_dedup *key)
{
    uint64_t x = key->key ^ ((uint64_t)key->only << 32 | key->capability) * UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % seg->sections[AP_SECTION_LEADING].count;
}

/* ---- who leads -------------------------------------------------------------------------------------------------- */

struct group_look {
    uint64_t leader; /* the reference of who leads the key; 0: nobody does */
    uint32_t place;  /* one whose task is not in flight, from 1; 0: none */
};

/* Adds what a reference in a group says. */
static void look_ref(const struct ap_segment *seg, uint64_t ref, uint32_t place, const struct ap_dedup *key, struct group_look *ret)
{
    struct ap_dedup other;

    if (ref == 0) {
        if (ret->place == 0) ret->place = place;
        return;
    }
    if (ap_dedup_of(seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref), &other)) {
        if (same_key(&other, key)) ret->leader = ref;
    } else if (!flies(seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref)) && ret->place == 0) {
        ret->place = place;
    }
}

/* Of a group whose `entered` is complete. */
static struct group_look look_group(const struct ap_segment *seg, const struct ap_leading *g, const struct ap_dedup *key)
{
    struct group_look ret = {.leader = 0};

    for (uint32_t i = 0; i < AP_LEADERS && ret.leader == 0; i++)
        look_ref(seg, ap_load_acquire(&g->leader[i]), i + 1, key, &ret); /* COAL-A1 pairs COAL-R1 */
    return ret;
}

/* The task that was named last stands at its place. */
static void leading_complete(struct ap_leading *g, uint64_t entered)
{
    uint32_t place = AP_ENTERED_PLACE(entered);
    uint64_t *at, was;

    if (place == 0 || place > AP_LEADERS) return;
    at = &g->leader[place - 1];
    was = ap_load_acquire(at); /* COAL-A1 pairs COAL-R1 */
    if (was == AP_ENTERED_REF(entered) || ap_load_acquire(&g->entered) != entered) return; /* COAL-A1 pairs COAL-R1 */
    ap_cas(at, &was, AP_ENTERED_REF(entered)); /* COAL-R1 pairs COAL-A1 */
}

/* _IS, _FULL, _OVER; or _FOLLOWS, and *leader is the reference of who leads. */
static enum ap_lead name_once(struct ap_segment *seg, struct ap_leading *g, uint64_t ref, const struct ap_dedup *key,
                              uint64_t *leader)
{
    for (int tries = 0; tries < NAMINGS; tries++) {
        uint64_t entered = ap_load_acquire(&g->entered); /* COAL-A1 pairs COAL-R1 */
        struct group_look look;

        leading_complete(g, entered);
        look = look_group(seg, g, key);
        *leader = look.leader;
        /* With another one named meanwhile the words were not those of `entered`, but who leads was read of one. */
        if (look.leader != 0) return look.leader == ref ? AP_LEAD_IS : AP_LEAD_FOLLOWS;
        if (!flies(seg, AP_REF_SLOT(ref), AP_REF_GENERATION(ref))) return AP_LEAD_OVER;
        if (look.place == 0 && ap_load_acquire(&g->entered) == entered) return AP_LEAD_FULL; /* COAL-A1 pairs COAL-R1 */
        if (look.place == 0 || !ap_cas(&g->entered, &entered, AP_ENTERED(look.place, ref))) continue; /* COAL-R1 pairs COAL-A1 */
        leading_complete(g, AP_ENTERED(look.place, ref));
        return AP_LEAD_IS;
    }
    return AP_LEAD_FULL;
}

enum ap_lead ap_coalesce_lead(void *user, struct ap_segment *seg, uint32_t index, uint64_t word)
{
    uint64_t generation = AP_WORD_GENERATION(word), leader;
    struct ap_leading *g;
    struct ap_dedup key;
    enum ap_lead lead;

    (void)user;
    if (!ap_dedup_of(seg, index, generation, &key)) return flies(seg, index, generation) ? AP_LEAD_IS : AP_LEAD_OVER;
    g = ap_leading_at(seg, ap_dedup_group(seg, &key));
    if (g == NULL) return AP_LEAD_IS;
    for (int tries = 0; tries < NAMINGS; tries++) {
        lead = name_once(seg, g, AP_REF(index, generation), &key, &leader);
        if (lead != AP_LEAD_FOLLOWS) return lead;
        ap_follow_join(seg, index);
        /* The second look: one that has ended before the join was to be seen need not know of it. */
        if (flies(seg, AP_REF_SLOT(leader), AP_REF_GENERATION(leader))) return AP_LEAD_FOLLOWS;
    }
    return AP_LEAD_FULL;
}

/* A group that others may be changing: what is being entered is seen at its place. */
static struct group_look look_now(const struct ap_segment *seg, const struct ap_dedup *key)
{
    const struct ap_leading *g = ap_leading_at(seg, ap_dedup_group(seg, key));
    struct group_look ret = {.leader = 0}, last = {.leader = 0};
    uint64_t entered;

    if (g == NULL) return ret;
    entered = ap_load_acquire(&g->entered); /* COAL-A1 pairs COAL-R1 */
    ret = look_group(seg, g, key);
    if (ret.leader == 0 && entered != 0) look_ref(seg, AP_ENTERED_REF(entered), 0, key, &last);
    if (last.leader != 0) ret.leader = last.leader;
    return ret;
}

enum ap_lead ap_coalesce_look(const struct ap_segment *seg, const struct ap_dedup *key)
{
    struct group_look look = look_now(seg, key);

    if (look.leader != 0) return AP_LEAD_FOLLOWS;
    return look.place != 0 ? AP_LEAD_IS : AP_LEAD_FULL;
}

bool ap_coalesce_leader(const struct ap_segment *seg, uint32_t slot, uint64_t generation, uint64_t *ret)
{
    struct ap_dedup key;

    if (!ap_dedup_of(seg, slot, generation, &key)) return false;
    *ret = look_now(seg, &key).leader;
    return *ret != 0;
}

/* ---- followers -------------------------------------------------------------------------------------------------- */

struct leading {
    uint64_t ref, now;
    struct ap_dedup key;
};

/* Whether the task of a slot has the leader's key, is due, and is in time. *word is its. */
static bool follows(struct ap_segment *seg, uint32_t index, const struct leading *of, uint64_t *word)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    struct ap_dedup key;

    *word = ap_load_acquire(&slot->word); /* TASK-A1 pairs TASK-R1 */
    if (AP_WORD_STATE(*word) != AP_TASK_SCHEDULED || AP_REF(index, AP_WORD_GENERATION(*word)) == of->ref) return false;
    if (!ap_dedup_of(seg, index, AP_WORD_GENERATION(*word), &key) || !same_key(&key, &of->key)) return false;
    return ap_load_acquire(&slot->due) <= of->now && ap_slot_until(slot, *word) > of->now;
}

/* Whether one may wait there for another's outcome. */
static bool may_follow(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = ap_load_acquire(&slot->word); /* TASK-A1 pairs TASK-R1 */

    return AP_WORD_STATE(word) == AP_TASK_SCHEDULED && ap_coalesced(slot, word);
}

void ap_coalesce_each(struct ap_segment *seg, uint32_t index, uint64_t word, ap_follower_fn each, void *user)
{
    struct leading of = {.ref = AP_REF(index, AP_WORD_GENERATION(word)), .now = seg->ops->now()};

    if (!ap_dedup_of(seg, index, AP_WORD_GENERATION(word), &of.key)) return;
    for (uint32_t s = 0; s < seg->sections[AP_SECTION_SLABS].count; s++) {
        uint64_t seen = ap_follow_any(seg, s), its;
        bool some = false;

        if (seen == 0) continue;
        for (uint32_t i = s * AP_SLAB_SLOTS; i < (s + 1) * AP_SLAB_SLOTS; i++) {
            if (follows(seg, i, &of, &its)) each(user, seg, i, its);
            if (may_follow(seg, i)) some = true;
        }
        if (!some) ap_follow_none(seg, s, seen);
    }
}

void ap_coalesce_count(struct ap_segment *seg, uint32_t capability)
{
    struct ap_terms *row = ap_terms_at(seg, capability);

    if (row != NULL) ap_add_relaxed(&row->coalesced, 1);
}

struct failing {
    uint64_t word; /* the leader's */
    uint32_t self, leader;
    int code;
};

/* The leader is a dead lane's, of which several may see to: one that is late finds its word changed, and leaves alone those that
 * have followed another since. */
static void fail_follower(void *user, struct ap_segment *seg, uint32_t index, uint64_t word)
{
    const struct failing *f = user;
    struct ap_slot *slot = ap_slot_at(seg, index);
    struct ap_lane *client = ap_lane_at(seg, ap_load_relaxed(&slot->client)); /* before the slot may be another task's */
    uint32_t capability = ap_load_relaxed(&slot->capability);

    if (ap_load_acquire(&ap_slot_at(seg, f->leader)->word) != f->word) return; /* TASK-A2 pairs TASK-R2 */
    if (!ap_task_cancel_queued(seg, index, word, AP_TASK_FAILED, f->code)) return;
    ap_coalesce_count(seg, capability);
    if (client != NULL) ap_bell_ring(seg->ops, &client->bell);
    ap_fence_full(); /* TASK-F3 pairs TASK-F4 */
    if (f->self != AP_NO_LANE) ap_task_free_unseen(seg, f->self, index, ap_registry_hooks.freed, seg);
}

void ap_coalesce_fail(void *user, struct ap_segment *seg, uint32_t self, uint32_t index, uint64_t word, int code)
{
    struct failing f = {.word = word, .self = self, .leader = index, .code = code};
    uint64_t leader;

    (void)user;
    /* A follower that was being given its outcome leads nobody. */
    if (!ap_coalesce_leader(seg, index, AP_WORD_GENERATION(word), &leader) || leader != AP_REF(index, AP_WORD_GENERATION(word)))
        return;
    ap_coalesce_each(seg, index, word, fail_follower, &f);
}

/* ---- its part --------------------------------------------------------------------------------------------------- */

static void look_reference(struct ap_look *look, const uint64_t *at, uint64_t ref)
{
    if (ref >> 60 != 0 || AP_REF_SLOT(ref) >= look->seg->geometry.tasks)
        ap_look_found(look, AP_CORRUPT, at, ref, "Y3", "reference %016llx", (unsigned long long)ref);
}

/* The words may have been read while others were named: a finding is looked at again. */
static void look_keys(struct ap_look *look, const struct ap_leading *g)
{
    struct ap_dedup keys[AP_LEADERS];
    uint64_t refs[AP_LEADERS];
    bool has[AP_LEADERS];

    for (uint32_t i = 0; i < AP_LEADERS; i++) {
        refs[i] = ap_look_64(look, &g->leader[i]);
        has[i] = ap_dedup_of(look->seg, AP_REF_SLOT(refs[i]), AP_REF_GENERATION(refs[i]), &keys[i]);
        for (uint32_t k = 0; k < i && has[i]; k++) {
            if (!has[k] || !same_key(&keys[i], &keys[k])) continue;
            ap_look_found(look, AP_CORRUPT, &g->leader[i], refs[i] ^ refs[k] << 1, "Y2", "slots %u and %u lead one key",
                          AP_REF_SLOT(refs[k]), AP_REF_SLOT(refs[i]));
        }
    }
}

void ap_coalesce_look_slot(struct ap_look *look)
{
    const struct ap_slot *slot = ap_slot_at(look->seg, look->index);
    uint64_t word = ap_look_64(look, &slot->word), ref = AP_REF(look->index, AP_WORD_GENERATION(word));
    struct ap_dedup key;
    uint64_t leader;

    if (AP_WORD_STATE(word) != AP_TASK_QUEUED || !ap_coalesced(slot, word)) return;
    if (!ap_dedup_of(look->seg, (uint32_t)look->index, AP_WORD_GENERATION(word), &key)) return;
    leader = look_now(look->seg, &key).leader;
    if (leader != ref)
        ap_look_found(look, AP_CORRUPT, &slot->word, word ^ leader, "Y1", "queued with a dedup key that it does not lead (%016llx)",
                      (unsigned long long)leader);
}

static void look_leading(struct ap_look *look)
{
    const struct ap_leading *g = ap_leading_at(look->seg, look->index);
    uint64_t entered = ap_look_64(look, &g->entered);

    if (entered != 0 && (AP_ENTERED_PLACE(entered) == 0 || AP_ENTERED_PLACE(entered) > AP_LEADERS))
        ap_look_found(look, AP_CORRUPT, &g->entered, entered, "Y3", "place %u", AP_ENTERED_PLACE(entered));
    look_reference(look, &g->entered, AP_ENTERED_REF(entered));
    for (uint32_t i = 0; i < AP_LEADERS; i++) look_reference(look, &g->leader[i], ap_look_64(look, &g->leader[i]));
    look_keys(look, g);
    ap_look_zero(look, &g->reserved, sizeof g->reserved, "Y3", "reserved");
}

static uint64_t leading_count(const struct ap_geometry *g)
{
    return g->tasks / AP_LEADING_SLOTS;
}

static const struct ap_field leading_fields[] = {
    AP_FIELD(ap_leading, entered), AP_FIELD(ap_leading, leader), AP_FIELD(ap_leading, reserved), {NULL, 0, 0},
};
const struct ap_part ap_part_leading = {
    .name = "leading", .element = "leading", .size = sizeof(struct ap_leading), .count = leading_count, .fields = leading_fields,
    .numbers = AP_NO_NUMBERS, .look = look_leading, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
