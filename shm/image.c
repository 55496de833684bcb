/* shm/image.c - process images. See image.h. */
#include "shm/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/thread.h"
#include "shm/lane.h"

#define NUMBER_MASK (UINT64_MAX >> 2) /* of what can be an offset */
#define TRIES 1024                    /* of numbers that are taken, as they can be when the count is corrupt */

static bool image_same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* An open file description that nobody else has; -1: there is no way to one. */
static int own_description(int fd, const char *path, int flags)
{
    char self[64];
    int own;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    own = ap_fd_open(self, flags, 0);
    if (own < 0 && path != NULL) own = ap_fd_open(path, flags | O_NOFOLLOW | O_NONBLOCK, 0);
    if (own < 0 || image_same_file(own, fd)) return own; /* what is mounted as /proc, or lies at the path, may be another's */
    close(own);
    return -1;
}

int ap_image_open(int fd, const char *path)
{
    int own = own_description(fd, path, O_RDWR);

    if (own < 0) own = ap_fd_duplicate(fd);
    return own >= 0 ? own : -errno;
}

int ap_image_take(struct ap_segment *seg, int fd)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t number = (ap_add_relaxed(&seg->header->images, 1) + 1) & NUMBER_MASK;
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)number, .l_len = 1};

        if (number == 0) continue;
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
            if (errno == EAGAIN || errno == EACCES) continue;
            return APIARY_ENOTSUP;
        }
        if (seg->ops->lock_gone(seg->fd, number) < 0) return APIARY_ENOTSUP;
        seg->image = number;
        return 0;
    }
    return APIARY_ESYS;
}

/* ---- the verdict ---------------------------------------------------------------------------------------------- */

/* Questions go through an open file description of their own. The kernel does not show a lock of the description through which it
 * is asked, and the segment's may be shared with a process that was given the descriptor. It is opened when needed. The last
 * answer is kept: lanes of one process often lie side by side. */
struct asking {
    int fd; /* -1: none yet */
    bool refused, gone;
    uint64_t image;
};

static const struct asking nothing_asked = {.fd = -1, .refused = false, .gone = false, .image = 0};

static void ask_open(const struct ap_segment *seg, struct asking *asking)
{
    char path[sizeof seg->header->name + 16];
    AP_UNCANCELLED;

    snprintf(path, sizeof path, "/dev/shm%.*s", (int)sizeof seg->header->name, seg->header->name);
    asking->fd = seg->fd >= 0 ? own_description(seg->fd, path, O_RDONLY) : -1;
    asking->refused = asking->fd < 0;
}

static bool gone(const struct ap_segment *seg, uint64_t image, struct asking *asking)
{
    if (image == 0 || image == seg->image) return false;
    if (image == asking->image) return asking->gone;
    if (asking->fd < 0 && !asking->refused) ask_open(seg, asking);
    asking->image = image;
    asking->gone = !asking->refused && seg->ops->lock_gone(asking->fd, image) == 1;
    return asking->gone;
}

static void ask_close(const struct asking *asking)
{
    AP_UNCANCELLED;

    if (asking->fd >= 0) close(asking->fd);
}

/* The thread's own hold, with the word that shows it. A taker's is none, but may look so while the taker has the right. */
static bool own_hold(const struct ap_lane *lane, uint32_t *ret)
{
    uint32_t tid = ap_load_relaxed(&lane->tid);

    *ret = ap_load_acquire(ap_robust_word(&lane->mutex)); /* LANE-A4 pairs LANE-R4 */
    if (!ap_robust_held(*ret) || (*ret & FUTEX_TID_MASK) != tid) return false;
    return (uint32_t)ap_load_relaxed(&lane->mutex.__data.__owner) == tid;
}

/* The right to open the lock of a JUDGED lane, by the image that has it. One that is gone has left it behind. */
static bool right_take(struct ap_segment *seg, struct ap_lane *lane, struct asking *asking)
{
    uint64_t had = ap_load_relaxed(&lane->judge);

    if (seg->image == 0 || (had != 0 && !gone(seg, had, asking))) return false;
    return ap_cas(&lane->judge, &had, seg->image);
}

static void right_back(struct ap_segment *seg, struct ap_lane *lane)
{
    uint64_t own = seg->image;

    ap_cas(&lane->judge, &own, 0);
}

bool ap_image_taker(struct ap_segment *seg, struct ap_lane *lane, bool *right)
{
    struct asking asking = nothing_asked;

    *right = false;
    if (seg->image == 0 || ap_load_relaxed(&lane->tid) != ap_thread_id()) return true;
    *right = right_take(seg, lane, &asking);
    ask_close(&asking);
    return *right;
}

void ap_image_taken(struct ap_segment *seg, struct ap_lane *lane, bool right)
{
    if (right) right_back(seg, lane);
}

/* All is looked at with the right, and while somebody has it nobody else opens the lock: the word is of the life that is JUDGED. */
static int lock_open(struct ap_segment *seg, struct ap_lane *lane, struct asking *asking)
{
    uint32_t *word = (uint32_t *)ap_robust_word(&lane->mutex), v;
    int opened = 0;

    if (!right_take(seg, lane, asking)) return 0;
    while (!opened && AP_LIFE_STATE(ap_load_acquire(&lane->life)) == AP_LIFE_JUDGED && own_hold(lane, &v)) {
        ap_lane_crash(lane, AP_CRASH_EXEC);
        opened = ap_cas(word, &v, (v & FUTEX_WAITERS) | FUTEX_OWNER_DIED); /* LANE-R4 pairs LANE-A4 */
    }
    right_back(seg, lane);
    if (opened) seg->ops->futex_wake(word, INT_MAX);
    return opened;
}

static int image_judge(struct ap_segment *seg, struct ap_lane *lane, struct asking *asking)
{
    uint64_t life = ap_load_acquire(&lane->life); /* LANE-A1 pairs LANE-R1 */
    uint32_t v;

    if (AP_LIFE_STATE(life) == AP_LIFE_JUDGED) return lock_open(seg, lane, asking);
    if (AP_LIFE_STATE(life) != AP_LIFE_LIVE || !gone(seg, ap_load_relaxed(&lane->image), asking)) return 0;
    /* Acquire and release as LANE-R1 and LANE-R4: what the dead stored last comes through the kernel, which has torn down their
     * mapping and dropped the lock after it. The exchange also says that all that was looked at is of this life. */
    if (ap_load_relaxed(&lane->kind) == AP_LANE_SHARED)
        return ap_cas(&lane->life, &life, AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_DEAD)); /* LANE-R1 pairs LANE-A1 */
    if (!own_hold(lane, &v)) return 0;
    if (!ap_cas(&lane->life, &life, AP_LIFE(AP_LIFE_EPOCH(life), AP_LIFE_JUDGED))) return 0; /* LANE-R1 pairs LANE-A1 */
    lock_open(seg, lane, asking);
    return 1;
}

int ap_image_judge(struct ap_segment *seg, uint32_t index)
{
    struct ap_lane *lane = ap_lane_at(seg, index);
    struct asking asking = nothing_asked;
    int verdict = lane != NULL && image_judge(seg, lane, &asking);

    ask_close(&asking);
    return verdict;
}

int ap_images_judge(struct ap_segment *seg)
{
    struct asking asking = nothing_asked;
    int n = 0;

    for (uint32_t i = 0; i < seg->geometry.lanes; i++) n += image_judge(seg, ap_lane_at(seg, i), &asking);
    ask_close(&asking);
    return n;
}

int ap_image_gone(const struct ap_segment *seg, uint32_t index)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    struct asking asking = nothing_asked;
    uint64_t life = lane != NULL ? ap_load_acquire(&lane->life) : 0; /* LANE-A1 pairs LANE-R1 */
    bool is = AP_LIFE_STATE(life) == AP_LIFE_LIVE && gone(seg, ap_load_relaxed(&lane->image), &asking);

    ask_close(&asking);
    if (!is) return 0;
    ap_fence_acquire(); /* LANE-A2 pairs LANE-R2 */
    return ap_load_relaxed(&lane->life) == life;
}
