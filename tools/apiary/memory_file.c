/* tools/apiary/memory_file.c - apiary memory snapshot, restore: all memory of a segment in a file, for a reboot.
 *
 * FILE      Whole numbers are of 64 bits unless said otherwise, lowest byte first.
 *           1 A head: the 8 bytes "apiaryM2", the number of values, the bytes of all records, CLOCK_REALTIME in ns of when it was
 *           taken, the counter of versions as it was behind them, the hash (XXH3, 64 bits) of all records, the hash of the head up
 *           to here.
 *           2 A record for each value: its version, the ns that it has left (all bits set: no end), its size in 32 bits, that of
 *           its name space's name and of its key in 16 bits each, and then name, key and value. The name of a local memory
 *           begins with '@'. A key has one record. A version, and the counter, is below 2^62.
 * WRITING   Into another file of the folder, which gets the name when all of it is on the disk. So there is the old file or the
 *           new one.
 *           A key that is deleted and put again meanwhile may be met in two places of its bucket: the later value is written.
 * READING   Nothing is changed in the segment before all of the file has proved whole. Values go in by their versions, the lowest
 *           first: in a segment that is new each keeps its own. Then the counter is raised to that of the file, so that no version
 *           is given out again that had been when the values were read. One that the former segment gave out after that is not
 *           known here, and may come again, for another value: what was read there since is not to be compared with.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/name.h"
#include "registry/memory/memory.h"
#include "tools/apiary/memory.h"

#define MAGIC "apiaryM2"
#define RECORD_LEAST 24u
#define VERSION_POSSIBLE(v) ((v) >> 62 == 0) /* no segment comes so far; above it the counter would begin anew */

struct file_head {
    char magic[8];
    uint64_t values, bytes, taken, revision, records, head; /* the last two: hashes */
};
_Static_assert(sizeof(struct file_head) == 56, "as it is in the file");

/* The begin of each record. */
struct record {
    uint64_t version, left;
    uint32_t size;
    uint16_t name, key;
};
_Static_assert(sizeof(struct record) == RECORD_LEAST && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as it is in the file");

struct bytes {
    char *at;
    size_t size, room;
};

static void bytes_add(struct bytes *b, const void *from, size_t size)
{
    if (b->room - b->size < size) {
        b->room = (b->size + size) * 2;
        b->at = tool_realloc(b->at, b->room);
    }
    memcpy(b->at + b->size, from, size);
    b->size += size;
}

static uint64_t head_hash(const struct file_head *head)
{
    return ap_hash(head, offsetof(struct file_head, head));
}

/* ---- snapshot ---------------------------------------------------------------------------------------------------- */

/* Takes out the record of a key, if one of those from `at` on is its: how many. */
static uint64_t record_drop(struct bytes *b, size_t at, const struct record *of, const char *name, const char *key)
{
    struct record r;

    for (size_t size; at < b->size; at += size) {
        const char *text = b->at + at + sizeof r;

        memcpy(&r, b->at + at, sizeof r);
        size = sizeof r + r.name + r.key + r.size;
        if (r.name != of->name || r.key != of->key || memcmp(text, name, r.name) != 0 || memcmp(text + r.name, key, r.key) != 0)
            continue;
        memmove(b->at + at, b->at + at + size, b->size - at - size);
        b->size -= size;
        return 1;
    }
    return 0;
}

/* 0, or the error that ended it. */
static int values_read(const struct ap_segment *seg, struct bytes *to, uint64_t *ret_count)
{
    char *value = tool_alloc(APIARY_MEMORY_VALUE_MAX);
    struct ap_memory_found found;
    uint64_t position = 0, bucket = 0, now;
    size_t begin = 0; /* of the records of this bucket */
    int r;

    while ((r = ap_memory_next(seg, NULL, "", &position, &found)) == 1) {
        const char *name = (const char *)found.name.text, *key = (const char *)found.key.text;
        struct record record = {.left = UINT64_MAX, .name = (uint16_t)strlen(name), .key = (uint16_t)strlen(key)};

        if ((position - 1) / AP_MEMORY_PLACES != bucket) {
            bucket = (position - 1) / AP_MEMORY_PLACES;
            begin = to->size;
        }
        r = ap_memory_read(seg, &found.key, value, APIARY_MEMORY_VALUE_MAX, &found.read);
        if (r == APIARY_ENOKEY) continue; /* it has gone meanwhile */
        if (r < 0) break;
        now = seg->ops->now();
        if (found.read.until != APIARY_FOREVER) record.left = found.read.until > now ? found.read.until - now : 0;
        record.version = found.read.version;
        record.size = found.read.size;
        *ret_count -= record_drop(to, begin, &record, name, key);
        bytes_add(to, &record, sizeof record);
        bytes_add(to, name, record.name);
        bytes_add(to, key, record.key);
        bytes_add(to, value, record.size);
        *ret_count += 1;
    }
    free(value);
    return r;
}

static bool all_written(int fd, const void *from, size_t size)
{
    const char *at = from;

    while (size > 0) {
        ssize_t n = write(fd, at, size);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* So that the name survives a loss of power, too. */
static bool folder_kept(const char *path)
{
    char *folder = tool_strdup(path), *slash = strrchr(folder, '/');
    int fd;
    bool kept;

    if (slash != NULL) slash[slash == folder ? 1 : 0] = '\0';
    fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kept = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    free(folder);
    return kept;
}

static int file_write(const struct tool *t, const char *path, const struct file_head *head, const struct bytes *records)
{
    char *draft = tool_format("%s.XXXXXX", path);
    int fd = mkostemp(draft, O_CLOEXEC), rc = TOOL_OK;
    bool written = fd >= 0 && all_written(fd, head, sizeof *head) && all_written(fd, records->at, records->size) && fsync(fd) == 0;

    if (fd >= 0) written = close(fd) == 0 && written;
    if (!written || rename(draft, path) < 0 || !folder_kept(path))
        rc = tool_fail(t, TOOL_FAILED, "%s: %s", path, strerror(errno));
    if (rc != TOOL_OK && fd >= 0) unlink(draft);
    free(draft);
    return rc;
}

int memory_snapshot(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory snapshot",
        .arguments = "FILE",
        .what = "Writes all memory of the segment, of each name space, into a file.",
        .more = "Values live as long as the segment; 'apiary memory restore' brings them into a new one. Each value is whole,\n"
                "with its version and the time that it has left. They are read one after the other, while others may change them.",
        .least = 1,
        .most = 1,
        .json = true,
    };
    const struct tool_option none[] = {NO_MORE};
    struct file_head head = {.values = 0};
    struct bytes records = {.at = NULL};
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, none, &argc, &argv), r;

    if (rc != TOOL_GO_ON) return rc;
    rc = tool_attach(t, tool_segment(t, NULL), true, &a);
    if (rc != TOOL_OK) return rc;
    r = values_read(a->seg, &records, &head.values);
    memcpy(head.magic, MAGIC, sizeof head.magic);
    head.bytes = records.size;
    head.taken = a->seg->ops->realtime();
    head.revision = ap_memory_revision(a->seg);
    head.records = ap_hash(records.at != NULL ? records.at : "", records.size);
    head.head = head_hash(&head);
    rc = r < 0 ? tool_error(t, r, NULL, "%s", tool_segment(t, NULL)) : file_write(t, argv[0], &head, &records);
    if (rc == TOOL_OK && t->json)
        rc = tool_json_print(json_pack("{s:o, s:I, s:I}", "file", tool_json_text(argv[0]), "values", (json_int_t)head.values,
                                       "bytes", (json_int_t)head.bytes));
    else if (rc == TOOL_OK) printf("%" PRIu64 " values\n", head.values);
    free(records.at);
    apiary_detach(a);
    return tool_finish(t, rc);
}

/* ---- restore ----------------------------------------------------------------------------------------------------- */

/* A record of a file that is whole. */
struct restored {
    struct record record;
    struct ap_memory_name name;
    char key[APIARY_MEMORY_KEY_MAX + 1];
    const char *value;
};

/* The next record, and *at is behind it. False: there is none that is possible. */
static bool record_read(const char **at, const char *end, struct restored *ret)
{
    char name[APIARY_NAME_MAX + 2];
    const char *p = *at;
    const struct record *r = &ret->record;
    struct ap_memory_key key;
    bool local;

    if ((size_t)(end - p) < sizeof *r) return false;
    memcpy(&ret->record, p, sizeof *r);
    p += sizeof *r;
    if (r->name == 0 || r->name >= sizeof name || r->key == 0 || r->key > APIARY_MEMORY_KEY_MAX) return false;
    if (r->size > APIARY_MEMORY_VALUE_MAX || r->version == 0 || !VERSION_POSSIBLE(r->version)) return false;
    if ((size_t)(end - p) < (size_t)r->name + r->key + r->size) return false;
    memcpy(name, p, r->name);
    name[r->name] = '\0';
    memcpy(ret->key, p + r->name, r->key);
    ret->key[r->key] = '\0';
    local = name[0] == '@';
    if (strlen(name) != r->name || strlen(ret->key) != r->key || ap_memory_name(name + local, local, &ret->name) < 0) return false;
    ret->value = p + r->name + r->key;
    *at = ret->value + r->size;
    return ap_memory_key(&ret->name, ret->key, &key) == 0;
}

static int version_first(const void *a, const void *b)
{
    struct record one, two;

    memcpy(&one, *(const char *const *)a, sizeof one);
    memcpy(&two, *(const char *const *)b, sizeof two);
    return (one.version > two.version) - (one.version < two.version);
}

/* Where each record begins, the lowest version first; NULL: the file is no whole snapshot. */
static const char **file_judge(const struct bytes *file, uint64_t *ret_count, uint64_t *ret_revision)
{
    struct file_head head;
    struct restored record;
    const char *at = file->at + sizeof head, *end = file->at + file->size, **list;
    uint64_t n = 0;

    if (file->size < sizeof head) return NULL;
    memcpy(&head, file->at, sizeof head);
    if (memcmp(head.magic, MAGIC, sizeof head.magic) != 0 || head.head != head_hash(&head)) return NULL;
    if (head.bytes != file->size - sizeof head || head.records != ap_hash(at, head.bytes) || head.values > head.bytes) return NULL;
    if (!VERSION_POSSIBLE(head.revision)) return NULL;
    list = tool_alloc((head.values + 1) * sizeof *list);
    while (n < head.values) {
        list[n++] = at;
        if (record_read(&at, end, &record)) continue;
        free(list);
        return NULL;
    }
    if (at != end) {
        free(list);
        return NULL;
    }
    qsort(list, n, sizeof *list, version_first);
    *ret_count = n;
    *ret_revision = head.revision;
    return list;
}

struct restore {
    apiary_t *a;
    struct ap_memory_writer writer;
    uint64_t restored, there, over, renumbered;
};

/* 0, or the error that ended it. */
static int value_restore(struct restore *to, const char *at, const char *end)
{
    struct ap_memory_change c = {.how = AP_MEMORY_RESTORE, .until = APIARY_FOREVER};
    struct restored r = {.value = NULL};
    struct ap_memory_key key;
    uint64_t now = to->a->seg->ops->now();
    int error = record_read(&at, end, &r) ? ap_memory_key(&r.name, r.key, &key) : APIARY_ECORRUPT;

    if (error < 0) return error;
    if (r.record.left == 0) {
        to->over++;
        return 0;
    }
    if (r.record.left < APIARY_FOREVER - now) c.until = now + r.record.left;
    c.value = r.value;
    c.size = r.record.size;
    c.version = r.record.version;
    error = ap_memory_change(&to->writer, &key, &c);
    if (error == APIARY_EEXIST) to->there++;
    if (error == 0) to->restored++;
    if (error == 0 && c.version != r.record.version) to->renumbered++;
    return error == APIARY_EEXIST ? 0 : error;
}

static int restore_tell(const struct tool *t, const char *path, const struct restore *to)
{
    if (t->json)
        return tool_json_print(json_pack("{s:o, s:I, s:I, s:I, s:I}", "file", tool_json_text(path), "restored",
                                         (json_int_t)to->restored, "present", (json_int_t)to->there, "expired",
                                         (json_int_t)to->over, "renumbered", (json_int_t)to->renumbered));
    printf("%" PRIu64 " values restored", to->restored);
    if (to->there > 0) printf("; %" PRIu64 " keys that are there were left as they are", to->there);
    if (to->over > 0) printf("; of %" PRIu64 " the time was over", to->over);
    if (to->renumbered > 0) printf("; %" PRIu64 " have another version: the segment has given out higher ones", to->renumbered);
    printf("\n");
    return TOOL_OK;
}

/* How many keys of a file are not there. */
static uint64_t keys_absent(const struct ap_segment *seg, const char *const *list, uint64_t count, const char *end)
{
    struct ap_memory_read read;
    struct ap_memory_key key;
    struct restored r;
    uint64_t n = 0;

    for (uint64_t i = 0; i < count; i++) {
        const char *at = list[i];

        if (record_read(&at, end, &r) && ap_memory_key(&r.name, r.key, &key) == 0)
            n += ap_memory_read(seg, &key, NULL, 0, &read) == APIARY_ENOKEY;
    }
    return n;
}

static int restore_run(const struct tool *t, const char *path, const struct bytes *file, apiary_t *a)
{
    struct restore to = {.a = a};
    struct ap_lane_context *c;
    uint64_t count = 0, revision = 0, absent, values, bytes, room = a->seg->sections[AP_SECTION_VALUES].count;
    const char **list = file_judge(file, &count, &revision);
    uint32_t row = 0;
    int r = 0, rc;

    if (list == NULL)
        return tool_fail(t, TOOL_FAILED, "%s is not a snapshot, or is not whole; nothing was restored. Take another file", path);
    c = ap_context(a, &r);
    if (c != NULL) (void)ap_memory_expire(a->seg, c->lane.index, a->seg->ops->now(), &row, (uint32_t)room);
    absent = keys_absent(a->seg, list, count, file->at + file->size);
    ap_memory_held(a->seg, &values, &bytes);
    if (c == NULL) rc = tool_error(t, r, NULL, "%s", path);
    else if (absent > room || values > room - absent)
        rc = tool_fail(t, TOOL_FULL, "%s: %" PRIu64 " values to be restored, and the segment has room for %" PRIu64 ", of which %"
                       PRIu64 " are used; nothing was restored. Raise memory_values",
                       path, absent, room, values);
    else {
        to.writer = (struct ap_memory_writer){.seg = a->seg, .lane = &c->lane, .hint = &c->pool_hint};
        for (uint64_t i = 0; i < count && r == 0; i++) r = value_restore(&to, list[i], file->at + file->size);
        ap_memory_revise(a->seg, revision);
        rc = r == 0 ? restore_tell(t, path, &to)
                    : tool_error(t, r, NULL, "%s, after %" PRIu64 " of %" PRIu64 " values were restored", path, to.restored, count);
    }
    free(list);
    return rc;
}

static bool file_read(const char *path, struct bytes *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char part[65536];
    ssize_t n = 0;

    while (fd >= 0 && ((n = read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0) bytes_add(ret, part, (size_t)n);
    if (fd >= 0) close(fd);
    return fd >= 0 && n == 0;
}

int memory_restore(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "memory restore",
        .arguments = "FILE",
        .what = "Brings the values of a snapshot into the segment's memory.",
        .more = "A key that is there stays as it is. Values have the time that they had left. Each has its version, unless the\n"
                "segment has given out higher ones already. A file that is not whole is refused, and nothing is changed.",
        .least = 1,
        .most = 1,
        .json = true,
    };
    const struct tool_option none[] = {NO_MORE};
    struct bytes file = {.at = NULL};
    apiary_t *a = NULL;
    int rc = tool_parse(t, &usage, none, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    if (!file_read(argv[0], &file)) rc = tool_fail(t, TOOL_FAILED, "%s: %s", argv[0], strerror(errno));
    else rc = tool_attach(t, tool_segment(t, NULL), false, &a);
    if (rc == TOOL_OK) rc = restore_run(t, argv[0], &file, a);
    free(file.at);
    if (a != NULL) apiary_detach(a);
    return tool_finish(t, rc);
}
