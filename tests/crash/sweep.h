/* tests/crash/sweep.h - every instruction boundary of every operation as a place to die at, and as one to be preempted at.
 *
 * KILL      A forked actor runs one operation under the trap flag; at each boundary where the segment differs from the one
 *           before, the handler takes a snapshot (step.c). In between, a death leaves the same image: what the dead thread had
 *           in registers and private memory is gone with it. The survivor then takes image after image, marks the robust
 *           mutexes as the kernel does, and judges (judge.c). With -r the actor is really killed, too, and the image that it
 *           leaves must be the snapshot.
 * PREEMPT   One thread plays both sides. At each boundary of A the handler lets B run to its end and A go on to its end, and A
 *           dies there, owning what it owns; after the verdict registers, stack, private state and segment are put back and A
 *           goes on to the next boundary. So an interleaving costs no fork and A is stepped through once.
 * A death of the reaper while it repairs is a KILL of the operations reap_*.
 * WORLD     world.c: the smallest segment in which the operation can go wrong. shm operations have one without a registry.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/agent.h"
#include "agents/runtime/worker.h"
#include "registry/client/carried.h"
#include "registry/routing/terms.h"
#include "registry/client/client.h"
#include "registry/client/handles.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/health.h"
#include "registry/monitor/monitor.h"
#include "registry/monitor/supervised.h"
#include "shm/bell.h"
#include "shm/check.h"
#include "shm/due.h"
#include "shm/event.h"
#include "shm/follow.h"
#include "shm/image.h"

#define QUEUES 2u
#define BLOCKS 3u
#define INLETS_MANY 4u
#define TASKS 192u
#define HELD 16u
#define BODY 200u /* bytes of a request or result in a block of the smallest class */

/* One side: a lane and what its thread has in private memory. */
struct side {
    struct ap_segment *seg;
    struct ap_lane_handle lane, second;
    struct ap_slabs slabs;
    struct ap_producer producers[QUEUES];
    struct ap_pool_hint hint;
    struct ap_consumer consumer;
    apiary_t *api; /* of a world with a registry */
    uint32_t slot, slots[TASKS], count;
    uint64_t ref, word, token, seen;
    int result;
    apiary_task_t task;
    apiary_result_t collected;
    void *loan;
};
/* The actor's operation is swept; the survivor holds queue 0, judges and recovers. */
extern struct side actor, survivor;

struct operation {
    const char *name;
    bool registry;         /* needs a world with one */
    uint32_t inlets;       /* of each queue; 0: one */
    uint32_t kept_share;   /* of each class of blocks; 0: what is kept may have them all */
    uint32_t memory_bytes; /* of a name space of the memory; 0: no bound */
    void (*image)(void);   /* the survivor, once */
    void (*prepare)(void); /* the actor, before it is stepped */
    void (*run)(void);     /* the actor, stepped */
    void (*other)(void);   /* preemption: the survivor, at the boundary; NULL: a kill sweep */
    /* What must hold beyond what judge.c asks. Before anything was recovered; `over`: the operation had come to its end. */
    void (*before)(bool over);
    void (*after)(bool over); /* after the recovery */
    bool varies; /* its instructions are not the same twice (it reads /proc): not compared with a real kill */
};
/* Each table ends with a NULL name. */
extern const struct operation kills_shm[], kills_worker[], kills_registry[], kills_parent[], kills_timers[], kills_stream[];
extern const struct operation kills_hedge[], kills_probe[], kills_memory[], kills_watch[], kills_claim[], kills_cache[],
    kills_instances[], kills_rules[], kills_tally[], kills_coalesce[],
    kills_finished[];
extern const struct operation pairs[], pairs_kept[], pairs_timers[], pairs_stream[], pairs_hedge[], pairs_probe[], pairs_memory[],
    pairs_watch[], pairs_claim[], pairs_cache[], pairs_instances[], pairs_rules[], pairs_tally[], pairs_coalesce[],
    pairs_finished[];

/* ---- world.c */
extern char world_name[64];
extern uint32_t world_route; /* where the recovery may move tasks of a world without registry to; AP_NO_QUEUE: nowhere */
extern bool world_registry;
extern const struct ap_reap_hooks *world_hooks;

void world_make(const struct operation *of, uint64_t seed);
void world_drop(void);
/* The number of the last image that was taken; and waitpid, and until nobody holds a later one. The kernel gives the memory of a
 * dead process back, and with it the lock of its image, when the last who reads its maps or its environment from /proc has done
 * so: that may be after waitpid. */
uint64_t world_image_last(void);
bool world_left(pid_t pid, uint64_t last, int *status);
void world_forget_process(uint8_t *image, uint64_t size, uint32_t pid); /* so that images of two runs can be compared */
void world_later(void); /* than all that a child did */
void survivor_register(void); /* as the one that serves queue 0 */
#define WORLD_LATER UINT64_C(30000000000) /* when what the operations schedule is due */
void world_soon(void);
void world_due(void);   /* it is */
void actor_join(void); /* attaches, in the process that calls */
void actor_meet(void); /* the actor becomes a second member of the survivor's thread */
/* Private state of both sides, and what hangs from it. */
struct kept;
struct kept *kept_new(void);
void keep(struct kept *k);
void bring_back(const struct kept *k);

int reserve(struct side *s);
void fill(struct side *s); /* what it has reserved */
void image_reserved(void); /* the survivor has reserved a slot and filled it */
int submit(struct side *s, uint32_t queue, bool block);
int finish(struct side *s, uint32_t slot, uint64_t token, bool block);
/* Claims and finishes, so that there is a finished task: no worker, those are in worker.c. */
void serve(struct side *s, uint32_t queue, uint64_t ref, bool block);
void signal_queue(struct ap_segment *seg, uint32_t queue, uint32_t ring);
void own_queue(struct side *s, uint32_t queue);
uint64_t word_of(uint32_t slot);
uint64_t generation_of(const struct side *s);
/* What the kernel does to a robust mutex of a dead thread. */
void kernel_marks(uint8_t *base, uint32_t tid);
/* A lane of the calling thread is as if its thread had been killed. */
void die_in_place(uint32_t lane);
/* The words of the lanes' locks that are `from` become `to`: the dead seem to be in the hands of SOMEBODY, who is alive. */
#define SOMEBODY 1u
void locks_change(uint32_t from, uint32_t to);
/* A child attaches, does this, and is killed. */
void die_having(void (*done)(void));

/* ---- operations.c: setups that pairs.c uses, too */
void image_task(void);   /* the survivor's task, with a block, waits in queue 1; actor.slot, .ref and .word name it */
void task_queued(uint32_t queue); /* the same in another queue */
void image_done(void);   /* it is finished, with a result in a block */
void image_abandoned(void); /* and abandoned, in a slab that nobody holds */
void image_dead_worker(void); /* a worker died with it, its result half made */
void image_dead_client(void);
void image_scheduled(void); /* the survivor's: one that is due, one that is not; actor.slot and .word name the former */
void image_full_ring(void);   /* the shared ring of queue 0 */
void image_held_inlets(void); /* so that one pushes to shared rings */
void prepare_worker(void);    /* the actor has queue 1 */
void prepare_two_slabs(void); /* the actor is at the last slot of one of two */
void run_submit(void);
void run_release_task(void);
void run_sweep(void);
void run_due_look(void);
void before_told(bool over);
void run_reserve(void);
void run_move(void);
void run_push_shared(void);
void run_reap(void);
void run_beside(void); /* helps whoever is at a dead lane */
void before_held(bool over); /* who was at it dies, too */
void after_task(bool over);
void after_crash(bool over); /* and it was counted once that a start was lost */

/* ---- ended.c */
void prepare_left(void);
void run_leave(void);
void run_take_over(void);
void other_lives(void);
void before_lives(bool over);
void image_handed(void);
void run_lives(void);
void other_hands_on(void);
void before_handed(bool over);
void image_uncollected(void);
void after_uncollected(bool over);

/* ---- worker.c */
#define HIVE_JOBS 2u
struct kept_hive {
    struct ap_worker worker;
    struct ap_agent agent;
    apiary_job_t *job;
    struct ap_job jobs[HIVE_JOBS];
    struct ap_handle handles[HIVE_JOBS];
};
void hive_keep(struct kept_hive *k);
void hive_back(const struct kept_hive *k);
apiary_job_t *hive_kept(void);
struct ap_job *hive_in_hand(void);

/* ---- crowd.c */
void image_crowd(void); /* a task in the shared ring that is not the first, and is served before the others */
void before_crowd(bool over);
void image_bounded(void); /* a task of a capability of which one may run at once */
void after_bounded(bool over);
void image_waiting(void); /* one task may be started, behind another one that may not */
void run_pop_where(void);
/* Its rank, of a task that waits. */
void rank_is(uint32_t slot, enum ap_rank rank);
void image_task_elsewhere(void);
void image_urgent_elsewhere(void);
void before_takeover(bool over);
void image_ranked(void);
void run_pop_ranked(void);
void before_ranked(bool over);
void before_waiting(bool over);

/* ---- timers.c */
void prepare_job_beat(void);
void run_job_beat(void);
void after_job_beat(bool over);
void image_timed(void);
void run_overrun(void);
void before_overrun(bool over);
void prepare_reply(void);        /* the actor serves queue 1, and answers at once */
void prepare_refuse(void);       /* and fails what it gets */
void prepare_worker_block(void); /* the actor serves queue 1, with results in blocks */
void prepare_worker_idle(void);  /* and has looked through the table */
void run_serve(void);
void run_rest(void); /* actor.result: there is something to do; actor.seen: the bell */
void image_unseen(void); /* image_task, with a ticket, and given up */
void before_unseen(bool over);
void after_unseen(bool over);
void image_unseen_thread(void);
void other_next_thread(void);
void before_next_thread(bool over);
void prepare_kept(void); /* the actor has taken the task from queue 1, and will answer it later */
void run_reply_kept(void);

/* ---- coalesce.c */
bool follows_another(uint32_t slot); /* its task stays SCHEDULED for the sake of another one that is in flight */

/* ---- beside.c */
void image_marked_worker(void); /* pairs.c: its reaper died after its first step */
void other_beside_redeliver(void);
void other_beside_drain(void);
void other_reuse_claimed(void);
void other_reuse(void);
void before_reuse_claimed(bool over);
void before_reuse(bool over);
void image_said_worker(void);
void image_held_registrant(void);

void image_unmarked_worker(void);
void run_judge(void);
void image_opened_worker(void);
void run_take(void);
void other_judge(void);
void other_judge_and_join(void);
void before_judged(bool over);
void after_judged(bool over);

/* ---- kept.c */
void image_promised(void);
void image_promised_unseen(void);
void image_kept(void);
void image_promised_over(void);
void after_kept_over(bool over);
void image_kept_full(void);
void run_kept_enter(void);
void run_kept_forget(void);
void run_delegate_kept(void);
void run_delegate_kept_full(void);
void other_kept_enter(void);
void other_kept_expire(void);
void before_delegate_kept(bool over);
void after_kept_enter(bool over);
void after_kept_finish(bool over);
void after_kept_forget(bool over);
void after_kept_full(bool over);
void after_delegate_kept(bool over);

/* ---- dead.c */
extern uint32_t judge_unseen;
void image_poison(void);
void image_entry(void);
uint32_t dead_entries(uint32_t *ret_row);
void run_retry_full(void);
void after_retry_full(bool over);
void run_enter(void);
void run_retry(void);
void run_discard(void);
void prepare_last_block(void);
void after_make_room(bool over);
void image_dead_retrying(void);
void after_reap_retrying(bool over);
void before_retry(bool over);
void after_enter(bool over);
void after_retry(bool over);
void after_discard(bool over);

/* ---- full.c: tables in which there is always room, but not always in the same row */
void image_names(void);
void image_member(void);
void image_lanes(void);
void image_last_row(void);
void other_use_name(void);
void other_turn_over(void);
void other_enter_name(void);
void other_enter_last(void);
void run_enter_name(void);
void run_member_open(void);
void run_lane_once(void);
void before_entered(bool over);
void before_same_name(bool over);
void before_last_row(bool over);
void before_turned_over(bool over);
void before_lanes_turned_over(bool over);
void image_swarms(void);
void run_enrol(void);
void other_enrol(void);
void before_enrolled(bool over);
void run_enrol_agent(void);
void image_house(void);
void other_move_house(void);
void before_moved_house(bool over);
void image_supervised(void);
void run_supervise_once(void);
void other_supervise(void);
void before_supervised(bool over);

/* ---- operations_registry.c: likewise */
void image_dead_queen(void);
void prepare_reap(void);
void run_reap_dead(void);
void run_delegate_later(void);
void run_role(void);
void other_role(void);
void before_role(bool over);
void image_declared(void);
void run_declare(void);
void run_take_away(void);
void other_declare(void);
void before_declared(bool over);
void run_mode(void);
void other_mode(void);
void before_mode(bool over);
void prepare_health(void);
void run_health(void);
void other_health(void);
void before_health(bool over);
void before_health_anew(bool over);

/* ---- homes.c: likewise */
void image_homes(void);
void run_home(void);
void other_home(void);
void before_home(bool over);
void before_homes(bool over);

/* ---- rules.c: likewise */
void run_register_rules(void);
void before_rules(bool over);
void prepare_adjust(void);
void run_adjust(void);
void before_adjust(bool over);
uint32_t adjusted_record(void);
void run_enter_rules(void);
void image_used_rules(void);
void before_used_rules(bool over);
void after_used_rules(bool over);
void image_denied(void);
void run_delegate_denied(void);
void after_denied(bool over);
void image_stands_in(void);
void image_gated(void);
void run_delegate_stand_in(void);

/* ---- judge.c */
extern const struct operation *at_operation;
extern uint64_t at_step;
extern unsigned failures;
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void drain(struct ap_consumer *c);
void judge(bool over);
void judge_quiet(unsigned shown); /* how many failures of one operation are printed */
void judge_until(void (*first)(void)); /* called after a failure, and does not return; NULL: the sweep goes on */

/* ---- step.c */
struct tally {
    uint64_t points, images, nanoseconds;
    uint64_t shifted; /* real kills whose image is the snapshot of another boundary */
};
bool step_possible(void);
/* From now on the kill sweeps keep where they stepped: print writes "wrote ADDRESS" for an instruction of this program after which
 * the segment was another, "stepped ADDRESS" for the others. */
void step_places(void);
void step_places_print(FILE *to);
/* Runs actor-side code in a child under the trap flag, judges every image. `every`: of the images one in so many. */
void step_kills(const struct operation *o, uint64_t every, uint64_t seed, struct tally *t);
/* The same with a real SIGKILL at `count` boundaries, whose images must equal the snapshots. */
void step_real(const struct operation *o, uint64_t count, uint64_t seed, struct tally *t);
/* All interleavings of one preemption, or one in `every`. With `again`, each that many times with a second preemption at one of
 * the next boundaries, chosen by the seed, at which the survivor drains its queue and recovers whoever is dead. */
void step_pairs(const struct operation *o, uint64_t every, uint64_t seed, uint64_t again, struct tally *t);

/* splitmix64: which boundaries a sampled run takes. */
static inline uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

#endif
