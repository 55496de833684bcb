/* tools/apiary/memory.h - what the commands of `apiary memory` have in common. */
#ifndef AP_TOOLS_APIARY_MEMORY_H
#define AP_TOOLS_APIARY_MEMORY_H

#include "tools/apiary/apiary.h"

/* A call of a command. */
struct memory_call {
    const char *space, *local, *ttl, *expect;
    uint64_t time; /* of --ttl; 0: no end */
    apiary_t *a;
    apiary_memory_t *m;
};

#define SPACE_OPTIONS(call)                                                                              \
    {"namespace", 'n', "NAME", "the global name space [default]", &(call).space, NULL},                  \
    {"local", 'l', "SERVICE", "the local memory of this service, instead", &(call).local, NULL}
#define NO_MORE {.name = NULL}

/* TOOL_OK, and the memory is open; else an exit code, and nothing is. */
int memory_begin(const struct tool *t, const struct tool_usage *usage, struct memory_call *call, bool read_only);
int memory_end(struct tool *t, struct memory_call *call, int rc);
/* Says why it went wrong with a key; an exit code. */
int memory_error(const struct tool *t, const struct memory_call *call, int error, const char *key);

int memory_spaces(struct tool *t, int argc, char **argv);
int memory_caches(struct tool *t, int argc, char **argv);
int memory_watch(struct tool *t, int argc, char **argv);
int memory_snapshot(struct tool *t, int argc, char **argv);
int memory_restore(struct tool *t, int argc, char **argv);

#endif
