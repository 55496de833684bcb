/* registry/discovery/service_enter.c - a name that is new: who enters it, and whose row it gets. See registry.h. */
#include "core/name.h"
#include "registry/client/carried.h"
#include "registry/routing/admission.h"
#include "registry/routing/rules.h"
#include "registry/discovery/service.h"

static bool enter_step(struct ap_service *s, uint64_t life, uint32_t lane, uint32_t state)
{
    return ap_cas(&s->life, &life, AP_SERVICE_LIFE(AP_SERVICE_EPOCH(life) + 1, lane, state)); /* NAME-R1 pairs NAME-A1 */
}

/* ---- who uses a name ------------------------------------------------------------------------------------------ */

static bool member_uses(const struct ap_segment *seg, const char *name)
{
    for (uint32_t i = 0; i < seg->geometry.members; i++) {
        const struct ap_member *m = ap_member_at(seg, i);
        char text[sizeof m->swarm];

        if (AP_MEMBER_STATE(ap_load_acquire(&m->life)) == AP_LIFE_FREE) continue; /* MEMBER-A1 pairs MEMBER-R1 */
        for (size_t k = 0; k < sizeof text; k++) text[k] = ap_load_relaxed(&m->swarm[k]);
        if (strncmp(text, name, sizeof text) == 0) return true;
    }
    return false;
}

static bool swarm_uses(const struct ap_segment *seg, uint32_t service)
{
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        const struct ap_swarm *s = ap_swarm_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */

        if (AP_SWARM_STATE(life) != AP_SWARM_FREE && ap_load_relaxed(&s->service) == service) return true;
    }
    return false;
}

/* The service + 1 for which a gate has passed a task on (rules.h); 0: it is none of those, or for nobody. */
static uint32_t passed_for(const struct ap_segment *seg, uint64_t slot, uint64_t generation)
{
    const struct ap_carried *row = ap_carried_at(seg, slot);

    return ap_load_relaxed(&row->generation) == generation ? AP_PASSED_CALLER(ap_load_relaxed(&row->passed)) : 0;
}

/* A slot that is being filled is its lane's, and so its member's. */
static bool task_uses(const struct ap_segment *seg, uint32_t service)
{
    for (uint64_t i = 0; i < seg->geometry.tasks; i++) {
        const struct ap_slot *slot = ap_slot_at(seg, i);
        uint32_t state = AP_WORD_STATE(ap_load_acquire(&slot->word)); /* TASK-A2 pairs TASK-R2 */

        if (state == AP_TASK_FREE || state == AP_TASK_RESERVED) continue;
        if (ap_load_relaxed(&slot->caller) == service + 1 || ap_load_relaxed(&slot->only) == service + 1) return true;
        if (passed_for(seg, i, AP_WORD_GENERATION(ap_load_acquire(&slot->word))) == service + 1) return true;
    }
    return false;
}

/* The services of all records, a bit each: of thousands of names that are in use most are found so, in one look at the records. */
struct services_used {
    uint64_t bits[(AP_SERVICES_MAX + 63) / 64];
};

static void swarms_use(const struct ap_segment *seg, struct services_used *ret)
{
    memset(ret, 0, sizeof *ret);
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SWARMS].count; i++) {
        const struct ap_swarm *s = ap_swarm_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
        uint32_t service = ap_load_relaxed(&s->service);

        if (AP_SWARM_STATE(life) != AP_SWARM_FREE && service < AP_SERVICES_MAX)
            ret->bits[service / 64] |= UINT64_C(1) << service % 64;
    }
}

/* Members first: what they leave behind, tasks and tickets, was there before they went. */
static bool enter_used(const struct ap_segment *seg, uint32_t service, const char *name)
{
    return member_uses(seg, name) || swarm_uses(seg, service) || ap_tickets_any(seg, service) || task_uses(seg, service);
}

/* Frees a row that is not in use. A lane that begins to use it has recorded that before it looks at the row. So either that use
 * is seen here, or the lane sees CONDEMNED and takes it back, and the last step here fails. */
static bool reclaim(struct ap_segment *seg, uint32_t service)
{
    struct ap_service *s = ap_service_at(seg, service);
    char name[APIARY_NAME_MAX + 1];
    uint64_t life = ap_service_read(s, name);
    bool is_used;

    if (!ap_service_named(life) || enter_used(seg, service, name) || !enter_step(s, life, 0, AP_SERVICE_CONDEMNED)) return false;
    life = AP_SERVICE_LIFE(AP_SERVICE_EPOCH(life) + 1, 0, AP_SERVICE_CONDEMNED);
    ap_fence_full(); /* NAME-F1 pairs NAME-F1 of a lane that begins to use it */
    is_used = enter_used(seg, service, name);
    return enter_step(s, life, 0, is_used ? AP_SERVICE_READY : AP_SERVICE_FREE) && !is_used;
}

/* ---- a new name ----------------------------------------------------------------------------------------------- */

static void enter_fill(struct ap_service *s, uint64_t key, const char *name)
{
    uint64_t *words = (uint64_t *)(void *)s->name;
    char padded[APIARY_NAME_MAX + 1] = "";

    memcpy(padded, name, strlen(name));
    ap_fence_release(); /* NAME-R2 pairs NAME-A2 */
    ap_store_relaxed(&s->key, key);
    for (uint32_t i = 0; i < AP_SERVICE_WORDS; i++) {
        uint64_t word;
        memcpy(&word, padded + 8 * i, sizeof word);
        ap_store_relaxed(&words[i], word);
    }
}

static bool enter_settle(struct ap_segment *seg, uint32_t row, uint64_t life, uint64_t key, const char *name);

/* Another row of this name: APIARY_EEXIST when one has it, or will. A NAMED row before this one has precedence, and is settled
 * on the way: its owner may be slow, or stopped, and nobody waits for it. A NAMED row behind this one is turned away; when it has
 * changed by then it is looked at again. `own` may be the number of rows: then all are before it. */
static int look_at_others(struct ap_segment *seg, uint32_t own, uint64_t key, const char *name)
{
    for (uint32_t i = 0; i < ap_service_count(seg); i++) {
        struct ap_service *s = ap_service_at(seg, i);
        uint64_t life;

        if (i == own) continue;
        while (ap_service_is(s, key, name, AP_SERVICE_ACCEPT_NAMED | 1u << AP_SERVICE_NAMED, &life)) {
            if (ap_service_named(life)) return APIARY_EEXIST;
            if (i < own) {
                enter_settle(seg, i, life, key, name);
                return APIARY_EEXIST;
            }
            if (enter_step(s, life, 0, AP_SERVICE_FREE)) break;
        }
    }
    return 0;
}

/* The last step of a row that was seen NAMED with this life, by its owner or by anybody: READY, or FREE because the name is another
 * row's. Whether it has become READY by this step. */
static bool enter_settle(struct ap_segment *seg, uint32_t row, uint64_t life, uint64_t key, const char *name)
{
    int others;

    ap_fence_full(); /* NAME-F1 pairs NAME-F1 of another who enters it */
    others = look_at_others(seg, row, key, name);
    return enter_step(ap_service_at(seg, row), life, 0, others == 0 ? AP_SERVICE_READY : AP_SERVICE_FREE) && others == 0;
}

/* Takes the FREE row for the name: its index, -1 when another has it, or has the name meanwhile. */
static int enter(struct ap_segment *seg, uint32_t lane, uint32_t service, const char *name)
{
    struct ap_service *s = ap_service_at(seg, service);
    uint64_t life = ap_load_acquire(&s->life), key = ap_hash(name, strlen(name)); /* NAME-A1 pairs NAME-R1 */
    uint64_t epoch = AP_SERVICE_EPOCH(life);

    if (AP_SERVICE_STATE(life) != AP_SERVICE_FREE || !enter_step(s, life, lane, AP_SERVICE_FILLING)) return -1;
    enter_fill(s, key, name);
    if (!enter_step(s, AP_SERVICE_LIFE(epoch + 1, lane, AP_SERVICE_FILLING), lane, AP_SERVICE_NAMED)) return -1;
    return enter_settle(seg, service, AP_SERVICE_LIFE(epoch + 2, lane, AP_SERVICE_NAMED), key, name) ? (int)service : -1;
}

void ap_services_end(struct ap_segment *seg, uint32_t lane, uint64_t beside)
{
    for (uint32_t i = 0; i < ap_service_count(seg); i++) {
        struct ap_service *s = ap_service_at(seg, i);
        uint64_t life = ap_load_acquire(&s->life); /* NAME-A1 pairs NAME-R1 */
        uint32_t state = AP_SERVICE_STATE(life);

        if ((state == AP_SERVICE_FILLING || state == AP_SERVICE_NAMED) && AP_SERVICE_LANE(life) == lane &&
            ap_lane_still(seg, lane, beside))
            enter_step(s, life, 0, AP_SERVICE_FREE);
    }
}

/* A number that changes whenever a row changes, or a member or registered instance that may use one. */
static uint64_t lives(const struct ap_segment *seg)
{
    uint64_t services = AP_LIVES(seg, AP_SECTION_SERVICES, struct ap_service);
    uint64_t members = AP_LIVES(seg, AP_SECTION_MEMBERS, struct ap_member);

    return (services * 31 + members) * 31 + AP_LIVES(seg, AP_SECTION_SWARMS, struct ap_swarm);
}

/* A row for a name that has none: the first that is FREE, else that of a name that nobody uses, else that of a service whose
 * instances have all gone, as far as no operator has put them into a mode and nothing waits for them. */
static int enter_any(struct ap_segment *seg, uint32_t lane, const char *name)
{
    uint64_t key = ap_hash(name, strlen(name));
    struct services_used used;
    int r;

    if (look_at_others(seg, ap_service_count(seg), key, name) != 0) return -1; /* a row of the name is there, or was settled */
    for (uint32_t i = 0; i < ap_service_count(seg); i++) {
        /* NAME-A1 pairs NAME-R1 */
        if (AP_SERVICE_STATE(ap_load_acquire(&ap_service_at(seg, i)->life)) != AP_SERVICE_FREE) continue;
        r = enter(seg, lane, i, name);
        if (r >= 0 || ap_service_find(seg, name) >= 0) return r;
    }
    do {
        swarms_use(seg, &used);
        for (uint32_t i = 0; i < ap_service_count(seg); i++)
            if ((used.bits[i / 64] >> i % 64 & 1) == 0 && reclaim(seg, i)) return enter(seg, lane, i, name);
    } while (ap_swarm_forget(seg, lane));
    return -1;
}

/* The row of the name, if it is entered: its index. -1: it is not. */
static int enter_found(struct ap_segment *seg, const char *name)
{
    for (int tries = 0; tries < AP_SERVICE_TRIES; tries++) {
        uint64_t life = 0;
        int at = ap_service_lookup(seg, name, &life);
        bool condemned = at >= 0 && AP_SERVICE_STATE(life) == AP_SERVICE_CONDEMNED;

        if (!condemned || enter_step(ap_service_at(seg, (uint32_t)at), life, 0, AP_SERVICE_READY)) return at;
    }
    return -1;
}

int ap_service_intern(struct ap_segment *seg, uint32_t lane, const char *name, uint32_t *ret)
{
    int at;

    if (!ap_name_valid(name, APIARY_NAME_MAX)) return APIARY_EINVAL;
    ap_fence_full(); /* NAME-F1 pairs NAME-F1 of a lane that reclaims it: the caller has recorded its use before */
    at = enter_found(seg, name);
    for (struct ap_search s = {0}; at < 0 && ap_search_again(&s, lives(seg));) {
        at = enter_any(seg, lane, name);
        if (at < 0) at = enter_found(seg, name);
    }
    if (at < 0) return APIARY_ETABLEFULL;
    *ret = (uint32_t)at;
    return 0;
}
