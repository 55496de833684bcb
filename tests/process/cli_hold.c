/* tests/process/cli_hold.c - a client that never gives its results back: CAPABILITY SIZE, until nothing more is accepted; then
 * it says why, and stays. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/apiary.h"

int main(int argc, char **argv)
{
    size_t size = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    char *body = calloc(1, size + 1);
    unsigned held = 0;
    apiary_t *a = NULL;
    int rc = argc == 3 && body != NULL ? apiary_attach(NULL, NULL, &a) : APIARY_EINVAL;

    while (rc == 0) {
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
