/* agents/interface_service/convert.c - kind "convert": CSV (RFC 4180) to JSON and back.
 *
 *   format_conversion {"from":"csv","to":"json","text":"a,b\r\n1,2"}  -> {"rows":[{"a":"1","b":"2"}]}
 *                     {"from":"json","to":"csv","rows":[{"a":1,"b":"x,y"}]} -> {"text":"a,b\r\n1,\"x,y\"\r\n"}
 * The first CSV row names the members, each once. Rows end with CR LF, LF or CR; lines with nothing are no rows, and a byte order
 * mark at the front is no part of the first name. From JSON the first row's members are the columns; others that a row has are
 * refused, since they would be lost. A row of one empty field is written "", since a line with nothing is no row.
 */
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { ROWS_MOST = 100000, COLUMNS_MOST = 1000 };
#define NAMES_MOST (64u << 20) /* bytes: the columns' names, as each row of the answer repeats them */

/* ---- from CSV ---------------------------------------------------------------------------------------------------- */

/* Reads one field (and the separator after it) to `field`. Returns what comes after it, or NULL: a quote is not closed. */
static const char *next_field(const char *at, struct ap_bytes *field, bool *row_ends, bool *full)
{
    field->size = 0;
    if (*at == '"') {
        for (at++; *at && !(at[0] == '"' && at[1] != '"'); at++) {
            at += *at == '"'; /* of a doubled quote the second */
            *full |= !ap_bytes_add(field, at, 1);
        }
        if (!*at) return NULL;
        at++;
    }
    for (; *at && *at != ',' && *at != '\n' && *at != '\r'; at++)
        *full |= !ap_bytes_add(field, at, 1);
    *row_ends = *at != ',';
    at += at[0] == '\r' && at[1] == '\n';
    return at + (*at != '\0');
}

/* One row as a list of texts; *at moves on. NULL: the job is failed. */
static json_t *next_row(apiary_job_t *job, const char **at, struct ap_bytes *field)
{
    json_t *row = json_array();
    bool ends = false, full = false;
    while (!ends) {
        *at = next_field(*at, field, &ends, &full);
        json_t *text = *at && !full ? json_stringn(field->data ? field->data : "", field->size) : NULL;
        if (!text || json_array_size(row) >= COLUMNS_MOST) {
            json_decref(row);
            json_decref(text);
            if (full)
                ap_out_of_memory(job);
            else
                apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                                "a quote is not closed, a field is not UTF-8, or there are more than "
                                "%d columns",
                                COLUMNS_MOST);
            return NULL;
        }
        json_array_append_new(row, text);
    }
    return row;
}

static const char *skip_empty_lines(const char *at)
{
    return at + strspn(at, "\r\n");
}

/* false: a column's name stands there twice, so that one of them would be lost; the job is failed. */
static bool names_differ(apiary_job_t *job, const json_t *names)
{
    json_t *seen = json_object(), *name;
    size_t i;
    bool differ = true;
    json_array_foreach(names, i, name)
    {
        differ = !json_object_get(seen, json_string_value(name));
        if (!differ) break;
        json_object_set_new(seen, json_string_value(name), json_true());
    }
    json_decref(seen);
    if (!differ)
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the first row names the column \"%s\" twice", json_string_value(name));
    return differ;
}

static json_t *name_fields(const json_t *names, const json_t *row)
{
    json_t *object = json_object();
    size_t i;
    json_t *value;
    json_array_foreach(row, i, value) json_object_set(object, json_string_value(json_array_get(names, i)), value);
    return object;
}

static void from_csv(apiary_agent_t *agent, apiary_job_t *job, const json_t *request)
{
    struct ap_bytes field = {.agent = agent};
    const char *at;
    if (!ap_need_text(job, request, "text", &at)) return;
    if (strncmp(at, "\xEF\xBB\xBF", 3) == 0) at += 3;
    at = skip_empty_lines(at);
    const char *start = at;
    json_t *rows = json_array(), *names = *at ? next_row(job, &at, &field) : json_array();
    bool failed = !names || !names_differ(job, names);
    size_t named = (size_t)(at ? at - start : 0);
    while (!failed && *(at = skip_empty_lines(at))) {
        json_t *row = next_row(job, &at, &field);
        if (!row) {
            failed = true; /* as next_row has said; `at` is nowhere any more */
        } else if (json_array_size(row) != json_array_size(names) || json_array_size(rows) >= ROWS_MOST) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                            "row %zu has %zu fields, the first has %zu (and %d rows are allowed)",
                            json_array_size(rows) + 2, json_array_size(row), json_array_size(names), ROWS_MOST);
            failed = true;
        } else if ((size_t)(json_array_size(rows) + 1) * named > NAMES_MOST) {
            apiary_job_fail(job, AP_CODE_TOO_LARGE, "the names of the columns, in each row, have more than %u bytes", NAMES_MOST);
            failed = true;
        } else {
            json_array_append_new(rows, name_fields(names, row));
        }
        json_decref(row);
    }
    if (!failed) ap_answer(job, "{s:O}", "rows", rows);
    json_decref(rows);
    json_decref(names);
    ap_bytes_free(&field);
}

/* ---- to CSV ------------------------------------------------------------------------------------------------------ */

static bool add_field(struct ap_bytes *out, const char *text, bool first)
{
    if (!first && !ap_bytes_text(out, ",")) return false;
    if (!strpbrk(text, ",\"\r\n")) return ap_bytes_text(out, text);
    bool added = ap_bytes_text(out, "\"");
    for (; added && *text; text++)
        added = (*text != '"' || ap_bytes_text(out, "\"")) && ap_bytes_add(out, text, 1);
    return added && ap_bytes_text(out, "\"");
}

static bool convert_add_value(struct ap_bytes *out, const json_t *value, bool first)
{
    if (!value || json_is_null(value)) return add_field(out, "", first);
    if (json_is_string(value)) return add_field(out, json_string_value(value), first);
    char *text = ap_json_text(value);
    bool added = text && add_field(out, text, first);
    free(text);
    return added;
}

static bool add_row(struct ap_bytes *out, const json_t *columns, const json_t *row)
{
    const char *name;
    json_t *unused;
    bool added = true, first = true;
    if (json_object_size(columns) == 1 && row) {
        const json_t *value = json_object_get(row, json_object_iter_key(json_object_iter((json_t *)columns)));
        if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
            return ap_bytes_text(out, "\"\"\r\n");
    }
    json_object_foreach((json_t *)columns, name, unused)
    {
        added = added && (row ? convert_add_value(out, json_object_get(row, name), first) : add_field(out, name, first));
        first = false;
    }
    return added && ap_bytes_text(out, "\r\n");
}

/* NULL, or a member that the columns do not have. */
static const char *stranger(const json_t *columns, const json_t *row)
{
    const char *name;
    json_t *unused;
    json_object_foreach((json_t *)row, name, unused) if (!json_object_get(columns, name)) return name;
    return NULL;
}

static void to_csv(apiary_agent_t *agent, apiary_job_t *job, const json_t *request)
{
    struct ap_bytes out = {.agent = agent};
    const json_t *rows, *columns;
    json_t *row;
    size_t i;
    if (!ap_need_array(job, request, "rows", ROWS_MOST, &rows)) return;
    columns = json_array_get(rows, 0);
    json_array_foreach(rows, i, row)
    {
        const char *name = json_is_object(row) ? stranger(columns, row) : "";
        if (name) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                            "row %zu is not an object, or has a member \"%s\" that the first has not", i + 1, name);
            return;
        }
    }
    bool added = !columns || add_row(&out, columns, NULL);
    json_array_foreach(rows, i, row) added = added && add_row(&out, columns, row);
    if (added)
        ap_answer(job, "{s:s%}", "text", out.data ? out.data : "", out.size);
    else
        ap_out_of_memory(job);
    ap_bytes_free(&out);
}

static void convert(void *state, apiary_job_t *job, const json_t *request)
{
    const char *from, *to;
    if (!ap_need_text(job, request, "from", &from) || !ap_need_text(job, request, "to", &to)) return;
    if (strcmp(from, "csv") == 0 && strcmp(to, "json") == 0)
        from_csv(state, job, request);
    else if (strcmp(from, "json") == 0 && strcmp(to, "csv") == 0)
        to_csv(state, job, request);
    else
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "from %s to %s is not supported; csv to json and json to csv are", from,
                        to);
}

const struct ap_function ap_functions_convert[] = {
    {.capability = "format_conversion",
     .call = convert,
     .in = "{'oneOf':["
           AP_OBJECT("'from','to','text'", "'from':{'const':'csv'},"
                      "'to':{'const':'json'},"
                      "'text':{'type':'string'}") ","
           AP_OBJECT("'from','to','rows'", "'from':{'const':'json'},"
                      "'to':{'const':'csv'},"
                      "'rows':{'type':'array','items':{'type':'object'},'maxItems':100000}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "100000 rows, 1000 columns, 64 MiB of names",
     .again = AP_AGAIN_SAME,
     .send = "{\"from\":\"csv\",\"to\":\"json\",\"text\":\"name,cells\\nhive,7\\n\"}",
     .answer = "{\"rows\":[{\"name\":\"hive\",\"cells\":\"7\"}]}"},
    {.capability = NULL},
};

static void convert_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_convert, state, job);
}

const apiary_agent_kind_t ap_kind_convert = {
    APIARY_AGENT_KIND,
    .name = "convert",
    .what = "format_conversion: CSV to JSON and back",
    .create = ap_create_plain,
    .handle = convert_handle,
    .capabilities = (const char *const[]){"format_conversion", NULL},
};
