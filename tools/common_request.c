/* tools/common_request.c - see common_request.h. */
#include "tools/common_request.h"

#include <stdarg.h>
#include <string.h>

#include "core/text.h"

const struct request_row request_rows[REQUEST_ROUTE_COUNT] = {
#define X(id, path, arguments, what) {path, arguments, what},
    REQUEST_ROUTES(X)
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
    *ret = (struct request_verdict){.status = 200};
    if (r->host == NULL && !r->old)
        request_refuse(ret, 400, "the request has no Host");
    else if (r->checked && r->host != NULL && !host_is_loopback(r->host))
        request_refuse(ret, 403, "the Host is '%s'; only localhost, 127.x.x.x and [::1] are answered here", AP_SHOWN(r->host, 64));
    else if (!request_find(r->path, &ret->route))
        request_refuse(ret, 404, "there is no '%s'; / lists what there is", AP_SHOWN(r->path, 64));
    else if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0)
        request_refuse(ret, 405, "%s is not for %s; GET and HEAD are", AP_SHOWN(r->method, 16), request_rows[ret->route].path);
    else if (r->body)
        request_refuse(ret, 413, "the request has a body; none is read here");
}
