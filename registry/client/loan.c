/* registry/client/loan.c - bodies that are lent: a block of the payload pool is filled in place and delegated without a copy.
 *
 * The handle's loans are written down in private memory, by the numbers of their blocks: each as the word that the block has
 * meanwhile, which names the lane and its present life. The thread that takes the word out again, by one exchange, has the loan.
 * So a loan is given back or delegated once; and other blocks of a lane, as the one that an agent has reserved or the body of a
 * task that is just being submitted, are no loans. A block that has been given back and lent again is a loan of the latter only:
 * one pointer cannot say which of both it was.
 */
#include "registry/client/client.h"

static uint64_t word_of(const struct ap_lane_context *c)
{
    return AP_BLOCK(AP_BLOCK_OWNED, c->lane.index, c->lane.epoch);
}

/* Its blocks are those of the segment: NULL where none begins. */
static uint64_t *loan_record_of(const struct apiary *a, uint64_t offset)
{
    uint64_t number = offset != 0 ? ap_pool_number(a->seg, offset) : UINT64_MAX;

    return number != UINT64_MAX ? &a->lent[number] : NULL;
}

/* The lane has lent it: it has not any more. */
static bool record_take(const struct ap_lane_context *c, uint64_t offset)
{
    uint64_t *record = loan_record_of(c->client, offset), word = word_of(c);

    return record != NULL && ap_cas(record, &word, 0);
}

static void record_put(const struct ap_lane_context *c, uint64_t offset)
{
    ap_store_relaxed(loan_record_of(c->client, offset), word_of(c));
}

int apiary_loan(apiary_t *a, size_t size, void **ret)
{
    struct ap_lane_context *c;
    uint64_t offset;
    int r = 0;

    if (ret == NULL) return APIARY_EINVAL;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    r = ap_pool_take(a->seg, &c->lane, &c->pool_hint, size, &offset);
    if ((r == APIARY_ENOBLOCK || r == APIARY_ESHARE) && ap_make_room(c, r, size > 0 ? size : 1))
        r = ap_pool_take(a->seg, &c->lane, &c->pool_hint, size, &offset);
    if (r < 0) return ap_refused_told(c, NULL, NULL, ap_refused(c, r, size));
    record_put(c, offset);
    ap_add_relaxed(&c->loans, 1);
    *ret = ap_at_offset(a->seg, offset, size);
    return 0;
}

/* With the client's lock, so that the lane of another thread cannot close meanwhile. */
static struct ap_lane_context *loan_owner(const struct apiary *a, uint64_t offset)
{
    const uint64_t *record = loan_record_of(a, offset);
    uint64_t lent = record != NULL ? ap_load_relaxed(record) : 0, word;

    if (lent == 0 || ap_pool_block(a->seg, offset, NULL, &word) < 0 || word != lent) return NULL;
    for (struct ap_lane_context *c = a->contexts; c != NULL; c = c->next)
        if (word == word_of(c)) return c;
    return NULL;
}

int apiary_unloan(apiary_t *a, void *body)
{
    struct ap_lane_context *owner;
    uint64_t offset;
    int r = ap_usable(a);

    if (r < 0) return r;
    offset = ap_pool_offset(a->seg, body);
    r = APIARY_EINVAL;
    pthread_mutex_lock(&a->lock);
    owner = loan_owner(a, offset);
    if (owner != NULL && record_take(owner, offset) && ap_pool_free_owned(a->seg, &owner->lane, offset)) {
        ap_add_relaxed(&owner->loans, UINT32_MAX);
        r = 0;
    }
    pthread_mutex_unlock(&a->lock);
    ap_shared_tidy(a);
    return r;
}

/* A block borrowed by another thread of the process becomes this lane's. */
static int loan_adopt(struct apiary *a, struct ap_lane_context *c, uint64_t offset)
{
    struct ap_lane_context *owner;

    pthread_mutex_lock(&a->lock);
    owner = loan_owner(a, offset);
    if (owner != NULL && (!record_take(owner, offset) || !ap_pool_pass(a->seg, offset, &owner->lane, &c->lane))) owner = NULL;
    if (owner != NULL && owner != c) {
        ap_add_relaxed(&owner->loans, UINT32_MAX);
        ap_add_relaxed(&c->loans, 1);
    }
    pthread_mutex_unlock(&a->lock);
    return owner != NULL ? 0 : APIARY_EINVAL;
}

int apiary_delegate_loan(apiary_t *a, const char *capability, void *body, size_t size,
                         const apiary_delegate_options_t *options, apiary_task_t *ret)
{
    struct ap_lane_context *c;
    uint64_t offset, capacity, word;
    int r = 0;

    if (capability == NULL || body == NULL) return APIARY_EINVAL;
    c = ap_context(a, &r);
    if (c == NULL) return r;
    offset = ap_pool_offset(a->seg, body);
    if (offset == 0 || ap_pool_block(a->seg, offset, &capacity, &word) < 0 || size > capacity) return APIARY_EINVAL;
    if (word != word_of(c) || !record_take(c, offset)) r = loan_adopt(a, c, offset);
    if (r < 0) return ap_refused(c, r, size);
    r = ap_submit(c, -1, capability, body, size, offset, options, ret);
    if (r == 0) ap_add_relaxed(&c->loans, UINT32_MAX);
    else record_put(c, offset);
    return r < 0 ? ap_refused_told(c, capability, NULL, r) : r;
}
