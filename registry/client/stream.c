/* registry/client/stream.c - a client reads the parts of a result as they come. See shm/stream.h. */
#include "registry/client/stream.h"

/* The word before the parts: what is not there when a task has ended will not come. */
int ap_reading_look(const struct apiary *a, apiary_task_t task, struct ap_reading *reading)
{
    struct ap_slot *slot;
    uint64_t word;
    int r;

    if (!ap_task_find(a, task, &slot, &word) || AP_WORD_STATE(word) == AP_TASK_FREE) return APIARY_ESTALE;
    if (AP_WORD_STATE(word) == AP_TASK_RELEASING || ap_abandoned(slot, word)) return APIARY_ESTALE;
    r = ap_stream_read(a->seg, task, word, reading->data, reading->capacity, &reading->part);
    reading->got = r > 0;
    if (r != 0) return r;
    return ap_task_ended(AP_WORD_STATE(word));
}

int apiary_next_part(apiary_t *a, apiary_task_t task, uint64_t timeout, void *data, size_t capacity, apiary_part_t *ret)
{
    struct ap_reading reading = {.data = data, .capacity = capacity};
    apiary_part_t own = {.struct_size = sizeof own};
    int r = ap_usable(a);

    if (r < 0) return r;
    if (ret == NULL || !ap_sized_valid(ret->struct_size, AP_FIRST_PART) || (data == NULL && capacity > 0)) return APIARY_EINVAL;
    r = ap_reading_look(a, task, &reading);
    if (r == 0) r = ap_await_part(a, task, timeout, &reading);
    if (r == 0) return APIARY_ENOTREADY;
    if (r > 0 && !reading.got) r = ap_reading_look(a, task, &reading); /* it may have ended while it was waited for */
    if (r < 0) return r;
    if (!reading.got) return 0;
    own.attempt = reading.part.attempt;
    own.number = reading.part.number;
    own.size = reading.part.size;
    ap_sized_out(ret, ret->struct_size, &own, sizeof own);
    return 1;
}
