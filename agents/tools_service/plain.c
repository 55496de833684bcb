/* agents/tools_service/plain.c - kind "plain_text": what wc and expand do, in UTF-8 whatever the process's locale is.
 *
 *   text_metrics     any bytes -> lines (line feeds), words and bytes, as `wc -lwc` prints them
 *   code_formatting  any bytes -> the same with spaces for tabs, up to the next column that `tab` divides
 * Words are separated by white space of Unicode, spaces that do not break included. A character has the columns that a terminal
 * gives it: two if it is wide, none if it is combining. A byte that is no UTF-8 is part of a word, and has one.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

#define BODY_MOST (64u << 20) /* of a text whose tabs are replaced */

struct plain {
    apiary_agent_t *agent;
    locale_t utf8;
    size_t tab;
};

/* The character at `at` and its bytes; one byte that is no character is L'\xFFFD'. The thread's locale is UTF-8. */
static size_t next_character(const char *at, size_t size, wchar_t *ret)
{
    mbstate_t state = {0};
    unsigned char first = (unsigned char)*at;
    *ret = first;
    if (first < 0x80) return 1;
    size_t n = mbrtowc(ret, at, size, &state);
    if (n != 0 && n <= size) return n;
    *ret = 0xFFFD;
    return 1;
}

static bool separates_words(wchar_t c)
{
    return iswspace((wint_t)c) || c == 0x00A0 || c == 0x2007 || c == 0x202F || c == 0x2060;
}

static void count_text(void *state, apiary_job_t *job)
{
    const struct plain *p = state;
    size_t size, lines = 0, words = 0;
    const char *text = apiary_job_data(job, &size);
    char answer[80];
    bool inside = false;
    locale_t before = uselocale(p->utf8);
    for (size_t at = 0; at < size;) {
        wchar_t c;
        at += next_character(text + at, size - at, &c);
        lines += c == L'\n';
        if (separates_words(c)) {
            inside = false;
        } else if (iswprint((wint_t)c)) {
            words += !inside;
            inside = true;
        }
    }
    uselocale(before);
    int n = snprintf(answer, sizeof answer, "%7zu %7zu %7zu\n", lines, words, size);
    apiary_job_reply(job, answer, (size_t)n);
}

static bool expand(const struct plain *p, const char *text, size_t size, struct ap_bytes *out)
{
    static const char spaces[] = "                                                                ";
    bool added = true;
    for (size_t at = 0, column = 0; at < size && added && out->size <= BODY_MOST;) {
        wchar_t c;
        size_t n = next_character(text + at, size - at, &c);
        if (c == L'\t') {
            size_t more = p->tab - column % p->tab;
            added = ap_bytes_add(out, spaces, more);
            column += more;
        } else {
            int width = wcwidth(c);
            added = ap_bytes_add(out, text + at, n);
            if (c == L'\n' || c == L'\r')
                column = 0;
            else if (c == L'\b')
                column -= column > 0;
            else
                column += width > 0 ? (size_t)width : 0;
        }
        at += n;
    }
    return added;
}

static void format_code(void *state, apiary_job_t *job)
{
    const struct plain *p = state;
    struct ap_bytes body = {.agent = p->agent}, out = {.agent = p->agent};
    size_t size;
    const char *data = apiary_job_data(job, &size);
    bool done = ap_bytes_add(&body, data, size); /* the request may change while it is read twice */
    locale_t before = uselocale(p->utf8);
    if (done) done = expand(p, body.data ? body.data : "", size, &out);
    uselocale(before);
    if (out.size > BODY_MOST)
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "the text would have more than %u bytes without its tabs", BODY_MOST);
    else if (done)
        apiary_job_reply(job, out.data ? out.data : "", out.size);
    else
        ap_out_of_memory(job);
    ap_bytes_free(&body);
    ap_bytes_free(&out);
}

const struct ap_function ap_functions_plain_text[] = {
    {.capability = "text_metrics",
     .bytes = count_text,
     .bound = "one look at the text",
     .again = AP_AGAIN_SAME,
     .send = "é ü\n",
     .answer = "      1       2       6\n"},
    {.capability = "code_formatting",
     .bytes = format_code,
     .bound = "64 MiB of text without its tabs",
     .again = AP_AGAIN_SAME,
     .send = "é	x\n",
     .answer = "é   x\n"},
    {.capability = NULL},
};

static void plain_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_plain_text, state, job);
}

static int plain_create(apiary_agent_t *agent, void **state)
{
    struct plain *p = apiary_agent_alloc(agent, sizeof *p);
    if (!p) return APIARY_ENOBLOCK;
    *p = (struct plain){.agent = agent, .tab = (size_t)apiary_agent_number(agent, "tab", 4)};
    p->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    if (!p->utf8) {
        apiary_agent_log(agent, 3, "plain_text: the locale C.UTF-8 is missing: %s", strerror(errno));
        apiary_agent_free(agent, p);
        return APIARY_ESYS;
    }
    *state = p;
    return 0;
}

static void plain_destroy(void *state)
{
    struct plain *p = state;
    freelocale(p->utf8);
    apiary_agent_free(p->agent, p);
}

static const apiary_agent_key_t keys[] = {
    {"tab", 'i', 0, "columns from one tab stop to the next [4]", 1, 64},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_plain_text = {
    APIARY_AGENT_KIND,
    .name = "plain_text",
    .what = "text_metrics, code_formatting: lines, words and bytes; spaces for tabs, in UTF-8",
    .keys = keys,
    .create = plain_create,
    .handle = plain_handle,
    .destroy = plain_destroy,
    .capabilities = (const char *const[]){"text_metrics", "code_formatting", NULL},
};
