/* tools/apiary_config.h - the configuration as the supervisor keeps it: the text that was judged whole last.
 *
 * The processes it starts get that text on their standard input, so that a file which is half written, wrong or gone for a
 * while takes nobody down. When the file has changed, and is at rest for a second, another process judges it (a plug-in
 * that crashes or hangs as it is loaded takes nothing down, either); what it finds whole serves from then on.
 */
#ifndef AP_TOOLS_APIARY_CONFIG_H
#define AP_TOOLS_APIARY_CONFIG_H

#include <sys/stat.h>

#include "core/must_check.h"
#include "tools/apiary.h"
#include "tools/apiary_crew.h"

struct config_keeper {
    const char *path;
    struct crew *crew;
    struct crew_child *judge;
    const struct ap_deployment *running; /* whose services a new text must have, too */
    char *text, *next;                   /* next: being judged */
    size_t size, next_size;
    struct stat of, next_of; /* the file when it was read last, whatever came of it */
    uint64_t asked;          /* CLOCK_MONOTONIC */
};

/* Reads and judges the file for the first time, and fills `ret`, which is parsed without its plug-ins. An exit code. */
AP_MUST_CHECK int config_open(struct config_keeper *k, const struct tool *t, const char *path, struct crew *crew,
                struct ap_deployment **ret);
void config_close(struct config_keeper *k);
/* Before a process is started: false while a new text is being judged. */
AP_MUST_CHECK bool config_settled(struct config_keeper *k);
/* For `child`, until the next config_settled. */
void config_give(const struct config_keeper *k, struct crew_child *child);

#endif
