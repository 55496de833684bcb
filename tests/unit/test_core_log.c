/* Log lines: one line each, nothing of a message can break out of it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

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

static const char *end(void)
{
    ssize_t n = pread(capture, captured, sizeof captured - 1, 0);

    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(capture);
    cr_assert_geq(n, 0);
    captured[n] = '\0';
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
    cr_expect_str_eq(captured + strlen(captured) - 2, "\"\n");
    cr_expect_eq(strchr(captured, '\n'), captured + strlen(captured) - 1, "one line");
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
    end();
    cr_expect_eq(after, EXDEV);
}
