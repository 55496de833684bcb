/* tests/fuzz/fuzz_request.c - requests to the HTTP server, as its library takes them apart: lines of method, path, Host, then
 * name: value of each header, key=value of each argument, an empty line and the body. What is answered is possible; what is
 * refused has a reason that can be shown; nothing is changed without the token, or by another page, and what is changed is within
 * its bounds.
 */
#include <string.h>
#include <strings.h>

#include "tests/fuzz/fuzz.h"
#include "tools/common/common.h"
#include "tools/common/demand.h"
#include "tools/common/request.h"

#define TOKEN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const char fuzz_target[] = "request";
const size_t fuzz_longest = 700;

/* The next line as a text of its own; NULL: there are no more. */
static char *line_take(const uint8_t **at, const uint8_t *end, size_t *ret_size)
{
    const uint8_t *stop = *at;
    char *text;

    if (*at == end) return NULL;
    while (stop < end && *stop != '\n') stop++;
    *ret_size = (size_t)(stop - *at);
    text = malloc(*ret_size + 1); /* no more than it has: a step beyond is noticed */
    memcpy(text, *at, *ret_size);
    text[*ret_size] = '\0';
    *at = stop < end ? stop + 1 : end;
    return text;
}

static void verdict_check(const struct request_verdict *v)
{
    size_t n = strlen(v->why);

    FUZZ_REQUIRE((v->status == 200) == (n == 0) && n < sizeof v->why);
    FUZZ_REQUIRE(v->status == 200 || (v->status >= 400 && v->status < 500) || v->status == 503);
    FUZZ_REQUIRE(v->route < REQUEST_ROUTE_COUNT);
    FUZZ_REQUIRE(v->limit >= 1 && v->limit <= REQUEST_LIMIT && v->after <= INT64_MAX);
    FUZZ_REQUIRE(memchr(v->service, 0, sizeof v->service) && memchr(v->tag, 0, sizeof v->tag));
    FUZZ_REQUIRE(memchr(v->kind, 0, sizeof v->kind) && memchr(v->state, 0, sizeof v->state));
}

static void header_take(struct request *r, char *line, size_t n)
{
    const char *const names[] = {"origin: ", "site: ", "authorization: ", "type: ", "length: "};
    const char **const places[] = {&r->origin, &r->site, &r->authorization, &r->type, &r->length};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (n >= strlen(names[i]) && memcmp(line, names[i], strlen(names[i])) == 0) *places[i] = line + strlen(names[i]);
}

/* Nothing of what the request says lets it change anything but the token, or its coming from the socket of the own user. */
static void change_check(const struct request *r, const struct request_verdict *v)
{
    static const char bearer[] = "bearer ";

    FUZZ_REQUIRE(strcmp(r->method, "POST") == 0 && v->route >= REQUEST_FIRST_CHANGE);
    if (!r->trusted)
        FUZZ_REQUIRE(r->authorization != NULL && strncasecmp(r->authorization, bearer, 7) == 0 &&
                     strcmp(r->authorization + 7, TOKEN) == 0);
    if (r->origin != NULL) FUZZ_REQUIRE(r->host != NULL && strlen(r->origin) == strlen(r->host) + 7);
    FUZZ_REQUIRE(r->site == NULL || strcmp(r->site, "same-origin") == 0 || strcmp(r->site, "none") == 0);
}

static void demand_check(struct request_verdict *v, const uint8_t *body, size_t size)
{
    struct demand d;

    demand_read(v, (const char *)body, size, &d);
    verdict_check(v);
    if (v->status == 200) {
        FUZZ_REQUIRE(d.reason[0] != '\0' && strlen(d.reason) <= DEMAND_REASON && strlen(d.by) <= DEMAND_BY);
        FUZZ_REQUIRE(d.weight >= -1 && d.weight <= (int)DEMAND_WEIGHT && d.instances <= DEMAND_INSTANCES && d.count <= DEMAND_MOST);
        FUZZ_REQUIRE(v->route >= REQUEST_RETRY || d.service[0] != '\0');
        FUZZ_REQUIRE(v->route < REQUEST_RETRY || d.all || d.count > 0);
        FUZZ_REQUIRE(d.expect >= -1 && d.expect <= UINT32_MAX);
    }
    demand_free(&d);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    enum { LINES = 16 };
    const uint8_t *end = data + size;
    char *lines[LINES] = {NULL};
    struct request_verdict v;
    size_t n[LINES] = {0}, count = 0, first;

    while (count < LINES && (lines[count] = line_take(&data, end, &n[count])) != NULL)
        if (n[count++] == 0 && count > 3) break;
    struct request r = {.method = lines[0] != NULL ? lines[0] : "", .path = lines[1] != NULL ? lines[1] : "", .host = lines[2],
                        .checked = size % 2 == 0, .wide = size % 4 < 2, .hosts = "a.host another", .trusted = size % 5 == 0,
                        .token = size % 7 == 0 ? NULL : TOKEN, .untold = "not now"};
    for (size_t i = 3; i < count; i++) header_take(&r, lines[i], n[i]);
    request_judge(&r, &v);
    verdict_check(&v);
    for (size_t i = 3; i < count; i++) {
        first = strcspn(lines[i], "=");
        if (first < n[i]) request_argument(&v, lines[i], first, lines[i] + first + 1, n[i] - first - 1);
        else if (n[i] > 0 && strstr(lines[i], ": ") == NULL) request_argument(&v, lines[i], n[i], NULL, 0);
        verdict_check(&v);
    }
    if (v.status == 200 && request_changes(&v)) {
        change_check(&r, &v);
        demand_check(&v, data, (size_t)(end - data));
    }
    json_decref(tool_json_text(v.why));
    for (size_t i = 0; i < count; i++) free(lines[i]);
}
