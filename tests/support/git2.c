/* tests/support/git2.c - stands for libgit2 in the unit tests, and loads it when it is needed.
 *
 * Criterion shows with it how two texts differ when they should not; it starts a process for each test, and would load libgit2 and
 * the fifteen libraries behind it some two thousand times in vain. The unit tests are linked to this first, under its name.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

typedef int (*initializer)(void);
typedef int (*differ)(const void *, size_t, const char *, const void *, size_t, const char *, const void *, void *, void *, void *,
                      void *, void *);

#pragma GCC visibility push(default)
int git_libgit2_init(void);
int git_libgit2_shutdown(void);
int git_diff_buffers(const void *old, size_t old_size, const char *old_path, const void *new, size_t new_size,
                     const char *new_path, const void *options, void *file, void *binary, void *hunk, void *line, void *user);
#pragma GCC visibility pop

int git_libgit2_init(void)
{
    return 1;
}

int git_libgit2_shutdown(void)
{
    return 0;
}

int git_diff_buffers(const void *old, size_t old_size, const char *old_path, const void *new, size_t new_size,
                     const char *new_path, const void *options, void *file, void *binary, void *hunk, void *line, void *user)
{
    void *library = dlopen(LIBGIT2, RTLD_NOW | RTLD_LOCAL); /* by its path: its name is this one's */
    initializer init = library ? (initializer)(uintptr_t)dlsym(library, "git_libgit2_init") : NULL;
    differ diff = library ? (differ)(uintptr_t)dlsym(library, "git_diff_buffers") : NULL;

    if (init == NULL || diff == NULL || init() < 0) return -1;
    return diff(old, old_size, old_path, new, new_size, new_path, options, file, binary, hunk, line, user);
}
