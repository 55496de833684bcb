/* The writer's classes of text (core/writer.h); test_core_log.c has what the log promises with them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/writer.h"

#define LONG UINT64_C(60000000000)

static size_t lost(char line[AP_WRITER_LINE], uint64_t lines)
{
    return (size_t)snprintf(line, AP_WRITER_LINE, "lost %llu\n", (unsigned long long)lines);
}

static void put(enum ap_writer_class class, int fd, const char *bytes, size_t size)
{
    ap_writer_put(&(struct ap_writer_text){.class = class, .fd = fd, .bytes = bytes, .size = size, .lost = lost});
}

/* A pipe that nobody reads, and the writer waiting in it: no byte more fits, and one result is on its way. */
static void block(int ends[2])
{
    static const char full[4096] = {0};

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], full, sizeof full) > 0) continue;
    cr_assert_eq(fcntl(ends[1], F_SETFL, 0), 0);
    put(AP_WRITER_RESULT, ends[1], "first\n", 6);
}

/* All that comes until nothing waits any more; the zeros that filled the pipe are left out. */
static char *read_all(const int ends[2])
{
    static char text[1 << 23];
    size_t n = 0;
    char byte[65536];
    struct pollfd p = {.fd = ends[0], .events = POLLIN};

    for (;;) {
        bool all = ap_writer_wait(1);
        while (poll(&p, 1, 0) > 0) {
            ssize_t got = read(ends[0], byte, sizeof byte);
            cr_assert_gt(got, 0);
            for (ssize_t i = 0; i < got && n + 1 < sizeof text; i++)
                if (byte[i] != '\0') text[n++] = byte[i];
        }
        if (all) break;
    }
    text[n] = '\0';
    return text;
}

Test(writer, results_are_whole_whatever_waits, .timeout = TEST_LIMIT)
{
    static char line[100001];
    int ends[2];
    size_t came = 0;

    block(ends);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\n';
    for (int i = 0; i < 20; i++) put(AP_WRITER_RESULT, ends[1], line, sizeof line);
    cr_expect(ap_writer_results());
    for (const char *p = read_all(ends); *p != '\0'; p++) came += *p == 'x';
    cr_expect_eq(came, 20 * (sizeof line - 1), "%zu", came);
    cr_expect_not(ap_writer_results());
    cr_expect_eq(ap_writer_failed(), 0);
}

Test(writer, notes_are_bounded_and_their_lines_are_told, .timeout = TEST_LIMIT)
{
    char line[64];
    int ends[2];
    unsigned came = 0, told = 0, next = 0;

    block(ends);
    for (unsigned i = 0; i < 20000; i++) {
        int n = snprintf(line, sizeof line, "note %u\nits second line\n", i);
        put(AP_WRITER_NOTE, ends[1], line, (size_t)n);
    }
    for (char *p = strtok(read_all(ends), "\n"); p != NULL; p = strtok(NULL, "\n")) {
        unsigned at;
        if (sscanf(p, "note %u", &at) == 1) {
            cr_assert_eq(at, next++);
            came += 2;
        } else if (sscanf(p, "lost %u", &told) == 1) {
            cr_expect_null(strtok(NULL, "\n"), "something stands behind the loss");
            break;
        }
    }
    cr_expect_gt(came, 0);
    cr_expect_gt(told, 0);
    cr_expect_eq(came + told, 40000, "%u came, %u are told", came, told);
}

Test(writer, a_refresh_is_left_out_where_notes_wait, .timeout = TEST_LIMIT)
{
    int ends[2];
    const char *text;

    block(ends);
    put(AP_WRITER_NOTE, ends[1], "note\n", 5);
    for (int i = 0; i < 1000; i++) put(AP_WRITER_REFRESH, ends[1], "old\n", 4);
    put(AP_WRITER_RESULT, ends[1], "result\n", 7);
    text = read_all(ends);
    cr_expect_str_eq(text, "first\nnote\nresult\n");
    put(AP_WRITER_REFRESH, ends[1], "new\n", 4);
    text = read_all(ends);
    cr_expect_str_eq(text, "new\n");
}

Test(writer, a_refused_result_is_told_and_stops_nothing, .timeout = TEST_LIMIT)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), ends[2];

    cr_assert_geq(full, 0);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    put(AP_WRITER_RESULT, full, "result\n", 7);
    put(AP_WRITER_REFRESH, full, "refresh\n", 8);
    put(AP_WRITER_NOTE, ends[1], "note\n", 5);
    cr_expect(ap_writer_wait(LONG));
    cr_expect_eq(ap_writer_failed(), -ENOSPC);
    cr_expect_str_eq(read_all(ends), "note\n");
}

Test(writer, the_room_is_used_over_and_over, .timeout = TEST_LIMIT)
{
    static char line[5000]; /* does not divide the room */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC), ends[2];

    cr_assert_geq(null, 0);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    memset(line, 'n', sizeof line);
    for (int i = 0; i < 1000; i++) {
        put(AP_WRITER_NOTE, null, line, sizeof line);
        cr_assert(ap_writer_wait(LONG));
    }
    put(AP_WRITER_NOTE, ends[1], "last\n", 5);
    cr_expect_str_eq(read_all(ends), "last\n");
}

/* As where the number of threads is bounded. */
Test(writer, without_a_thread_a_note_is_written_where_it_does_not_wait, .timeout = TEST_LIMIT)
{
    pthread_attr_t before, huge;
    int ends[2], full[2];
    char text[64] = "";

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(full, O_CLOEXEC | O_NONBLOCK), 0);
    while (write(full[1], text, sizeof text) > 0) continue;
    cr_assert_eq(fcntl(full[1], F_SETFL, 0), 0);
    cr_assert_eq(pthread_getattr_default_np(&before), 0);
    cr_assert_eq(pthread_attr_init(&huge), 0);
    cr_assert_eq(pthread_attr_setstacksize(&huge, (size_t)1 << 60), 0);
    cr_assert_eq(pthread_setattr_default_np(&huge), 0);
    put(AP_WRITER_NOTE, ends[1], "why\n", 4);
    put(AP_WRITER_NOTE, full[1], "why not\n", 8); /* would wait: it is lost */
    cr_assert_eq(pthread_setattr_default_np(&before), 0);
    cr_assert_eq(read(ends[0], text, sizeof text), 4);
    cr_expect_str_eq(text, "why\n");
}
