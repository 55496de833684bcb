/* A plug-in agent for the kill tests: counts each execution of a task in a file that outlives everybody, then echoes.
 * The body begins with a 64-bit index into the file's bytes; a body of another size is only echoed. */
#include <apiary.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct ledger {
    uint8_t *counts;
    uint64_t size;
    int64_t spin; /* turns of work for each task, so that a kill may find it in hand */
};

static int create(apiary_agent_t *agent, void **state)
{
    const char *path = apiary_agent_text(agent, "file", NULL);
    struct ledger *l = apiary_agent_alloc(agent, sizeof *l);
    struct stat st;
    int fd;

    if (l == NULL) return APIARY_ENOBLOCK;
    memset(l, 0, sizeof *l);
    l->spin = apiary_agent_number(agent, "spin", 0);
    *state = l;
    if (path == NULL) return 0;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        apiary_agent_log(agent, 3, "%s: %s", path, strerror(errno));
        return APIARY_ECONFIG;
    }
    l->size = (uint64_t)st.st_size;
    l->counts = mmap(NULL, l->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return l->counts == MAP_FAILED ? APIARY_ESYS : 0;
}

static void handle(void *state, apiary_job_t *job)
{
    struct ledger *l = state;
    uint64_t index;
    size_t size;
    const void *body = apiary_job_data(job, &size);

    if (size >= sizeof index && l->counts != NULL) {
        memcpy(&index, body, sizeof index);
        if (index < l->size) __atomic_fetch_add(&l->counts[index], 1, __ATOMIC_RELAXED);
    }
    for (volatile int64_t turn = 0; turn < l->spin; turn++) {}
    apiary_job_reply(job, body, size);
}

const apiary_agent_kind_t *apiary_agent_plugin(void);
__attribute__((visibility("default"))) const apiary_agent_kind_t *apiary_agent_plugin(void)
{
    static const apiary_agent_key_t keys[] = {{"file", 's', 0, "the ledger"},
                                                {"spin", 'i', 0, "turns of work per task"},
                                                {NULL, 0, 0, NULL}};
    static const apiary_agent_kind_t kind = {
        .abi = APIARY_AGENT_ABI, .name = "ledger", .what = "counts executions, then echoes", .keys = keys,
        .create = create, .handle = handle,
    };
    return &kind;
}
