/* What the agents are built on, each by itself: the heap, the table of handles, plug-ins, programs. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents/runtime/arena.h"
#include "agents/runtime/kind.h"
#include "core/handle.h"
#include "core/loop_inside.h"
#include "core/ops.h"
#include "core/program.h"

/* ---- the heap ------------------------------------------------------------------------------------------------- */

static bool filled(const char *block, size_t size, int with)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != with) return false;
    return true;
}

/* In each order of giving back, with a heap that rounds up or not. */
static void use_heap(struct ap_arena *heap, size_t first)
{
    char *blocks[3];

    for (size_t i = 0; i < 3; i++) {
        size_t before = heap->allocated;
        blocks[i] = ap_arena_alloc(heap, 100 * (i + 1));
        cr_assert_not_null(blocks[i]);
        cr_expect_eq((uintptr_t)blocks[i] % 16, 0);
        cr_expect_geq(heap->allocated - before, 100 * (i + 1));
        memset(blocks[i], (int)i, 100 * (i + 1));
    }
    for (size_t i = 0; i < 3; i++) {
        size_t at = (first + i) % 3, before = heap->allocated;
        cr_expect(filled(blocks[at], 100 * (at + 1), (int)at));
        ap_arena_free(heap, blocks[at]);
        cr_expect_leq(heap->allocated + 100 * (at + 1), before);
    }
    cr_expect_eq(heap->allocated, 0);
}

static void resize_in_heap(struct ap_arena *heap)
{
    char *one = ap_arena_resize(heap, NULL, 10), *two = ap_arena_alloc(heap, 10), *three = ap_arena_alloc(heap, 0);

    cr_assert(one != NULL && two != NULL && three != NULL);
    memset(one, 1, 10);
    memset(two, 2, 10);
    two = ap_arena_resize(heap, two, 100000);
    cr_assert_not_null(two);
    cr_expect(filled(two, 10, 2));
    cr_expect_geq(heap->allocated, 100010);
    memset(two, 3, 100000);
    two = ap_arena_resize(heap, two, 20);
    cr_assert_not_null(two);
    cr_expect(filled(two, 20, 3));
    cr_expect_lt(heap->allocated, 100000);
    cr_expect(filled(one, 10, 1));
    one = ap_arena_resize(heap, one, 0);
    cr_expect_not_null(one, "a block of nothing is one, too");
    ap_arena_free(heap, one);
    ap_arena_free(heap, two);
    ap_arena_free(heap, three);
    ap_arena_free(heap, NULL);
    cr_expect_eq(heap->allocated, 0);
}

static void heap_works(struct ap_arena *heap)
{
    for (size_t first = 0; first < 3; first++) use_heap(heap, first);
    resize_in_heap(heap);
}

Test(arena, works_with_what_the_process_has)
{
    struct ap_arena heap;

    ap_arena_open(&heap);
    cr_expect_eq(heap.jemalloc, dlsym(RTLD_DEFAULT, "mallocx") != NULL, "jemalloc's where the process has it");
    heap_works(&heap);
    cr_assert_not_null(ap_arena_alloc(&heap, 100));
    ap_arena_close(&heap);
    cr_expect_eq(heap.allocated, 0);
}

/* A process without jemalloc. */
Test(arena, works_with_malloc)
{
    struct ap_arena heap = {0};
    char *kept;

    heap_works(&heap);
    cr_expect_null(heap.blocks);
    kept = ap_arena_alloc(&heap, 100);
    cr_assert_not_null(kept);
    memset(kept, 7, 100);
    cr_expect_eq(heap.allocated, 100, "as many bytes as were asked for");
    cr_expect_null(ap_arena_alloc(&heap, SIZE_MAX));
    cr_expect_null(ap_arena_resize(&heap, kept, SIZE_MAX - 1), "the head in front of it has no room");
    cr_expect(filled(kept, 100, 7));
    cr_expect_eq(heap.allocated, 100);
    cr_assert_not_null(ap_arena_alloc(&heap, 50));
    cr_expect_eq(heap.allocated, 150);
    ap_arena_close(&heap); /* with all that is out */
    cr_expect_null(heap.blocks);
    cr_expect_eq(heap.allocated, 0);
}

/* ---- handles --------------------------------------------------------------------------------------------------- */

static struct ap_handle *all[AP_HANDLES];

static size_t open_all(void)
{
    size_t n = 0;

    while (n < AP_HANDLES && (all[n] = ap_handle_open(&all[n], AP_HANDLE_JOB)) != NULL) n++;
    return n;
}

Test(handle, the_table_ends_and_entries_come_back)
{
    size_t n = open_all();
    void *name;

    cr_assert_eq(n, AP_HANDLES - 1, "all but the first, which is nothing's");
    cr_expect_null(ap_handle_open(all, AP_HANDLE_JOB));
    cr_expect_null(ap_handle_get(NULL));
    for (size_t i = 0; i < n; i++) {
        name = ap_handle_name(all[i]);
        cr_assert_eq(ap_handle_get(name), &all[i], "each its own");
        cr_assert_eq(ap_handle_entry(name), all[i]);
    }
    name = ap_handle_name(all[5]);
    ap_handle_renew(all[5]);
    cr_expect_null(ap_handle_get(name));
    cr_expect_eq(ap_handle_get(ap_handle_name(all[5])), &all[5]);
    ap_handle_close(NULL);
    for (size_t i = 7; i < 10; i++) {
        name = ap_handle_name(all[i]);
        ap_handle_close(all[i]);
        cr_expect_null(ap_handle_get(name));
    }
    for (size_t i = 7; i < 10; i++) cr_assert_not_null(ap_handle_open(&n, AP_HANDLE_JOB));
    cr_expect_null(ap_handle_get(name), "its entry is another's");
    cr_expect_null(ap_handle_open(all, AP_HANDLE_JOB));
}

static void count_up(void *user, uint32_t events)
{
    (void)events;
    ++*(int *)user;
}

/* What nobody can close needs no handle; all else is refused, and leaves nothing behind. */
Test(handle, without_one_there_is_no_watch)
{
    struct ap_loop *loop;
    apiary_watch_t *watch = NULL;
    int fired = 0;

    cr_assert_eq(ap_loop_create(&ap_ops_system, 0, &loop), 0);
    open_all();
    cr_expect_eq(ap_loop_timer(loop, 0, count_up, &fired, &watch), APIARY_ENOBLOCK);
    cr_expect_eq(ap_loop_watch(loop, 0, POLLIN, count_up, &fired, &watch), APIARY_ENOBLOCK);
    cr_expect_null(watch);
    cr_expect_eq(ap_loop_timer(loop, 0, count_up, &fired, NULL), 0);
    ap_loop_park(loop, 0);
    cr_expect_eq(fired, 1);
    ap_handle_close(all[0]);
    cr_expect_eq(ap_loop_timer(loop, 0, count_up, &fired, &watch), 0);
    ap_loop_park(loop, 0);
    cr_expect_eq(fired, 2);
    cr_expect_eq(ap_loop_close(watch), 0);
    cr_expect_eq(ap_loop_close(watch), APIARY_ESTALE);
    cr_expect_eq(ap_loop_timer(loop, UINT64_MAX, count_up, &fired, &watch), 0, "the entry has come back");
    ap_loop_destroy(loop);
    cr_expect_not_null(ap_handle_open(all, AP_HANDLE_JOB), "and it comes back from a loop that ends");
}

/* As a descriptor that the ring does not take: tried again and again it would take all handles. */
Test(handle, a_watch_that_was_refused_has_given_its_own_back)
{
    struct ap_loop *loop;
    apiary_watch_t *watch = NULL;
    unsigned entries;
    int ends[2];

    cr_assert_eq(ap_loop_create(&ap_ops_system, 0, &loop), 0);
    if (loop->park == AP_PARK_POLL) cr_skip_test("without a ring");
    cr_assert_eq(pipe(ends), 0);
    entries = loop->ring.sq.ring_entries;
    loop->ring.sq.ring_entries = 0;
    for (uint32_t i = 0; i < AP_HANDLES + 10; i++)
        cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, count_up, NULL, &watch), APIARY_ESYS, "the %u. time", i);
    loop->ring.sq.ring_entries = entries;
    cr_expect_null(watch);
    cr_assert_eq(ap_loop_watch(loop, ends[0], POLLIN, count_up, NULL, &watch), 0);
    cr_expect_eq(ap_loop_close(watch), 0);
    ap_loop_destroy(loop);
}

/* ---- plug-ins -------------------------------------------------------------------------------------------------- */

static const char *refused(const char *path, const char *lacks)
{
    static char message[512];
    const apiary_agent_kind_t *kind = NULL;

    setenv("APIARY_TEST_UNFIT", lacks, 1);
    message[0] = '\0';
    cr_expect_eq(ap_agent_plugin(path, &kind, message, sizeof message), APIARY_ECONFIG, "%s", lacks);
    cr_expect_null(kind);
    cr_expect_eq(ap_agent_plugin(path, &kind, NULL, 0), APIARY_ECONFIG, "who wants no sentence");
    cr_expect_eq(strncmp(message, "plug-in ", 8), 0, "%s", message);
    cr_expect_eq(strncmp(message + 8, path, strlen(path)), 0, "%s", message);
    return message + 8 + strlen(path);
}

Test(plugin, unfit_kinds_are_refused_with_the_reason)
{
    const char *plugins = getenv("APIARY_PLUGINS");
    const apiary_agent_kind_t *kind = NULL;
    char path[256], message[256], other[128];

    if (plugins == NULL) cr_skip_test("APIARY_PLUGINS is not set: no plug-ins to load");
    snprintf(path, sizeof path, "%s/unfit.so", plugins);
    snprintf(other, sizeof other, ": its kind is of agent interface %u, this program has %u; build it again", APIARY_AGENT_ABI + 1,
             APIARY_AGENT_ABI);
    cr_expect_str_eq(refused(path, "kind"), ": apiary_agent_plugin returned NULL");
    cr_expect_str_eq(refused(path, "abi"), other);
    cr_expect_str_eq(refused(path, "name"), ": its kind has no name");
    cr_expect_str_eq(refused(path, "letters"), ": its kind has no name");
    cr_expect_str_eq(refused(path, "handle"), ": its kind lacks handle");
    setenv("APIARY_TEST_UNFIT", "nothing", 1);
    cr_expect_eq(ap_agent_plugin(path, &kind, message, sizeof message), 0);
    cr_assert_not_null(kind);
    cr_expect_str_eq(kind->name, "unfit");
}

Test(plugin, one_that_is_not_there_is_told_as_the_loader_has_it)
{
    cr_expect_str_eq(refused("/nowhere/agent.so", "nothing"),
                     ": /nowhere/agent.so: cannot open shared object file: No such file or directory");
}

Test(plugin, a_kind_offers_its_capabilities_of_any_version)
{
    static const char *const some[] = {"list", "list.all", NULL};
    const apiary_agent_kind_t all_of_them = {.name = "any"}, two = {.name = "two", .capabilities = some};

    cr_expect(ap_agent_kind_offers(&all_of_them, "whatever"));
    cr_expect(ap_agent_kind_offers(&two, "list"));
    cr_expect(ap_agent_kind_offers(&two, "list@3"));
    cr_expect(ap_agent_kind_offers(&two, "list.all"));
    cr_expect_not(ap_agent_kind_offers(&two, "lis"));
    cr_expect_not(ap_agent_kind_offers(&two, "lists"));
    cr_expect_not(ap_agent_kind_offers(&two, "lost"));
    cr_expect_not(ap_agent_kind_offers(&two, "list.a"));
}

/* ---- programs -------------------------------------------------------------------------------------------------- */

static char found[PATH_MAX], why[PATH_MAX + 256];

static const char *find(const char *name)
{
    why[0] = found[0] = '\0';
    if (ap_program_find(name, found, why, sizeof why) == 0) return found;
    return why;
}

Test(program, is_found_by_path_or_name)
{
    cr_expect_str_eq(find("/bin/sh"), "/bin/sh");
    setenv("PATH", "/nowhere::/bin:/usr/bin", 1);
    cr_expect_str_eq(find("sh"), "/bin/sh", "the first that has it");
    unsetenv("PATH");
    cr_expect_not_null(strstr(find("sh"), "/sh"), "%s", why);
    cr_expect_eq(found[0], '/', "where no PATH is set there are the usual folders");
}

Test(program, what_is_none_is_refused_with_the_reason)
{
    static char longest[PATH_MAX + 1], path[PATH_MAX];

    setenv("PATH", "/bin", 1);
    cr_expect_str_eq(find("/nowhere/sh"), "/nowhere/sh is not an executable file: No such file or directory");
    cr_expect_str_eq(find("/bin"), "/bin is not an executable file: Is a directory");
    cr_expect_str_eq(find("/dev/null"), "/dev/null is not an executable file: Permission denied");
    cr_expect_str_eq(find("/etc/passwd"), "/etc/passwd is not an executable file: Permission denied");
    cr_expect_str_eq(find(""), "\"\": expected a name to be found in PATH, or an absolute path");
    cr_expect_str_eq(find("./sh"), "\"./sh\": expected a name to be found in PATH, or an absolute path");
    cr_expect_str_eq(find("no-such-program"), "the program \"no-such-program\" is not found in PATH (/bin)");
    setenv("PATH", "", 1);
    cr_expect_str_eq(find("sh"), "the program \"sh\" is not found in PATH ()");
    setenv("PATH", "../../../../../../../../bin:.:/", 1);
    cr_expect_str_eq(find("sh"), "the program \"sh\" is not found in PATH (../../../../../../../../bin:.:/)", "no relative folder");
    memset(longest, 'x', PATH_MAX);
    find(longest);
    cr_expect_not_null(strstr(why, "...\" is too long for a path"), "%s", why);
    longest[PATH_MAX - 1] = '\0';
    find(longest);
    cr_expect_null(strstr(why, "too long"), "%s", why);
    /* What is left of a path that is too long is another's. */
    memset(path, '/', sizeof path - 1);
    memcpy(path + sizeof path - sizeof "bin/sh", "bin/sh", sizeof "bin/sh");
    setenv("PATH", path, 1);
    cr_expect_not_null(strstr(find("x"), "the program \"x\" is not found"), "%s", found);
}

Test(plugin, what_is_none_is_refused_with_its_path)
{
    const apiary_agent_kind_t *kind = NULL;
    char message[512];

    cr_assert_eq(ap_agent_plugin("/nonexistent/agent.so", &kind, message, sizeof message), APIARY_ECONFIG);
    cr_assert_not_null(strstr(message, "/nonexistent/agent.so"));
    cr_assert_eq(ap_agent_plugin("libm.so.6", &kind, message, sizeof message), APIARY_ECONFIG);
    cr_assert_not_null(strstr(message, APIARY_AGENT_PLUGIN_SYMBOL));
    cr_assert_null(kind);
}

Test(plugin, one_that_is_refused_does_not_stay)
{
    static const char *const refused[] = {"no_symbol", "other_abi"};
    const apiary_agent_kind_t *kind = NULL;
    char path[PATH_MAX], message[PATH_MAX + 256];

    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(path, sizeof path, "%s/%s.so", getenv("APIARY_PLUGINS"), refused[i]);
        cr_assert_eq(access(path, R_OK), 0, "%s", path);
        cr_expect_eq(ap_agent_plugin(path, &kind, message, sizeof message), APIARY_ECONFIG);
        cr_expect_not_null(strstr(message, path));
        cr_expect_null(dlopen(path, RTLD_NOW | RTLD_NOLOAD), "%s is still there", path);
    }
    cr_expect_null(kind);
}
