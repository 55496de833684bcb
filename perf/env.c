/* perf/env.c - on what it was measured. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "perf/perf.h"

#ifndef PERF_COMMIT
#define PERF_COMMIT ""
#endif
#ifndef PERF_BUILD_TYPE
#define PERF_BUILD_TYPE ""
#endif

static json_t *first_line(const char *path)
{
    char line[256];
    FILE *f = fopen(path, "r");
    json_t *ret = NULL;

    if (f != NULL && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        ret = json_string(line);
    }
    if (f != NULL) fclose(f);
    return ret != NULL ? ret : json_null();
}

static json_t *processor_model(void)
{
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "r");
    json_t *ret = NULL;

    while (f != NULL && ret == NULL && fgets(line, sizeof line, f) != NULL) {
        char *value = strchr(line, ':');
        if (value == NULL || (strncmp(line, "model name", 10) != 0 && strncmp(line, "CPU part", 8) != 0)) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = '\0';
        ret = json_string(value);
    }
    if (f != NULL) fclose(f);
    return ret != NULL ? ret : json_null();
}

static json_t *placement(void)
{
    char text[160];

    if (!perf_options.pinned) return json_string("free");
    snprintf(text, sizeof text, "client pinned to %d, serving sides to %d",
             perf_options.client, perf_options.server);
    return json_string(text);
}

static json_t *when(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

json_t *perf_environment(void)
{
    json_t *o = json_object(), *clock = json_object(), *load = json_array();
    double average[3] = {0};
    struct utsname u;
    int n = getloadavg(average, 3);

    uname(&u);
    json_object_set_new(o, "cpu", processor_model());
    json_object_set_new(o, "architecture", json_string(u.machine));
    json_object_set_new(o, "processors", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(o, "kernel", json_string(u.release));
    json_object_set_new(o, "governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    json_object_set_new(o, "placement", placement());
    for (int i = 0; i < n; i++)
        json_array_append_new(load, json_real(average[i]));
    json_object_set_new(o, "load", load);
    json_object_set_new(o, "commit", PERF_COMMIT[0] != '\0' ? json_string(PERF_COMMIT) : json_null());
    json_object_set_new(o, "version", json_string(apiary_version()));
    json_object_set_new(o, "compiler", json_string(__VERSION__));
    json_object_set_new(o, "build", json_string(PERF_BUILD_TYPE));
    json_object_set_new(clock, "source", json_string(perf_clock_counter ? "processor's counter" : "CLOCK_MONOTONIC"));
    json_object_set_new(clock, "tick_ns", json_real(perf_clock_ns));
    json_object_set_new(clock, "cost_ns", json_real(perf_clock_cost));
    json_object_set_new(o, "clock", clock);
    json_object_set_new(o, "block_ms", json_real(perf_options.block_ms));
    json_object_set_new(o, "time", when());
    return o;
}
