/* tools/apiaryd/own.h - the endpoints that a swarm has for itself: /health and /metrics of it alone, at the address that is its
 * `listen` in the configuration. They are served for it by the coordinator, and live as long as that.
 *
 * ANSWERS   /health 200 while an instance of the service passes, else 503; both with what /v1/status says of it. /metrics what is
 *           counted of it: its instances, agents and processes, what it calls, the capabilities that its agents offer.
 * THREAD    One for all of them, which nobody waits for. It has no lane, and no signal is for it.
 * LIMITS    OWN_CONNECTIONS at a time for each service, so that the readers of one take nothing from another; the rest of them are
 *           those of http.h: HTTP_IDLE, HTTP_WHOLE, HTTP_REQUEST. One more waits until another one ends. Requests are judged by
 *           tools/common/request.h.
 * FAULTS    An address that cannot be had is logged and entered as an event once, and tried again.
 */
#ifndef AP_TOOLS_APIARYD_OWN_H
#define AP_TOOLS_APIARYD_OWN_H

#include "tools/apiaryd/http.h"

#define OWN_CONNECTIONS 16u

struct own;
/* Of each swarm of the deployment, which outlives it, that has an address. *ret is NULL where there is none. False, and a sentence
 * in `why`: there is no thread. `hosts`: as in http_options. */
AP_MUST_CHECK bool own_start(apiary_t *a, const char *segment, const char *hosts, const struct ap_deployment *d,
                             struct own **ret, char why[HTTP_WHY]);
void own_stop(struct own *o); /* NULL is allowed */

/* own_answer.c: of a path that is "/health" or "/metrics". False: no memory. */
AP_MUST_CHECK bool own_answer(apiary_t *a, const char *segment, const char *service, const char *path, bool openmetrics,
                              struct http_answer *ret);
AP_MUST_CHECK bool own_refusal(const struct request_verdict *v, struct http_answer *ret);

#endif
