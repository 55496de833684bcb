/* tools/apiary/top.h - apiary top: what each service does now, again and again, from the segment alone.
 *
 * MOMENT    A look (top_look) copies all that is shown. A row tells what is new since another look: the one before, or the first.
 * THREADS   One. Memory that is lacking ends the program.
 */
#ifndef AP_TOOLS_APIARY_TOP_H
#define AP_TOOLS_APIARY_TOP_H

#include "tools/apiary/apiary.h"
#include "tools/view/stats.h"

/* The kernel's counts for the queen of an instance, by service and instance. */
struct top_process {
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1];
    uint64_t processor; /* ns */
    uint64_t memory;    /* bytes of its own */
};
struct top_look {
    uint64_t now; /* CLOCK_MONOTONIC; 0: nothing was looked at yet */
    apiary_swarm_status_t *instances; /* by service and instance */
    int instance_count;
    struct top_process *processes; /* the same; those that can be seen */
    size_t process_count;
    struct stats stats;
    uint32_t members, tasks, tasks_used;
    int64_t daemon;
};
/* 0, or why it cannot be looked at. *ret is to be freed then. */
int top_look(apiary_t *a, struct top_look *ret);
void top_look_free(struct top_look *l);

enum top_kind { TOP_SERVICE, TOP_INSTANCE, TOP_AGENT, TOP_CALLER };

/* A service; an instance or an agent of one; or a caller with a capability that it calls. */
struct top_row {
    enum top_kind kind;
    char name[2 * APIARY_NAME_MAX + APIARY_CAPABILITY_MAX + 8];
    int state;          /* enum apiary_state, the worst; 0: none */
    int mode;           /* enum apiary_mode; 0: none */
    uint32_t instances, passing;
    uint64_t ended, bad; /* tasks that have ended, and how many of them failed or were late */
    uint64_t span;       /* ns; 0: since ever */
    struct ap_spread ran, waited; /* of a caller: count and sum alone */
    uint64_t queued, running, oldest; /* oldest: ns */
    uint64_t processor, memory; /* processor: ns; memory: bytes. UINT64_MAX: not known */
};
/* To be freed. All services, or, `of` one: its instances, agents and callers. `since` may be empty (its `now` is 0). */
struct top_row *top_rows(const struct ap_segment *seg, const struct top_look *now, const struct top_look *since, const char *of,
                         size_t *ret_count);

/* ---- top_cells.c: how they are shown ------------------------------------------------------------------------------ */

#define TOP_CELL 40u
struct top_column {
    const char *head; /* "%s": the percentile */
    int width;        /* columns of the terminal, 0: what is left */
    bool right;
    int spare;        /* left out where there is no room: the highest first; 0: never */
    char key;         /* sorts by it */
    bool rising;      /* the smallest first */
    void (*text)(const struct top_row *r, double percentile, char ret[TOP_CELL]);
    int (*order)(const struct top_row *a, const struct top_row *b, double percentile);
};
extern const struct top_column top_columns[];
extern const size_t top_column_count;

/* Sorts by a column, then by name; `reverse`: the other way round. Kinds stay apart. */
void top_sort(struct top_row *rows, size_t count, size_t column, double percentile, bool reverse);
/* Of a column's head; to be freed. */
char *top_head(size_t column, const char *percentile);
/* A state's mark, as tool_table_mark has it. */
char top_mark(const struct top_row *r);
int top_state_rank(int state); /* the higher, the worse */
/* Keeps the rows whose name, state or mode has the text; how many. */
size_t top_filter(struct top_row *rows, size_t count, const char *text);
/* Once, as text or JSON: an exit code. */
int top_print(const struct tool *t, const struct top_look *now, struct top_row *rows, size_t count, const char *percentile);

#define TOP_PERCENTILES 6
extern const char *const top_percentiles[TOP_PERCENTILES]; /* "50", ..., "99.99" */

/* ---- top_screen.c: on a terminal, until it is told to end ----------------------------------------------------------- */

struct top_options {
    const char *segment, *of; /* of: NULL, or a service */
    uint64_t interval;        /* ns */
    size_t percentile, column;
    const char *filter;
};
/* An exit code. *a is detached and attached again as the segment goes and comes. */
int top_screen(const struct tool *t, apiary_t **a, const struct top_options *o);

#endif
