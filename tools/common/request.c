/* tools/common/request.c - see request.h. */
#include "tools/common/request.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"
#include "tools/common/event.h"
#include "tools/common/token.h"

const struct request_row request_rows[REQUEST_ROUTE_COUNT] = {
#define X(id, path, arguments, what) {path, arguments, what},
    REQUEST_ROUTES(X) REQUEST_CHANGES(X)
#undef X
};

void request_refuse(struct request_verdict *v, unsigned status, const char *format, ...)
{
    va_list args;

    v->status = status;
    va_start(args, format);
    ap_vformat(v->why, sizeof v->why, format, args);
    va_end(args);
}

/* The name before a port, if any: "localhost:4100", "[::1]:4100". */
static size_t host_length(const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    size_t n = end != NULL ? (size_t)(end - host) + 1 : strcspn(host, ":");

    return host[n] == '\0' || (host[n] == ':' && strspn(host + n + 1, "0123456789") == strlen(host + n + 1)) ? n : 0;
}

static bool host_is_loopback(const char *host)
{
    size_t n = host_length(host), dots = 0;

    if (n == 9 && strncasecmp(host, "localhost", 9) == 0) return true;
    if (n == 5 && strncmp(host, "[::1]", 5) == 0) return true;
    if (n < 9 || n > 15 || strncmp(host, "127.", 4) != 0 || strspn(host, "0123456789.") < n) return false;
    for (size_t i = 0; i < n; i++) dots += host[i] == '.';
    return dots == 3;
}

/* A number of an address, which no page of another site is called by: 10.1.2.3, [fe80::1]. */
static bool host_is_number(const char *host)
{
    size_t n = host_length(host), dots = 0;

    if (n > 2 && host[0] == '[') return host[n - 1] == ']' && strspn(host + 1, "0123456789abcdefABCDEF:.") == n - 2;
    if (n < 7 || n > 15 || strspn(host, "0123456789.") < n) return false;
    for (size_t i = 0; i < n; i++) dots += host[i] == '.';
    return dots == 3;
}

static bool host_is_known(const char *host, const char *names)
{
    size_t n = host_length(host);

    for (const char *at = names; n > 0 && at != NULL && *at != '\0'; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == n && strncasecmp(at, host, n) == 0) return true;
    return false;
}

static void judge_host(const struct request *r, struct request_verdict *ret)
{
    if (r->host == NULL && !r->old) {
        request_refuse(ret, 400, "the request has no Host");
    } else if (!r->checked || r->host == NULL || host_is_loopback(r->host)) {
        return;
    } else if (!r->wide) {
        request_refuse(ret, 403, "the Host is '%s'; only localhost, 127.x.x.x and [::1] are answered here", AP_SHOWN(r->host, 64));
    } else if (!host_is_number(r->host) && !host_is_known(r->host, r->hosts)) {
        request_refuse(ret, 403, "the Host is '%s'; only numbers of addresses, localhost, this machine's name and those of --hosts "
                       "are answered here", AP_SHOWN(r->host, 64));
    }
}

/* ---- who may change something ----------------------------------------------------------------------------------- */

/* The page's own origin is the Host that it was had from. */
static bool origin_is_own(const struct request *r)
{
    static const char scheme[] = "http://";

    return r->host != NULL && strncasecmp(r->origin, scheme, sizeof scheme - 1) == 0 &&
           strcasecmp(r->origin + sizeof scheme - 1, r->host) == 0;
}

static void judge_token(const struct request *r, struct request_verdict *ret)
{
    static const char bearer[] = "Bearer ";
    const char *text = r->authorization;

    if (r->trusted) return;
    if (r->token == NULL)
        request_refuse(ret, 503, "there is no token: %s", AP_SHOWN(r->untold != NULL ? r->untold : "nothing is kept", 200));
    else if (text == NULL || strncasecmp(text, bearer, sizeof bearer - 1) != 0)
        request_refuse(ret, 401, "it needs 'Authorization: Bearer TOKEN'; 'apiary token' prints the token");
    else if (!token_is(r->token, text + sizeof bearer - 1))
        request_refuse(ret, 401, "the token is another one; 'apiary token' prints it");
}

/* JSON, with or without a charset behind it. */
static bool type_is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t n = type != NULL ? strcspn(type, "; ") : 0;

    return n == sizeof json - 1 && strncasecmp(type, json, n) == 0;
}

static bool argument_number(const char *text, uint64_t most, uint64_t *ret);

static void judge_change(const struct request *r, struct request_verdict *ret)
{
    uint64_t length;

    if (strcmp(r->method, "POST") != 0)
        request_refuse(ret, 405, "%s is not for %s; POST is", AP_SHOWN(r->method, 16), request_rows[ret->route].path);
    else if (r->origin != NULL && !origin_is_own(r))
        request_refuse(ret, 403, "a page of '%s' asks; only the one that is served here may", AP_SHOWN(r->origin, 64));
    else if (r->site != NULL && strcmp(r->site, "same-origin") != 0 && strcmp(r->site, "none") != 0)
        request_refuse(ret, 403, "a page of another site asks (Sec-Fetch-Site: %s); only the one that is served here may",
                       AP_SHOWN(r->site, 16));
    else
        judge_token(r, ret);
    if (ret->status != 200) return;
    if (!type_is_json(r->type))
        request_refuse(ret, 415, "the Content-Type is '%s'; application/json is expected",
                       r->type != NULL ? AP_SHOWN(r->type, 40) : "");
    else if (r->length != NULL && !argument_number(r->length, REQUEST_BODY, &length))
        request_refuse(ret, 413, "the Content-Length is '%s'; the body has %u bytes at most", AP_SHOWN(r->length, 24),
                       REQUEST_BODY);
}

/* A page of another site cannot read an answer, but it can have it made. Links lead to the page itself. */
static void judge_reading(const struct request *r, struct request_verdict *ret)
{
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0)
        request_refuse(ret, 405, "%s is not for %s; GET and HEAD are", AP_SHOWN(r->method, 16), request_rows[ret->route].path);
    else if (r->body)
        request_refuse(ret, 413, "the request has a body; none is read here");
    else if (!r->file && ret->route != REQUEST_INDEX && r->site != NULL && strcmp(r->site, "cross-site") == 0)
        request_refuse(ret, 403, "a page of another site asks (Sec-Fetch-Site: cross-site); only the page itself is for it");
}

static bool request_find(const char *path, enum request_route *ret)
{
    for (unsigned i = 0; i < REQUEST_ROUTE_COUNT; i++) {
        if (strcmp(path, request_rows[i].path) != 0) continue;
        *ret = (enum request_route)i;
        return true;
    }
    return false;
}

void request_judge(const struct request *r, struct request_verdict *ret)
{
    *ret = (struct request_verdict){.status = 200, .limit = REQUEST_LIMIT};
    judge_host(r, ret);
    if (ret->status != 200) return;
    if (!r->file && !request_find(r->path, &ret->route))
        request_refuse(ret, 404, "there is no '%s'; /v1/openapi.json lists what there is", AP_SHOWN(r->path, 64));
    else if (request_changes(ret))
        judge_change(r, ret);
    else
        judge_reading(r, ret);
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

enum request_argument_kind {
    ARGUMENT_SERVICE, ARGUMENT_TAG, ARGUMENT_KIND, ARGUMENT_STATE, ARGUMENT_LIMIT, ARGUMENT_AFTER, ARGUMENT_SINCE,
    ARGUMENT_UNTIL, ARGUMENT_STEP, ARGUMENT_OF, ARGUMENT_NAME, ARGUMENT_SPACE, ARGUMENT_LOCAL, ARGUMENT_PREFIX, ARGUMENT_KEY,
    ARGUMENT_ID
};
static const char *const argument_names[] = {"service", "tag", "kind", "state", "limit", "after", "since", "until", "step",
                                             "of", "name", "namespace", "local", "prefix", "key", "id"};
#define ARGUMENTS (sizeof argument_names / sizeof *argument_names)

/* Whether it is one of the words of a route. */
static bool argument_of(const char *words, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = words; *at != '\0'; at += strcspn(at, " "), at += *at == ' ')
        if (strncmp(at, name, n) == 0 && (at[n] == ' ' || at[n] == '\0')) return true;
    return false;
}

/* A whole number in digits alone, at most `most`: true. */
static bool argument_number(const char *text, uint64_t most, uint64_t *ret)
{
    uint64_t n = 0;

    if (*text == '\0' || strspn(text, "0123456789") != strlen(text)) return false;
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (n > (most - digit) / 10) return false;
        n = 10 * n + digit;
    }
    *ret = n;
    return true;
}

static void argument_kind(struct request_verdict *v, const char *text)
{
    char *all;

    memcpy(v->kind, text, strlen(text) + 1);
    if (event_kind_known(text)) return;
    all = event_kinds();
    request_refuse(v, 400, "kind: '%s' is none; there are %s", AP_SHOWN(text, 40), all);
    free(all);
}

static void argument_take(struct request_verdict *v, enum request_argument_kind which, const char *text)
{
    char *const texts[] = {[ARGUMENT_SERVICE] = v->service, [ARGUMENT_TAG] = v->tag, [ARGUMENT_STATE] = v->state,
                           [ARGUMENT_OF] = v->of, [ARGUMENT_NAME] = v->name, [ARGUMENT_SPACE] = v->space,
                           [ARGUMENT_LOCAL] = v->local, [ARGUMENT_PREFIX] = v->prefix, [ARGUMENT_KEY] = v->key,
                           [ARGUMENT_ID] = v->id};
    uint64_t n = 0;

    switch (which) {
    case ARGUMENT_SERVICE:
    case ARGUMENT_TAG:
    case ARGUMENT_STATE:
    case ARGUMENT_NAME:
    case ARGUMENT_OF:
    case ARGUMENT_SPACE:
    case ARGUMENT_LOCAL:
    case ARGUMENT_PREFIX:
    case ARGUMENT_KEY:
    case ARGUMENT_ID:
        memcpy(texts[which], text, strlen(text) + 1);
        break;
    case ARGUMENT_KIND:
        argument_kind(v, text);
        break;
    case ARGUMENT_LIMIT:
        if (argument_number(text, REQUEST_LIMIT, &n) && n > 0) v->limit = (uint32_t)n;
        else request_refuse(v, 400, "limit: '%s' is no number from 1 to %u", AP_SHOWN(text, 40), REQUEST_LIMIT);
        break;
    case ARGUMENT_AFTER:
        if (!argument_number(text, INT64_MAX, &v->after))
            request_refuse(v, 400, "after: '%s' is no number; it is the 'next' of the answer before", AP_SHOWN(text, 40));
        break;
    case ARGUMENT_SINCE:
    case ARGUMENT_UNTIL:
        if (event_since(text, which == ARGUMENT_SINCE ? &v->since : &v->until) < 0)
            request_refuse(v, 400, "%s: '%s' is neither a span (90s, 10m, 1h) nor a time (2025-01-31T12:00:00Z)",
                           argument_names[which], AP_SHOWN(text, 40));
        break;
    case ARGUMENT_STEP:
        if (tool_duration(text, &v->step) < 0)
            request_refuse(v, 400, "step: '%s' is no time, such as 10s, 5m or 1h", AP_SHOWN(text, 40));
        break;
    }
}

void request_argument(struct request_verdict *v, const char *key, size_t key_size, const char *value, size_t value_size)
{
    const char *words = v->status == 200 && !request_changes(v) ? request_rows[v->route].arguments : "";
    char name[32], text[REQUEST_TEXT_MAX + 1];
    size_t which = 0;

    if (v->status != 200) return;
    ap_format(name, sizeof name, "%.*s", (int)(key_size < sizeof name ? key_size : sizeof name), key);
    while (which < ARGUMENTS && strcmp(name, argument_names[which]) != 0) which++;
    if (strlen(name) != key_size || which == ARGUMENTS || !argument_of(words, name)) {
        request_refuse(v, 400, "'%s' is no argument of %s, which takes %s", name, request_rows[v->route].path,
                       *words != '\0' ? words : "none");
    } else if ((v->given & 1u << which) != 0) {
        request_refuse(v, 400, "%s is there twice", name);
    } else if (value == NULL || value_size == 0 || value_size > REQUEST_TEXT_MAX || memchr(value, '\0', value_size) != NULL) {
        request_refuse(v, 400, "%s needs a value of 1 to %u bytes", name, REQUEST_TEXT_MAX);
    } else {
        memcpy(text, value, value_size);
        text[value_size] = '\0';
        v->given |= 1u << which;
        argument_take(v, (enum request_argument_kind)which, text);
    }
}
