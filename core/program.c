/* core/program.c - see program.h. */
#include "core/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apiary.h"
#include "core/text.h"

/* 0, or an errno. */
static int program_judge(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0) return errno;
    if (S_ISDIR(st.st_mode)) return EISDIR;
    if (!S_ISREG(st.st_mode)) return EACCES;
    return access(path, X_OK) == 0 ? 0 : errno;
}

static int program_refuse(char *why, size_t size, const char *format, const char *name, const char *reason)
{
    ap_format(why, size, format, name, reason);
    return APIARY_ECONFIG;
}

int ap_program_find(const char *name, char ret[PATH_MAX], char *why, size_t size)
{
    const char *path = getenv("PATH");

    if (strlen(name) >= PATH_MAX) return program_refuse(why, size, "\"%s\" %s", AP_SHOWN(name, 100), "is too long for a path");
    if (name[0] == '/') {
        int error = program_judge(name);

        if (error != 0) return program_refuse(why, size, "%s is not an executable file: %s", name, strerror(error));
        strcpy(ret, name);
        return 0;
    }
    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return program_refuse(why, size, "\"%s\": %s", name, "expected a name to be found in PATH, or an absolute path");
    if (path == NULL) path = AP_PROGRAM_PATH;
    for (const char *part = path; *part != '\0';) {
        size_t length = strcspn(part, ":");
        int n = snprintf(ret, PATH_MAX, "%.*s/%s", (int)length, part, name);
        /* Relative folders in PATH would make the program depend on where the queen was started. */
        if (part[0] == '/' && n > 0 && n < PATH_MAX && program_judge(ret) == 0) return 0;
        part += length + (part[length] == ':');
    }
    return program_refuse(why, size, "the program \"%s\" is not found in PATH (%s)", name, path);
}
