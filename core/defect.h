/* core/defect.h - known ways to break the protocol, for the tests that must notice each one; nothing in a normal build.
 *
 * 1 With APIARY_DEFECTS the library is built a second time for the tests. $APIARY_DEFECT names the one defect that the program is
 *   to have (tests/crash/defect.c). Without it AP_DEFECT is a constant 0 and leaves no code.
 * 2 To add one: a line here, AP_DEFECT(name) at the place, and in tests/crash/defects.sh the test that must notice it.
 */
#ifndef AP_DEFECT_H
#define AP_DEFECT_H

/* X(name, what is wrong) */
#define AP_DEFECTS(X)                                                                                       \
    X(publish_before_fill, "a task is QUEUED before its slot is filled")                                    \
    X(lost_reference, "a recovery does not raise header.rescan")                                            \
    X(no_last_look, "a consumer clears its summary and parks without a last look")                          \
    X(lower_before_wake, "a waker lowers the bell's flag before it wakes")                                  \
    X(queues_open, "a recovery leaves the dead consumer's queues open")                                     \
    X(no_second_look, "a submitter does not look whether the queue was closed meanwhile")                   \
    X(no_second_look_batch, "the same for a batch")                                                         \
    X(no_token, "finish does not compare the token")                                                        \
    X(old_generation, "claim takes a reference of any generation")                                          \
    X(release_without_claim, "release frees without the compare-and-swap that decides who does")            \
    X(stale_result, "claim leaves the result that a dead attempt named")                                     \
    X(free_before_requeue, "the reaper frees the request's block of a task that it redelivers")             \
    X(leases_forgotten, "a recovery leaves the dead lane's inlets leased")                                  \
    X(no_pool_sweep, "a recovery does not look for blocks of the dead")                                     \
    X(block_of_any_attempt, "a result's block does not say of which attempt it is")                         \
    X(slab_early, "a slab is given back before its last slot was looked at")                                \
    X(full_before_help, "a shared ring is judged full before tail is helped along")                         \
    X(crash_not_counted, "a redelivery does not count the crash")                                           \
    X(any_queue, "claim takes a task of any queue")                                                         \
    X(shared_late, "a lane becomes SHARED after its mutex was unlocked")                                    \
    X(move_unannounced, "a task moved to a full ring is left to nobody")                                    \
    X(tickets_forgotten, "a recovery leaves the dead lane's tickets taken")                                 \
    X(swarm_stays, "a recovery leaves the dead queen's swarm registered")                                   \
    X(queue_first, "a queue is opened before its agent's record is filled")                                 \
    X(lane_early, "a lane's index is free again before its recovery is complete")                           \
    X(member_kept, "a recovery leaves the dead member's record taken")                                      \
    X(inconsistent, "a reaper leaves the robust mutex inconsistent: nobody will ever have it again")        \
    X(nobodys_slot, "a RESERVED slot does not name its lane")                                               \
    X(scan_disorder, "a scan hands out a task before earlier ones of its client")                           \
    X(scan_endless, "a scan hands out tasks that were queued after it began")                               \
    X(ticket_unnamed, "a slot does not name the ticket that its delegation holds")                          \
    X(gone_unconfirmed, "a sweep does not ask whether a worker that is gone had finished its task first") \
    X(shared_marked, "a joiner takes the kernel's mark in a SHARED lane's mutex for the death of its owner") \
    X(overwritten_unsaid, "a result is written over the request of a task that may be run again")             \
    X(given_up_blindly, "a client that gives up a task does not look whether it has ended meanwhile")       \
    X(unseen_kept, "a recovery leaves tasks that nobody will collect to their slab's holder")                \
    X(ticket_named, "a slot that is being freed goes on naming the ticket that it has given back")            \
    X(ticket_kept, "a recovery frees a slot that was being freed, but not its ticket")                        \
    X(home_believed, "a task without a provider waits where its slot says, whether that queue offers it or not") \
    X(record_early, "a supervisor's record is the current one before it is filled")                          \
    X(supervisor_stays, "a recovery leaves the dead supervisor's rows held")                         \
    X(beside_unconfirmed, "the helper of a stopped reaper does not look whether the lane is still dead")     \
    X(beside_claimed, "the helper of a stopped reaper closes a queue that is only CLAIMED")               \
    X(end_unseen, "a worker does not look whether anybody will collect what it has finished")

enum ap_defect_name {
    AP_DEFECT_none,
#define X(name, text) AP_DEFECT_##name,
    AP_DEFECTS(X)
#undef X
};

#ifdef APIARY_DEFECTS
extern unsigned ap_defect;
#define AP_DEFECT(name) __builtin_expect(ap_defect == AP_DEFECT_##name, 0)
#else
#define AP_DEFECT(name) (AP_DEFECT_##name == AP_DEFECT_none)
#endif

#endif
