/* shm/check.c - findings, looks, and the order of the checkers. See check.h. */
#include "shm/part.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "shm/event.h"
#include "shm/pool.h"
#include "shm/queue.h"

/* ---- findings ------------------------------------------------------------------------------------------------- */

/* `ret` is all zeros. */
static void text_set(char *ret, size_t size, const char *from)
{
    memcpy(ret, from, strnlen(from, size - 1));
}

static void deliver(struct ap_report *r, const struct ap_finding *f)
{
    if (f->severity == AP_CORRUPT)
        r->corrupt++;
    else
        r->repairable++;
    if (r->found != NULL) r->found(r->user, f);
}

/* ---- looks ---------------------------------------------------------------------------------------------------- */

void ap_look_found(struct ap_look *look, enum ap_severity severity, const volatile void *field, uint64_t evidence,
                   const char *rule, const char *format, ...)
{
    struct ap_finding *f;
    va_list args;

    if (look->count == AP_LOOK_MAX) return;
    look->items[look->count].evidence = evidence;
    f = &look->items[look->count++].finding;
    memset(f, 0, sizeof *f);
    f->severity = severity;
    f->index = look->index;
    f->offset = (uint64_t)((uintptr_t)field - (uintptr_t)look->seg->base);
    text_set(f->structure, sizeof f->structure, look->structure);
    text_set(f->rule, sizeof f->rule, rule);
    va_start(args, format);
    ap_vformat(f->text, sizeof f->text, format, args);
    va_end(args);
}

static bool check_same(const struct ap_finding *a, const struct ap_finding *b)
{
    return a->offset == b->offset && memcmp(a->rule, b->rule, sizeof a->rule) == 0;
}

/* Drops from `before` what `now` did not see again; returns how much of the rest rests on the same words as then. */
static uint32_t confirm(struct ap_look *before, const struct ap_look *now)
{
    bool taken[AP_LOOK_MAX] = {false};
    uint32_t kept = 0, settled = 0;

    for (uint32_t i = 0; i < before->count; i++) {
        for (uint32_t k = 0; k < now->count; k++) {
            if (taken[k] || !check_same(&before->items[i].finding, &now->items[k].finding)) continue;
            taken[k] = true; /* one rule may find two things wrong at one place */
            settled += before->items[i].evidence == now->items[k].evidence;
            before->items[kept++] = now->items[k];
            break;
        }
    }
    before->count = kept;
    return settled;
}

/* Lets whoever is in the middle of something get on with it. */
static void step_back(bool patient)
{
    const struct timespec nap = {0, 2000000};

    if (patient)
        nanosleep(&nap, NULL);
    else
        sched_yield();
}

static void look_begin(struct ap_look *look, const struct ap_segment *seg, const char *structure, uint64_t index,
                       struct ap_report *report)
{
    look->seg = seg;
    look->report = report;
    look->structure = structure;
    look->index = index;
    look->count = 0; /* the items stay uninitialised: a look is taken at every element */
    look->patient = false;
}

void ap_look_at(const struct ap_segment *seg, const char *structure, uint64_t index, ap_look_fn fn,
                struct ap_report *report)
{
    struct ap_look first, next;
    uint32_t looks = 1;

    look_begin(&first, seg, structure, index, report);
    fn(&first);
    while (first.count > 0 && looks < AP_LOOKS) {
        uint32_t settled;

        step_back(first.patient);
        look_begin(&next, seg, structure, index, report);
        fn(&next);
        looks++;
        settled = confirm(&first, &next);
        first.patient = next.patient;
        if (settled == first.count && !first.patient) break;
    }
    for (uint32_t i = 0; i < first.count; i++) deliver(report, &first.items[i].finding);
}

/* Loads keep their order, so that what the second look loads first is later than all of the first look.
 * LOOK-A1 pairs the release store of every structure that is looked at (LANE-R1, TASK-R1, TASK-R2, TASK-R3, QUEUE-R1, QUEUE-R2,
 * POOL-R1, EVENT-R1, REG-R1, DISC-R1). */
uint64_t ap_look_64(struct ap_look *look, const uint64_t *p)
{
    look->report->checked++;
    return ap_load_acquire(p); /* LOOK-A1 */
}

uint32_t ap_look_32(struct ap_look *look, const uint32_t *p)
{
    look->report->checked++;
    return ap_load_acquire(p); /* LOOK-A1 */
}

uint16_t ap_look_16(struct ap_look *look, const uint16_t *p)
{
    look->report->checked++;
    return ap_load_acquire(p); /* LOOK-A1 */
}

uint8_t ap_look_8(struct ap_look *look, const uint8_t *p)
{
    look->report->checked++;
    return ap_load_acquire(p); /* LOOK-A1 */
}

void ap_look_zero(struct ap_look *look, const volatile void *p, size_t size, const char *rule, const char *what)
{
    const volatile uint8_t *bytes = p;

    look->report->checked += (size + 7) / 8;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = bytes[i];
        if (byte == 0) continue;
        ap_look_found(look, AP_CORRUPT, &bytes[i], byte, rule, "%s: a byte is 0x%02x; it must be 0", what, byte);
        return;
    }
}

size_t ap_look_text(struct ap_look *look, const char *p, size_t size, const char *rule, const char *what, char *ret)
{
    const volatile char *from = p;
    uint64_t sum = 0;
    size_t length = 0, i;
    bool bad = false;

    look->report->checked += (size + 7) / 8;
    for (i = 0; i < size; i++) {
        ret[i] = from[i];
        sum = sum * 31 + (uint8_t)ret[i];
    }
    while (length < size && ret[length] != '\0') length++;
    if (length == size) {
        ap_look_found(look, AP_CORRUPT, &from[size - 1], sum, rule, "%s: it does not end in NUL", what);
        length = size - 1;
    }
    for (i = 0; i < length; i++) {
        if ((uint8_t)ret[i] >= ' ' && ret[i] != 0x7f) continue; /* bytes above are some encoding's letters */
        if (!bad)
            ap_look_found(look, AP_CORRUPT, &from[i], sum, rule, "%s: byte 0x%02x does not print", what, (uint8_t)ret[i]);
        bad = true;
        ret[i] = '?';
    }
    for (i = length; i < size && ret[i] == '\0'; i++) {}
    if (i < size && length + 1 < size)
        ap_look_found(look, AP_CORRUPT, &from[i], sum, rule, "%s: byte 0x%02x behind its end; it must be 0", what,
                      (uint8_t)ret[i]);
    ret[length] = '\0';
    return length;
}

enum ap_owner ap_look_owner(struct ap_look *look, uint32_t index, uint64_t *ret_life)
{
    const struct ap_lane *lane = ap_lane_at(look->seg, index);
    uint64_t life;

    if (lane == NULL) return AP_OWNER_ABSENT;
    life = ap_look_64(look, &lane->life);
    if (ret_life != NULL) *ret_life = life;
    switch (AP_LIFE_STATE(life)) {
    case AP_LIFE_LIVE: return ap_lane_dead(look->seg, index) ? AP_OWNER_DEAD : AP_OWNER_LIVE;
    case AP_LIFE_JUDGED:
    case AP_LIFE_DEAD: return AP_OWNER_DEAD;
    default: return AP_OWNER_FREE;
    }
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static bool boot_read(uint8_t ret[16])
{
    char text[64] = "";
    int fd = ap_fd_open("/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    unsigned n = 0, byte;

    if (fd < 0) return false;
    if (read(fd, text, sizeof text - 1) > 0) {
        for (const char *p = text; *p != '\0' && n < 16; p += *p == '-' ? 1 : 2) {
            if (*p == '-') continue;
            if (sscanf(p, "%2x", &byte) != 1) break;
            ret[n++] = (uint8_t)byte;
        }
    }
    close(fd);
    return n == 16;
}

/* By a clock of another time namespace, or of the process' own, whatever the segment says now. */
static bool same_time(const struct ap_segment *seg)
{
    const struct ap_time_namespace its = seg->header->time_namespace;
    struct ap_time_namespace own;

    if (ap_ops_shift(seg->ops) != 0) return true;
    ap_time_namespace_self(&own);
    return ap_time_same(&its, &own);
}

/* Stamps of another boot, or of another machine, cannot be compared with this clock. */
static bool same_boot(const struct ap_header *h)
{
    uint8_t here[16];
    const volatile uint8_t *there = h->boot_id;

    if (!boot_read(here)) return false;
    for (unsigned i = 0; i < 16; i++)
        if (here[i] != there[i]) return false;
    return true;
}

uint64_t ap_look_now(struct ap_look *look)
{
    if (look->report->boot == 0) look->report->boot = same_boot(look->seg->header) && same_time(look->seg) ? 1 : -1;
    return look->report->boot == 1 ? look->seg->ops->now() : UINT64_MAX;
}

void ap_look_date(struct ap_look *look, const uint64_t *p, const char *rule, const char *what)
{
    const uint64_t day = UINT64_C(86400000000000);
    uint64_t stamp = ap_look_64(look, p), now = look->seg->ops->realtime();

    if (stamp > now && stamp - now > day)
        ap_look_found(look, AP_CORRUPT, p, stamp, rule, "%s: %llu is in the future", what, (unsigned long long)stamp);
}

/* ---- mutexes -------------------------------------------------------------------------------------------------- */

uint32_t ap_look_mutex(struct ap_look *look, const pthread_mutex_t *m, const char *rule)
{
    const uint32_t tid_mask = 0x3fffffffu, tid_max = 1u << 22; /* the kernel's PID_MAX_LIMIT */
    pthread_mutex_t fresh;
    uint32_t lock = ap_look_32(look, ap_robust_word(m));
    uint32_t kind = ap_look_32(look, (const uint32_t *)&m->__data.__kind);
    uint32_t owner = ap_look_32(look, (const uint32_t *)&m->__data.__owner);
    uint32_t count = ap_look_32(look, &m->__data.__count);

    if ((lock & tid_mask) > tid_max)
        ap_look_found(look, AP_CORRUPT, ap_robust_word(m), lock, rule, "the lock word 0x%08x names no thread", lock);
    /* INT_MAX and INT_MAX - 1 are glibc's marks for a mutex that was taken after a death and not repaired. */
    if (owner > tid_max && owner != INT_MAX && owner != INT_MAX - 1)
        ap_look_found(look, AP_CORRUPT, &m->__data.__owner, owner, rule, "the mutex' owner 0x%08x is not a thread", owner);
    if (count > 1)
        ap_look_found(look, AP_CORRUPT, &m->__data.__count, count, rule, "the mutex' count is %u; at most 1", count);
    if (ap_robust_init(&fresh) < 0) return lock;
    if (kind != (uint32_t)fresh.__data.__kind)
        ap_look_found(look, AP_CORRUPT, &m->__data.__kind, kind, rule, "the mutex' kind is 0x%x, not 0x%x", kind,
                      (uint32_t)fresh.__data.__kind);
    pthread_mutex_destroy(&fresh);
    return lock;
}

/* ---- all ------------------------------------------------------------------------------------------------------ */

void ap_check_all(const struct ap_segment *seg, struct ap_report *report)
{
    ap_segment_check(seg, report);
    ap_parts_check(seg, 0, seg->parts->count, report);
}
