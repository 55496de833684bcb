/* tools/apiary/top_screen.c - apiary top on a terminal. See top.h. */
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/apiary/curses.h"
#include "tools/apiary/top.h"
#include "tools/apiary/top_draw.h"

static volatile sig_atomic_t top_ended;

static void top_stop(int signal)
{
    top_ended = signal;
}

/* ---- looks -------------------------------------------------------------------------------------------------------- */

static void screen_rows(struct screen *s)
{
    size_t count;
    if (*s->a == NULL || s->now.now == 0) return;
    free(s->rows);
    s->rows = top_rows((*s->a)->seg, &s->now, s->whole ? &s->first : &s->before, s->of[0] != '\0' ? s->of : NULL, &count);
    s->count = top_filter(s->rows, count, s->filter);
}

static void screen_say(struct screen *s, const char *text)
{
    snprintf(s->message, sizeof s->message, "%s", text);
}

static void screen_forget(struct screen *s)
{
    top_look_free(&s->now);
    top_look_free(&s->before);
    top_look_free(&s->first);
}

static void screen_attach(struct screen *s)
{
    char why[256] = "", text[384];
    apiary_attach_options_t o = {.struct_size = sizeof o, .kind = APIARY_TOOL, .read_only = 1, .message = why,
                                 .message_size = sizeof why};
    int r = apiary_attach(s->o->segment, &o, s->a);
    if (r == 0) {
        screen_forget(s);
        screen_say(s, "");
        return;
    }
    *s->a = NULL;
    snprintf(text, sizeof text, "%s has gone; waiting for it to be made again (%s)", s->o->segment, apiary_strerror(r));
    screen_say(s, text);
}

/* One more look. Where there is no segment now, the screen keeps the last. */
static void screen_look(struct screen *s)
{
    struct top_look l;
    if (*s->a != NULL && ap_segment_removed((*s->a)->seg)) {
        apiary_detach(*s->a);
        *s->a = NULL;
    }
    if (*s->a == NULL) screen_attach(s);
    if (*s->a == NULL || top_look(*s->a, &l) < 0) return;
    if (s->first.now == 0) (void)top_look(*s->a, &s->first);
    top_look_free(&s->before);
    s->before = s->now;
    s->now = l;
    screen_rows(s);
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

static size_t screen_at(const struct screen *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->rows[i].kind == s->chosen_kind && strcmp(s->rows[i].name, s->chosen) == 0) return i;
    return 0;
}

static void screen_choose(struct screen *s, size_t at)
{
    if (s->count == 0) return;
    if (at >= s->count) at = s->count - 1;
    s->chosen_kind = s->rows[at].kind;
    snprintf(s->chosen, sizeof s->chosen, "%s", s->rows[at].name);
}

static void screen_move(struct screen *s, long by)
{
    size_t at = screen_at(s);
    if (by < 0 && (size_t)-by > at) screen_choose(s, 0);
    else screen_choose(s, at + (size_t)by);
}

static void screen_enter(struct screen *s)
{
    size_t at = screen_at(s);
    if (s->of[0] != '\0' || s->count == 0 || *s->a == NULL) return;
    snprintf(s->of, sizeof s->of, "%.*s", (int)sizeof s->of - 1, s->rows[at].name);
    s->filter[0] = '\0';
    screen_rows(s);
    screen_choose(s, 0);
}

static void screen_leave(struct screen *s)
{
    if (s->of[0] == '\0' || *s->a == NULL) return;
    s->chosen_kind = TOP_SERVICE;
    snprintf(s->chosen, sizeof s->chosen, "%s", s->of);
    s->of[0] = '\0';
    s->filter[0] = '\0';
    screen_rows(s);
}

/* The filter's line: a character more, or one less, or its end. */
static void screen_edit(struct screen *s, int key)
{
    size_t n = strlen(s->filter);
    if (key == '\n' || key == '\r' || key == KEY_ENTER || key == 27) s->editing = false;
    if (key == 27 || key == 21) s->filter[0] = '\0'; /* Escape, Ctrl-U */
    if (key == KEY_BACKSPACE || key == 127 || key == 8)
        while (n > 0 && (((unsigned char)s->filter[--n] & 0xc0) == 0x80 || (s->filter[n] = '\0', false))) {}
    if (key >= ' ' && key < 256 && key != 127 && n + 1 < sizeof s->filter) {
        s->filter[n] = (char)key;
        s->filter[n + 1] = '\0';
    }
    screen_rows(s);
}

static bool screen_key_of_column(struct screen *s, int key)
{
    for (size_t i = 0; i < top_column_count; i++) {
        if (top_columns[i].key != key) continue;
        s->reverse = s->column == i && !s->reverse;
        s->column = i;
        return true;
    }
    return false;
}

static void screen_key_moves(struct screen *s, int key)
{
    long page = s->page > 1 ? s->page - 1 : 1;
    switch (key) {
    case KEY_UP: case 'k': screen_move(s, -1); break;
    case KEY_DOWN: case 'j': screen_move(s, 1); break;
    case KEY_PPAGE: screen_move(s, -page); break;
    case KEY_NPAGE: screen_move(s, page); break;
    case KEY_HOME: case 'g': screen_choose(s, 0); break;
    case KEY_END: case 'G': screen_choose(s, SIZE_MAX); break;
    case '\n': case '\r': case KEY_ENTER: case KEY_RIGHT: screen_enter(s); break;
    case KEY_BACKSPACE: case 127: case 8: case 27: case KEY_LEFT: screen_leave(s); break;
    default: break;
    }
}

/* False: it is to end. */
static bool screen_key(struct screen *s, int key)
{
    if (s->editing) {
        screen_edit(s, key);
        return true;
    }
    if (s->help) {
        s->help = false;
        return key != 'q';
    }
    if (screen_key_of_column(s, key)) return true;
    switch (key) {
    case 'q': return false;
    case '?': case 'h': s->help = true; break;
    case '/': s->editing = true; break;
    case ' ': s->paused = !s->paused; break;
    case 'p': s->percentile = (s->percentile + 1) % TOP_PERCENTILES; break;
    case 'r': s->reverse = !s->reverse; break;
    case '>': s->column = (s->column + 1) % top_column_count; break;
    case '<': s->column = (s->column + top_column_count - 1) % top_column_count; break;
    case 'w':
        s->whole = !s->whole;
        screen_rows(s);
        break;
    case 12: s->c->clearok(*s->c->screen, true); break; /* Ctrl-L */
    default: screen_key_moves(s, key); break;
    }
    return true;
}

/* ---- all of it ----------------------------------------------------------------------------------------------------- */

/* The terminal has gone: every read would end at once. */
static bool terminal_gone(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) > 0 && (in.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static void screen_run(struct screen *s)
{
    uint64_t next = 0;
    for (bool on = true; on && top_ended == 0;) {
        uint64_t now = ap_ops_system.now();
        if (now >= next && !s->paused) {
            screen_look(s);
            next = now + s->o->interval;
        }
        top_sort(s->rows, s->count, s->column, strtod(top_percentiles[s->percentile], NULL) / 100, s->reverse);
        top_draw(s);
        s->c->wtimeout(*s->c->screen, s->paused ? -1 : next > now ? (int)((next - now) / 1000000 + 1) : 0);
        int key = s->c->wgetch(*s->c->screen);
        if (key == ERR && terminal_gone()) return;
        if (key != ERR && key != KEY_RESIZE) on = screen_key(s, key);
    }
}

static void screen_signals(void)
{
    struct sigaction act = {.sa_handler = top_stop};
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
}

int top_screen(const struct tool *t, apiary_t **a, const struct top_options *o)
{
    struct screen s = {.a = a, .o = o, .column = o->column, .percentile = o->percentile};
    const char *why;
    SCREEN *made;
    s.c = curses_load(&why);
    if (s.c == NULL) return tool_fail(t, TOOL_CANNOT, "top: %s; libncursesw6 is its package, and --once needs none", why);
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1) (void)setlocale(LC_CTYPE, "C.UTF-8");
    screen_signals();
    s.c->set_escdelay(50);
    made = s.c->newterm(NULL, stdout, stdin);
    if (made == NULL) return tool_fail(t, TOOL_CANNOT, "top: the terminal (TERM) is not known; --once needs none");
    snprintf(s.of, sizeof s.of, "%s", o->of != NULL ? o->of : "");
    snprintf(s.filter, sizeof s.filter, "%s", o->filter != NULL ? o->filter : "");
    top_draw_begin(&s);
    screen_run(&s);
    s.c->endwin();
    s.c->delscreen(made);
    free(s.rows);
    screen_forget(&s);
    return TOOL_OK;
}
