/* agents/storage_service/files.c - kind "storage_files": records and files that outlive the process, under one folder.
 *
 *   data_persistence  {"op":"put","key":K,"value":ANY} -> {"stored":true,"sha256":H}
 *                     {"op":"get","key":K}             -> {"found":true,"value":ANY,"sha256":H} or {"found":false}
 *                     {"op":"delete","key":K}          -> {"deleted":true|false}
 *                     {"op":"list","after":K,"limit":N} -> {"keys":[...],"more":true|false}   from behind K on, both optional
 *   data_consistency  {} -> {"checked":N,"damaged":[keys],"consistent":true}   every record against its stored checksum, in
 *                     slices between which the worker has other tasks
 *   file_management   {"op":"write","path":P,"text":T} | {"op":"read"|"stat"|"delete","path":P} |
 *                     {"op":"rename","path":P,"to":P} | {"op":"list","path":P or absent,"after":P,"limit":N}
 * All instances of a service have the folder in common: what one has written another one reads.
 * A record is a file (records.h): the SHA-256 of its JSON text, a line feed, the text. Files are under files/, and there a name is
 * either a file or a folder. A folder is there as long as it has a file.
 * Writes are synced before they are answered, by the worker itself: give the agent a worker of its own on a slow disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "agents/storage_service/directory.h"
#include "agents/storage_service/records.h"

#define LIST_MOST 10000
#define SCRUB_OPEN 10000 /* steps of a slice: to open a file, beside one for each byte */
#define FILE_COST 256 /* of the quota, for its name and place: an empty file is no gift */
#define PATH_MOST 300 /* with the depth below: a backup puts "backups/NAME/" before it */
#define ANSWER_MORE 128 /* around the record that "get" answers */
enum { SUM = 64 };    /* hex digits before a record's line feed */

struct files {
    apiary_agent_t *agent;
    int root;
    size_t max_file;
    uint64_t quota, used; /* used: as counted last, and by what this agent has written and removed since */
    uint64_t written;     /* since it was counted */
};

/* The folder's files are those of other instances, too, and of backups. So they are counted anew before a write is refused, and
 * when a part of the quota was written since: n instances together go beyond it by n - 1 such parts and files at most. */
#define QUOTA_PARTS 16

static void fail_errno(apiary_job_t *job, const char *what, const char *path, int error)
{
    if (error == -EISDIR || error == -EEXIST || error == -ENOTEMPTY) {
        apiary_job_fail(job, AP_CODE_CONFLICT, "%s %s: it is a folder: names of others begin with it", what, path);
        return;
    }
    if (error == -ENOTDIR && strcmp(what, "write") == 0) {
        apiary_job_fail(job, AP_CODE_CONFLICT, "%s %s: Not a directory: the name of a file or link begins it", what, path);
        return;
    }
    uint32_t code = error == -ENOENT || error == -ENOTDIR  ? AP_CODE_NOT_FOUND
                    : error == -EFBIG                      ? AP_CODE_TOO_LARGE
                    : error == -EINVAL || error == -ELOOP  ? AP_CODE_BAD_REQUEST
                    : error == -ENOSPC || error == -EDQUOT ? AP_CODE_FULL
                                                           : AP_CODE_INTERNAL;
    apiary_job_fail(job, code, "%s %s: %s", what, path, strerror(-error));
}

/* 0, or what is wrong with a name that was given. */
static int inside_path(const char *given, bool record, char ret[AP_PATH_MOST])
{
    int depth = 0, n = snprintf(ret, AP_PATH_MOST, "files/%s", given);
    for (const char *c = given; *c; c++)
        depth += *c == '/';
    if (n <= 0 || n > PATH_MOST || depth >= AP_PATH_DEPTH - 3 || strchr(given, '+') || !ap_path_valid(ret)) return -EINVAL;
    return record ? ap_record_path(given, ret) : 0;
}

static bool need_path(apiary_job_t *job, const json_t *request, const char *key, bool record, char ret[AP_PATH_MOST])
{
    const char *given;
    if (!ap_need_text(job, request, key, &given)) return false;
    if (inside_path(given, record, ret) == 0) return true;
    apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                    "\"%s\" is not a name here: parts of letters, digits, '.', '_', '-' that do not "
                    "begin with a dot, joined by '/'",
                    key);
    return false;
}

/* So much the file counts; 0: there is none. */
static uint64_t files_size_of(const struct files *f, const char *path)
{
    const char *name;
    struct stat st;
    uint64_t size = 0;
    int folder = ap_directory_parent(f->root, path, false, &name);
    if (folder < 0) return 0;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) size = (uint64_t)st.st_size + FILE_COST;
    close(folder);
    return size;
}

static int add_size(void *sum, int root, const char *path, uint64_t size)
{
    (void)root;
    (void)path;
    *(uint64_t *)sum += size + FILE_COST;
    return 0;
}

static int count_used(struct files *f)
{
    uint64_t used = 0;
    int error = ap_directory_walk(f->root, "", add_size, &used);
    if (error < 0) return error;
    f->used = used;
    f->written = 0;
    return 0;
}

/* false: the job is failed. */
static bool quota_has(struct files *f, apiary_job_t *job, const char *path, uint64_t size)
{
    for (int counted = 0; counted < 2; counted++) {
        uint64_t before = files_size_of(f, path), others = f->used > before ? f->used - before : 0;
        bool fits = size <= before || (size <= f->quota && others <= f->quota - size); /* what shrinks always may */
        if (fits && (counted > 0 || f->written + size <= f->quota / QUOTA_PARTS)) return true;
        int error = counted == 0 ? count_used(f) : 0;
        if (error == 0) continue;
        fail_errno(job, "count", path, error);
        return false;
    }
    apiary_job_fail(job, AP_CODE_FULL, "the quota of %llu bytes is used up", (unsigned long long)f->quota);
    return false;
}

/* false: the job is failed. */
static bool store(struct files *f, apiary_job_t *job, const char *path, const void *data, size_t size)
{
    if (size > f->max_file) {
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "%zu bytes; max_file allows %zu", size, f->max_file);
        return false;
    }
    if (!quota_has(f, job, path, size + FILE_COST)) return false;
    uint64_t before = files_size_of(f, path);
    int error = ap_file_write(f->root, path, data, size);
    if (error < 0) {
        fail_errno(job, "write", path, error);
        return false;
    }
    f->used = (f->used > before ? f->used - before : 0) + size + FILE_COST;
    f->written += size + FILE_COST;
    return true;
}

static int erase(struct files *f, const char *path)
{
    uint64_t size = files_size_of(f, path);
    int error = ap_file_remove(f->root, path);
    if (error == 0) f->used -= size < f->used ? size : f->used;
    return error;
}

static void list_below(struct files *f, apiary_job_t *job, const json_t *request, const char *folder, const char *title)
{
    char after[AP_PATH_MOST] = "";
    int64_t limit = LIST_MOST;
    struct ap_listing l = {.after = after, .records = strcmp(title, "keys") == 0};
    if (!ap_may_integer(job, request, "limit", 1, LIST_MOST, &limit) ||
        (json_object_get(request, "after") && !need_path(job, request, "after", l.records, after)))
        return;
    l.limit = (size_t)limit;
    l.names = json_array();
    int error = l.names ? ap_list_names(f->root, folder, &l) : -ENOMEM;
    if (error < 0)
        fail_errno(job, "list", folder, error);
    else
        ap_answer(job, "{s:O,s:b}", title, l.names, "more", l.more);
    json_decref(l.names);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* The record's text (after its checksum line) if it is what its checksum says. */
static bool sound(const struct ap_bytes *record, const char **text, size_t *size)
{
    char sum[SUM + 1];
    if (record->size < SUM + 1 || record->data[SUM] != '\n') return false;
    *text = record->data + SUM + 1;
    *size = record->size - SUM - 1;
    ap_sha256_hex(*text, *size, sum);
    return memcmp(sum, record->data, SUM) == 0;
}

static void put_record(struct files *f, apiary_job_t *job, const json_t *request, const char *path)
{
    const json_t *value = json_object_get(request, "value");
    struct ap_bytes record = {.agent = f->agent};
    char sum[SUM + 1];
    if (!value) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"value\" is missing; any JSON value is wanted");
        return;
    }
    char *text = ap_json_text(value);
    if (text) ap_sha256_hex(text, strlen(text), sum);
    if (!text || !ap_bytes_text(&record, sum) || !ap_bytes_text(&record, "\n") || !ap_bytes_text(&record, text))
        ap_out_of_memory(job);
    else if (!ap_answer_fits(job, record.size + ANSWER_MORE))
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "the value has %zu bytes, and no answer could hold it", strlen(text));
    else if (store(f, job, path, record.data, record.size))
        ap_answer(job, "{s:b,s:s}", "stored", 1, "sha256", sum);
    ap_bytes_free(&record);
    free(text);
}

static void get_record(struct files *f, apiary_job_t *job, const char *path)
{
    struct ap_bytes record = {.agent = f->agent};
    const char *text;
    size_t size;
    int error = ap_file_read(f->root, path, f->max_file, &record);
    if (error == -ENOENT)
        ap_answer(job, "{s:b}", "found", 0);
    else if (error < 0)
        fail_errno(job, "read", path, error);
    else if (!sound(&record, &text, &size))
        apiary_job_fail(job, AP_CODE_INTERNAL, "%s is damaged: its checksum does not match; restore it from a backup",
                        path);
    else
        ap_answer(job, "{s:b,s:o,s:s%}", "found", 1, "value", json_loadb(text, size, JSON_DECODE_ANY, NULL), "sha256",
                  record.data, (size_t)SUM);
    ap_bytes_free(&record);
}

static void persist(void *state, apiary_job_t *job, const json_t *request)
{
    struct files *f = state;
    char path[AP_PATH_MOST];
    const char *op;
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "list") == 0) {
        list_below(f, job, request, "records", "keys");
        return;
    }
    if (!need_path(job, request, "key", true, path)) return;
    if (strcmp(op, "put") == 0) {
        put_record(f, job, request, path);
    } else if (strcmp(op, "get") == 0) {
        get_record(f, job, path);
    } else if (strcmp(op, "delete") == 0) {
        int error = erase(f, path);
        if (error < 0 && error != -ENOENT)
            fail_errno(job, "delete", path, error);
        else
            ap_answer(job, "{s:b}", "deleted", error == 0);
    } else {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; put, get, delete, list are allowed", op);
    }
}

struct scrub {
    struct files *files;
    apiary_job_t *job;
    json_t *paths, *damaged; /* the paths as they were at the beginning */
    size_t at;
    json_int_t checked;
};

static int note_record(void *paths, int root, const char *path, uint64_t size)
{
    (void)root;
    (void)size;
    return json_array_append_new(paths, json_string(path)) == 0 ? 0 : -ENOMEM;
}

/* Returns the bytes that it has read. */
static size_t scrub_one(struct scrub *s, const char *path)
{
    struct ap_bytes record = {.agent = s->files->agent};
    const char *text;
    char key[AP_PATH_MOST];
    size_t length, size;
    int error = ap_file_read(s->files->root, path, s->files->max_file, &record);
    size = record.size;
    if (error != -ENOENT) s->checked++; /* else it was deleted meanwhile */
    if (error != -ENOENT && (error < 0 || !sound(&record, &text, &length))) {
        ap_record_key(path, key);
        json_array_append_new(s->damaged, json_string(key));
    }
    ap_bytes_free(&record);
    return size;
}

static bool scrub_step(void *user)
{
    struct scrub *s = user;
    for (size_t steps = 0; steps < AP_SLICE && s->at < json_array_size(s->paths);)
        steps += SCRUB_OPEN + scrub_one(s, json_string_value(json_array_get(s->paths, s->at++)));
    return s->at < json_array_size(s->paths);
}

static void scrub_end(void *user, bool over)
{
    struct scrub *s = user;
    if (over)
        ap_answer(s->job, "{s:I,s:O,s:b}", "checked", s->checked, "damaged", s->damaged, "consistent",
                  json_array_size(s->damaged) == 0);
    json_decref(s->paths);
    json_decref(s->damaged);
    apiary_agent_free(s->files->agent, s);
}

static void scrub(void *state, apiary_job_t *job, const json_t *request)
{
    struct files *f = state;
    struct scrub *s = apiary_agent_alloc(f->agent, sizeof *s);
    (void)request;
    if (!s) {
        ap_out_of_memory(job);
        return;
    }
    *s = (struct scrub){.files = f, .job = job, .paths = json_array(), .damaged = json_array()};
    int error = s->paths && s->damaged ? ap_directory_walk(f->root, "records", note_record, s->paths) : -ENOMEM;
    if (error < 0) {
        fail_errno(job, "check", "records", error);
        scrub_end(s, false);
        return;
    }
    ap_slices(job, scrub_step, scrub_end, s);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void files_read_file(struct files *f, apiary_job_t *job, const char *path)
{
    struct ap_bytes data = {.agent = f->agent};
    int error = ap_file_read(f->root, path, f->max_file, &data);
    json_t *text = error == 0 ? json_stringn(data.data, data.size) : NULL;
    if (error < 0)
        fail_errno(job, "read", path, error);
    else if (!text)
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "%s is not UTF-8 text", path);
    else
        ap_answer(job, "{s:O,s:I}", "text", text, "bytes", (json_int_t)data.size);
    json_decref(text);
    ap_bytes_free(&data);
}

static void stat_file(struct files *f, apiary_job_t *job, const char *path)
{
    const char *name;
    struct stat st;
    int folder = ap_directory_parent(f->root, path, false, &name), error = folder < 0 ? folder : 0;
    if (error == 0 && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) error = -errno;
    if (folder >= 0) close(folder);
    if (error < 0)
        fail_errno(job, "stat", path, error);
    else
        ap_answer(job, "{s:s,s:I,s:I}", "type",
                  S_ISREG(st.st_mode)   ? "file"
                  : S_ISDIR(st.st_mode) ? "folder"
                                        : "other",
                  "bytes", (json_int_t)st.st_size, "modified", (json_int_t)st.st_mtime);
}

static int rename_once(const struct files *f, const char *from, const char *to)
{
    const char *old_name, *new_name;
    int new_folder = -1, old_folder = ap_directory_parent(f->root, from, false, &old_name), error = old_folder;
    if (old_folder >= 0) error = new_folder = ap_directory_parent(f->root, to, true, &new_name);
    if (error >= 0) /* NOREPLACE: what is there is never lost by a rename */
        error = renameat2(old_folder, old_name, new_folder, new_name, RENAME_NOREPLACE) < 0 || fsync(new_folder) < 0 ||
                        fsync(old_folder) < 0
                    ? -errno
                    : 0;
    if (old_folder >= 0) close(old_folder);
    if (new_folder >= 0) close(new_folder);
    return error;
}

/* Another thread may have tidied the new folder away before the file is in it. Where the old one is missing, trying again ends
 * soon. */
static void rename_file(struct files *f, apiary_job_t *job, const char *from, const char *to)
{
    int error = -ENOENT;
    for (int attempt = 0; attempt < 100 && error == -ENOENT; attempt++)
        error = rename_once(f, from, to);
    ap_directory_tidy(f->root, error == 0 ? from : to); /* of one that failed: the folder that was made for it */
    if (error == -EEXIST)
        apiary_job_fail(job, AP_CODE_CONFLICT, "%s is there already", to);
    else if (error < 0)
        fail_errno(job, "rename", from, error);
    else
        ap_answer(job, "{s:b}", "renamed", 1);
}

static void write_file(struct files *f, apiary_job_t *job, const json_t *request, const char *path)
{
    const char *text;
    if (!ap_need_text(job, request, "text", &text)) return;
    size_t size = json_string_length(json_object_get(request, "text"));
    if (store(f, job, path, text, size)) ap_answer(job, "{s:I}", "bytes", (json_int_t)size);
}

static void files_manage(void *state, apiary_job_t *job, const json_t *request)
{
    struct files *f = state;
    char path[AP_PATH_MOST], to[AP_PATH_MOST];
    const char *op;
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "list") == 0 && !json_object_get(request, "path")) {
        list_below(f, job, request, "files", "files");
        return;
    }
    if (!need_path(job, request, "path", false, path)) return;
    if (strcmp(op, "write") == 0) {
        write_file(f, job, request, path);
    } else if (strcmp(op, "read") == 0) {
        files_read_file(f, job, path);
    } else if (strcmp(op, "stat") == 0) {
        stat_file(f, job, path);
    } else if (strcmp(op, "list") == 0) {
        list_below(f, job, request, path, "files");
    } else if (strcmp(op, "delete") == 0) {
        int error = erase(f, path);
        if (error < 0)
            fail_errno(job, "delete", path, error);
        else
            ap_answer(job, "{s:b}", "deleted", 1);
    } else if (strcmp(op, "rename") == 0) {
        if (need_path(job, request, "to", false, to)) rename_file(f, job, path, to);
    } else {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                        "\"op\" is \"%s\"; write, read, stat, list, delete, rename are allowed", op);
    }
}

/* ---- the kind ---------------------------------------------------------------------------------------------------- */

const struct ap_function ap_functions_storage_files[] = {
    {.capability = "data_persistence",
     .call = persist,
     .in = "{'oneOf':["
           AP_OBJECT("'op','key','value'", "'op':{'const':'put'},"
                      "'key':{'type':'string'},"
                      "'value':{}") ","
           AP_OBJECT("'op','key'", "'op':{'enum':['get','delete']},"
                      "'key':{'type':'string'}") ","
           AP_OBJECT("'op'", "'op':{'const':'list'},"
                      "'after':{'type':'string'},"
                      "'limit':{'type':'integer','minimum':1,'maximum':10000}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "max_file, quota; 10000 names a page",
     .again = "puts the same once more, deletes nothing more",
     .send = "{\"op\":\"put\",\"key\":\"check\",\"value\":{\"n\":1}}",
     .answer = "{\"stored\":true,\"sha256\":\"2bfd14f43d17fc7cea24e0917a8879b4b2f880b8baeec1b9d90fbaad655e71bd\"}"},
    {.capability = "data_consistency",
     .call = scrub,
     .in = AP_OBJECT("", ""),
     .out = AP_OBJECT("'checked','damaged','consistent'", "'checked':{'type':'integer'},"
                      "'damaged':{'type':'array','items':{'type':'string'}},"
                      "'consistent':{'type':'boolean'}"),
     .bound = "reads every record once, in slices that end at the deadline",
     .again = AP_AGAIN_LOOKS,
     .send = "{}"},
    {.capability = "file_management",
     .call = files_manage,
     .in = "{'oneOf':["
           AP_OBJECT("'op','path','text'", "'op':{'const':'write'},"
                      "'path':{'type':'string'},"
                      "'text':{'type':'string'}") ","
           AP_OBJECT("'op','path'", "'op':{'enum':['read','stat','delete']},"
                      "'path':{'type':'string'}") ","
           AP_OBJECT("'op','path','to'", "'op':{'const':'rename'},"
                      "'path':{'type':'string'},"
                      "'to':{'type':'string'}") ","
           AP_OBJECT("'op'", "'op':{'const':'list'},"
                      "'path':{'type':'string'},"
                      "'after':{'type':'string'},"
                      "'limit':{'type':'integer','minimum':1,'maximum':10000}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "max_file, quota; 10000 names a page",
     .again = "writes the same once more; a rename or delete says that the file is gone",
     .send = "{\"op\":\"write\",\"path\":\"check/hello.txt\",\"text\":\"hello, hive\"}",
     .answer = "{\"bytes\":11}"},
    {.capability = NULL},
};

static void files_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_storage_files, state, job);
}

static int files_create(apiary_agent_t *agent, void **state)
{
    struct files *f = apiary_agent_alloc(agent, sizeof *f);
    if (!f) return APIARY_ENOBLOCK;
    *f = (struct files){.agent = agent, .root = ap_directory_open(agent)};
    f->max_file = (size_t)apiary_agent_number(agent, "max_file", 1024 * 1024);
    f->quota = (uint64_t)apiary_agent_number(agent, "quota", 64 * 1024 * 1024);
    int error = f->root;
    if (error >= 0) error = ap_records_migrate(f->root);
    if (error >= 0) error = count_used(f);
    if (error < 0) {
        if (f->root >= 0) {
            apiary_agent_log(agent, 3, "directory: its files cannot be counted: %s", strerror(-error));
            close(f->root);
        }
        apiary_agent_free(agent, f);
        return ap_directory_error(error);
    }
    *state = f;
    return 0;
}

static void files_destroy(void *state)
{
    struct files *f = state;
    close(f->root);
    apiary_agent_free(f->agent, f);
}

static const apiary_agent_key_t keys[] = {
    {"directory", 'p', 0, "mode 0700 [the service's folder in the state directory]", 0, 0},
    {"max_file", 'z', 0, "the largest record or file [1MiB]", 1, 1 << 30},
    {"quota", 'z', 0, "of everything under the directory, for all instances [64MiB]", 1, INT64_C(1) << 50},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_storage_files = {
    APIARY_AGENT_KIND,
    .name = "storage_files",
    .what = "data_persistence, data_consistency, file_management: checksummed records and files under one folder",
    .keys = keys,
    .create = files_create,
    .handle = files_handle,
    .destroy = files_destroy,
    .capabilities = (const char *const[]){"data_persistence", "data_consistency", "file_management", NULL},
};
