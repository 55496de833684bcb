/* model.c - what one operation does, alone. See linear.h. */
#include "tests/linear/linear.h"

#include <apiary.h>

/* ---- time ------------------------------------------------------------------------------------------------------- */

static uint64_t later(uint64_t time, uint64_t by)
{
    return by < LINEAR_NEVER - time ? time + by : LINEAR_NEVER;
}

static uint64_t earlier(uint64_t time, uint64_t by)
{
    return time > by ? time - by : 0;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* One who looks at the clock at that time at the soonest may find the value. */
static bool may_live(const struct linear_state *s, uint64_t time)
{
    return s->is != 0 && time < s->latest;
}

/* The operation may find it absent. */
static bool may_be_over(const struct linear_op *op, const struct linear_state *s)
{
    return s->is == 0 || (s->soonest != LINEAR_NEVER && s->soonest <= op->answered);
}

/* The end that the operation gives. */
static void ends(const struct linear_op *op, struct linear_state *s)
{
    bool never = op->ttl == 0 || op->ttl == LINEAR_NEVER;

    s->soonest = never ? LINEAR_NEVER : earlier(later(op->call, op->ttl), op->apart);
    s->latest = never ? LINEAR_NEVER : later(later(op->answered, op->ttl), op->apart);
}

/* The end is what a get was told of it. */
static bool end_is(const struct linear_op *op, struct linear_state *s)
{
    struct linear_state told;

    if (op->ttl == LINEAR_NEVER || s->soonest == LINEAR_NEVER) return op->ttl == s->soonest;
    told.soonest = earlier(later(op->call, op->ttl), op->apart);
    told.latest = later(later(op->answered, op->ttl), op->apart);
    if (told.soonest > s->soonest) s->soonest = told.soonest;
    if (told.latest < s->latest) s->latest = told.latest;
    return s->soonest <= s->latest;
}

/* The value has this version; one that was not known is known from then on. */
static bool version_is(struct linear_state *s, uint64_t version)
{
    if (s->b != 0) return s->b == version;
    if (version <= s->floor) return false;
    s->b = s->floor = version;
    return true;
}

static bool written(const struct linear_op *op, struct linear_state *s)
{
    if (!op->pending && op->version <= s->floor) return false;
    s->is = 1;
    s->a = (uint64_t)op->value;
    s->b = op->pending ? 0 : op->version;
    if (!op->pending) s->floor = op->version;
    ends(op, s);
    return true;
}

static bool step_get(const struct linear_op *op, uint64_t now, struct linear_state *s)
{
    if (op->result == APIARY_ENOKEY) return may_be_over(op, s);
    return op->result == 0 && may_live(s, now) && s->a == (uint64_t)op->value && version_is(s, op->version) && end_is(op, s);
}

static bool step_cas(const struct linear_op *op, struct linear_state *s)
{
    switch (op->result) {
    case 0: return may_live(s, op->call) && version_is(s, op->expected) && written(op, s);
    case APIARY_ECHANGED: return may_live(s, op->call) && (s->b == 0 || s->b != op->expected);
    case APIARY_ENOKEY: return may_be_over(op, s);
    default: return false;
    }
}

static bool step_delete(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ENOKEY) return may_be_over(op, s);
    if (op->result != 0 || !may_live(s, op->call)) return false;
    *s = (struct linear_state){.floor = s->floor};
    return true;
}

/* No value is 0, so the sum tells whether one was there. */
static bool step_incr(const struct linear_op *op, struct linear_state *s)
{
    bool live = may_live(s, op->call) && !op->over, text = live && ((int64_t)s->a & LINEAR_TEXT) != 0;
    bool over = may_be_over(op, s) && (op->over || !op->pending || s->is == 0);
    int64_t sum = (int64_t)s->a + op->by;

    if (op->result == APIARY_EOVERFLOW) return text;
    if (op->result != 0) return false;
    if (live && !text && (op->pending || sum == op->value)) over = false;
    else if (!over || (!op->pending && op->by != op->value)) return false;
    if (op->by == 0) return true; /* it was only read */
    if (over) *s = (struct linear_state){.is = 1, .soonest = LINEAR_NEVER, .latest = LINEAR_NEVER, .floor = s->floor};
    s->a = (uint64_t)(over ? op->by : sum);
    s->b = 0;
    return true;
}

static bool step_touch(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ENOKEY) return may_be_over(op, s);
    if (op->result != 0 || !may_live(s, op->call)) return false;
    ends(op, s);
    return true;
}

static bool step_add(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_EEXIST) return may_live(s, op->call);
    return op->result == 0 && may_be_over(op, s) && written(op, s);
}

static bool step_replace(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ENOKEY) return may_be_over(op, s);
    return op->result == 0 && may_live(s, op->call) && written(op, s);
}

static bool step_memory(const struct linear_op *op, uint64_t now, struct linear_state *s)
{
    switch (op->kind) {
    case LINEAR_GET: return step_get(op, now, s);
    case LINEAR_PUT: return op->result == 0 && written(op, s);
    case LINEAR_ADD: return step_add(op, s);
    case LINEAR_REPLACE: return step_replace(op, s);
    case LINEAR_CAS: return step_cas(op, s);
    case LINEAR_DELETE: return step_delete(op, s);
    case LINEAR_INCR: return step_incr(op, s);
    case LINEAR_TOUCH: return step_touch(op, s);
    default: return false;
    }
}

/* ---- claims ----------------------------------------------------------------------------------------------------- */

/* What was told of the end of a claim that was granted or renewed follows from its ttl. */
static bool told_rightly(const struct linear_op *op)
{
    if (op->pending) return true;
    if (op->ttl == LINEAR_NEVER) return op->until == LINEAR_NEVER;
    return op->until >= earlier(later(op->call, op->ttl), op->apart) &&
           op->until <= later(later(op->answered, op->ttl), LINEAR_UNIT + op->apart);
}

/* One that stays, whose time may be over, is as good as free. */
static bool may_have_ended(const struct linear_op *op, const struct linear_state *s)
{
    return s->is == LINEAR_HELD && s->holder == 0 && s->soonest <= op->answered;
}

/* It may be seen HELD: by one who looks at the clock when it is called, or before it was nobody's. */
static bool may_hold(const struct linear_op *op, const struct linear_state *s)
{
    return s->is == LINEAR_HELD && (s->holder != 0 || op->call < s->latest || op->call <= s->floor);
}

/* When the time that the operation gives is over. */
static void timed(const struct linear_op *op, struct linear_state *s)
{
    s->soonest = op->pending ? later(op->call, op->ttl) : op->until;
    if (s->soonest != LINEAR_NEVER) s->soonest = earlier(s->soonest, op->apart);
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
    if ((s->is == LINEAR_HELD && !may_have_ended(op, s)) || (!op->pending && op->token <= s->b) || !told_rightly(op)) return false;
    s->is = LINEAR_HELD;
    s->holder = op->stays ? 0 : op->process;
    s->floor = op->stays ? op->answered : 0;
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
    case 1: return op->policy == LINEAR_USE_EXISTING && may_hold(op, s) && token_is(s, op->token);
    case APIARY_EHELD: return may_hold(op, s) || op->line;
    default: return false;
    }
}

static bool step_renew(const struct linear_op *op, struct linear_state *s)
{
    if (op->result == APIARY_ESTALE) return s->is != LINEAR_HELD || s->a != op->token || may_have_ended(op, s);
    if (op->result == APIARY_EINVAL)
        return op->ttl == LINEAR_NEVER && s->is == LINEAR_HELD && s->holder == 0 && token_is(s, op->token);
    if (op->result != 0 || !may_hold(op, s) || !token_is(s, op->token) || !told_rightly(op)) return false;
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
        if (s->is == LINEAR_HELD && !may_have_ended(op, s)) return s->a != op->token;
        if (s->is != LINEAR_FREE && s->a == op->token) freed(s);
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
    if (s->is != LINEAR_HELD || s->holder == 0 || s->soonest > op->answered) return false;
    s->is = LINEAR_OVER;
    s->holder = 0;
    s->soonest = s->latest = 0;
    return true;
}

static bool step_die(const struct linear_op *op, struct linear_state *s)
{
    if (s->is != LINEAR_HELD || s->holder == 0 || s->holder != op->process) return true;
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
    default: may = step_memory(op, now, &next); break;
    }
    if (may) *state = next;
    return may;
}
