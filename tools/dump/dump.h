/* tools/dump/dump.h - shmdump: opening a segment that may be live, copied, cut short or hostile, reading it once into JSON,
 * printing that, and running the checkers.
 *
 * 1 A live segment is mapped read-only. A file is read into private memory, so that it cannot be cut short meanwhile.
 * 2 shmdump does not attach: it has no lane, no lock, no daemon. Geometry and sections are private copies (ap_segment_salvage).
 */
#ifndef AP_TOOLS_DUMP_H
#define AP_TOOLS_DUMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "core/must_check.h"
#include "registry/registry.h"
#include "shm/event.h"

struct dump {
    struct ap_segment seg;
    void *base;      /* the mapping to be unmapped; NULL: it is the caller's */
    size_t mapped;
    bool live;       /* the segment itself, and not a copy */
    bool registry;   /* its registry's sections are usable */
    bool untimed;    /* its times are by a clock of which this process knows nothing */
    bool plausible;  /* the magic bytes are there, or enough of the rest to know it for a segment */
    char source[256];
};

/* A name ("/apiary", "apiary") or a file. 0, or an error of enum apiary_error and a sentence. */
AP_MUST_CHECK int dump_open(const char *source, struct dump *ret, char *message, size_t size);
/* `size` bytes that are the caller's; `base` has one page at least. */
void dump_memory(void *base, uint64_t size, struct dump *ret);
void dump_close(struct dump *d);

struct dump_options {
    bool tasks;      /* every slot that is not free */
    uint32_t events; /* the newest so many */
};
/* The whole of it, for tool_json_print; the caller's. */
json_t *dump_json(const struct dump *d, const struct dump_options *options);
/* Writes a part into that object, some parts together with another one. One function for each line of the parts.def. */
#define AP_PART(ID, id) void dump_part_##id(const struct dump *d, const struct dump_options *options, json_t *whole);
#include "shm/parts.def"
#include "registry/parts.def"
#undef AP_PART
/* held.c. A list of the dead lanes that nobody has recovered, with what each holds. */
json_t *dump_held(const struct dump *d);
/* As tables, from that object and nothing else. */
void dump_text(const json_t *whole, FILE *out);

/* Runs every checker that the header leaves usable. */
void dump_check(const struct dump *d, struct ap_report *report);

/* Shared by the parts: texts of the segment, as JSON, whatever bytes they hold. */
json_t *dump_bytes_json(const char *at, size_t size);
json_t *dump_number(uint64_t n); /* JSON integers end at 2^63 - 1: a larger number becomes a text in hexadecimal */
json_t *dump_hex(uint64_t n);
/* now - stamp in ns for a segment of this boot, else null. */
json_t *dump_age(const struct dump *d, uint64_t stamp);
const char *dump_enum(const char *const *names, size_t count, uint32_t value, char ret[24]);

#endif
