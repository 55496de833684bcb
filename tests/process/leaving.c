/* leaving - a member that goes in unusual ways: leaving MODE SEGMENT CAPABILITY [N]
 *   exec     a thread that is not the main one attaches, calls, and replaces the program by itself, N times
 *   threads  N threads delegate, one after the other, and end without having collected; then "ready" is printed and the program
 *            waits for a line of its input. "exec" replaces it by `cat`; anything else ends it.
 *   rounds   eight threads live on; in each of N rounds a handle is attached, each of them calls through it, it is detached
 *   across   N times: attached by the main thread, detached by another
 *   detached N bodies of 1 MiB are delegated, fire and forget; then as `threads`, with nothing collected
 *   given_up a call that waits is interrupted at a line of the input, before and after which "ready" is printed; then as above
 *   handles  N handles in one thread, at once
 * Exit 1 with a line when something is refused. */
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/apiary.h"

static const char *segment, *capability;
static char **arguments;
static unsigned n;

static void must(int r, const char *what)
{
    if (r >= 0) return;
    fprintf(stderr, "%s: %s; %s\n", what, apiary_strerror(r), apiary_advice(r));
    _exit(1);
}

/* `retry` as the error asks for. */
static apiary_t *attach_as(bool retry)
{
    char message[512] = "";
    apiary_t *a = NULL;
    int r;

    /* A table that is full of what somebody else is recovering just now. */
    while ((r = apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t),
                                                                  .message = message, .message_size = sizeof message}, &a)) ==
           APIARY_ENOLANE && retry)
        poll(NULL, 0, 1);
    if (r < 0) fprintf(stderr, "%s\n", message);
    must(r, "attach");
    return a;
}

static apiary_t *attach(void)
{
    return attach_as(true);
}

static void call(apiary_t *a)
{
    char back[16];
    size_t size;

    must(apiary_call(a, capability, "x", 1, APIARY_TIMEOUT(APIARY_FOREVER), back, sizeof back, &size), "call");
}

static void *exec_itself(void *user)
{
    char left[16];

    (void)user;
    call(attach());
    snprintf(left, sizeof left, "%u", n - 1);
    arguments[4] = left;
    execv("/proc/self/exe", arguments);
    _exit(1);
}

static void *delegate_and_end(void *a)
{
    apiary_task_t task;

    must(apiary_delegate(a, capability, "left", 4, NULL, &task), "delegate");
    return NULL;
}

static void in_a_thread(void *(*run)(void *), void *user)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, run, user) != 0) _exit(1);
    pthread_join(thread, NULL);
}

static void ready(void)
{
    printf("ready\n");
    fflush(stdout);
}

/* Lives on, and asks for nothing. */
static void idle(void)
{
    char line[16] = "";

    ready();
    if (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "exec\n") == 0) execlp("cat", "cat", (char *)NULL);
}

static void threads(void)
{
    apiary_t *a = attach();

    for (unsigned i = 0; i < n; i++) in_a_thread(delegate_and_end, a);
    idle();
}

static char large[1 << 20];

static void detached(void)
{
    const apiary_delegate_options_t o = {.struct_size = sizeof o, .flags = APIARY_DETACH};
    apiary_t *a = attach();

    for (unsigned i = 0; i < n; i++) must(apiary_delegate(a, capability, large, sizeof large, &o, NULL), "delegate");
    idle();
}

/* The thread lives on, too: its lane does not close. */
static void *interrupted(void *a)
{
    if (apiary_call(a, capability, large, sizeof large, APIARY_TIMEOUT(APIARY_FOREVER), NULL, 0,
                    NULL) != APIARY_EINTERRUPTED) _exit(1);
    idle();
    return NULL;
}

static void given_up(void)
{
    pthread_t thread;
    apiary_t *a = attach();

    if (pthread_create(&thread, NULL, interrupted, a) != 0) _exit(1);
    ready();
    if (getchar() == EOF) _exit(1);
    must(apiary_interrupt(a), "interrupt");
    pthread_join(thread, NULL);
}

static pthread_barrier_t barrier;
static apiary_t *shared;

static void *live_on(void *user)
{
    (void)user;
    for (unsigned i = 0; i < n; i++) {
        pthread_barrier_wait(&barrier);
        call(shared);
        pthread_barrier_wait(&barrier);
    }
    pthread_barrier_wait(&barrier); /* idle from here on, and alive */
    return NULL;
}

static void rounds(void)
{
    pthread_t thread[8];

    pthread_barrier_init(&barrier, NULL, 9);
    for (int i = 0; i < 8; i++)
        if (pthread_create(&thread[i], NULL, live_on, NULL) != 0) _exit(1);
    for (unsigned i = 0; i < n; i++) {
        shared = attach();
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        must(apiary_detach(shared), "detach");
    }
    ready();
    getchar();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 8; i++) pthread_join(thread[i], NULL);
}

static void *detach(void *a)
{
    must(apiary_detach(a), "detach");
    return NULL;
}

static void across(void)
{
    for (unsigned i = 0; i < n; i++) {
        apiary_t *a = attach();

        call(a);
        in_a_thread(detach, a);
    }
}

static void handles(void)
{
    apiary_t **all = calloc(n, sizeof(*all));

    if (all == NULL) _exit(1);
    for (unsigned i = 0; i < n; i++) all[i] = attach_as(false); /* its own: they stay */
    for (unsigned i = 0; i < n; i++) call(all[i]);
    for (unsigned i = 0; i < n; i++) must(apiary_detach(all[i]), "detach");
    free(all);
}

int main(int argc, char **argv)
{
    if (argc != 5) return 64;
    arguments = argv;
    segment = argv[2];
    capability = argv[3];
    n = (unsigned)strtoul(argv[4], NULL, 10);
    if (strcmp(argv[1], "exec") == 0 && n > 0) in_a_thread(exec_itself, NULL);
    if (strcmp(argv[1], "threads") == 0) threads();
    if (strcmp(argv[1], "detached") == 0) detached();
    if (strcmp(argv[1], "given_up") == 0) given_up();
    if (strcmp(argv[1], "rounds") == 0) rounds();
    if (strcmp(argv[1], "across") == 0) across();
    if (strcmp(argv[1], "handles") == 0) handles();
    return 0;
}
