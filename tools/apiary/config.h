/* tools/apiary/config.h - the configuration as the supervisor keeps it: a text that was judged and found whole is in force.
 *
 * 1 The processes that the supervisor starts get that text on their standard input. So a file that is half written, wrong or gone
 *   for a while ends no service, and nothing changes before the supervisor is told to read the file again.
 * 2 Another process judges a new text, so that a plug-in that crashes or hangs while it is loaded ends no service, either. A text
 *   that passes can be put in force; the one before it is kept, to go back to.
 * 3 Services may have other numbers of instances than their text says, and agents of replicas (scales: "text=3,text/copy=2"). They
 *   are judged with it, and go along with it. One stays until the text's own number for that service or agent is another one. The
 *   number of a service that is autoscaled is none of them.
 * 4 The services of later phases than `phase` are judged with the text, and are in no deployment that is parsed here.
 * 5 Revisions number from 1 what was in force.
 */
#ifndef AP_TOOLS_APIARY_CONFIG_H
#define AP_TOOLS_APIARY_CONFIG_H

#include "core/must_check.h"
#include "tools/apiary/apiary.h"
#include "tools/apiary/crew.h"

struct config_text {
    char *text; /* NULL: none */
    size_t size;
    char *scales;
};
#define CONFIG_WORD 128 /* of a list of scales, for messages */
enum config_which { CONFIG_FILE, CONFIG_FORMER, CONFIG_NOW };

struct config_keeper {
    const char *path;
    const char *phase; /* the last one whose services are run, by name or number; NULL: all */
    struct crew *crew;
    struct crew_child *judge;
    struct config_text now, former, next; /* next: being judged */
    uint32_t revision;                    /* of the text in force: raised by each change, also by one to a former text */
    uint64_t asked;                       /* CLOCK_MONOTONIC */
};

/* Reads and judges the file for the first time, and fills `ret`, which is parsed without its plug-ins. `phase` may be NULL. An exit
 * code. */
AP_MUST_CHECK int config_open(struct config_keeper *k, const struct tool *t, const char *path, const char *phase, struct crew *crew,
                struct ap_deployment **ret);
void config_close(struct config_keeper *k);
/* The text in force, for `child`, until the next config_put. */
void config_give(const struct config_keeper *k, struct crew_child *child);

/* Lets a text be judged: the file's, the one before that in force (there has to be one), or the one in force with other `scales`
 * (else NULL). `running` is what is in force, parsed. 0; or an error, and its sentence in `error`. */
AP_MUST_CHECK int config_ask(struct config_keeper *k, enum config_which which, const struct ap_deployment *running,
                             const char *scales, struct ap_config_error *error);
/* The text that was judged last once more, without its scales. */
void config_ask_alone(struct config_keeper *k);
/* Whether the judgement is there. It is given up after ten seconds. */
AP_MUST_CHECK bool config_answered(struct config_keeper *k);
/* The judgement: TOOL_OK, with the text parsed without its plug-ins; or an exit code, with a sentence. */
AP_MUST_CHECK int config_judgement(struct config_keeper *k, struct ap_deployment **ret, struct ap_config_error *error);
/* Puts the text that was judged in force, or forgets it. */
void config_put(struct config_keeper *k);
void config_drop(struct config_keeper *k);

/* A list of scales with another number for a service, or for an agent ("service/agent"); 0: with none. To be freed. */
char *config_scales_with(const char *scales, const char *name, uint32_t number);
/* Those for which the text of `next` says what that of `running` says, and of services only those that are not autoscaled there. To
 * be freed. */
char *config_scales_kept(const char *scales, const struct ap_deployment *running, const struct ap_deployment *next);
/* Whether a text is no such list: the first word that is none of one (none of one of agents). */
AP_MUST_CHECK bool config_scales_wrong(const char *scales, bool agents, char ret[CONFIG_WORD]);
/* APIARY_ECONFIG with a sentence that names the first service or agent of a list that is not there; else 0. */
AP_MUST_CHECK int config_scales_known(const struct ap_deployment *d, const char *scales, struct ap_config_error *error);
/* Those of the agents of a service. To be freed. */
char *config_scales_of(const char *scales, const char *service);
/* Puts such a list into effect: 0, or an error of ap_deployment_put_scale. Services and agents that are not there are passed
 * over. */
AP_MUST_CHECK int config_scale(struct ap_deployment *d, const char *scales, struct ap_config_error *error);
/* To a sentence about a text that is right without these scales: they are what does not fit it. */
void config_blame_scales(const char *scales, struct ap_config_error *error);
/* And judges whether there is room for all, and how agents keep state (ap_deployment_judge): for who has the numbers of all
 * services. */
AP_MUST_CHECK int config_scale_judged(struct ap_deployment *d, const char *scales, struct ap_config_error *error);

#endif
