/* perf/option.h - what each option of a task, and each term of a capability, costs when it is used: in instructions. */
#ifndef PERF_OPTION_H
#define PERF_OPTION_H

#include "registry/routing/terms.h"

/* One setting of the table. The first is a task without options. */
struct perf_option {
    const char *name, *what;
    apiary_delegate_options_t options;
    struct ap_terms terms;
    bool set;     /* options are given, though none of them is set */
    bool fetched; /* its result is fetched by its id, and not awaited */
    bool major;   /* the provider offers it under a major, and it is asked for by the bare name */
};
extern const struct perf_option perf_options_table[];

/* Prints the table, as Markdown or JSON. An exit code: 77 without valgrind. */
int perf_option_main(bool json);

#endif
