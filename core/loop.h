/* core/loop.h - the one waiting facility: a thread sleeps until a futex word changes, a descriptor is ready, a time has come or
 * another thread wakes it. Private memory, one thread.
 *
 * VARIANTS  The best that works is chosen at creation. $APIARY_PARK forces one ("uring", "parker", "poll").
 *
 *                    words alone                             words and descriptors
 *           uring    FUTEX_WAIT (opcode 51, kernel 6.7) in the ring, beside descriptors (POLL_ADD) and timers
 *           parker   futex_waitv, no descriptor of its own   a thread sleeps on word 0 and writes an eventfd; POLL_ADD in the ring
 *           poll     futex_waitv, no descriptor of its own   the same thread and eventfd; poll(2)
 *
 *           1 parker is for a ring without FUTEX_WAIT, poll where io_uring is forbidden.
 *           2 Where futex_waitv (kernel 5.16) is missing, too, words alone are waited for as words with descriptors are.
 *           3 Words that the kernel is not asked to wait for (after the 127th of futex_waitv, all but word 0 of the thread) are
 *           looked at every 10 ms.
 * USERS     1 A worker has a loop. Word 0 is its lane's bell. Its agents watch descriptors and timers; its queen and its agents'
 *           threads wake it.
 *           2 The monitor has a loop with a word for each lane, for comings and goings, and for its role.
 *           3 A client makes one futex call on its lane's bell (registry/client/await.c). With a loop it would wait for the same
 *           word, and pay for it: 2.3 instead of 2.0 us of processor time for a sleep and a wake, and at first a ring, its
 *           descriptor, and 60 to 200 us. A ring is one thread's, while any thread may wait for a task. And a wait may be
 *           cancelled at any instruction, so it must be a system call and nothing else.
 *           4 The thread behind apiary_lane_fd makes the same call (registry/client/lane_fd.c). The bell is its only word, and the
 *           caller that stops it rings the bell.
 * How long a waiter looks before it sleeps: core/spin.h.
 */
#ifndef AP_LOOP_H
#define AP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/apiary/agent.h"
#include "core/must_check.h"
#include "core/ops.h"
#include "core/uring.h"

struct ap_loop;

/* By the thread that will use the loop, with room for `words` words, numbered from 0. APIARY_ENOTSUP: this machine does not have
 * the forced variant. APIARY_EINVAL: there is no such variant. APIARY_ENOBLOCK, APIARY_ESYS. */
AP_MUST_CHECK int ap_loop_create(const struct ap_ops *ops, uint32_t words, struct ap_loop **ret);
/* Any thread, once neither the loop's own nor another will use it. */
void ap_loop_destroy(struct ap_loop *loop);
/* How often the loop has had to open its own descriptors again, because other code of the process had closed them. */
unsigned ap_loop_reopened(const struct ap_loop *loop);
enum ap_park ap_loop_park_kind(const struct ap_loop *loop);

/* 1 A watch lasts until ap_loop_close. A timer fires once (0 events), but its watch lasts until it is closed, too.
 * 2 With `ret` NULL a watch cannot be closed. It ends with the loop; a timer's ends when it has fired.
 * 3 A descriptor that fails is reported once, with POLLNVAL or POLLERR, and then left alone.
 * 4 Level-triggered: a descriptor is reported as long as it is ready.
 * 5 Only the loop's thread. APIARY_EINVAL, APIARY_ENOBLOCK, APIARY_ESYS. */
AP_MUST_CHECK
int ap_loop_watch(struct ap_loop *loop, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret);
AP_MUST_CHECK int ap_loop_timer(struct ap_loop *loop, uint64_t at, apiary_watch_fn fn, void *user, apiary_watch_t **ret);
int ap_loop_close(apiary_watch_t *watch); /* also from its own callback; APIARY_ESTALE: closed already, APIARY_EINVAL */

/* While a callback runs, *word says whose it is: what ap_loop_whose had said last when its watch was made (0: nobody's). Relaxed
 * stores. The word lives as long as the loop is used. */
void ap_loop_inside(struct ap_loop *loop, uint64_t *word);
void ap_loop_whose(struct ap_loop *loop, uint64_t whose);

/* 1 The next ap_loop_park sleeps only while the word has that value.
 * 2 A number is always the same word's. The word's memory must live until the loop is destroyed.
 * 3 The word stands from then on, through any number of parks, until it has changed or been woken. A word that stands is not given
 * to the kernel again, whatever value it began with: any later wake ends it.
 * 4 With `pass_on` other waiters of the word are woken when it has changed, since the kernel wakes only one at a death. */
void ap_loop_word(struct ap_loop *loop, uint32_t number, const uint32_t *word, uint32_t value, bool pass_on);
bool ap_loop_word_stands(const struct ap_loop *loop, uint32_t number);

/* From any thread: makes ap_loop_park return. */
void ap_loop_wake(struct ap_loop *loop);

/* Runs the callbacks that are ready, without a system call: looks at the completion ring. The poll variant does nothing unless
 * descriptors are watched and its turn has come. Returns the number of callbacks run. */
int ap_loop_turn(struct ap_loop *loop);
/* Sleeps until a word that stands is woken, a descriptor or timer fires, ap_loop_wake, or `until`; then runs callbacks. May return
 * early. */
void ap_loop_park(struct ap_loop *loop, uint64_t until);

#endif
