/* tests/unit/test_check_dead.c - what the checkers say of a segment that somebody has died in, and after its recovery. */
#include "tests/support/leftovers.h"

#include "check_fixture.h"

#include <signal.h>
#include <sys/wait.h>

TestSuite(check_dead);

static char real_name[64]; /* of a segment of this process alone */

/* Attached, with a task reserved, one queued and a block in hand; then killed. */
static void die(void)
{
    static struct made m;
    uint32_t slot;
    uint64_t block;

    MUST(ap_registry_attach(real_name, true, NULL, 0, &m.seg) == 0);
    MUST(ap_member_open(m.seg, "victim", NULL, APIARY_CLIENT, &m.client) == 0);
    ap_slabs_init(&m.slabs, &m.client);
    MUST(ap_task_reserve(&m.slabs, NULL, NULL, &slot) == 0);
    MUST(ap_pool_take(m.seg, &m.client, &m.hint, 4000, &block) == 0);
    kill(getpid(), SIGKILL);
}

static struct ap_report check_real(void)
{
    struct ap_report report = {.found = on_finding, .user = &all};
    char message[256] = "";
    struct dump real;

    all.count = 0;
    cr_assert_eq(dump_open(real_name, &real, message, sizeof message), 0, "%s", message);
    cr_assert(real.live && real.registry);
    dump_check(&real, &report);
    dump_close(&real);
    return report;
}

static bool has_rule(const char *structure, const char *rule)
{
    for (uint32_t i = 0; i < all.count; i++)
        if (strcmp(all.list[i].structure, structure) == 0 && strcmp(all.list[i].rule, rule) == 0) return true;
    return false;
}

Test(check_dead, what_the_dead_left_is_repairable_and_a_recovery_mends_it)
{
    struct ap_segment *seg;
    struct ap_report report;
    char message[256] = "";
    uint64_t unused;
    int status;
    pid_t pid;

    leftovers_clear("apiary-check");
    snprintf(real_name, sizeof real_name, "/apiary-check-%d", (int)getpid());
    make_segment(real_name, &unused);
    cr_assert_eq(ap_registry_attach(real_name, true, message, sizeof message, &seg), 0, "%s", message);
    report = check_real();
    cr_assert_eq(report.corrupt + report.repairable, 0, "%s", all.list[0].text);
    pid = fork();
    if (pid == 0) {
        die();
        _exit(1);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    report = check_real();
    cr_expect_eq(report.corrupt, 0, "%s %s", all.list[0].rule, all.list[0].text);
    cr_expect(has_rule("lane", "L5") && has_rule("member", "M3") && has_rule("slab", "T10") && has_rule("slot", "T11"));
    cr_assert_eq(ap_reap_all(seg, AP_NO_LANE, &ap_registry_hooks), 1);
    report = check_real();
    cr_expect_eq(report.corrupt + report.repairable, 0, "%s %s %s", all.list[0].structure, all.list[0].rule, all.list[0].text);
    ap_segment_unmap(seg);
    shm_unlink(real_name);
}
