/* tools/apiary/spans.h - apiary tap --otlp: where the lines of spans go (tools/common/otlp.h): standard output, or a file that is
 * turned over when it has grown, to FILE.1. A reader that follows both names misses no line.
 */
#ifndef AP_TOOLS_SPANS_H
#define AP_TOOLS_SPANS_H

#include <stdio.h>

#include "tools/common/finished.h"

struct tool;

struct spans {
    bool wanted;
    const char *path; /* NULL: standard output */
    uint64_t most;    /* bytes of a file, after which the next begins */
    FILE *file;
};
/* Writes what is in sampled traces; in whole lines, and flushes them. TOOL_OK or TOOL_FAILED, with a message. */
AP_MUST_CHECK int spans_write(const struct tool *t, struct spans *s, const struct ap_segment *seg, const struct ap_finished *all,
                              size_t n);
void spans_close(struct spans *s);

#endif
