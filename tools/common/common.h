/* tools/common/common.h - shared by the command-line programs: options, exit codes, errors, tables, JSON, durations.
 *
 * Programs only, single-threaded unless said otherwise; may print and exit. Every message on standard error reads
 * "program: what: text; what to do". Standard output carries results only.
 */
#ifndef AP_TOOLS_COMMON_H
#define AP_TOOLS_COMMON_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "core/apiary.h"
#include "core/must_check.h"

/* The exit codes of every program here; the manual page and the README repeat this table. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_FAILED = 1,      /* the task or the operation failed */
    TOOL_CONFIG = 2,      /* the configuration is wrong */
    TOOL_NO_SEGMENT = 3,  /* no segment, or it cannot be attached */
    TOOL_NO_PROVIDER = 4, /* nobody offers the capability, or nobody alive */
    TOOL_FULL = 5,        /* a queue, table, pool or limit is full */
    TOOL_TOO_LARGE = 6,   /* the body is over the limit */
    TOOL_TIMEOUT = 7,
    TOOL_USAGE = 64,
    TOOL_CANNOT = 77, /* this machine cannot do it */
};
AP_MUST_CHECK int tool_exit_code(int error);

#define TOOL_JSON_SCHEMA 1

struct tool {
    const char *program; /* for messages */
    const char *segment; /* of --segment, NULL when not given */
    bool json;
};

/* One option of one command: help, parser and (by a test) shell completion come from the same row. */
struct tool_option {
    const char *name;
    int letter;           /* 0: none */
    const char *argument; /* its name in the help; "[NAME]": it may be left out ("" then); NULL: a flag */
    const char *what;
    const char **value; /* exactly one of both */
    bool *flag;
};
struct tool_usage {
    const char *command;   /* "delegate", NULL for a program without commands */
    const char *arguments; /* "CAPABILITY [DATA]" */
    const char *what;      /* one sentence */
    const char *more;      /* further paragraphs, or NULL */
    int least, most;       /* number of positional arguments; most < 0: any */
    bool json;             /* takes --json */
    bool table;            /* prints one, and takes --wide */
};
#define TOOL_GO_ON (-1)
/* Parses argv (argv[0] is the command). Returns TOOL_GO_ON, with *argc and *argv the positional arguments, or the exit
 * code after --help, --version or a usage error (printed). `options` ends with name NULL. */
AP_MUST_CHECK int tool_parse(struct tool *t, const struct tool_usage *usage, const struct tool_option *options, int *argc,
               char ***argv);
AP_MUST_CHECK int tool_usage_error(const struct tool *t, const struct tool_usage *usage, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --segment, else $APIARY_SEGMENT, else `otherwise` (a configuration's; may be NULL), else the default; with its slash. */
const char *tool_segment(const struct tool *t, const char *otherwise);

/* The file of -c, else $APIARY_CONFIG, else /etc/apiary/apiary.yaml when it is there, else NULL. */
const char *tool_config_path(const char *option);

/* The same for a program that joins a segment described by a configuration (`path`; NULL: none).
 * 1 *name as above; *why is for the log ("as --segment says").
 * 2 TOOL_CONFIG, with a message, when $APIARY_SEGMENT names another segment than the configuration. The program cannot know which
 *   one is stale, and on the wrong one a queen would serve tasks that are not meant for it. */
AP_MUST_CHECK
int tool_choose_segment(const struct tool *t, const char *path, const char *configured, const char **name, const char **why);

/* For programs that stay, before they open any descriptor: see ap_process_serve. From then on messages, too, go through the log,
 * so that no thread waits for them. Prints the error in $APIARY_KEEP_FDS. TOOL_OK or TOOL_USAGE. */
AP_MUST_CHECK int tool_serve(const struct tool *t);

/* After that, before any thread: see ap_process_first. TOOL_OK in the process that goes on. */
AP_MUST_CHECK int tool_first(const struct tool *t);

/* Prints an error with its advice (message NULL), or with the library's own sentence. Returns its exit code. */
AP_MUST_CHECK int tool_error(const struct tool *t, int error, const char *message, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
AP_MUST_CHECK int tool_fail(const struct tool *t, int exit_code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void tool_warn(const struct tool *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Attaches as a tool; on failure prints why and fills the exit code. */
AP_MUST_CHECK int tool_attach(const struct tool *t, const char *segment, bool read_only, apiary_t **ret);
/* The same for writing, as a member that calls for `service`; NULL: for none. */
AP_MUST_CHECK int tool_attach_for(const struct tool *t, const char *segment, const char *service, apiary_t **ret);

/* "250ms", "5s", "2m", "1h"; a bare number is milliseconds. 0 or APIARY_EINVAL. */
AP_MUST_CHECK int tool_duration(const char *text, uint64_t *ret);
/* "812 ns", "35.2 us", "1.50 ms", "12.3 s", "4m 10s", "3h 5m" */
const char *tool_format_duration(uint64_t ns, char ret[32]);
const char *tool_format_bytes(uint64_t bytes, char ret[32]);
/* "2025-01-31T12:00:00Z" of CLOCK_REALTIME ns. */
const char *tool_format_time(uint64_t realtime, char ret[32]);

/* "slot-epoch-generation", hexadecimal. */
const char *tool_format_task(apiary_task_t task, char ret[48]);
AP_MUST_CHECK int tool_parse_task(const char *text, apiary_task_t *ret);

/* "error", "warning", "info", "debug": syslog's number, or -1. */
AP_MUST_CHECK int tool_log_level(const char *name);

const char *tool_state_name(int state); /* enum apiary_state */
const char *tool_mode_name(int mode);   /* enum apiary_mode */
const char *tool_member_kind_name(int kind);

/* A text of the segment may hold anything: control bytes and invalid UTF-8 are shown as "\n",
 * "\t" or "\xNN". Free with free(). */
char *tool_printable(const char *text, size_t size);
/* Columns of a terminal that a text of UTF-8 takes, in whatever locale: wide characters have two, combining ones none. */
size_t tool_width(const char *text);
/* Bytes of as much of it as fits in `most` columns, whole characters. How many columns that are is put in *ret_columns; NULL: it is
 * not asked for. */
size_t tool_width_bytes(const char *text, size_t most, size_t *ret_columns);
json_t *tool_json_text(const char *text);
/* The integers of JSON end at 2^63 - 1 here: a greater number becomes a text, with all its digits. */
json_t *tool_json_number(uint64_t n);

/* A table: columns as wide as their widest cell. Cells are copied. On a terminal a row is one line: columns that may be missed
 * are left out, the last one first, and named below the table; of the others the widest are cut and end in "...". Elsewhere, and
 * with --wide, the table is whole.
 * Before the text of a heading: '?' may be left out, '=' is never cut (what is typed again elsewhere), '>' right-aligned, and
 * never cut (numbers).
 * A mark says how a cell of the row added last is shown where the output is a terminal: '!' in red, '+' in green, '~' in
 * yellow. It is no part of the cell's text, which may begin with anything. */
struct tool_table;
struct tool_table *tool_table_new(const char *const *headings); /* ends with NULL */
void tool_table_add(struct tool_table *table, const char *const *cells);
void tool_table_mark(struct tool_table *table, size_t column, char mark);
void tool_table_print(struct tool_table *table, FILE *out); /* and frees it */
/* The same into memory, for standard output later: in its width and colours. */
void tool_table_write(struct tool_table *table, FILE *out);
/* From now on every table of this process is whole. */
void tool_table_wide(void);
bool tool_colours(FILE *out);

/* Prints {"schema": 1, ...} and frees the object. Returns TOOL_OK, or TOOL_FAILED when standard output fails. */
AP_MUST_CHECK int tool_json_print(json_t *object);
AP_MUST_CHECK int tool_json_write(json_t *object, FILE *out);
/* Flushes standard output: TOOL_OK or TOOL_FAILED with a message. */
AP_MUST_CHECK int tool_finish(const struct tool *t, int exit_code);

/* The service manager's protocol, without its library. Does nothing without $NOTIFY_SOCKET. False when the manager is busy: this
 * does not wait, and a caller that needs it tries again. */
bool tool_notify(const char *state);

void tool_print_version(const char *program);

/* Memory in reserve for a thread that must not end its program for want of it, such as one that answers others. It is taken when
 * there is no other: one part by whatever fails well without, jansson's (tool_spare_json), the other by the malloc family below.
 * 1 tool_spare_begin fills it up: false, there is no memory, and what needs some is not to be begun.
 * 2 tool_spare_end: false, it was not begun, or something was lacking, so that what was made meanwhile is not whole.
 * Each thread has its own. It is not touched before it is needed, so it takes no memory but on paper. */
AP_MUST_CHECK bool tool_spare_begin(void);
bool tool_spare_end(void);
void tool_spare_free(void); /* the thread ends */
/* From now on jansson takes from the calling thread's. Before the first use of jansson by another thread. */
void tool_spare_json(void);

/* malloc family for programs: a failure, with the thread's reserve used up or without one, ends the program with a message. */
void *tool_alloc(size_t size);
void *tool_realloc(void *block, size_t size);
char *tool_strdup(const char *text);
void *tool_or_end(void *block); /* of another function's: NULL is such a failure */
char *tool_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *tool_vformat(const char *format, va_list list) __attribute__((format(printf, 1, 0)));

#endif
