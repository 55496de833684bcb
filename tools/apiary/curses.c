/* tools/apiary/curses.c - see curses.h. */
#include "tools/apiary/curses.h"

#include <dlfcn.h>
#include <stdint.h>

#define LIBRARY "libncursesw.so.6"

const struct curses *curses_load(const char **why)
{
    static struct curses found;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    *why = "";
    if (library == NULL) {
        *why = dlerror();
        return NULL;
    }
#define CURSES_FIND(name)                                                       \
    found.name = (__typeof__(found.name))(uintptr_t)dlsym(library, #name); \
    if (found.name == NULL) *why = LIBRARY " has no " #name;
    CURSES_FUNCTIONS(CURSES_FIND)
#undef CURSES_FIND
    found.screen = dlsym(library, "stdscr");
    if (found.screen == NULL) *why = LIBRARY " has no stdscr";
    return **why == '\0' ? &found : NULL;
}
