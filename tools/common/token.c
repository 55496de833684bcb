/* tools/common/token.c - see token.h. */
#include "tools/common/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apiary.h"
#include "core/descriptor.h"
#include "core/state.h"
#include "core/text.h"
#include "tools/common/common.h"

static int token_fails(char why[TOKEN_WHY], const char *what, const char *path)
{
    ap_format(why, TOKEN_WHY, "%s %s: %s", what, path, strerror(errno));
    return APIARY_ESYS;
}

/* Whose file it is, and who can read it. */
static int token_judge(int fd, const char *path, char why[TOKEN_WHY])
{
    struct stat s;

    if (fstat(fd, &s) < 0) return token_fails(why, "cannot look at", path);
    if (S_ISREG(s.st_mode) && s.st_uid == geteuid() && (s.st_mode & 077) == 0) return 0;
    ap_format(why, TOKEN_WHY, "%s is not trusted: it belongs to user %u with mode %o, and has to be a file of user %u with mode "
              "600; remove it, and a new one is made", path, (unsigned)s.st_uid, (unsigned)(s.st_mode & 07777),
              (unsigned)geteuid());
    return APIARY_ESYS;
}

static int token_take(int fd, const char *path, char ret[TOKEN_SIZE + 1], char why[TOKEN_WHY])
{
    char text[TOKEN_SIZE + 2];
    ssize_t n = pread(fd, text, sizeof text, 0);

    if (n < 0) return token_fails(why, "cannot read", path);
    if (n > 0 && text[n - 1] == '\n') n--;
    if (n != (ssize_t)TOKEN_SIZE || strspn(text, "0123456789abcdef") < TOKEN_SIZE) {
        ap_format(why, TOKEN_WHY, "%s is no token; remove it, and a new one is made", path);
        return APIARY_ESYS;
    }
    memcpy(ret, text, TOKEN_SIZE);
    ret[TOKEN_SIZE] = '\0';
    return 0;
}

int token_read(const char *folder, char ret[TOKEN_SIZE + 1], char why[TOKEN_WHY])
{
    char *path = tool_format("%s/" TOKEN_FILE, folder);
    int fd = ap_fd_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0), rc;

    if (fd < 0) {
        rc = errno == ENOENT ? 1 : token_fails(why, "cannot read", path);
    } else {
        rc = token_judge(fd, path, why);
        if (rc == 0) rc = token_take(fd, path, ret, why);
        close(fd);
    }
    free(path);
    return rc;
}

static bool token_random(char ret[TOKEN_SIZE + 2])
{
    uint8_t bytes[TOKEN_SIZE / 2];

    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return false;
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
    ret[TOKEN_SIZE] = '\n';
    return true;
}

/* The whole file under another name, which is this thread's alone: two that make one at a time do not touch each other's. */
static int token_write(const char *path, char why[TOKEN_WHY])
{
    char text[TOKEN_SIZE + 2];
    int fd, rc;

    if (unlink(path) < 0 && errno != ENOENT) return token_fails(why, "cannot remove", path); /* of one that had this number */
    if (!token_random(text)) return token_fails(why, "no random bytes for", path);
    fd = ap_fd_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0) return token_fails(why, "cannot make", path);
    rc = fchmod(fd, 0600) < 0 || write(fd, text, TOKEN_SIZE + 1) != (ssize_t)TOKEN_SIZE + 1 || fsync(fd) < 0 ? -1 : 0;
    if (rc < 0) token_fails(why, "cannot write", path);
    close(fd);
    return rc;
}

int token_make(const char *folder, bool anew, char why[TOKEN_WHY])
{
    char *path = tool_format("%s/" TOKEN_FILE, folder), *whole = tool_format("%s.new-%ld", path, (long)gettid());
    int rc = ap_state_make(folder, why, TOKEN_WHY);

    if (rc == 0) rc = token_write(whole, why);
    if (rc == 0 && anew && rename(whole, path) < 0) rc = token_fails(why, "cannot make", path);
    if (rc == 0 && !anew && link(whole, path) < 0 && errno != EEXIST) rc = token_fails(why, "cannot make", path);
    if (!anew || rc < 0) unlink(whole);
    free(whole);
    free(path);
    return rc < 0 ? APIARY_ESYS : 0;
}

/* Each byte is looked at, whatever those before it were. */
bool token_is(const char token[TOKEN_SIZE + 1], const char *text)
{
    size_t n = strlen(text);
    unsigned differs = n != TOKEN_SIZE;

    for (size_t i = 0; i < TOKEN_SIZE; i++) differs |= (unsigned char)(token[i] ^ (n == TOKEN_SIZE ? text[i] : '?'));
    return differs == 0;
}
