/* tools/apiary/parts.c - the parts of a result, printed as they come: apiary delegate --parts. */
#include "tools/apiary/apiary.h"

#include <inttypes.h>
#include <stdlib.h>

#define SLICE UINT64_C(100000000) /* how often an interrupt is looked for */

/* A line for each part: nothing else tells where one ends. */
static int parts_json(apiary_task_t task, const apiary_part_t *part, const void *data)
{
    const apiary_result_t of = {.data = data, .size = part->size};
    char id[48];
    json_t *o = json_pack("{s:i, s:s, s:I, s:I, s:I}", "schema", TOOL_JSON_SCHEMA, "part_of", tool_format_task(task, id), "attempt",
                          (json_int_t)part->attempt, "number", (json_int_t)part->number, "size", (json_int_t)part->size);
    int rc = TOOL_FAILED;

    if (o != NULL) {
        result_set_data(o, &of);
        if (json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && putchar('\n') != EOF) rc = TOOL_OK;
    }
    json_decref(o);
    return rc;
}

/* One that cannot be printed ends the waiting: whoever reads has gone. */
static int parts_print(const struct tool *t, apiary_task_t task, const apiary_part_t *part, const void *data)
{
    int rc = TOOL_OK;

    if (t->json) rc = parts_json(task, part, data);
    else if (fwrite(data, 1, part->size, stdout) != part->size) rc = TOOL_FAILED;
    if (rc == TOOL_OK && fflush(stdout) != 0) rc = TOOL_FAILED;
    return rc;
}

int parts_read(const struct tool *t, apiary_t *a, apiary_task_t task, bool (*give_up)(void *user), void *user,
               uint32_t *ret_attempt)
{
    apiary_part_t part = {.struct_size = sizeof part};
    size_t capacity = 65536;
    char *data = tool_alloc(capacity);
    int r;

    *ret_attempt = 0;
    for (;;) {
        r = apiary_next_part(a, task, SLICE, data, capacity, &part);
        if (r == APIARY_ENOTREADY && !give_up(user)) continue;
        if (r <= 0) break;
        if (part.size > capacity) {
            capacity = part.size;
            data = tool_realloc(data, capacity);
            continue;
        }
        if (*ret_attempt != 0 && part.attempt != *ret_attempt && !t->json)
            tool_warn(t, "attempt %" PRIu32 " begins anew; what was printed before it is void", part.attempt);
        *ret_attempt = part.attempt;
        if (parts_print(t, task, &part, data) == TOOL_OK) continue;
        apiary_cancel(a, task);
        r = APIARY_EINTERRUPTED;
        break;
    }
    free(data);
    return r;
}
