/* apiary/discovery.h - who is registered: the instances of services, as they are, and each change of them.
 *
 * The conventions are those of <apiary.h>. apiary_discover tells who offers a capability.
 */
#ifndef APIARY_DISCOVERY_H
#define APIARY_DISCOVERY_H

#include "../apiary.h"

#ifdef __cplusplus
extern "C" {
#endif

#define APIARY_TAGS_MAX 247 /* bytes of all tags of an instance, with a space between */

/* A registered instance of a service. */
typedef struct apiary_instance {
    size_t struct_size;
    char service[APIARY_NAME_MAX + 1], instance[APIARY_NAME_MAX + 1], version[APIARY_NAME_MAX + 1];
    char tags[APIARY_TAGS_MAX + 1]; /* words as names of services are, with a space between; "": none */
    char health_endpoint[128], metrics_endpoint[128];
    uint64_t registration; /* names this registration of it: a later one has a greater number; never 0 */
    uint64_t registered;   /* CLOCK_REALTIME, ns */
    int64_t pid;           /* of its queen, in her own pid namespace; 0: it is down */
    enum apiary_mode mode; /* the operator's; APIARY_DRAIN while its queen, told to stop, finishes its tasks */
    uint32_t alive;        /* 0: its queen has left, or died */
    uint32_t weight, max_delegations;
    uint16_t port; /* 0: none */
    uint16_t reserved16;
    uint32_t reserved;
} apiary_instance_t;

/* Which instances are meant: those to which all that is said applies. */
typedef struct apiary_instance_query {
    size_t struct_size;
    const char *service; /* NULL: any. "name@2": those whose version is 2, or begins with "2." */
    const char *tags;    /* NULL: any. With a space between: those that have each of these */
} apiary_instance_query_t;

/* The instances that are known, those that are down, too: fills at most `capacity` rows and returns how many there are. A read of
 * the segment, no lock. `query` may be NULL: all. `ret` may be NULL where capacity is 0. APIARY_EINVAL: the query has no valid
 * name, or tag. */
APIARY_API int apiary_instances(apiary_t *a, const apiary_instance_query_t *query, apiary_instance_t *ret, size_t capacity);

/* A watch: the registered instances that are meant, as they are, and then each change of them.
 * 1 At first PRESENT for each instance that is registered, then SYNCED, then the changes, none missed and none told twice, those
 *   of one instance in their order. Each comes with the instance as the change left it.
 * 2 Each change has a revision. With the last one that it has seen, a watch goes on where another one was: it is told what came
 *   after that, and no set. The segment keeps the last instance_changes of them, of all instances together.
 * 3 BEHIND: some of what came before is not known any more. The reader then forgets what it knows; the present set follows, and
 *   SYNCED. It comes first where a revision is too old, or of another segment, and later to a reader that is too slow.
 * 4 A reader that is slow, and not behind, may be told of a registration that has ended since. Then its instance has names, mode
 *   and weight alone: all else is 0, or "".
 * 5 A limit that a reload changes is no change in this sense: an instance comes with the one that the watch found first.
 * 6 One thread at a time uses a watch. It remembers each instance, in memory of its process. */
typedef struct apiary_instance_watch apiary_instance_watch_t;
enum apiary_instance_event {
    APIARY_INSTANCE_PRESENT = 1,
    APIARY_INSTANCE_SYNCED = 2,
    APIARY_INSTANCE_REGISTERED = 3,
    APIARY_INSTANCE_MODE = 4,   /* the operator has changed its mode, or its queen was told to stop */
    APIARY_INSTANCE_WEIGHT = 5, /* the operator has changed its weight, or its queen by a reload */
    APIARY_INSTANCE_LEFT = 6,   /* its queen has stopped */
    APIARY_INSTANCE_DIED = 7,   /* its queen was killed, or has ended without a word */
    APIARY_INSTANCE_BEHIND = 8
};
typedef struct apiary_instance_change {
    size_t struct_size;
    uint64_t event;    /* enum apiary_instance_event */
    uint64_t revision; /* of SYNCED and of changes; 0: none to go on from */
} apiary_instance_change_t;

/* `query` as above. `revision`: 0 for the present set. APIARY_EINVAL, _ENOBLOCK, _EREADONLY. */
APIARY_API int apiary_instance_watch(apiary_t *a, const apiary_instance_query_t *query, uint64_t revision,
                                     apiary_instance_watch_t **ret);
/* Waits for the next one, at most `timeout` ns: 1; 0: there was none. 0 does not wait; APIARY_FOREVER. `instance` is left alone for
 * SYNCED and BEHIND. APIARY_EINTERRUPTED; _ENOBLOCK: ask again, nothing is lost. Signals, pthread_cancel: as with apiary_await. */
APIARY_API int apiary_instance_next(apiary_instance_watch_t *w, uint64_t timeout, apiary_instance_change_t *ret,
                                    apiary_instance_t *instance);
APIARY_API void apiary_instance_unwatch(apiary_instance_watch_t *w); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
