/* agents/runtime/kind.c - a kind as this library knows it, whatever version of the public face its program was built
 * with. See kind.h. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "core/apiary/swarm.h"
#include "core/sized.h"
#include "core/text.h"

_Static_assert(sizeof(apiary_agent_kind_t) >= AP_FIRST_AGENT_KIND, "structures only grow");
_Static_assert(sizeof(apiary_agent_key_t) >= AP_FIRST_AGENT_KEY, "structures only grow");
_Static_assert(sizeof(apiary_agent_description_t) >= AP_FIRST_AGENT_DESCRIPTION, "structures only grow");
_Static_assert(sizeof(apiary_swarm_description_t) >= AP_FIRST_SWARM_DESCRIPTION, "structures only grow");

/* A kind of another version, and what it is here; they stay for the life of the process, as plug-ins do. */
struct adopted {
    struct adopted *next;
    const apiary_agent_kind_t *from;
    apiary_agent_kind_t kind;
    apiary_agent_key_t keys[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct adopted *list;

static size_t count_keys(const apiary_agent_kind_t *kind)
{
    const char *at = (const void *)kind->keys;
    size_t n = 0;

    if (at == NULL) return 0;
    while (((const apiary_agent_key_t *)(const void *)(at + n * kind->key_size))->name != NULL) n++;
    return n;
}

static int adopt(const apiary_agent_kind_t *from, const apiary_agent_kind_t **ret)
{
    apiary_agent_kind_t own;
    struct adopted *a;
    size_t n;
    int r = ap_sized_in(&own, sizeof own, AP_FIRST_AGENT_KIND, from, from->struct_size);

    if (r < 0) return r;
    n = count_keys(&own);
    a = calloc(1, sizeof *a + (n + 1) * sizeof a->keys[0]);
    if (a == NULL) return APIARY_ENOBLOCK;
    for (size_t i = 0; r == 0 && i < n; i++) {
        const char *key = (const char *)own.keys + i * own.key_size;
        size_t known = sizeof a->keys[0] < own.key_size ? sizeof a->keys[0] : own.key_size;

        memcpy(&a->keys[i], key, known);
        for (size_t k = known; k < own.key_size; k++)
            if (key[k] != 0) r = APIARY_ENOTSUP;
    }
    if (r < 0) {
        free(a);
        return r;
    }
    a->from = from;
    a->kind = own;
    a->kind.keys = own.keys != NULL ? a->keys : NULL;
    a->kind.key_size = sizeof a->keys[0];
    a->next = list;
    list = a;
    *ret = &a->kind;
    return 0;
}

static int kind_refuse(int error, char *message, size_t size, const char *what)
{
    if (message != NULL) ap_format(message, size, "%s", what);
    return error;
}

int ap_agent_kind_adopt(const apiary_agent_kind_t *kind, const apiary_agent_kind_t **ret, char *message, size_t size)
{
    char what[160];
    int r = 0;

    if (kind == NULL) return kind_refuse(APIARY_EINVAL, message, size, "its kind is missing; apiary_kind has none of a name "
                                                                       "that it does not know");
    if (!ap_sized_valid(kind->struct_size, AP_FIRST_AGENT_KIND))
        return kind_refuse(APIARY_EINVAL, message, size, "its kind is of an older agent interface, or does not begin with "
                                                         "APIARY_AGENT_KIND; build it again");
    if (kind->abi != APIARY_AGENT_ABI) {
        ap_format(what, sizeof what, "its kind is of agent interface %u, this program has %u; build it again", kind->abi,
                  APIARY_AGENT_ABI);
        return kind_refuse(APIARY_EINVAL, message, size, what);
    }
    if (!ap_sized_valid(kind->key_size, AP_FIRST_AGENT_KEY))
        return kind_refuse(APIARY_EINVAL, message, size, "its kind's key_size is not that of apiary_agent_key_t; begin it with "
                                                         "APIARY_AGENT_KIND");
    if (kind->name == NULL || kind->name[0] == '\0') return kind_refuse(APIARY_EINVAL, message, size, "its kind has no name");
    if (kind->handle == NULL) return kind_refuse(APIARY_EINVAL, message, size, "its kind lacks handle");
    if (kind->struct_size == sizeof *kind && kind->key_size == sizeof *kind->keys) {
        *ret = kind;
        return 0;
    }
    pthread_mutex_lock(&lock);
    for (const struct adopted *a = list; a != NULL; a = a->next) {
        if (a->from != kind) continue;
        *ret = &a->kind;
        pthread_mutex_unlock(&lock);
        return 0;
    }
    r = adopt(kind, ret);
    pthread_mutex_unlock(&lock);
    if (r == APIARY_ENOTSUP) return kind_refuse(r, message, size, "uses a field that only a newer version of this program has");
    return r < 0 ? kind_refuse(r, message, size, apiary_strerror(r)) : 0;
}
