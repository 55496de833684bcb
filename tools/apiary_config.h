/* tools/apiary_config.h - the configuration as the supervisor keeps it: the last text that was checked and found whole.
 *
 * 1 The processes that the supervisor starts get that text on their standard input. So a file that is half written, wrong or gone
 *   for a while ends no service.
 * 2 When the file has changed and has not changed again for a second, another process checks it, so that a plug-in that crashes or
 *   hangs while it is loaded ends no service, either. A text that passes is used from then on.
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
    const struct ap_deployment *running; /* a new text must have its services, too */
    char *text, *next;                   /* next: being judged */
    size_t size, next_size;
    struct stat of, next_of; /* the file at the last read, whatever the result */
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
