/* registry/routing/retry.c - whether and when a failed task is tried again. See retry.h. */
#include "registry/routing/retry.h"

#define MS UINT64_C(1000000)
#define BACKOFF 100u          /* ms */
#define MULTIPLIER 200u       /* percent */
#define CAP 100u              /* times the backoff */
#define SHARE 200u            /* thousandths of a retry for each task started */
#define RATE 10u              /* thousandths for each ms */
#define MEMORY (10000 * MS)   /* of the budget: as much of it is forgotten as of this has gone by */

bool ap_retry_possible(const apiary_retry_t *p)
{
    if (p->max_attempts > AP_TRIES_MAX) return false;
    if (p->multiplier != 0 && (p->multiplier < 100 || p->multiplier > 10000)) return false;
    for (unsigned i = 0; p->max_attempts <= 1 && i < sizeof p->never / sizeof p->never[0]; i++)
        if (p->never[i] != 0) return false;
    return p->max_attempts > 1 || (p->backoff | p->multiplier | p->cap) == 0;
}

enum apiary_untried ap_retry_judge(const apiary_retry_t *p, uint32_t failures, uint32_t code)
{
    if (p->max_attempts <= 1) return APIARY_UNTRIED_NO_POLICY;
    for (unsigned i = 0; code != 0 && i < sizeof p->never / sizeof p->never[0]; i++)
        if (p->never[i] == code) return APIARY_UNTRIED_REFUSED;
    return failures + 1 >= p->max_attempts ? APIARY_UNTRIED_USED_UP : AP_TRIED;
}

uint64_t ap_retry_pause(const apiary_retry_t *p, uint32_t failures, uint64_t random)
{
    uint64_t bound = p->backoff != 0 ? p->backoff : BACKOFF, cap = p->cap != 0 ? p->cap : bound * CAP;
    uint32_t multiplier = p->multiplier != 0 ? p->multiplier : MULTIPLIER;

    for (uint32_t i = 0; i < failures && bound < cap; i++) bound = bound * multiplier / 100;
    if (bound > cap) bound = cap;
    return random % (bound * MS + 1);
}

bool ap_retry_take(struct ap_retry_budget *b, uint64_t started, uint64_t now)
{
    uint64_t gone = b->at != 0 && now > b->at ? now - b->at : 0;

    if (b->at == 0 || gone >= MEMORY) b->left = MEMORY / MS * RATE;
    else b->left = b->left - b->left * (gone / MS) / (MEMORY / MS) + gone / MS * RATE + (started - b->started) * SHARE;
    b->at = b->at == 0 ? now : b->at + gone / MS * MS;
    b->started = started;
    if (b->left < 1000) return false;
    b->left -= 1000;
    return true;
}
