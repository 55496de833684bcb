/* registry/routing/target.h - targets of a capability, and the verdict on them: `target_success` and `target_p99` (terms.def).
 *
 * JUDGED    1 Over two windows, the last five minutes and the last hour, as practice is: a short blip is over before the hour
 *           notices, and a trouble that is over is told as over five minutes later.
 *           2 Success is the part of the ended tasks that ended well, at all agents. It is missed when it is below the target over
 *           both windows, and badly so when the failures are AP_TARGET_BURN times as many as it allows over both, or are all.
 *           3 p99 is a bound of the time from being queued to the end: what 99.5 % of the starts did not wait longer for, and what
 *           99.5 % did not run longer, added up; 99 % of the tasks at least kept it. It is missed when it is above the target over
 *           both windows. It is that of all agents that offer the capability, with what else these do.
 *           4 Where nothing was asked in one of the windows there is no verdict, neither good nor bad.
 * LAYOUT    The four words `judged...` of the capability's row of terms. judged = CLOCK_MONOTONIC in ms << 8 | missed before << 4 |
 *           state of p99 << 2 | state of success. "Missed before" has a bit for each, which stays without a verdict.
 * WRITER    The coordinator that has the segment's lock. Words have no order: a reader may see those of two verdicts.
 * TRUST     A reader ranges what it finds.
 */
#ifndef AP_TARGET_H
#define AP_TARGET_H

#include "registry/routing/terms.h"

#define AP_TARGET_BURN 14.4
#define AP_TARGET_WINDOWS 2u
#define AP_TARGET_SHORT UINT64_C(300000000000) /* ns */
#define AP_TARGET_LONG UINT64_C(3600000000000)
#define AP_TARGET_STALE UINT64_C(60000000000)  /* a verdict that is older is none */
#define AP_TARGET_UNKNOWN UINT64_MAX

enum ap_target_state { AP_TARGET_NONE, AP_TARGET_MET, AP_TARGET_MISSED, AP_TARGET_BADLY };
enum ap_target { AP_TARGET_SUCCESS, AP_TARGET_P99, AP_TARGETS };

struct ap_target_verdict {
    uint64_t targets[AP_TARGETS]; /* thousandths of a percent; ns. 0: there is none */
    enum ap_target_state states[AP_TARGETS];
    bool missed[AP_TARGETS]; /* at the last verdict that there was */
    uint64_t success[AP_TARGET_WINDOWS], p99[AP_TARGET_WINDOWS]; /* millionths, of the short window and the long one; ns; UNKNOWN */
    uint64_t age; /* ns; UNKNOWN: never judged */
};

/* Reads what is declared. False: the capability has no targets. */
AP_MUST_CHECK bool ap_targets_declared(const struct ap_segment *seg, uint32_t capability, uint64_t ret[AP_TARGETS]);
/* The same, with the last verdict. A verdict that is stale, or of a target that there is no more, is none. */
AP_MUST_CHECK bool ap_target_read(const struct ap_segment *seg, uint32_t capability, struct ap_target_verdict *ret);
/* By the coordinator; its age does not matter. */
void ap_target_publish(const struct ap_segment *seg, uint32_t capability, const struct ap_target_verdict *verdict);

/* The states of success and of p99; `ended` and `good` are tasks of both windows. */
enum ap_target_state ap_target_success(uint64_t target, const uint64_t ended[AP_TARGET_WINDOWS],
                                       const uint64_t good[AP_TARGET_WINDOWS]);
enum ap_target_state ap_target_p99(uint64_t target, const uint64_t p99[AP_TARGET_WINDOWS]);
const char *ap_target_state_name(enum ap_target_state state); /* "none", "met", "missed", "badly missed" */
/* "success 98.2 % over 5 min and 99.1 % over 1 h, target 99.9 %" */
const char *ap_target_print(const struct ap_target_verdict *v, enum ap_target target, char ret[128]);

#endif
