/* tools/apiary/rows.h - the checks of a configuration: one real task each, its output compared with what is expected. */
#ifndef AP_TOOLS_APIARY_ROWS_H
#define AP_TOOLS_APIARY_ROWS_H

#include "tools/apiary/apiary.h"
#include "tools/apiary/crew.h"

struct check_row {
    const struct ap_deployment_swarm *swarm;
    const struct ap_deployment_check *check;
    bool done, passed;
    uint64_t latency;
    char served_by[2 * APIARY_NAME_MAX + 32]; /* "service/agent pid" */
    char *outcome;
};
struct check_rows {
    struct check_row *rows;
    size_t count;
    size_t unchecked; /* capabilities that no check asks for */
};

/* A row per check in the configuration's order. */
void rows_collect(const struct ap_deployment *d, struct check_rows *ret);
void rows_free(struct check_rows *r);
/* Runs them one after another while the crew is looked after; stops at an interrupt. Returns how many passed. */
size_t rows_run(struct check_rows *r, apiary_t *a, struct crew *crew);
/* For standard output: on a terminal each row is one line of its width, elsewhere nothing is cut. */
void rows_print(const struct check_rows *r, FILE *out);
json_t *rows_json(const struct check_rows *r);

#endif
