/* registry/memory/watch.h - changes of the memory, told to those who watch it.
 *
 * SCOPE     1 While somebody watches, each change of a value is entered into a log, after it was made, with its key: a value that
 *           was written (but for a new end alone), deleted, or taken out after its time. The value itself is read in the memory.
 *           2 While nobody does, nothing is entered, and a change costs the look whether somebody watches.
 * LAYOUT    1 Section "changes": memory_changes rows, used in turn. Row number % count has the change of that number.
 *           2 Of the drafts (memory.h): `telling` and `watching` of each; of row 0 watched, head, unwatched, bell.
 * ROW       1 word = number << 16 | lane << 2 | state. {TOLD, VOID, EMPTY} of an earlier turn -> FILLING(lane) by CAS, by the lane
 *           that fills it. FILLING -> TOLD, or VOID where it is not to be told, by that lane, or by its reaper.
 *           2 head: the first number that is not taken; raised by CAS, by whoever sees the row of that number taken, and past a row
 *           that a slow lane is still filling for an earlier turn.
 *           3 The numbers begin, when somebody watches for the first time, at the time when the segment was made, in steps of
 *           16 us. So a revision of an earlier segment is below them, unless that entered more than a change in 16 us of its life.
 * WATCHED   1 watched = era << 32 | raises << 1 | 1 while somebody watches. A watcher notes itself in its anchor lane's
 *           `watching`, and then raises the word by CAS: with another era, if nobody watched.
 *           2 The monitor makes it 0 in its last bit when for AP_MEMORY_LINGER no lane had `watching`, by a CAS that fails if it
 *           was raised since. So a watch that is taken up again soon goes on in the same era.
 *           3 An entry has the era that its lane saw before it took the row. So where the entry before a number has the era that
 *           is, all changes from that number on are in the log, or were overwritten there.
 * TELLING   1 A lane that has changed a place looks, after that, whether somebody watches (WATCH-F1). If so, it enters the change
 *           before it takes it out of its draft. A value that it takes out is freed after that.
 *           2 A lane that is about to change a place looks before, too, whether somebody watches. If so, it first enters the change
 *           that the place has had, if the row is still in the draft of its lane: that lane may be slow. The same goes for what
 *           was taken out of the bucket, before a key comes in.
 *           3 So a change may be entered twice, but never after a later change of its key was: who enters it looks whether the
 *           place is still as it made it, once it has its row of the log, and makes that VOID if not. For that a key comes back
 *           to the place that it has left, while the row of before is not free.
 *           4 A lane may stand still between its change and the entry, and its key be left alone. So the monitor enters with each
 *           of its sweeps what it finds in the drafts of lanes.
 *           5 Nothing of a place says why its value was taken out. The entry goes by the end of the value: EXPIRED if that has
 *           come by then, else DELETED. So a value that was deleted just before its end may be entered as EXPIRED, by a monitor,
 *           say, for a lane that stood still.
 * WATCHER   1 Raises `watched`, fences (WATCH-F2), notes the head, and reads the memory. So it finds a change there, or the one
 *           who made it sees that somebody watches. Then it reads the log from that number on.
 *           2 It knows of each key the version that it has told. An entry with no greater one was told before.
 *           3 It has fallen behind if a row has a later number, or does not come for AP_MEMORY_STUCK though it was taken: its lane
 *           stands still. Then it begins anew: whatever was to be entered below the head is in the memory by now.
 * INVARIANTS G7 a change's number is that of its row and was given out, its state and key are possible, and who fills it is alive
 * ORDERING  WATCH-R1 a row's word by CAS pairs WATCH-A1 load-acquire: the change before it.
 *           WATCH-R2 release fence after FILLING pairs WATCH-A2 acquire fence before a reader's second look at the word.
 *           WATCH-R3 fresh, store-release of 0, pairs WATCH-A3 load-acquire: the entry before it.
 *           WATCH-R4 head by CAS pairs WATCH-A4 load-acquire: the row that was taken before it.
 *           WATCH-F1 the change before `watched` is read pairs WATCH-F2 `watched` before the memory is read (store, then load).
 * CRASH     1 Dead with a row FILLING: VOID by the reaper, which enters what is in the lane's draft. Dead before watchers were
 *           rung: the reaper rings them.
 *           2 A dead watcher, or one that has detached: `watching` is of a life of its anchor lane, and says nothing after it.
 * THREADS   Any, each by its own lane; `watching` by the threads of the lane's member, under a lock of theirs.
 */
#ifndef AP_MEMORY_WATCH_H
#define AP_MEMORY_WATCH_H

#include "registry/memory/memory.h"

#define AP_MEMORY_LINGER UINT64_C(60000000000)
#define AP_MEMORY_STUCK UINT64_C(1000000000)

enum ap_change_state { AP_CHANGE_EMPTY, AP_CHANGE_FILLING, AP_CHANGE_TOLD, AP_CHANGE_VOID };
#define AP_CHANGE_WORD(number, lane, state) ((uint64_t)(number) << 16 | (uint64_t)(lane) << 2 | (state))
#define AP_CHANGE_STATE(w) ((uint32_t)((w) & 3))
#define AP_CHANGE_LANE(w) ((uint32_t)((w) >> 2 & 0x3fff))
#define AP_CHANGE_NUMBER(w) ((uint64_t)(w) >> 16)
#define AP_CHANGE_BEGIN_MOST ((UINT64_C(1) << 47) - 1) /* so that there are as many numbers again */

enum ap_change_kind { AP_CHANGE_PUT, AP_CHANGE_DELETED, AP_CHANGE_EXPIRED, AP_CHANGE_KINDS };

/* A lane's `watching`: how many watches its member has, in the life of the lane with this epoch. */
#define AP_WATCHING(epoch, count) ((uint64_t)(epoch) << 16 | (count))
#define AP_WATCHING_COUNT(w, epoch) ((w) >> 16 == ((uint64_t)(epoch) << 16) >> 16 ? (uint32_t)((w) & 0xffff) : 0)

#define AP_MEMORY_WATCHED(w) (((w) & 1) != 0)
#define AP_MEMORY_ERA(w) ((uint32_t)((w) >> 32))

struct ap_change_row {
    uint64_t word;
    uint64_t version; /* of the value that was written, or taken out */
    uint32_t era, kind;
    uint32_t size;    /* of the value */
    uint16_t name_words, words; /* as in struct ap_value */
    uint64_t key[AP_MEMORY_INSIDE];
} AP_ALIGNED;

static inline struct ap_change_row *ap_change_row_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_CHANGES, i, struct ap_change_row);
}

/* `watched` while somebody watches; 0: nobody does. After a place was read that is to be changed. */
AP_ALWAYS_INLINE uint64_t ap_memory_watched(const struct ap_segment *seg)
{
    uint64_t watched = ap_load_relaxed(&ap_draft_at(seg, 0)->watched);

    return __builtin_expect(AP_MEMORY_WATCHED(watched), 0) ? watched : 0;
}
/* The same after a place was changed, by a compare-and-swap just before. */
AP_ALWAYS_INLINE uint64_t ap_memory_watched_now(const struct ap_segment *seg)
{
    /* WATCH-F1 pairs WATCH-F2 */
    ap_fence_swapped();
    return ap_memory_watched(seg);
}

/* Enters what was done to the row of a place: it was PUT there, or taken out. By the lane's thread, or its reaper. */
void ap_memory_tell_put(struct ap_segment *seg, uint32_t lane, uint64_t place);
void ap_memory_tell_removed(struct ap_segment *seg, uint32_t lane, uint64_t place);
/* Enters the change by which the place became what it is, if its lane has not done so yet (TELLING 2). */
void ap_memory_tell_before(struct ap_segment *seg, uint32_t lane, uint64_t place);
/* The same for all that was taken out of a bucket. */
void ap_memory_tell_bucket(struct ap_segment *seg, uint32_t lane, const struct ap_bucket *b);
/* Recovery: a row of the log that the dead lane was filling is VOID. */
void ap_memory_tell_settle(struct ap_segment *seg, uint32_t lane);
/* Wakes all watchers. */
void ap_memory_watchers_wake(struct ap_segment *seg);

/* Notes that the member of the anchor lane has so many watches more, or less: true; false: there are too many. Under a lock of the
 * member's. */
bool ap_memory_watching(const struct ap_segment *seg, const struct ap_lane_handle *anchor, int by);
/* Somebody watches from now on, and has noted that before. `lane`: the caller's. */
void ap_memory_watch_raise(struct ap_segment *seg, uint32_t lane);
/* The changes that a monitor has entered for a lane. Once is enough: who begins to watch later reads the memory. */
struct ap_memory_told {
    uint64_t fresh, stale;
};
/* By a monitor, now and then: nobody watches any more (WATCHED 2); what a lane has done that stands still is entered (TELLING 4).
 * `lane`: the caller's. `told`: the monitor's own, one for each lane, zeros at first. */
void ap_memory_watch_tidy(struct ap_segment *seg, uint32_t lane, uint64_t now, struct ap_memory_told *told);

/* A change of the log, in private memory. */
struct ap_memory_changed {
    enum ap_change_kind kind;
    uint64_t version;
    uint32_t size, era;
    struct ap_memory_name name;
    char key[APIARY_MEMORY_KEY_MAX + 1];
};
/* The change of a number: 1. 0: there is none, or it is VOID, and *ret says nothing but its era. APIARY_ENOTREADY: it has not come
 * yet, and *taken says whether its number is given out; APIARY_ECHANGED: it was overwritten. APIARY_ECORRUPT. */
AP_MUST_CHECK int ap_memory_change_read(const struct ap_segment *seg, uint64_t number, bool *taken, struct ap_memory_changed *ret);
/* The first number that is not given out. */
static inline uint64_t ap_memory_changes(const struct ap_segment *seg)
{
    return ap_load_acquire(&ap_draft_at(seg, 0)->head); /* WATCH-A4 pairs WATCH-R4 */
}

#endif
