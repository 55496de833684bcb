/* agents/interface_service/text.c - kind "text": texts for a page.
 *
 *   html_escaping       any bytes -> the same with & < > " ' as entities
 *   template_rendering  {"template":"Dear {{name}}","values":{"name":"A & B"}} -> the text: each {{member}} replaced by the
 *                       escaped value ({{{member}}}: as it is). Texts, numbers and true/false; a missing member fails the task.
 *                       The text has at most 16 MiB.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

#define OUTPUT_MOST (16u << 20) /* of a template; one value more may follow */

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static bool add_escaped(struct ap_bytes *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char *as = entity(text[i]);
        if (as ? !ap_bytes_text(out, as) : !ap_bytes_add(out, text + i, 1)) return false;
    }
    return true;
}

static void text_escape(void *state, apiary_job_t *job)
{
    struct ap_bytes out = {.agent = state};
    size_t size;
    const char *body = apiary_job_data(job, &size);
    if (add_escaped(&out, body, size))
        apiary_job_reply(job, out.data ? out.data : "", out.size);
    else
        ap_out_of_memory(job);
    ap_bytes_free(&out);
}

static bool text_add_value(struct ap_bytes *out, const json_t *value, bool as_it_is)
{
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t size = json_string_length(value);
        return as_it_is ? ap_bytes_add(out, text, size) : add_escaped(out, text, size);
    }
    char *text = ap_json_text(value);
    bool added = text && ap_bytes_text(out, text);
    free(text);
    return added;
}

/* Renders one {{...}} that begins at `at`; returns what comes after it, or NULL: the job is failed. */
static const char *add_member(apiary_job_t *job, struct ap_bytes *out, const char *at, const json_t *values)
{
    bool as_it_is = at[2] == '{';
    const char *name = at + (as_it_is ? 3 : 2), *close = as_it_is ? "}}}" : "}}", *end = strstr(name, close);
    if (!end || end == name) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the template has a {{ without its }}, or an empty name in it");
        return NULL;
    }
    const json_t *value = json_object_getn(values, name, (size_t)(end - name));
    if (!json_is_string(value) && !json_is_number(value) && !json_is_boolean(value)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%.*s\" has no value that is a text, a number, true or false",
                        (int)(end - name), name);
        return NULL;
    }
    if (!text_add_value(out, value, as_it_is)) {
        ap_out_of_memory(job);
        return NULL;
    }
    return end + strlen(close);
}

static void render(void *state, apiary_job_t *job, const json_t *request)
{
    struct ap_bytes out = {.agent = state};
    const char *at, *open;
    const json_t *values;
    if (!ap_need_text(job, request, "template", &at) || !ap_need_object(job, request, "values", &values)) return;
    while (at && (open = strstr(at, "{{")) != NULL) {
        if (!ap_bytes_add(&out, at, (size_t)(open - at))) {
            ap_out_of_memory(job);
            at = NULL;
        } else if (out.size > OUTPUT_MOST) {
            apiary_job_fail(job, AP_CODE_TOO_LARGE, "the text has more than %u bytes", OUTPUT_MOST);
            at = NULL;
        } else {
            at = add_member(job, &out, open, values);
        }
    }
    if (at && ap_bytes_text(&out, at))
        apiary_job_reply(job, out.data ? out.data : "", out.size);
    else if (at)
        ap_out_of_memory(job);
    ap_bytes_free(&out);
}

const struct ap_function ap_functions_text[] = {
    {.capability = "html_escaping",
     .bytes = text_escape,
     .bound = "six bytes for one",
     .again = AP_AGAIN_SAME,
     .send = "<a href=\"x\">",
     .answer = "&lt;a href=&quot;x&quot;&gt;"},
    {.capability = "template_rendering",
     .call = render,
     .in = AP_OBJECT("'template','values'", "'template':{'type':'string'},"
                      "'values':{'type':'object','additionalProperties':{}}"),
     .bound = "16 MiB",
     .again = AP_AGAIN_SAME,
     .send = "{\"template\":\"<p>{{name}}</p>\",\"values\":{\"name\":\"Hive <1>\"}}",
     .answer = "<p>Hive &lt;1&gt;</p>"},
    {.capability = NULL},
};

static void text_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_text, state, job);
}

const apiary_agent_kind_t ap_kind_text = {
    APIARY_AGENT_KIND,
    .name = "text",
    .what = "html_escaping, template_rendering",
    .create = ap_create_plain,
    .handle = text_handle,
    .capabilities = (const char *const[]){"html_escaping", "template_rendering", NULL},
};
