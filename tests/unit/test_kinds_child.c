/* tests/unit/test_kinds_child.c - a program with its guard (agents/kinds/child.h), without an agent. */
#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agents/kinds/child.h"

/* What the second says when it may run: is the first, whose number it was given, still there? */
static int start_claiming(int file, const char *text, const char *number, struct ap_child *ret)
{
    char *const arguments[] = {"/bin/sh", "-c", (char *)text, "sh", (char *)number, NULL};
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    const struct ap_child_plan plan = {.path = "/bin/sh", .arguments = arguments, .environment = environment,
                                       .claim_file = file, .claim = 4711};
    return ap_child_start(&plan, ret);
}

/* How often it has gone to sleep; many when it has ended. */
static long naps(pid_t pid)
{
    char path[64], line[128];
    long count = 1000;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "State:\tZ", 9) == 0) break;
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &count) == 1) break;
    }
    if (file) fclose(file);
    return count;
}

static size_t read_all(int fd, char *ret, size_t capacity)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    size_t size = 0;
    ssize_t n;
    do {
        poll(&readable, 1, -1);
        n = read(fd, ret + size, capacity - 1 - size);
        if (n > 0) size += (size_t)n;
    } while (n > 0 && ret[size - 1] != '\n');
    ret[size] = '\0';
    return size;
}

Test(child, a_second_attempt_waits_until_nothing_of_the_first_is_left)
{
    struct ap_child first, second;
    struct ap_child_end end;
    char number[32], text[32];
    FILE *file = tmpfile();
    cr_assert_eq(start_claiming(fileno(file), "setsid sh -c 'echo $$; exec tail -f /dev/null' & wait", "", &first), 0);
    cr_assert_gt(read_all(first.out, number, sizeof number), 0);
    cr_assert_eq(start_claiming(fileno(file), "kill -0 $1 2>/dev/null && echo beside || echo alone", number, &second), 0);
    while (naps(second.pid) < 10) /* it goes on looking whether it may */
        ;
    ap_child_kill(&first);
    cr_assert_gt(read_all(second.out, text, sizeof text), 0);
    cr_assert_str_eq(text, "alone\n");
    ap_child_collect(&first, &end);
    cr_assert(!end.refused && !end.exited && end.status == SIGKILL);
    ap_child_collect(&second, &end);
    cr_assert(!end.refused && end.exited && end.status == 0);
    fclose(file);
}

Test(child, an_attempt_that_waits_can_be_ended)
{
    struct ap_child first, second;
    struct ap_child_end end;
    char text[32];
    FILE *file = tmpfile();
    cr_assert_eq(start_claiming(fileno(file), "echo here; exec tail -f /dev/null", "", &first), 0);
    cr_assert_gt(read_all(first.out, text, sizeof text), 0);
    cr_assert_eq(start_claiming(fileno(file), "echo beside", "", &second), 0);
    ap_child_kill(&second);
    ap_child_collect(&second, &end);
    cr_assert_eq(end.refused, EBUSY);
    cr_assert_str_eq(end.step, "earlier attempt");
    ap_child_kill(&first);
    ap_child_collect(&first, &end);
    fclose(file);
}

Test(child, a_guard_that_is_killed_is_told_and_takes_the_program_along)
{
    struct ap_child child;
    struct ap_child_end end;
    char number[32];
    cr_assert_eq(start_claiming(-1, "echo $$; exec tail -f /dev/null", "", &child), 0);
    cr_assert_gt(read_all(child.out, number, sizeof number), 0);
    kill(child.pid, SIGKILL);
    struct pollfd output = {.fd = child.out, .events = POLLIN};
    cr_assert_eq(poll(&output, 1, -1), 1); /* the program's end */
    ap_child_collect(&child, &end);
    cr_assert_eq(end.refused, EOWNERDEAD);
    cr_assert_str_eq(end.step, "guard");
    cr_assert(end.guard_killed && end.begun);
}

Test(child, a_guard_that_is_killed_before_the_program_has_run_is_told_as_that)
{
    struct ap_child first, second;
    struct ap_child_end end;
    char text[32];
    FILE *file = tmpfile();
    cr_assert_eq(start_claiming(fileno(file), "echo here; exec tail -f /dev/null", "", &first), 0);
    cr_assert_gt(read_all(first.out, text, sizeof text), 0);
    cr_assert_eq(start_claiming(fileno(file), "echo beside", "", &second), 0);
    kill(second.pid, SIGKILL);
    ap_child_collect(&second, &end);
    cr_assert(end.guard_killed && !end.begun && end.refused == EOWNERDEAD);
    ap_child_kill(&first);
    ap_child_collect(&first, &end);
    cr_assert(end.begun && !end.guard_killed && !end.refused);
    fclose(file);
}
