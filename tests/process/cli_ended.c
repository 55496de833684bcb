/* tests/process/cli_ended.c - a client of which each thread delegates one task and ends without a word: CAPABILITY THREADS MS, the
 * task's timeout. Says how many were accepted, and stays. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/apiary.h"

static apiary_t *a;
static const char *capability;
static uint64_t timeout;
static int rc;

static void *one(void *unused)
{
    apiary_task_t task;

    (void)unused;
    rc = apiary_delegate(a, capability, "x", 1, APIARY_TIMEOUT(timeout), &task);
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned long threads = argc == 4 ? strtoul(argv[2], NULL, 10) : 0, accepted = 0;
    pthread_t id;

    rc = argc == 4 ? apiary_attach(NULL, NULL, &a) : APIARY_EINVAL;
    if (rc == 0) capability = argv[1];
    if (rc == 0) timeout = strtoul(argv[3], NULL, 10) * 1000000;
    for (; rc == 0 && accepted < threads; accepted += rc == 0) {
        if (pthread_create(&id, NULL, one, NULL) != 0) return 1;
        pthread_join(id, NULL);
    }
    printf("accepted %lu: %s\n", accepted, rc == 0 ? "all" : apiary_error_name(rc));
    fflush(stdout);
    for (;;) pause();
}
