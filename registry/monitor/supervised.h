/* registry/monitor/supervised.h - what a supervisor knows of the instances that it runs: how each ended, how often, when
 * it is tried again.
 *
 * SCOPE     One row for each instance that a supervisor is to run, from the moment it is to be run: also for an instance that
 *           never registers. The row tells observers why a service is down; nobody acts on it.
 * LAYOUT    Section "supervised" has as many rows as there are swarms. A row is the life, the supervisor, the service's name, and
 *           two records, of which `turn` names the current one: record[turn % 2].
 * WRITER    1 Only the lane in `life` writes. It fills in the record that is not current and makes that one current by one store.
 *           So a death at any instruction leaves the former record or the new one, whole.
 *           2 A reader copies the current record, then looks at turn and life again, and waits for nobody.
 * LIFE      1 life = epoch << 24 | lane << 8 | state. Each step is a CAS that raises the epoch.
 *           2 FREE (or ORPHANED, when none is free) -> FILLING(lane) -> HELD(lane).
 *           3 HELD -> FREE by its supervisor, when the instance is no longer to be run. HELD -> ORPHANED by its supervisor that
 *           leaves, or by the reaper. FILLING(dead) -> FREE by the reaper. ORPHANED ->
 *           FREE by the next supervisor, or by an operator who forgets the instance.
 *           4 An orphaned row keeps its record: the last that is known.
 *           5 left = ms of CLOCK_REALTIME, with 16 bits of the epoch of the HELD that ended above them. It is stored by CAS before
 *           that step, so a slow reaper's value is not taken for that of a later supervisor.
 * INVARIANTS J1 the lane of a FILLING or HELD row is LIVE  J2 the name of a HELD or ORPHANED row is valid  J3 its current record
 *           is possible  J4 reserved bytes are 0
 * ORDERING  SUPER-R1 CAS of the life pairs SUPER-A1 load-acquire: name and record before HELD.
 *           SUPER-R2 release fence before the stores of a record or a name pairs SUPER-A2 acquire fence before a reader's second
 *           look at turn and life: a reader that has read a new byte sees that they changed.
 *           SUPER-R3 turn store-release pairs SUPER-A3 load-acquire: the record before it.
 */
#ifndef AP_SUPERVISED_H
#define AP_SUPERVISED_H

#include "registry/registry.h"

enum ap_supervised_life { AP_SUPERVISED_FREE, AP_SUPERVISED_FILLING, AP_SUPERVISED_HELD, AP_SUPERVISED_ORPHANED };
#define AP_SUPERVISED_LIFE(epoch, lane, state) ((uint64_t)(epoch) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_SUPERVISED_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_SUPERVISED_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_SUPERVISED_EPOCH(l) ((uint64_t)(l) >> 24)

#define AP_LEFT(epoch, realtime) (((uint64_t)(epoch) & 0xffff) << 48 | ((realtime) / 1000000 & 0xffffffffffff))
#define AP_LEFT_EPOCH(w) ((uint64_t)(w) >> 48)
#define AP_LEFT_AT(w) (((uint64_t)(w) & 0xffffffffffff) * 1000000) /* CLOCK_REALTIME; 0: not known */

enum ap_child_state {
    AP_CHILD_STARTING = 1, /* not started yet; or its process runs and has not registered */
    AP_CHILD_RUNNING,      /* registered, but not passing */
    AP_CHILD_PASSING,
    AP_CHILD_WAITING,  /* ended; is started again at `due` */
    AP_CHILD_GIVEN_UP, /* ended; is not started again */
    AP_CHILD_LEAVING,  /* told to stop */
    AP_CHILD_STOPPED,  /* told to stop, and ended */
    AP_CHILD_HELD      /* never started: it waits for other services, which `said` names */
};
enum ap_child_end { AP_END_NONE, AP_END_CODE, AP_END_SIGNAL, AP_END_NO_START };
enum ap_child_stage { AP_STAGE_INPUT = 1, AP_STAGE_PIPE, AP_STAGE_FORK }; /* the resource that was lacking */

#define AP_SAID_MAX 447u

struct ap_supervision {
    uint32_t state;        /* enum ap_child_state */
    uint32_t instance;     /* its number, under which it registers */
    uint32_t starts, ends; /* ends: in a row, without a stable time between */
    uint32_t end, code;    /* the last end: enum ap_child_end; exit code, signal, or errno of the stage that failed */
    uint32_t stage;        /* enum ap_child_stage; 0 unless AP_END_NO_START */
    uint32_t said_size;    /* of the whole line; `said` may hold only its beginning */
    int64_t pid;           /* 0: not running */
    uint64_t changed;      /* CLOCK_REALTIME, when the state last changed */
    uint64_t ended;        /* CLOCK_REALTIME of the last end; 0: none */
    uint64_t due;          /* CLOCK_MONOTONIC, while WAITING */
    char said[AP_SAID_MAX + 1]; /* the last line that it wrote before its last end; HELD: services, with ", " between */
};
#define AP_SUPERVISION_WORDS 64u

struct ap_supervised {
    uint64_t life;
    uint64_t turn;
    uint64_t left;      /* AP_LEFT: when its supervisor left or died */
    uint64_t held;      /* CLOCK_REALTIME: when this supervisor took the row */
    int64_t supervisor; /* pid */
    uint64_t reserved1[3];
    char service[APIARY_NAME_MAX + 1];
    uint64_t reserved2[2];
    uint64_t record[2][AP_SUPERVISION_WORDS] AP_ALIGNED; /* struct ap_supervision */
} AP_ALIGNED;

static inline struct ap_supervised *ap_supervised_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_SUPERVISED, i, struct ap_supervised);
}

/* Takes a row for an instance of the service, and writes its first record. `lane` is the caller's. APIARY_ETABLEFULL: living
 * supervisors hold all rows. */
int ap_supervised_take(struct ap_segment *seg, uint32_t lane, int64_t pid, const char *service, const struct ap_supervision *first,
                       uint32_t *ret);
/* Writes the next record of a row that the caller has taken. */
void ap_supervised_write(struct ap_segment *seg, uint32_t row, const struct ap_supervision *next);
/* Frees a row of the caller's lane, whose instance is no longer to be run. */
void ap_supervised_release(struct ap_segment *seg, uint32_t lane, uint32_t row);
/* Orphans the rows of a lane. By a supervisor that leaves; for a dead lane, by the reaper. Idempotent. */
void ap_supervised_end(struct ap_segment *seg, uint32_t lane);
/* The same for a dead lane. The caller has its lock: the time is stored before the life is exchanged. */
void ap_supervised_withdraw(struct ap_segment *seg, uint32_t lane, uint64_t beside);
/* Frees orphaned rows. */
void ap_supervised_forget(struct ap_segment *seg);
/* Those of one instance, named as it registers. False: there is none. */
bool ap_supervised_forget_instance(struct ap_segment *seg, const char *service, const char *instance);

/* Keeps the part of a line that fits and prints. `said_size` is the size of the whole line. */
void ap_supervision_said(struct ap_supervision *s, const char *line, size_t size);

struct ap_supervised_view {
    char service[APIARY_NAME_MAX + 1];
    struct ap_supervision last;
    bool supervised;    /* by a living supervisor */
    int64_t supervisor; /* pid */
    uint64_t held;      /* CLOCK_REALTIME */
    uint64_t left;      /* CLOCK_REALTIME; 0: not known, or supervised */
    uint64_t now;       /* when it was read, by the clock of `due` */
};
/* A copy for observers. False: no such row, or it is empty, or it changed during every attempt. Texts always end. */
bool ap_supervised_read(const struct ap_segment *seg, uint32_t row, struct ap_supervised_view *ret);

#endif
