/* registry/discovery/providers.c - which queues offer a capability: the bits of its row. See discovery.h. */
#include "registry/discovery/discovery.h"

static uint64_t *bits_at(const struct ap_segment *seg, uint32_t capability, uint32_t queue)
{
    struct ap_capability *row = ap_capability_at(seg, capability);

    return row != NULL && queue < seg->geometry.queues ? &row->providers[queue / 64] : NULL;
}

/* Before the queue's bit: whoever looks for that is not to pass over its word. */
static void group_use(const struct ap_segment *seg, uint64_t *providers, uint32_t queue)
{
    uint32_t words = ap_provider_words(seg->geometry.queues);
    uint64_t bit;

    if (!ap_provider_grouped(words)) return;
    bit = UINT64_C(1) << (queue / 64 >> ap_provider_shift(words));
    if ((ap_load_relaxed(&providers[words]) & bit) == 0) ap_or_acq_rel(&providers[words], bit);
}

void ap_capability_offer(struct ap_segment *seg, uint32_t capability, uint32_t queue)
{
    uint64_t *bits = bits_at(seg, capability, queue);

    if (bits == NULL) return;
    group_use(seg, bits - queue / 64, queue);
    ap_or_acq_rel(bits, UINT64_C(1) << queue % 64); /* DISC-R2 pairs DISC-A2, DISC-R3 pairs DISC-A3 */
}

void ap_capability_withdraw(struct ap_segment *seg, uint32_t capability, uint32_t queue)
{
    uint64_t *bits = bits_at(seg, capability, queue), bit = UINT64_C(1) << queue % 64;

    if (bits != NULL && (ap_load_relaxed(bits) & bit) != 0) ap_and_acq_rel(bits, ~bit);
}

void ap_capability_withdraw_all(struct ap_segment *seg, uint32_t queue)
{
    const struct ap_agent_record *agent = ap_agent_at(seg, queue);
    uint32_t count = agent != NULL ? ap_load_relaxed(&agent->capability_count) : 0;

    for (uint32_t i = 0; i < count && i < AP_AGENT_CAPABILITIES; i++)
        ap_capability_withdraw(seg, ap_load_relaxed(&agent->capabilities[i]), queue);
}

uint32_t ap_provider_only_of_many(const uint64_t *providers, uint32_t words)
{
    uint32_t only = AP_NO_QUEUE;

    AP_PROVIDER_WORDS(providers, words, word) {
        uint64_t bits = ap_load_acquire(&providers[word]); /* DISC-A2 pairs DISC-R2 */

        if (bits == 0) continue;
        if (only != AP_NO_QUEUE || (bits & (bits - 1)) != 0) return AP_NO_QUEUE;
        only = word * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return only;
}

int ap_capability_next(const struct ap_segment *seg, uint32_t capability, uint32_t from)
{
    const struct ap_capability *row = ap_capability_at(seg, capability);
    uint32_t queues = seg->geometry.queues, words = ap_provider_words(queues), word = from / 64;
    uint64_t first = UINT64_MAX << from % 64;

    if (row == NULL || from >= queues) return -1;
    for (word = ap_provider_skip(row->providers, words, word); word < words;
         word = ap_provider_skip(row->providers, words, word + 1)) {
        uint64_t bits = ap_load_acquire(&row->providers[word]); /* DISC-A2 pairs DISC-R2 */
        uint32_t queue;

        if (word == from / 64) bits &= first;
        if (bits == 0) continue;
        queue = word * 64 + (uint32_t)__builtin_ctzll(bits);
        return queue < queues ? (int)queue : -1;
    }
    return -1;
}
