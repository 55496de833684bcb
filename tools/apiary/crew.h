/* tools/apiary/crew.h - the processes of `apiary up`: started, heard, restarted, stopped.
 *
 * 1 One thread, one poll(2): for the signals (as a descriptor), the children's standard error, and descriptors of others.
 * 2 Lines of the children are passed on with the child's label in front, through a thread that may wait for the reader
 *   (core/writer.h).
 * 3 Children die with this process (PDEATHSIG). They lead sessions of their own, so that a Ctrl-C reaches only this process, which
 *   then stops them in its own order.
 * 4 Processes that a child leaves behind in its session end with the child. Every orphan below this process is waited for, so that
 *   this may be the first process of a container.
 */
#ifndef AP_TOOLS_APIARY_CREW_H
#define AP_TOOLS_APIARY_CREW_H

#include <signal.h>
#include <sys/types.h>

#include "registry/monitor/supervised.h"
#include "tools/common/common.h"

struct crew;

struct crew_child {
    char *label; /* "": its lines are passed on as they are, and its end is not told */
    char **argv; /* argv[0] is the name; the program is `program` */
    const char *program;
    const char *input; /* on its standard input; NULL: nothing */
    size_t input_size;
    void *user;
    bool restart;  /* when it ends by itself */
    bool wanted;   /* to be running */
    bool told;     /* to stop */
    bool held;     /* wanted, but not to be started yet */
    pid_t pid;     /* 0: not running */
    int pipe;      /* its standard error, or -1 */
    bool wired;    /* it gets a wire (wire.h) */
    int wire;      /* this end, or -1 */
    int last_exit; /* exit code, or 128 + signal; -1: never ended */
    char why[128]; /* how it ended last, "" */
    enum ap_child_end end; /* the same as numbers */
    enum ap_child_stage stage;
    uint32_t code;
    uint64_t ended;        /* CLOCK_REALTIME; 0: never */
    char *words;           /* the last line it wrote before that end, "" */
    char *said;            /* the last line it has written, "" */
    uint32_t ends; /* in a row, without a stable time between */
    uint32_t starts;
    uint64_t started, due; /* CLOCK_MONOTONIC; due: when to start it again */
    bool restarting;       /* it was told to end, to be started again */
    uint64_t patience;     /* CLOCK_MONOTONIC: when it is killed, because it has not; 0: not to be */
    uint64_t leaves_by;    /* the same of crew_stop; 0: that has not told it */
    char *line;            /* unfinished output */
    size_t line_size;
};

/* Takes the signals of this process (crew_signals.c). 0, or a negative errno of the system. */
AP_MUST_CHECK int crew_open(struct crew **ret);
void crew_close(struct crew *c); /* kills the children that are left, and waits a moment until all output is written */

/* `prepare` is called before each start. False puts the start off for a moment. */
void crew_prepare(struct crew *c, bool (*prepare)(void *user, struct crew_child *child), void *user);

/* `changed` is called after each change of a child: started, ended, told to stop. With crew_prepare's `user`. */
void crew_watch(struct crew *c, void (*changed)(void *user, struct crew_child *child));

/* Takes over argv (its strings, too). The child is started at the next turn. The pointer holds until crew_close. */
struct crew_child *crew_add(struct crew *c, const char *label, const char *program, char **argv, bool restart);

/* Ends a child that is then started again, as one that has ended by itself: SIGTERM, and SIGKILL to its group after `grace`.
 * Nothing if that is under way. */
void crew_restart(struct crew_child *child, uint64_t grace);
/* Takes a child that does not run out of the crew, and frees it. */
void crew_remove(struct crew *c, struct crew_child *child);
/* Tells a child to stop, and not to be started again; crew_again: to be started now, whatever was before. */
void crew_dismiss(struct crew *c, struct crew_child *child);
void crew_again(struct crew *c, struct crew_child *child);

/* `heard` is called when `fd` can be read; crew_deafen: no longer. */
void crew_listen(struct crew *c, int fd, void (*heard)(void *user, int fd), void *user);
void crew_deafen(struct crew *c, int fd);

/* Waits at most `timeout` ns for an event, and does the work that is due. */
void crew_turn(struct crew *c, uint64_t timeout);
/* How often SIGINT, SIGTERM or SIGQUIT came, and the name of the last one. */
int crew_interrupts(const struct crew *c);
const char *crew_interrupt(const struct crew *c);
/* How often SIGHUP came. */
unsigned crew_hangups(const struct crew *c);

size_t crew_count(const struct crew *c);
struct crew_child *crew_at(struct crew *c, size_t i);

/* A line of this program's own, on standard error, that does not tear the children's lines or the status line. */
void crew_say(struct crew *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The line at the bottom of a terminal; NULL or "" removes it. Nothing where standard error is no terminal. */
void crew_status(struct crew *c, const char *text);
/* Output for standard output. crew_results_code: TOOL_FAILED when it could not be written. */
void crew_result(struct crew *c, const char *text, size_t size);
AP_MUST_CHECK int crew_results_code(struct crew *c);

/* ---- crew_signals.c ------------------------------------------------------------------------------------------ */

/* Takes all signals that would end this process, but those that cannot be taken and what its own faults raise. The descriptor, or a
 * negative errno; *before is the mask until now. Before any thread is started. */
AP_MUST_CHECK int crew_signals_open(sigset_t *before);
/* The next one, and its name; 0: there is none. */
AP_MUST_CHECK int crew_signals_next(int fd, char *name, size_t size);

/* ---- crew_stop.c --------------------------------------------------------------------------------------------- */

/* SIGTERM to children [from, to), SIGKILL after `grace` or at the next interrupt; waits until they are gone. Returns how
 * many had to be killed. With `may_leave` one that runs is not told before that says so, and its grace begins then; none of them is
 * started again meanwhile. */
unsigned crew_stop(struct crew *c, size_t from, size_t to, uint64_t grace,
                   bool (*may_leave)(void *user, const struct crew_child *child), void *user);

/* ---- reap.c: the processes below this one -------------------------------------------------------------------- */

/* Kills the rest of a session whose leader has ended and is not waited for yet. */
void reap_session(pid_t leader);
/* Kills every child of this process that is left. */
void reap_strays(void);

#endif
