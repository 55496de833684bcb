/* watch.h - what watches of instances and of memory have in common. */
#ifndef APIARY_ELIXIR_WATCH_H
#define APIARY_ELIXIR_WATCH_H

#include "nif.h"

struct watch_kind {
    int (*next)(void *w, ErlNifEnv *env, ERL_NIF_TERM *ret); /* waits for a second at most: 1 and the event, 0, or an error */
    void (*end)(void *w);
};

/* A resource whose thread sends {apiary_watch, Ref, Event} to the calling process until that ends, watch_stop is called, or the
 * resource is collected. The caller has entered the handle. It takes `w` over, on failure, too. */
ERL_NIF_TERM watch_start(ErlNifEnv *env, struct handle *h, const struct watch_kind *kind, void *w, ERL_NIF_TERM ref);

/* discover.c */
ERL_NIF_TERM instance_map(ErlNifEnv *env, const apiary_instance_t *i);

#endif
