/* Which thread of a queen could not be made is what her message says. */
#include <errno.h>

#include "tests/support/inject.h"
#include "tests/unit/worker_fixture.h"

TestSuite(inject_queen, .init = setup, .fini = teardown, .timeout = TEST_LIMIT);

Test(inject_queen, the_thread_that_cannot_be_made_is_named)
{
    static const char *const texts[] = {"poor: its thread cannot be made: Resource temporarily unavailable",
                                        "worker 0: its thread cannot be made: Resource temporarily unavailable",
                                        "worker 1: its thread cannot be made: Resource temporarily unavailable",
                                        "poor: its monitor cannot be started: Resource temporarily unavailable"};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = "poor", .workers = 2, .agents = all_agents,
                                          .agent_count = AGENTS};
    apiary_queen_t *q = NULL;
    unsigned told = 0;

    for (unsigned at = 1; q == NULL; at++) {
        char message[256] = "";
        size_t i = 0;
        int r;

        inject_begin(INJECT_THREAD, at, false, EAGAIN);
        r = apiary_queen_start(a, &d, message, sizeof message, &q);
        inject_end();
        if (r == 0) break;
        cr_expect_eq(r, APIARY_ESYS);
        while (i < 4 && strcmp(message, texts[i]) != 0) i++;
        if (i < 4) told |= 1u << i;
        else cr_expect_not_null(strstr(message, "worker"), "a thread of a loop: %s", message);
    }
    cr_expect_eq(told, 15);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}
