/* agents/kinds/pass.h - output that is passed on as it comes: parts of a result, for kinds that get theirs from elsewhere.
 *
 * 1 The key `parts` of such a kind: lines (each with its end), chunks (what there is), events (each with the blank line behind it,
 *   as server-sent events have it), none. A longer one than a part may be is cut into pieces.
 * 2 The rest stays in the buffer and is the answer in the end: the last line without an end, output that came after the reader
 *   fell behind, or all of it.
 * 3 A reader that is behind stops the source: its kind reads nothing until it is called.
 */
#ifndef AP_KINDS_PASS_H
#define AP_KINDS_PASS_H

#include "agents/kinds/support.h"

#define AP_PASS_KEY "parts", 's', 0, "what of it is passed on as it comes: lines, chunks, events, none [none]", 0, 0

enum ap_pass_as { AP_PASS_NOTHING, AP_PASS_LINES, AP_PASS_CHUNKS, AP_PASS_EVENTS };

struct ap_pass {
    enum ap_pass_as as;
    bool behind; /* the reader; `ready` will be called */
    bool deaf;   /* nothing can be passed on any more */
    size_t piece;
    apiary_part_fn ready; /* lowers `behind`, and goes on */
    void *user;
};

/* The agent's key: 0, or APIARY_ECONFIG, which is logged. */
AP_MUST_CHECK int ap_pass_configured(apiary_agent_t *agent, enum ap_pass_as *ret);
/* Passes on what is whole in the buffer, and takes it out. */
void ap_pass_on(struct ap_pass *p, apiary_job_t *job, struct ap_bytes *output);

#endif
