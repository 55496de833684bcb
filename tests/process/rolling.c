/* rolling - a load for restarts: rolling --segment NAME --capability NAME --ledger FILE --until FILE --count FILE [--every US]
 * Delegates one task after another, a few at a time, until the file of --until is there. With --every one is due each so many
 * microseconds, and the time that it took counts from when it was due, also if it was begun later. Each has the number of its own
 * byte of the ledger, in which its agent counts how often it was run (tests/plugins/ledger.c). How many are done stands in the file
 * of --count. Prints how many there were, failed, were lost and were run twice, and how long they took. Exit 1 unless each was done
 * and run once. */
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/apiary.h"

enum { WINDOW = 8 };

struct load {
    apiary_t *a;
    const char *capability, *until, *count;
    uint8_t *ledger;
    uint64_t size, sent, done, failed, every, next; /* every: us; 0: as fast as it goes */
    apiary_task_t tasks[WINDOW];
    uint64_t began[WINDOW];
    uint32_t *took; /* us */
};

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void failed(struct load *l, uint64_t task, const char *what, int error)
{
    l->failed++;
    printf("task %llu: %s: %s\n", (unsigned long long)task, what, apiary_strerror(error));
}

static void collect(struct load *l)
{
    apiary_result_t result = {.struct_size = sizeof result};
    uint64_t n = l->done++, at = n % WINDOW;
    int e;

    if (l->began[at] == 0) return; /* it was refused */
    e = apiary_await(l->a, l->tasks[at], APIARY_FOREVER, &result);
    if (e < 0 || result.code < 0) failed(l, n, "its result", e < 0 ? e : result.code);
    l->took[n] = (uint32_t)(now() - l->began[at]);
    if (e == 0) apiary_release(l->a, &result);
    if (l->done % 64 == 0) {
        int fd = open(l->count, O_WRONLY | O_CREAT, 0600);
        char text[32];
        int size = snprintf(text, sizeof text, "%llu\n", (unsigned long long)l->done);

        if (fd < 0 || pwrite(fd, text, (size_t)size, 0) != size) exit(3);
        close(fd);
    }
}

/* Whether the next one is due. Where it is not, what was begun is collected meanwhile. */
static bool due(struct load *l)
{
    uint64_t at = now();

    if (l->every == 0 || at >= l->next) return true;
    if (l->done < l->sent) collect(l);
    else ppoll(NULL, 0, &(struct timespec){.tv_sec = (time_t)((l->next - at) / 1000000),
                                           .tv_nsec = (long)((l->next - at) % 1000000) * 1000}, NULL);
    return false;
}

static void load_run(struct load *l)
{
    bool over = false;

    l->next = now();
    while (!over || l->done < l->sent) {
        uint64_t at = l->sent % WINDOW;
        int e;

        if (!over) over = l->sent == l->size || (l->sent % 64 == 0 && access(l->until, F_OK) == 0);
        if (over || l->sent - l->done == WINDOW) {
            if (l->done < l->sent) collect(l);
            continue;
        }
        if (!due(l)) continue;
        l->began[at] = l->every != 0 ? l->next : now();
        l->next += l->every;
        e = apiary_delegate(l->a, l->capability, &l->sent, sizeof l->sent, NULL, &l->tasks[at]);
        if (e < 0) {
            failed(l, l->sent, "refused", e);
            l->began[at] = 0;
        }
        l->sent++;
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static int verdict(struct load *l)
{
    uint64_t lost = 0, twice = 0;

    for (uint64_t i = 0; i < l->sent; i++) {
        lost += l->ledger[i] == 0;
        twice += l->ledger[i] > 1;
    }
    qsort(l->took, l->done, sizeof *l->took, compare);
    printf("%llu tasks, %llu failed, %llu lost, %llu run twice; p50 %u us, p99.9 %u us, most %u us\n", (unsigned long long)l->sent,
           (unsigned long long)l->failed, (unsigned long long)lost, (unsigned long long)twice, l->took[l->done / 2],
           l->took[l->done * 999 / 1000], l->took[l->done - 1]);
    return l->sent == 0 || l->failed + lost + twice > 0;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"segment", 1, NULL, 's'}, {"capability", 1, NULL, 'c'}, {"ledger", 1, NULL, 'l'},
                                          {"until", 1, NULL, 'u'}, {"count", 1, NULL, 'n'}, {"every", 1, NULL, 'e'}, {0}};
    const char *segment = NULL, *ledger = NULL;
    struct load l = {.capability = NULL};
    char message[256] = "";
    struct stat s;
    int o, fd, r;

    while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (o == 's') segment = optarg;
        else if (o == 'c') l.capability = optarg;
        else if (o == 'l') ledger = optarg;
        else if (o == 'u') l.until = optarg;
        else if (o == 'n') l.count = optarg;
        else if (o == 'e') l.every = strtoull(optarg, NULL, 10);
        else return 64;
    }
    if (l.capability == NULL || ledger == NULL || l.until == NULL || l.count == NULL) return 64;
    fd = open(ledger, O_RDONLY);
    if (fd < 0 || fstat(fd, &s) != 0 || s.st_size == 0) return 2;
    l.size = (uint64_t)s.st_size;
    l.ledger = mmap(NULL, l.size, PROT_READ, MAP_SHARED, fd, 0);
    l.took = calloc(l.size, sizeof *l.took);
    if (l.ledger == MAP_FAILED || l.took == NULL) return 2;
    if (apiary_attach(segment, &(apiary_attach_options_t){.struct_size = sizeof(apiary_attach_options_t), .message = message,
                                                          .message_size = sizeof message}, &l.a) < 0) {
        printf("%s\n", message);
        return 2;
    }
    load_run(&l);
    apiary_detach(l.a);
    r = verdict(&l);
    free(l.took);
    return r;
}
