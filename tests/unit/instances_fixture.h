/* tests/unit/instances_fixture.h - a small segment with a short log of instances; registrations, changes of them, and a watch. */
#ifndef INSTANCES_FIXTURE_H
#define INSTANCES_FIXTURE_H

#include "tests/unit/registry_fixture.h"

#include "registry/discovery/changes.h"

#define ROWS 8u

static inline void instances_setup(void)
{
    struct ap_geometry g = small;

    AP_REGISTRY_NUMBER(&g, INSTANCES) = ROWS;
    segment_make(&g);
    client = attach_as("caller");
}
static inline uint32_t own_lane(void)
{
    return client->anchor->lane.index;
}

static inline struct ap_swarm_registration enrol(const char *service, const char *instance, const char *version, const char *tags)
{
    struct ap_swarm_registration r = {.service = service, .instance = instance, .version = version, .tags = tags, .port = 4009,
                                      .health_endpoint = "http://localhost/h", .metrics_endpoint = "http://localhost/m",
                                      .lane = own_lane(), .member = client->member};

    cr_assert_eq(ap_swarm_register(client->seg, &r), 0);
    return r;
}

static inline void leave(const struct ap_swarm_registration *r)
{
    ap_swarm_deregister(client->seg, own_lane(), r);
}

/* As the reaper of a queen that was killed. */
static inline void end(const struct ap_swarm_registration *r)
{
    ap_swarm_end(client->seg, r->swarm, ap_swarm_at(client->seg, r->swarm)->life);
}

static apiary_instance_change_t told;
static apiary_instance_t whose;

static inline apiary_instance_watch_t *watch(const char *service, const char *tags, uint64_t revision)
{
    apiary_instance_query_t query = {.struct_size = sizeof query, .service = service, .tags = tags};
    apiary_instance_watch_t *w = NULL;

    cr_assert_eq(apiary_instance_watch(client, &query, revision, &w), 0);
    return w;
}

/* The next one, without waiting; 0: there is none. */
static inline uint64_t next(apiary_instance_watch_t *w)
{
    int r;

    told = (apiary_instance_change_t){.struct_size = sizeof told};
    whose = (apiary_instance_t){.struct_size = sizeof whose};
    r = apiary_instance_next(w, 0, &told, &whose);
    cr_assert_geq(r, 0, "%d", r);
    return r == 1 ? told.event : 0;
}

#define NEXT(w, wanted, of)                                             \
    do {                                                                \
        uint64_t event_ = next(w);                                      \
        cr_assert_eq(event_, (uint64_t)(wanted), "event %d", (int)event_); \
        cr_expect_str_eq(whose.service, of);                            \
    } while (0)
#define NOTHING(w) cr_assert_eq(next(w), 0, "event %d of %s", (int)told.event, whose.service)

static inline void mode(const struct ap_swarm_registration *r, enum apiary_mode to)
{
    cr_assert_eq(ap_swarm_mode_set(client->seg, r->swarm, r->service, r->instance, to, NULL), 1);
}

static inline void weight(const struct ap_swarm_registration *r, int to)
{
    cr_assert_eq(ap_swarm_weight_set(client->seg, r->swarm, r->service, r->instance, to), 1);
}

#endif
