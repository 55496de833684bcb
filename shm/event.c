/* shm/event.c - the event log. See event.h. */
#include "shm/event.h"

#include <string.h>

#include "shm/cost.h"
#include "shm/task.h"

static struct ap_event *event_at(const struct ap_segment *seg, uint64_t number)
{
    return ap_at(seg, AP_SECTION_EVENTS, number & (seg->sections[AP_SECTION_EVENTS].count - 1));
}

static uint64_t event_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t event_check(const struct ap_event *e)
{
    uint64_t hash = event_mix(e->number, e->time);

    hash = event_mix(hash, (uint64_t)e->kind << 32 | e->lane);
    hash = event_mix(event_mix(hash, e->a), e->b);
    hash = event_mix(event_mix(hash, e->c), e->size);
    for (uint32_t i = 0; i < (e->size + 7) / 8; i++) hash = event_mix(hash, e->text[i]);
    return hash;
}

/* A text that has no room is cut between two characters of UTF-8, and ends in "...". */
static void event_say(struct ap_event *e, const char *text, size_t size)
{
    size_t keep = size;

    if (size > AP_EVENT_TEXT)
        for (keep = AP_EVENT_TEXT - 3; keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80;) keep--;
    memcpy(e->text, text, keep);
    if (keep < size) memcpy((char *)e->text + keep, "...", 3);
    e->size = (uint32_t)(keep < size ? keep + 3 : keep);
}

void ap_event_log(struct ap_segment *seg, uint32_t kind, uint32_t lane, uint64_t a, uint64_t b)
{
    ap_event_log_more(seg, kind, lane, a, b, 0, NULL, 0);
}

void ap_event_log_more(struct ap_segment *seg, uint32_t kind, uint32_t lane, uint64_t a, uint64_t b, uint64_t c, const char *text,
                       size_t size)
{
    struct ap_event next = {.time = seg->ops->realtime(), .kind = kind, .lane = lane, .a = a, .b = b, .c = c};
    struct ap_event *e;

    if (size > 0) event_say(&next, text, size);
    next.number = ap_add_acq_rel(&seg->header->event_next, 1);
    next.check = event_check(&next);
    e = event_at(seg, next.number);
    if (e == NULL) return;
    ap_store_relaxed(&e->number, 0);
    /* EVENT-R2 pairs EVENT-A2: whoever reads one of these new values reads 0, or a later number, afterwards. */
    ap_store_release(&e->time, next.time);
    ap_store_release(&e->kind, kind);
    ap_store_release(&e->lane, lane);
    ap_store_release(&e->a, a);
    ap_store_release(&e->b, b); /* EVENT-R2 pairs EVENT-A2 */
    ap_store_release(&e->c, c);
    ap_store_release(&e->size, next.size);
    for (uint32_t i = 0; i < (next.size + 7) / 8; i++) ap_store_release(&e->text[i], next.text[i]); /* EVENT-R2 pairs EVENT-A2 */
    ap_store_release(&e->check, next.check);
    ap_store_release(&e->number, next.number); /* EVENT-R1 pairs EVENT-A1 */
    ap_cost_event(seg, lane, kind);
}

uint64_t ap_event_task(const struct ap_slot *slot, uint64_t word)
{
    return AP_EVENT_TASK(ap_load_relaxed(&slot->capability), ap_load_relaxed(&slot->caller),
                         AP_WORD_ATTEMPT(word) + AP_TRIES_FAILURES(ap_slot_tries(slot, word)) + 1);
}

int ap_event_read(const struct ap_segment *seg, uint64_t number, struct ap_event *ret)
{
    const struct ap_event *e = event_at(seg, number);
    struct ap_event copy;

    if (e == NULL || number == 0 || ap_load_acquire(&e->number) != number) return 0; /* EVENT-A1 pairs EVENT-R1 */
    memset(&copy, 0, sizeof copy);
    copy.number = number;
    copy.time = ap_load_acquire(&e->time); /* EVENT-A2 pairs EVENT-R2 */
    copy.kind = ap_load_acquire(&e->kind);
    copy.lane = ap_load_acquire(&e->lane);
    copy.a = ap_load_acquire(&e->a);
    copy.b = ap_load_acquire(&e->b);
    copy.c = ap_load_acquire(&e->c);
    copy.size = ap_load_acquire(&e->size);
    if (copy.size > AP_EVENT_TEXT) return 0;
    for (uint32_t i = 0; i < (copy.size + 7) / 8; i++) copy.text[i] = ap_load_acquire(&e->text[i]); /* EVENT-A2 pairs EVENT-R2 */
    copy.check = ap_load_acquire(&e->check);
    /* Overwritten while it was copied: the copy is a mixture. */
    if (ap_load_acquire(&e->number) != number) return 0;
    /* Written into by a writer of an earlier event: so is the row. */
    if (copy.check != event_check(&copy)) return 0;
    *ret = copy;
    return 1;
}

void ap_event_said(const struct ap_event *e, char ret[AP_EVENT_TEXT + 1])
{
    uint32_t size = e->size <= AP_EVENT_TEXT ? e->size : AP_EVENT_TEXT;

    memcpy(ret, e->text, size);
    ret[size] = '\0';
}

const char *ap_event_text(uint32_t kind)
{
    static const char *const texts[] = {
        "none",
#define X(name, text, a, b, c) text,
        AP_EVENTS(X)
#undef X
    };
    return kind < AP_EVENT_KINDS ? texts[kind] : "unknown";
}
