/* Log lines: one line each, nothing of a message can break out of it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/writer.h"

static int saved_stderr = -1, capture = -1;
static char captured[8192];

static void begin(void)
{
    char path[] = "/tmp/apiary-log-XXXXXX";

    unsetenv("JOURNAL_STREAM");
    capture = mkstemp(path);
    cr_assert_geq(capture, 0);
    unlink(path);
    saved_stderr = dup(STDERR_FILENO);
    dup2(capture, STDERR_FILENO);
}

/* Each line has a time, which is judged here and taken out. */
static void strip_times(void)
{
    for (char *line = captured; *line != '\0'; line = strchr(line, '\n') + 1) {
        unsigned year, month, day, hour, minute, milli, end = 0;
        double second;
        char *from = *line == '<' ? line + 3 : line;
        cr_assert_eq(sscanf(from, "time=%4u-%2u-%2uT%2u:%2u:%6lf%n", &year, &month, &day, &hour, &minute, &second, (int *)&end), 6,
                     "no time: %s", from);
        cr_assert_eq(sscanf(from + end - 3, "%3u", &milli), 1);
        cr_assert(end == 28 && strncmp(from + end, "Z ", 2) == 0 && year > 2020, "no time: %s", from);
        memmove(from, from + end + 2, strlen(from + end + 2) + 1);
    }
}

static const char *end(void)
{
    cr_assert(ap_writer_wait(UINT64_C(60000000000)));
    ssize_t n = pread(capture, captured, sizeof captured - 1, 0);

    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(capture);
    cr_assert_geq(n, 0);
    captured[n] = '\0';
    strip_times();
    return captured;
}

Test(log, a_line_has_level_part_and_message)
{
    begin();
    ap_log(6, "started %d", 13);
    ap_log_part("queen service=ai_service");
    ap_log(3, "gone");
    ap_log(4, "odd");
    ap_log_part(NULL);
    ap_log(5, "%s", "");
    cr_expect_str_eq(end(), "level=info msg=\"started 13\"\n"
                            "level=error part=queen service=ai_service msg=\"gone\"\n"
                            "level=warning part=queen service=ai_service msg=\"odd\"\n"
                            "level=notice msg=\"\"\n");
}

Test(log, the_level_decides)
{
    begin();
    ap_log(7, "not by default");
    ap_log_level(7);
    ap_log(7, "now");
    ap_log_level(3);
    ap_log(4, "no");
    ap_log(3, "yes");
    cr_expect_str_eq(end(), "level=debug msg=\"now\"\nlevel=error msg=\"yes\"\n");
}

Test(log, a_message_cannot_end_its_line_or_value)
{
    begin();
    ap_log(6, "a\"b\\c\nlevel=error\tx\x1b[31m\x7f");
    cr_expect_str_eq(end(), "level=info msg=\"a\\\"b\\\\c\\nlevel=error\\tx\\x1b[31m\\x7f\"\n");
}

Test(log, a_part_cannot_end_its_line)
{
    begin();
    ap_log_part("a\nb");
    ap_log(6, "x");
    cr_expect_str_eq(end(), "level=info part=a?b msg=\"x\"\n");
}

Test(log, a_long_message_is_cut_and_the_line_still_ended)
{
    static char text[10000];

    memset(text, '\n', sizeof text - 1);
    begin();
    ap_log(6, "%s", text);
    end();
    cr_expect_lt(strlen(captured), 2400);
    cr_expect_gt(strlen(captured), 1500);
    cr_expect_str_eq(captured + strlen(captured) - 6, "n...\"\n");
    cr_expect_eq(strchr(captured, '\n'), captured + strlen(captured) - 1, "one line");
}

Test(log, a_cut_falls_between_two_characters)
{
    static char text[3000];

    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, '"', shift); /* escaped, so that it is the escaped text that is too long */
        for (size_t i = shift; i + 3 < sizeof text; i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
        begin();
        ap_log(6, "%.1990s", text);
        ap_log(6, "%s", text);
        end();
        for (char *line = captured; *line != '\0'; line = strchr(line, '\n') + 1) {
            char *close = strstr(line, "\"\n");
            cr_assert_not_null(close);
            if (line == captured) continue; /* not cut, or by the caller */
            cr_expect_eq(memcmp(close - 6, "\xe2\x82\xac...", 6), 0, "%.8s", close - 8);
        }
    }
}

Test(log, journald_prefix_only_where_it_reads)
{
    struct stat st;
    char text[64];

    begin();
    cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", text, 1);
    ap_log(4, "read by journald");
    setenv("JOURNAL_STREAM", "1:2", 1);
    ap_log(4, "redirected");
    setenv("JOURNAL_STREAM", "x", 1);
    ap_log(4, "garbage");
    cr_expect_str_eq(end(), "<4>level=warning msg=\"read by journald\"\nlevel=warning msg=\"redirected\"\n"
                            "level=warning msg=\"garbage\"\n");
}

Test(log, errno_is_left_alone)
{
    begin();
    errno = EXDEV;
    ap_log(3, "%m");
    close(STDERR_FILENO);
    ap_log(3, "to nowhere");
    int after = errno;
    cr_assert(ap_writer_wait(UINT64_C(60000000000)));
    end();
    cr_expect_eq(after, EXDEV);
}

/* ---- who logs never waits for who reads ------------------------------------------------------------------------ */

#define LINES 6000u

static void number_lines(unsigned from, unsigned to)
{
    char filler[200];

    memset(filler, '.', sizeof filler - 1);
    filler[sizeof filler - 1] = '\0';
    for (unsigned i = from; i < to; i++) ap_log(6, "%u %s", i, filler);
}

/* Reads until the line that says `last`: how many lines came, in order, and how many are said to be lost. */
static void read_until(FILE *from, unsigned last, unsigned *came, unsigned long long *lost)
{
    char line[4096];
    unsigned long long n;
    unsigned number, next = 0;

    while (fgets(line, sizeof line, from) != NULL) {
        const char *text = strstr(line, "msg=\"");
        cr_assert_not_null(text, "%s", line);
        if (sscanf(text, "msg=\"%llu log lines before this one are lost", &n) == 1 && strstr(line, "are lost") != NULL) {
            *lost += n;
            next += (unsigned)n;
            continue;
        }
        cr_assert_eq(sscanf(text, "msg=\"%u ", &number), 1, "%s", line);
        cr_assert_eq(number, next, "after %llu lost lines", *lost);
        next = number + 1;
        ++*came;
        if (number == last) return;
    }
    cr_assert_fail("the end came before line %u", last);
}

/* When the reader goes on, what was lost is told and what comes next is read. */
static void *log_late(void *user)
{
    cr_assert(ap_writer_wait(UINT64_C(60000000000)));
    number_lines(LINES, LINES + 1);
    return user;
}

Test(log, nobody_waits_for_a_reader_that_has_stopped)
{
    int ends[2], saved = dup(STDERR_FILENO);
    unsigned came = 0;
    unsigned long long lost = 0;

    unsetenv("JOURNAL_STREAM");
    cr_assert_eq(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    number_lines(0, LINES); /* four times what pipe and buffer hold: would wait for ever if it waited */
    FILE *reader = fdopen(ends[0], "r");
    cr_assert_not_null(reader);
    pthread_t late;
    cr_assert_eq(pthread_create(&late, NULL, log_late, NULL), 0);
    read_until(reader, LINES, &came, &lost);
    pthread_join(late, NULL);
    dup2(saved, STDERR_FILENO);
    cr_expect_eq(came + lost, LINES + 1, "%u lines came, %llu were said to be lost", came, lost);
    cr_expect_gt(lost, 0);
}

static void refused_by(int fd)
{
    int saved = dup(STDERR_FILENO);

    dup2(fd, STDERR_FILENO);
    for (int i = 0; i < 10; i++) ap_log(3, "refused");
    cr_assert(ap_writer_wait(UINT64_C(60000000000)));
    dup2(saved, STDERR_FILENO);
    close(saved);
    begin();
    ap_log(3, "taken");
    end();
    cr_expect_not_null(strstr(captured, "msg=\"taken\""), "%s", captured);
    cr_expect_not_null(strstr(captured, "10 log lines before this one are lost"), "%s", captured);
}

Test(log, goes_on_when_the_reader_is_gone)
{
    int ends[2];

    signal(SIGPIPE, SIG_DFL);
    cr_assert_eq(pipe(ends), 0);
    close(ends[0]);
    refused_by(ends[1]);
}

Test(log, goes_on_when_the_disk_is_full)
{
    int full = open("/dev/full", O_WRONLY);

    cr_assert_geq(full, 0);
    refused_by(full);
}

Test(log, bytes_go_out_as_they_are)
{
    static char many[10000];
    char back[sizeof many + 1];

    memset(many, 'x', sizeof many);
    many[sizeof many - 1] = '\n';
    begin();
    ap_log_bytes(many, sizeof many);
    cr_assert(ap_writer_wait(UINT64_C(60000000000)));
    cr_expect_eq(pread(capture, back, sizeof back, 0), (ssize_t)sizeof many);
    cr_expect_eq(memcmp(back, many, sizeof many), 0);
    cr_assert_eq(ftruncate(capture, 0), 0);
    end();
}
