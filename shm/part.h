/* shm/part.h - the table of parts: all that a structure of the segment has to declare, in one row.
 *
 * ROW       A part is one section of the segment: an array of equal elements. Its row lies beside its checker and gives the
 *           section's name, the size and number of its elements by the geometry, the fields that enter the fingerprint, the
 *           numbers of the configuration that decide its size, the checker, and its part of a recovery.
 * TABLE     The rows of shm/ in the order of shm/parts.def, then those of a registry in the order of its own parts.def. A line
 *           without a row does not link; a row that lacks something fails unit.parts, which names it.
 * READERS   The layout, the fingerprint, attach, checkers, recovery, shmdump, the configuration and `apiary segment sizes` go
 *           through the table; none of them names a section. shmdump wants a function dump_part_<id> for each part
 *           (tools/dump.h), or does not link.
 * THREADS   Rows and tables are constant.
 */
#ifndef AP_PART_H
#define AP_PART_H

#include <string.h>

#include "shm/check.h"

/* A field of a shared structure. A change of its name, place or size is another layout. */
struct ap_field {
    const char *name;
    uint32_t offset, size;
};
#define AP_FIELD(type, field) {#type "." #field, offsetof(struct type, field), sizeof(((struct type *)0)->field)}

/* A number of the configuration that decides how large a part is; ends with key == NULL. */
struct ap_number {
    const char *key;      /* in meta_registry, or in the mapping `group` of it */
    const char *group;    /* NULL: none */
    const char *what;     /* a line of the manual */
    uint32_t at;          /* its uint32_t in struct ap_geometry, by offset */
    uint32_t otherwise;   /* the default, for a 0; of numbers that may be 0, for a group of which all are */
    uint32_t min, max;
    bool power;           /* of two */
    bool counts;          /* the section has so many elements */
    bool wide;            /* it decides the size of the next section, too */
    /* Else the number that a section table tells, `value` where the table agrees with it; NULL: the table does not tell. */
    uint64_t (*told)(const struct ap_section *table, uint64_t value);
};
#define AP_NUMBER_AT(field) offsetof(struct ap_geometry, field)

/* Idempotent, and may be killed at any instruction. `beside` is 0, or the caller has not the lane's lock (reap.h, BESIDE): the life
 * that the lane has as long as its index is nobody else's; then only what has an epoch of its own, each after ap_lane_still. */
typedef void (*ap_part_recover_fn)(struct ap_segment *seg, uint32_t lane, uint64_t beside);

struct ap_part {
    const char *name;     /* of the section, at most 15 bytes */
    const char *element;  /* what a finding calls one of them, at most 15 bytes */
    uint64_t size;        /* of an element; 0: `stride` tells */
    uint64_t (*stride)(const struct ap_geometry *g);
    uint64_t (*count)(const struct ap_geometry *g); /* of elements; NULL: the first number tells */
    const struct ap_field *fields;   /* AP_NO_FIELDS: its elements have none, as words and bytes */
    const struct ap_number *numbers; /* AP_NO_NUMBERS: its size follows from those of other parts */
    ap_look_fn look;                 /* the checker of one element; ap_look_nothing: nothing can be said, as of a body's bytes */
    /* Its part of the recovery of a dead lane (reap.h): what names the lane here and is no task is withdrawn before the lane's
     * tasks are given to others, and what they may still need is settled after that. ap_part_nothing: nothing here is a lane's. */
    ap_part_recover_fn withdraw, settle;
};

struct ap_parts {
    const struct ap_part *const *rows; /* by section number */
    uint32_t count;                    /* at most AP_SECTIONS_MAX */
    ap_look_fn look_slot;              /* what a registry says of a task slot; NULL: there is no registry */
};
extern const struct ap_parts ap_shm_parts; /* the parts of a segment without a registry */

#define AP_NO_FIELDS ((const struct ap_field[]){{NULL, 0, 0}})
#define AP_NO_NUMBERS ((const struct ap_number[]){{.key = NULL}})
void ap_look_nothing(struct ap_look *look);
void ap_part_nothing(struct ap_segment *seg, uint32_t lane, uint64_t beside);

static inline uint64_t ap_part_stride(const struct ap_part *part, const struct ap_geometry *g)
{
    return part->size != 0 ? part->size : part->stride(g);
}
static inline uint32_t ap_number_of(const struct ap_geometry *g, const struct ap_number *n)
{
    uint32_t value;

    memcpy(&value, (const uint8_t *)g + n->at, sizeof value);
    return value;
}
static inline uint64_t ap_part_count(const struct ap_part *part, const struct ap_geometry *g)
{
    return part->count != NULL ? part->count(g) : ap_number_of(g, &part->numbers[0]);
}
static inline void ap_number_set(struct ap_geometry *g, const struct ap_number *n, uint32_t value)
{
    memcpy((uint8_t *)g + n->at, &value, sizeof value);
}
/* The number as the section table tells it, `value` where the table agrees or does not tell. `section` is its part's. */
static inline uint64_t ap_number_told(const struct ap_number *n, uint32_t section, const struct ap_section *table, uint64_t value)
{
    return n->counts ? table[section].count : n->told != NULL ? n->told(table, value) : value;
}
/* In range by itself. */
bool ap_number_valid(const struct ap_number *n, uint32_t value);
/* Calls `each` for every number of a table, in its order, until one returns other than 0, and returns that. */
int ap_numbers_each(const struct ap_parts *parts, int (*each)(void *user, const struct ap_number *n), void *user);

/* Fills zeros with defaults and refuses what is out of range: APIARY_EINVAL with a sentence in `message`, and *g is untouched. */
int ap_geometry_normalise(const struct ap_parts *parts, struct ap_geometry *g, char *message, size_t size);
/* The section table of a geometry; returns the segment's size in bytes. */
uint64_t ap_layout_sections(const struct ap_parts *parts, const struct ap_geometry *g, struct ap_section ret[AP_SECTIONS_MAX]);
/* Whether a header's section table is the one that its geometry gives, in a segment of `size` bytes. `h` is a private copy. */
bool ap_layout_matches(const struct ap_parts *parts, const struct ap_header *h, uint64_t size);
/* Of names, offsets and sizes of all fields of the header and of the table. */
uint64_t ap_layout_fingerprint(const struct ap_parts *parts);
/* Looks at each element of the rows [from, to), and at each task slot as the registry does when its rows are among them. */
void ap_parts_check(const struct ap_segment *seg, uint32_t from, uint32_t to, struct ap_report *report);

#endif
