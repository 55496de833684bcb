/* agents/storage_service/directory.c - see directory.h. */
#include "agents/storage_service/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/descriptor.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- paths ------------------------------------------------------------------------------------------------------- */

static bool part_valid(const char *part, size_t size)
{
    if (size > 1 && part[size - 1] == '+') size--;
    if (size == 0 || size > 100 || part[0] == '.') return false;
    for (size_t i = 0; i < size; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", part[i])) return false;
    return true;
}

bool ap_path_valid(const char *path)
{
    if (strlen(path) >= AP_PATH_MOST) return false;
    for (int depth = 0; depth < AP_PATH_DEPTH; depth++) {
        size_t size = strcspn(path, "/");
        if (!part_valid(path, size)) return false;
        if (path[size] == '\0') return true;
        path += size + 1;
    }
    return false;
}

/* ---- the root ---------------------------------------------------------------------------------------------------- */

static int make_private(apiary_agent_t *agent, const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        int error = errno;
        apiary_agent_log(agent, 3, "directory %s cannot be made: %s", path, strerror(error));
        return -error;
    }
    int fd = ap_fd_open(path, FOLDER_FLAGS, 0);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int error = errno;
        apiary_agent_log(agent, 3, "directory %s cannot be opened: %s", path, strerror(error));
        if (fd >= 0) close(fd);
        return -error;
    }
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        apiary_agent_log(agent, 3,
                         "directory %s belongs to user %u with mode %o: it must belong to the queen's user and be "
                         "writable only by that user",
                         path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
        close(fd);
        return -EPERM;
    }
    return fd;
}

int ap_directory_open(apiary_agent_t *agent)
{
    const char *path = apiary_agent_text(agent, "directory", NULL);
    if (!path) {
        int error = apiary_agent_folder(agent, &path);
        return error < 0 ? error : make_private(agent, path);
    }
    if (path[0] == '/') return make_private(agent, path);
    apiary_agent_log(agent, 3, "directory \"%s\" is not absolute", path);
    return -EINVAL;
}

int ap_directory_error(int error)
{
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM, ENOSPC, EDQUOT, EIO};
    for (size_t i = 0; i < sizeof shortages / sizeof shortages[0]; i++)
        if (error == -shortages[i]) return APIARY_ESYS;
    return APIARY_ECONFIG;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* Opens `parts` parts of the path below root. */
static int descend(int root, const char *path, size_t parts, bool make)
{
    int fd = ap_fd_duplicate(root);
    for (; fd >= 0 && parts > 0; parts--) {
        char part[128];
        size_t size = strcspn(path, "/");
        if (!part_valid(path, size)) {
            close(fd);
            return -EINVAL;
        }
        memcpy(part, path, size);
        part[size] = '\0';
        /* One that was made is to be there after a power failure: what is written below it is. */
        if (make && (mkdirat(fd, part, 0700) < 0 ? errno != EEXIST : fsync(fd) < 0)) {
            int error = errno;
            close(fd);
            return -error;
        }
        int next = ap_fd_openat(fd, part, FOLDER_FLAGS, 0), error = errno;
        close(fd);
        fd = next;
        errno = error;
        path += size + (path[size] == '/');
    }
    return fd < 0 ? -errno : fd;
}

static size_t count_parts(const char *path)
{
    size_t parts = path[0] != '\0';
    for (; *path; path++)
        parts += *path == '/';
    return parts;
}

int ap_directory_parent(int root, const char *path, bool make, const char **name)
{
    const char *slash = strrchr(path, '/');
    if (!ap_path_valid(path)) return -EINVAL;
    int fd = descend(root, path, count_parts(path) - 1, make);
    if (fd >= 0) *name = slash ? slash + 1 : path;
    return fd;
}

int ap_directory_sub(int root, const char *path, bool make)
{
    return descend(root, path, count_parts(path), make);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int directory_write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        data += n;
        size -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* Renaming over a folder fails by itself; over a symbolic link it would replace only the link. */
static int replace(int folder, const char *name, const void *data, size_t size)
{
    unsigned long long random;
    char unfinished[40];
    if (getrandom(&random, sizeof random, 0) != sizeof random) return -EIO;
    snprintf(unfinished, sizeof unfinished, ".unfinished-%016llx", random);
    int fd = ap_fd_openat(folder, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0) return -errno;
    int error = directory_write_all(fd, data, size);
    close(fd);
    if (error == 0 && renameat(folder, unfinished, folder, name) < 0) error = -errno;
    if (error < 0)
        unlinkat(folder, unfinished, 0);
    else if (fsync(folder) < 0)
        error = -errno;
    return error;
}

/* Another agent may remove the folder, because it was empty, before the file is in it. */
int ap_file_write(int root, const char *path, const void *data, size_t size)
{
    const char *name;
    int error = -ENOENT;
    for (int attempt = 0; attempt < 100 && error == -ENOENT; attempt++) {
        int folder = ap_directory_parent(root, path, true, &name);
        error = folder < 0 ? folder : replace(folder, name, data, size);
        if (folder >= 0) close(folder);
    }
    return error;
}

int ap_file_read(int root, const char *path, size_t most, struct ap_bytes *ret)
{
    const char *name;
    struct stat st;
    int folder = ap_directory_parent(root, path, false, &name), error = 0;
    if (folder < 0) return folder;
    int fd = ap_fd_openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
    if (fd < 0 || fstat(fd, &st) < 0)
        error = -errno;
    else if (!S_ISREG(st.st_mode))
        error = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    else if ((uint64_t)st.st_size > most)
        error = -EFBIG;
    for (size_t before = ret->size; error == 0;) {
        if (!ap_bytes_reserve(ret, 4096)) {
            error = -ENOMEM;
            break;
        }
        ssize_t n = read(fd, ret->data + ret->size, ret->capacity - ret->size);
        if (n == 0) break;
        if (n > 0)
            ret->size += (size_t)n;
        else if (errno != EINTR)
            error = -errno;
        if (ret->size - before > most) /* it grew meanwhile */
            error = -EFBIG;
    }
    if (fd >= 0) close(fd);
    close(folder);
    return error;
}

void ap_directory_tidy(int root, const char *path)
{
    char folder[AP_PATH_MOST];
    const char *name;
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strrchr(folder, '/'); slash; slash = strrchr(folder, '/')) {
        *slash = '\0';
        if (!strchr(folder, '/')) return;
        int parent = ap_directory_parent(root, folder, false, &name);
        if (parent < 0) return;
        int removed = unlinkat(parent, name, AT_REMOVEDIR);
        close(parent);
        if (removed < 0) return;
    }
}

int ap_file_remove(int root, const char *path)
{
    const char *name;
    int folder = ap_directory_parent(root, path, false, &name), error = 0;
    if (folder < 0) return folder;
    if (unlinkat(folder, name, 0) < 0)
        error = -errno;
    else if (fsync(folder) < 0)
        error = -errno;
    close(folder);
    if (error == 0) ap_directory_tidy(root, path);
    return error;
}

/* ---- walk -------------------------------------------------------------------------------------------------------- */

static int visible(const struct dirent *entry)
{
    return part_valid(entry->d_name, strlen(entry->d_name));
}

static int below(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* By their bytes, whatever the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visit(int root, int folder, const char *path, const char *name, ap_walk_fn fn, void *user)
{
    char full[AP_PATH_MOST];
    struct stat st;
    int n = snprintf(full, sizeof full, "%s%s%s", path, path[0] ? "/" : "", name);
    if (n < 0 || (size_t)n >= sizeof full || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* removed meanwhile, or deeper than we make them */
    if (S_ISDIR(st.st_mode)) return count_parts(full) < AP_PATH_DEPTH ? ap_directory_walk(root, full, fn, user) : 0;
    return S_ISREG(st.st_mode) ? fn(user, root, full, (uint64_t)st.st_size) : 0;
}

int ap_directory_walk(int root, const char *path, ap_walk_fn fn, void *user)
{
    struct dirent **entries;
    int folder = ap_directory_sub(root, path, false), result = 0;
    if (folder < 0) return folder == -ENOENT ? 0 : folder;
    int count = scandirat(folder, ".", &entries, visible, by_name);
    if (count < 0) result = -errno;
    for (int i = 0; i < count; i++) {
        if (result == 0) result = visit(root, folder, path, entries[i]->d_name, fn, user);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    close(folder);
    return result;
}

int ap_directory_folders(int root, const char *path, ap_folder_fn fn)
{
    struct dirent **entries;
    struct stat st;
    int folder = ap_directory_sub(root, path, false), result = 0;
    if (folder < 0) return folder == -ENOENT ? 0 : folder;
    int count = scandirat(folder, ".", &entries, visible, by_name);
    if (count < 0) result = -errno;
    for (int i = 0; i < count; i++) {
        if (result == 0 && fstatat(folder, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
            result = fn(root, folder, path, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    close(folder);
    return result;
}

/* Empties a folder that is open; at most as deep as paths are. */
static int empty_folder(int folder, int depth, int64_t *count)
{
    struct dirent **entries;
    struct stat st;
    int result = 0, found = scandirat(folder, ".", &entries, below, by_name);
    if (found < 0) return -errno;
    for (int i = 0; i < found; i++) {
        const char *name = entries[i]->d_name;
        if (result == 0 && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            int inner = S_ISDIR(st.st_mode) && depth > 0 ? ap_fd_openat(folder, name, FOLDER_FLAGS, 0) : -1;
            if (inner >= 0) result = empty_folder(inner, depth - 1, count);
            if (inner >= 0) close(inner);
            bool removed = result == 0 && unlinkat(folder, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0;
            if (removed && S_ISREG(st.st_mode)) ++*count;
            if (result == 0 && !removed && errno != ENOENT) result = -errno;
        }
        free(entries[i]);
    }
    free(entries);
    return result;
}

int ap_directory_remove(int root, const char *path, int64_t *count)
{
    const char *name;
    int folder = ap_directory_sub(root, path, false);
    if (folder < 0) return folder == -ENOENT ? 0 : folder;
    int result = empty_folder(folder, AP_PATH_DEPTH, count);
    close(folder);
    int parent = result == 0 ? ap_directory_parent(root, path, false, &name) : -1;
    if (parent < 0) return result;
    if ((unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT) || fsync(parent) < 0) result = -errno;
    close(parent);
    return result;
}
