/* tools/operate/dead.c - entries of the dead set: which ones, and what becomes of them. See operate.h. */
#include <string.h>

#include "core/text.h"
#include "tools/operate/operate.h"

bool operate_cause_known(const char *cause)
{
    static const char *const causes[] = {"crashed", "lost", "failed", "overrun"};

    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (strcmp(cause, causes[i]) == 0) return true;
    return false;
}

bool operate_takes(const struct operate_filter *f, const apiary_dead_t *d)
{
    return (f->capability == NULL || strcmp(f->capability, d->capability) == 0) &&
           (f->service == NULL || strcmp(f->service, d->service) == 0) &&
           (f->cause == NULL || strcmp(f->cause, view_dead_cause(d)) == 0) && d->died <= f->before;
}

static void caller_end(struct operate_caller *c)
{
    apiary_detach(c->a);
    c->a = NULL;
}

void operate_end(struct operate_hands *h)
{
    for (unsigned i = 0; i < OPERATE_CALLERS; i++)
        if (h->callers[i].a != NULL) caller_end(&h->callers[i]);
}

/* A handle of that caller, "": of none. */
static int caller_of(struct operate_hands *h, const char *name, apiary_t **ret)
{
    const apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL,
                                             .swarm = *name != '\0' ? name : NULL};
    struct operate_caller *c = &h->callers[h->next];
    int r;

    for (unsigned i = 0; i < OPERATE_CALLERS; i++) {
        if (h->callers[i].a == NULL || strcmp(h->callers[i].name, name) != 0) continue;
        *ret = h->callers[i].a;
        return 0;
    }
    if (c->a != NULL) caller_end(c);
    r = apiary_attach_fd(apiary_segment_fd(h->a), &options, &c->a);
    if (r < 0) return r;
    h->next = (h->next + 1) % OPERATE_CALLERS;
    ap_text_copy(c->name, name, sizeof c->name);
    *ret = c->a;
    return 0;
}

int operate_retry(struct operate_hands *h, uint64_t number, apiary_task_t *ret)
{
    apiary_dead_t d = {.struct_size = sizeof d};
    apiary_t *caller;
    int r = number > 0 ? apiary_dead_next(h->a, number - 1, &d) : 0;

    if (r < 0) return r;
    if (r == 0 || d.number != number) return APIARY_ESTALE;
    r = caller_of(h, d.caller, &caller);
    return r < 0 ? r : apiary_dead_retry(caller, number, ret);
}

int operate_discard(struct operate_hands *h, uint64_t number, apiary_task_t *ret)
{
    (void)ret;
    return apiary_dead_discard(h->a, number);
}

bool operate_each(apiary_t *a, const struct operate_filter *f, uint32_t most, void (*one)(void *user, uint64_t number), void *user)
{
    apiary_dead_t d = {.struct_size = sizeof d};
    uint64_t last = 0, number = 0;
    uint32_t n = 0;

    while (apiary_dead_next(a, last, &d) == 1) last = d.number;
    while (number < last && apiary_dead_next(a, number, &d) == 1 && d.number <= last) {
        number = d.number;
        if (!operate_takes(f, &d)) continue;
        if (n++ == most) return true;
        one(user, number);
    }
    return false;
}
