/* agents/tools_service/code.c - kind "code_metrics": counts over a source text.
 *
 *   code_analysis {"language":"c","source":"..."} -> {"lines":N,"blank":N,"comment":N,"code":N,"longest_line":N,"deepest":N,
 *                 "balanced":true}
 * Languages: c (// and block comments, "..." and '...' literals; deepest: of braces) and hash (# comments, as in shell, Python,
 * Elixir; deepest: of indentation, in steps of its smallest one). A line with code and a comment counts as code. In c a
 * backslash at the end of a line continues a literal and a // comment; what ends in the middle of a literal is not balanced.
 * Raw strings of C++ and literals that span lines of their own (Python's triple quotes) are not known to it.
 */
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

struct metrics {
    json_int_t lines, blank, comment, code, longest, deepest;
    json_int_t depth; /* c */
    size_t step;      /* hash: the smallest indentation seen */
    size_t most_indent;
    bool in_block, unbalanced;
    char literal; /* the quote of one that a backslash at the end of its line continues, or '/' of such a comment; 0: none */
};

/* Behind the literal, or at the end of the line, which may continue it. */
static size_t skip_literal(struct metrics *m, const char *line, size_t at, size_t size)
{
    while (at < size && line[at] != m->literal)
        at += line[at] == '\\' ? 2 : 1;
    if (at <= size) m->literal = 0; /* else the last byte is a backslash */
    return at + 1;
}

static bool word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A number, with its separators (1'000, C23) and suffixes, or a word. */
static size_t skip_word(const char *line, size_t at, size_t size)
{
    bool number = line[at] >= '0' && line[at] <= '9';
    while (at < size && (word_byte(line[at]) ||
                         (number && line[at] == '\'' && at + 1 < size && word_byte(line[at + 1]))))
        at++;
    return at;
}

/* One line of c: whether it has code and whether it has a comment. */
static void scan_c(struct metrics *m, const char *line, size_t size, bool *code, bool *comment)
{
    if (size > 0 && line[size - 1] == '\r') size--;
    for (size_t at = 0; at < size;) {
        if (m->literal == '/') {
            *comment = true;
            at = size;
        } else if (m->literal) {
            *code = true;
            at = skip_literal(m, line, at, size);
        } else if (m->in_block) {
            *comment = true;
            const char *end = memmem(line + at, size - at, "*/", 2);
            m->in_block = !end;
            at = end ? (size_t)(end - line) + 2 : size;
        } else if (at + 1 < size && line[at] == '/' && (line[at + 1] == '/' || line[at + 1] == '*')) {
            *comment = true;
            m->in_block = line[at + 1] == '*';
            if (!m->in_block) m->literal = '/';
            at = m->in_block ? at + 2 : size;
        } else if (line[at] == '"' || line[at] == '\'') {
            *code = true;
            m->literal = line[at];
            at = skip_literal(m, line, at + 1, size);
        } else if (word_byte(line[at])) {
            *code = true;
            at = skip_word(line, at, size);
        } else {
            *code |= line[at] != ' ' && line[at] != '\t' && line[at] != '\r';
            m->depth += (line[at] == '{') - (line[at] == '}');
            if (m->depth > m->deepest) m->deepest = m->depth;
            m->unbalanced |= m->depth < 0;
            at++;
        }
    }
    if (size == 0 || (m->literal == '/' && line[size - 1] != '\\')) m->literal = 0;
}

static void scan_hash(struct metrics *m, const char *line, size_t size, bool *code, bool *comment)
{
    size_t indent = 0;
    while (indent < size && (line[indent] == ' ' || line[indent] == '\t'))
        indent++;
    if (indent == size || line[indent] == '\r') return;
    *comment = line[indent] == '#';
    *code = !*comment;
    if (!*code || indent == 0) return;
    if (m->step == 0 || indent < m->step) m->step = indent;
    if (indent > m->most_indent) m->most_indent = indent;
}

static void code_analyse(void *state, apiary_job_t *job, const json_t *request)
{
    const char *language, *at;
    struct metrics m = {0};
    (void)state;
    if (!ap_need_text(job, request, "language", &language) || !ap_need_text(job, request, "source", &at)) return;
    bool c = strcmp(language, "c") == 0;
    if (!c && strcmp(language, "hash") != 0) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"language\" is \"%s\"; c and hash are known", language);
        return;
    }
    while (*at) {
        size_t size = strcspn(at, "\n");
        bool code = false, comment = false;
        (c ? scan_c : scan_hash)(&m, at, size, &code, &comment);
        m.lines++;
        m.code += code;
        m.comment += !code && comment;
        m.blank += !code && !comment;
        if ((json_int_t)size > m.longest) m.longest = (json_int_t)size;
        at += size + (at[size] == '\n');
    }
    if (!c && m.step > 0) m.deepest = (json_int_t)(m.most_indent / m.step);
    ap_answer(job, "{s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "lines", m.lines, "blank", m.blank, "comment", m.comment, "code",
              m.code, "longest_line", m.longest, "deepest", m.deepest, "balanced",
              m.depth == 0 && !m.unbalanced && !m.in_block && !m.literal);
}

const struct ap_function ap_functions_code_metrics[] = {
    {.capability = "code_analysis",
     .call = code_analyse,
     .in = AP_OBJECT("'language','source'", "'language':{'enum':['c','hash']},"
                      "'source':{'type':'string'}"),
     .out = AP_OBJECT("'lines','blank','comment','code','longest_line','deepest',"
           "'balanced'", "'lines':{'type':'integer'},"
                      "'blank':{'type':'integer'},"
                      "'comment':{'type':'integer'},"
                      "'code':{'type':'integer'},"
                      "'longest_line':{'type':'integer'},"
                      "'deepest':{'type':'integer'},"
                      "'balanced':{'type':'boolean'}"),
     .bound = "one look at the source",
     .again = AP_AGAIN_SAME,
     .send = "{\"language\":\"c\",\"source\":\"int f(void)\\n{\\n}\\n\"}",
     .answer = "{\"lines\":3,\"blank\":0,\"comment\":0,\"code\":3,\"longest_line\":11,\"deepest\":1,\"balanced\":true}"},
    {.capability = NULL},
};

static void code_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_code_metrics, state, job);
}

const apiary_agent_kind_t ap_kind_code_metrics = {
    APIARY_AGENT_KIND,
    .name = "code_metrics",
    .what = "code_analysis: lines of code, comment and nothing, nesting, balance",
    .create = ap_create_plain,
    .handle = code_handle,
    .capabilities = (const char *const[]){"code_analysis", NULL},
};
