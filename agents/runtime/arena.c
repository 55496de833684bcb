/* agents/runtime/arena.c - see arena.h. */
#include "agents/runtime/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* jemalloc's interface beside malloc, as weak symbols: a library must not decide which allocator a program has. The flags are
 * part of its binary interface since version 4. */
extern int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size) __attribute__((weak));
extern void *mallocx(size_t size, int flags) __attribute__((weak));
extern void *rallocx(void *block, size_t size, int flags) __attribute__((weak));
extern void dallocx(void *block, int flags) __attribute__((weak));
extern size_t sallocx(const void *block, int flags) __attribute__((weak));
#define FLAG_ARENA(index) ((int)(((unsigned)(index) + 1u) << 20))
#define FLAG_CACHE(index) ((int)(((unsigned)(index) + 2u) << 8))

struct ap_arena_block {
    struct ap_arena_block *prev, *next;
    size_t size;
    size_t align; /* keeps what follows aligned to 16 */
};

static int flags_of(const struct ap_arena *a)
{
    return FLAG_ARENA(a->index) | FLAG_CACHE(a->cache);
}

void ap_arena_open(struct ap_arena *a)
{
    size_t size = sizeof(unsigned); /* of an index, and of a cache's */

    *a = (struct ap_arena){0};
    if (mallctl == NULL || mallocx == NULL || rallocx == NULL || dallocx == NULL || sallocx == NULL) return;
    if (mallctl("arenas.create", &a->index, &size, NULL, 0) != 0) return;
    if (mallctl("tcache.create", &a->cache, &size, NULL, 0) != 0) {
        char name[48];
        snprintf(name, sizeof name, "arena.%u.destroy", a->index);
        mallctl(name, NULL, NULL, NULL, 0);
        return;
    }
    a->jemalloc = true;
}

void ap_arena_close(struct ap_arena *a)
{
    char name[48];

    if (a->jemalloc) {
        mallctl("tcache.destroy", NULL, NULL, &a->cache, sizeof a->cache);
        snprintf(name, sizeof name, "arena.%u.destroy", a->index);
        mallctl(name, NULL, NULL, NULL, 0);
    }
    for (struct ap_arena_block *b = a->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct ap_arena){0};
}

/* ---- malloc --------------------------------------------------------------------------------------------------- */

static void block_link(struct ap_arena *a, struct ap_arena_block *b, size_t size)
{
    b->size = size;
    b->prev = NULL;
    b->next = a->blocks;
    if (a->blocks != NULL) a->blocks->prev = b;
    a->blocks = b;
    a->allocated += size;
}

static void block_unlink(struct ap_arena *a, struct ap_arena_block *b)
{
    if (b->prev != NULL)
        b->prev->next = b->next;
    else
        a->blocks = b->next;
    if (b->next != NULL) b->next->prev = b->prev;
    a->allocated -= b->size;
}

static void *block_resize(struct ap_arena *a, void *block, size_t size)
{
    struct ap_arena_block *old = block != NULL ? (struct ap_arena_block *)block - 1 : NULL, *b;
    size_t before = old != NULL ? old->size : 0;

    if (size > SIZE_MAX - sizeof *b) return NULL;
    if (old != NULL) block_unlink(a, old);
    b = realloc(old, sizeof *b + size);
    if (b != NULL)
        block_link(a, b, size);
    else if (old != NULL)
        block_link(a, old, before);
    return b != NULL ? b + 1 : NULL;
}

/* ---- both ----------------------------------------------------------------------------------------------------- */

void *ap_arena_alloc(struct ap_arena *a, size_t size)
{
    void *block;

    if (!a->jemalloc) return block_resize(a, NULL, size);
    block = mallocx(size != 0 ? size : 1, flags_of(a));
    if (block != NULL) a->allocated += sallocx(block, 0);
    return block;
}

void *ap_arena_resize(struct ap_arena *a, void *block, size_t size)
{
    size_t before;

    if (!a->jemalloc) return block_resize(a, block, size);
    if (block == NULL) return ap_arena_alloc(a, size);
    before = sallocx(block, 0);
    block = rallocx(block, size != 0 ? size : 1, flags_of(a));
    if (block != NULL) a->allocated += sallocx(block, 0) - before;
    return block;
}

void ap_arena_free(struct ap_arena *a, void *block)
{
    struct ap_arena_block *b;

    if (block == NULL) return;
    if (a->jemalloc) {
        a->allocated -= sallocx(block, 0);
        dallocx(block, flags_of(a));
        return;
    }
    b = (struct ap_arena_block *)block - 1;
    block_unlink(a, b);
    free(b);
}

void ap_arenas_refresh(void)
{
    uint64_t epoch = 1;

    if (mallctl != NULL) mallctl("epoch", NULL, NULL, &epoch, sizeof epoch);
}

uint64_t ap_arena_resident(const struct ap_arena *a)
{
    size_t resident = 0, size = sizeof resident;
    char name[48];

    if (!a->jemalloc) return UINT64_MAX;
    snprintf(name, sizeof name, "stats.arenas.%u.resident", a->index);
    return mallctl(name, &resident, &size, NULL, 0) == 0 ? resident : UINT64_MAX;
}
