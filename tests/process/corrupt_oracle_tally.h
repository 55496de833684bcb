/* tests/process/corrupt_oracle_tally.h - what corrupt_oracle.h knows of the histograms of queues, of counts that have names,
 * and of the last tasks. */
#ifndef CORRUPT_ORACLE_TALLY_H
#define CORRUPT_ORACLE_TALLY_H

#include "registry/monitor/tally.h"
#include "shm/finished.h"
#include "shm/times.h"
#include "tests/process/corrupt_oracle_base.h"

static uint64_t buckets_sum(const uint64_t *buckets)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < 258; i++) sum += buckets[i];
    return sum;
}

static void oracle_times(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->geometry.queues; i++) {
        const struct ap_times *t = ap_times_at(o->seg, i);
        const struct ap_queue *q = ap_queue_at(o->seg, i);
        uint64_t waited = buckets_sum(t->waited), ran = buckets_sum(t->ran), ended = q->done + q->failed + q->late;

        HOLDS(t->anew <= 1, "times", i, t->anew);
        HOLDS(zeros(t->reserved, sizeof t->reserved), "times", i, t->reserved);
        if (t->anew == 1 || ended > q->started) continue;
        HOLDS(waited >= q->started && waited <= q->started + 256, "times", i, t->waited);
        HOLDS(ran >= ended + q->retried && ran <= waited, "times", i, t->ran);
    }
}

static void oracle_tally_ready(struct oracle *o, uint32_t i, const struct ap_tally_row *t)
{
    uint64_t ended = t->counts[0];
    uint32_t kind = t->key >> 60;

    HOLDS(text_holds(t->caller, sizeof t->caller), "tally", i, t->caller);
    HOLDS(kind == 2 ? t->caller[0] == '\0' : t->caller[0] != '\0', "tally", i, t->caller);
    HOLDS(t->counts[1] <= ended, "tally", i, t->counts[1]);
    HOLDS(t->counts[1] > ended || t->counts[2] <= ended - t->counts[1], "tally", i, t->counts[2]);
}

static void oracle_tallies(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_TALLIES].count; i++) {
        const struct ap_tally_row *t = ap_tally_row_at(o->seg, i);
        uint32_t kind = t->key >> 60, queue = t->key >> 46 & 0x3fff, capability = t->key >> 30 & 0xffff;
        bool known = capability < o->seg->sections[AP_SECTION_CAPABILITIES].count;

        HOLDS(i >= 4 || t->key == 0, "tally", i, t->key);
        if (i < 4 || t->key == 0) HOLDS(t->what == 0, "tally", i, t->what);
        if (t->key == 0) HOLDS(zeros(t->former, sizeof t->former), "tally", i, t->former);
        if (i < 4 || t->key == 0) continue;
        for (uint32_t k = 0; k < 8; k++) HOLDS(t->former[k] <= t->counts[k], "tally", i, t->former[k]);
        HOLDS(kind == 3 ? queue == 0x3fff && (known || capability == 0xffff)
                        : (kind == 1 || kind == 2) && queue < o->seg->geometry.queues && known,
              "tally", i, t->key);
        if (kind < 1 || kind > 3) continue;
        HOLDS(t->what == 0 || t->what >> 63 == 1, "tally", i, t->what);
        if (t->what >> 63 == 1 && (kind == 3 || (queue < o->seg->geometry.queues && known))) oracle_tally_ready(o, i, t);
    }
}

static void oracle_finished(struct oracle *o)
{
    for (uint32_t i = 0; i < o->seg->sections[AP_SECTION_FINISHED].count; i++) {
        const struct ap_finished_ring *ring = ap_finished_ring_at(o->seg, i);

        HOLDS(zeros(ring->reserved, sizeof ring->reserved), "finished", i, ring->reserved);
        for (uint32_t k = 0; k < 128; k++) {
            const struct ap_finished *r = &ring->records[k];

            if (r->number == 0) continue;
            HOLDS((r->number - 1) % 128 == k && r->number <= ring->next, "finished", i, r->number);
            HOLDS(r->how <= 6, "finished", i, r->how);
            HOLDS(r->slot < o->seg->geometry.tasks, "finished", i, r->slot);
            HOLDS(r->queue < o->seg->geometry.queues || r->queue == 0xffff, "finished", i, r->queue);
            HOLDS(r->lane < o->seg->geometry.lanes || r->lane == 0xffff, "finished", i, r->lane);
            HOLDS(zeros(r->reserved, sizeof r->reserved), "finished", i, r->reserved);
        }
    }
}

#endif
