/* agents/runtime/loop.h - a worker's event loop: one io_uring, or poll(2) where io_uring is not available. Private memory, one
 * thread.
 *
 * VARIANTS  The best that works is chosen at creation. $APIARY_PARK forces one ("uring", "parker", "poll").
 *           1 uring: FUTEX_WAIT (opcode 51, kernel 6.7) on the bell in the ring, beside descriptors (POLL_ADD) and timers.
 *           2 parker, for a kernel without that opcode: a thread waits on the bell by futex(2) and writes an eventfd that the ring
 *           polls.
 *           3 poll, where io_uring is forbidden: the same thread and eventfd, and poll(2).
 */
#ifndef AP_LOOP_H
#define AP_LOOP_H

#include <stdint.h>

#include "core/apiary/agent.h"
#include "core/must_check.h"
#include "core/ops.h"
#include "core/uring.h"

struct ap_loop;

/* By the thread that will use the loop. APIARY_ENOTSUP: this machine does not have the forced variant. */
AP_MUST_CHECK int ap_loop_create(const struct ap_ops *ops, struct ap_loop **ret);
void ap_loop_destroy(struct ap_loop *loop);
/* How often the loop has had to open its own descriptors again, because other code of the process had closed them. */
unsigned ap_loop_reopened(const struct ap_loop *loop);
enum ap_park ap_loop_park_kind(const struct ap_loop *loop);
const char *ap_loop_park_name(enum ap_park park);

/* 1 A watch lasts until ap_loop_close. A timer fires once (0 events), but its watch lasts until it is closed, too.
 * 2 With `ret` NULL a watch cannot be closed. It ends with the loop; a timer's ends when it has fired.
 * 3 A descriptor that fails is reported once, with POLLNVAL or POLLERR, and then left alone.
 * 4 Level-triggered: a descriptor is reported as long as it is ready.
 * 5 Only the loop's thread. APIARY_EINVAL, APIARY_ENOBLOCK. */
AP_MUST_CHECK
int ap_loop_watch(struct ap_loop *loop, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret);
AP_MUST_CHECK int ap_loop_timer(struct ap_loop *loop, uint64_t at, apiary_watch_fn fn, void *user, apiary_watch_t **ret);
int ap_loop_close(apiary_watch_t *watch); /* also from its own callback; APIARY_ESTALE: closed already, APIARY_EINVAL */
/* From any thread: makes ap_loop_park return. */
void ap_loop_wake(struct ap_loop *loop);

/* Runs the callbacks that are ready, without a system call: looks at the completion ring. The poll variant does nothing unless
 * descriptors are watched and its turn has come. Returns the number of callbacks run. */
int ap_loop_turn(struct ap_loop *loop);
/* Sleeps while *bell == value, until a descriptor or timer fires, ap_loop_wake, or `until`; then runs callbacks. May return
 * early. The bell's memory must live until the loop is destroyed. */
void ap_loop_park(struct ap_loop *loop, uint32_t *bell, uint32_t value, uint64_t until);

#endif
