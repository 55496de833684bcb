/* agents/storage_service/records.h - where the record of a key is, and names in the order in which they are listed.
 *
 * A key is 1 to 5 parts joined by '/'. "user" and "user/1" are two keys like any: other keys are below a folder of another name,
 * records/user+/1. No part of a key has a '+'.
 */
#ifndef AP_STORAGE_RECORDS_H
#define AP_STORAGE_RECORDS_H

#include "agents/storage_service/directory.h"

/* The file of a key, or of a part of one: each '/' becomes "+/". -ENAMETOOLONG. */
AP_MUST_CHECK int ap_record_path(const char *key, char ret[AP_PATH_MOST]);
/* The key of a file. */
void ap_record_key(const char *path, char ret[AP_PATH_MOST]);
/* Renames the folders of an older layout, where a folder had the part's own name. 0 or a negative errno. */
AP_MUST_CHECK int ap_records_migrate(int root);

/* Names below a folder, in the order of their parts' bytes, from behind one on. */
struct ap_listing {
    json_t *names;
    const char *after; /* a path; "": from the first on */
    size_t limit;
    bool records, more; /* records: the paths are those of records; more: there are some behind the last */
};
AP_MUST_CHECK int ap_list_names(int root, const char *folder, struct ap_listing *listing);

#endif
