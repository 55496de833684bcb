/* tools/apiary/report_host.c - the machine and the processes of a report. See report.h. */
#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>

#include "tools/apiary/report.h"
#include "tools/common/common.h"

/* A file of the kernel, under its name; that it cannot be read is said in its place. */
static void host_file(FILE *out, const char *path)
{
    FILE *in = fopen(path, "re");
    char bytes[4096];
    size_t n, all = 0;

    fprintf(out, "---- %s\n", path);
    if (in == NULL) {
        fprintf(out, "(cannot be read: %m)\n");
        return;
    }
    while ((n = fread(bytes, 1, sizeof bytes, in)) > 0) {
        fwrite(bytes, 1, n, out);
        all = n;
    }
    if (ferror(in)) fprintf(out, "(cannot be read: %m)\n");
    else if (all == 0 || bytes[all - 1] != '\n') fputc('\n', out);
    fclose(in);
}

void report_host(FILE *out)
{
    static const char *const files[] = {"/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/cpuinfo",
                                        "/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io", "/proc/self/limits",
                                        "/proc/self/cgroup", "/proc/self/status", "/proc/sys/kernel/io_uring_disabled",
                                        "/proc/sys/kernel/yama/ptrace_scope", "/proc/sys/fs/file-nr",
                                        "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
                                        "/sys/devices/system/clocksource/clocksource0/current_clocksource", "/proc/mounts"};
    struct utsname u;

    if (uname(&u) == 0) fprintf(out, "%s %s %s %s\n", u.sysname, u.release, u.version, u.machine);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) host_file(out, files[i]);
}

void report_process(FILE *out, int64_t pid)
{
    static const char *const files[] = {"comm", "status", "stat", "limits", "cgroup", "sched", "wchan"};
    char path[64];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "/proc/%" PRId64 "/%s", pid, files[i]);
        host_file(out, path);
    }
}
