/* agents/infra_service/readings.c - kind "readings": what the kernel says about this machine's resources.
 *
 *   resource_usage  (the request is not looked at) -> {"processors":N,"load_1m":X,"load_5m":X,"load_15m":X,"memory_total_kib":N,
 *                   "memory_available_kib":N,"swap_total_kib":N,"swap_free_kib":N,"runnable":N,"uptime_s":X}
 * From /proc/meminfo, /proc/loadavg, /proc/uptime and sysconf; a file that cannot be read fails the task.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "core/descriptor.h"

/* false: the job is failed. */
static bool read_proc(apiary_job_t *job, const char *path, char *ret, size_t capacity)
{
    int fd = ap_fd_open(path, O_RDONLY, 0);
    ssize_t size = fd < 0 ? -1 : read(fd, ret, capacity - 1);
    int error = errno;
    if (fd >= 0) close(fd);
    if (size <= 0) {
        apiary_job_fail(job, AP_CODE_INTERNAL, "%s: %s", path, size == 0 ? "empty" : strerror(error));
        return false;
    }
    ret[size] = '\0';
    return true;
}

static json_int_t kib(const char *meminfo, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = meminfo; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ':') return strtoll(line + length + 1, NULL, 10);
    }
    return 0;
}

static void read_kernel(void *state, apiary_job_t *job)
{
    char memory[4096], load[128], uptime[128];
    double one, five, fifteen;
    int runnable;
    (void)state;
    if (!read_proc(job, "/proc/meminfo", memory, sizeof memory) ||
        !read_proc(job, "/proc/loadavg", load, sizeof load) || !read_proc(job, "/proc/uptime", uptime, sizeof uptime))
        return;
    if (sscanf(load, "%lf %lf %lf %d/", &one, &five, &fifteen, &runnable) != 4) {
        apiary_job_fail(job, AP_CODE_INTERNAL, "/proc/loadavg is not understood");
        return;
    }
    ap_answer(job, "{s:I,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:i,s:f}", "processors", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN),
              "load_1m", one, "load_5m", five, "load_15m", fifteen, "memory_total_kib", kib(memory, "MemTotal"),
              "memory_available_kib", kib(memory, "MemAvailable"), "swap_total_kib", kib(memory, "SwapTotal"),
              "swap_free_kib", kib(memory, "SwapFree"), "runnable", runnable, "uptime_s", strtod(uptime, NULL));
}

const struct ap_function ap_functions_readings[] = {
    {.capability = "resource_usage",
     .bytes = read_kernel,
     .out = AP_OBJECT("'processors','load_1m','load_5m','load_15m','memory_total_kib','memory_available_kib',"
           "'swap_total_kib','swap_free_kib','runnable','uptime_s'", "'processors':{'type':'integer'},"
                      "'load_1m':{'type':'number'},"
                      "'load_5m':{'type':'number'},"
                      "'load_15m':{'type':'number'},"
                      "'memory_total_kib':{'type':'integer'},"
                      "'memory_available_kib':{'type':'integer'},"
                      "'swap_total_kib':{'type':'integer'},"
                      "'swap_free_kib':{'type':'integer'},"
                      "'runnable':{'type':'integer'},"
                      "'uptime_s':{'type':'number'}"),
     .bound = "three small files",
     .again = AP_AGAIN_LOOKS,
     .send = ""},
    {.capability = NULL},
};

static void readings_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_readings, state, job);
}

const apiary_agent_kind_t ap_kind_readings = {
    APIARY_AGENT_KIND,
    .name = "readings",
    .what = "resource_usage: processors, load and memory as the kernel reports them",
    .create = ap_create_plain,
    .handle = readings_handle,
    .capabilities = (const char *const[]){"resource_usage", NULL},
};
