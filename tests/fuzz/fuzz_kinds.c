/* tests/fuzz/fuzz_kinds.c - what the built-in agents are asked by whoever delegates to them: each request is answered, once, or
 * refused with a sentence; nothing is left behind.
 *
 * Input: lines. The first names a kind, each other one is a request: capability, a blank, the body. Kinds that touch the world
 * outside (programs, addresses, folders), or hash passwords as slowly as that has to be, are left out. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_agent.h"

const char fuzz_target[] = "kinds";
const size_t fuzz_longest = 8192;

#define TURNS 2000

static bool outside(const char *name)
{
    static const char *const names[] = {"exec", "http", "storage_files", "storage_backup", "authentication"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* By name, else by what stands there: so that mutations of a name reach all kinds. */
static const char *kind_of(const char *name, size_t size)
{
    const apiary_agent_kind_t *const *kinds = apiary_kinds();
    size_t count = 0, sum = 0;

    for (; kinds[count] != NULL; count++)
        if (strlen(kinds[count]->name) == size && memcmp(kinds[count]->name, name, size) == 0) return kinds[count]->name;
    for (size_t i = 0; i < size; i++) sum = sum * 31 + (uint8_t)name[i];
    return kinds[sum % count]->name;
}

/* Until it is finished, or waits for something that does not come. */
static void ask(struct apiary_agent *agent, const char *line, size_t size)
{
    const char *blank = memchr(line, ' ', size);
    size_t length = blank != NULL ? (size_t)(blank - line) : size;
    char capability[64] = "";
    struct apiary_job *job;

    memcpy(capability, line, length < sizeof capability ? length : sizeof capability - 1);
    job = fake_submit(agent, capability, line + length + (blank != NULL), size - length - (blank != NULL));
    for (int i = 0; i < TURNS && !job->finished; i++) {
        if (fake.queue == NULL) break;
        fake_turn();
    }
    FUZZ_REQUIRE(fake.queue == NULL && job->finished && job->finishes == 1);
    if (job->failed) FUZZ_REQUIRE(job->code != 0 && job->data_size > 0);
    fake_free(job);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size, *line;
    struct apiary_agent *agent;
    const char *name;

    if (fake.loop == NULL) fake_open();
    memset(fake.memory, 0, sizeof fake.memory);
    line = memchr(at, '\n', size);
    if (line == NULL) return;
    name = kind_of(at, (size_t)(line - at));
    if (outside(name)) return;
    if (fake_create(name, NULL, &agent) < 0) {
        fake_destroy(agent);
        return;
    }
    for (at = line + 1; at < end; at = line + 1) {
        line = memchr(at, '\n', (size_t)(end - at));
        if (line == NULL) line = end;
        ask(agent, at, (size_t)(line - at));
    }
    fake_destroy(agent);
}
