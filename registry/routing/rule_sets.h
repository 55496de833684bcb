/* registry/routing/rule_sets.h - TaskRouter: the table of rule sets, which capabilities name as one of their terms (rules.h).
 *
 * LAYOUT    1 Section "rules": sets of rules. A set is its life, key (the hash of what it says), count, then its rules.
 *           2 life = generation << 24 | lane << 8 | state. A term's value names a set by its index and generation.
 *           3 Section "rule_holds": a row for each lane, written by that lane alone: the epoch of the lane's life for which it
 *           counts, and a bit for each set.
 * USE       A set is in use while a term names it, or a living lane holds it: one that has entered or found it, and has yet to
 *           declare it.
 * LIFE      1 FREE(g) -> FILLING(g+1, lane) by CAS, then key, count and rules, then READY(g+1). The lane holds the set before.
 *           2 Constant while READY or CONDEMNED, which say the same to who reads.
 *           3 READY -> CONDEMNED(lane) by a lane that needs a row and finds none free, if the set does not seem to be in
 *           use. Then -> FREE(g) if it is not in use, else -> READY. CONDEMNED of another lane is taken over: that may be
 *           stopped, or dead.
 *           4 A lane that finds the set that it wants CONDEMNED makes it READY.
 *           5 FILLING(dead) -> FREE(g+1) by the reaper, or by a lane that needs a row.
 *           So there have to be as many sets as different ones are declared at the same time. Two lanes that enter the same
 *           rules at once may make two sets of them. Both serve: what a set says is compared, not its index (ap_rules_same).
 * HOLD      1 A lane raises the bit, fences, and looks at the set's life. A lane that condemns a set fences, and looks at the holds
 *           and, after them, at the terms. So either the hold is seen, or the holder sees CONDEMNED; and what was declared before
 *           the hold was given up is seen among the terms.
 *           2 A hold counts only for the epoch of its lane's life, and while the lane lives: nobody repairs what a dead lane held,
 *           and nobody else writes to a row that may be another life's by now.
 * READERS   Any, without a lock: a copy is of the set that a term names if the life had its generation before the copy and has it
 *           after. Else the term has changed, and is read again. A term that has not, and names no set, is corrupt.
 * ORDERING  RULES-R1 READY store-release pairs RULES-A1 load-acquire of the life: the rules.
 *           RULES-R2 release fence after FILLING pairs RULES-A2 acquire fence before a reader's second look at the life.
 *           RULES-R3 a hold's bit taken back, or its epoch, store-release pairs RULES-A3 load-acquire of a lane that condemns: the
 *           terms that the lane has declared before.
 *           RULES-R4 FREE by the CAS of a lane that has seen no term that names the set pairs RULES-A4 load-acquire, the reader's
 *           second look at the life, before it reads the term again: it sees the term that was seen there, or a later one.
 *           RULES-F1 a hold before the look at the life; CONDEMNED before the looks at the holds (store, then load).
 * CRASH     A kill leaves a set that nobody uses, which is FREE once a row is needed; one that is FILLING (LIFE 5); one that is
 *           CONDEMNED, which is as good as READY; or a hold of a dead lane, which does not count. No term names a set that is not
 *           there: it is held from before the term says so.
 * INVARIANTS R10 what a READY set says is possible and hashes to its key; a term names a READY set at its generation; the lane of a
 *           set that is FILLING is alive; a hold is of a set, at an epoch that the lane has had
 */
#ifndef AP_RULE_SETS_H
#define AP_RULE_SETS_H

#include "registry/routing/rules.h"

enum ap_rule_life { AP_RULES_FREE, AP_RULES_FILLING, AP_RULES_READY, AP_RULES_CONDEMNED };
#define AP_RULES_LIFE(generation, lane, state) ((uint64_t)(generation) << 24 | (uint64_t)(lane) << 8 | (state))
#define AP_RULES_STATE(l) ((uint32_t)((l) & 0xff))
#define AP_RULES_LANE(l) ((uint32_t)((l) >> 8 & 0xffff))
#define AP_RULES_GENERATION(l) ((uint64_t)(l) >> 24)

/* A set as a term's value has it. 35 bits of a generation: a row that is given away a thousand times a second has the same one
 * again after a year, and matters only to a reader that has slept through it between two looks. */
#define AP_RULE_GENERATIONS (UINT64_C(1) << 35)
#define AP_RULE_SET(index, generation) ((uint64_t)(generation) << 12 | (uint64_t)(index))
#define AP_RULE_SET_INDEX(set) ((uint32_t)((set) & (AP_RULE_SETS_MAX - 1)))
#define AP_RULE_SET_GENERATION(set) ((uint64_t)(set) >> 12)
_Static_assert(AP_RULE_SETS_MAX == 1u << 12, "an index has 12 bits in the name of a set");
_Static_assert(AP_RULE_SET(AP_RULE_SETS_MAX - 1, AP_RULE_GENERATIONS - 1) == AP_NO_RULE_SET - 1, "each set has a name");

struct ap_rule_set {
    uint64_t life;
    uint64_t key;
    uint32_t count, reserved;
    struct ap_rule list[AP_RULES_MAX];
} AP_ALIGNED;

struct ap_rule_holds {
    uint64_t epoch;
    uint64_t bits[]; /* AP_RULE_HOLD_WORDS of them */
};
#define AP_RULE_HOLD_WORDS(sets) (((sets) + 63) / 64)
#define AP_RULE_HOLDS_STRIDE(sets) (8 * (1 + AP_RULE_HOLD_WORDS((uint64_t)(sets))))

static inline struct ap_rule_set *ap_rule_set_at(const struct ap_segment *seg, uint64_t i)
{
    return AP_ELEMENT(seg, AP_SECTION_RULES, i, struct ap_rule_set);
}
static inline struct ap_rule_holds *ap_rule_holds_at(const struct ap_segment *seg, uint64_t lane)
{
    return ap_at_stride(seg, AP_SECTION_RULE_HOLDS, lane, AP_RULE_HOLDS_STRIDE(seg->sections[AP_SECTION_RULES].count));
}

/* The set that says this, entered when absent, and held by the caller's lane until ap_rules_let_go: APIARY_ETABLEFULL,
 * APIARY_EINVAL. Lock-free. */
AP_MUST_CHECK int ap_rules_hold(struct ap_segment *seg, uint32_t lane, const struct ap_rules *rules, uint64_t *ret);
/* The same, where there is one; false: there is none, and none is entered. */
bool ap_rules_hold_there(struct ap_segment *seg, uint32_t lane, const struct ap_rules *rules, uint64_t *ret);
/* Gives up all that the caller's lane holds. A set that it has declared before stays in use by that. */
void ap_rules_let_go(struct ap_segment *seg, uint32_t lane);
/* Whether two sets are there and say the same. */
bool ap_rules_same(const struct ap_segment *seg, uint64_t a, uint64_t b);
/* How many sets are in use. */
uint32_t ap_rules_used(const struct ap_segment *seg);
/* Copies a set: true; false: it is not there, or not any more. Texts end within their rule only if it is possible (ap_rules_valid),
 * and what lies behind its rules is left as it was. */
bool ap_rule_set_copy(const struct ap_segment *seg, uint64_t set, struct ap_rules *ret);
/* The same, and zeros behind its rules; false, too, where they are not possible. */
bool ap_rules_read(const struct ap_segment *seg, uint64_t set, struct ap_rules *ret);
/* The set that is in a row now; false: none. */
bool ap_rule_set_in(const struct ap_segment *seg, uint32_t row, uint64_t *ret);
/* Frees the sets that a dead lane has left half filled; `beside` as in struct ap_part. */
void ap_rule_sets_end(struct ap_segment *seg, uint32_t lane, uint64_t beside);

#endif
