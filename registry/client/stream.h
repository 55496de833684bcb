/* registry/client/stream.h - a client reads parts of a result (shm/stream.h), shared by stream.c and await.c. */
#ifndef AP_CLIENT_STREAM_H
#define AP_CLIENT_STREAM_H

#include "registry/client/client.h"

/* A reader's buffer, and the part that it was given; private. */
struct ap_reading {
    void *data;
    size_t capacity;
    struct ap_stream_part part;
    bool got; /* `part` is filled */
};

/* 1: there is a part (got), or none will come any more; 0 neither; or an error. Never blocks. */
AP_MUST_CHECK int ap_reading_look(const struct apiary *a, apiary_task_t task, struct ap_reading *reading);
/* Waits until one of these: as ap_reading_look, but 1, too, when the task has ended at its deadline after all; 0 only without a
 * timeout. Else an error of apiary_await. After a look that found nothing. */
AP_MUST_CHECK int ap_await_part(struct apiary *a, apiary_task_t task, uint64_t timeout, struct ap_reading *reading);

#endif
