/* tests/unit/test_kinds_frame.c - the messages of apiary-exec(7) as bytes: what is one, what can still become one, what is none. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_agent.h"

#include "agents/kinds/frame.h"

static enum ap_frame_found found(const char *text, size_t size, struct ap_frame *ret, char why[200])
{
    char *exactly = malloc(size + 1); /* an address sanitizer sees a byte too many */
    memcpy(exactly, text, size);
    enum ap_frame_found r = ap_frame_read(exactly, size, 100, ret, why, 200);
    if (r == AP_FRAME_WHOLE) json_decref(ret->head);
    free(exactly);
    return r;
}

Test(frame, each_beginning_of_a_message_needs_more)
{
    static const char text[] = "15 5\n{\"type\":\"beat\"}hello";
    struct ap_frame f;
    char why[200];
    for (size_t size = 1; size + 1 < sizeof text - 1; size++)
        cr_assert_eq(found(text, size, &f, why), AP_FRAME_MORE, "%zu bytes", size);
    cr_assert_eq(found(text, sizeof text - 1, &f, why), AP_FRAME_WHOLE);
    cr_assert_eq(f.size, sizeof text - 1);
    cr_assert_eq(f.body_size, 5);
}

Test(frame, what_is_no_message_is_named)
{
    static const struct {
        const char *text, *why;
    } wrong[] = {
        {"Traceback", "\"Traceback\" is not the first line"},
        {"\n", "is not the first line"},
        {" 1 2\n", "is not the first line"},
        {"-1 2\n", "is not the first line"},
        {"1\n", "is not the first line"},
        {"1 2 3\n", "is not the first line"},
        {"11111111111 2\n", "is not the first line"},
        {"1234567890 123456789012345", "is not the first line"},
        {"65537 0\n", "65537 bytes; allowed: at most 65536"},
        {"2 0\n{}", "no object with a text \"type\""},
        {"12 0\n{\"type\":1234", "not JSON"},
        {"10 0\n{\"type\":1}", "no object with a text \"type\""},
        {"3 0\n\"a\"", "not JSON"},
        {"2 0\n[]", "no object with a text \"type\""},
        {"1 0\n\xff", "not JSON"},
    };
    struct ap_frame f;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char why[200] = "";
        cr_assert_eq(found(wrong[i].text, strlen(wrong[i].text), &f, why), AP_FRAME_WRONG, "%s", wrong[i].text);
        cr_assert_not_null(strstr(why, wrong[i].why), "%s: %s", wrong[i].text, why);
    }
}

Test(frame, a_body_may_have_so_much_and_no_more)
{
    struct ap_frame f;
    char why[200];
    cr_assert_eq(found("15 100\n", 7, &f, why), AP_FRAME_MORE);
    cr_assert_eq(f.size, 7 + 15 + 100);
    cr_assert_eq(found("15 101\n", 7, &f, why), AP_FRAME_TOO_LARGE);
}

Test(frame, what_is_written_is_read)
{
    struct apiary_agent agent = {.name = "frame"};
    struct ap_bytes bytes = {.agent = &agent};
    struct ap_frame f;
    char why[200];
    cr_assert(ap_frame_write(&bytes, json_pack("{s:s, s:i}", "type", "task", "id", 7), 2));
    cr_assert_eq(bytes.size, strlen("22 2\n{\"type\":\"task\",\"id\":7}"));
    cr_assert_eq(memcmp(bytes.data, "22 2\n{\"type\":\"task\",\"id\":7}", bytes.size), 0, "%.*s", (int)bytes.size, bytes.data);
    cr_assert(ap_bytes_text(&bytes, "ab"));
    cr_assert_eq(found(bytes.data, bytes.size, &f, why), AP_FRAME_WHOLE);
    cr_assert_not(ap_frame_write(&bytes, NULL, 0));
    ap_bytes_free(&bytes);
    cr_assert_eq(agent.allocated, 0);
}
