/* tools/apiaryd/http_call.c - requests that `apiary up` has, whose connections rest until it has answered. See http.h. */
#include <stdlib.h>
#include <unistd.h>

#include "tools/apiaryd/http_inside.h"

bool http_call_begin(struct http_request *r, int fd)
{
    struct http *h = r->of;

    for (unsigned i = 0; i < HTTP_CALLS; i++) {
        if (h->calls[i].request != NULL) continue;
        h->calls[i] = (struct http_call){.request = r, .fd = fd, .until = h->a->seg->ops->now() + HTTP_SUPERVISED};
        r->called = true;
        MHD_suspend_connection(r->connection);
        return true;
    }
    close(fd);
    return false;
}

/* The library asks for its answer again. */
static void call_resume(struct http_call *c, bool ok)
{
    c->told = true;
    c->request->answered = ok;
    MHD_resume_connection(c->request->connection);
}

/* The answer is taken, and its descriptor closed; where there is no memory for that, the asker and the event are not told. */
static bool call_answer(struct http_call *c, struct http_answer *ret)
{
    bool ok = tool_spare_begin();

    if (ok) ok = http_change_answered(&c->request->asked, &c->request->demand, supervisor_answer(c->fd), ret);
    else close(c->fd);
    return tool_spare_end() && ok;
}

/* The request is its connection's again; where the asker was told that it goes on, only the event is left. */
static void call_end(struct http_call *c)
{
    struct http_request *r = c->request;
    struct http_answer late = {.body = NULL};

    if (!c->told) {
        call_resume(c, call_answer(c, &r->answer));
    } else {
        (void)call_answer(c, &late);
        free(late.body);
    }
    c->request = NULL;
    if (r->connection == NULL) http_request_free(r);
}

/* Nobody will hear the answer. */
static void call_leave(struct http_call *c)
{
    struct http_request *r = c->request;
    struct http_answer late = {.body = NULL};

    close(c->fd);
    if (!c->told) {
        call_resume(c, http_change_left(&r->asked, &r->demand, &r->answer));
    } else {
        if (!http_change_left(&r->asked, &r->demand, &late)) late.body = NULL;
        free(late.body);
    }
    c->request = NULL;
    if (r->connection == NULL) http_request_free(r);
}

void http_calls_tend(struct http *h, uint64_t now)
{
    for (unsigned i = 0; i < HTTP_CALLS; i++) {
        struct http_call *c = &h->calls[i];
        struct pollfd fd = {.fd = c->fd, .events = POLLIN};

        if (c->request == NULL) continue;
        if (poll(&fd, 1, 0) == 1) call_end(c);
        else if (!c->told && now >= c->until) call_resume(c, http_change_goes_on(&c->request->answer));
    }
}

unsigned http_calls_poll(const struct http *h, struct pollfd fds[HTTP_CALLS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < HTTP_CALLS; i++)
        if (h->calls[i].request != NULL) fds[n++] = (struct pollfd){.fd = h->calls[i].fd, .events = POLLIN};
    return n;
}

uint64_t http_calls_due(const struct http *h)
{
    uint64_t ret = UINT64_MAX;

    for (unsigned i = 0; i < HTTP_CALLS; i++) {
        const struct http_call *c = &h->calls[i];

        if (c->request != NULL && !c->told && c->until < ret) ret = c->until;
    }
    return ret;
}

void http_call_forget(struct http_request *r)
{
    for (unsigned i = 0; i < HTTP_CALLS; i++) {
        if (r->of->calls[i].request != r) continue;
        r->connection = NULL;
        return;
    }
    http_request_free(r);
}

void http_calls_end(struct http *h)
{
    for (unsigned i = 0; i < HTTP_CALLS; i++)
        if (h->calls[i].request != NULL) call_leave(&h->calls[i]);
}
