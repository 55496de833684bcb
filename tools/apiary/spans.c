/* tools/apiary/spans.c - where the lines of spans go. See spans.h. */
#include "tools/apiary/spans.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/common.h"
#include "tools/common/otlp.h"

/* A reader that has the old file open reads it to its end: it is renamed, not cut. */
static int spans_turn_over(const struct tool *t, struct spans *s)
{
    char *former = tool_format("%s.1", s->path);
    int rc = TOOL_OK;

    if (s->file != NULL && (uint64_t)ftell(s->file) >= s->most) {
        spans_close(s);
        if (rename(s->path, former) != 0) rc = tool_fail(t, TOOL_FAILED, "%s: it cannot be renamed: %s", s->path, strerror(errno));
    }
    free(former);
    if (rc != TOOL_OK || s->file != NULL) return rc;
    s->file = fopen(s->path, "ae");
    if (s->file == NULL) return tool_fail(t, TOOL_FAILED, "%s: %s", s->path, strerror(errno));
    return fseek(s->file, 0, SEEK_END) == 0 ? TOOL_OK : tool_fail(t, TOOL_FAILED, "%s: %s", s->path, strerror(errno));
}

int spans_write(const struct tool *t, struct spans *s, const struct ap_segment *seg, const struct ap_finished *all, size_t n)
{
    char *line = otlp_line(seg, all, n);
    int rc = TOOL_OK;

    if (line == NULL) return TOOL_OK;
    if (s->path == NULL) {
        puts(line);
        rc = tool_finish(t, TOOL_OK);
    } else {
        rc = spans_turn_over(t, s);
        if (rc == TOOL_OK && (fprintf(s->file, "%s\n", line) < 0 || fflush(s->file) != 0))
            rc = tool_fail(t, TOOL_FAILED, "%s: %s", s->path, strerror(errno));
    }
    free(line);
    return rc;
}

void spans_close(struct spans *s)
{
    if (s->file != NULL) fclose(s->file);
    s->file = NULL;
}
