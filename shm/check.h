/* shm/check.h - what a checker reports: one finding names structure, index and offset.
 *
 * PLACE     Each part has a checker for one of its elements in its row of the table (part.h). ap_check_all goes through the table.
 * TRUST     1 Checkers read a segment that may change under them or be hostile.
 *           2 Every index is range-checked, and every loop is bounded by the private geometry.
 *           3 A word is loaded once and judged on the copy.
 *           4 On a live segment a finding is confirmed by a second look.
 */
#ifndef AP_CHECK_H
#define AP_CHECK_H

#include "shm/segment.h"

enum ap_severity { AP_REPAIRABLE = 1, AP_CORRUPT = 2 }; /* the exit codes of shmdump --verify */

/* The rules of shm/: those of the headers' INVARIANTS, and what follows from their LAYOUT, LIFE and WORD. A registry has its
 * own. X(rule, what must hold) */
#define AP_RULES(X)                                                                     \
    X("S1", "the magic bytes are there")                                                \
    X("S2", "the layout version is one that this library knows")                        \
    X("S3", "the layout fingerprint is this library's")                                 \
    X("S4", "the size in the header is the size of the object")                         \
    X("S5", "the state is READY")                                                       \
    X("S6", "the section table is the one that the geometry gives, in order, no gap")   \
    X("S7", "every number of the geometry is in range and agrees with the sections")    \
    X("S8", "names end in NUL, print, and nothing follows them")                        \
    X("S9", "creator, stamps and counters are possible")                                \
    X("S10", "reserved bytes are 0")                                                    \
    X("S11", "the role's mutex is possible")                                            \
    X("S12", "the header has not changed since it was attached to")                     \
    X("M1", "a member's life: state and anchor lane in range")                          \
    X("M2", "a member's process and kind are possible")                                 \
    X("M3", "a member's anchor lane is LIVE and belongs to it")                         \
    X("M4", "a member's names end in NUL, print, and nothing follows them")             \
    X("M5", "a member's stamp is not in the future")                                    \
    X("M6", "reserved bytes are 0")                                                     \
    X("L3", "a LIVE lane's member is LIVE and its index in range")                      \
    X("L4", "a lane's state and kind are in range")                                     \
    X("L5", "the kernel has not marked a LIVE lane dead")                               \
    X("L6", "a LIVE lane's mutex is held by its thread")                                \
    X("L7", "a lane's mutex is possible")                                               \
    X("L8", "hands name slots of the table")                                            \
    X("L9", "a lane's stamp and image are not of the future")                           \
    X("L10", "reserved bytes are 0")                                                    \
    X("L11", "a lane waits for a claim that is in the table, or for none")              \
    X("L2", "the lane of a RUNNING task is LIVE or DEAD")                               \
    X("T1", "a task's state is one of the nine")                                        \
    X("T2", "a task's owner is in range for its state")                                 \
    X("T3", "a RESERVED slot's slab is leased to its owner")                            \
    X("T4", "bodies lie in the slot, or in one pool block that is attached to it")      \
    X("T5", "generation, crashes, the unused bits and the request word are possible")       \
    X("T6", "a task's stamps are in order and not in the future")                       \
    X("T7", "a finished task's code is 0 exactly if it is DONE, and known")             \
    X("T8", "the client's lane and the queue are in range")                             \
    X("T9", "reserved bytes are 0")                                                     \
    X("T10", "a slab is leased to a LIVE lane")                                         \
    X("T11", "a task's owner is alive")                                                 \
    X("T12", "the hints of a SCHEDULED task are not later than its next time")          \
    X("T13", "the rank that a task has is one of the four")                             \
    X("Q1", "0 <= tail - head <= depth")                                                \
    X("Q2", "a queue's state and lane are in range")                                    \
    X("Q3", "a ring's lease is a LIVE lane's, and the shared ring's is 0")              \
    X("Q4", "cells carry the lap of their place, without a gap")                        \
    X("Q5", "references name slots of the table, at generations that were")             \
    X("Q6", "summary bits are those of rings")                                          \
    X("Q7", "counts of a queue are possible")                                           \
    X("Q8", "reserved bytes are 0")                                                     \
    X("Q9", "the consumer of a CLAIMED or OPEN queue is alive")                         \
    X("Q15", "the histograms of a queue have what its counts have, and little more")     \
    X("P1", "a REQUEST block is named by its slot, at its generation")                  \
    X("P2", "a RESULT block is named by its slot, or being written by its worker")      \
    X("P3", "an OWNED block's lane is LIVE, at its epoch")                              \
    X("P4", "a block's state and owner are in range")                                   \
    X("P6", "a STREAM block is named by its slot's stream, at its generation")          \
    X("V1", "the positions of a task's stream are in order, within its window")         \
    X("V2", "the window of a task's stream is attached to its slot")                    \
    X("V3", "a stream's generation is not above its slot's in the same epoch")          \
    X("C1", "the lane of a claim, or of a row that is being filled, is LIVE")           \
    X("C2", "the word, number, key and hash of a claim are possible")                   \
    X("C3", "no key is in two rows")                                                    \
    X("C4", "a row that is being entered is a row of that home")                        \
    X("C5", "a key outside its window has a home that is marked so")                    \
    X("E1", "an event's number is the one of its place, and was given out")             \
    X("E2", "an event's kind is known")                                                 \
    X("E3", "an event's lane is in range")                                              \
    X("E4", "an event's stamp is not in the future")                                    \
    X("E5", "reserved bytes are 0")
#define X(rule, text) _Static_assert(sizeof rule <= 8, rule " has room in a finding");
AP_RULES(X)
#undef X

struct ap_finding {
    enum ap_severity severity;
    char structure[16]; /* "slot", "lane", ... the section's name */
    uint64_t index;
    uint64_t offset; /* of the field, from the start of the segment */
    char rule[8];    /* "T2" */
    char text[160];
};

struct ap_report {
    void (*found)(void *user, const struct ap_finding *finding);
    void *user;
    uint64_t checked;             /* words looked at */
    uint64_t repairable, corrupt; /* findings */
    int boot;                     /* 0 not known yet, 1 this boot's segment, -1 another's, or of a clock that is not known */
};

void ap_segment_check(const struct ap_segment *seg, struct ap_report *report); /* header and sections */
void ap_check_all(const struct ap_segment *seg, struct ap_report *report);     /* header, sections, and every part */

/* ---- looks: how a checker reads one element that may change under it ---------------------------------------------
 *
 * 1 A look is one pass over one element. It loads each word once, in program order, and records each finding together with its
 *   evidence (the word that was judged).
 * 2 When the first look found something, ap_look_at takes a second one at once. The finding is reported when both looks saw the
 *   same evidence: that proves that all words loaded in between were true at the same time.
 * 3 It is also reported when it is still there after AP_LOOKS looks. */
#define AP_LOOKS 8u
#define AP_LOOK_MAX 24u /* findings kept for one element */

struct ap_look {
    const struct ap_segment *seg;
    struct ap_report *report;
    const char *structure;
    uint64_t index;
    uint32_t count;
    bool patient; /* set by a checker for a state that is legal for a moment: the looks are then milliseconds apart */
    struct {
        struct ap_finding finding;
        uint64_t evidence;
    } items[AP_LOOK_MAX];
};
typedef void (*ap_look_fn)(struct ap_look *look);

void ap_look_at(const struct ap_segment *seg, const char *structure, uint64_t index, ap_look_fn fn,
                struct ap_report *report);
/* `field` lies in the segment. */
void ap_look_found(struct ap_look *look, enum ap_severity severity, const volatile void *field, uint64_t evidence,
                   const char *rule, const char *format, ...) __attribute__((format(printf, 6, 7)));
uint64_t ap_look_64(struct ap_look *look, const uint64_t *p);
uint32_t ap_look_32(struct ap_look *look, const uint32_t *p);
uint16_t ap_look_16(struct ap_look *look, const uint16_t *p);
uint8_t ap_look_8(struct ap_look *look, const uint8_t *p);
/* Finds nonzero bytes in [p, p + size): one finding, at the first of them. */
void ap_look_zero(struct ap_look *look, const volatile void *p, size_t size, const char *rule, const char *what);
/* Copies a text of at most size - 1 bytes. Finds a missing NUL, control bytes, and anything but NULs behind the first NUL. `ret`
 * (size bytes) always ends in NUL and has no control bytes. Returns its length. */
size_t ap_look_text(struct ap_look *look, const char *p, size_t size, const char *rule, const char *what, char *ret);
/* The state of a lane that is named as an owner, by the kernel and the segment. Loads life first. */
enum ap_owner { AP_OWNER_LIVE, AP_OWNER_DEAD, AP_OWNER_FREE, AP_OWNER_ABSENT };
enum ap_owner ap_look_owner(struct ap_look *look, uint32_t lane, uint64_t *ret_life);
/* An upper bound of CLOCK_MONOTONIC stamps in this segment: now, or UINT64_MAX for a segment of another boot, or of a clock that
 * is not known. Call it after the stamp was loaded. */
uint64_t ap_look_now(struct ap_look *look);

/* Checks that lock, owner, kind and list pointers of a robust, process-shared mutex are possible values. Returns the lock word. */
uint32_t ap_look_mutex(struct ap_look *look, const pthread_mutex_t *m, const char *rule);
/* Finds a CLOCK_REALTIME stamp that is more than a day later than now: no step of the clock explains that. */
void ap_look_date(struct ap_look *look, const uint64_t *p, const char *rule, const char *what);

/* Checks the header alone, from its bytes, before any of it is believed. `base` has one page at least, `size` is the size of the
 * object. fingerprint 0: unknown. ap_segment_check calls this, too. */
void ap_header_check(const void *base, uint64_t size, const struct ap_parts *parts, uint64_t fingerprint,
                     struct ap_report *report);
/* For tools that read a segment that attach refuses: fills in geometry and sections as far as the header allows, each clamped to
 * the size. There is no descriptor and no canary, and `ret` is not to be unmapped. */
void ap_segment_salvage(const void *base, uint64_t size, const struct ap_parts *parts, struct ap_segment *ret);

#endif
