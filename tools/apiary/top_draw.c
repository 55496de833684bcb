/* tools/apiary/top_draw.c - draws what apiary top shows. See top_draw.h.
 *
 * A terminal may be of any size, and change it at any moment: whatever does not fit is left out.
 */
#include "tools/apiary/top_draw.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_LEAST 24
#define HEAD 3 /* lines above the rows */

enum colour { PLAIN, RED, GREEN, YELLOW };

void top_draw_begin(struct screen *s)
{
    const struct curses *c = s->c;
    c->cbreak();
    c->noecho();
    c->nonl();
    c->keypad(*c->screen, true);
    c->intrflush(*c->screen, false);
    (void)c->curs_set(0);
    s->coloured = tool_colours(stdout) && c->has_colors();
    if (!s->coloured) return;
    c->start_color();
    (void)c->use_default_colors();
    c->init_pair(RED, COLOR_RED, -1);
    c->init_pair(GREEN, COLOR_GREEN, -1);
    c->init_pair(YELLOW, COLOR_YELLOW, -1);
}

/* ---- a line -------------------------------------------------------------------------------------------------------- */

static int screen_width(const struct screen *s)
{
    return s->c->getmaxx(*s->c->screen);
}

/* From column x on, in so many columns, filled up with spaces; on the right, or on the left. One that is cut ends in "...". */
static void put_text(const struct screen *s, int y, int x, int width, bool right, const char *text)
{
    size_t columns, room = (size_t)(width > 0 ? width : 0), bytes = tool_width_bytes(text, room, &columns);
    bool cut = text[bytes] != '\0' && room > 6;
    int pad;
    if (width <= 0 || x >= screen_width(s)) return;
    if (cut) bytes = tool_width_bytes(text, room - 3, &columns);
    pad = (int)(room - columns) - (cut ? 3 : 0);
    s->c->wmove(*s->c->screen, y, x);
    for (int i = 0; right && i < pad; i++) s->c->waddnstr(*s->c->screen, " ", 1);
    s->c->waddnstr(*s->c->screen, text, (int)bytes);
    if (cut) s->c->waddnstr(*s->c->screen, "...", 3);
    for (int i = 0; !right && i < pad; i++) s->c->waddnstr(*s->c->screen, " ", 1);
}

static void put_attributes(const struct screen *s, attr_t attributes, bool on)
{
    if (on) s->c->wattr_on(*s->c->screen, attributes, NULL);
    else s->c->wattr_off(*s->c->screen, attributes, NULL);
}

/* ---- the columns --------------------------------------------------------------------------------------------------- */

/* The width of each, 0: it is left out. */
static void columns_fit(const struct screen *s, int *widths)
{
    int all = screen_width(s), used = 0;
    for (size_t i = 1; i < top_column_count; i++) used += (widths[i] = top_columns[i].width) + 1;
    for (int spare = 9; spare >= 0 && all - used < NAME_LEAST; spare--)
        for (size_t i = top_column_count; i-- > 1 && all - used < NAME_LEAST;) {
            if (top_columns[i].spare != spare || widths[i] == 0) continue;
            used -= widths[i] + 1;
            widths[i] = 0;
        }
    widths[0] = all - used;
}

static void draw_heads(const struct screen *s, int y, const int *widths)
{
    int x = 0;
    for (size_t i = 0; i < top_column_count; i++) {
        attr_t attributes = A_REVERSE | (i == s->column ? A_BOLD | A_UNDERLINE : 0);
        char *head = top_head(i, top_percentiles[s->percentile]);
        if (widths[i] > 0) {
            put_attributes(s, attributes, true);
            put_text(s, y, x, widths[i], top_columns[i].right, head);
            put_attributes(s, attributes, false);
            put_attributes(s, A_REVERSE, true);
            put_text(s, y, x + widths[i], 1, false, " ");
            put_attributes(s, A_REVERSE, false);
            x += widths[i] + 1;
        }
        free(head);
    }
}

static attr_t mark_attributes(const struct screen *s, char mark)
{
    enum colour c = mark == '!' ? RED : mark == '~' ? YELLOW : mark == '+' ? GREEN : PLAIN;
    if (!s->coloured) return mark == '!' ? A_BOLD : 0;
    return (attr_t)s->c->COLOR_PAIR(c);
}

static void draw_row(const struct screen *s, int y, const int *widths, const struct top_row *r, bool chosen)
{
    static const char *const before[] = {"", "", "agent ", ""};
    double q = strtod(top_percentiles[s->percentile], NULL) / 100;
    char text[TOP_CELL], name[sizeof r->name + 8];
    int x = 0;
    char *shown;
    if (chosen) put_attributes(s, A_REVERSE, true);
    snprintf(name, sizeof name, "%s%s", before[r->kind], r->name);
    shown = tool_printable(name, strlen(name));
    for (size_t i = 0; i < top_column_count; i++) {
        attr_t attributes = i == 1 && !chosen ? mark_attributes(s, top_mark(r)) : 0;
        if (widths[i] <= 0) continue;
        if (i > 0) top_columns[i].text(r, q, text);
        put_attributes(s, attributes, true);
        put_text(s, y, x, widths[i], top_columns[i].right, i == 0 ? shown : text);
        put_attributes(s, attributes, false);
        if (chosen) put_text(s, y, x + widths[i], 1, false, " ");
        x += widths[i] + 1;
    }
    free(shown);
    if (chosen) put_attributes(s, A_REVERSE, false);
}

/* ---- the head, the foot, help --------------------------------------------------------------------------------------- */

static void draw_totals(const struct screen *s, int y)
{
    char clock[16], *text, daemon[48] = "no coordinator";
    time_t now = time(NULL);
    struct tm local;
    uint32_t services = 0, passing = 0;
    uint64_t queued = 0;
    for (int i = 0; i < s->now.instance_count; i++) {
        services += view_is_first(s->now.instances, i);
        passing += s->now.instances[i].state == APIARY_PASSING;
        queued += s->now.instances[i].queued;
    }
    if (localtime_r(&now, &local) == NULL || strftime(clock, sizeof clock, "%H:%M:%S", &local) == 0) clock[0] = '\0';
    if (s->now.daemon != 0) snprintf(daemon, sizeof daemon, "coordinator %" PRId64, s->now.daemon);
    text = tool_format("%s  %s  %u services, %u of %d instances pass  %" PRIu64 " queued  tasks %u/%u  %u attached  %s", clock,
                       s->o->segment, services, passing, s->now.instance_count, queued, s->now.tasks_used, s->now.tasks,
                       s->now.members, daemon);
    put_attributes(s, A_BOLD, true);
    put_text(s, y, 0, screen_width(s), false, text);
    put_attributes(s, A_BOLD, false);
    free(text);
}

static void draw_choices(const struct screen *s, int y)
{
    char since[32] = "since ever", *text;
    uint64_t span = s->count > 0 ? s->rows[0].span : 0;
    char *head = top_head(s->column, top_percentiles[s->percentile]);
    if (span != 0) snprintf(since, sizeof since, "of the last ");
    if (span != 0) tool_format_duration(span, since + strlen(since));
    text = s->message[0] != '\0'
               ? tool_strdup(s->message)
               : tool_format("%s%s%s  by %s%s%s%s%s", s->of[0] != '\0' ? s->of : "all services",
                             s->paused ? "  PAUSED  " : "  ", since, head, s->reverse ? ", reversed" : "",
                             s->filter[0] != '\0' ? "  filter: " : "", s->filter, s->of[0] != '\0' ? "  (*: mean)" : "");
    put_text(s, y, 0, screen_width(s), false, text);
    free(text);
    free(head);
}

static void draw_help(const struct screen *s, int height)
{
    static const char *const lines[] = {
        "q                  end",
        "arrows, j k, page  choose a row          g G  the first, the last",
        "Enter, right       look into a service: its instances, agents and callers",
        "Esc, left          back",
        "/                  filter by name, state or mode; Esc clears it",
        "space              pause              w    since it began, or since the last look",
        "p                  another percentile (p50 to p99.99)",
        "< >                sort by another column      r    the other way round",
        "N name  S state  I instances  R rate  T p50  L percentile  W wait  E success",
        "Q queued  A age of the oldest  X running  C processor  M memory",
        "",
        "SUCCESS \"-\": no task has ended. CPU: of one processor.",
        "any key            back",
    };
    for (int i = 0; i < (int)(sizeof lines / sizeof *lines) && i < height; i++) put_text(s, i, 0, screen_width(s), false, lines[i]);
}

static void draw_foot(const struct screen *s, int y)
{
    char *text = s->editing ? tool_format("filter: %s_", s->filter)
                            : tool_strdup("q end  ? help  Enter look into  Esc back  / filter  p percentile  w since  space pause");
    put_attributes(s, A_DIM, !s->editing);
    put_text(s, y, 0, screen_width(s), false, text);
    put_attributes(s, A_DIM, false);
    free(text);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

static void draw_rows(struct screen *s, int height)
{
    int widths[16], lines = height - HEAD - 1;
    size_t at = 0;
    s->page = lines;
    columns_fit(s, widths);
    draw_heads(s, HEAD - 1, widths);
    for (size_t i = 0; i < s->count; i++)
        if (s->rows[i].kind == s->chosen_kind && strcmp(s->rows[i].name, s->chosen) == 0) at = i;
    if (at < s->from) s->from = at;
    if (lines > 0 && at >= s->from + (size_t)lines) s->from = at - (size_t)lines + 1;
    if (lines > 0 && s->from + (size_t)lines > s->count) s->from = s->count > (size_t)lines ? s->count - (size_t)lines : 0;
    for (int i = 0; i < lines && s->from + (size_t)i < s->count; i++)
        draw_row(s, HEAD + i, widths, &s->rows[s->from + (size_t)i], s->from + (size_t)i == at);
    if (s->count == 0 && lines > 0)
        put_text(s, HEAD, 0, screen_width(s), false, s->filter[0] != '\0' ? "no such row" : "nothing is registered");
}

void top_draw(struct screen *s)
{
    int height = s->c->getmaxy(*s->c->screen);
    s->c->werase(*s->c->screen);
    if (s->help) {
        draw_help(s, height);
    } else {
        draw_totals(s, 0);
        if (height > 1) draw_choices(s, 1);
        if (height > HEAD) draw_rows(s, height);
        if (height > HEAD + 1) draw_foot(s, height - 1);
    }
    s->c->wnoutrefresh(*s->c->screen);
    s->c->doupdate();
}
