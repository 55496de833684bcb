/* tools/apiary_config.h - the configuration as the supervisor keeps it: a text that was judged and found whole is in force.
 *
 * 1 The processes that the supervisor starts get that text on their standard input. So a file that is half written, wrong or gone
 *   for a while ends no service, and nothing changes before the supervisor is told to read the file again.
 * 2 Another process judges a new text, so that a plug-in that crashes or hangs while it is loaded ends no service, either. A text
 *   that passes can be put in force; the one before it is kept, to go back to.
 * 3 The texts that were in force are numbered from 1: their revisions.
 */
#ifndef AP_TOOLS_APIARY_CONFIG_H
#define AP_TOOLS_APIARY_CONFIG_H

#include "core/must_check.h"
#include "tools/apiary.h"
#include "tools/apiary_crew.h"

struct config_text {
    char *text; /* NULL: none */
    size_t size;
};

struct config_keeper {
    const char *path;
    struct crew *crew;
    struct crew_child *judge;
    struct config_text now, former, next; /* next: being judged */
    uint32_t revision;                    /* of the text in force: raised by each change, also by one to a former text */
    uint64_t asked;                       /* CLOCK_MONOTONIC */
};

/* Reads and judges the file for the first time, and fills `ret`, which is parsed without its plug-ins. An exit code. */
AP_MUST_CHECK int config_open(struct config_keeper *k, const struct tool *t, const char *path, struct crew *crew,
                struct ap_deployment **ret);
void config_close(struct config_keeper *k);
/* The text in force, for `child`, until the next config_put. */
void config_give(const struct config_keeper *k, struct crew_child *child);

/* Lets the file, or with `former` the text before that in force (there has to be one), be judged: 0; or an error, and its sentence
 * in `error`. */
AP_MUST_CHECK int config_ask(struct config_keeper *k, bool former, struct ap_config_error *error);
/* Whether the judgement is there. It is given up after ten seconds. */
AP_MUST_CHECK bool config_answered(struct config_keeper *k);
/* The judgement: TOOL_OK, with the text parsed without its plug-ins; or an exit code, with a sentence. */
AP_MUST_CHECK int config_judgement(struct config_keeper *k, struct ap_deployment **ret, struct ap_config_error *error);
/* Puts the text that was judged in force, or forgets it. */
void config_put(struct config_keeper *k);
void config_drop(struct config_keeper *k);

#endif
