/* The memory at its edges: handles that are not there, and a key that is about to get its place. */
#include "tests/unit/memory_fixture.h"

#include <sys/wait.h>

TestSuite(memory_edges, .init = memory_setup, .fini = memory_teardown, .timeout = TEST_LIMIT);

/* All that reads, by a handle of that state. */
static void expect_refused(const apiary_memory_t *by, apiary_t *of, int error)
{
    apiary_memory_stats_t stats = {.struct_size = sizeof stats};
    char text[8] = "before", key[APIARY_MEMORY_KEY_MAX + 1] = "before";
    uint64_t position = 0;

    cr_expect_eq(apiary_memory_get(by, "k", text, sizeof text, NULL), error);
    cr_expect_eq(apiary_memory_scan(by, "", &position, key, NULL), error);
    if (of != NULL) cr_expect_eq(apiary_memory_stats(of, &stats), error);
    cr_expect_str_eq(text, "before", "outputs are untouched");
    cr_expect_str_eq(key, "before");
    cr_expect_eq(position, 0);
}

Test(memory_edges, who_has_left_reads_nothing)
{
    apiary_memory_value_t read = {.struct_size = sizeof read};
    apiary_t *b = attach_as("other");
    apiary_memory_t *theirs;
    char text[8];

    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(apiary_memory_open(b, "space", 0, &theirs), 0);
    apiary_detach(b);
    expect_refused(theirs, NULL, APIARY_ESTALE);
    cr_expect_eq(apiary_memory_get(theirs, "k", text, sizeof text, &read), APIARY_ESTALE, "by the way that most take");
    apiary_memory_close(theirs);
}

/* Its mapping is not the child's. */
Test(memory_edges, a_forked_child_reads_nothing)
{
    int status;
    pid_t pid;

    cr_assert_eq(put("k", "x"), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        apiary_memory_stats_t stats = {.struct_size = sizeof stats};
        char text[8], key[APIARY_MEMORY_KEY_MAX + 1];
        uint64_t position = 0;

        _exit((apiary_memory_get(m, "k", text, sizeof text, NULL) == APIARY_EFORKED ? 0 : 1) |
              (apiary_memory_scan(m, "", &position, key, NULL) == APIARY_EFORKED ? 0 : 2) |
              (apiary_memory_stats(client, &stats) == APIARY_EFORKED ? 0 : 4));
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%x", (unsigned)status);
    cr_expect_str_eq(text_of("k"), "x");
}

/* Who is about to give a key its place may have died, and is recovered; as long as it lives that is nothing to say. */
Test(memory_edges, a_key_that_is_about_to_get_its_place)
{
    struct ap_memory_name space;
    struct ap_memory_key key;
    struct ap_bucket *b;
    struct ap_value *v;
    struct ap_report report = {.found = counted, .user = (void *)(uintptr_t)"G3"};
    uint64_t turn, life;

    cr_assert_eq(put("k", "x"), 0);
    cr_assert_eq(ap_memory_name("space", false, &space), 0);
    cr_assert_eq(ap_memory_key(&space, "k", &key), 0);
    b = ap_bucket_of(client->seg, key.hash);
    v = ap_value_at(client->seg, AP_PLACE_ROW(b->place[0]));
    turn = b->turn;
    life = v->life;
    cr_assert_eq(AP_VALUE_LANE(life), client->anchor->lane.index);
    b->turn = AP_TURN(3, b->place[0]);
    repairable = corrupt = 0;
    ap_check_all(client->seg, &report);
    cr_expect(repairable == 0 && corrupt == 0, "%u %u", repairable, corrupt);
    v->life = AP_VALUE_LIFE(life >> 24, 20, AP_VALUE_USED);
    ap_check_all(client->seg, &report);
    cr_expect(repairable == 1 && corrupt == 0, "%u %u", repairable, corrupt);
    v->life = life;
    b->turn = turn;
}
