/* tools/apiary/top_draw.h - what apiary top has on its terminal, and how it is drawn. Inside: for top_screen.c and top_draw.c. */
#ifndef AP_TOOLS_APIARY_TOP_DRAW_H
#define AP_TOOLS_APIARY_TOP_DRAW_H

#include "tools/apiary/curses.h"
#include "tools/apiary/top.h"

struct screen {
    const struct curses *c;
    const struct top_options *o;
    apiary_t **a; /* *a NULL: there is no segment now */
    struct top_look now, before, first;
    struct top_row *rows;
    size_t count, column, percentile, from; /* from: the first row that is drawn */
    long page;                              /* rows that are drawn */
    bool reverse, whole, paused, help, editing, coloured; /* whole: since it began */
    enum top_kind chosen_kind;
    char chosen[sizeof((struct top_row *)0)->name], of[APIARY_NAME_MAX + 1], filter[64], message[512];
};

void top_draw_begin(struct screen *s);
void top_draw(struct screen *s);

#endif
