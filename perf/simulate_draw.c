/* perf/simulate_draw.c - the picture of a simulation, as SVG. See simulate.h. */
#include <math.h>

#include "perf/simulate.h"

#define WIDE 330.0
#define HIGH 210.0
#define LEFT 52.0
#define UNDER 34.0
#define LEGEND 26.0
#define DECADES 4 /* from the mean to 10,000 times the mean */

static const char *const colours[SIMULATE_POLICIES] = {"#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#999999", "#bcbd22", "#000000"};

static double draw_x(double left, unsigned members)
{
    return left + LEFT + (WIDE - LEFT - 12) * (log2(members) - 1) / 5;
}

static double draw_y(double top, double p99)
{
    double decades = p99 > 1 ? log10(p99) : 0;

    return top + HIGH - UNDER - (HIGH - UNDER - 22) * (decades < DECADES ? decades : DECADES) / DECADES;
}

static void draw_axes(FILE *to, double left, double top, unsigned scene, unsigned tail)
{
    fprintf(to, "<text x='%.0f' y='%.0f' class='t'>%s, %s</text>\n", left + LEFT, top + 14, simulate_scene_name(scene),
            simulate_tail_name(tail));
    for (int d = 0; d <= DECADES; d++) {
        double y = draw_y(top, pow(10, d));
        fprintf(to, "<path d='M%.1f %.1fH%.1f' class='g'/><text x='%.1f' y='%.1f' text-anchor='end'>%.0f</text>\n", left + LEFT, y,
                left + WIDE - 12, left + LEFT - 5, y + 3, pow(10, d));
    }
    for (unsigned n = 2; n <= SIMULATE_MEMBERS; n *= 2)
        fprintf(to, "<text x='%.1f' y='%.1f' text-anchor='middle'>%u</text>\n", draw_x(left, n), top + HIGH - UNDER + 13, n);
}

/* The points of one line stand in the order of their members. */
static void draw_line(FILE *to, const struct simulate_point *points, size_t n, double left, double top, unsigned scene,
                      unsigned tail, unsigned policy)
{
    bool begun = false;

    fprintf(to, "<path class='l' stroke='%s'%s d='", colours[policy], policy >= SIMULATE_LIBRARY ? " stroke-dasharray='4 2'" : "");
    for (size_t i = 0; i < n; i++) {
        const struct simulate_setting *s = &points[i].setting;

        if (s->scene != scene || s->tail != tail || s->policy != policy) continue;
        fprintf(to, "%s%.1f %.1f", begun ? "L" : "M", draw_x(left, s->members), draw_y(top, points[i].figures.p99));
        begun = true;
    }
    fprintf(to, "'/>\n");
}

void simulate_draw(const struct simulate_point *points, size_t n, FILE *to)
{
    fprintf(to, "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' font-family='sans-serif' font-size='9'>\n"
                "<style>.g{stroke:#ddd}.l{fill:none;stroke-width:1.6}.t{font-weight:bold}</style>\n"
                "<rect width='100%%' height='100%%' fill='#fff'/>\n"
                "<text x='8' y='12'>p99 of the tasks that end well, in the mean of what a task takes, by the number of members"
                "</text>\n",
            SIMULATE_TAILS * WIDE, LEGEND * 2 + SIMULATE_SCENES * HIGH);
    for (unsigned policy = 0; policy < SIMULATE_POLICIES; policy++)
        fprintf(to, "<path d='M%.0f 30h22' class='l' stroke='%s'%s/><text x='%.0f' y='33'>%s</text>\n", 10 + policy * 93.0,
                colours[policy], policy >= SIMULATE_LIBRARY ? " stroke-dasharray='4 2'" : "", 36 + policy * 93.0,
                simulate_policy_name(policy));
    for (unsigned scene = 0; scene < SIMULATE_SCENES; scene++)
        for (unsigned tail = 0; tail < SIMULATE_TAILS; tail++) {
            double left = tail * WIDE, top = LEGEND * 2 + scene * HIGH;

            draw_axes(to, left, top, scene, tail);
            for (unsigned policy = 0; policy < SIMULATE_POLICIES; policy++)
                draw_line(to, points, n, left, top, scene, tail, policy);
        }
    fprintf(to, "</svg>\n");
}
