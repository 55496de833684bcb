/* model.c - what one operation does, alone. See linear.h. */
#include "tests/linear/linear.h"

#include <apiary.h>

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* The value has this version; one that was not known is known from then on. */
static bool version_is(struct linear_state *s, uint64_t version)
{
    if (s->b != 0) return s->b == version;
    if (version <= s->LINEAR_FLOOR) return false;
    s->b = s->LINEAR_FLOOR = version;
    return true;
}

static bool written(const struct linear_op *op, struct linear_state *s)
{
    if (!op->pending && op->version <= s->LINEAR_FLOOR) return false;
    s->is = 1;
    s->a = (uint64_t)op->value;
    s->b = op->pending ? 0 : op->version;
    if (!op->pending) s->LINEAR_FLOOR = op->version;
    return true;
}

static bool step_get(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ENOKEY) return s->is == 0;
    return op->result == 0 && s->is != 0 && s->a == (uint64_t)op->value && version_is(s, op->version);
}

static bool step_cas(const struct linear_op *op, struct linear_state *s)
{
    switch (op->result) {
    case 0: return s->is != 0 && version_is(s, op->expected) && written(op, s);
    case APIARY_ECHANGED: return s->is != 0 && (s->b == 0 || s->b != op->expected);
    case APIARY_ENOKEY: return s->is == 0;
    default: return false;
    }
}

static bool step_delete(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ENOKEY) return s->is == 0;
    if (op->result != 0 || s->is == 0) return false;
    s->is = 0;
    s->a = s->b = 0;
    return true;
}

static bool step_incr(const struct linear_op *op, struct linear_state *s)
{
    bool text = s->is != 0 && ((int64_t)s->a & LINEAR_TEXT) != 0;
    int64_t sum = (s->is != 0 ? (int64_t)s->a : 0) + op->by;

    if (op->result == APIARY_EOVERFLOW) return text;
    if (op->result != 0 || text || (!op->pending && sum != op->value)) return false;
    if (op->by == 0) return true; /* it was only read */
    s->is = 1;
    s->a = (uint64_t)sum;
    s->b = 0;
    return true;
}

static bool step_memory(const struct linear_op *op, struct linear_state *s)
{
    switch (op->kind) {
    case LINEAR_GET: return step_get(op, s);
    case LINEAR_PUT: return op->result == 0 && written(op, s);
    case LINEAR_ADD: return op->result == APIARY_EEXIST ? s->is != 0 : op->result == 0 && s->is == 0 && written(op, s);
    case LINEAR_REPLACE: return op->result == APIARY_ENOKEY ? s->is == 0 : op->result == 0 && s->is != 0 && written(op, s);
    case LINEAR_CAS: return step_cas(op, s);
    case LINEAR_DELETE: return step_delete(op, s);
    case LINEAR_INCR: return step_incr(op, s);
    case LINEAR_TOUCH: return op->result == APIARY_ENOKEY ? s->is == 0 : op->result == 0 && s->is != 0;
    default: return false;
    }
}

/* ---- claims ----------------------------------------------------------------------------------------------------- */

static uint64_t later(uint64_t time, uint64_t by)
{
    return by < LINEAR_NEVER - time ? time + by : LINEAR_NEVER;
}

/* When the time that the operation gives is over. */
static void timed(const struct linear_op *op, struct linear_state *s)
{
    s->soonest = op->pending ? later(op->call, op->ttl) : op->until;
    if (s->soonest != LINEAR_NEVER) s->soonest -= op->apart;
    s->latest = op->pending ? later(later(op->answered, op->ttl), 2 * LINEAR_UNIT) : op->until;
    s->latest = later(s->latest, op->apart);
}

/* The claim that is there has this token. */
static bool token_is(struct linear_state *s, uint64_t token)
{
    if (s->is == LINEAR_FREE) return false;
    if (s->a != 0) return s->a == token;
    if (token <= s->b) return false;
    s->a = s->b = token;
    return true;
}

static bool granted(const struct linear_op *op, struct linear_state *s)
{
    if (s->is == LINEAR_HELD || (!op->pending && op->token <= s->b)) return false;
    s->is = LINEAR_HELD;
    s->holder = op->process;
    s->a = op->pending ? 0 : op->token;
    if (!op->pending) s->b = op->token;
    timed(op, s);
    /* One that stands still before it has told its time is given one by others. */
    if (op->answered - op->call >= LINEAR_UNTOLD && s->soonest > op->call + LINEAR_UNTOLD) s->soonest = op->call + LINEAR_UNTOLD;
    return true;
}

static bool step_claim(const struct linear_op *op, struct linear_state *s)
{
    switch (op->result) {
    case 0: return granted(op, s);
    case 1: return op->policy == LINEAR_USE_EXISTING && s->is == LINEAR_HELD && token_is(s, op->token);
    case APIARY_EHELD: return s->is == LINEAR_HELD || op->line;
    default: return false;
    }
}

static bool step_renew(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ESTALE) return s->is != LINEAR_HELD || s->a != op->token;
    if (op->result != 0 || s->is != LINEAR_HELD || !token_is(s, op->token)) return false;
    timed(op, s);
    return true;
}

static void freed(struct linear_state *s)
{
    *s = (struct linear_state){.is = LINEAR_FREE, .b = s->b};
}

/* Who frees a claim that is over does so after that is seen: until then its token can be released. */
static bool step_release(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ESTALE) {
        if (s->is == LINEAR_HELD) return s->a != op->token;
        if (s->is == LINEAR_OVER && s->a == op->token) freed(s);
        return true;
    }
    if (op->result != 0 || !token_is(s, op->token)) return false;
    freed(s);
    return true;
}

static bool step_check(const struct linear_op *op, uint64_t now, struct linear_state *s)
{
    if (op->result == APIARY_ESTALE) return s->is != LINEAR_HELD || s->a != op->token || s->soonest <= op->answered;
    return op->result == 0 && s->is == LINEAR_HELD && token_is(s, op->token) && now < s->latest;
}

static bool step_end(const struct linear_op *op, struct linear_state *s)
{
    if (s->is != LINEAR_HELD || s->soonest > op->answered) return false;
    s->is = LINEAR_OVER;
    s->holder = 0;
    s->soonest = s->latest = 0;
    return true;
}

static bool step_die(const struct linear_op *op, struct linear_state *s)
{
    if (s->is != LINEAR_HELD || s->holder != op->process) return true;
    s->is = LINEAR_OVER;
    s->holder = 0;
    s->soonest = s->latest = 0;
    return true;
}

bool linear_step(const struct linear_op *op, uint64_t now, struct linear_state *state)
{
    struct linear_state next = *state;
    bool may;

    switch (op->kind) {
    case LINEAR_CLAIM: may = step_claim(op, &next); break;
    case LINEAR_RENEW: may = step_renew(op, &next); break;
    case LINEAR_RELEASE: may = step_release(op, &next); break;
    case LINEAR_CHECK: may = step_check(op, now, &next); break;
    case LINEAR_END: may = step_end(op, &next); break;
    case LINEAR_DIE: may = step_die(op, &next); break;
    default: may = step_memory(op, &next); break;
    }
    if (may) *state = next;
    return may;
}
