/* shm/event.c - the event log. See event.h. */
#include "shm/event.h"

#include <string.h>

static struct ap_event *event_at(const struct ap_segment *seg, uint64_t number)
{
    return ap_at(seg, AP_SECTION_EVENTS, number & (seg->sections[AP_SECTION_EVENTS].count - 1));
}

void ap_event_log(struct ap_segment *seg, uint32_t kind, uint32_t lane, uint64_t a, uint64_t b)
{
    uint64_t number = ap_add_acq_rel(&seg->header->event_next, 1);
    struct ap_event *e = event_at(seg, number);

    if (e == NULL) return;
    ap_store_relaxed(&e->number, 0);
    /* EVENT-R2 pairs EVENT-A2: whoever reads one of these new values reads 0, or a later number, afterwards. */
    ap_store_release(&e->time, seg->ops->realtime());
    ap_store_release(&e->kind, kind);
    ap_store_release(&e->lane, lane);
    ap_store_release(&e->a, a);
    ap_store_release(&e->b, b); /* EVENT-R2 pairs EVENT-A2 */
    ap_store_release(&e->number, number); /* EVENT-R1 pairs EVENT-A1 */
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
    /* Overwritten while it was copied: the copy is a mixture. */
    if (ap_load_acquire(&e->number) != number) return 0;
    *ret = copy;
    return 1;
}

const char *ap_event_text(uint32_t kind)
{
    static const char *const texts[] = {
        "none",
#define X(name, text, a, b) text,
        AP_EVENTS(X)
#undef X
    };
    return kind < AP_EVENT_KINDS ? texts[kind] : "unknown";
}
