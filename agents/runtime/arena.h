/* agents/runtime/arena.h - an agent's heap: a jemalloc arena with a cache of its own where the process has jemalloc, else malloc
 * with a list of the blocks in use. One thread. The heap is freed as a whole, with all blocks that the agent leaked.
 */
#ifndef AP_ARENA_H
#define AP_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ap_arena_block;

struct ap_arena {
    bool jemalloc;
    unsigned index, cache; /* jemalloc */
    struct ap_arena_block *blocks; /* malloc */
    size_t allocated;              /* bytes in use, as the heap rounds them */
};

void ap_arena_open(struct ap_arena *a);
void ap_arena_close(struct ap_arena *a);
void *ap_arena_alloc(struct ap_arena *a, size_t size);
void *ap_arena_resize(struct ap_arena *a, void *block, size_t size); /* on NULL the block stays, as with realloc */
void ap_arena_free(struct ap_arena *a, void *block);
/* Bytes of physical memory that the heap has, as jemalloc has counted at the last refresh; UINT64_MAX: it is not known, as with
 * another allocator. refresh: of all heaps of the process, which takes tens of microseconds. */
uint64_t ap_arena_resident(const struct ap_arena *a);
void ap_arenas_refresh(void);

#endif
