/* tests/fuzz/fuzz_dump.c - shmdump's reading of a copy with arbitrary bytes: tables, JSON, and every checker.
 *
 * Input: how (1 byte), cut (2 bytes), patches to a sound segment. how: bit 0 the bytes behind the third are the copy itself,
 * 1 it is shorter than the segment, 2 no tasks, 3 no checkers, 4 no output. */
#include <string.h>

#include "tests/fuzz/world.h"
#include "tools/common/common.h"
#include "tools/dump/dump.h"

const char fuzz_target[] = "dump";
const size_t fuzz_longest = 4096;

static void finding(void *user, const struct ap_finding *f)
{
    uint64_t size = *(const uint64_t *)user;
    char *text = tool_printable(f->text, strlen(f->text));

    FUZZ_REQUIRE(f->severity == AP_REPAIRABLE || f->severity == AP_CORRUPT);
    FUZZ_REQUIRE(f->structure[0] != '\0' && f->rule[0] != '\0' && f->text[0] != '\0');
    FUZZ_REQUIRE(f->offset < size);
    free(text);
}

static void show(const struct dump *d, uint8_t how)
{
    const struct dump_options options = {.tasks = (how & 4) == 0, .events = 20};
    static FILE *nowhere;
    json_t *whole = dump_json(d, &options);
    char *text = json_dumps(whole, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    if (nowhere == NULL) FUZZ_REQUIRE((nowhere = fopen("/dev/null", "we")) != NULL);
    FUZZ_REQUIRE(text != NULL); /* what is no UTF-8 would make it fail */
    dump_text(whole, nowhere);
    free(text);
    json_decref(whole);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    uint8_t how = fuzz_byte(&in);
    uint16_t cut = (uint16_t)fuzz_number(&in, 2);
    const struct ap_segment *view;
    uint64_t whole, length, room;
    const uint8_t *image = world_image(&view, &whole);
    struct dump d;
    uint8_t *bytes;

    length = (how & 1) != 0 ? in.left : (how & 2) != 0 ? (uint64_t)cut * 5 % (whole + 1) : whole;
    /* As dump_open has it: whole pages, one at least. On the heap, where the sanitizer knows its ends. */
    room = (length > 4096 ? length + 4095 : 4096) & ~UINT64_C(4095);
    bytes = aligned_alloc(4096, room);
    memset(bytes, 0, room);
    if ((how & 1) != 0) {
        memcpy(bytes, in.at, in.left);
    } else {
        uint8_t *patched = malloc(whole);

        memcpy(patched, image, whole);
        while (in.left >= PATCH_SIZE) {
            struct patch p = patch_read(&in);
            patch_apply(view, patched, &p, true);
        }
        memcpy(bytes, patched, length);
        free(patched);
    }
    dump_memory(bytes, length, &d);
    if (d.plausible) {
        struct ap_report report = {.found = finding, .user = &room};

        snprintf(d.source, sizeof d.source, "fuzz");
        if ((how & 8) == 0) dump_check(&d, &report);
        if ((how & 16) == 0) show(&d, how);
    }
    free(bytes);
}
