/* shm/times.c - histograms of a queue: read, added up, checked; their part. See times.h. */
#include "shm/times.h"

#include "shm/part.h"
#include "shm/queue.h"

#define LONG(n) ((unsigned long long)(n))

_Static_assert(sizeof(struct ap_times) % AP_LINE == 0 && offsetof(struct ap_times, waited) == AP_LINE, "times: whole lines");

/* ---- read ------------------------------------------------------------------------------------------------------- */

static void spread_copy(struct ap_spread *to, const uint64_t *buckets, const uint64_t *sum)
{
    to->count = 0;
    to->sum = ap_load_relaxed(sum);
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) to->count += to->buckets[i] = ap_load_relaxed(&buckets[i]);
}

bool ap_times_read(const struct ap_segment *seg, uint32_t queue, struct ap_times_copy *ret)
{
    const struct ap_times *t = ap_times_at(seg, queue);

    if (t == NULL) return false;
    spread_copy(&ret->waited, t->waited, &t->waited_sum);
    spread_copy(&ret->ran, t->ran, &t->ran_sum);
    ret->ejected = ap_load_relaxed(&t->ejected);
    ret->lost = ap_load_relaxed(&t->lost);
    ret->heap = ap_load_relaxed(&t->heap) - 1;
    ret->resident = ap_load_relaxed(&t->resident) - 1;
    return true;
}

void ap_times_heap(struct ap_times *t, uint64_t allocated, uint64_t resident)
{
    if (t == NULL) return;
    ap_store_relaxed(&t->heap, allocated + 1);
    ap_store_relaxed(&t->resident, resident + 1);
}

void ap_times_oldest(const struct ap_segment *seg, uint64_t *ret)
{
    for (uint32_t i = 0; i < seg->geometry.queues; i++) ret[i] = 0;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_SLOTS].count; i++) {
        const struct ap_slot *slot = ap_slot_at(seg, i);
        uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0, queued; /* TASK-A1 pairs TASK-R1 */
        uint32_t queue = (uint32_t)AP_WORD_OWNER(word);

        if (AP_WORD_STATE(word) != AP_TASK_QUEUED || queue >= seg->geometry.queues) continue;
        queued = ap_load_relaxed(&slot->queued);
        if (ap_load_acquire(&slot->word) != word || queued == 0) continue; /* TASK-A1 pairs TASK-R1 */
        if (ret[queue] == 0 || queued < ret[queue]) ret[queue] = queued;
    }
}

void ap_spread_add(struct ap_spread *to, const struct ap_spread *more)
{
    to->count += more->count;
    to->sum += more->sum;
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) to->buckets[i] += more->buckets[i];
}

void ap_spread_since(struct ap_spread *to, const struct ap_spread *before)
{
    bool anew = to->count < before->count || to->sum < before->sum;

    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) anew |= to->buckets[i] < before->buckets[i];
    if (anew) return;
    to->count -= before->count;
    to->sum -= before->sum;
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) to->buckets[i] -= before->buckets[i];
}

uint64_t ap_spread_lower(uint32_t bucket)
{
    if (bucket == AP_SPREAD_BELOW) return 0;
    return bucket < AP_SPREAD_ABOVE ? (UINT64_C(8) + (bucket - 1) % 8) << (7 + (bucket - 1) / 8) : AP_SPREAD_END;
}

uint64_t ap_spread_upper(uint32_t bucket)
{
    return bucket < AP_SPREAD_ABOVE ? ap_spread_lower(bucket + 1) : UINT64_MAX;
}

/* As far from both edges, relative to them. */
static uint64_t shown(uint32_t bucket)
{
    double lower = (double)ap_spread_lower(bucket), upper = (double)ap_spread_upper(bucket);

    if (bucket == AP_SPREAD_BELOW || bucket >= AP_SPREAD_ABOVE) return (uint64_t)lower;
    return (uint64_t)(2 * lower * upper / (lower + upper));
}

uint64_t ap_spread_quantile(const struct ap_spread *s, double q)
{
    double exact = q * (double)s->count;
    uint64_t rank, seen = 0;

    if (s->count == 0) return 0;
    rank = exact > 0 ? (exact < (double)s->count ? (uint64_t)exact : s->count) : 0;
    if ((double)rank < exact && rank < s->count) rank++;
    if (rank == 0) rank = 1;
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) {
        seen += s->buckets[i];
        if (seen >= rank) return shown(i);
    }
    return AP_SPREAD_END;
}

/* ---- anew ------------------------------------------------------------------------------------------------------- */

bool ap_times_half(const struct ap_segment *seg, uint32_t queue)
{
    const struct ap_times *t = ap_times_at(seg, queue);

    return t != NULL && ap_load_relaxed(&t->anew) != 0;
}

void ap_times_begin(struct ap_segment *seg, uint32_t queue)
{
    struct ap_times *t = ap_times_at(seg, queue);

    if (t == NULL) return;
    ap_store_relaxed(&t->anew, 1);
    ap_fence_release(); /* TIMES-R1 pairs TIMES-A1 */
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) {
        ap_store_relaxed(&t->waited[i], 0);
        ap_store_relaxed(&t->ran[i], 0);
    }
    ap_store_relaxed(&t->waited_sum, 0);
    ap_store_relaxed(&t->ran_sum, 0);
    ap_store_relaxed(&t->ejected, 0);
    ap_store_relaxed(&t->lost, 0);
    ap_store_relaxed(&t->heap, 0);
    ap_store_relaxed(&t->resident, 0);
}

void ap_times_begun(struct ap_segment *seg, uint32_t queue)
{
    struct ap_times *t = ap_times_at(seg, queue);

    if (t != NULL) ap_store_release(&t->anew, 0); /* TIMES-R2 pairs TIMES-A2 */
}

void ap_times_lost(const struct ap_segment *seg, uint32_t queue)
{
    struct ap_times *t = ap_times_at(seg, queue);

    if (t != NULL) ap_add_relaxed(&t->lost, 1);
}

/* ---- the part --------------------------------------------------------------------------------------------------- */

static uint64_t look_sum(struct ap_look *look, const uint64_t *buckets)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) sum += ap_look_64(look, &buckets[i]);
    return sum;
}

/* Counts are read in the other order than they are stored: those of the queue, then `ran`, then `waited`. For the bound from above
 * `started` is read once more, behind these. */
static void look_times(struct ap_look *look)
{
    const struct ap_times *t = ap_times_at(look->seg, look->index);
    const struct ap_queue *q = ap_queue_at(look->seg, look->index);
    uint64_t ended, retried, started, ran, waited, most, anew = ap_look_64(look, &t->anew); /* TIMES-A2 pairs TIMES-R2 */

    ap_look_zero(look, t->reserved, sizeof t->reserved, "Q15", "reserved");
    if (anew > 1) ap_look_found(look, AP_CORRUPT, &t->anew, anew, "Q15", "anew %llu", LONG(anew));
    if (anew == 1 || q == NULL) return;
    ended = ap_look_64(look, &q->done) + ap_look_64(look, &q->failed) + ap_look_64(look, &q->late);
    retried = ap_look_64(look, &q->retried);
    started = ap_look_64(look, &q->started);
    ran = look_sum(look, t->ran);
    waited = look_sum(look, t->waited); /* TIMES-A1 pairs TIMES-R1, as all looks at a count */
    most = ap_look_64(look, &q->started) + AP_TIMES_UNTOLD;
    if (ap_look_64(look, &t->anew) == 1) return;
    look->patient = true;
    if (waited < started || waited > most)
        ap_look_found(look, AP_CORRUPT, t->waited, waited ^ started, "Q15", "%llu have waited, %llu have started", LONG(waited),
                      LONG(started));
    if (ended > started) return; /* Q7 */
    ended += retried;
    if (ran < ended || ran > waited)
        ap_look_found(look, AP_CORRUPT, t->ran, ran * 3 ^ ended * 5 ^ waited, "Q15", "%llu have run; %llu have ended of %llu that "
                      "have waited", LONG(ran), LONG(ended), LONG(waited));
}

static uint64_t times_count(const struct ap_geometry *g)
{
    return g->queues;
}

static const struct ap_field times_fields[] = {
    AP_FIELD(ap_times, waited_sum), AP_FIELD(ap_times, ran_sum), AP_FIELD(ap_times, anew), AP_FIELD(ap_times, ejected),
    AP_FIELD(ap_times, lost), AP_FIELD(ap_times, heap), AP_FIELD(ap_times, resident), AP_FIELD(ap_times, waited),
    AP_FIELD(ap_times, ran), {NULL, 0, 0},
};
const struct ap_part ap_part_times = {
    .name = "times", .element = "times", .size = sizeof(struct ap_times), .count = times_count, .fields = times_fields,
    .numbers = AP_NO_NUMBERS, .look = look_times, .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
