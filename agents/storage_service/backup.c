/* agents/storage_service/backup.c - kind "storage_backup": copies of the Storage folder's records and files, inside it.
 *
 *   backup {"op":"create","name":N}  -> {"name":N,"files":N,"bytes":N,"sha256":H}   H is over all names and contents, in order
 *          {"op":"verify","name":N}  -> the same, computed anew from the copy, and {"intact":true|false}
 *          {"op":"restore","name":N} -> {"name":N,"files":N,...}; files that the backup does not have are left alone
 *          {"op":"delete","name":N}  -> {"deleted":N files}
 *          {"op":"list"}             -> {"backups":[...]}
 * A backup is the folder backups/N with records/ and files/, complete once its file "manifest" is there.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "agents/storage_service/directory.h"

struct backup {
    apiary_agent_t *agent;
    int root;
    size_t max_file;
};

struct copy {
    struct backup *backup;
    const char *from, *to; /* folders; "" for the root; to NULL: only read */
    crypto_hash_sha256_state hash;
    json_int_t files, bytes;
};

static int backup_join(char ret[AP_PATH_MOST], const char *folder, const char *path)
{
    int n = snprintf(ret, AP_PATH_MOST, "%s%s%s", folder, folder[0] ? "/" : "", path);
    return n > 0 && n < AP_PATH_MOST ? 0 : -ENAMETOOLONG;
}

static int copy_one(void *user, int root, const char *path, uint64_t size)
{
    struct copy *c = user;
    struct ap_bytes data = {.agent = c->backup->agent};
    const char *name = path + strlen(c->from) + (c->from[0] != '\0'); /* relative to the tree that is copied */
    char to[AP_PATH_MOST];
    uint64_t length;
    (void)size;
    int error = ap_file_read(root, path, c->backup->max_file, &data);
    if (error == -ENOENT) /* deleted meanwhile */
        return 0;
    if (error == 0 && c->to) error = backup_join(to, c->to, name);
    if (error == 0 && c->to) error = ap_file_write(root, to, data.data ? data.data : "", data.size);
    length = data.size;
    crypto_hash_sha256_update(&c->hash, (const unsigned char *)name, strlen(name) + 1);
    crypto_hash_sha256_update(&c->hash, (const unsigned char *)&length, sizeof length);
    if (data.size > 0) crypto_hash_sha256_update(&c->hash, (const unsigned char *)data.data, data.size);
    c->files++;
    c->bytes += (json_int_t)data.size;
    ap_bytes_free(&data);
    return error;
}

/* Copies (or only reads, with to NULL) records and files. A new reference; NULL and *error on failure. */
static json_t *copy_tree(struct backup *b, const char *name, const char *from, const char *to, int *error)
{
    static const char *const trees[] = {"records", "files"};
    struct copy c = {.backup = b, .from = from, .to = to};
    unsigned char digest[crypto_hash_sha256_BYTES];
    char hex[65], path[AP_PATH_MOST];
    crypto_hash_sha256_init(&c.hash);
    *error = 0;
    for (int i = 0; i < 2 && *error == 0; i++) {
        *error = backup_join(path, from, trees[i]);
        if (*error == 0) *error = ap_directory_walk(b->root, path, copy_one, &c);
    }
    if (*error < 0) return NULL;
    crypto_hash_sha256_final(&c.hash, digest);
    ap_hex(digest, sizeof digest, hex);
    return json_pack("{s:s,s:I,s:I,s:s}", "name", name, "files", c.files, "bytes", c.bytes, "sha256", hex);
}

static json_t *read_manifest(struct backup *b, const char *folder, int *error)
{
    char path[AP_PATH_MOST];
    struct ap_bytes data = {.agent = b->agent};
    json_t *manifest = NULL;
    *error = backup_join(path, folder, "manifest");
    if (*error == 0) *error = ap_file_read(b->root, path, 4096, &data);
    if (*error == 0 && !(manifest = json_loadb(data.data ? data.data : "", data.size, 0, NULL))) *error = -EBADMSG;
    ap_bytes_free(&data);
    return manifest;
}

static int remove_one(void *count, int root, const char *path, uint64_t size)
{
    (void)size;
    int error = ap_file_remove(root, path);
    if (error == 0) ++*(json_int_t *)count;
    return error == -ENOENT ? 0 : error;
}

/* Only one at a time makes or deletes a backup, of all agents and instances; the kernel ends that at their death. The folder of
 * the backup, to be given back; -EWOULDBLOCK: another one is at it. */
static int backup_hold(struct backup *b, const char *folder, bool make)
{
    int fd = ap_directory_sub(b->root, folder, make);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* A child that another thread has just forked may have the descriptor for a moment longer. */
static void backup_let_go(int fd)
{
    if (fd < 0) return;
    flock(fd, LOCK_UN);
    close(fd);
}

static void fail_backup(apiary_job_t *job, const char *what, const char *name, int error)
{
    if (error == -EWOULDBLOCK)
        apiary_job_fail(job, AP_CODE_CONFLICT, "the backup \"%s\" is being made or deleted at this moment", name);
    else
        apiary_job_fail(job, error == -ENOSPC || error == -EDQUOT ? AP_CODE_FULL : AP_CODE_INTERNAL, "%s \"%s\": %s", what, name,
                        strerror(error < 0 ? -error : ENOMEM));
}

/* Leftovers of one that died in the middle are no part of it. */
static json_t *make_backup(struct backup *b, const char *name, const char *folder, int *error)
{
    json_int_t left = 0;
    *error = ap_directory_walk(b->root, folder, remove_one, &left);
    return *error == 0 ? copy_tree(b, name, "", folder, error) : NULL;
}

static void create_backup(struct backup *b, apiary_job_t *job, const char *name, const char *folder)
{
    char path[AP_PATH_MOST];
    int held = backup_hold(b, folder, true), error;
    if (held < 0) {
        fail_backup(job, "backup", name, held);
        return;
    }
    json_t *there = read_manifest(b, folder, &error);
    if (there || error != -ENOENT) {
        backup_let_go(held);
        json_decref(there);
        apiary_job_fail(job, AP_CODE_CONFLICT, "the backup \"%s\" is there already; delete it first", name);
        return;
    }
    json_t *manifest = make_backup(b, name, folder, &error);
    char *text = manifest ? ap_json_text(manifest) : NULL;
    if (text) error = backup_join(path, folder, "manifest");
    if (text && error == 0) error = ap_file_write(b->root, path, text, strlen(text));
    backup_let_go(held);
    if (error < 0 || !text)
        fail_backup(job, "backup", name, error);
    else
        apiary_job_reply(job, text, strlen(text));
    free(text);
    json_decref(manifest);
}

/* Compares the copy with its manifest; then, for a restore, copies it back: never from a copy that is not intact. */
static void check_backup(struct backup *b, apiary_job_t *job, const char *name, const char *folder, bool restore)
{
    int error;
    json_t *manifest = read_manifest(b, folder, &error),
           *found = manifest ? copy_tree(b, name, folder, NULL, &error) : NULL;
    bool intact = found && json_equal(manifest, found);
    if (error == -ENOENT && !manifest)
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "there is no backup \"%s\"", name);
    else if (!found)
        apiary_job_fail(job, AP_CODE_INTERNAL, "backup \"%s\": %s", name, strerror(error < 0 ? -error : ENOMEM));
    else if (restore && !intact)
        apiary_job_fail(job, AP_CODE_CONFLICT, "the backup \"%s\" is not what its manifest says; nothing is restored",
                        name);
    else if (restore) {
        json_decref(found);
        found = copy_tree(b, name, folder, "", &error);
        if (found)
            ap_reply(job, json_incref(found));
        else
            apiary_job_fail(job, AP_CODE_INTERNAL, "restoring \"%s\": %s", name, strerror(error < 0 ? -error : ENOMEM));
    } else {
        json_object_set_new(found, "intact", json_boolean(intact));
        ap_reply(job, json_incref(found));
    }
    json_decref(manifest);
    json_decref(found);
}

static void delete_backup(struct backup *b, apiary_job_t *job, const char *name, const char *folder)
{
    char path[AP_PATH_MOST];
    json_int_t count = 0;
    int held = backup_hold(b, folder, false), error = held == -ENOENT || held >= 0 ? 0 : held;
    if (error == 0) error = backup_join(path, folder, "manifest");
    if (error == 0) error = ap_file_remove(b->root, path); /* first: what is left is no backup any more */
    if (error == 0 || error == -ENOENT)                    /* or one that was never completed */
        error = ap_directory_walk(b->root, folder, remove_one, &count);
    backup_let_go(held);
    if (error < 0)
        fail_backup(job, "deleting", name, error);
    else
        ap_answer(job, "{s:I}", "deleted", count);
}

static int list_one(void *list, int root, const char *path, uint64_t size)
{
    const char *name = path + strlen("backups/"), *slash = strchr(name, '/');
    (void)root;
    (void)size;
    if (slash && strcmp(slash, "/manifest") == 0)
        json_array_append_new(list, json_stringn(name, (size_t)(slash - name)));
    return 0;
}

static void backup_run(void *state, apiary_job_t *job, const json_t *request)
{
    struct backup *b = state;
    const char *op, *name;
    char folder[AP_PATH_MOST];
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "list") == 0) {
        json_t *list = json_array();
        ap_directory_walk(b->root, "backups", list_one, list);
        ap_answer(job, "{s:o}", "backups", list);
        return;
    }
    if (!ap_need_text(job, request, "name", &name)) return;
    if (strchr(name, '/') || backup_join(folder, "backups", name) < 0 || !ap_path_valid(folder)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                        "\"name\" is not a name: letters, digits, '.', '_', '-', not a dot first");
        return;
    }
    if (strcmp(op, "create") == 0)
        create_backup(b, job, name, folder);
    else if (strcmp(op, "verify") == 0 || strcmp(op, "restore") == 0)
        check_backup(b, job, name, folder, op[0] == 'r');
    else if (strcmp(op, "delete") == 0)
        delete_backup(b, job, name, folder);
    else
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; create, verify, restore, delete, list are allowed",
                        op);
}

static void backup_handle(void *state, apiary_job_t *job)
{
    static const struct ap_function functions[] = {{"backup", backup_run}, {NULL, NULL}};
    ap_dispatch(functions, state, job);
}

static int backup_create(apiary_agent_t *agent, void **state)
{
    struct backup *b = apiary_agent_alloc(agent, sizeof *b);
    if (!b) return APIARY_ENOBLOCK;
    *b = (struct backup){.agent = agent, .root = ap_directory_open(agent)};
    b->max_file = (size_t)apiary_agent_number(agent, "max_file", 1024 * 1024);
    if (b->root < 0) {
        int error = b->root;
        apiary_agent_free(agent, b);
        return ap_directory_error(error);
    }
    *state = b;
    return 0;
}

static void backup_destroy(void *state)
{
    struct backup *b = state;
    close(b->root);
    apiary_agent_free(b->agent, b);
}

static const apiary_agent_key_t keys[] = {
    {"directory", 'p', 0, "the same as the service's storage_files agent", 0, 0},
    {"max_file", 'z', 0, "the largest file [1MiB]", 1, 1 << 30},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_storage_backup = {
    APIARY_AGENT_KIND,
    .name = "storage_backup",
    .what = "backup: checksummed copies of the Storage folder's records and files",
    .keys = keys,
    .create = backup_create,
    .handle = backup_handle,
    .destroy = backup_destroy,
    .capabilities = (const char *const[]){"backup", NULL},
};
