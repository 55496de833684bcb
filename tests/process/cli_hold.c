/* tests/process/cli_hold.c - a client that never gives its results back: CAPABILITY SIZE, until nothing more is accepted; then
 * it says why, and stays. With "unseen" behind it, it looks at the results only then; with "kept" it has
 * four results kept, says of which tasks, and stays. Without arguments it attaches again and again
 * instead, with "names" each time for another service. */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/apiary.h"

/* Delegates until that is refused, and counts what is answered well. */
static int unseen(apiary_t *a, const char *capability, const char *body, size_t size, unsigned *held)
{
    static apiary_task_t tasks[8192];
    unsigned n = 0;
    int rc = 0;

    while (n < 8192 && (rc == 0 || rc == APIARY_EQUEUEFULL)) {
        rc = apiary_delegate(a, capability, body, size, NULL, &tasks[n]);
        n += rc == 0;
    }
    for (unsigned i = 0; i < n; i++) {
        apiary_result_t result = {.struct_size = sizeof result};

        if (apiary_await(a, tasks[i], APIARY_FOREVER, &result) != 0 || result.code != 0) return result.code;
        ++*held;
    }
    return rc;
}

/* Four results that it will not fetch. Those of others may leave no block for a while. */
static int kept(apiary_t *a, const char *capability, const char *body, size_t size, unsigned *held)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH, .keep = UINT64_C(3600000000000)};
    apiary_task_t task;
    int rc = 0;

    while (*held < 4 && (rc == 0 || apiary_retry_after(rc) != 0)) {
        rc = apiary_delegate(a, capability, body, size, &o, &task);
        if (rc < 0) poll(NULL, 0, 1);
        if (rc < 0) continue;
        ++*held;
        printf("%" PRIx32 "-%" PRIx32 "-%" PRIx64 "\n", task.slot, task.epoch, task.generation);
    }
    return rc;
}

/* Attaches until that is refused. */
static int members(bool named, unsigned *held)
{
    char name[APIARY_NAME_MAX + 1];
    apiary_attach_options_t o = {.struct_size = sizeof o, .swarm = named ? name : NULL};
    apiary_t *a;
    int rc;

    do {
        snprintf(name, sizeof name, "service_%u", *held);
        rc = apiary_attach(NULL, &o, &a);
        *held += rc == 0;
    } while (rc == 0);
    return rc;
}

int main(int argc, char **argv)
{
    bool late = argc == 4 && strcmp(argv[3], "unseen") == 0;
    bool keeps = argc == 4 && strcmp(argv[3], "kept") == 0;
    size_t size = argc >= 3 ? strtoul(argv[2], NULL, 10) : 0;
    char *body = calloc(1, size + 1);
    unsigned held = 0;
    apiary_t *a = NULL;
    int rc = (argc == 3 || late || keeps) && body != NULL ? apiary_attach(NULL, NULL, &a) : APIARY_EINVAL;

    if (late && rc == 0) rc = unseen(a, argv[1], body, size, &held);
    if (keeps && rc == 0) rc = kept(a, argv[1], body, size, &held);
    if (argc <= 2) rc = members(argc == 2, &held);
    while (rc == 0 && !keeps) {
        apiary_task_t task;
        apiary_result_t result = {.struct_size = sizeof result};

        rc = apiary_delegate(a, argv[1], body, size, NULL, &task);
        if (rc == 0) rc = apiary_await(a, task, APIARY_FOREVER, &result);
        if (rc == 0) rc = result.code;
        if (rc == 0) held++;
    }
    apiary_refusal_t refusal = {.struct_size = sizeof refusal};
    bool told = a != NULL && apiary_refusal(a, &refusal) == 0 && refusal.error == rc;
    printf("holds %u: %s\n", held, told ? refusal.message : apiary_strerror(rc));
    fflush(stdout);
    for (;;) pause();
}
