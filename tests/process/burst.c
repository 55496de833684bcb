/* burst - delegates a number of tasks and awaits each: burst --segment NAME --capability NAME --count N [--window N]
 *       [--stops]
 * With --stops the process stops itself (SIGSTOP) before and after the burst, so that others can look at that alone.
 * Prints the number done and the time per task. Exit 1 when one fails. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/apiary.h"

enum { WINDOW_MAX = 1024 };

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"segment", 1, NULL, 's'}, {"capability", 1, NULL, 'c'}, {"count", 1, NULL, 'n'},
                                          {"window", 1, NULL, 'w'}, {"stops", 0, NULL, 'p'}, {0}};
    const char *segment = NULL, *capability = "echo";
    unsigned long count = 1000, window = 1, done = 0;
    static apiary_task_t tasks[WINDOW_MAX];
    char message[256] = "", body[64] = "burst";
    struct timespec from, to;
    apiary_t *a = NULL;
    int o, stops = 0;

    while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (o == 's') segment = optarg;
        else if (o == 'c') capability = optarg;
        else if (o == 'n') count = strtoul(optarg, NULL, 10);
        else if (o == 'w') window = strtoul(optarg, NULL, 10);
        else if (o == 'p') stops = 1;
        else return 64;
    }
    if (window < 1 || window > WINDOW_MAX) return 64;
    if (apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t), .message = message,
                                                          .message_size = sizeof message}, &a) < 0) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    if (stops) raise(SIGSTOP);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned long sent = 0; done < count;) {
        apiary_result_t result = {.struct_size = sizeof result};
        int r = 0;
        if (sent < count && sent - done < window) {
            r = apiary_delegate(a, capability, body, sizeof body, NULL, &tasks[sent % window]);
            if (r == 0) sent++;
            if (r == 0 || r == APIARY_EQUEUEFULL) {
                if (sent - done < window && sent < count && r == 0) continue;
                r = 0;
            }
        }
        if (r == 0 && sent > done) r = apiary_await(a, tasks[done % window], APIARY_FOREVER, &result);
        if (r == 0 && result.code != 0) r = result.code;
        if (r < 0) {
            fprintf(stderr, "task %lu: %s\n", done, apiary_strerror(r));
            return 1;
        }
        apiary_release(a, &result);
        done++;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (stops) raise(SIGSTOP);
    printf("%lu tasks, %.1f ns each\n", done,
           ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (double)done);
    apiary_detach(a);
    return 0;
}
