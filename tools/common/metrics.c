/* tools/common/metrics.c - see metrics.h. */
#include "tools/common/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "tools/common/common.h"

static const char *const metrics_types[] = {[AP_TYPE_counter] = "counter", [AP_TYPE_gauge] = "gauge",
                                            [AP_TYPE_histogram] = "histogram"};
static const char *const metrics_units[] = {[AP_UNIT_one] = "", [AP_UNIT_bytes] = "bytes", [AP_UNIT_seconds] = "seconds"};

/* ---- a text that grows ------------------------------------------------------------------------------------------ */

static void put_bytes(struct metrics_text *m, const char *bytes, size_t size)
{
    if (m->short_of_memory) return;
    if (m->room - m->size < size) {
        size_t room = 2 * m->room + size + 4096;
        char *more = realloc(m->bytes, room);

        if (more == NULL) {
            m->short_of_memory = true;
            return;
        }
        m->bytes = more;
        m->room = room;
    }
    memcpy(m->bytes + m->size, bytes, size);
    m->size += size;
}

static void put(struct metrics_text *m, const char *text)
{
    put_bytes(m, text, strlen(text));
}

static void put_number(struct metrics_text *m, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do digits[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    put_bytes(m, digits + at, sizeof digits - at);
}

/* With as many decimals as it has; `one`: one at least. */
static void put_seconds(struct metrics_text *m, uint64_t ns, bool one)
{
    char decimals[10];
    size_t n = 9;

    put_number(m, ns / 1000000000);
    ns %= 1000000000;
    if (ns == 0 && one) put(m, ".0");
    if (ns == 0) return;
    decimals[0] = '.';
    for (size_t i = 9; i > 0; i--, ns /= 10) decimals[i] = (char)('0' + ns % 10);
    while (decimals[n] == '0') n--;
    put_bytes(m, decimals, n + 1);
}

static void put_value(struct metrics_text *m, enum ap_counter_unit unit, uint64_t value)
{
    if (unit == AP_UNIT_seconds) put_seconds(m, value, false);
    else put_number(m, value);
}

/* Backslashes and, in a label, quotes are escaped. */
static void put_escaped(struct metrics_text *m, const char *text, bool quotes)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, quotes ? "\\\"" : "\\");

        put_bytes(m, text, plain);
        text += plain;
        if (*text == '\0') break;
        put(m, *text == '\\' ? "\\\\" : "\\\"");
        text++;
    }
}

static bool metrics_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f) return false; /* tool_printable keeps valid UTF-8 */
    return true;
}

static void put_label(struct metrics_text *m, const char *name, const char *value, bool first)
{
    char *shown = metrics_plain(value) ? NULL : tool_printable(value, strlen(value));

    put(m, first ? "{" : ",");
    put(m, name);
    put(m, "=\"");
    put_escaped(m, shown != NULL ? shown : value, true);
    put(m, "\"");
    free(shown);
}

/* ---- families and samples --------------------------------------------------------------------------------------- */

/* The length of the family's name. */
static size_t metrics_family(const struct metrics_text *m, const struct ap_counter *row)
{
    size_t n = strlen(row->name), total = strlen("_total");

    return m->form == METRICS_OPENMETRICS && row->type == AP_TYPE_counter && n > total ? n - total : n;
}

static void put_line(struct metrics_text *m, const char *what, const struct ap_counter *row)
{
    put(m, "# ");
    put(m, what);
    put(m, " ");
    put_bytes(m, row->name, metrics_family(m, row));
    put(m, " ");
}

static void put_head(struct metrics_text *m, const struct ap_counter *row)
{
    put_line(m, "HELP", row);
    put_escaped(m, row->help, m->form == METRICS_OPENMETRICS);
    put(m, "\n");
    put_line(m, "TYPE", row);
    put(m, metrics_types[row->type]);
    put(m, "\n");
    if (m->form != METRICS_OPENMETRICS || row->unit == AP_UNIT_one) return;
    put_line(m, "UNIT", row);
    put(m, metrics_units[row->unit]);
    put(m, "\n");
}

/* The name and all labels but that of a bucket; true: there are some, and the brace is open. */
static bool put_series(struct metrics_text *m, const struct ap_counter *row, const char *suffix,
                       const struct ap_counter_sample *sample)
{
    put(m, row->name);
    put(m, suffix);
    for (uint32_t i = 0; row->labels[i] != NULL; i++) put_label(m, row->labels[i], sample->labels[i], i == 0);
    return row->labels[0] != NULL;
}

static void put_histogram(struct metrics_text *m, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    const struct ap_counter_histogram *h = sample->histogram;
    uint64_t sum = 0;

    for (uint32_t i = 0; i <= h->buckets; i++) {
        sum += h->counts[i];
        put(m, put_series(m, row, "_bucket", sample) ? ",le=\"" : "{le=\"");
        if (i == h->buckets) put(m, "+Inf");
        else if (row->unit == AP_UNIT_seconds) put_seconds(m, h->bounds[i], true);
        else put_number(m, h->bounds[i]);
        if (i < h->buckets && row->unit != AP_UNIT_seconds) put(m, ".0");
        put(m, "\"} ");
        put_number(m, sum);
        put(m, "\n");
    }
    put(m, put_series(m, row, "_sum", sample) ? "} " : " ");
    put_value(m, row->unit, h->sum);
    put(m, "\n");
    put(m, put_series(m, row, "_count", sample) ? "} " : " ");
    put_number(m, sum);
    put(m, "\n");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void json_word(struct metrics_text *m, const char *before, const char *word)
{
    put(m, before);
    put_escaped(m, word, true);
    put(m, "\"");
}

static void json_head(struct metrics_text *m, const struct ap_counter *row)
{
    json_word(m, m->families++ == 0 ? "[{\"name\":\"" : "]},{\"name\":\"", row->name);
    json_word(m, ",\"type\":\"", metrics_types[row->type]);
    json_word(m, ",\"unit\":\"", metrics_units[row->unit]);
    json_word(m, ",\"help\":\"", row->help);
    put(m, ",\"samples\":[");
    m->samples = 0;
}

static void json_histogram(struct metrics_text *m, const struct ap_counter *row, const struct ap_counter_histogram *h)
{
    uint64_t sum = 0;

    put(m, "{\"buckets\":[");
    for (uint32_t i = 0; i <= h->buckets; i++) {
        sum += h->counts[i];
        put(m, i == 0 ? "{\"le\":" : ",{\"le\":");
        if (i < h->buckets) put_value(m, row->unit, h->bounds[i]);
        else put(m, "null");
        put(m, ",\"count\":");
        put_number(m, sum);
        put(m, "}");
    }
    put(m, "],\"count\":");
    put_number(m, sum);
    put(m, ",\"sum\":");
    put_value(m, row->unit, h->sum);
    put(m, "}");
}

static void json_sample(struct metrics_text *m, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    put(m, m->samples++ == 0 ? "{\"labels\":{" : ",{\"labels\":{");
    for (uint32_t i = 0; row->labels[i] != NULL; i++) {
        const char *value = sample->labels[i];
        char *shown = metrics_plain(value) ? NULL : tool_printable(value, strlen(value));

        json_word(m, i == 0 ? "\"" : ",\"", row->labels[i]);
        json_word(m, ":\"", shown != NULL ? shown : value);
        free(shown);
    }
    put(m, "},\"value\":");
    if (sample->histogram != NULL) json_histogram(m, row, sample->histogram);
    else put_value(m, row->unit, sample->value);
    put(m, "}");
}

/* ---- any of them -------------------------------------------------------------------------------------------------- */

int metrics_add(void *user, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    struct metrics_text *m = user;

    if (sample == NULL && m->form == METRICS_JSON) {
        json_head(m, row);
    } else if (sample == NULL) {
        put_head(m, row);
    } else if (m->form == METRICS_JSON) {
        json_sample(m, row, sample);
    } else if (sample->histogram != NULL) {
        put_histogram(m, row, sample);
    } else {
        put(m, put_series(m, row, "", sample) ? "} " : " ");
        put_value(m, row->unit, sample->value);
        put(m, "\n");
    }
    return m->short_of_memory ? APIARY_ENOBLOCK : 0;
}

int metrics_end(struct metrics_text *m)
{
    if (m->form == METRICS_OPENMETRICS) put(m, "# EOF\n");
    if (m->form == METRICS_JSON) put(m, m->families == 0 ? "[]" : "]}]");
    return m->short_of_memory ? APIARY_ENOBLOCK : 0;
}

int metrics_take(const struct ap_segment *seg, const char *names, struct metrics_text *ret)
{
    struct ap_counters *c = NULL;
    int rc = ap_counters_take_of(seg, names, &c);

    if (rc == 0) rc = ap_counters_each(c, metrics_add, ret);
    if (rc == 0) rc = metrics_end(ret);
    ap_counters_free(c);
    return rc;
}
