/* perf/base_lmdb.c - values and claims in an LMDB of our own, a transaction each: one whose commits are on the disk when they
 * return, and one without that. Built where liblmdb-dev is.
 */
#ifdef PERF_LMDB
#include <errno.h>
#include <linux/magic.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "perf/store.h"

#define FILLED 10000u /* changes of one transaction, while it is filled */
#define TOKEN "this-is-my-token"

struct store {
    MDB_env *env;
    MDB_dbi dbi;
    MDB_txn *reading; /* renewed for each get */
    MDB_txn *filling;
    unsigned unfilled;
    bool sync;
};

static void base_lmdb_must(int r, const char *what)
{
    if (r != MDB_SUCCESS) perf_die("lmdb: %s: %s", what, mdb_strerror(r));
}

static MDB_val text_val(const char *text)
{
    return (MDB_val){.mv_size = strlen(text), .mv_data = (void *)(uintptr_t)text};
}

static MDB_txn *base_lmdb_begin(const struct store *s, unsigned flags)
{
    MDB_txn *t;

    base_lmdb_must(mdb_txn_begin(s->env, NULL, flags, &t), "begin");
    return t;
}

/* Its files have no name from then on: nothing is left of them. */
static struct store *base_lmdb_make(const char *folder, const struct perf_store_use *use, bool sync)
{
    struct store *s = calloc(1, sizeof *s);
    char path[96], lock[104];
    MDB_txn *t;

    if (s == NULL) perf_die("out of memory");
    s->sync = sync;
    snprintf(path, sizeof path, "%s/apiary-perf-%d-lmdb", folder, (int)getpid());
    snprintf(lock, sizeof lock, "%s-lock", path);
    base_lmdb_must(mdb_env_create(&s->env), "create");
    base_lmdb_must(mdb_env_set_mapsize(s->env, ((size_t)64 << 20) + use->count * (use->size + 256) * 4), "size");
    base_lmdb_must(mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOSYNC, 0600), path);
    unlink(path);
    unlink(lock);
    t = base_lmdb_begin(s, 0);
    base_lmdb_must(mdb_dbi_open(t, NULL, 0, &s->dbi), "database");
    base_lmdb_must(mdb_txn_commit(t), "commit");
    return s;
}

static void *base_lmdb_open(const struct perf_store_use *use, char *why, size_t size)
{
    (void)why;
    (void)size;
    return base_lmdb_make("/dev/shm", use, false);
}

static void *base_lmdb_open_sync(const struct perf_store_use *use, char *why, size_t size)
{
    struct statfs f;

    if (statfs(P_tmpdir, &f) == 0 && f.f_type != TMPFS_MAGIC && f.f_type != RAMFS_MAGIC) return base_lmdb_make(P_tmpdir, use, true);
    snprintf(why, size, "%s is on no disk", P_tmpdir);
    return NULL;
}

static void base_lmdb_store(const struct store *s, MDB_txn *t, const char *key, const void *value, size_t size, unsigned flags)
{
    MDB_val k = text_val(key), v = {.mv_size = size, .mv_data = (void *)(uintptr_t)value};

    base_lmdb_must(mdb_put(t, s->dbi, &k, &v, flags), "put");
}

static void base_lmdb_fill(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;

    if (s->filling == NULL) s->filling = base_lmdb_begin(s, 0);
    base_lmdb_store(s, s->filling, key, value, size, 0);
    if (++s->unfilled < FILLED) return;
    base_lmdb_must(mdb_txn_commit(s->filling), "commit");
    s->filling = NULL;
    s->unfilled = 0;
}

static void base_lmdb_filled(void *store)
{
    struct store *s = store;

    if (s->filling != NULL) base_lmdb_must(mdb_txn_commit(s->filling), "commit");
    if (s->sync) {
        base_lmdb_must(mdb_env_sync(s->env, 1), "sync");
        base_lmdb_must(mdb_env_set_flags(s->env, MDB_NOSYNC, 0), "flags");
    }
    s->reading = base_lmdb_begin(s, MDB_RDONLY);
    mdb_txn_reset(s->reading);
}

static size_t base_lmdb_get(void *store, const char *key, void *value, size_t capacity)
{
    struct store *s = store;
    MDB_val k = text_val(key), v;

    base_lmdb_must(mdb_txn_renew(s->reading), "renew");
    base_lmdb_must(mdb_get(s->reading, s->dbi, &k, &v), "get");
    if (v.mv_size > capacity) perf_die("lmdb: %s has no such value", key);
    memcpy(value, v.mv_data, v.mv_size);
    mdb_txn_reset(s->reading);
    return v.mv_size;
}

static void base_lmdb_put(void *store, const char *key, const void *value, size_t size)
{
    struct store *s = store;
    MDB_txn *t = base_lmdb_begin(s, 0);

    base_lmdb_store(s, t, key, value, size, 0);
    base_lmdb_must(mdb_txn_commit(t), "commit");
}

static int64_t base_lmdb_incr(void *store, const char *key)
{
    struct store *s = store;
    MDB_txn *t = base_lmdb_begin(s, 0);
    MDB_val k = text_val(key), v;
    char text[32] = "";
    long long sum;

    base_lmdb_must(mdb_get(t, s->dbi, &k, &v), "get");
    if (v.mv_size >= sizeof text) perf_die("lmdb: %s is no number", key);
    memcpy(text, v.mv_data, v.mv_size);
    sum = strtoll(text, NULL, 10) + 1;
    base_lmdb_store(s, t, key, text, (size_t)snprintf(text, sizeof text, "%lld", sum), 0);
    base_lmdb_must(mdb_txn_commit(t), "commit");
    return sum;
}

/* As it has no time of its own, a real one would look at that of the value, too. */
static void base_lmdb_hold(void *store, const char *key)
{
    struct store *s = store;
    MDB_txn *t = base_lmdb_begin(s, 0);
    MDB_val k = text_val(key), v;

    base_lmdb_store(s, t, key, TOKEN, sizeof TOKEN, MDB_NOOVERWRITE);
    base_lmdb_must(mdb_txn_commit(t), "commit");
    t = base_lmdb_begin(s, 0);
    base_lmdb_must(mdb_get(t, s->dbi, &k, &v), "get");
    if (v.mv_size != sizeof TOKEN || memcmp(v.mv_data, TOKEN, sizeof TOKEN) != 0) perf_die("lmdb: %s was not held", key);
    base_lmdb_must(mdb_del(t, s->dbi, &k, NULL), "delete");
    base_lmdb_must(mdb_txn_commit(t), "commit");
}

const struct perf_store_kind perf_store_lmdb = {.name = "lmdb",
                                                .setting = "a file in /dev/shm, MDB_NOSYNC; a transaction each, that of a get "
                                                           "renewed; a claim is put with NOOVERWRITE, and has no end",
                                                .open = base_lmdb_open,
                                                .fill = base_lmdb_fill,
                                                .filled = base_lmdb_filled,
                                                .get = base_lmdb_get,
                                                .put = base_lmdb_put,
                                                .incr = base_lmdb_incr,
                                                .hold = base_lmdb_hold};
const struct perf_store_kind perf_store_lmdb_sync = {.name = "lmdb_sync",
                                                     .setting = "the same in a file in " P_tmpdir ", each commit on the disk",
                                                     .served = true, /* by the disk */
                                                     .only_changes = true,
                                                     .open = base_lmdb_open_sync,
                                                     .fill = base_lmdb_fill,
                                                     .filled = base_lmdb_filled,
                                                     .get = base_lmdb_get,
                                                     .put = base_lmdb_put,
                                                     .incr = base_lmdb_incr,
                                                     .hold = base_lmdb_hold};
#else
typedef int perf_no_lmdb; /* a file must not be empty */
#endif
