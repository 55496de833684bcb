/* tools/apiary/segment.c - apiary segment ls, rm: the segments of this host. */
#include "tools/apiary/apiary.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SHM_FOLDER "/dev/shm"

/* The facts about a segment that can be read without attaching. */
struct segment_view {
    char name[256];
    struct stat stat;
    struct ap_header header; /* a copy, not judged */
    bool regular;            /* a file, whatever it holds */
    int attach_error;        /* of a read-only attach */
    uint32_t members;        /* alive; 0 when it cannot be attached */
};

/* 0, or an error: APIARY_ENOSEG, _EPERM, _ENOTOURS. */
static int segment_look(const char *name, struct segment_view *ret)
{
    memset(ret, 0, sizeof *ret);
    snprintf(ret->name, sizeof ret->name, "%s", name);
    char path[300];
    snprintf(path, sizeof path, SHM_FOLDER "%s", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return errno == EACCES ? APIARY_EPERM : errno == ENOENT ? APIARY_ENOSEG : APIARY_ENOTOURS;
    ret->regular = fstat(fd, &ret->stat) == 0 && S_ISREG(ret->stat.st_mode);
    ssize_t got = ret->regular ? pread(fd, &ret->header, sizeof ret->header, 0) : -1;
    close(fd);
    if (got < (ssize_t)sizeof ret->header || memcmp(ret->header.magic, AP_SEGMENT_MAGIC, sizeof ret->header.magic) != 0)
        return APIARY_ENOTOURS;
    apiary_t *a = NULL;
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .read_only = 1};
    ret->attach_error = apiary_attach(name, &options, &a);
    if (ret->attach_error == 0) {
        ret->members = view_members(a->seg, 0, UINT32_MAX);
        apiary_detach(a);
    }
    return 0;
}

/* ---- ls ------------------------------------------------------------------------------------------------------- */

static const struct tool_usage ls_usage = {
    .command = "segment ls",
    .arguments = "",
    .what = "Lists the segments of this host that you may read.",
    .json = true,
    .table = true,
};

static json_t *segment_json(const struct segment_view *v)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", tool_json_text(v->name));
    json_object_set_new(o, "size", json_integer((json_int_t)v->stat.st_size));
    json_object_set_new(o, "version", json_integer(v->header.version));
    json_object_set_new(o, "created_ns", json_integer((json_int_t)v->header.created_realtime));
    json_object_set_new(o, "creator_pid", json_integer(v->header.creator_pid));
    json_object_set_new(o, "uid", json_integer(v->stat.st_uid));
    json_object_set_new(o, "gid", json_integer(v->stat.st_gid));
    json_object_set_new(o, "mode", json_integer(v->stat.st_mode & 07777));
    json_object_set_new(o, "error",
                        v->attach_error == 0 ? json_null() : json_string(apiary_error_name(v->attach_error)));
    json_object_set_new(o, "members", v->attach_error == 0 ? json_integer(v->members) : json_null());
    return o;
}

static void segment_row(struct tool_table *table, const struct segment_view *v)
{
    char size[32], version[16], created[32], members[16], mode[8];
    const struct passwd *user = getpwuid(v->stat.st_uid);
    const struct group *group = getgrgid(v->stat.st_gid);
    char uid[16], gid[16];
    snprintf(uid, sizeof uid, "%u", v->stat.st_uid);
    snprintf(gid, sizeof gid, "%u", v->stat.st_gid);
    char *owner = tool_format("%s:%s", user != NULL ? user->pw_name : uid, group != NULL ? group->gr_name : gid);
    snprintf(version, sizeof version, "%u", v->header.version);
    snprintf(members, sizeof members, "%u", v->members);
    snprintf(mode, sizeof mode, "%04o", (unsigned)v->stat.st_mode & 07777);
    tool_table_add(table, (const char *const[]){v->name, tool_format_bytes((uint64_t)v->stat.st_size, size), version,
                                                owner, mode, tool_format_time(v->header.created_realtime, created),
                                                v->attach_error == 0 ? members : "-",
                                                v->attach_error == 0 ? "ready" : apiary_strerror(v->attach_error)});
    if (v->attach_error == 0) tool_table_mark(table, 7, '+');
    free(owner);
}

static int segment_ls(struct tool *t, int argc, char **argv)
{
    const struct tool_option none[] = {{.name = NULL}};
    int rc = tool_parse(t, &ls_usage, none, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    struct dirent **entries = NULL;
    int n = scandir(SHM_FOLDER, &entries, NULL, alphasort);
    if (n < 0) return tool_fail(t, TOOL_CANNOT, SHM_FOLDER ": %m");
    json_t *list = json_array();
    struct tool_table *table =
        t->json ? NULL
                : tool_table_new((const char *const[]){"=segment", ">size", "?>version", "owner", "?=mode", "?=created",
                                                       ">members", "=state", NULL});
    for (int i = 0; i < n; i++) {
        char name[258];
        struct segment_view v;
        snprintf(name, sizeof name, "/%s", entries[i]->d_name);
        free(entries[i]);
        if (segment_look(name, &v) != 0) continue;
        if (t->json) {
            json_array_append_new(list, segment_json(&v));
        } else {
            segment_row(table, &v);
        }
    }
    free(entries);
    if (t->json) {
        rc = tool_json_print(json_pack("{s:o}", "segments", list));
    } else {
        json_decref(list);
        tool_table_print(table, stdout);
        rc = TOOL_OK;
    }
    return tool_finish(t, rc);
}

/* ---- rm ------------------------------------------------------------------------------------------------------- */

static const struct tool_usage rm_usage = {
    .command = "segment rm",
    .arguments = "NAME",
    .what = "Removes a segment and all tasks in it. Refused while living members are attached.",
    .least = 1,
    .most = 1,
};

/* Does this process map the file? Looked up in its list of mappings, which works whatever the segment's version. */
static bool process_maps(const char *pid, const struct stat *file)
{
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    FILE *maps = fopen(path, "re");
    if (maps == NULL) return false;
    bool found = false;
    char *line = NULL;
    size_t size = 0;
    while (!found && getline(&line, &size, maps) > 0) {
        unsigned major_number, minor_number;
        unsigned long inode;
        if (sscanf(line, "%*s %*s %*s %x:%x %lu", &major_number, &minor_number, &inode) == 3)
            found = inode == file->st_ino && makedev(major_number, minor_number) == file->st_dev;
    }
    free(line);
    fclose(maps);
    return found;
}

static uint32_t count_mappers(const struct stat *file)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL) return 0;
    uint32_t n = 0;
    for (const struct dirent *e = readdir(proc); e != NULL; e = readdir(proc))
        n += isdigit((unsigned char)e->d_name[0]) && process_maps(e->d_name, file);
    closedir(proc);
    return n;
}

/* Removing takes another permission than writing, and no coordinator. */
static int rm_error(const struct tool *t, int error, const char *name)
{
    if (error == APIARY_EPERM)
        return tool_fail(t, TOOL_NO_SEGMENT,
                         "segment rm %s: no permission; only its owner and root may remove it ('ls -l " SHM_FOLDER
                         "%s' shows them)", name, name);
    if (error == APIARY_ENOSEG)
        return tool_fail(t, TOOL_NO_SEGMENT, "segment rm %s: no such segment; 'apiary segment ls' lists them", name);
    return tool_error(t, error, NULL, "segment rm %s", name);
}

static int segment_rm(struct tool *t, int argc, char **argv)
{
    bool force = false;
    const struct tool_option options[] = {
        {"force", 'f', NULL, "even when living members are attached (they keep a segment without a name), or it is damaged", NULL,
         &force},
        {.name = NULL},
    };
    int rc = tool_parse(t, &rm_usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    /* Not the default: an unset variable in a script must not remove that. */
    if (*argv[0] == '\0') return tool_usage_error(t, &rm_usage, "the name is empty");
    struct tool named = {.program = t->program, .segment = argv[0]};
    const char *name = tool_segment(&named, NULL);
    struct segment_view v;
    rc = segment_look(name, &v);
    if (rc == APIARY_ENOTOURS && v.regular) {
        if (!force)
            return tool_fail(t, TOOL_NO_SEGMENT,
                             "segment rm %s: not an apiary segment, or a damaged one; --force removes it anyway",
                             name);
        v.attach_error = rc;
    } else if (rc != 0) {
        return rm_error(t, rc, name);
    }
    uint32_t members = v.attach_error == 0 ? v.members : count_mappers(&v.stat);
    if (members > 0 && !force)
        return tool_fail(t, TOOL_FAILED, "segment rm %s: %u living member%s attached; stop %s first, or use --force",
                         name, members, members == 1 ? " is" : "s are", members == 1 ? "it" : "them");
    if (v.attach_error == APIARY_ECREATING && !force)
        return tool_error(t, APIARY_ECREATING, NULL, "segment rm %s", name);
    rc = ap_segment_remove(name);
    return rc < 0 ? rm_error(t, rc, name) : TOOL_OK;
}

int cmd_segment(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "segment",
        .arguments = "ls | rm NAME | sizes",
        .what = "Lists and removes segments, and tells what decides their sizes; 'apiary segment rm --help' tells more.",
        .most = -1,
    };
    static const struct apiary_command commands[] = {
        {"ls", "list the segments of this host", segment_ls},
        {"rm", "remove a segment", segment_rm},
        {"sizes", "list the keys that decide a segment's sizes", apiary_segment_sizes},
        {NULL, NULL, NULL},
    };
    return apiary_subcommand(t, &usage, commands, argc, argv);
}
