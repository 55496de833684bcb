/* tests/unit/test_metrics.c - the texts and the JSON of what is counted: escapes, seconds, histograms, the end of OpenMetrics. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/apiary.h"
#include "tools/common/metrics.h"

TestSuite(metrics, .timeout = TEST_LIMIT);

static char *said(enum metrics_form form, const struct ap_counter *row, const struct ap_counter_sample *sample)
{
    struct metrics_text m = {.form = form};

    cr_assert_eq(metrics_add(&m, row, NULL), 0);
    if (sample != NULL) cr_assert_eq(metrics_add(&m, row, sample), 0);
    cr_assert_eq(metrics_end(&m), 0);
    m.bytes = realloc(m.bytes, m.size + 1);
    m.bytes[m.size] = '\0';
    return m.bytes;
}

static void says(enum metrics_form form, const struct ap_counter *row, const struct ap_counter_sample *sample, const char *expected)
{
    char *text = said(form, row, sample);

    cr_assert_str_eq(text, expected);
    free(text);
}

static const struct ap_counter counter = {"a_total", "What \\ is \"said\"", AP_TYPE_counter, AP_UNIT_one, {"x", "y"}};
static const struct ap_counter span = {"a_seconds", "Time", AP_TYPE_gauge, AP_UNIT_seconds, {NULL}};

Test(metrics, labels_are_escaped)
{
    const struct ap_counter_sample s = {.labels = {"a\\b\"c\nd", "\x80 e"}, .value = UINT64_MAX - 1};

    says(METRICS_PROMETHEUS, &counter, &s,
         "# HELP a_total What \\\\ is \"said\"\n# TYPE a_total counter\n"
         "a_total{x=\"a\\\\b\\\"c\\\\nd\",y=\"\\\\x80 e\"} 18446744073709551614\n");
}

Test(metrics, openmetrics_has_families_units_and_an_end)
{
    const struct ap_counter_sample s = {.labels = {"1", ""}, .value = 0};

    says(METRICS_OPENMETRICS, &counter, &s,
         "# HELP a What \\\\ is \\\"said\\\"\n# TYPE a counter\na_total{x=\"1\",y=\"\"} 0\n# EOF\n");
    says(METRICS_OPENMETRICS, &span, NULL, "# HELP a_seconds Time\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# EOF\n");
}

Test(metrics, seconds_are_exact)
{
    static const struct {
        uint64_t ns;
        const char *text;
    } rows[] = {{0, "0"},
                {1, "0.000000001"},
                {1000000000, "1"},
                {1500000000, "1.5"},
                {1020000300, "1.0200003"},
                {UINT64_C(1764000000123456789), "1764000000.123456789"}};
    char expected[128];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct ap_counter_sample s = {.value = rows[i].ns};

        snprintf(expected, sizeof expected, "# HELP a_seconds Time\n# TYPE a_seconds gauge\na_seconds %s\n", rows[i].text);
        says(METRICS_PROMETHEUS, &span, &s, expected);
    }
}

static const uint64_t bounds[] = {1000, UINT64_C(1000000000)}, counts[] = {2, 0, 5};
static const struct ap_counter_histogram hist = {bounds, counts, 2, 5500000000};

Test(metrics, a_histogram_adds_up)
{
    static const struct ap_counter row = {"b_seconds", "Time", AP_TYPE_histogram, AP_UNIT_seconds, {"x"}};
    static const struct ap_counter bare = {"c_bytes", "Size", AP_TYPE_histogram, AP_UNIT_bytes, {NULL}};
    const struct ap_counter_sample s = {.labels = {"1"}, .histogram = &hist};

    says(METRICS_PROMETHEUS, &row, &s,
         "# HELP b_seconds Time\n# TYPE b_seconds histogram\nb_seconds_bucket{x=\"1\",le=\"0.000001\"} 2\n"
         "b_seconds_bucket{x=\"1\",le=\"1.0\"} 2\nb_seconds_bucket{x=\"1\",le=\"+Inf\"} 7\nb_seconds_sum{x=\"1\"} 5.5\n"
         "b_seconds_count{x=\"1\"} 7\n");
    says(METRICS_PROMETHEUS, &bare, &s,
         "# HELP c_bytes Size\n# TYPE c_bytes histogram\nc_bytes_bucket{le=\"1000.0\"} 2\nc_bytes_bucket{le=\"1000000000.0\"} 2\n"
         "c_bytes_bucket{le=\"+Inf\"} 7\nc_bytes_sum 5500000000\nc_bytes_count 7\n");
}

/* What promtool asks of names, and what a reader of this table relies on. */
Test(metrics, names_are_as_prometheus_wants_them)
{
    struct ap_counter row, other;

    for (size_t i = 0; ap_counter_at(i, &row); i++) {
        size_t n = strlen(row.name), total = strlen("_total");
        bool ends = n > total && strcmp(row.name + n - total, "_total") == 0;

        cr_expect_eq(ends, row.type == AP_TYPE_counter, "%s", row.name);
        cr_expect_eq(strncmp(row.name, "apiary_", 7), 0, "%s", row.name);
        cr_expect(row.unit != AP_UNIT_seconds || strstr(row.name, "_seconds") != NULL, "%s", row.name);
        cr_expect(row.unit != AP_UNIT_bytes || strstr(row.name, "_bytes") != NULL, "%s", row.name);
        cr_expect_gt(strlen(row.help), 0, "%s", row.name);
        for (int a = 0; row.labels[a] != NULL; a++)
            for (int b = 0; b < a; b++) cr_expect_str_neq(row.labels[a], row.labels[b], "%s", row.name);
        for (size_t k = 0; k < i && ap_counter_at(k, &other); k++) { /* OpenMetrics calls a counter by its name without _total */
            size_t m = strlen(other.name) - (other.type == AP_TYPE_counter ? total : 0);

            cr_expect(m != n - (ends ? total : 0) || strncmp(row.name, other.name, m) != 0, "%s, %s", row.name, other.name);
        }
    }
}

Test(metrics, json_is_a_list_of_families)
{
    const uint64_t edges[] = {1024, 2048}, numbers[] = {1, 0, 2};
    const struct ap_counter_histogram h = {edges, numbers, 2, 1500000000};
    const struct ap_counter_sample s = {.labels = {"a\\b\"c\nd", "\x80 e"}, .value = 7}, t = {.histogram = &h};
    const struct ap_counter times = {"t_seconds", "Time", AP_TYPE_histogram, AP_UNIT_seconds, {NULL}};
    struct metrics_text m = {.form = METRICS_JSON};

    cr_assert_eq(metrics_add(&m, &counter, NULL), 0);
    cr_assert_eq(metrics_add(&m, &counter, &s), 0);
    cr_assert_eq(metrics_add(&m, &counter, &s), 0);
    cr_assert_eq(metrics_add(&m, &times, NULL), 0);
    cr_assert_eq(metrics_add(&m, &times, &t), 0);
    cr_assert_eq(metrics_end(&m), 0);
    m.bytes = realloc(m.bytes, m.size + 1);
    m.bytes[m.size] = '\0';
    cr_expect_str_eq(m.bytes,
                     "[{\"name\":\"a_total\",\"type\":\"counter\",\"unit\":\"\","
                     "\"help\":\"What \\\\ is \\\"said\\\"\",\"samples\":["
                     "{\"labels\":{\"x\":\"a\\\\b\\\"c\\\\nd\",\"y\":\"\\\\x80 e\"},\"value\":7},"
                     "{\"labels\":{\"x\":\"a\\\\b\\\"c\\\\nd\",\"y\":\"\\\\x80 e\"},\"value\":7}]},"
                     "{\"name\":\"t_seconds\",\"type\":\"histogram\",\"unit\":\"seconds\",\"help\":\"Time\",\"samples\":["
                     "{\"labels\":{},\"value\":{\"buckets\":[{\"le\":0.000001024,\"count\":1},{\"le\":0.000002048,\"count\":1},"
                     "{\"le\":null,\"count\":3}],\"count\":3,\"sum\":1.5}}]}]");
    free(m.bytes);
    m = (struct metrics_text){.form = METRICS_JSON};
    cr_assert_eq(metrics_end(&m), 0);
    cr_expect_eq(strncmp(m.bytes, "[]", m.size), 0);
    free(m.bytes);
}
