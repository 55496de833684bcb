/* tests/fuzz/fuzz_request.c - requests to the HTTP server, as its library takes them apart: lines of method, path, Host, and then
 * key=value. What is answered is possible; what is refused has a reason that can be shown.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/common/common.h"
#include "tools/common/request.h"

const char fuzz_target[] = "request";
const size_t fuzz_longest = 400;

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
    FUZZ_REQUIRE(v->status == 200 || (v->status >= 400 && v->status < 500));
    FUZZ_REQUIRE(v->route < REQUEST_ROUTE_COUNT);
    FUZZ_REQUIRE(v->limit >= 1 && v->limit <= REQUEST_LIMIT && v->after <= INT64_MAX);
    FUZZ_REQUIRE(memchr(v->service, 0, sizeof v->service) && memchr(v->tag, 0, sizeof v->tag));
    FUZZ_REQUIRE(memchr(v->kind, 0, sizeof v->kind) && memchr(v->state, 0, sizeof v->state));
}

void fuzz_one(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    char *lines[3], *line;
    struct request_verdict v;
    size_t n, first;

    for (int i = 0; i < 3; i++) lines[i] = line_take(&data, end, &n);
    const struct request r = {.method = lines[0] != NULL ? lines[0] : "", .path = lines[1] != NULL ? lines[1] : "",
                              .host = lines[2], .checked = size % 2 == 0};
    request_judge(&r, &v);
    verdict_check(&v);
    while ((line = line_take(&data, end, &n)) != NULL) {
        first = strcspn(line, "=");
        if (first < n) request_argument(&v, line, first, line + first + 1, n - first - 1);
        else request_argument(&v, line, n, NULL, 0);
        verdict_check(&v);
        free(line);
    }
    json_decref(tool_json_text(v.why));
    for (int i = 0; i < 3; i++) free(lines[i]);
}
