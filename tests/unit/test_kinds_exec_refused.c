/* tests/unit/test_kinds_exec_refused.c - the kind "exec" where a program cannot be watched or ended: it is refused at the start. */
#include <errno.h>
#include <sys/syscall.h>

#include "tests/support/forbid.h"
#include "tests/unit/fake_agent.h"

static void refused_without(uint32_t number, const char *call)
{
    const struct fake_key config[] = {{"command", NULL, 0, FAKE_LIST("cat")}, {NULL, NULL, 0, NULL}};
    struct apiary_agent *agent;
    fake_open();
    if (!forbid_call(number, FORBID_ANY, FORBID_ERROR(ENOSYS))) cr_skip_test("no seccomp filters here");
    cr_expect_eq(fake_create("exec", config, &agent), APIARY_ENOTSUP);
    cr_expect(strstr(agent->log, call) && strstr(agent->log, "cannot be watched here"), "%s", agent->log);
    fake_destroy(agent);
    fake_close();
}

Test(exec_refused, it_is_told_at_the_start_that_there_is_no_pidfd_open)
{
    refused_without(SYS_pidfd_open, "pidfd_open");
}

Test(exec_refused, it_is_told_at_the_start_that_there_is_no_pidfd_send_signal)
{
    refused_without(SYS_pidfd_send_signal, "pidfd_send_signal");
}
