/* shm/queue.h - one queue per agent: rings of references, hints for the one worker that drains it.
 *
 * SCOPE     1 A queue has `queue_inlets` single-producer rings, the inlets. A client lane leases one on its first use of the
 *           queue.
 *           2 It has one shared ring, for further producers, re-routing and redelivery. Turns and places in it: crowd.h.
 *           3 It has one consumer lane at a time.
 *           4 It keeps its index when its queen dies and comes back. The queued tasks wait in it.
 *           5 Tasks of a client lane are first delivered in the order in which they were submitted, within a rank (rank.h),
 *           while the consumer lives and but for a ring that redelivery has overfilled (crowd.h, WAITING 4).
 *           6 A producer asks for room before its task is QUEUED (ap_queue_room). An inlet that had room has it still; the shared
 *           ring can be full by then, and the task is taken back.
 * LAYOUT    struct ap_queue   line 0 life                       writer: its consumer's process, reaper   readers: every submit
 *                             line 1 summary, crashed, ...      producers set, consumer clears; a lane that ends a task adds
 *                             line 2 depth, running, ...        writer: consumer    readers: routers, tools
 *                             line 3 probes                     writer: who probes, and the consumer (probe.h)
 *           struct ap_ring    line 0 lease, tail                writer: the producer (all producers of the shared ring)
 *                             line 1 head, rounds               writer: consumer    readers: producers that seem full
 *                             cells[queue_depth]                writer: producers
 *           Ring r of queue q is element q * (queue_inlets + 1) + r of the section; r == queue_inlets is the shared one.
 * LIFE      1 `life` = epoch << 24 | consumer lane << 8 | state.
 *           2 FREE -> CLAIMED(lane) -> OPEN(lane) -> CLOSED(lane) -> CLAIMED(lane') -> OPEN(lane') ... The epoch rises at each
 *           OPEN.
 *           3 CLAIMED and OPEN name the accountable lane, so that its reaper finds them.
 * LEASE     1 An inlet's `lease` = lane epoch << 16 | lane + 1, or FREE (0). FREE -> leased by the producer's CAS -> FREE by the
 *           producer or its reaper.
 *           2 An inlet need not be empty to be leased. The lessee finds the end of its contents by walking from head over the
 *           cells of the current lap, and goes on there.
 *           3 Empty inlets are taken first. One that is more than half full is not taken.
 * CELLS     1 A cell holds a reference with 4 lap bits on top. It is new at position p if its lap is (p / depth + 1) & 15.
 *           2 The producer of an inlet stores the cell.
 *           3 In the shared ring a cell can be a hole: new, with reference 0 (crowd.h).
 *           4 A producer of the shared ring compare-and-swaps the cell and then helps `tail` along. Each of the others helps,
 *           too, so a producer that dies between the two stops nobody.
 * HINTS     1 A reference can come twice. The task word refuses the second.
 *           2 A reference can be lost, when a consumer dies after it advanced head. Each recovery raises header.rescan, and every
 *           consumer whose private copy differs scans the slots of leased slabs for QUEUED(its queue) (ap_queue_scan).
 *           3 A consumer starts with a scan.
 *           4 A scan leaves out tasks that were queued after it began: if a consumer loses such a reference by dying, its recovery
 *           raises rescan again. So a scan ends, however fast the living fill their slots anew.
 * SUMMARY   1 Bit r: ring r may hold something.
 *           2 A producer sets it only if it reads 0 after the producer's fence.
 *           3 The consumer clears it and then looks at that ring a last time. It does so for all rings before it parks, and for
 *           those that a pop found empty when they are many.
 *           4 A consumer that is killed between the two leaves a ring without its bit. The next consumer begins with a scan.
 * ORDERING  QUEUE-R1 cell store-release pairs QUEUE-A1 load-acquire in pop: (the task word orders the rest, TASK-R1).
 *           QUEUE-R2 head store-release pairs QUEUE-A2 load-acquire by a producer that seems full: cells read before reuse;
 *           and by the next consumer.
 *           QUEUE-R3 lease store-release 0 pairs QUEUE-A3 the next lessee's CAS: the former one's cells.
 *           QUEUE-R4 life's CAS to OPEN (release) pairs QUEUE-A4 load-acquire of a router: the agent's record.
 *           QUEUE-R5 rescan's add (release) pairs QUEUE-A5 load-acquire before a scan: the words QUEUED before it. The consumer
 *           reads the clock after it, so no task that the recovery knew of is younger than the scan. After raising rescan a
 *           recovery fences before it looks at bells, as a producer does after a cell.
 *           QUEUE-R6 until store-release pairs QUEUE-A6 load-acquire of a router, and of a checker (LOOK-A1): `probe` 0 and
 *           `ejections` before it.
 *           QUEUE-F1 full fence after the cell (submit) pairs QUEUE-F2 full fence after the summary's bit is cleared, and
 *           after the bell is raised: one of the two sides sees the other.
 * CRASH     1 A producer dies after the cell: the consumer takes it. Before the cell: QUEUED without a reference, found by the
 *           rescan.
 *           2 A consumer dies: its reaper closes the queue. The references stay for the next consumer.
 *           3 A consumer was superseded while it lives: it may still move a head on. The next consumer adopts a head that is
 *           ahead of its own (ap_queue_settle).
 * COUNTERS  1 Each task that ends is counted once, right after its end, by the one who ended it. Probes are not.
 *           2 A death between the two loses that one count. The death of a consumer loses the counts that it had not published
 *           (64 at most), but for `started`, which its times have (times.h).
 *           3 A round of the shared ring is counted by its consumer when it has taken the first of it.
 * EJECTION  1 A consumer whose tasks fail ejects its queue for a time: it stores `probe` = 0, then `ejections`, then `until`.
 *           2 A router passes over a queue whose time has not come. From then on the queue is on trial: one router takes `probe`
 *           by compare-and-swap and sends its task there; if nothing comes of that for AP_PROBE_PATIENCE, another one may.
 *           3 The consumer ends the trial: well by `until` = 0, else by ejecting anew, for longer.
 *           4 All of it is a hint for routers: a consumer that is killed in between leaves a queue whose next consumer begins with
 *           ap_queue_begin, which clears it.
 * PACE      1 While tasks wait, a consumer stores how long it takes for one of them: the time between two ends, on average,
 *           whatever else it has to do and however many it runs at a time. It stores 0 when those that wait take less than
 *           AP_PACE_LEAST.
 *           2 A caller that reads 0 asks no more. Else it works out from the rings how long its task would wait, and does not
 *           submit one that would wait past its deadline (registry/routing/deadline.h).
 *           3 The pace is a mean, and some tasks take longer. `margin` says how much longer callers reckon with; the consumer
 *           raises it when tasks were late although they had been accepted.
 * INVARIANTS Q1 tail - head <= depth  Q2 life's state in range, lane in range  Q3 a lease's lane in range
 *           Q7 no count is above its bound: depth, running; done + failed + late <= started
 *           Q10 a queue that is ejected was ejected at least once, and until less than AP_EJECTED_MAX from now; no charge is above
 *           AP_CHARGE_MAX
 *           Q11 no pace is above AP_PACE_MAX, no margin above AP_MARGIN_MOST, and none that is told below AP_MARGIN_LEAST
 *           Q12 see probe.h, Q13 see rank.h, Q14 see crowd.h, Q15 see times.h
 * ERRORS    APIARY_EQUEUEFULL: retry after a result was collected.
 * PROGRESS  push to an inlet wait-free, to the shared ring lock-free; pop wait-free.
 */
#ifndef AP_QUEUE_H
#define AP_QUEUE_H

#include "core/invariant.h"
#include "shm/bell.h"
#include "shm/crowd.h"
#include "shm/task.h"

enum ap_queue_state { AP_QUEUE_FREE, AP_QUEUE_CLAIMED, AP_QUEUE_OPEN, AP_QUEUE_CLOSED };

#define AP_PROBES 8u /* that wait at one queue at most */

#define AP_QUEUE_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_QUEUE_STATE(life) ((uint32_t)((life) & 0xff))
#define AP_QUEUE_LANE(life) ((uint32_t)((life) >> 8 & 0xffff))
#define AP_QUEUE_EPOCH(life) ((uint64_t)(life) >> 24)

struct ap_queue {
    uint64_t life;
    /* How its failures are held against it; writer: its consumer, but for `probe`, which routers take by compare-and-swap. */
    uint64_t until;  /* CLOCK_MONOTONIC: ejected until then, and on trial from then on; 0: neither */
    uint64_t probe;  /* when a caller last took the one task of the trial; 0: nobody has */
    uint64_t charge; /* ns: added to its run time when providers are compared, halved every second since `charged` */
    uint64_t charged;
    uint32_t ejections; /* in a row */
    uint32_t margin;    /* percent of the pace that callers reckon with; 0: AP_MARGIN_LEAST. See PACE */
    uint64_t pace; /* ns: how long it takes for one of the tasks that wait; 0: none waits worth mentioning. See PACE */
    uint64_t ranked; /* 1: a task with a rank was put into it since it is this agent's (rank.h) */

    uint64_t summary AP_ALIGNED;
    uint64_t crashed, expired, cancelled; /* tasks that ended without their consumer: added by the lane that ended them */
    uint64_t taken;   /* tasks that its consumer has taken over from other agents' queues; writer: the consumer */
    uint64_t refused; /* tasks that were not accepted, because they would have waited past their deadlines: added by the callers */
    uint64_t probed;   /* 1: a probe may wait in `probes`. See probe.h, as the next and `probes` */
    uint64_t answered; /* probes; writer: the consumer */

    uint32_t depth AP_ALIGNED; /* queued, as of the consumer's last turn */
    uint32_t running;
    uint64_t started;  /* tasks since the queue was first opened, as the next three */
    uint64_t done, failed, late; /* ended by the consumer: well, not well, after its caller had given it up */
    uint64_t run_time; /* ns, the mean of the last tasks; one that took very long counts less */
    uint64_t retried;  /* attempts that failed, after which the task was put back */
    uint64_t told;     /* CLOCK_MONOTONIC, when the consumer last told these */

    uint64_t probes[AP_PROBES] AP_ALIGNED; /* references of those that wait */
} AP_ALIGNED;

struct ap_ring {
    uint64_t lease;
    uint64_t tail;
    uint64_t reserved0[6];
    uint64_t head AP_ALIGNED;
    uint64_t rounds; /* of the shared one: that its consumers have begun (crowd.h); of an inlet 0 */
    uint64_t cells[] AP_ALIGNED;
};

static inline struct ap_queue *ap_queue_at(const struct ap_segment *seg, uint64_t index)
{
    return AP_ELEMENT(seg, AP_SECTION_QUEUES, index, struct ap_queue);
}
static inline struct ap_ring *ap_ring_at(const struct ap_segment *seg, uint32_t queue, uint32_t ring)
{
    return ap_at(seg, AP_SECTION_RINGS, (uint64_t)queue * (seg->geometry.queue_inlets + 1) + ring);
}

/* One producer's view of one queue; private memory of a lane. Zeroed is "not opened yet". */
struct ap_producer {
    struct ap_ring *ring;
    uint64_t tail, head; /* of a leased inlet: own position, last head seen */
    uint32_t index;      /* ring */
    uint8_t opened, shared;
    uint8_t rank;        /* of what is pushed next into the shared ring, + 1; 0: NORMAL */
};
#define AP_PRODUCER_RANK(p) ((p)->rank == 0 ? AP_RANK_NORMAL : (enum ap_rank)((p)->rank - 1))

#define AP_LAP_SHIFT 60
_Static_assert(AP_REF(AP_TASKS_MAX - 1, AP_GENERATION_MASK) >> AP_LAP_SHIFT == 0, "a lap lies above the reference");
_Static_assert(AP_INLETS_MAX + 1 <= 64, "each ring has its bit in the summary");

static inline uint64_t ap_lap_at(const struct ap_segment *seg, uint64_t position)
{
    return ((position >> __builtin_ctz(seg->geometry.queue_depth)) + 1) & 15;
}
static inline uint64_t *ap_cell_at(const struct ap_segment *seg, struct ap_ring *ring, uint64_t position)
{
    return &ring->cells[position & (seg->geometry.queue_depth - 1)];
}

/* Into a leased inlet that has room. */
static inline void ap_inlet_store(const struct ap_segment *seg, struct ap_producer *p, uint64_t ref)
{
    AP_DEBUG_ASSERT(p->opened && !p->shared && p->tail - p->head < seg->geometry.queue_depth);
    /* QUEUE-R1 pairs QUEUE-A1 */
    ap_store_release(ap_cell_at(seg, p->ring, p->tail), ref | ap_lap_at(seg, p->tail) << AP_LAP_SHIFT);
    p->tail++;
    ap_store_relaxed(&p->ring->tail, p->tail); /* for observers; the cells are what counts */
}

/* Whether the lane has an inlet in which it knows of room. */
AP_ALWAYS_INLINE bool ap_queue_ready(const struct ap_segment *seg, const struct ap_producer *p)
{
    return p->opened && !p->shared && p->tail - p->head < seg->geometry.queue_depth;
}
/* Whether a push would find room: asked before a task is QUEUED, so that none has to be taken back. By the lane's thread, which
 * has an inlet afterwards, or else the shared ring. */
bool ap_queue_room(struct ap_segment *seg, uint32_t queue, struct ap_producer *p, const struct ap_lane_handle *lane);
int ap_ring_push_shared(struct ap_segment *seg, struct ap_ring *ring, uint64_t ref);
/* After ap_queue_room. 0, or APIARY_EQUEUEFULL, which only the shared ring answers: others have filled it meanwhile. The caller
 * then fences and calls ap_queue_signal. */
AP_ALWAYS_INLINE int ap_queue_push(struct ap_segment *seg, struct ap_producer *p, uint64_t ref)
{
    if (__builtin_expect(p->shared, 0)) return ap_ring_push_shared(seg, p->ring, ref);
    ap_inlet_store(seg, p, ref);
    return 0;
}
/* To the shared ring. Any lane (reaper, re-router). */
int ap_queue_push_shared(struct ap_segment *seg, uint32_t queue, uint64_t ref);
/* After a push and a full fence: sets the summary bit if it reads 0 and rings the consumer's bell if it may sleep. `lane` is its
 * consumer's, NULL: none. */
AP_ALWAYS_INLINE void ap_queue_signal_at(const struct ap_segment *seg, struct ap_queue *q, uint32_t ring, struct ap_lane *lane)
{
    uint64_t bit = UINT64_C(1) << ring;

    /* The caller's full fence is QUEUE-F1, it pairs QUEUE-F2: either this sees the consumer's stores before its last look, or
     * that look sees the cell. */
    if (__builtin_expect((ap_load_relaxed(&q->summary) & bit) == 0, 0)) ap_or_acq_rel(&q->summary, bit);
    if (lane != NULL && __builtin_expect(ap_load_relaxed(&lane->bell) & 1, 0)) ap_bell_wake(seg->ops, &lane->bell);
}
/* `life` is the queue's, loaded after that fence or compared with it afterwards. */
static inline void ap_queue_signal(struct ap_segment *seg, uint32_t queue, uint32_t ring, uint64_t life)
{
    struct ap_queue *q = ap_queue_at(seg, queue);

    if (q != NULL) ap_queue_signal_at(seg, q, ring, ap_lane_at(seg, AP_QUEUE_LANE(life)));
}
void ap_producer_close(struct ap_producer *p, const struct ap_lane_handle *lane);
/* Frees every inlet leased to a dead lane. `beside` is 0, or the lane's life if the caller lacks its lock (ap_lane_still). */
void ap_queue_reap_leases(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* Closes the queues whose consumer the dead lane was. */
void ap_queues_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside);

/* The consumer, private memory of the worker that owns the queue. */
struct ap_consumer {
    struct ap_segment *seg;
    struct ap_queue *queue;
    uint64_t turn;     /* bits of the rings from the one to look at first */
    uint64_t all;      /* bits of all rings */
    uint64_t inlets;   /* those of the inlets */
    uint32_t index;
    uint32_t last;     /* the ring that had the last reference */
    uint32_t count;    /* of rings, the shared one included */
    uint32_t shared;   /* that one: the last */
    uint64_t rescan;   /* header.rescan as of the last complete scan */
    uint64_t scanning; /* header.rescan as of the beginning of the scan under way */
    uint64_t began;    /* when that was */
    uint32_t passes;   /* that it makes: 1, or one for each rank */
    struct ap_ranks ranks;
    struct ap_intake {
        struct ap_ring *ring;
        uint64_t head;
    } rings[AP_INLETS_MAX + 1];
    struct ap_crowd crowd; /* of the last of them, the shared one */
};

/* Ownership. claim: FREE or CLOSED -> CLAIMED(lane), claim_seen only from that `life`. open: CLAIMED(lane) -> OPEN(lane), unless
 * the lane's reaper was there first. close: OPEN -> CLOSED by the owner or the reaper that saw `life`. Each 1 or 0. */
int ap_queue_claim(struct ap_segment *seg, uint32_t queue, uint32_t lane);
int ap_queue_claim_seen(struct ap_segment *seg, uint32_t queue, uint32_t lane, uint64_t life);
int ap_queue_open(struct ap_segment *seg, uint32_t queue, uint32_t lane);
int ap_queue_close(struct ap_segment *seg, uint32_t queue, uint64_t life);
/* Whether a queue is OPEN that the lane consumes. */
bool ap_queue_any_of(const struct ap_segment *seg, uint32_t lane);
/* While it is CLAIMED: nothing runs. `anew`: for another agent, which has done nothing yet. */
void ap_queue_begin(struct ap_segment *seg, uint32_t queue, bool anew);
void ap_consumer_init(struct ap_consumer *c, struct ap_segment *seg, uint32_t queue);

/* From now on the ring is looked at first; one behind the last of them: the first is. */
static inline void ap_consumer_turn(struct ap_consumer *c, uint32_t ring)
{
    c->turn = ring < 64 ? UINT64_MAX << ring : 0;
}
/* The next reference, by rank, rings in turn, or 0 when all are empty; its lap is removed. Clears the summary bits of rings that it
 * found empty when they are many. */
uint64_t ap_queue_pop(struct ap_consumer *c);
/* The same, of the ranks whose bits are set only, and only what may be started now (may NULL: all may). `beside` are the bits of
 * others of which something waits, too. */
uint64_t ap_queue_pop_ranks(struct ap_consumer *c, uint32_t ranks, uint32_t beside, ap_may_fn may, void *user);
/* The ring's next reference, its lap removed; 0: none, or a hole. */
static inline uint64_t ap_intake_look(const struct ap_consumer *c, const struct ap_intake *in)
{
    /* QUEUE-A1 pairs QUEUE-R1 */
    uint64_t cell = ap_load_acquire(ap_cell_at(c->seg, in->ring, in->head));

    return cell >> AP_LAP_SHIFT == ap_lap_at(c->seg, in->head) ? cell & ((UINT64_C(1) << AP_LAP_SHIFT) - 1) : 0;
}
static inline void ap_intake_taken(struct ap_intake *in)
{
    in->head++;
    ap_store_release(&in->ring->head, in->head); /* QUEUE-R2 pairs QUEUE-A2 */
}
static inline void ap_intake_to(struct ap_intake *in, uint64_t head)
{
    if (in->head == head) return;
    in->head = head;
    ap_store_release(&in->ring->head, head); /* QUEUE-R2 pairs QUEUE-A2 */
}
/* A consumer that was killed, or stands still with what it has read, may leave the head of the shared ring at a hole. Moves it
 * behind the holes: whether there were any. */
bool ap_queue_head_rest(struct ap_consumer *c);
/* A task with a rank is about to be put into it. */
static inline void ap_queue_rank(const struct ap_segment *seg, uint32_t queue)
{
    struct ap_queue *q = ap_queue_at(seg, queue);

    if (q != NULL && ap_load_relaxed(&q->ranked) == 0) ap_store_relaxed(&q->ranked, 1);
}
/* ap_queue_pop, but only what may be started now: of an inlet in which the next one may not, nothing; of the shared ring what is
 * behind it, too (crowd.h, WAITING). */
uint64_t ap_queue_pop_where(struct ap_consumer *c, ap_may_fn may, void *user);
/* Whether that would find anything. Takes nothing. */
bool ap_queue_any_where(struct ap_consumer *c, ap_may_fn may, void *user);
/* For those who look for a task to move: the references in the queue's rings, one after another from *cursor (0 at first) on, or 0
 * at the end. Takes nothing, and may miss or repeat what its consumer takes meanwhile. */
uint64_t ap_queue_peek(const struct ap_segment *seg, uint32_t queue, uint64_t *cursor);
/* Looks so often, with pauses, whether there is something new in the ring that had the last reference: where the next is
 * likeliest. Takes nothing. */
static inline bool ap_queue_glance(const struct ap_consumer *c, unsigned looks)
{
    const struct ap_intake *in = &c->rings[c->last];
    const uint64_t *cell = ap_cell_at(c->seg, in->ring, in->head);
    uint64_t lap = ap_lap_at(c->seg, in->head);

    for (; looks > 0; looks--) {
        if (ap_load_relaxed(cell) >> AP_LAP_SHIFT == lap) return true;
        ap_pause();
    }
    return false;
}
/* Clears summary bits of empty rings and looks again, from a former consumer's heads where those are ahead: nonzero when
 * something is there after all. Before each park, after the bell was raised. */
int ap_queue_settle(struct ap_consumer *c);
/* 1 when a recovery has happened since the last scan. */
static inline int ap_queue_rescan_due(const struct ap_consumer *c)
{
    return ap_load_acquire(&c->seg->header->rescan) != c->rescan; /* QUEUE-A5 pairs QUEUE-R5 */
}
/* Scans the table from *cursor (0 at first) for tasks that were QUEUED(this queue) before the scan began.
 * 1 Returns a reference, or 0 at the end. At the end the scan is recorded as done for the value of header.rescan with which it
 *   began.
 * 2 Tasks that were queued earlier are popped from their rings and returned first, rings in turn. So a scan keeps the order of
 *   each client, too.
 * 3 Pops may come in between, but not in a consumer's first scan: tasks that the former consumer took from a ring and never began
 *   are older than all that are left there.
 * 4 Where tasks have ranks it goes over the table for each of them, and returns what is more urgent before (rank.h, RECOVERY). Of
 *   that `where` returns only tasks that may be started now. Of the others it does not ask: no ring may have them. */
uint64_t ap_queue_scan(struct ap_consumer *c, uint64_t *cursor);
uint64_t ap_queue_scan_where(struct ap_consumer *c, uint64_t *cursor, ap_may_fn may, void *user);
/* A task at the queue has ended in `state` without its consumer. `crashed`: it was being run. */
void ap_queue_count_ended(const struct ap_segment *seg, uint32_t queue, uint32_t state, bool crashed);
/* ap_task_cancel_queued, counted. */
int ap_queue_end_task(struct ap_segment *seg, uint32_t index, uint64_t seen, uint32_t state, int code);
/* How a queue's tasks ended, as their callers saw it. */
struct ap_queue_counts {
    uint64_t started, done, failed, cancelled; /* failed: by the agent's word, by crashes, by deadlines, and `late` */
    uint64_t late;
};
void ap_queue_counts(const struct ap_queue *q, struct ap_queue_counts *ret);
/* The rounds of its shared ring (crowd.h). */
uint64_t ap_queue_rounds(const struct ap_segment *seg, uint32_t queue);
/* The consumer's own counts. */
struct ap_queue_tally {
    uint64_t started, done, failed, late, retried, run_time;
    uint64_t now;
};
void ap_queue_tell(struct ap_consumer *c, const struct ap_queue_tally *tally);
/* By a new consumer, before it starts anything: `started`, which becomes what was counted in the queue's times (times.h). */
uint64_t ap_queue_settle_started(struct ap_consumer *c);

#define AP_CHARGE_MAX UINT64_C(1000000000)
#define AP_EJECTED_MAX UINT64_C(64000000000)
#define AP_PROBE_PATIENCE UINT64_C(1000000000)
/* By the consumer. charge: what a failure costs its queue from now on. eject: until a time, as the so many-th time in a row; 0:
 * it is as good as any again. */
void ap_queue_charge(struct ap_consumer *c, uint64_t charge, uint64_t now);
void ap_queue_eject(struct ap_consumer *c, uint64_t until, uint32_t ejections);
/* By the consumer: it has taken over one more. */
static inline void ap_queue_took(struct ap_consumer *c)
{
    ap_store_relaxed(&c->queue->taken, ap_load_relaxed(&c->queue->taken) + 1);
}
/* By a router: takes the one task of the trial. False: another one has it. */
bool ap_queue_probe(struct ap_queue *q, uint64_t now);
/* Whether it is passed over: its trial has not begun. */
static inline bool ap_queue_ejected(const struct ap_queue *q, uint64_t now)
{
    return now < ap_load_relaxed(&q->until);
}
/* The charge as it is now. */
static inline uint64_t ap_queue_charge_left(const struct ap_queue *q, uint64_t now)
{
    uint64_t charge = ap_load_relaxed(&q->charge), at = ap_load_relaxed(&q->charged);
    uint64_t halvings = now > at ? (now - at) / UINT64_C(1000000000) : 0;

    return halvings < 32 ? (charge < AP_CHARGE_MAX ? charge : AP_CHARGE_MAX) >> halvings : 0;
}
/* Publishes how many tasks run, so that routers see at once that the consumer has more in hand. */
static inline void ap_queue_running(struct ap_consumer *c, uint32_t running)
{
    ap_store_relaxed(&c->queue->running, running);
}
/* Publishes depth and the number of running tasks. */
void ap_queue_publish(struct ap_consumer *c, uint32_t running);

#define AP_PACE_LEAST UINT64_C(1000000)
#define AP_PACE_MAX UINT64_C(3600000000000)
#define AP_MARGIN_LEAST 150u
#define AP_MARGIN_MOST 600u
/* By the consumer, after ap_queue_publish: `each` is what it takes for a task. */
void ap_queue_pace(struct ap_consumer *c, uint64_t each);
/* By the consumer; of other values the nearest. */
void ap_queue_margin(struct ap_consumer *c, uint32_t percent);
/* Of any queue, whatever somebody has written into it. */
static inline uint32_t ap_queue_margin_of(const struct ap_queue *q)
{
    uint32_t margin = ap_load_relaxed(&q->margin);

    return margin < AP_MARGIN_LEAST ? AP_MARGIN_LEAST : margin < AP_MARGIN_MOST ? margin : AP_MARGIN_MOST;
}
/* How many tasks the consumer takes before one of a rank that the lane pushes into `ring` now: what is more urgent, and of the same
 * rank from one ring after the other, and in the shared one from one lane after the other. Any ring. */
uint32_t ap_queue_ahead(const struct ap_segment *seg, uint32_t queue, uint32_t ring, uint32_t lane, enum ap_rank rank);

/* For observers: the number of references in the rings whose summary bits are set, from shared values, each range-checked. */
uint32_t ap_queue_depth(const struct ap_segment *seg, uint32_t queue);
/* The same, with the addresses of the queue and of ring 0. */
AP_ALWAYS_INLINE uint32_t ap_queue_depth_at(const struct ap_segment *seg, const struct ap_queue *q, const struct ap_ring *rings)
{
    uint64_t active = ap_load_relaxed(&q->summary), stride = seg->places[AP_SECTION_RINGS].stride, n;
    uint32_t depth = 0, r;

    for (; __builtin_expect(active != 0, 0); active &= active - 1) {
        const struct ap_ring *ring;

        r = (uint32_t)__builtin_ctzll(active);
        if (r > seg->geometry.queue_inlets) break;
        ring = (const struct ap_ring *)(const void *)((const char *)rings + r * stride);
        n = ap_load_relaxed(&ring->tail) - ap_load_relaxed(&ring->head);
        if (n <= seg->geometry.queue_depth) depth += (uint32_t)n;
    }
    return depth;
}
#endif
