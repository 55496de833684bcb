/* shm/image.h - process images: the kernel fact that nobody can store through a mapping any more.
 *
 * SCOPE     A robust lock's mark (lane.h) tells at once that one thread has ended. Some deaths it does not tell: what a thread
 *           that ended left to its process has no holder; and who execs from a thread that is not the main one is given the
 *           leader's id by the kernel before it looks for the locks of that id, so that none is marked. A process' number and
 *           start time stay the same over exec, and mean nothing in another pid namespace.
 * WHAT      Attach maps the segment through an open file description of its own, which has a lock (F_OFD_SETLK) on one byte,
 *           whose number is the image's, and closes the descriptor. From then on nothing but the mapping holds the description:
 *           fork does not copy it (MADV_DONTFORK), no descriptor can be closed by mistake, and the kernel drops the lock when the
 *           mapping goes, by exec, at the death of the last thread, or unmapped. Whoever has the segment open asks whether the
 *           byte is locked (F_OFD_GETLK), in whatever namespace. No thread of an image that is gone will ever store again.
 *           Numbers are never used twice: header.images counts them, and the lock itself refuses what is taken. They are below
 *           2^62 and not 0: other bytes have other meanings (tools/apiaryd.c, agents/kinds/child.h).
 * JUDGE     The verdict is written where everybody looks. A SHARED lane: life LIVE(e) -> DEAD(e). A THREAD lane: in the lock word
 *           its thread's id gives way to FUTEX_OWNER_DIED, by compare-and-swap, as the kernel would have done it. The usual
 *           election follows. That is safe since nobody living holds that lock: its thread is gone, and who has taken it from the
 *           dead since (a reaper, a joiner) has left glibc's sign of a lock that is not repaired in `__owner`, which tells them
 *           apart even when another pid namespace has given them the same number. All is looked at after the kernel's answer,
 *           since when no mark can come any more, and the life once more after that.
 * LIMITS    Where a process may not open the file (it was given a descriptor, and not the permission) or has no way to do it,
 *           the description is the giver's, too: what the lock alone tells is then told when all who share it have gone, and
 *           such a process cannot ask. A child
 *           that is forked by another thread in the midst of attach has the descriptor until it execs. An exec from a signal
 *           handler in the midst of joining or reaping, on a thread that is not the main one, leaves that one lane locked.
 */
#ifndef AP_IMAGE_H
#define AP_IMAGE_H

#include "shm/segment.h"

/* A descriptor of an open file description that nobody else has, of the same file as `fd`; `path` (NULL: none) is another way to
 * it. A duplicate where there is no way. Negative: -errno. */
int ap_image_open(int fd, const char *path);
/* Gives the segment, mapped through `fd`, the number of its image and locks its byte. APIARY_ENOTSUP: the system has no such
 * locks, or does not tell of them; APIARY_ESYS. */
int ap_image_take(struct ap_segment *seg, int fd);

/* For one lane or all: writes down what the kernel says. Whether (how many) there was such a verdict; then reap. A system call for
 * each image. */
int ap_image_judge(struct ap_segment *seg, uint32_t lane);
int ap_images_judge(struct ap_segment *seg);
/* LIVE, and its image is gone; writes nothing. Any index. */
int ap_image_gone(const struct ap_segment *seg, uint32_t lane);

#endif
