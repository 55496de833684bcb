/* agents/storage_service/directory.h - files under one folder, and never outside it.
 *
 * Paths are 1 to 8 parts joined by '/', each 1 to 100 bytes of [A-Za-z0-9._-] and not beginning with a dot (so "..", hidden
 * and unfinished files cannot be named); a '+' may end one, for names of our own. Folders are opened part by part and never
 * through a symbolic link; only regular files are read or replaced. A write is complete or did not happen: unfinished file,
 * fsync, rename, fsync of the folder.
 * So several agents, of several instances too, may have one folder: of two that write a file, one is the last.
 * Functions return 0 (or a descriptor) or a negative errno.
 */
#ifndef AP_STORAGE_DIRECTORY_H
#define AP_STORAGE_DIRECTORY_H

#include "agents/kinds/support.h"

#define AP_PATH_DEPTH 8
#define AP_PATH_MOST 512

/* The agent's folder: `directory` of its configuration, else that of its service in the state directory (apiary_agent_folder); made
 * with mode 0700 when missing. A folder that others own or may write is refused, and the log says why. Returns a descriptor. */
int ap_directory_open(apiary_agent_t *agent);
/* The error that an agent's create returns for such an errno: APIARY_ECONFIG; or APIARY_ESYS when the machine is short of a
 * resource, so that its queen is started again. */
int ap_directory_error(int error);

bool ap_path_valid(const char *path);
/* The folder of a valid path, opened, and its last part in *name; with `make` folders are made. */
int ap_directory_parent(int root, const char *path, bool make, const char **name);
int ap_directory_sub(int root, const char *path, bool make); /* the folder itself */

int ap_file_write(int root, const char *path, const void *data, size_t size);
int ap_file_read(int root, const char *path, size_t most, struct ap_bytes *ret); /* appended; -EFBIG */
/* With the folders that are empty then, but for the first. */
int ap_file_remove(int root, const char *path);
/* Removes the folders of a path that are empty, from the last to the second. */
void ap_directory_tidy(int root, const char *path);

/* Calls for each regular file below `path` ("" for the root) in the order of names; a non-zero return ends the walk. */
typedef int (*ap_walk_fn)(void *user, int root, const char *path, uint64_t size);
int ap_directory_walk(int root, const char *path, ap_walk_fn fn, void *user);
/* Calls for each folder in `path`; `parent` is that folder, opened. */
typedef int (*ap_folder_fn)(int root, int parent, const char *path, const char *name);
int ap_directory_folders(int root, const char *path, ap_folder_fn fn);
/* Removes the folder with all that is below it, unfinished files too; the regular files are added to *count. 0 also if there is no
 * such folder. */
int ap_directory_remove(int root, const char *path, int64_t *count);

#endif
