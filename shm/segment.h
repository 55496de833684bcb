/* shm/segment.h - the segment: creation, attach, sections, and the one place where offsets become pointers.
 *
 * SCOPE     One POSIX shared-memory object, /dev/shm/<name>, of fixed size, self-describing. This file knows sections by name,
 *           stride and count, and not what a registry keeps in them: see part.h.
 * LAYOUT    page 0: struct ap_header. Then the sections of its table, each aligned to 4,096 bytes.
 *           header.magic .. time_namespace    written by the creator before READY, constant afterwards
 *           header.rescan                     any reaper, who moves a task, a monitor that stands in
 *           header.tap                        who taps (finished.h)
 *           header.lanes_changed              any joiner, closer, reaper; futex word of the monitors
 *           header.role                       robust mutex: the monitor's role
 *           header.watched                    the monitor that watches the lanes, once a second (registry/monitor/monitor.h)
 *           header.images                     counted by every attach
 *           header.due, .due_rung             who schedules a task, who looks for tasks that are due (due.h)
 * PAGES     1 All pages exist from the creation on; they are huge ones where the kernel can (MADV_COLLAPSE).
 *           2 A mapping of 2 MiB or more lies at a multiple of 2 MiB if it may. Then the end of a member takes less time of its
 *           processor, which the recovery may need.
 * LIFE      1 The object is made without a name (O_TMPFILE), locked (flock), filled, its state set to READY, and only then linked
 *           to its name. So a name never shows a half-made segment.
 *           2 Of two creators, the second one's link fails with EEXIST, and that one attaches.
 *           3 Attach nevertheless tells CREATING from a dead creator (the lock is free), for descriptors passed early and for file
 *           systems without O_TMPFILE.
 * ORDERING  SEG-R1 header.state store-release READY pairs SEG-A1 load-acquire in attach: all of the header before it.
 * TRUST     Attach checks the header's geometry and copies it to private memory. Afterwards every conversion uses the private
 *           copy, so a later change of the header cannot move a bound.
 * ERRORS    as in apiary_attach.
 */
#ifndef AP_SEGMENT_H
#define AP_SEGMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/apiary.h"
#include "core/atomic.h"
#include "core/invariant.h"
#include "core/must_check.h"
#include "core/ops.h"

#define AP_SEGMENT_MAGIC "APIARYSG"
#define AP_LAYOUT_VERSION 4u     /* of segments this library creates */
#define AP_LAYOUT_VERSION_MIN 4u /* the oldest it can attach to */
#define AP_SECTIONS_MAX 40u
#define AP_REGISTRY_SECTIONS_MAX 26u
/* The most that the numbers of the geometry may be, where words have room for so many. */
#define AP_TASKS_MAX (1u << 22)
#define AP_QUEUES_MAX 16383u /* 14 bits of owner in the task word; 0x3fff means none */
#define AP_INLETS_MAX 63u
#define AP_TICKETS_MAX 4096u

enum ap_segment_state { AP_SEGMENT_CREATING = 1, AP_SEGMENT_READY = 2 };

/* Sections of shm/; a registry's own follow (part.h). */
enum ap_section_id {
#define AP_PART(ID, id) AP_SECTION_##ID,
#include "shm/parts.def"
#undef AP_PART
    AP_SECTION_FIRST_FREE
};

struct ap_section {
    char name[16];
    uint64_t offset; /* from the start of the segment */
    uint64_t stride; /* bytes of one element */
    uint64_t count;
    uint64_t reserved;
};

#define AP_POOL_CLASSES 7u /* 256 B, 1 K, 4 K, 16 K, 64 K, 256 K, 1 M */
#define AP_GRANTS (1 + AP_POOL_CLASSES) /* of slabs, and of the blocks of each class (share.h) */

/* The numbers that the configuration decides; copied to the header. Zero means the default in brackets. */
struct ap_geometry {
    uint64_t task_timeout;  /* default schedule-to-close, ns [60 s] */
    uint32_t members;       /* attached processes [128] */
    uint32_t lanes;         /* threads of them [256], at most 16,382 */
    uint32_t tasks;         /* slots [8,192], a multiple of 64, at most AP_TASKS_MAX */
    uint32_t queues;        /* one per agent [128], at most AP_QUEUES_MAX */
    uint32_t queue_depth;   /* references per inlet [256], a power of two */
    uint32_t queue_inlets;  /* single-producer inlets per queue [15], at most AP_INLETS_MAX; one shared inlet is added */
    uint32_t max_concurrent_delegations; /* per calling swarm [100], at most AP_TICKETS_MAX */
    uint32_t pool_blocks[AP_POOL_CLASSES]; /* blocks per class [1024 512 256 64 8 4 4] */
    uint32_t events;        /* entries of the event log [1,024], a power of two */
    uint32_t registry[AP_REGISTRY_SECTIONS_MAX]; /* decide the sizes of the registry's sections, in their order */
    uint32_t member_share;  /* percent that a member may hold of what it holds and what is free [75] (share.h) */
    uint32_t result_ttl;    /* ms that a result waits for its caller after the deadline [500 s] (uncollected.h) */
    uint32_t max_unnamed_delegations; /* of a process that calls for no service, in whole slabs [1,024] (share.h) */
    uint32_t claims;        /* keys that are claimed [128], at most 65,535 (claim.h) */
    uint32_t kept_share;    /* percent of the blocks of each class that what is kept may hold together [50] (share.h) */
    uint32_t finished_rings; /* of the last tasks [32], a power of two (finished.h) */
    uint32_t trace_one_in;   /* of tasks in no trace one in so many begins one that is recorded; 0: none [0] */
    uint32_t slow_task;      /* ms from its queueing after which a task is among them for that [100] */
};

struct ap_header {
    char magic[8];
    uint32_t version, version_min; /* of the creator */
    uint64_t fingerprint;          /* of names, offsets and sizes of every shared field */
    uint64_t size;                 /* of the whole segment */
    uint32_t state;                /* enum ap_segment_state */
    uint32_t section_count;
    int64_t creator_pid;
    uint64_t creator_start, creator_namespace;
    uint64_t created_realtime, created_monotonic;
    uint8_t boot_id[16];
    char name[64];
    struct ap_geometry geometry;
    struct ap_section sections[AP_SECTIONS_MAX];
    struct ap_time_namespace time_namespace; /* all times are of its CLOCK_MONOTONIC */

    uint64_t rescan AP_ALIGNED;         /* raised after every recovery; see queue.h */
    uint64_t tap;                       /* until when every task's end is recorded (finished.h) */
    uint32_t lanes_changed AP_ALIGNED;  /* bumped at each join, close and recovery */
    uint64_t event_next AP_ALIGNED;     /* next event number, see event.h */
    uint64_t forgotten;                 /* results that nobody has collected, given up (uncollected.h) */
    pthread_mutex_t role AP_ALIGNED;    /* held by the monitor that watches the lanes */
    uint64_t watched AP_ALIGNED;        /* AP_WATCHED of the last look at the lanes */
    uint64_t images AP_ALIGNED;         /* the number of images so far; see image.h */
    uint64_t due AP_ALIGNED;            /* a hint: the soonest of the slabs' (due.h); 0: none */
    uint32_t due_rung;                  /* bumped when that becomes sooner; futex word of the monitor */
    uint64_t kept_grants[AP_GRANTS] AP_ALIGNED; /* what was granted to values of the memory (share.h) */
};

/* A beat of the monitor that watches the lanes: ms of CLOCK_MONOTONIC, and the monitor's lane. */
#define AP_WATCHED(now, lane) ((uint64_t)(now) / 1000000 << 16 | (uint64_t)(lane))
#define AP_WATCHED_AT(w) ((uint64_t)(w) >> 16) /* ms */
#define AP_WATCHED_LANE(w) ((uint32_t)((w) & 0xffff))

/* Where a section begins, how many elements it has, and of what size. */
struct ap_place {
    uint8_t *at;
    uint64_t count, stride;
};

struct ap_parts;  /* part.h */
struct ap_report; /* check.h */

/* A mapped segment in private memory. Created by create/attach, freed by unmap. Constant afterwards, so any thread may
 * use it; `fork_canary` is a page that the kernel clears in a forked child. */
struct ap_segment {
    uint8_t *base;
    uint64_t size;
    int fd;          /* by ap_segment_fd */
    bool writable;
    struct ap_header *header; /* == base; only its volatile words are read after attach */
    const struct ap_ops *ops;
    uint32_t *fork_canary; /* 0 in a forked child: the kernel wipes its page */
    uint64_t device, inode; /* of its file */
    struct ap_geometry geometry AP_ALIGNED;
    uint32_t section_count;
    uint64_t fingerprint;   /* the one that the attaching process expects; 0: not known */
    const struct ap_parts *parts; /* what lies in its sections (part.h) */
    struct ap_identity self;
    uint64_t image;          /* the number of this mapping's image (image.h); 0: it has no lanes */
    struct ap_place places[AP_SECTIONS_MAX]; /* of the sections, for the hot path; see ap_segment_places */
    struct ap_section sections[AP_SECTIONS_MAX];
};

struct ap_segment_options {
    const char *name;             /* "/apiary" */
    struct ap_geometry geometry;
    uint32_t mode;                /* 0: 0660 */
    const uid_t *owner;           /* NULL: leave */
    const gid_t *group;
};

/* '/' and 1 to 62 other bytes, no '/': what a segment may be called. "/." and "/.." are none. */
bool ap_segment_name_valid(const char *name);
/* Makes, fills and names a new segment and maps it. The registry's sections are all zeros. APIARY_EEXIST when the name is
 * taken. */
AP_MUST_CHECK
int ap_segment_create(const struct ap_segment_options *options, const struct ap_parts *parts, char *message, size_t message_size,
                      struct ap_segment **ret);
AP_MUST_CHECK
int ap_segment_attach(const char *name, bool writable, const struct ap_parts *parts, char *message, size_t message_size,
                      struct ap_segment **ret);
/* fd is duplicated. A regular file (a copy of a segment) is accepted read-only. */
AP_MUST_CHECK int ap_segment_attach_fd(int fd, bool writable, const struct ap_parts *parts, char *message, size_t message_size,
                         struct ap_segment **ret);
void ap_segment_unmap(struct ap_segment *seg);
/* Replaces the mapping by a new one, which is another image, while other threads of this process hold the mutexes at the offsets
 * `held` (robust.h, PART). By the last user of the mapping. 0, or an error, and then the old mapping stays, with its image. */
AP_MUST_CHECK int ap_segment_part(struct ap_segment *seg, const size_t *held, size_t count);
AP_MUST_CHECK int ap_segment_remove(const char *name);
/* Its descriptor. If other code of the process has closed it, which may have another file under the number by now, the segment is
 * opened again by its name; where that leads elsewhere the old number is returned. Any thread. */
int ap_segment_fd(struct ap_segment *seg);
/* Removes the name if it leads to the object that `fd` is open on: 1. 0: it leads elsewhere, or nowhere. */
AP_MUST_CHECK int ap_segment_remove_own(int fd, const char *name);
/* Whether the segment has lost its name, so that no further process can attach by it. */
bool ap_segment_removed(const struct ap_segment *seg);

/* The lane looks after the dead, as of now. */
static inline void ap_segment_watched(const struct ap_segment *seg, uint32_t lane)
{
    ap_store_relaxed(&seg->header->watched, AP_WATCHED(seg->ops->now(), lane));
}

/* Index of a section by name, or -1. */
int ap_segment_section(const struct ap_segment *seg, const char *name);

/* Works out the places of the sections, after base and sections were set. */
void ap_segment_places(struct ap_segment *seg);

/* THE conversion: element `index` of a section, or NULL when out of range. */
static inline void *ap_at(const struct ap_segment *seg, uint32_t section, uint64_t index)
{
    const struct ap_place *p = &seg->places[section];
    if (__builtin_expect(index >= p->count, 0)) return NULL;
    return p->at + index * p->stride;
}

/* The same for a section whose stride the compiler knows: attach has compared it (ap_layout_matches, ap_registry_fits). */
#define AP_ELEMENT(seg, section, index, type) ((type *)ap_at_stride((seg), (section), (index), sizeof(type)))
static inline void *ap_at_stride(const struct ap_segment *seg, uint32_t section, uint64_t index, uint64_t stride)
{
    const struct ap_place *p = &seg->places[section];
    if (__builtin_expect(index >= p->count, 0)) return NULL;
    return p->at + index * stride;
}

/* A number that changes whenever the life of one of the section's rows changes.
 * 1 A search for a free row looks at each row at another moment. While lanes come and go, each row may be seen in use although one
 *   was free all the time.
 * 2 So a search says "full" only when it found nothing and this number is the same before and after. Otherwise it looks again, up
 *   to AP_SEARCHES times: `for (struct ap_search s = {0}; ap_search_again(&s, AP_LIVES(...));)` round the search, and after it the
 *   table is full. */
#define AP_SEARCHES 64 /* lost races; in each of them another lane made progress */
#define AP_LIVES(seg, section, type) ap_lives((seg), (section), sizeof(type), offsetof(type, life))
static inline uint64_t ap_lives(const struct ap_segment *seg, uint32_t section, uint64_t stride, uint64_t life)
{
    uint64_t ret = 0;

    for (uint64_t i = 0; i < seg->places[section].count; i++) {
        const uint8_t *row = ap_at_stride(seg, section, i, stride);
        ret = ret * 31 + ap_load_acquire((const uint64_t *)(const void *)(row + life));
    }
    return ret;
}
struct ap_search {
    uint64_t lives;
    uint32_t searches;
    bool anew;
};
/* There is to be another search whatever the lives are: somebody who was met may leave a row as it was before. */
static inline void ap_search_anew(struct ap_search *s, const struct ap_ops *ops)
{
    ops->yield();
    s->anew = true;
}
static inline bool ap_search_again(struct ap_search *s, uint64_t lives)
{
    if (s->searches > 0 && !s->anew && lives == s->lives) return false;
    s->anew = false;
    s->lives = lives;
    return s->searches++ < AP_SEARCHES;
}

/* `size` bytes at `offset`, or NULL when they do not lie inside the segment. */
static inline void *ap_at_offset(const struct ap_segment *seg, uint64_t offset, uint64_t size)
{
    if (__builtin_expect(offset > seg->size || size > seg->size - offset, 0)) return NULL;
    return seg->base + offset;
}

static inline bool ap_forked(const struct ap_segment *seg)
{
    return seg->fork_canary != NULL && ap_load_relaxed(seg->fork_canary) == 0;
}

#endif
