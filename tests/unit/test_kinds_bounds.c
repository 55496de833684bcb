/* tests/unit/test_kinds_bounds.c - work that is bounded: in slices, or refused where the parts of a request would multiply. */
#include "tests/unit/fake_agent.h"

static struct apiary_agent *agent;

static void open_kind(const char *kind, const struct fake_key *config)
{
    fake_open();
    cr_assert_eq(fake_create(kind, config, &agent), 0, "%s", agent->log);
}

static void done(void)
{
    fake_destroy(agent);
    fake_close();
}

static char *repeated(const char *before, const char *item, int count, const char *after)
{
    char *text = malloc(strlen(before) + (size_t)count * strlen(item) + strlen(after) + 1), *at = stpcpy(text, before);
    for (int i = 0; i < count; i++)
        at = stpcpy(at, item);
    strcpy(at, after);
    return text;
}

/* A request of ordinary size whose work would be the product of its parts. */
Test(bounds, products_of_long_parts_are_refused)
{
    char *list = repeated("", "1,", 20000, "2");
    char *conditions = repeated("", "[\"l\",\"contains\",3],", 63, "[\"l\",\"contains\",3]");
    char *request = malloc(200000);
    open_kind("rules", NULL);
    int n = sprintf(request, "{\"facts\":{\"l\":[%s]},\"rules\":[", list);
    for (int i = 0; i < 20; i++)
        n += sprintf(request + n, "{\"name\":\"r\",\"if\":[%s]}%s", conditions, i < 19 ? "," : "]}");
    fake_expect_failure(agent, "business_rules", request, 413, "look through more than");
    char *dots = repeated("{\"facts\":{},\"rules\":[{\"name\":\"r\",\"if\":[[\"a", ".a", 512, "\",\"absent\"]]}]}");
    fake_expect_failure(agent, "business_rules", dots, 400, "1025 bytes");
    free(dots);
    done();
    open_kind("text", NULL);
    dots = repeated("{\"template\":\"", "{{a}}", 20000, "\",\"values\":{\"a\":\"");
    request = realloc(request, strlen(dots) + strlen(list) + 8);
    sprintf(request, "%s%s\"}}", dots, list);
    fake_expect_failure(agent, "template_rendering", request, 413, "more than 16777216 bytes");
    done();
    open_kind("convert", NULL);
    free(dots);
    dots = repeated("{\"from\":\"csv\",\"to\":\"json\",\"text\":\"", "a", 20000, "\\n");
    char *rows = repeated(dots, "1\\n", 5000, "\"}");
    fake_expect_failure(agent, "format_conversion", rows, 413, "the names of the columns");
    free(rows);
    free(dots);
    free(list);
    free(conditions);
    free(request);
    done();
}

static char *many_points(int count, int width)
{
    char *request = malloc((size_t)count * (size_t)width * 8 + 64), *at = request;
    uint32_t x = 1;
    at += sprintf(at, "{\"k\":16,\"points\":[");
    for (int p = 0; p < count; p++) {
        for (int i = 0; i < width; i++)
            at += sprintf(at, "%c%u", i ? ',' : '[', (x = x * 1103515245u + 12345u) >> 16 & 1023u);
        at += sprintf(at, "]%s", p + 1 < count ? "," : "]}");
    }
    return request;
}

/* The worker has other tasks meanwhile, and the deadline of this one is looked at. */
Test(clusters, long_work_comes_in_slices)
{
    char *request = many_points(3000, 32);
    open_kind("clusters", NULL);
    struct apiary_job *job = fake_submit(agent, "clustering", request, strlen(request));
    int between = 0;
    for (; !job->finished && between < 10; between++) {
        fake_turn();
        fake_expect(agent, "clustering", "{\"points\":[[1]],\"k\":1}",
                    "{\"centres\":[[1.0]],\"cluster\":[0],\"inertia\":0.0,\"rounds\":1}");
    }
    cr_expect_eq(between, 10, "%d", between);
    job->deadline = 1;
    job->cancelled = true; /* as the library says it then */
    fake_finish(job);
    cr_expect_eq(job->code, 504, "%s", job->data);
    fake_free(job);
    job = fake_submit(agent, "clustering", request, strlen(request));
    fake_finish(job);
    cr_expect(!job->failed, "%s", job->data);
    fake_free(job);
    free(request);
    done();
}
