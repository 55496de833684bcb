/* registry/routing/terms.h - what a capability declares of itself: its terms.
 *
 * LAYOUT    1 Section "terms": one row for each capability, at the same index; terms.def lists the fields. Each word is valid on
 *           its own.
 *           2 A word is count << 48 | (0: not declared, or the value + 1). The count rises with each store, also when the value
 *           stays: a registrant that is about to take away what somebody has left, and has not seen a declaration of the same
 *           value since, does not succeed.
 * FLAG      capability.terms (discovery.h) is 1 once anything was declared of that capability. So a capability without terms
 *           costs one look, into a line that a lookup needs anyway.
 * WRITER    1 A registrant writes what its agent declares while the agent's queue is CLAIMED, after the agent's record and before
 *           the provider bit.
 *           2 The last declaration wins. When another living agent offers the capability and the word said something else, that is
 *           a contradiction: it is logged as an event and given back to the registrant.
 *           3 A term that the agent does not declare stays as it is while another living agent offers the capability. Otherwise
 *           it becomes 0.
 *           4 A registrant may declare otherwise while its queue is OPEN (ap_swarm_adjust). Only terms that it declares otherwise
 *           than before are written. One that it declares no more becomes 0, unless the word is another agent's, or a living agent
 *           of another service offers the capability: the sisters of the same service are told the same. A value is a contradiction
 *           to what a living agent of another service may have declared, as in 2: also when that was the same as the agent's own.
 * RANGE     never_from and never_to are one range. Of a range that begins lower than the one that stands never_to is written first,
 *           else never_from. A reader that finds never_from unchanged behind never_to has one of the two ranges or a part of one,
 *           and none that begins with the one and ends with the other.
 *           That holds beside one registrant. Of two that declare ranges of one capability at once, one's beginning may stand with
 *           the other's end, until the next declaration. So may the beginning of a range that has no end with the end that another
 *           service has declared: a term that is not declared stays (WRITER 3).
 * READERS   Any, without a lock. A reader that has seen a provider's bit sees what that provider declared or something later. A
 *           value out of range counts as not declared.
 * ORDERING  TERMS-R1 word store-release pairs TERMS-A1 load-acquire of another registrant: one that sees a word sees that the
 *           queue of its writer is CLAIMED or OPEN, and its agent's record. So it does not take a word away whose writer has yet to
 *           publish.
 *           TERMS-R1 pairs TERMS-A1 load-acquire, too, of never_from by a reader of the range, before never_to; and acquire fence
 *           before its second look at never_from.
 * CRASH     A registrant dies between two words: the words that it has written stand until the next declaration. Nothing is to be
 *           repaired.
 * INVARIANTS R9 a word's value is 0 or in range + 1; without the flag all words are 0, those behind the terms, too; the flag is
 *           set only where the capability has a name; that of rules is set where the term is declared
 */
#ifndef AP_TERMS_H
#define AP_TERMS_H

#include "registry/discovery/discovery.h"
#include "registry/routing/policy.h"
#include "registry/routing/rules.h"
#include "registry/routing/majors.h"
#include "shm/rank.h"

#define AP_TERM_SPAN INT64_C(259200000000000) /* three days: a word has room for no more */

struct ap_terms {
#define AP_TERM(field, ...) uint64_t field;
#include "registry/routing/terms.def"
#undef AP_TERM
    /* No terms. */
    uint64_t paid AP_ALIGNED; /* how far its rate is used up (limits.h); 0: not at all */
    uint64_t refused;         /* callers that a rule does not allow (rules.h) */
    uint64_t fell_back;       /* tasks that went to its fallback */
    uint64_t hedge_paid, hedge_time, hedged, hedge_won, hedge_held; /* of second copies (hedging.h) */
    /* Tasks that were delegated with another priority than normal, and such as had the outcome of another one of their key
     * (registry/conflict/coalesce.h). These may be of a capability without terms. */
    uint64_t urgent AP_ALIGNED;
    uint64_t high, low, coalesced;
    uint64_t judged, judged_success, judged_short, judged_long; /* the verdict on its targets (target.h) */
} AP_ALIGNED;

enum ap_term {
#define AP_TERM(field, ...) AP_TERM_##field,
#include "registry/routing/terms.def"
#undef AP_TERM
    AP_TERMS
};
_Static_assert(offsetof(struct ap_terms, paid) == (AP_TERMS * 8 + AP_LINE - 1) / AP_LINE * AP_LINE, "a row is read by words");

/* The words of the term `bare`; NULL: a major, or nothing. */
const char *ap_bare_name(uint64_t value);
/* The words of the terms `priority` and `max_priority`, which are numbered as enum ap_rank. */
const char *ap_priority_name(uint64_t rank);
/* A task of a rank, + 1, is delegated. */
void ap_terms_rank(const struct ap_segment *seg, uint32_t capability, uint32_t rank);
/* The words of the term `hedge`; NULL: a time, or nothing. */
const char *ap_hedge_name(uint64_t value);

/* The names of which something is a term. An agent that declares it of "name@2" declares it of "name", too, if that has it. */
enum ap_term_of { AP_OF_ANY, AP_OF_BARE, AP_OF_MAJOR };

/* A row of the table in words. */
struct ap_term_row {
    const char *key;
    char type;
    enum ap_term_of of;
    const char *(*words)(uint64_t value);
    uint64_t min, max, otherwise;
    const char *what;
};
extern const struct ap_term_row ap_term_rows[AP_TERMS];

#define AP_TERM_COUNT_SHIFT 48
#define AP_TERM_VALUE(word) ((word) & ((UINT64_C(1) << AP_TERM_COUNT_SHIFT) - 1)) /* 0, or the value + 1 */
#define AP_TERM_NEXT(word, value) (((((word) >> AP_TERM_COUNT_SHIFT) + 1) << AP_TERM_COUNT_SHIFT) | (value))
#define AP_TERM(field, type, of, words, min, max, otherwise, what) \
    _Static_assert((uint64_t)(max) < (UINT64_C(1) << AP_TERM_COUNT_SHIFT) - 1, #field " has room beside the count");
#include "registry/routing/terms.def"
#undef AP_TERM

static inline struct ap_terms *ap_terms_at(const struct ap_segment *seg, uint64_t capability)
{
    return AP_ELEMENT(seg, AP_SECTION_TERMS, capability, struct ap_terms);
}
static inline uint64_t *ap_term_word(struct ap_terms *row, enum ap_term term)
{
    return (uint64_t *)(void *)row + term;
}

/* The value of a capability that has declared something. */
uint64_t ap_term_declared(const struct ap_segment *seg, uint32_t capability, enum ap_term term);
/* The value that is in force: what was declared, or what is so otherwise. `row` is the capability's. */
AP_ALWAYS_INLINE uint64_t ap_term(const struct ap_segment *seg, uint32_t capability, const struct ap_capability *row,
                                  enum ap_term term)
{
    return __builtin_expect(ap_load_relaxed(&row->terms) == 0, 1) ? ap_term_rows[term].otherwise
                                                                  : ap_term_declared(seg, capability, term);
}
/* Whether it was declared; what is in force in *ret. */
bool ap_term_read(const struct ap_segment *seg, uint32_t capability, enum ap_term term, uint64_t *ret);
/* Whether a capability of that name has it. */
bool ap_term_of(enum ap_term term, const char *name);
/* The whole number that a value of type 'n' is, which is none of its words. */
uint64_t ap_term_number(const struct ap_term_row *row, uint64_t value);
/* A value as the configuration writes it. */
void ap_term_print(enum ap_term term, uint64_t value, char *text, size_t size);

/* Adds to what is said of the capability of that name what `more` says that it has; whether that is anything. Private memory. */
bool ap_terms_add(uint64_t said[AP_TERMS], const struct ap_terms *more, const char *name);

/* One value that a registrant has replaced against another living agent's declaration. */
struct ap_terms_conflict {
    uint32_t capability;
    enum ap_term term;
    uint64_t before; /* what was declared */
};
#define AP_TERMS_CONFLICTS 8u
struct ap_terms_conflicts {
    uint32_t count; /* may be more than there is room for */
    struct ap_terms_conflict list[AP_TERMS_CONFLICTS];
};

/* Declares what the agent of a queue, which is CLAIMED by the caller with its record filled in, says of a capability: a word for
 * each term. `said` NULL: nothing. `lane` is the caller's. */
void ap_terms_declare(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint32_t capability, const uint64_t *said,
                      struct ap_terms_conflicts *conflicts);
/* Declares otherwise what the agent of a queue has declared of a capability: `was` and `said`, a word for each term. The queue is
 * OPEN with a consumer of the caller's process, or CLAIMED by it. */
void ap_terms_amend(struct ap_segment *seg, uint32_t lane, uint32_t queue, uint32_t capability, const uint64_t was[AP_TERMS],
                    const uint64_t said[AP_TERMS], struct ap_terms_conflicts *conflicts);

#endif
