/* tools/view/past.c - see past.h. */
#include "tools/view/past.h"

#include <stdlib.h>
#include <string.h>

#define MSEC UINT64_C(1000000)

struct past_json {
    const struct view_past *asked;
    json_t *rows, *steps, *gaps;
    struct row_number {
        struct past_name name;
        json_int_t number;
    } *numbers; /* of the rows that were told, by name */
    size_t count, room;
    uint64_t told;  /* rows of all steps */
    int64_t next;   /* ms; 0: that is all */
    int64_t last;   /* the end of the last step that was told */
};

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static json_t *name_json(const struct past_name *name)
{
    json_t *o = json_object();

    if (name->kind == PAST_PAIR) json_object_set_new(o, "caller", tool_json_text(name->of));
    json_object_set_new(o, "service", tool_json_text(name->service));
    if (name->kind == PAST_AGENT) json_object_set_new(o, "instance", tool_json_text(name->of));
    if (name->kind != PAST_SERVICE)
        json_object_set_new(o, name->kind == PAST_AGENT ? "agent" : "capability", tool_json_text(name->what));
    return o;
}

/* The row's number in the answer, where it is told when it is met first. */
static json_int_t row_number(struct past_json *j, const struct past_name *name)
{
    size_t low = 0, high = j->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (past_name_compare(&j->numbers[mid].name, name) < 0) low = mid + 1;
        else high = mid;
    }
    if (low < j->count && past_name_compare(&j->numbers[low].name, name) == 0) return j->numbers[low].number;
    if (j->count == j->room) {
        j->room = j->room > 0 ? 2 * j->room : 64;
        j->numbers = tool_realloc(j->numbers, j->room * sizeof *j->numbers);
    }
    memmove(&j->numbers[low + 1], &j->numbers[low], (j->count - low) * sizeof *j->numbers);
    j->numbers[low] = (struct row_number){*name, (json_int_t)j->count++};
    json_array_append_new(j->rows, name_json(name));
    return j->numbers[low].number;
}

/* [bucket, how many, bucket, ...] */
static void set_buckets(json_t *o, const char *key, const struct ap_spread *s)
{
    json_t *list;

    if (s->count == 0) return;
    list = json_array();
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) {
        if (s->buckets[i] == 0) continue;
        json_array_append_new(list, json_integer((json_int_t)i));
        json_array_append_new(list, tool_json_number(s->buckets[i]));
    }
    json_object_set_new(o, key, list);
}

static json_t *row_json(struct past_json *j, const struct past_row *row)
{
    json_t *o = json_object();

    json_object_set_new(o, "row", json_integer(row_number(j, &row->name)));
    for (int i = 0; i < PAST_FIELDS; i++)
        if (i < PAST_FIRST_GAUGE ? row->numbers[i] != 0 : row->numbers[i] != PAST_UNKNOWN)
            json_object_set_new(o, past_field_names[i], tool_json_number(row->numbers[i]));
    set_buckets(o, "waited", &row->waited);
    set_buckets(o, "ran", &row->ran);
    return o;
}

/* ---- what is read --------------------------------------------------------------------------------------------------- */

static bool past_json_step(void *user, const struct past_step *step)
{
    struct past_json *j = user;
    json_t *rows;

    if (json_array_size(j->steps) == j->asked->most || (j->told > 0 && j->told + step->count > VIEW_PAST_ROWS)) {
        j->next = j->last;
        return false;
    }
    rows = json_array();
    for (size_t i = 0; i < step->count; i++) json_array_append_new(rows, row_json(j, &step->rows[i]));
    json_array_append_new(j->steps, json_pack("{s:I, s:I, s:o}", "at_ms", (json_int_t)step->at, "watched_ms",
                                              (json_int_t)step->watched, "rows", rows));
    j->told += step->count;
    j->last = step->at;
    return true;
}

static void past_json_gap(void *user, const struct past_gap *gap)
{
    struct past_json *j = user;

    json_array_append_new(j->gaps, json_pack("{s:I, s:I}", "from_ms", (json_int_t)gap->from, "to_ms", (json_int_t)gap->to));
}

static json_t *edges_json(void)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) json_array_append_new(list, tool_json_number(ap_spread_lower(i)));
    return list;
}

void view_past_wanted(const struct view_past *asked, struct past_wanted *ret)
{
    uint64_t until = asked->until != 0 ? asked->until : ap_ops_system.realtime();
    uint64_t since = asked->since != 0 ? asked->since : until > VIEW_PAST_WINDOW ? until - VIEW_PAST_WINDOW : 0;
    uint64_t step = asked->step / MSEC;

    *ret = (struct past_wanted){.since = (int64_t)(since / MSEC), .until = (int64_t)(until / MSEC), .kind = asked->kind,
                                .service = asked->service};
    if (ret->until < ret->since) ret->until = ret->since;
    ret->step = past_step_width(step < INT64_C(1) << 40 ? (int64_t)step : INT64_C(1) << 40, ret->until - ret->since);
    ret->after = asked->after <= INT64_MAX ? (int64_t)asked->after : INT64_MAX;
}

static json_t *moment_json(int64_t ms)
{
    return ms != 0 ? json_integer((json_int_t)ms) : json_null();
}

json_t *view_past_json(const char *segment, const char *folder, const struct view_past *asked, char why[HISTORY_WHY])
{
    struct past_json j = {.asked = asked, .rows = json_array(), .steps = json_array(), .gaps = json_array()};
    const struct past_reader reader = {past_json_step, past_json_gap, &j};
    struct past_wanted wanted;
    struct past_told told = {.first = 0};
    int rc = 0;

    *why = '\0';
    view_past_wanted(asked, &wanted);
    wanted.most_rows = asked->most_rows;
    wanted.most_bytes = VIEW_PAST_BYTES;
    if (folder != NULL) rc = past_read(folder, &wanted, &reader, &told, why);
    free(j.numbers);
    if (j.next == 0) j.next = told.next;
    if (rc == PAST_WIDE) {
        json_decref(j.rows);
        json_decref(j.steps);
        json_decref(j.gaps);
        return NULL;
    }
    return json_pack("{s:s, s:s?, s:s?, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "segment", segment, "kept_in",
                     rc > 0 ? folder : NULL, "why", *why != '\0' ? why : NULL, "since_ms", (json_int_t)wanted.since, "until_ms",
                     (json_int_t)wanted.until, "step_ms", (json_int_t)(told.step != 0 ? told.step : wanted.step), "first_ms",
                     moment_json(told.first), "last_ms", moment_json(told.last), "edges_ns", edges_json(), "gaps", j.gaps, "rows",
                     j.rows, "steps", j.steps, "next", moment_json(j.next));
}
