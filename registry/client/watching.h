/* registry/client/watching.h - how a thread waits for the next change of what it watches: it parks on the bell of those who watch.
 *
 * A step is 1: something is told; 0: nothing has changed; or an error. It is taken once more after the bell was raised (bell.h).
 * Each park ends after a second at the latest, which nobody needs while all is well.
 */
#ifndef AP_WATCHING_H
#define AP_WATCHING_H

#include "registry/client/client.h"

/* 1; 0: nothing came for `timeout` ns; APIARY_EINTERRUPTED, or a step's error. */
AP_MUST_CHECK int ap_watching(const struct apiary *a, uint32_t *bell, uint64_t timeout, int (*step)(void *watch, void *ret),
                              void *watch, void *ret);

#endif
