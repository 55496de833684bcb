/* core/program.h - finding a program by its name. Plain C; any thread. */
#ifndef AP_PROGRAM_H
#define AP_PROGRAM_H

#include <limits.h>
#include <stddef.h>

#include "core/must_check.h"

#define AP_PROGRAM_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A name is looked up in $PATH (AP_PROGRAM_PATH if unset), an absolute path is taken as it is. 0, or APIARY_ECONFIG with a
 * sentence in `why`. */
AP_MUST_CHECK int ap_program_find(const char *name, char ret[PATH_MAX], char *why, size_t size);

#endif
