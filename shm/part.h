/* shm/part.h - the table of parts: all that a structure of the segment has to declare, in one row.
 *
 * ROW       A part is one section of the segment: an array of equal elements. Its row lies beside its checker and gives the
 *           section's name, the size and number of its elements by the geometry, the fields that enter the fingerprint, the
 *           numbers of the configuration that decide its size, the checker, and its part of a recovery.
 * TABLE     1 The rows of shm/ stand in the order of shm/parts.def, then those of a registry in the order of its own parts.def.
 *           2 A line without a row does not link. A row that lacks something fails unit.parts, which names it.
 * READERS   1 The layout, the fingerprint, attach, checkers, recovery, shmdump, the configuration and `apiary segment sizes` go
 *           through the table; none of them names a section.
 *           2 shmdump wants a function dump_part_<id> for each part (tools/dump/dump.h), or does not link.
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

/* A number of the configuration that decides how large a part is. A list of them ends with key == NULL. */
struct ap_number {
    const char *key;      /* in meta_registry, or in the mapping `group` of it */
    const char *group;    /* NULL: none */
    const char *what;     /* a line of the manual */
    uint32_t at;          /* its uint32_t in struct ap_geometry, by offset */
    uint32_t otherwise;   /* the default for a 0; if 0 is allowed (min == 0), only when the whole group is 0 */
    uint32_t min, max;
    bool power;           /* of two */
    bool counts;          /* it is the number of the section's elements */
    bool wide;            /* it decides the size of the next section, too */
    bool apart;           /* it decides no size */
    bool milliseconds;    /* it is a time; the configuration writes it as one (5s, 10m) */
    /* Unless `counts`: the number by a section table, which is `value` where the table agrees. NULL: the table does not tell. */
    uint64_t (*told)(const struct ap_section *table, uint64_t value);
};
#define AP_NUMBER_AT(field) offsetof(struct ap_geometry, field)

/* One part's share of a recovery. Idempotent; may be killed at any instruction.
 * 1 `beside` is 0 when the caller has the lane's lock.
 * 2 Else it is the life that the lane has until its index is used again (reap.h, BESIDE). Then only words with an epoch of their
 *   own are changed, each after ap_lane_still. */
typedef void (*ap_part_recover_fn)(struct ap_segment *seg, uint32_t lane, uint64_t beside);

struct ap_part {
    const char *name;     /* of the section, at most 15 bytes */
    const char *element;  /* the name of an element in a finding, at most 15 bytes */
    uint64_t size;        /* of an element; 0: call `stride` */
    uint64_t (*stride)(const struct ap_geometry *g);
    uint64_t (*count)(const struct ap_geometry *g); /* of elements; NULL: the first of `numbers` */
    const struct ap_field *fields;   /* AP_NO_FIELDS: its elements are words or bytes */
    const struct ap_number *numbers; /* AP_NO_NUMBERS: its size follows from other parts' */
    ap_look_fn look;                 /* the checker of one element; ap_look_nothing where there are no rules, as for bodies */
    /* Its share of the recovery of a dead lane (reap.h). `withdraw` removes what names the lane here, before the lane's tasks are
     * given to others; `settle` removes afterwards what these tasks may have needed. ap_part_nothing: nothing here is a lane's. */
    ap_part_recover_fn withdraw, settle;
};

struct ap_finished;
struct ap_parts {
    const struct ap_part *const *rows; /* by section number */
    uint32_t count;                    /* at most AP_SECTIONS_MAX */
    /* Whether a row of the registry has the block that is KEPT(row, epoch); NULL: there is no registry. */
    bool (*keeps)(const struct ap_segment *seg, uint32_t row, uint64_t epoch);
    /* The member that such a block counts for, AP_SHARE_NOBODY or AP_SHARE_SPARE (share.h). */
    uint32_t (*holder)(const struct ap_segment *seg, uint32_t row);
    /* Adds to a record of the last tasks what the task carries with it (finished.h); NULL: there is no registry. */
    void (*traced)(const struct ap_segment *seg, apiary_task_t task, struct ap_finished *ret);
    ap_look_fn look_slot;              /* the registry's check of a task slot; NULL: there is no registry */
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
/* The number by the section table; `value` where the table agrees or does not tell. `section` is that of the number's part. */
static inline uint64_t ap_number_told(const struct ap_number *n, uint32_t section, const struct ap_section *table, uint64_t value)
{
    return n->counts ? table[section].count : n->told != NULL ? n->told(table, value) : value;
}
/* Whether a value is in range for the number, whatever the other numbers are. */
bool ap_number_valid(const struct ap_number *n, uint32_t value);
/* Calls `each` for every number of a table, in its order, until one returns other than 0, and returns that. */
int ap_numbers_each(const struct ap_parts *parts, int (*each)(void *user, const struct ap_number *n), void *user);

/* Fills zeros with defaults and refuses numbers out of range: APIARY_EINVAL with a sentence in `message`, and *g is untouched. */
int ap_geometry_normalise(const struct ap_parts *parts, struct ap_geometry *g, char *message, size_t size);
/* The section table of a geometry; returns the segment's size in bytes. */
uint64_t ap_layout_sections(const struct ap_parts *parts, const struct ap_geometry *g, struct ap_section ret[AP_SECTIONS_MAX]);
/* Whether a header's section table is the one that its geometry gives, in a segment of `size` bytes. `h` is a private copy. */
bool ap_layout_matches(const struct ap_parts *parts, const struct ap_header *h, uint64_t size);
/* The hash of names, offsets and sizes of all fields of the header and of the table's parts. */
uint64_t ap_layout_fingerprint(const struct ap_parts *parts);
/* Checks each element of the rows [from, to), and, if the registry's rows are among them, each task slot with look_slot. */
void ap_parts_check(const struct ap_segment *seg, uint32_t from, uint32_t to, struct ap_report *report);

#endif
