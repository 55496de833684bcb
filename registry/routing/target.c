/* registry/routing/target.c - see target.h. */
#include "registry/routing/target.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"

#define MSEC UINT64_C(1000000)
#define STATE(word, target) ((enum ap_target_state)((word) >> (2 * (target)) & 3))
#define MISSED(word, target) (((word) >> (4 + (target)) & 1) != 0)

bool ap_targets_declared(const struct ap_segment *seg, uint32_t capability, uint64_t ret[AP_TARGETS])
{
    static const enum ap_term terms[AP_TARGETS] = {AP_TERM_target_success, AP_TERM_target_p99};
    const struct ap_capability *c = ap_capability_at(seg, capability);
    bool some = false;

    ret[AP_TARGET_SUCCESS] = ret[AP_TARGET_P99] = 0;
    if (c == NULL || ap_load_relaxed(&c->terms) == 0) return false;
    for (int i = 0; i < AP_TARGETS; i++) {
        if (!ap_term_read(seg, capability, terms[i], &ret[i])) ret[i] = 0;
        some |= ret[i] != 0;
    }
    return some;
}

static uint64_t target_value(uint64_t word)
{
    return word != 0 ? word - 1 : AP_TARGET_UNKNOWN;
}

bool ap_target_read(const struct ap_segment *seg, uint32_t capability, struct ap_target_verdict *ret)
{
    const struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t word, success, at, now = seg->ops->now();

    memset(ret, 0, sizeof *ret);
    if (row == NULL || !ap_targets_declared(seg, capability, ret->targets)) return false;
    word = ap_load_relaxed(&row->judged);
    success = ap_load_relaxed(&row->judged_success);
    at = (word >> 8) * MSEC;
    ret->age = word == 0 ? AP_TARGET_UNKNOWN : now > at ? now - at : 0;
    ret->success[0] = target_value(success & UINT32_MAX);
    ret->success[1] = target_value(success >> 32);
    ret->p99[0] = target_value(ap_load_relaxed(&row->judged_short));
    ret->p99[1] = target_value(ap_load_relaxed(&row->judged_long));
    for (int i = 0; i < AP_TARGETS; i++) {
        ret->missed[i] = MISSED(word, i);
        ret->states[i] = ret->targets[i] != 0 && ret->age <= AP_TARGET_STALE ? STATE(word, i) : AP_TARGET_NONE;
    }
    return true;
}

static uint64_t target_word(uint64_t value)
{
    return value != AP_TARGET_UNKNOWN ? value + 1 : 0;
}

void ap_target_publish(const struct ap_segment *seg, uint32_t capability, const struct ap_target_verdict *v)
{
    struct ap_terms *row = ap_terms_at(seg, capability);
    uint64_t word = seg->ops->now() / MSEC << 8;

    for (int i = 0; i < AP_TARGETS; i++) word |= (uint64_t)v->states[i] << (2 * i) | (uint64_t)v->missed[i] << (4 + i);
    ap_store_relaxed(&row->judged_success, target_word(v->success[1]) << 32 | target_word(v->success[0]));
    ap_store_relaxed(&row->judged_short, target_word(v->p99[0]));
    ap_store_relaxed(&row->judged_long, target_word(v->p99[1]));
    ap_store_relaxed(&row->judged, word);
}

enum ap_target_state ap_target_success(uint64_t target, const uint64_t ended[AP_TARGET_WINDOWS],
                                       const uint64_t good[AP_TARGET_WINDOWS])
{
    double allowed = 1 - (double)target / 100000;
    bool missed = true, badly = true;

    for (unsigned i = 0; i < AP_TARGET_WINDOWS; i++) {
        double bad = ended[i] != 0 ? 1 - (double)good[i] / (double)ended[i] : 0;

        if (ended[i] == 0) return AP_TARGET_NONE;
        missed &= bad > allowed;
        badly &= bad > allowed && (bad >= AP_TARGET_BURN * allowed || good[i] == 0);
    }
    return badly ? AP_TARGET_BADLY : missed ? AP_TARGET_MISSED : AP_TARGET_MET;
}

enum ap_target_state ap_target_p99(uint64_t target, const uint64_t p99[AP_TARGET_WINDOWS])
{
    bool missed = true;

    for (unsigned i = 0; i < AP_TARGET_WINDOWS; i++) {
        if (p99[i] == AP_TARGET_UNKNOWN) return AP_TARGET_NONE;
        missed &= p99[i] > target;
    }
    return missed ? AP_TARGET_MISSED : AP_TARGET_MET;
}

const char *ap_target_state_name(enum ap_target_state state)
{
    static const char *const names[] = {"none", "met", "missed", "badly missed"};

    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "?";
}

/* One window. */
static void print_value(const struct ap_target_verdict *v, enum ap_target target, unsigned window, char ret[32])
{
    if (target == AP_TARGET_SUCCESS && v->success[window] != AP_TARGET_UNKNOWN)
        snprintf(ret, 32, "%.4g %%", (double)v->success[window] / 10000);
    else if (target == AP_TARGET_P99 && v->p99[window] != AP_TARGET_UNKNOWN)
        snprintf(ret, 32, "%.3g ms", (double)v->p99[window] / 1e6);
    else snprintf(ret, 32, "nothing");
}

const char *ap_target_print(const struct ap_target_verdict *v, enum ap_target target, char ret[128])
{
    char values[AP_TARGET_WINDOWS][32], is[48];

    for (unsigned i = 0; i < AP_TARGET_WINDOWS; i++) print_value(v, target, i, values[i]);
    ap_term_print(target == AP_TARGET_SUCCESS ? AP_TERM_target_success : AP_TERM_target_p99, v->targets[target], is, sizeof is);
    ap_format(ret, 128, "%s %s over 5 min and %s over 1 h, target %s%s", target == AP_TARGET_SUCCESS ? "success" : "p99", values[0],
              values[1], is, target == AP_TARGET_SUCCESS ? " %" : "");
    return ret;
}
