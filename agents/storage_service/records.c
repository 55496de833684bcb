/* agents/storage_service/records.c - see records.h. */
#include "agents/storage_service/records.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int ap_record_path(const char *key, char ret[AP_PATH_MOST])
{
    size_t at = (size_t)snprintf(ret, AP_PATH_MOST, "records/");
    for (; *key; key++) {
        if (at + 3 > AP_PATH_MOST) return -ENAMETOOLONG;
        if (*key == '/') ret[at++] = '+';
        ret[at++] = *key;
    }
    ret[at] = '\0';
    return 0;
}

void ap_record_key(const char *path, char ret[AP_PATH_MOST])
{
    for (path += strlen("records/"); *path; path++)
        if (path[0] != '+' || path[1] != '/') *ret++ = *path;
    *ret = '\0';
}

/* ---- the older layout -------------------------------------------------------------------------------------------- */


/* Another instance may be at it, too: whoever renames is right. */
static int migrate_one(int root, int parent, const char *path, const char *name)
{
    char full[AP_PATH_MOST], now[AP_PATH_MOST];
    size_t size = strlen(name);
    bool old = size > 0 && name[size - 1] != '+';
    int n = snprintf(full, sizeof full, "%s/%s%s", path, name, old ? "+" : "");
    if (n < 0 || (size_t)n >= sizeof full) return 0;
    snprintf(now, sizeof now, "%s+", name);
    if (old && renameat2(parent, name, parent, now, RENAME_NOREPLACE) < 0 && errno != ENOENT) return -errno;
    return ap_directory_folders(root, full, migrate_one);
}

int ap_records_migrate(int root)
{
    return ap_directory_folders(root, "records", migrate_one);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

/* As the walk has them: parts by their bytes, and a part before what it begins. */
static int order_paths(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    int x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
    return x - y;
}

static int list_one(void *user, int root, const char *path, uint64_t size)
{
    struct ap_listing *l = user;
    char key[AP_PATH_MOST];
    (void)root;
    (void)size;
    if (l->after[0] && order_paths(path, l->after) <= 0) return 0;
    if (json_array_size(l->names) >= l->limit) {
        l->more = true;
        return 1;
    }
    if (l->records)
        ap_record_key(path, key);
    else
        snprintf(key, sizeof key, "%s", strchr(path, '/') + 1);
    return json_array_append_new(l->names, json_string(key)) == 0 ? 0 : -ENOMEM;
}

int ap_list_names(int root, const char *folder, struct ap_listing *listing)
{
    int result = ap_directory_walk(root, folder, list_one, listing);
    return result > 0 ? 0 : result;
}
