/* tools/apiary/curses.h - ncurses, loaded when it is first needed: each library that is linked costs every start of the program.
 *
 * THREADS   One.
 */
#ifndef AP_TOOLS_APIARY_CURSES_H
#define AP_TOOLS_APIARY_CURSES_H

#include <stdbool.h>

#define NCURSES_NOMACROS
#define NCURSES_WIDECHAR 1
#include <curses.h>

/* The functions that are used: X(function). */
#define CURSES_FUNCTIONS(X)                                                                                        \
    X(newterm) X(delscreen) X(endwin) X(cbreak) X(noecho) X(nonl) X(keypad) X(wtimeout) X(wgetch) X(werase) X(wmove) \
    X(waddnstr) X(wattr_on) X(wattr_off) X(wnoutrefresh) X(doupdate) X(getmaxx) X(getmaxy) X(curs_set) X(clearok)    \
    X(start_color) X(use_default_colors) X(init_pair) X(has_colors) X(intrflush) X(set_escdelay) X(COLOR_PAIR)

/* Its functions, by their names. */
struct curses {
#define CURSES_POINTER(name) __typeof__(&(name)) name;
    CURSES_FUNCTIONS(CURSES_POINTER)
#undef CURSES_POINTER
    WINDOW **screen; /* stdscr */
};

/* NULL, and a sentence in *why: it is not there. */
const struct curses *curses_load(const char **why);

#endif
