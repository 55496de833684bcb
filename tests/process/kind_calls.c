/* tests/process/kind_calls.c - a caller for scripts: each request on standard input is a line "CAPABILITY SIZE" and so many bytes;
 * each answer on standard output a line "ERROR AGENT_CODE SIZE MICROSECONDS" and so many bytes, where ERROR is OK or an error's
 * name. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/apiary.h"

#define MOST (1u << 20)
#define TIMEOUT UINT64_C(60000000000)

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int answer(apiary_t *a, const char *capability, const void *body, size_t size)
{
    const apiary_delegate_options_t options = {.struct_size = sizeof options, .timeout = TIMEOUT};
    apiary_result_t result = {.struct_size = sizeof result};
    apiary_task_t task;
    uint64_t began = now();
    int rc = apiary_delegate(a, capability, body, size, &options, &task);
    if (rc == 0) rc = apiary_await(a, task, APIARY_FOREVER, &result);
    if (rc == 0) rc = result.code;
    printf("%s %" PRIu32 " %zu %" PRIu64 "\n", rc == 0 ? "OK" : apiary_error_name(rc), result.agent_code, result.size,
           (now() - began) / 1000);
    if (result.size > 0) fwrite(result.data, 1, result.size, stdout);
    fflush(stdout);
    if (result.task.generation != 0) apiary_release(a, &result);
    return ferror(stdout) ? 1 : 0;
}

int main(void)
{
    static char body[MOST];
    char capability[64];
    size_t size;
    apiary_t *a;
    int rc = apiary_attach(NULL, NULL, &a);
    if (rc < 0) {
        fprintf(stderr, "attach: %s\n", apiary_strerror(rc));
        return 1;
    }
    while (scanf("%63s %zu", capability, &size) == 2) {
        if (getchar() != '\n' || size > sizeof body || fread(body, 1, size, stdin) != size) return 2;
        if (answer(a, capability, body, size) != 0) return 3;
    }
    apiary_detach(a);
    return 0;
}
