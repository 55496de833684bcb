/* agents/kinds/http.c - kind "http": forwards each task to the service's own port on this machine; the body of the answer is
 * the result. libcurl's multi-socket interface, driven by the worker's loop: nothing blocks, no thread is made.
 *
 * A body that is a JSON object or list goes as application/json, any other without a type, unless `content_type` or a line of
 * `headers` names one. Headers say what there is to know about the task (about.h: Apiary-Capability and so on). The agent takes as
 * many tasks as it may forward at once; what waits stays in its queue.
 *
 * Only loopback addresses are ever connected to (checked again at connect, whatever a name resolves to); no proxy, no
 * redirect, plain HTTP. Failures: agent_code is the HTTP status, or 502 (refused, broken), 504 (timeout), 413 (too much).
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agents/kinds/about.h"
#include "agents/kinds/curl.h"
#include "agents/kinds/pass.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "core/descriptor.h"
#include "core/text.h"

enum { LOOK = 100 /* ms between looks for cancelled tasks, while there are transfers */, ERROR_TEXT = 400, TYPE_MOST = 200 };

struct forwarder {
    apiary_agent_t *agent;
    CURLM *multi;
    struct curl_slist *headers;
    char *url;
    const char *method, *content_type;
    bool typed; /* `headers` has a Content-Type */
    uint64_t timeout;
    size_t max_output;
    long expect_status; /* 0: any 2xx */
    enum ap_pass_as pass;
    apiary_watch_t *timer, *looker;
    struct transfer *transfers;
    struct socket_watch *sockets; /* those that libcurl wants watched */
    int broken; /* why libcurl and the loop cannot go on (an apiary_error): everything is failed by the next look */
};

struct transfer {
    struct forwarder *forwarder;
    apiary_job_t *job;
    CURL *easy;
    struct curl_slist *headers;
    struct transfer *next, **link;
    struct ap_bytes output; /* but for what was passed on */
    struct ap_pass pass;
    size_t total;           /* of the answer's body */
    bool too_much, no_memory;
    char why[CURL_ERROR_SIZE];
};

struct socket_watch {
    struct forwarder *forwarder;
    curl_socket_t fd;
    apiary_watch_t *watch;
    struct socket_watch *next, **link;
};

/* ---- the end of a transfer --------------------------------------------------------------------------------------- */

static void remove_transfer(struct transfer *t)
{
    *t->link = t->next;
    if (t->next) t->next->link = t->link;
    (void)ap_curl.multi_remove_handle(t->forwarder->multi, t->easy); /* what it would not take out the next line does */
    ap_curl.easy_cleanup(t->easy);
    ap_curl.slist_free_all(t->headers);
    ap_bytes_free(&t->output);
    apiary_agent_free(t->forwarder->agent, t);
}

/* The beginning of an answer's body, printable, for a failure's text. */
static const char *excerpt(const struct ap_bytes *body, char *ret, size_t capacity)
{
    size_t n = 0;
    n = ap_format(ret, capacity, "%.*s", (int)(body->size < capacity ? body->size : capacity), body->size > 0 ? body->data : "");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)ret[i] < 32 || ret[i] == 127) ret[i] = ' ';
    return ret;
}

static bool as_expected(const struct forwarder *f, long status)
{
    return f->expect_status ? status == f->expect_status : status >= 200 && status <= 299;
}

static void http_report(struct transfer *t, CURLcode result)
{
    struct forwarder *f = t->forwarder;
    char text[ERROR_TEXT];
    long status = 0;
    if (result == CURLE_OK) result = ap_curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (t->too_much)
        apiary_job_fail(t->job, AP_CODE_TOO_LARGE, "%s: the answer is larger than max_output (%zu bytes)", f->url,
                        f->max_output);
    else if (t->no_memory)
        ap_out_of_memory(t->job);
    else if (result == CURLE_OPERATION_TIMEDOUT)
        apiary_job_fail(t->job, AP_CODE_TIMEOUT, "%s: no answer in time: %s", f->url, t->why);
    else if (result != CURLE_OK)
        apiary_job_fail(t->job, AP_CODE_UPSTREAM, "%s: %s", f->url, t->why[0] ? t->why : ap_curl.easy_strerror(result));
    else if (!as_expected(f, status))
        apiary_job_fail(t->job, (uint32_t)status, "%s: status %ld: %s", f->url, status,
                        excerpt(&t->output, text, sizeof text));
    else
        apiary_job_reply(t->job, t->output.data ? t->output.data : "", t->output.size);
    remove_transfer(t);
}

static void fail_all(struct forwarder *f, int error)
{
    while (f->transfers) {
        apiary_job_fail(f->transfers->job, AP_CODE_INTERNAL, "%s: cannot be watched: %s", f->url, apiary_strerror(error));
        remove_transfer(f->transfers);
    }
    f->broken = 0;
}

/* libcurl's answer to a call about all transfers; the callbacks below say themselves what they could not do. */
static void keep(struct forwarder *f, CURLMcode answer)
{
    if (answer != CURLM_OK && f->broken == 0) f->broken = answer == CURLM_OUT_OF_MEMORY ? APIARY_ENOBLOCK : APIARY_ESYS;
}

static void http_collect(struct forwarder *f)
{
    CURLMsg *message;
    int left;
    while ((message = ap_curl.multi_info_read(f->multi, &left)) != NULL) {
        struct transfer *t = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode result = message->data.result; /* the message goes with its transfer */
        if (ap_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t) == CURLE_OK && t) http_report(t, result);
        else keep(f, CURLM_INTERNAL_ERROR);
    }
}

/* ---- libcurl and the loop ---------------------------------------------------------------------------------------- */

static void on_socket(void *user, uint32_t events)
{
    struct socket_watch *w = user; /* may be gone after the call below */
    struct forwarder *f = w->forwarder;
    int running, what = 0;
    if (events & POLLIN) what |= CURL_CSELECT_IN;
    if (events & POLLOUT) what |= CURL_CSELECT_OUT;
    if (events & (POLLERR | POLLHUP | POLLNVAL)) what |= CURL_CSELECT_ERR;
    keep(f, ap_curl.multi_socket_action(f->multi, w->fd, what, &running));
    http_collect(f);
}

static void forget_socket(struct socket_watch *w)
{
    if (w->watch) apiary_watch_close(w->watch);
    *w->link = w->next;
    if (w->next) w->next->link = w->link;
    apiary_agent_free(w->forwarder->agent, w);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct forwarder *f = user;
    struct socket_watch *w = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) forget_socket(w);
        return 0;
    }
    if (!w) {
        if (!(w = apiary_agent_alloc(f->agent, sizeof *w))) {
            f->broken = APIARY_ENOBLOCK;
            return 0;
        }
        *w = (struct socket_watch){.forwarder = f, .fd = fd, .next = f->sockets, .link = &f->sockets};
        if (w->next) w->next->link = &w->next;
        f->sockets = w;
        CURLMcode refused = ap_curl.multi_assign(f->multi, fd, w);
        keep(f, refused);
        if (refused != CURLM_OK) { /* libcurl would not say which watch to close */
            forget_socket(w);
            return 0;
        }
    }
    if (w->watch) apiary_watch_close(w->watch);
    w->watch = NULL;
    uint32_t events = (what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0);
    int error = events ? apiary_watch_fd(f->agent, fd, events, on_socket, w, &w->watch) : 0;
    if (error < 0) f->broken = error;
    return 0;
}

static void on_timer(void *user, uint32_t events)
{
    struct forwarder *f = user;
    int running;
    (void)events;
    apiary_watch_close(f->timer);
    f->timer = NULL;
    keep(f, ap_curl.multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running));
    http_collect(f);
}

static int want_timer(CURLM *multi, long ms, void *user)
{
    struct forwarder *f = user;
    (void)multi;
    if (f->timer) apiary_watch_close(f->timer);
    f->timer = NULL;
    int error = ms >= 0 ? apiary_watch_timer(f->agent, (uint64_t)ms * 1000000u, on_timer, f, &f->timer) : 0;
    if (error < 0) f->broken = error;
    return 0;
}

static void http_look(void *user, uint32_t events)
{
    struct forwarder *f = user;
    (void)events;
    if (f->looker) apiary_watch_close(f->looker);
    f->looker = NULL;
    if (f->broken) fail_all(f, f->broken);
    for (struct transfer *t = f->transfers, *next; t; t = next) {
        next = t->next;
        if (apiary_job_cancelled(t->job)) {
            apiary_job_fail(t->job, AP_CODE_CANCELLED, "%s: the task was cancelled", f->url);
            remove_transfer(t);
        }
    }
    int error = f->transfers ? apiary_watch_timer(f->agent, LOOK * 1000000ull, http_look, f, &f->looker) : 0;
    if (error < 0) fail_all(f, error);
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    }
    const struct sockaddr_in6 *in6 = (const void *)address;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = user;
    (void)purpose;
    if (!is_loopback(&address->addr)) {
        snprintf(t->why, sizeof t->why, "the name does not resolve to this machine; only loopback is allowed");
        return CURL_SOCKET_BAD;
    }
    return ap_fd_socket(address->family, address->socktype, address->protocol);
}

/* A body that is not the answer is the reason of a failure, which is told as a whole. */
static void http_pass_on(struct transfer *t)
{
    long status = 0;
    if (t->pass.as == AP_PASS_NOTHING || ap_curl.easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK) return;
    if (as_expected(t->forwarder, status)) ap_pass_on(&t->pass, t->job, &t->output);
}

/* The reader of its parts has caught up: what the service has sent meanwhile is taken, maybe in the call. */
static void http_ready(void *user, apiary_job_t *job)
{
    struct transfer *t = user;
    CURLcode r = CURLE_OK;
    (void)job;
    t->pass.behind = false;
    http_pass_on(t);
    if (!t->pass.behind) r = ap_curl.easy_pause(t->easy, CURLPAUSE_CONT);
    if (r != CURLE_OK) http_report(t, r);
}

static size_t http_take(char *data, size_t one, size_t size, void *user)
{
    struct transfer *t = user;
    size_t limit = t->forwarder->max_output;
    (void)one;
    if (t->pass.behind) return CURL_WRITEFUNC_PAUSE; /* it comes again, and the service waits */
    if (size > limit || t->total > limit - size)
        t->too_much = true;
    else if (!ap_bytes_add(&t->output, data, size))
        t->no_memory = true;
    else {
        t->total += size;
        http_pass_on(t);
        return size;
    }
    return size == 0 ? 1 : 0; /* anything but size ends the transfer */
}

/* ---- handle ------------------------------------------------------------------------------------------------------ */

static bool is_json(const char *body, size_t size)
{
    size_t blank = 0;
    while (blank < size && strchr(" \t\r\n", body[blank]) && body[blank])
        blank++;
    if (blank == size || (body[blank] != '{' && body[blank] != '[')) return false;
    json_t *value = json_loadb(body, size, 0, NULL);
    json_decref(value);
    return value != NULL;
}

static bool add_header(struct transfer *t, const char *line)
{
    struct curl_slist *more = ap_curl.slist_append(t->headers, line);
    if (more) t->headers = more;
    return more != NULL;
}

/* The header that others know, and only of a task that is in a trace. */
static bool add_trace(struct transfer *t, const struct ap_about *about)
{
    char line[sizeof *about + 32];

    if (about->value[0] == '\0') return true;
    snprintf(line, sizeof line, "traceparent: %s", about->value);
    return add_header(t, line);
}

/* "Apiary-Timeout-Ms: 29874" */
static bool add_about(struct transfer *t, const struct ap_about *about)
{
    char line[sizeof *about + 32];
    int n = snprintf(line, sizeof line, "Apiary-%s", about->name);

    if (strcmp(about->name, "TRACEPARENT") == 0) return add_trace(t, about);
    for (char *c = line + strlen("Apiary-") + 1; *c; c++)
        *c = *c == '_' ? '-' : c[-1] == '-' ? *c : (char)tolower((unsigned char)*c);
    snprintf(line + n, sizeof line - (size_t)n, "%s%s", about->value[0] ? ": " : ";", about->value); /* "Name;" is an empty one */
    return add_header(t, line);
}

/* With `result` of what was set before: the first thing that libcurl refuses is the answer. */
#define SET(easy, result, option, value) ((result) != CURLE_OK ? (result) : ap_curl.easy_setopt((easy), (option), (value)))

static CURLcode set_headers(struct transfer *t, uint64_t left)
{
    struct forwarder *f = t->forwarder;
    struct ap_about about[AP_ABOUT];
    char type[TYPE_MOST + 32];
    size_t size;
    const char *body = apiary_job_data(t->job, &size), *given = f->content_type;
    bool good = true, sent = strcmp(f->method, "GET") != 0 && strcmp(f->method, "HEAD") != 0;
    for (const struct curl_slist *h = f->headers; good && h; h = h->next)
        good = add_header(t, h->data);
    if (!given && sent && !f->typed && is_json(body, size)) given = "application/json";
    /* With an empty one libcurl adds none of its own. */
    snprintf(type, sizeof type, "Content-Type:%s%s", given ? " " : "", given ? given : "");
    if (good && sent && !f->typed) good = add_header(t, type);
    ap_about(t->job, left, about);
    for (size_t i = 0; good && i < AP_ABOUT; i++)
        good = add_about(t, &about[i]);
    return good ? ap_curl.easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers) : CURLE_OUT_OF_MEMORY;
}

static CURLcode set_body(struct transfer *t)
{
    const char *method = t->forwarder->method;
    size_t size;
    const void *body = apiary_job_data(t->job, &size);
    bool get = strcmp(method, "GET") == 0, head = strcmp(method, "HEAD") == 0;
    /* NOBODY makes it HEAD: no body is waited for */
    if (get || head) return ap_curl.easy_setopt(t->easy, get ? CURLOPT_HTTPGET : CURLOPT_NOBODY, 1L);
    CURLcode r = ap_curl.easy_setopt(t->easy, CURLOPT_POST, 1L);
    r = SET(t->easy, r, CURLOPT_CUSTOMREQUEST, method);
    r = SET(t->easy, r, CURLOPT_POSTFIELDS, body); /* read in place: it stays until the job is finished */
    return SET(t->easy, r, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
}

/* Without any one of these it would be another request, or one to elsewhere. */
static CURLcode set_request(struct transfer *t, uint64_t left)
{
    CURL *easy = t->easy;
    CURLcode r = ap_curl.easy_setopt(easy, CURLOPT_URL, t->forwarder->url);
    r = SET(easy, r, CURLOPT_PROTOCOLS_STR, "http");
    r = SET(easy, r, CURLOPT_PROXY, "");
    r = SET(easy, r, CURLOPT_NOSIGNAL, 1L);
    r = SET(easy, r, CURLOPT_FOLLOWLOCATION, 0L);
    r = SET(easy, r, CURLOPT_TIMEOUT_MS, (long)((left + 999999) / 1000000));
    r = SET(easy, r, CURLOPT_ERRORBUFFER, t->why);
    r = SET(easy, r, CURLOPT_PRIVATE, t);
    r = SET(easy, r, CURLOPT_WRITEFUNCTION, http_take);
    r = SET(easy, r, CURLOPT_WRITEDATA, t);
    r = SET(easy, r, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    r = SET(easy, r, CURLOPT_OPENSOCKETDATA, t);
    if (r == CURLE_OK) r = set_body(t);
    return r == CURLE_OK ? set_headers(t, left) : r;
}

static void http_handle(void *state, apiary_job_t *job)
{
    struct forwarder *f = state;
    uint64_t left = ap_time_left(job, f->timeout);
    if (left == 0) {
        apiary_job_fail(job, AP_CODE_TIMEOUT, "%s: the deadline passed before the request was sent", f->url);
        return;
    }
    struct transfer *t = apiary_agent_alloc(f->agent, sizeof *t);
    CURL *easy = t ? ap_curl.easy_init() : NULL;
    if (!easy) {
        apiary_agent_free(f->agent, t);
        ap_out_of_memory(job);
        return;
    }
    memset(t, 0, sizeof *t);
    t->forwarder = f;
    t->job = job;
    t->easy = easy;
    t->output.agent = f->agent;
    t->pass = (struct ap_pass){.as = f->pass, .ready = http_ready, .user = t};
    t->next = f->transfers;
    t->link = &f->transfers;
    if (t->next) t->next->link = &t->next;
    else f->broken = 0; /* what went wrong before concerned nobody */
    f->transfers = t;
    CURLcode error = set_request(t, left);
    CURLMcode refused = error == CURLE_OK ? ap_curl.multi_add_handle(f->multi, easy) : CURLM_OK;
    if (error != CURLE_OK || refused != CURLM_OK) {
        apiary_job_fail(job, AP_CODE_INTERNAL, "%s: cannot be started: %s", f->url,
                        error != CURLE_OK ? ap_curl.easy_strerror(error) : ap_curl.multi_strerror(refused));
        remove_transfer(t);
        return;
    }
    if (!f->looker) http_look(f, 0);
}

/* ---- create ------------------------------------------------------------------------------------------------------ */

static void http_destroy(void *state)
{
    struct forwarder *f = state;
    while (f->transfers) /* left only when the worker ends with tasks in hand, which are failed already */
        remove_transfer(f->transfers);
    if (f->multi) ap_curl.multi_cleanup(f->multi); /* may still say "remove" for kept connections */
    while (f->sockets)
        forget_socket(f->sockets);
    if (f->timer) apiary_watch_close(f->timer);
    if (f->looker) apiary_watch_close(f->looker);
    ap_curl.slist_free_all(f->headers);
    apiary_agent_free(f->agent, f->url);
    apiary_agent_free(f->agent, f);
}

/* The URL from `url`, or from `port` and `path`; only this machine by number or as localhost. */
static int make_url(struct forwarder *f)
{
    const char *given = apiary_agent_text(f->agent, "url", NULL), *path = apiary_agent_text(f->agent, "path", "/");
    int64_t port = apiary_agent_number(f->agent, "port", 0);
    char made[512], *scheme = NULL, *host = NULL;
    if ((given != NULL) == (port != 0) || (port != 0 && (port < 1 || port > 65535 || path[0] != '/'))) {
        apiary_agent_log(f->agent, 3, "http: give either url, or port (1 to 65535) and path (beginning with /)");
        return APIARY_ECONFIG;
    }
    if (!given) {
        int n = snprintf(made, sizeof made, "http://127.0.0.1:%d%s", (int)port, path);
        if (n < 0 || (size_t)n >= sizeof made) {
            apiary_agent_log(f->agent, 3, "http: path has %zu bytes; allowed: at most %zu", strlen(path), sizeof made - 32);
            return APIARY_ECONFIG;
        }
        given = made;
    }
    CURLU *url = ap_curl.url();
    bool valid = url && ap_curl.url_set(url, CURLUPART_URL, given, 0) == CURLUE_OK &&
                 ap_curl.url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                 ap_curl.url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    struct in_addr address;
    bool numeric = valid && inet_pton(AF_INET, host, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
    bool local = valid && strcmp(scheme, "http") == 0 &&
                 (numeric || strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0);
    ap_curl.free(scheme);
    ap_curl.free(host);
    ap_curl.url_cleanup(url);
    if (!local) {
        apiary_agent_log(f->agent, 3, "http: \"%s\": only http:// on localhost, 127.x.x.x or [::1] is allowed", given);
        return APIARY_ECONFIG;
    }
    f->url = ap_copy_text(f->agent, given);
    return f->url ? 0 : APIARY_ENOBLOCK;
}

static int make_headers(struct forwarder *f)
{
    const char *const *items = NULL;
    size_t count = apiary_agent_list(f->agent, "headers", &items);
    f->content_type = apiary_agent_text(f->agent, "content_type", NULL);
    if (f->content_type && (strpbrk(f->content_type, "\r\n") || strlen(f->content_type) > TYPE_MOST)) {
        apiary_agent_log(f->agent, 3, "http: content_type: \"%s\" is not one line of at most %d bytes",
                         AP_SHOWN(f->content_type, 40), TYPE_MOST);
        return APIARY_ECONFIG;
    }
    for (size_t i = 0; i <= count; i++) {
        const char *line = i < count ? items[i] : "Expect:"; /* no waiting for "100 Continue" */
        if (strpbrk(line, "\r\n") || !strpbrk(line, ":;")) {
            apiary_agent_log(f->agent, 3, "http: headers: \"%s\" is not Name: value on one line", line);
            return APIARY_ECONFIG;
        }
        if (strncasecmp(line, "content-type", 12) == 0 && strchr(":; \t", line[12])) f->typed = true;
        struct curl_slist *more = ap_curl.slist_append(f->headers, line);
        if (!more) return APIARY_ENOBLOCK;
        f->headers = more;
    }
    for (const char *c = f->method; *c || c == f->method; c++)
        if (!isupper((unsigned char)*c)) {
            apiary_agent_log(f->agent, 3, "http: method \"%s\" is not in capitals", f->method);
            return APIARY_ECONFIG;
        }
    return 0;
}

static int make_multi(struct forwarder *f)
{
    if (!(f->multi = ap_curl.multi_init())) return APIARY_ENOBLOCK;
    CURLMcode r = ap_curl.multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    if (r == CURLM_OK) r = ap_curl.multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    if (r == CURLM_OK) r = ap_curl.multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    if (r == CURLM_OK) r = ap_curl.multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    if (r == CURLM_OK) return 0;
    apiary_agent_log(f->agent, 3, "http: libcurl: %s", ap_curl.multi_strerror(r));
    return r == CURLM_OUT_OF_MEMORY ? APIARY_ENOBLOCK : APIARY_ENOTSUP;
}

static int http_create(apiary_agent_t *agent, void **state)
{
    const char *why;
    int loaded = ap_curl_load(&why);
    if (loaded < 0) {
        apiary_agent_log(agent, 3, "http: libcurl: %s", why);
        return loaded;
    }
    struct forwarder *f = apiary_agent_alloc(agent, sizeof *f);
    if (!f) return APIARY_ENOBLOCK;
    memset(f, 0, sizeof *f);
    f->agent = agent;
    f->method = apiary_agent_text(agent, "method", "POST");
    f->timeout = (uint64_t)apiary_agent_number(agent, "timeout", 30LL * 1000 * 1000 * 1000);
    f->max_output = (size_t)apiary_agent_number(agent, "max_output", 1024 * 1024);
    f->expect_status = (long)apiary_agent_number(agent, "expect_status", 0);
    int64_t concurrency = apiary_agent_number(agent, "concurrency", 64);
    apiary_agent_limit(agent, concurrency < 1 ? 1 : (uint32_t)(concurrency < UINT32_MAX ? concurrency : UINT32_MAX));
    int error = ap_pass_configured(agent, &f->pass);
    if (error == 0) error = make_url(f);
    if (error == 0) error = make_headers(f);
    if (error == 0) error = make_multi(f);
    if (error < 0) {
        http_destroy(f);
        return error;
    }
    *state = f;
    return 0;
}

static const apiary_agent_key_t keys[] = {
    {"url", 's', 0, "http://127.0.0.1:PORT/PATH; or port and path", 0, 0},
    {"port", 'i', 0, "the service's own port on 127.0.0.1", 1, 65535},
    {"path", 's', 0, "beginning with / [/]", 0, 0},
    {"method", 's', 0, "GET and HEAD send no body [POST]", 0, 0},
    {"timeout", 'd', 0, "for the whole exchange [30s]", AP_MS, 30 * AP_DAY},
    {"headers", 'l', 0, "lines \"Name: value\"", 0, 0},
    {"content_type", 's', 0, "of the body [application/json where it is a JSON object or list, else none]", 0, 0},
    {"concurrency", 'i', 0, "how many are under way at once; the rest stays queued [64]", 1, 1024},
    {"expect_status", 'i', 0, "the only status that is a success [any 2xx]", 100, 599},
    {AP_PASS_KEY},
    {"max_output", 'z', 0, "a larger answer fails the task [1MiB]", 1, 1 << 30},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_http = {
    APIARY_AGENT_KIND,
    .name = "http",
    .what = "forwards each task to the service's own port on this machine; the answer's body is the result",
    .keys = keys,
    .create = http_create,
    .handle = http_handle,
    .destroy = http_destroy,
};
