/* core/log.c */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/atomic.h"
#include "core/text.h"
#include "core/writer.h"

#define TEXT_MAX 2048u
#define PATIENCE UINT64_C(10000000) /* for one line, of a log that is read */

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

/* Quotes, backslashes and line ends are escaped, so that a line stays one line and its value ends where it says. A text that
 * does not fit is cut as in core/text.h. */
static size_t log_escape(char *to, size_t size, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n = 0;

    for (; *p != '\0'; p++) {
        if (n + sizeof "\\xff..." > size) {
            for (; (*p & 0xc0) == 0x80 && n > 0; p--) n--; /* which are not escaped */
            memcpy(to + n, "...", 3);
            return n + 3;
        }
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

static size_t compose(char line[AP_WRITER_LINE], int level, const char *text)
{
    struct timespec now;
    struct tm tm;
    size_t n = 0;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    if (is_journal()) n = (size_t)snprintf(line, AP_WRITER_LINE, "<%d>", level < 0 ? 0 : level > 7 ? 7 : level);
    n += strftime(line + n, AP_WRITER_LINE - n, "time=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, AP_WRITER_LINE - n, ".%03ldZ level=%s%s%s msg=\"", now.tv_nsec / 1000000, level_name(level),
                          part_name[0] != '\0' ? " part=" : "", part_name);
    n += log_escape(line + n, TEXT_MAX, text);
    line[n++] = '"';
    line[n++] = '\n';
    return n;
}

static size_t lost(char line[AP_WRITER_LINE], uint64_t lines)
{
    char text[96];

    snprintf(text, sizeof text, "%llu log lines before this one are lost: standard error did not take them",
             (unsigned long long)lines);
    return compose(line, 4, text);
}

void ap_log_bytes(const char *bytes, size_t size)
{
    for (size_t n; size > 0; bytes += n, size -= n) {
        n = size < AP_WRITER_LINE ? size : AP_WRITER_LINE;
        ap_writer_put(&(struct ap_writer_text){
            .fd = STDERR_FILENO, .bytes = bytes, .size = n, .lost = lost, .patience = PATIENCE});
    }
}

void ap_log(int level, const char *format, ...)
{
    char text[TEXT_MAX], line[AP_WRITER_LINE];
    int saved = errno;
    va_list args;

    if (level > ap_load_relaxed(&most)) return;
    va_start(args, format);
    ap_vformat(text, sizeof text, format, args);
    va_end(args);
    ap_log_bytes(line, compose(line, level, text));
    errno = saved;
}
