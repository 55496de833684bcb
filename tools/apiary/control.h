/* tools/apiary/control.h - requests of commands to the `apiary up` that runs: reload, restart and their like.
 *
 * SOCKET    1 A Unix socket with an abstract name, made of the segment's name, the namespace of process ids and the supervisor's
 *           process id: it leaves nothing behind, whatever its owner dies of.
 *           2 The kernel tells each side who the other one is. The supervisor obeys its own user and root; a command believes only
 *           the process that the segment names as the supervisor.
 * BOUNDS    Anybody on the machine can connect. Of callers who may ask there are 64 at once, and of strangers 8: for one more, who
 *           has been silent for the longest is sent away; one who has asked is not. Silence ends after 10 s. Where no descriptor is
 *           left for a caller, nobody is accepted for half a second.
 * REQUEST   One for each connection: a packet with a JSON object, {"request": "reload"}. They are obeyed one after another. A
 *           command that has gone before its turn is not obeyed.
 * ANSWER    A packet with the descriptor of a file without a name, in which a JSON object stands: {"code": 0, ...}, with the exit
 *           code of the command, and "error" when that is not 0. So the supervisor waits for no reader, however long the answer is.
 * DEATH     The connection ends without an answer.
 */
#ifndef AP_TOOLS_APIARY_CONTROL_H
#define AP_TOOLS_APIARY_CONTROL_H

#include <jansson.h>

#include "core/must_check.h"
#include "tools/apiary/apiary.h"
#include "tools/apiary/crew.h"

struct control;
struct control_request {
    int fd;
    json_t *json; /* owned */
};

/* Listens from now on. NULL: it cannot, and the reason was said; everything else works. */
struct control *control_open(struct crew *crew, apiary_t *a, const char *segment);
void control_close(struct control *c);
/* At each turn: ends what has lasted too long. NULL is allowed. */
void control_tend(struct control *c);
/* The next request whose sender waits, with the kernel's word on the sender in it: "uid", "pid". False: there is none. */
AP_MUST_CHECK bool control_next(struct control *c, struct control_request *ret);
/* Takes over the answer, and frees the request. */
void control_answer(struct control_request *r, json_t *answer);

/* For commands: asks the supervisor of the segment, and waits for its answer. Takes over the request. Exit code of the answer, with
 * its error printed; *ret is to be freed, and NULL when there was no answer. `command` is for messages. */
AP_MUST_CHECK int control_ask(const struct tool *t, const char *command, const char *segment, json_t *request, json_t **ret);

#endif
