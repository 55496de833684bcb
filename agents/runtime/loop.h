/* agents/runtime/loop.h - a worker's event loop: one io_uring, or poll(2) where io_uring is not to be had. Private memory,
 * one thread.
 *
 * Three variants, the best that works is chosen at creation; $APIARY_PARK forces one ("uring", "parker", "poll"):
 *   uring   FUTEX_WAIT (opcode 51, kernel 6.7) on the bell in the ring, beside descriptors (POLL_ADD) and timers
 *   parker  a kernel without that opcode: a thread waits on the bell by futex(2) and writes an eventfd that the ring polls
 *   poll    io_uring forbidden: the same thread and eventfd, and poll(2)
 */
#ifndef AP_LOOP_H
#define AP_LOOP_H

#include <stdint.h>

#include "core/apiary/agent.h"
#include "core/must_check.h"
#include "core/ops.h"
#include "core/uring.h"

struct ap_loop;

/* By the thread that will use it. A forced variant that this machine cannot do: APIARY_ENOTSUP. */
AP_MUST_CHECK int ap_loop_create(const struct ap_ops *ops, struct ap_loop **ret);
void ap_loop_destroy(struct ap_loop *loop);
/* How often it has had to open its own descriptors again, because somebody in the process has closed them. */
unsigned ap_loop_reopened(const struct ap_loop *loop);
enum ap_park ap_loop_park_kind(const struct ap_loop *loop);
const char *ap_loop_park_name(enum ap_park park);

/* A watch lasts until ap_loop_close, a timer fires once and its watch, too, lasts until closed (0 events); with ret NULL it
 * cannot be closed and goes with the loop, a timer when it has fired. A descriptor that fails is reported once with POLLNVAL
 * or POLLERR and then left alone. Level-triggered: reported as long as it is ready. Only by the loop's thread. APIARY_EINVAL,
 * APIARY_ENOBLOCK. */
AP_MUST_CHECK
int ap_loop_watch(struct ap_loop *loop, int fd, uint32_t events, apiary_watch_fn fn, void *user, apiary_watch_t **ret);
AP_MUST_CHECK int ap_loop_timer(struct ap_loop *loop, uint64_t at, apiary_watch_fn fn, void *user, apiary_watch_t **ret);
int ap_loop_close(apiary_watch_t *watch); /* also from inside its own callback; APIARY_ESTALE: closed before, APIARY_EINVAL */
/* From any thread: makes ap_loop_park return. */
void ap_loop_wake(struct ap_loop *loop);

/* Runs what is ready without a system call (the completion ring is looked at; the poll variant does nothing unless
 * descriptors are watched and its turn has come). Returns the number of callbacks run. */
int ap_loop_turn(struct ap_loop *loop);
/* Sleeps while *bell == value, until a descriptor or timer fires, ap_loop_wake, or `until`; then runs callbacks. May
 * return early. The bell must be there until the loop is destroyed. */
void ap_loop_park(struct ap_loop *loop, uint32_t *bell, uint32_t value, uint64_t until);

#endif
