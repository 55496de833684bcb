/* tests/unit/test_arena.c - an agent's heap where the process has jemalloc: here one that keeps accounts and fails when told to. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/arena.h"

/* The interface's own names, so that the weak symbols of the library mean these. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size);
void *mallocx(size_t size, int flags);
void *rallocx(void *block, size_t size, int flags);
void dallocx(void *block, int flags);
size_t sallocx(const void *block, int flags);

#define ARENA 5u
#define CACHE 9u
#define LARGEST 100000u

static char told[256], refused[32]; /* all commands so far, each with a blank behind it; the one that fails */
static int flags_seen, blocks_out;

int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
{
    size_t at = strlen(told);

    snprintf(told + at, sizeof told - at, "%s ", name);
    if (strcmp(name, refused) == 0) return EAGAIN;
    if (strcmp(name, "tcache.destroy") == 0) {
        cr_expect_eq(new_size, sizeof(unsigned));
        cr_expect_eq(*(unsigned *)new, CACHE);
    }
    if (old == NULL) return 0;
    if (strcmp(name, "stats.arenas.5.resident") == 0) {
        cr_expect_eq(*old_size, sizeof(size_t));
        *(size_t *)old = 4096;
        return 0;
    }
    cr_expect_eq(*old_size, sizeof(unsigned));
    *(unsigned *)old = strcmp(name, "arenas.create") == 0 ? ARENA : CACHE;
    return 0;
}

/* Rounds up to 64 bytes, of which the first say how many. */
void *mallocx(size_t size, int flags)
{
    size_t room = (size + 63) / 64 * 64;
    size_t *block = size <= LARGEST ? malloc(room + 64) : NULL;

    cr_assert_neq(size, 0, "jemalloc does not define it");
    if (size > LARGEST) return NULL;
    cr_assert_not_null(block);
    flags_seen = flags;
    blocks_out++;
    *block = room;
    return block + 8;
}

size_t sallocx(const void *block, int flags)
{
    cr_expect_eq(flags, 0);
    return *((const size_t *)block - 8);
}

void dallocx(void *block, int flags)
{
    flags_seen = flags;
    blocks_out--;
    free((size_t *)block - 8);
}

void *rallocx(void *block, size_t size, int flags)
{
    void *next = mallocx(size, flags);

    if (next == NULL) return NULL;
    memcpy(next, block, size < sallocx(block, 0) ? size : sallocx(block, 0));
    dallocx(block, flags);
    return next;
}

TestSuite(arena, .timeout = TEST_LIMIT);

Test(arena, of_jemalloc_where_the_process_has_it)
{
    const int flags = (int)((ARENA + 1) << 20 | (CACHE + 2) << 8); /* MALLOCX_ARENA, MALLOCX_TCACHE */
    struct ap_arena heap;
    char *one, *two, *leaked;

    ap_arena_open(&heap);
    cr_assert(heap.jemalloc);
    one = ap_arena_alloc(&heap, 100);
    cr_expect_eq(flags_seen, flags);
    cr_expect_eq(heap.allocated, 128, "as the heap rounds it");
    strcpy(one, "kept");
    flags_seen = 0;
    one = ap_arena_resize(&heap, one, 1000);
    cr_expect_eq(flags_seen, flags);
    cr_expect_str_eq(one, "kept");
    cr_expect_eq(heap.allocated, 1024);
    cr_expect_null(ap_arena_resize(&heap, one, LARGEST + 1));
    cr_expect_null(ap_arena_resize(&heap, NULL, LARGEST + 1));
    cr_expect_null(ap_arena_alloc(&heap, LARGEST + 1));
    cr_expect_str_eq(one, "kept", "it stays where there is no room");
    cr_expect_eq(heap.allocated, 1024);
    one = ap_arena_resize(&heap, one, 0);
    two = ap_arena_resize(&heap, NULL, 0);
    leaked = ap_arena_alloc(&heap, 0);
    cr_expect_eq(heap.allocated, 3 * 64);
    flags_seen = 0;
    ap_arena_free(&heap, two);
    cr_expect_eq(flags_seen, flags);
    ap_arena_free(&heap, one);
    ap_arena_free(&heap, NULL);
    cr_expect_eq(heap.allocated, 64);
    cr_expect_eq(blocks_out, 1, "what the agent leaked goes with its arena");
    ap_arena_close(&heap);
    cr_expect_str_eq(told, "arenas.create tcache.create tcache.destroy arena.5.destroy ");
    cr_expect_not(heap.jemalloc);
    dallocx(leaked, 0); /* as the arena's end has it */
}

/* Without an arena, or a cache for it, it is malloc's, and of the one that was made already nothing is left. */
Test(arena, of_malloc_where_jemalloc_gives_none)
{
    static const char *const rows[][2] = {{"arenas.create", "arenas.create "},
                                          {"tcache.create", "arenas.create tcache.create arena.5.destroy "}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ap_arena heap;

        told[0] = '\0';
        snprintf(refused, sizeof refused, "%s", rows[i][0]);
        ap_arena_open(&heap);
        cr_expect_not(heap.jemalloc);
        cr_expect_not_null(ap_arena_alloc(&heap, 100));
        cr_expect_eq(heap.allocated, 100);
        ap_arena_close(&heap);
        cr_expect_str_eq(told, rows[i][1]);
        cr_expect_eq(blocks_out, 0);
    }
}

Test(arena, physical_memory_is_known_where_jemalloc_tells_it)
{
    struct ap_arena a = {.jemalloc = false};

    cr_expect_eq(ap_arena_resident(&a), UINT64_MAX);
    ap_arena_open(&a);
    ap_arenas_refresh();
    cr_expect_not_null(strstr(told, "epoch "));
    cr_expect_eq(ap_arena_resident(&a), 4096);
    strcpy(refused, "stats.arenas.5.resident");
    cr_expect_eq(ap_arena_resident(&a), UINT64_MAX);
    ap_arena_close(&a);
}
