/* tools/history/past_code.c - rows of the past, added up, and as bytes. See past.h.
 *
 * A row is: its number, the size of the following, {field + 1, value} of each field that is not 0 (of a gauge: value + 1, unless it
 * is not known), 0; then of each histogram how many buckets are not empty, {distance from the one before, tasks} of each, and the
 * sum, which is left out where there are none. All are whole numbers of seven bits a byte, the lowest first.
 */
#include "tools/history/past.h"

#include <stdlib.h>
#include <string.h>

#include "tools/common/common.h"

const struct past_level past_levels[PAST_LEVEL_COUNT] = {
#define X(width, kept) {width, kept},
    PAST_LEVELS(X)
#undef X
};
const char *const past_field_names[PAST_FIELDS] = {
#define X(id, name, what) name,
    PAST_COUNTERS(X) PAST_GAUGES(X)
#undef X
};

#define STEPS 300

int64_t past_step_width(int64_t step, int64_t window)
{
    int64_t least = step > 0 ? step : window / STEPS, width = past_levels[0].width;

    for (int i = 0; i < PAST_LEVEL_COUNT && past_levels[i].width <= least; i++) width = past_levels[i].width;
    return least > width ? (least + width - 1) / width * width : width;
}

bool past_kind_of(const char *text, enum past_kind *ret)
{
    static const char *const names[] = {[PAST_SERVICE] = "services", [PAST_AGENT] = "agents", [PAST_PAIR] = "pairs"};

    for (int i = PAST_SERVICE; i <= PAST_PAIR; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *ret = (enum past_kind)i;
        return true;
    }
    return false;
}

int past_name_compare(const void *a, const void *b)
{
    const struct past_name *x = a, *y = b;
    int c = (x->kind > y->kind) - (x->kind < y->kind);

    if (c == 0) c = strcmp(x->service, y->service);
    if (c == 0) c = strcmp(x->of, y->of);
    return c != 0 ? c : strcmp(x->what, y->what);
}

void past_row_clear(struct past_row *row)
{
    memset(row->numbers, 0, sizeof row->numbers);
    for (int i = PAST_FIRST_GAUGE; i < PAST_FIELDS; i++) row->numbers[i] = PAST_UNKNOWN;
    memset(&row->waited, 0, sizeof row->waited);
    memset(&row->ran, 0, sizeof row->ran);
}

void past_row_add(struct past_row *to, const struct past_row *more)
{
    for (int i = 0; i < PAST_FIRST_GAUGE; i++) to->numbers[i] += more->numbers[i];
    for (int i = PAST_FIRST_GAUGE; i < PAST_FIELDS; i++) {
        if (more->numbers[i] == PAST_UNKNOWN) continue;
        if (to->numbers[i] == PAST_UNKNOWN || to->numbers[i] < more->numbers[i]) to->numbers[i] = more->numbers[i];
    }
    if (more->waited.count > 0) ap_spread_add(&to->waited, &more->waited);
    if (more->ran.count > 0) ap_spread_add(&to->ran, &more->ran);
}

/* ---- written ------------------------------------------------------------------------------------------------------- */

static void bytes_need(struct past_bytes *to, size_t more)
{
    if (to->room - to->size >= more) return;
    to->room = 2 * to->room + more;
    to->bytes = tool_realloc(to->bytes, to->room);
}

static void code_number(struct past_bytes *to, uint64_t n)
{
    bytes_need(to, 10);
    for (; n > 0x7f; n >>= 7) to->bytes[to->size++] = (unsigned char)(n | 0x80);
    to->bytes[to->size++] = (unsigned char)n;
}

static void put_spread(struct past_bytes *to, const struct ap_spread *s)
{
    uint32_t n = 0, before = 0;

    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) n += s->buckets[i] != 0;
    code_number(to, n);
    for (uint32_t i = 0; i < AP_SPREAD_BUCKETS; i++) {
        if (s->buckets[i] == 0) continue;
        code_number(to, i - before);
        code_number(to, s->buckets[i]);
        before = i;
    }
    if (n > 0) code_number(to, s->sum);
}

/* Whether it says anything. */
static bool row_speaks(const struct past_row *row)
{
    if (row->waited.count != 0 || row->ran.count != 0) return true;
    for (int i = 0; i < PAST_FIELDS; i++)
        if (row->numbers[i] != 0 && (i < PAST_FIRST_GAUGE || row->numbers[i] != PAST_UNKNOWN)) return true;
    return false;
}

bool past_encode(struct past_bytes *to, uint64_t number, const struct past_row *row)
{
    struct past_bytes body = {.bytes = NULL};

    if (!row_speaks(row)) return false;
    for (int i = 0; i < PAST_FIELDS; i++) {
        uint64_t value = row->numbers[i] + (i >= PAST_FIRST_GAUGE); /* unknown: 0 */

        if (value == 0) continue;
        code_number(&body, (uint64_t)i + 1);
        code_number(&body, value);
    }
    code_number(&body, 0);
    put_spread(&body, &row->waited);
    put_spread(&body, &row->ran);
    code_number(to, number);
    code_number(to, body.size);
    bytes_need(to, body.size);
    memcpy(to->bytes + to->size, body.bytes, body.size);
    to->size += body.size;
    free(body.bytes);
    return true;
}

/* ---- read ----------------------------------------------------------------------------------------------------------- */

struct cursor {
    const unsigned char *bytes;
    size_t size, at;
    bool bad;
};

static uint64_t get_number(struct cursor *c)
{
    uint64_t n = 0;

    for (unsigned shift = 0; shift < 64 && c->at < c->size; shift += 7) {
        unsigned char byte = c->bytes[c->at++];

        n |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) return n;
    }
    c->bad = true;
    return 0;
}

static void get_spread(struct cursor *c, struct ap_spread *ret)
{
    uint64_t n = get_number(c), at = 0;

    memset(ret, 0, sizeof *ret);
    for (uint64_t i = 0; i < n && !c->bad; i++) {
        uint64_t distance = get_number(c), tasks = get_number(c);

        c->bad |= distance >= AP_SPREAD_BUCKETS || (at += distance) >= AP_SPREAD_BUCKETS;
        if (c->bad) return;
        ret->buckets[at] = tasks;
        ret->count += tasks;
    }
    if (n > 0) ret->sum = get_number(c);
}

static void get_row(struct cursor *c, struct past_row *row)
{
    past_row_clear(row);
    for (uint64_t field = get_number(c); field != 0 && !c->bad; field = get_number(c)) {
        uint64_t value = get_number(c);

        if (field <= PAST_FIELDS) row->numbers[field - 1] = value - (field > PAST_FIRST_GAUGE); /* a newer one may have more */
    }
    get_spread(c, &row->waited);
    get_spread(c, &row->ran);
}

int past_decode(const unsigned char *bytes, size_t size, size_t *at, uint64_t *number, struct past_row *row)
{
    struct cursor c = {.bytes = bytes, .size = size, .at = *at};
    uint64_t body;

    if (*at >= size) return 0;
    *number = get_number(&c);
    body = get_number(&c);
    if (c.bad || body > size - c.at) return -1;
    *at = c.at + body;
    if (row == NULL) return 1;
    c.size = *at;
    get_row(&c, row);
    return c.bad ? -1 : 1;
}
