/* agents/kinds/pass.c - output that is passed on as it comes. See pass.h. */
#include "agents/kinds/pass.h"

#include <string.h>

enum { PIECE = 4096, PIECE_LEAST = 64 };

int ap_pass_configured(apiary_agent_t *agent, enum ap_pass_as *ret)
{
    static const char *const words[] = {"none", "lines", "chunks", "events"};
    const char *word = apiary_agent_text(agent, "parts", words[0]);

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i]) != 0) continue;
        *ret = (enum ap_pass_as)i;
        return 0;
    }
    apiary_agent_log(agent, 3, "parts: \"%s\" is none of lines, chunks, events, none", word);
    return APIARY_ECONFIG;
}

/* The size of an event with the blank line behind it, whose lines end in LF or CR LF; 0: it has no end yet. */
static size_t pass_event(const char *data, size_t size)
{
    const char *at = data, *end;

    while ((end = memchr(at, '\n', size - (size_t)(at - data))) != NULL) {
        size_t next = (size_t)(end - data) + 1;
        if (next < size && data[next] == '\n') return next + 1;
        if (next + 1 < size && data[next] == '\r' && data[next + 1] == '\n') return next + 2;
        at = end + 1;
    }
    return 0;
}

/* The size of the next part; 0: there is no whole one. */
static size_t pass_size(const struct ap_pass *p, const char *data, size_t left)
{
    size_t size = left < p->piece ? left : p->piece, whole = p->as == AP_PASS_CHUNKS ? size : 0;
    const char *end;

    if (p->as == AP_PASS_LINES && (end = memchr(data, '\n', size)) != NULL) whole = (size_t)(end - data) + 1;
    if (p->as == AP_PASS_EVENTS) whole = pass_event(data, size);
    return whole != 0 || size < p->piece ? whole : size;
}

void ap_pass_on(struct ap_pass *p, apiary_job_t *job, struct ap_bytes *output)
{
    size_t from = 0, size;

    if (p->as == AP_PASS_NOTHING) return;
    if (p->piece == 0) p->piece = PIECE;
    while (!p->behind && !p->deaf && from < output->size &&
           (size = pass_size(p, output->data + from, output->size - from)) > 0) {
        int r = apiary_job_part(job, output->data + from, size);

        if (r == 0) from += size;
        else if (r == APIARY_EBEHIND) /* nobody waits for a reader who has cancelled the task: the wait would be over at once */
            p->behind = !apiary_job_cancelled(job) && apiary_job_part_ready(job, p->ready, p->user) == 0;
        else if (r == APIARY_ETOOLARGE && p->piece > PIECE_LEAST) p->piece /= 2; /* the window is a small one */
        else p->deaf = true;
        if (r == APIARY_EBEHIND && !p->behind) p->deaf = true;
    }
    if (from == 0) return;
    output->size -= from;
    memmove(output->data, output->data + from, output->size);
}
