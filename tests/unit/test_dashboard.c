/* tests/unit/test_dashboard.c - the page in the program: the files of the tree, byte by byte, and all that they name. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/dashboard/dashboard.h"

TestSuite(dashboard, .timeout = TEST_LIMIT);

static const char *source(void)
{
    const char *root = getenv("APIARY_SOURCE");
    return root != NULL ? root : ".";
}

static void same_as(const char *path, const char *name)
{
    const struct dashboard_file *f = dashboard_file(path);
    FILE *file = fopen(name, "re");

    cr_assert_not_null(f, "%s is not there", path);
    cr_assert_not_null(file, "%s", name);
    unsigned char *bytes = malloc(f->size + 1);
    cr_assert_not_null(bytes);
    cr_assert_eq(fread(bytes, 1, f->size + 1, file), f->size, "%s has another size", path);
    cr_assert_eq(memcmp(bytes, f->data, f->size), 0, "%s has other bytes", path);
    free(bytes);
    fclose(file);
}

Test(dashboard, has_the_bytes_of_the_tree)
{
    static const char *const names[] = {"index.html", "dashboard.css", "main.js", "icon.svg"};
    char path[64], name[1024];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/%s", names[i]);
        snprintf(name, sizeof name, "%s/tools/dashboard/%s", source(), names[i]);
        same_as(path, name);
    }
    cr_assert_eq(dashboard_file("/"), dashboard_file("/index.html"));
    cr_assert_gt(dashboard_file("/d3.min.js")->size, 100000u);
}

Test(dashboard, has_nothing_else)
{
    static const char *const wrong[] = {"", "index.html", "/index.html/", "//", "/..", "/INDEX.HTML", "/main.js?", "/dashboard/"};

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) cr_assert_null(dashboard_file(wrong[i]), "%s", wrong[i]);
}

Test(dashboard, types_and_tags)
{
    const struct dashboard_file *page = dashboard_file("/"), *style = dashboard_file("/dashboard.css");

    cr_assert_str_eq(page->content_type, "text/html; charset=utf-8");
    cr_assert_str_eq(style->content_type, "text/css; charset=utf-8");
    cr_assert_str_eq(dashboard_file("/main.js")->content_type, "text/javascript; charset=utf-8");
    cr_assert_str_eq(dashboard_file("/icon.svg")->content_type, "image/svg+xml");
    cr_assert_eq(strlen(page->etag), DASHBOARD_ETAG_SIZE - 1);
    cr_assert_eq(page->etag[0], '"');
    cr_assert_eq(page->etag[DASHBOARD_ETAG_SIZE - 2], '"');
    cr_assert_str_neq(page->etag, style->etag);
}

/* Each import of a script is of a file that is there. */
Test(dashboard, names_what_is_there)
{
    static const char *const scripts[] = {"/main.js", "/overview.js", "/swarm.js", "/chart.js", "/model.js"};
    char path[64];

    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        const struct dashboard_file *f = dashboard_file(scripts[i]);
        cr_assert_not_null(f, "%s", scripts[i]);
        char *text = strndup((const char *)f->data, f->size);
        cr_assert_not_null(text);
        for (char *at = strstr(text, " from './"); at != NULL; at = strstr(at + 1, " from './")) {
            int size = (int)strcspn(at + 9, "'");
            snprintf(path, sizeof path, "/%.*s", size, at + 9);
            cr_assert_not_null(dashboard_file(path), "%s names %s", scripts[i], path);
        }
        free(text);
    }
}
