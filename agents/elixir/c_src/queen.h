/* queen.h - what agents and their jobs have in common: an agent of the kind `beam` hands its tasks to a process. */
#ifndef APIARY_ELIXIR_QUEEN_H
#define APIARY_ELIXIR_QUEEN_H

#include "nif.h"

struct command;

struct agent { /* a resource; the runtime's agent keeps it from its `create` to its `destroy` */
    ErlNifMutex *lock;
    ErlNifPid pid; /* of the process that gets its tasks */
    uint32_t limit;
    uint64_t number;
    apiary_agent_t *agent; /* NULL: it has not been created yet, or is destroyed */
    int bell;              /* an eventfd that its worker watches: commands wait */
    struct command *first, *last;
    struct command *behind; /* parts that wait for their readers, the worker's */
    struct agent *next; /* of those that wait to be created */
};

struct job { /* a resource: one task in the hands of a process */
    struct agent *agent; /* kept */
    apiary_job_t *job;
    ErlNifMutex *lock;
    bool answered;
    bool parted; /* it has sent parts, of which one may wait */
};

extern const apiary_agent_kind_t agent_kind_beam;

struct agent *agent_get(ErlNifEnv *env, ERL_NIF_TERM term);
/* command.c: what only the worker's thread may do is handed to it. Takes `c` over; false: the agent has ended. */
struct command *command_new(ErlNifEnv *env, struct agent *agent, struct job *job, ERL_NIF_TERM ref);
bool command_read(ErlNifEnv *env, struct command *c, ERL_NIF_TERM capability, ERL_NIF_TERM body, ERL_NIF_TERM options,
                  int *error);
void command_as_part(struct command *c);
void command_answered(struct command *c); /* its job's parts that wait are lost: nobody waits for it itself */
void command_local(struct command *c); /* to an agent of the same swarm */
bool command_give(struct command *c);
void command_free(struct command *c);
void commands_run(void *agent, uint32_t events); /* on the worker's thread */
void commands_refuse(struct agent *agent);

/* job.c: on the worker's thread */
void job_arrived(void *agent, apiary_job_t *job);

#endif
