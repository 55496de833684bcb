/* tests/fuzz/fuzz_task_id.c - what people type: task ids, durations; and bytes that are shown to them. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/common/common.h"

const char fuzz_target[] = "task_id";
const size_t fuzz_longest = 200;

static void shown_check(const char *text, size_t size)
{
    char *shown = tool_printable(text, size);
    json_t *json = tool_json_text(text);
    size_t n = strlen(shown);

    for (size_t i = 0; i < n; i++) FUZZ_REQUIRE((uint8_t)shown[i] >= 0x20 && shown[i] != 0x7f);
    FUZZ_REQUIRE(json != NULL);
    json_decref(json);
    free(shown);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), again[48];
    apiary_task_t task, same;
    uint64_t time;
    int r;

    if (size > 0) memcpy(text, data, size);
    text[size] = '\0';
    r = tool_parse_task(text, &task);
    FUZZ_REQUIRE(r == 0 || r == APIARY_EINVAL);
    if (r == 0) {
        FUZZ_REQUIRE(tool_parse_task(tool_format_task(task, again), &same) == 0);
        FUZZ_REQUIRE(same.slot == task.slot && same.epoch == task.epoch && same.generation == task.generation);
    }
    r = tool_duration(text, &time);
    FUZZ_REQUIRE(r == 0 || r == APIARY_EINVAL);
    if (r == 0) {
        tool_format_duration(time, again);
        tool_format_bytes(time, again);
        tool_format_time(time, again);
    }
    shown_check(text, strlen(text));
    free(text);
}
