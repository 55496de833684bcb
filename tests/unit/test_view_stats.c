/* What was counted between two moments: each row less what it had before. */
#include <criterion/criterion.h>

#include "tools/view/stats.h"

static struct ap_tally row(uint32_t number, const char *caller, uint64_t ended)
{
    struct ap_tally t = {.name = {.kind = AP_TALLY_PAIR, .queue = 3, .capability = 1}, .row = number};

    snprintf(t.name.caller, sizeof t.name.caller, "%s", caller);
    t.counts[AP_TALLY_ENDED] = ended;
    return t;
}

/* Two lanes that enter one name at the same moment may have two rows of it. Both lists are as stats_take orders them. */
Test(view_stats, rows_of_one_name_are_told_apart)
{
    struct ap_tally then[] = {row(7, "bank", 8), row(5, "shop", 3), row(9, "shop", 100)};
    struct ap_tally now[] = {row(4, "mall", 2), row(5, "shop", 10), row(9, "shop", 101), row(11, "shop", 6)};
    struct stats before = {.tallies = then, .tally_count = 3, .now = 5}, s = {.tallies = now, .tally_count = 4, .now = 8};
    static const uint64_t want[] = {2, 7, 1, 6};

    stats_since(&s, &before);
    cr_expect_eq(s.span, 3);
    for (int i = 0; i < 4; i++) cr_expect_eq(now[i].counts[AP_TALLY_ENDED], want[i], "row %u", now[i].row);
}

/* The segment was made anew: nothing of it was there before. */
Test(view_stats, a_row_that_has_another_name_is_new)
{
    struct ap_tally then[] = {row(5, "shop", 3)}, now[] = {row(5, "bank", 10)};
    struct stats before = {.tallies = then, .tally_count = 1}, s = {.tallies = now, .tally_count = 1};

    stats_since(&s, &before);
    cr_expect_eq(now[0].counts[AP_TALLY_ENDED], 10);
}
