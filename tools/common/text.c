/* tools/common/text.c - how times, sizes, states, tables and JSON are written and read; see common.h. */
#include "tools/common/common.h"

#include <ctype.h>
#include <inttypes.h>
#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "core/text.h"

/* ---- durations, sizes, times ---------------------------------------------------------------------------------- */

int tool_duration(const char *text, uint64_t *ret)
{
    return ap_duration(text, ret) == 0 ? 0 : APIARY_EINVAL;
}

const char *tool_format_duration(uint64_t ns, char ret[32])
{
    uint64_t s = ns / UINT64_C(1000000000);
    if (ns < 1000) {
        snprintf(ret, 32, "%" PRIu64 " ns", ns);
    } else if (ns < 1000000) {
        snprintf(ret, 32, "%.1f us", (double)ns / 1e3);
    } else if (s == 0) {
        snprintf(ret, 32, "%.2f ms", (double)ns / 1e6);
    } else if (s < 60) {
        snprintf(ret, 32, "%.1f s", (double)ns / 1e9);
    } else if (s < 3600) {
        snprintf(ret, 32, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(ret, 32, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
    } else {
        snprintf(ret, 32, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
    }
    return ret;
}

const char *tool_format_bytes(uint64_t bytes, char ret[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(ret, 32, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return ret;
}

const char *tool_format_time(uint64_t realtime, char ret[32])
{
    time_t seconds = (time_t)(realtime / UINT64_C(1000000000));
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(ret, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) strcpy(ret, "-");
    return ret;
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

const char *tool_format_task(apiary_task_t task, char ret[48])
{
    snprintf(ret, 48, "%" PRIx32 "-%" PRIx32 "-%" PRIx64, task.slot, task.epoch, task.generation);
    return ret;
}

int tool_parse_task(const char *text, apiary_task_t *ret)
{
    uint64_t part[3];
    for (int i = 0; i < 3; i++) {
        if (!isxdigit((unsigned char)*text)) return APIARY_EINVAL;
        char *end;
        errno = 0;
        part[i] = strtoull(text, &end, 16);
        if (errno != 0 || *end != (i < 2 ? '-' : '\0')) return APIARY_EINVAL;
        text = end + 1;
    }
    if (part[0] > UINT32_MAX || part[1] > UINT32_MAX) return APIARY_EINVAL;
    *ret = (apiary_task_t){.slot = (uint32_t)part[0], .epoch = (uint32_t)part[1], .generation = part[2]};
    return 0;
}

int tool_log_level(const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"error", 3}, {"warning", 4}, {"info", 6}, {"debug", 7}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(name, levels[i].name) == 0) return levels[i].level;
    }
    return -1;
}

const char *tool_state_name(int state)
{
    static const char *const names[] = {
        "?",
#define AP_SWARM_STATE(name, text) [APIARY_##name] = text,
#include "core/swarm_states.def"
    };
    _Static_assert(sizeof names / sizeof *names == APIARY_DOWN + 1, "each state has its name");
    return state > 0 && state <= APIARY_DOWN ? names[state] : names[0];
}

const char *tool_mode_name(int mode)
{
    static const char *const names[] = {
        "?",
#define AP_SWARM_MODE(name, text) [APIARY_##name] = text,
#include "core/swarm_states.def"
    };
    _Static_assert(sizeof names / sizeof *names == APIARY_PAUSE + 1, "each mode has its name");
    return mode > 0 && mode <= APIARY_PAUSE ? names[mode] : names[0];
}

const char *tool_member_kind_name(int kind)
{
    static const char *const names[] = {"?", "client", "queen", "daemon", "tool"};
    _Static_assert(sizeof names / sizeof *names == APIARY_TOOL + 1, "each kind has its name");
    return kind > 0 && kind <= APIARY_TOOL ? names[kind] : names[0];
}

/* Length of the valid, printable UTF-8 sequence at p, or 0. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : p[0] >= 0xe0 && p[0] <= 0xef ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || n > left) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
    }
    if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0) return 0; /* C1 controls move cursors, too */
    if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) return 0;
    if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))) return 0;
    return n;
}

char *tool_printable(const char *text, size_t size)
{
    char *ret = tool_alloc(4 * size + 1);
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        size_t n = utf8_length((const unsigned char *)text + i, size - i);
        if (n == 0) {
            unsigned char c = (unsigned char)text[i];
            used += (size_t)(c == '\n'   ? sprintf(ret + used, "\\n")
                             : c == '\t' ? sprintf(ret + used, "\\t")
                                         : sprintf(ret + used, "\\x%02x", c));
            i++;
        } else {
            memcpy(ret + used, text + i, n);
            used += n;
            i += n;
        }
    }
    ret[used] = '\0';
    return ret;
}

json_t *tool_json_text(const char *text)
{
    char *printable = tool_printable(text, strlen(text));
    json_t *ret = json_string(printable);
    free(printable);
    return ret;
}

json_t *tool_json_number(uint64_t n)
{
    char text[24];

    if (n <= INT64_MAX) return json_integer((json_int_t)n);
    snprintf(text, sizeof text, "%llu", (unsigned long long)n);
    return json_string(text);
}

/* ---- columns of a terminal --------------------------------------------------------------------------------------- */

static uint32_t utf8_point(const unsigned char *p, size_t n)
{
    static const uint8_t first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t ret = p[0] & first[n];
    for (size_t i = 1; i < n; i++)
        ret = ret << 6 | (p[i] & 0x3fU);
    return ret;
}

static locale_t width_of;

static void width_make(void)
{
    width_of = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* That of C.UTF-8, whatever the user's: what is written is UTF-8 in each locale. 0: this system lacks it. Made once, and kept. */
static locale_t width_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, width_make);
    return width_of;
}

/* Columns of the character at p; its bytes go to *ret_bytes. A byte that is no character has one, and so has
 * a character that the C library does not know. */
static size_t width_next(const char *text, size_t left, locale_t known, size_t *ret_bytes)
{
    size_t n = utf8_length((const unsigned char *)text, left);
    *ret_bytes = n > 0 ? n : 1;
    if (n < 2 || known == (locale_t)0) return 1;
    int columns = wcwidth((wchar_t)utf8_point((const unsigned char *)text, n));
    return columns < 0 ? 1 : (size_t)columns;
}

size_t tool_width_bytes(const char *text, size_t most, size_t *ret_columns)
{
    size_t size = strlen(text), bytes = 0, columns = 0, n;
    locale_t known = width_locale(), before = known != (locale_t)0 ? uselocale(known) : (locale_t)0;
    for (; bytes < size; bytes += n) {
        size_t wide = width_next(text + bytes, size - bytes, known, &n);
        if (wide > most - columns) break;
        columns += wide;
    }
    if (before != (locale_t)0) uselocale(before);
    if (ret_columns != NULL) *ret_columns = columns;
    return bytes;
}

size_t tool_width(const char *text)
{
    size_t columns;
    (void)tool_width_bytes(text, SIZE_MAX, &columns);
    return columns;
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

#define COLUMNS_MAX 16
#define NARROWEST 8 /* columns of a terminal that one which is cut keeps */
#define GAP 2

struct tool_table {
    size_t columns, rows;
    char **cells; /* row 0: the headings */
    char *marks;  /* of each cell, or 0 */
    bool right[COLUMNS_MAX], fixed[COLUMNS_MAX], spare[COLUMNS_MAX]; /* fixed: never cut; spare: may be left out */
};

static bool whole_tables;

void tool_table_wide(void)
{
    whole_tables = true;
}

bool tool_colours(FILE *out)
{
    const char *term = getenv("TERM");
    const char *no = getenv("NO_COLOR");
    return isatty(fileno(out)) == 1 && (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

struct tool_table *tool_table_new(const char *const *headings)
{
    struct tool_table *table = tool_alloc(sizeof *table);
    const char *texts[COLUMNS_MAX];
    for (; table->columns < COLUMNS_MAX && headings[table->columns] != NULL; table->columns++) {
        size_t i = table->columns;
        const char *text = headings[i];
        for (; strchr("?=>", *text) != NULL && *text != '\0'; text++) {
            table->spare[i] |= *text == '?';
            table->fixed[i] |= *text != '?';
            table->right[i] |= *text == '>';
        }
        texts[i] = text;
    }
    tool_table_add(table, texts);
    return table;
}

void tool_table_add(struct tool_table *table, const char *const *cells)
{
    table->cells = tool_realloc(table->cells, (table->rows + 1) * table->columns * sizeof *table->cells);
    table->marks = tool_realloc(table->marks, (table->rows + 1) * table->columns);
    memset(table->marks + table->rows * table->columns, 0, table->columns);
    for (size_t i = 0; i < table->columns; i++)
        table->cells[table->rows * table->columns + i] = tool_printable(cells[i], strlen(cells[i]));
    table->rows++;
}

void tool_table_mark(struct tool_table *table, size_t column, char mark)
{
    table->marks[(table->rows - 1) * table->columns + column] = mark;
}

static const char *mark_colour(char mark)
{
    return mark == '!' ? "\033[31m" : mark == '+' ? "\033[32m" : mark == '~' ? "\033[33m" : "";
}

/* Columns of the terminal that `out` is; SIZE_MAX: none, or it does not say. */
static size_t room(FILE *out)
{
    struct winsize size;
    int fd = fileno(out);
    return fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : SIZE_MAX;
}

/* Leaves out what may be missed, the last column first; then takes from the widest column, the last of several; until a row
 * fits or nothing is left to take. A column of width 0 is left out. */
static void common_text_fit(const struct tool_table *table, size_t *widths, size_t most)
{
    size_t columns = table->columns, whole = 0;
    for (size_t i = 0; i < columns; i++)
        whole += widths[i] + (i > 0 ? GAP : 0);
    for (size_t i = columns; whole > most && i-- > 1;) {
        if (!table->spare[i]) continue;
        whole -= widths[i] + GAP;
        widths[i] = 0;
    }
    while (whole > most) {
        size_t widest = columns;
        for (size_t i = 0; i < columns; i++) {
            if (!table->fixed[i] && widths[i] > NARROWEST && (widest == columns || widths[i] >= widths[widest])) widest = i;
        }
        if (widest == columns) return;
        widths[widest]--;
        whole--;
    }
}

/* A cell that is not left out, with what parts it from the one before. A text that does not fit ends in "...". */
static void print_column(const struct tool_table *table, FILE *out, size_t at, size_t width_of_column, bool last, bool colours)
{
    const char *text = table->cells[at], *colour = at < table->columns ? "\033[1m" : mark_colour(table->marks[at]);
    size_t column = at % table->columns, shown = tool_width(text), bytes = strlen(text);
    bool cut = shown > width_of_column;
    if (cut) bytes = tool_width_bytes(text, width_of_column - 3, &shown);
    int pad = (int)(width_of_column - shown - (cut ? 3 : 0));
    if (column > 0) fprintf(out, "%*s", GAP, "");
    if (table->right[column]) fprintf(out, "%*s", pad, "");
    fputs(colours ? colour : "", out);
    fprintf(out, "%.*s%s", (int)bytes, text, cut ? "..." : "");
    fputs(colours && *colour != '\0' ? "\033[0m" : "", out);
    if (last) putc('\n', out);
    else if (!table->right[column]) fprintf(out, "%*s", pad, "");
}

/* Names the columns that a wider terminal would show. */
static void print_left_out(const struct tool_table *table, FILE *out, const size_t *widths)
{
    bool any = false;
    for (size_t i = 0; i < table->columns; i++) {
        if (widths[i] > 0) continue;
        fprintf(out, "%s%s", any ? ", " : "not shown here: ", table->cells[i]);
        any = true;
    }
    if (any) fputs(" (--wide)\n", out);
}

static void print_table(struct tool_table *table, FILE *out, FILE *shown_on)
{
    size_t widths[COLUMNS_MAX] = {0}, last = 0;
    bool colours = tool_colours(shown_on);
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t w = tool_width(table->cells[i]);
        if (w > widths[i % table->columns]) widths[i % table->columns] = w;
    }
    common_text_fit(table, widths, whole_tables ? SIZE_MAX : room(shown_on));
    for (size_t i = 0; i < table->columns; i++)
        if (widths[i] > 0) last = i;
    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t column = i % table->columns;
        if (widths[column] > 0) print_column(table, out, i, widths[column], column == last, colours);
    }
    print_left_out(table, out, widths);
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table->marks);
    free(table);
}

void tool_table_print(struct tool_table *table, FILE *out)
{
    print_table(table, out, out);
}

void tool_table_write(struct tool_table *table, FILE *out)
{
    print_table(table, out, stdout);
}

int tool_json_print(json_t *object)
{
    return tool_json_write(object, stdout);
}

int tool_json_write(json_t *object, FILE *out)
{
    json_t *whole = json_object();
    json_object_set_new(whole, "schema", json_integer(TOOL_JSON_SCHEMA));
    int failed = json_object_update(whole, object); /* of nothing, too: there was no memory for it */
    json_decref(object);
    if (failed == 0) failed = json_dumpf(whole, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(whole);
    return failed != 0 || putc('\n', out) == EOF ? TOOL_FAILED : TOOL_OK;
}
