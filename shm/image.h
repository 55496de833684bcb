/* shm/image.h - process images: the kernel fact that nobody can store through a mapping any more.
 *
 * SCOPE     1 A robust lock's mark (lane.h) tells at once that one thread has ended. Some deaths it does not tell.
 *           2 A lane that an ended thread left to its process (SHARED) has no holder.
 *           3 A thread that is not the main one and calls exec is given the leader's id by the kernel before the kernel looks for
 *           the locks of that id. So none of its locks is marked.
 *           4 A process' number and start time stay the same over exec, and mean nothing in another pid namespace.
 * IMAGE     1 Attach maps the segment through an open file description of its own, locks one byte of the file through it
 *           (F_OFD_SETLK), and closes the descriptor. The number of the byte is the image's number.
 *           2 From then on only the mapping holds the description: fork does not copy it (MADV_DONTFORK), and no descriptor can be
 *           closed by mistake. The kernel drops the lock when the mapping goes: by exec, at the death of the last thread, by
 *           unmap.
 *           3 Any process that has the segment open can ask whether the byte is locked (F_OFD_GETLK), in any namespace.
 *           4 No thread of an image that is gone will ever store again.
 *           5 Numbers are never used twice: header.images counts them, and the lock itself refuses a number that is taken. They
 *           are below 2^62 and not 0: other bytes have other meanings (tools/apiaryd/apiaryd.c, agents/kinds/child.h).
 * JUDGE     1 The verdict is written into the life, by compare-and-swap: it is of the life that was looked at, however long the
 *           judge stood still. A SHARED lane: LIVE(e) -> DEAD(e). A THREAD lane: LIVE(e) -> JUDGED(e). All is looked at after the
 *           kernel's answer, when no mark can come any more.
 *           2 JUDGED means: the dead thread's lock is still its own, or has been opened and nobody has repaired it yet. To open it
 *           FUTEX_OWNER_DIED replaces the thread's id in the lock word, as the kernel would have done; the usual election follows.
 *           3 No living thread holds that lock. A reaper or joiner that takes it from the dead leaves glibc's sign of an unrepaired
 *           lock in `__owner` until it has stored DEAD(e). The sign tells them apart even when another pid namespace gave them the
 *           same thread id.
 *           4 The word has no epoch, and a later life's may be the same. So one judge at a time opens a lane's lock: the one whose
 *           image stands in `judge`. It takes that right first and looks at life and hold then; while it has the right the lane
 *           stays JUDGED(e), because nobody else makes its lock free.
 *           5 A taker (joiner, reaper) whose thread has the lane's thread id, of another pid namespace, shows for a moment what the
 *           dead thread showed: glibc has stored the word, and `__owner` not yet. So such a taker has the right, too, from before
 *           its trylock until DEAD(e) is stored.
 *           6 A judge that is killed has left the right behind, which its image tells: the next one takes it over. One that is
 *           stopped keeps it. Then the lane is as one whose reaper is stopped: others recover it beside the lock (reap.h), and its
 *           index stays out of use meanwhile.
 * LIMITS    1 A process that was given a descriptor may lack the permission to open the file, or a way to do it. Then it shares
 *           the giver's description: the lock tells a death only when all that share the description have gone, and such a process
 *           cannot ask.
 *           2 A child that another thread forks during attach has the descriptor until it execs.
 *           3 Where no kernel marks robust locks (robust.h, PROBE 3) each death of a thread is judged, and looks like an exec.
 *           4 An exec from a signal handler during a join, a take-over (lane.h, KINDS 4) or a recovery, on a thread that is
 *           not the main one, leaves that one lane locked, and what a SHARED one holds out of use. One from a handler that
 *           interrupts a judge, or a thread that ends there, leaves a JUDGED lane out of use.
 *           5 A taker looks at the lane's thread id before its trylock. If the lane is joined by a thread of the taker's id between
 *           the two, and that one's process is gone, too, by then, the taker does not have the right.
 */
#ifndef AP_IMAGE_H
#define AP_IMAGE_H

#include "core/must_check.h"
#include "shm/segment.h"

struct ap_lane;

/* Opens the file of `fd` anew, so that nobody else has the open file description. `path` (NULL: none) is another way to the file.
 * A duplicate of `fd` where there is no way. Negative: -errno. */
int ap_image_open(int fd, const char *path);
/* Gives the segment, which is mapped through `fd`, an image number and locks its byte. APIARY_ENOTSUP: the system has no such
 * locks, or does not tell of them; APIARY_ESYS. */
int ap_image_take(struct ap_segment *seg, int fd);

/* Ask the kernel about the image of one lane, or of all, and write the verdict down. Returns how many lanes were found dead; they
 * are then to be reaped. A system call for each image. */
int ap_image_judge(struct ap_segment *seg, uint32_t lane);
int ap_images_judge(struct ap_segment *seg);
/* Before and after the trylock of a lane's lock by somebody who takes it from the dead or from nobody (JUDGE 5). False: it is as
 * if the lock were held. `right` is for ap_image_taken, which is called when what was found is written into the life. */
AP_MUST_CHECK bool ap_image_taker(struct ap_segment *seg, struct ap_lane *lane, bool *right);
void ap_image_taken(struct ap_segment *seg, struct ap_lane *lane, bool right);
/* Whether a lane is LIVE and its image gone. Writes nothing. Any index. */
int ap_image_gone(const struct ap_segment *seg, uint32_t lane);

#endif
