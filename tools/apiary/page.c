/* tools/apiary/page.c - where the coordinator of `apiary up` serves its page, or why it does not. */
#include <stdlib.h>
#include <string.h>

#include "shm/event.h"
#include "tools/apiary/up.h"
#include "tools/common/event.h"

#define SOON UINT64_C(2000000000) /* ns, for a coordinator that is ready to say it */

/* As apiaryd decides it: $APIARY_LISTEN, else the configuration. */
static bool page_expected(const struct up *up)
{
    const char *own = getenv("APIARY_LISTEN"), *listen = own != NULL && *own != '\0' ? own : up->d->listen;

    return listen != NULL && strcmp(listen, "off") != 0;
}

/* The newest event of it since this process began. */
static bool page_find(struct up *up, struct ap_event *ret)
{
    const struct ap_segment *seg = up->a->seg;
    uint64_t end = ap_load_acquire(&seg->header->event_next); /* EVENT-A1 pairs EVENT-R1 */

    for (uint64_t n = end; n-- > event_log_begins(seg, end);) {
        if (ap_event_read(seg, n, ret) != 1) continue;
        if (ret->time < up->began) return false;
        if (ret->kind == AP_EVENT_HTTP_SERVED || ret->kind == AP_EVENT_HTTP_UNSERVED) return true;
    }
    return false;
}

static bool page_known(struct up *up)
{
    struct ap_event e;

    return page_find(up, &e);
}

void page_say(struct up *up)
{
    char said[AP_EVENT_TEXT + 1];
    struct ap_event e;

    if (!page_expected(up) || up_wait(up, SOON, page_known) != TOOL_OK || !page_find(up, &e)) return;
    ap_event_said(&e, said);
    if (e.kind == AP_EVENT_HTTP_SERVED)
        crew_say(up->crew, "apiary: up: the page is at %s; 'apiary token' prints what its buttons need", said);
    else
        crew_say(up->crew, "apiary: up: the page is not served: %s; that is tried again, and 'listen' in the configuration or "
                           "APIARY_LISTEN names another address", said);
}
