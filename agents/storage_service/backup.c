/* agents/storage_service/backup.c - kind "storage_backup": copies of the Storage folder's records and files, inside it.
 *
 *   backup {"op":"create","name":N}  -> {"name":N,"files":N,"bytes":N,"sha256":H}   H is over all names and contents, in order
 *          {"op":"verify","name":N}  -> the same, computed anew from the copy, and {"intact":true|false}
 *          {"op":"restore","name":N} -> {"name":N,"files":N,...}; files that the backup does not have are left alone
 *          {"op":"delete","name":N}  -> {"deleted":N files}
 *          {"op":"list"}             -> {"backups":[...],"unfinished":[...]}
 * A backup is made beside, as the folder backups/N.unfinished with records/, files/ and "manifest", and renamed to backups/N when
 * it is whole. One that was cut off is listed as unfinished, is no part of the next one, and goes with "delete".
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "agents/storage_service/directory.h"
#include "agents/storage_service/records.h"

#define UNFINISHED ".unfinished"

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

static int backup_beside(char ret[AP_PATH_MOST], const char *folder)
{
    int n = snprintf(ret, AP_PATH_MOST, "%s" UNFINISHED, folder);
    return n < AP_PATH_MOST ? 0 : -ENAMETOOLONG;
}

/* Whole: whatever ends this in the middle leaves nothing at the place of the backup. */
static int backup_publish(struct backup *b, const char *beside, const char *folder, const char *manifest)
{
    char path[AP_PATH_MOST];
    const char *from, *to;
    int64_t removed = 0;
    int error = backup_join(path, beside, "manifest");
    if (error == 0) error = ap_file_write(b->root, path, manifest, strlen(manifest));
    if (error == 0) error = ap_directory_remove(b->root, folder, &removed); /* of an older version, without a manifest */
    if (error < 0) return error;
    int fd = ap_directory_parent(b->root, beside, false, &from);
    if (fd < 0) return fd;
    int other = ap_directory_parent(b->root, folder, false, &to);
    if (other < 0)
        error = other;
    else if (renameat(fd, from, other, to) < 0 || fsync(fd) < 0)
        error = -errno;
    close(fd);
    if (other >= 0) close(other);
    return error;
}

/* Leftovers of one that died in the middle are no part of it. The text of the manifest, for free(); NULL and *error. */
static char *make_backup(struct backup *b, const char *name, const char *beside, const char *folder, int *error)
{
    static const char *const trees[] = {"records", "files"};
    char path[AP_PATH_MOST];
    int64_t removed = 0;
    for (int i = 0; i < 2; i++) {
        *error = backup_join(path, beside, trees[i]);
        if (*error == 0) *error = ap_directory_remove(b->root, path, &removed);
        if (*error < 0) return NULL;
    }
    json_t *manifest = copy_tree(b, name, "", beside, error);
    char *text = manifest ? ap_json_text(manifest) : NULL;
    json_decref(manifest);
    if (text) *error = backup_publish(b, beside, folder, text);
    if (*error == 0) return text;
    free(text);
    return NULL;
}

static void create_backup(struct backup *b, apiary_job_t *job, const char *name, const char *folder)
{
    char beside[AP_PATH_MOST];
    int error = backup_beside(beside, folder), held = error < 0 ? error : backup_hold(b, beside, true);
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
    char *text = make_backup(b, name, beside, folder, &error);
    backup_let_go(held);
    if (text)
        apiary_job_reply(job, text, strlen(text));
    else
        fail_backup(job, "backup", name, error);
    free(text);
}

/* There is no manifest: because it was never finished, or there is nothing. */
static void fail_missing(struct backup *b, apiary_job_t *job, const char *name, const char *folder)
{
    char beside[AP_PATH_MOST];
    int fd = backup_beside(beside, folder) == 0 ? ap_directory_sub(b->root, beside, false) : -1;
    if (fd < 0) fd = ap_directory_sub(b->root, folder, false);
    if (fd >= 0) {
        close(fd);
        apiary_job_fail(job, AP_CODE_CONFLICT, "the backup \"%s\" was never finished; make it again, or delete it", name);
    } else {
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "there is no backup \"%s\"", name);
    }
}

/* Compares the copy with its manifest; then, for a restore, copies it back: never from a copy that is not intact. */
static void check_backup(struct backup *b, apiary_job_t *job, const char *name, const char *folder, bool restore)
{
    int error;
    json_t *manifest = read_manifest(b, folder, &error),
           *found = manifest ? copy_tree(b, name, folder, NULL, &error) : NULL;
    bool intact = found && json_equal(manifest, found);
    if (error == -ENOENT && !manifest)
        fail_missing(b, job, name, folder);
    else if (!found)
        apiary_job_fail(job, AP_CODE_INTERNAL, "backup \"%s\": %s", name, strerror(error < 0 ? -error : ENOMEM));
    else if (restore && !intact)
        apiary_job_fail(job, AP_CODE_CONFLICT, "the backup \"%s\" is not what its manifest says; nothing is restored",
                        name);
    else if (restore) {
        json_decref(found);
        found = copy_tree(b, name, folder, "", &error);
        if (found && (error = ap_records_migrate(b->root)) < 0) {
            json_decref(found);
            found = NULL;
        }
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

/* The manifest first: what is left is no backup any more. */
static int delete_whole(struct backup *b, const char *folder, int64_t *count)
{
    char path[AP_PATH_MOST];
    int held = backup_hold(b, folder, false), error = held == -ENOENT || held >= 0 ? 0 : held;
    if (error == 0) error = backup_join(path, folder, "manifest");
    if (error == 0) error = ap_file_remove(b->root, path);
    if (error == 0 || error == -ENOENT) error = ap_directory_remove(b->root, folder, count);
    backup_let_go(held);
    return error;
}

static void delete_backup(struct backup *b, apiary_job_t *job, const char *name, const char *folder)
{
    char beside[AP_PATH_MOST];
    int64_t count = 0;
    int error = backup_beside(beside, folder), held = error < 0 ? error : backup_hold(b, beside, false);
    if (held != -ENOENT && held < 0) error = held;
    if (error == 0 && held >= 0) error = ap_directory_remove(b->root, beside, &count);
    if (error == 0) error = delete_whole(b, folder, &count);
    backup_let_go(held);
    if (error < 0)
        fail_backup(job, "deleting", name, error);
    else
        ap_answer(job, "{s:I}", "deleted", (json_int_t)count);
}

/* In the order of names: a backup's manifest, or a file that it has without one. */
static int note_backup(void *user, int root, const char *path, uint64_t size)
{
    json_t *seen = user;
    const char *name = path + strlen("backups/"), *slash = strchr(name, '/');
    (void)root;
    (void)size;
    if (!slash) return 0;
    size_t length = (size_t)(slash - name), tail = strlen(UNFINISHED);
    bool beside = length > tail && memcmp(slash - tail, UNFINISHED, tail) == 0;
    if (beside) length -= tail;
    bool whole = (!beside && strcmp(slash, "/manifest") == 0) || json_is_true(json_object_getn(seen, name, length));
    return json_object_setn_new(seen, name, length, json_boolean(whole)) == 0 ? 0 : -ENOMEM;
}

static void list_backups(struct backup *b, apiary_job_t *job)
{
    json_t *seen = json_object(), *whole = json_array(), *half = json_array(), *is_whole;
    const char *name;
    int error = ap_directory_walk(b->root, "backups", note_backup, seen);
    json_object_foreach(seen, name, is_whole) json_array_append_new(json_is_true(is_whole) ? whole : half, json_string(name));
    if (error < 0)
        apiary_job_fail(job, AP_CODE_INTERNAL, "list: %s", strerror(-error));
    else
        ap_answer(job, "{s:O,s:O}", "backups", whole, "unfinished", half);
    json_decref(seen);
    json_decref(whole);
    json_decref(half);
}

static bool name_valid(const char *name, char folder[AP_PATH_MOST])
{
    size_t size = strlen(name), tail = strlen(UNFINISHED);
    if (size > 80 || strpbrk(name, "/+") || backup_join(folder, "backups", name) < 0 || !ap_path_valid(folder)) return false;
    return size < tail || strcmp(name + size - tail, UNFINISHED) != 0;
}

static void backup_run(void *state, apiary_job_t *job, const json_t *request)
{
    struct backup *b = state;
    const char *op, *name;
    char folder[AP_PATH_MOST];
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "list") == 0) {
        list_backups(b, job);
        return;
    }
    if (!ap_need_text(job, request, "name", &name)) return;
    if (!name_valid(name, folder)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                        "\"name\" is not a name: at most 80 letters, digits, '.', '_', '-', not a dot first, not "
                        UNFINISHED " at the end");
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

const struct ap_function ap_functions_storage_backup[] = {
    {.capability = "backup",
     .call = backup_run,
     .in = "{'oneOf':["
           AP_OBJECT("'op','name'", "'op':{'enum':['create','verify','restore','delete']},"
                      "'name':{'type':'string','minLength':1,'maxLength':80}") ","
           AP_OBJECT("'op'", "'op':{'const':'list'}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "reads and writes every file once",
     .again = "of create is refused, since the backup is there; of the others it does the same again",
     .send = "{\"op\":\"delete\",\"name\":\"check\"}",
     .answer = "{\"deleted\":0}"},
    {.capability = NULL},
};

static void backup_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_storage_backup, state, job);
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
