/* agents/ai_service/optimizer.c - kind "ai_optimizer": makes a response shorter without losing anything but repetition.
 *
 *   response_optimization {"text":"...","max_bytes":N} -> {"text":"...","bytes_before":N,"bytes_after":N,"cut":false}
 * White space at line ends, runs of blank lines and lines equal to the one before go; a longer text is then cut at the
 * last word (never inside a UTF-8 character) that fits max_bytes.
 */
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

static size_t trimmed(const char *line, size_t size)
{
    while (size > 0 && strchr(" \t\r", line[size - 1]))
        size--;
    return size;
}

static bool squeeze(const char *text, struct ap_bytes *out)
{
    const char *previous = NULL;
    size_t previous_size = 0;
    while (*text) {
        size_t length = strcspn(text, "\n"), size = trimmed(text, length);
        bool repeated = previous && size == previous_size && memcmp(text, previous, size) == 0;
        if (!repeated && !(size == 0 && out->size == 0)) {
            if ((out->size > 0 && !ap_bytes_add(out, "\n", 1)) || !ap_bytes_add(out, text, size)) return false;
        }
        previous = text;
        previous_size = size;
        text += length + (text[length] == '\n');
    }
    while (out->size > 0 && out->data[out->size - 1] == '\n')
        out->size--;
    return true;
}

static size_t cut_at_word(const char *text, size_t size, size_t most)
{
    size_t end = most;
    if (size <= most) return size;
    while (end > 0 && !strchr(" \n\t", text[end]))
        end--;
    if (end == 0) { /* one long word: at a character then */
        end = most;
        while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
            end--;
    }
    while (end > 0 && strchr(" \n\t", text[end - 1]))
        end--;
    return end;
}

static void optimizer_optimize(void *state, apiary_job_t *job, const json_t *request)
{
    struct ap_bytes out = {.agent = state};
    const char *text;
    int64_t most = INT64_MAX;
    if (!ap_need_text(job, request, "text", &text) || !ap_may_integer(job, request, "max_bytes", 0, INT64_MAX, &most))
        return;
    if (!squeeze(text, &out)) {
        ap_out_of_memory(job);
    } else {
        size_t size = cut_at_word(out.data ? out.data : "", out.size, (size_t)most);
        ap_answer(job, "{s:s%,s:I,s:I,s:b}", "text", out.data ? out.data : "", size, "bytes_before",
                  (json_int_t)strlen(text), "bytes_after", (json_int_t)size, "cut", size < out.size);
    }
    ap_bytes_free(&out);
}

const struct ap_function ap_functions_ai_optimizer[] = {
    {.capability = "response_optimization",
     .call = optimizer_optimize,
     .in = AP_OBJECT("'text'", "'text':{'type':'string'},"
                      "'max_bytes':{'type':'integer','minimum':0}"),
     .out = AP_OBJECT("'text','bytes_before','bytes_after','cut'", "'text':{'type':'string'},"
                      "'bytes_before':{'type':'integer'},"
                      "'bytes_after':{'type':'integer'},"
                      "'cut':{'type':'boolean'}"),
     .bound = "one look at the text",
     .again = AP_AGAIN_SAME,
     .send = "{\"text\":\"One.  \\nOne.\\n\\n\\n\\nTwo three four\",\"max_bytes\":16}",
     .answer = "{\"text\":\"One.\\n\\nTwo three\",\"bytes_before\":29,\"bytes_after\":15,\"cut\":true}"},
    {.capability = NULL},
};

static void optimizer_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_ai_optimizer, state, job);
}

const apiary_agent_kind_t ap_kind_ai_optimizer = {
    APIARY_AGENT_KIND,
    .name = "ai_optimizer",
    .what = "response_optimization: removes repetition and white space, cuts at a word",
    .create = ap_create_plain,
    .handle = optimizer_handle,
    .capabilities = (const char *const[]){"response_optimization", NULL},
};
