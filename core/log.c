/* core/log.c */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/atomic.h"

#define LINE_MAX_BYTES 2048

static int most = 6;
static char part_name[128];

void ap_log_level(int level)
{
    ap_store_relaxed(&most, level);
}

void ap_log_part(const char *part)
{
    snprintf(part_name, sizeof part_name, "%s", part != NULL ? part : "");
    for (char *p = part_name; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
}

static const char *level_name(int level)
{
    static const char *const names[] = {"emergency", "alert",  "critical", "error",
                                        "warning",   "notice", "info",     "debug"};
    return names[level < 0 ? 0 : level > 7 ? 7 : level];
}

/* The variable is inherited by children whose standard error goes elsewhere: compare, as systemd asks for. */
static bool is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    if (stream == NULL || sscanf(stream, "%llu:%llu", &device, &inode) != 2) return false;
    return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

/* Quotes, backslashes and line ends are escaped, so that a line stays one line and its value ends where it says. */
static size_t escape(char *to, size_t size, const char *text)
{
    size_t n = 0;

    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && n + 5 < size; p++) {
        if (*p == '"' || *p == '\\') {
            to[n++] = '\\';
            to[n++] = (char)*p;
        } else if (*p == '\n' || *p == '\t') {
            to[n++] = '\\';
            to[n++] = *p == '\n' ? 'n' : 't';
        } else if (*p < 0x20 || *p == 0x7f) {
            n += (size_t)snprintf(to + n, size - n, "\\x%02x", *p);
        } else {
            to[n++] = (char)*p;
        }
    }
    return n;
}

void ap_log(int level, const char *format, ...)
{
    char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 256];
    int saved = errno;
    size_t n = 0;
    va_list args;

    if (level > ap_load_relaxed(&most)) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (is_journal()) n = (size_t)snprintf(line, sizeof line, "<%d>", level < 0 ? 0 : level > 7 ? 7 : level);
    n += (size_t)snprintf(line + n, sizeof line - n, "level=%s%s%s msg=\"", level_name(level),
                          part_name[0] != '\0' ? " part=" : "", part_name);
    n += escape(line + n, sizeof line - n - 2, text);
    line[n++] = '"';
    line[n++] = '\n';
    /* One write: lines of several threads and processes do not mix. Where it fails there is nobody left to tell. */
    (void)!write(STDERR_FILENO, line, n);
    errno = saved;
}
