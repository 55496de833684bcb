/* tools/operate/dead.c - entries of the dead set: which ones, and what becomes of them. See operate.h. */
#include <string.h>

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

int operate_retry(apiary_t *a, uint64_t number, apiary_task_t *ret)
{
    apiary_dead_t d = {.struct_size = sizeof d};
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL};
    apiary_t *own = NULL;
    int r = number > 0 ? apiary_dead_next(a, number - 1, &d) : 0;

    if (r < 0) return r;
    if (r == 0 || d.number != number) return APIARY_ESTALE;
    options.swarm = d.caller[0] != '\0' ? d.caller : NULL;
    r = apiary_attach_fd(apiary_segment_fd(a), &options, &own);
    if (r < 0) return r;
    r = apiary_dead_retry(own, number, ret);
    apiary_detach(own);
    return r;
}

int operate_discard(apiary_t *a, uint64_t number, apiary_task_t *ret)
{
    (void)ret;
    return apiary_dead_discard(a, number);
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
