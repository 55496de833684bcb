/* tools/dashboard/dashboard.c - see dashboard.h. The bytes come from cmake/Dashboard.cmake. */
#include "tools/dashboard/dashboard.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/name.h"

/* DASHBOARD_FILE(symbol, path, content_type) */
#define DASHBOARD_FILE(symbol, path, content_type) extern const unsigned char symbol##_begin[], symbol##_end[];
#include <dashboard_files.def>
#undef DASHBOARD_FILE

static struct dashboard_file files[] = {
#define DASHBOARD_FILE(symbol, path, content_type) {path, content_type, symbol##_begin, 0, ""},
#include <dashboard_files.def>
#undef DASHBOARD_FILE
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The distance of two symbols is no constant to the compiler. */
static void dashboard_measure(void)
{
    const unsigned char *const ends[] = {
#define DASHBOARD_FILE(symbol, path, content_type) symbol##_end,
#include <dashboard_files.def>
#undef DASHBOARD_FILE
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        files[i].size = (size_t)(ends[i] - files[i].data);
        snprintf(files[i].etag, sizeof files[i].etag, "\"%016llx\"", (unsigned long long)ap_hash(files[i].data, files[i].size));
    }
}

const struct dashboard_file *dashboard_file(const char *path)
{
    pthread_once(&once, dashboard_measure);
    if (strcmp(path, "/") == 0) path = "/index.html";
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (strcmp(path, files[i].path) == 0) return &files[i];
    }
    return NULL;
}
