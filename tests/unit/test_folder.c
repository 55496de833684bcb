/* Where an agent's files are: by segment and service, its user's alone; and what is said where there is no such place. */
#include <sys/stat.h>

#include "core/state.h"
#include "tests/unit/worker_fixture.h"

static char base[64], message[1024];
static const char *folder;
static int got; /* what the agent was told when it was made */

static void folder_setup(void)
{
    setup();
    strcpy(base, "/tmp/apiary-test-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
}

static void folder_teardown(void)
{
    char command[96];

    teardown();
    snprintf(command, sizeof command, "rm -rf '%s'", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(folder, .init = folder_setup, .fini = folder_teardown, .timeout = TEST_LIMIT);

static int folder_create(apiary_agent_t *agent, void **state)
{
    *state = agent;
    folder = NULL;
    got = apiary_agent_folder(agent, &folder);
    cr_expect_eq(apiary_agent_folder(agent, NULL), APIARY_EINVAL);
    return got;
}

static void folder_tell(void *state, apiary_job_t *job)
{
    const char *again;

    cr_expect_eq(apiary_agent_folder(state, &again), 0);
    cr_expect_eq(again, folder, "it is asked for twice");
    apiary_job_reply(job, again, strlen(again));
}
KIND(folder, folder_create, folder_tell, NULL);

static int start_in(const char *service, const char *state, apiary_queen_t **q)
{
    const apiary_agent_description_t agents[] = {{.name = "a", .kind = &folder_kind, .capabilities = echo_caps}};
    const apiary_swarm_description_t d = {APIARY_SWARM_DESCRIPTION, .service = service, .agents = agents, .agent_count = 1,
                                          .log = log_line, .state_directory = state};

    message[0] = '\0';
    return apiary_queen_start(a, &d, message, sizeof message, q);
}

/* A queen that gets the folder `expected`; *st: it. */
static void gets(const char *service, const char *state, const char *expected, struct stat *st)
{
    apiary_queen_t *q = NULL;
    char text[256];

    cr_assert_eq(start_in(service, state, &q), 0, "%s", message);
    cr_assert_eq(call("echo", "", 0, text, sizeof text), 0);
    cr_expect_str_eq(text, expected);
    cr_assert_eq(stat(expected, st), 0);
    cr_assert_eq(apiary_queen_stop(q, LONG), 0);
}

static void refused(const char *state, const char *why)
{
    apiary_queen_t *q = NULL;

    got = 0;
    cr_expect_eq(start_in("test", state, &q), APIARY_ESYS);
    cr_expect_eq(got, APIARY_ESYS);
    cr_expect_null(folder, "the output of a call that has failed");
    cr_expect_not_null(strstr(message, why), "%s", message);
}

static const char *below(const char *path)
{
    static char texts[4][256];
    static int at;
    char *ret = texts[at++ % 4];

    snprintf(ret, sizeof texts[0], "%s%s", base, path);
    return ret;
}

static const char *expected(const char *state, const char *service)
{
    static char texts[4][256];
    static int at;
    char *ret = texts[at++ % 4];

    snprintf(ret, sizeof texts[0], "%s%s/services/%s", state, name, service);
    return ret;
}

Test(folder, is_of_the_segment_and_the_service)
{
    struct stat one, again, other;

    umask(0);
    gets("test", below("/state"), expected(below("/state"), "test"), &one);
    cr_expect_eq(one.st_mode & 07777, 0700);
    cr_expect_eq(one.st_uid, geteuid());
    gets("test", below("/state"), expected(below("/state"), "test"), &again);
    cr_expect_eq(again.st_ino, one.st_ino, "it outlives its queen");
    gets("other", below("/state"), expected(below("/state"), "other"), &other);
    cr_expect_neq(other.st_ino, one.st_ino);
}

/* In the order in which they count. */
Test(folder, is_where_the_environment_says)
{
    char relative[PATH_MAX];
    struct stat st;

    setenv("HOME", below("/user"), 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("STATE_DIRECTORY");
    gets("test", NULL, expected(below("/user/.local/state/apiary"), "test"), &st);
    setenv("XDG_STATE_HOME", "relative", 1);
    gets("test", NULL, expected(below("/user/.local/state/apiary"), "test"), &st);
    setenv("XDG_STATE_HOME", below("/xdg"), 1);
    gets("test", NULL, expected(below("/xdg/apiary"), "test"), &st);
    snprintf(relative, sizeof relative, "%s:/dev/null", below("/service"));
    setenv("STATE_DIRECTORY", relative, 1);
    gets("test", NULL, expected(below("/service"), "test"), &st);
    gets("test", below("/given"), expected(below("/given"), "test"), &st);
    cr_assert_eq(chdir(base), 0);
    cr_assert_not_null(getcwd(relative, sizeof relative - 16));
    strcat(relative, "/here");
    gets("test", "here", expected(relative, "test"), &st);
    cr_assert_eq(chdir("/"), 0);
}

Test(folder, is_not_there)
{
    struct stat st;

    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "not absolute", 1);
    refused(NULL, "agent a: there is no folder for its files: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set");
    refused("/dev/null/x", "cannot make /dev/null/x: Not a directory; --state names another state directory");
    gets("test", below("/state"), expected(below("/state"), "test"), &st);
    cr_assert_eq(chmod(expected(below("/state"), "test"), 0720), 0);
    refused(below("/state"), "with mode 720: it must belong to the queen's user and be writable only by that user");
    cr_assert_eq(rmdir(expected(below("/state"), "test")), 0);
    cr_assert_eq(mkdir(below("/else"), 0700), 0);
    cr_assert_eq(symlink(below("/else"), expected(below("/state"), "test")), 0);
    refused(below("/state"), "is a link, or no folder");
    cr_assert_eq(unlink(expected(below("/state"), "test")), 0);
    gets("test", below("/state"), expected(below("/state"), "test"), &st); /* looked for again */
    if (geteuid() != 0) return; /* whom no mode keeps from writing */
    cr_assert_eq(chown(expected(below("/state"), "test"), 65534, 65534), 0);
    refused(below("/state"), "belongs to user 65534");
}

/* A name that a member has put into the header leads nowhere else. */
Test(folder, a_forged_name_is_no_path)
{
    struct ap_header *h = a->seg->header;
    char was[sizeof h->name];
    apiary_queen_t *q = NULL;

    memcpy(was, h->name, sizeof was);
    strcpy(h->name, "/../../x");
    cr_expect_eq(start_in("test", base, &q), APIARY_ECORRUPT);
    strcpy(h->name, "/..");
    cr_expect_eq(start_in("test", base, &q), APIARY_ECORRUPT);
    memset(h->name, 'x', sizeof h->name);
    cr_expect_eq(start_in("test", base, &q), APIARY_ECORRUPT);
    memcpy(h->name, was, sizeof was);
}
