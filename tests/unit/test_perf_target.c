/* The table of targets against results that are made up: figures are found, the worst comes first, what is missed is counted. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "perf/target.h"

static char *text;

static int judge(const char *json, bool markdown)
{
    json_error_t e;
    json_t *results = json_loads(json, 0, &e);
    size_t size;
    FILE *to = open_memstream(&text, &size);
    int missed;

    cr_assert_not_null(results, "%s at %d", e.text, e.position);
    cr_assert_not_null(to);
    missed = perf_target_print(results, markdown, to);
    fclose(to);
    json_decref(results);
    return missed;
}

#define WAKE(ratio) "{\"case\":\"wake\",\"ratio\":{\"futex\":" ratio "}}"
#define CROWD(ratio, share) \
    "{\"case\":\"crowd\",\"ratio\":{\"seqpacket\":" ratio "},\"table\":[{\"what\":" \
    "\"apiary: the least client's part of the mean, worst block\",\"value\":" share "}]}"

Test(perf_target, a_ratio_is_met_at_its_bound)
{
    cr_expect_eq(judge("[" WAKE("1.25") "]", false), 0);
    cr_expect_not_null(strstr(text, "met"));
    free(text);
    cr_expect_eq(judge("[" WAKE("1.26") "]", false), 1);
    cr_expect_not_null(strstr(text, "missed"));
    free(text);
}

/* What is to be at least so much is missed below it. */
Test(perf_target, a_least_figure)
{
    cr_expect_eq(judge("[" CROWD("0.3", "0.5") "]", false), 0);
    free(text);
    cr_expect_eq(judge("[" CROWD("0.3", "0.49") "]", false), 1);
    free(text);
}

Test(perf_target, the_worst_comes_first)
{
    const char *crowd, *wake;

    cr_expect_eq(judge("[" WAKE("1.3") "," CROWD("3.3", "0.6") "]", true), 2);
    crowd = strstr(text, "| crowd | seqpacket");
    wake = strstr(text, "| wake | futex");
    cr_assert_not_null(crowd);
    cr_assert_not_null(wake);
    cr_expect_lt(crowd, wake);
    free(text);
}

/* Of the near blocks, and of those that are not; p99 by p99. */
Test(perf_target, bins_and_tails)
{
    cr_expect_eq(judge("[{\"case\":\"rtt\",\"ratio\":{\"ck_ring\":1.5},\"bins\":{\"near\":{\"ratio\":{\"raw\":2.6}},"
                       "\"far\":{\"ratio\":{\"raw\":1.9}}}}]", false), 1);
    free(text);
    cr_expect_eq(judge("[{\"case\":\"recover\",\"ns\":{\"p99\":51},\"ratio\":{\"futex wake\":2},"
                       "\"baselines\":{\"futex wake\":{\"p99\":10}}}]", false), 1);
    free(text);
}

/* No figure, no verdict. */
Test(perf_target, what_was_not_measured_is_not_judged)
{
    cr_expect_eq(judge("[{\"case\":\"wake\",\"ratio\":{}},{\"case\":\"nothing\"}]", false), 0);
    cr_expect_null(strstr(text, "met"));
    free(text);
}
