/* tests/crash/cache.c - name spaces that are caches: whoever is evicted is gone as a whole, nobody else is, and no row is left. */
#include "sweep.h"

#include "registry/memory/cache.h"

#define LARGE 320u /* bytes of a value that lies in a block, of which there is one */
#define LONG 200u  /* bytes of a key beside which a value of as many has no room: it lies in a block of the smallest size, of two */
#define QUOTA 400u /* bytes */
#define ROUND 64u  /* more than there are rows */

static struct ap_memory_name cached, plain;
static const char letters[] = "abcdefgXYZ"; /* the capital ones are long keys */

static void cache_names(void)
{
    if (ap_cache_name("space", &cached) < 0 || ap_cache_name("@plain", &plain) < 0) exit(2);
}

static struct ap_memory_key cache_key(const struct ap_memory_name *of, char letter)
{
    char text[LONG + 1] = {letter};
    struct ap_memory_key ret;

    if (letter < 'a') memset(text, letter, LONG);
    if (ap_memory_key(of, text, &ret) < 0) exit(2);
    return ret;
}

static int cache_change(struct side *s, const struct ap_memory_name *of, char letter, struct ap_memory_change *c)
{
    uint64_t unasked = 0;
    const struct ap_memory_writer w = {.seg = s->seg, .lane = &s->lane, .hint = &s->hint, .unasked = &unasked};
    struct ap_memory_key key = cache_key(of, letter);

    return ap_memory_change(&w, &key, c);
}

/* A key's value is its letter, again and again. */
static int cache_put(struct side *s, const struct ap_memory_name *of, char letter, uint32_t size)
{
    char value[LARGE];
    struct ap_memory_change c = {.how = AP_MEMORY_PUT, .value = value, .size = size, .until = APIARY_FOREVER};

    memset(value, letter, sizeof value);
    return cache_change(s, of, letter, &c);
}

static int cache_incr(struct side *s)
{
    struct ap_memory_change c = {.how = AP_MEMORY_INCR, .number = 1};

    return cache_change(s, &cached, 'n', &c);
}

/* The first byte of a value that is whole; 0: it is absent. */
static char cache_first(const struct ap_memory_name *of, char letter)
{
    struct ap_memory_key key = cache_key(of, letter);
    struct ap_memory_read read;
    char value[LARGE] = "";
    int r = ap_memory_read(survivor.seg, &key, value, sizeof value, &read);

    if (r < 0 && r != APIARY_ENOKEY) fail("a get of '%c': %d", letter, r);
    if (r < 0) return 0;
    for (uint32_t i = 1; i < read.size; i++)
        if (value[i] != value[0]) fail("byte %u of the value of '%c' is '%c'", i, letter, value[i]);
    return value[0];
}

static void cache_looked(void)
{
    for (const char *l = letters; *l != '\0'; l++) {
        char first = cache_first(&cached, *l);

        if (first != 0 && first != *l) fail("the value of '%c' is '%c'", *l, first);
    }
    if (cache_first(&plain, 'p') != 'p') fail("a value of another name space has gone");
}

/* What is kept has no share of a single block, unless it may have all. */
static uint32_t cache_size(char letter)
{
    return letter < 'a' ? LONG : letter == 'c' && survivor.seg->geometry.kept_share >= 100 ? LARGE : 8;
}

/* Nothing is left. */
static void cache_emptied(void)
{
    struct ap_memory_change c = {.how = AP_MEMORY_DELETE};

    for (const char *l = letters; *l != '\0'; l++) (void)cache_change(&survivor, &cached, *l, &c);
    (void)cache_change(&survivor, &cached, 'n', &c);
    if (cache_change(&survivor, &plain, 'p', &c) < 0) fail("a key that is there is not deleted");
}

/* Each row is in a place, and the cache takes what it is given. */
static void cache_judged(void)
{
    struct ap_memory_found found;
    uint64_t position = 0, rows = survivor.seg->sections[AP_SECTION_VALUES].count;
    uint32_t used = 0, met = 0;

    cache_looked();
    ap_pool_sweep(survivor.seg);
    for (uint32_t i = 0; i < rows; i++)
        used += AP_VALUE_STATE(ap_load_relaxed(&ap_value_at(survivor.seg, i)->life)) == AP_VALUE_USED;
    while (ap_memory_next(survivor.seg, NULL, "", &position, &found) == 1 && met < ROUND) met++;
    if (used != met) fail("%u rows are used, %u keys are there", used, met);
    for (const char *l = letters; *l != '\0'; l++) {
        if (cache_put(&survivor, &cached, *l, cache_size(*l)) < 0) fail("afterwards: no put of '%c'", *l);
        if (cache_first(&cached, *l) != *l) fail("afterwards: '%c' is not there", *l);
    }
    if (cache_first(&plain, 'p') != 'p') fail("afterwards: a value of another name space has gone");
    cache_emptied();
}

/* ---- images ----------------------------------------------------------------------------------------------------- */

static void image_cache(void)
{
    cache_names();
    if (ap_caches_declare(survivor.seg, &cached, 1) < 0 || cache_put(&survivor, &plain, 'p', 8) < 0) exit(2);
}

/* There is no row left, and one key of the cache is a number, or has the block. */
static void image_cache_full(void)
{
    struct ap_memory_change c = {.how = AP_MEMORY_PUT, .value = "1", .size = 1, .until = APIARY_FOREVER};
    uint64_t rows = survivor.seg->sections[AP_SECTION_VALUES].count;

    image_cache();
    if (cache_change(&survivor, &cached, 'n', &c) < 0) exit(2);
    for (uint64_t i = 0; i < rows - 2; i++)
        if (cache_put(&survivor, &cached, letters[i], 8) < 0) exit(2);
}

static void image_cache_block(void)
{
    image_cache();
    if (cache_put(&survivor, &cached, 'a', LARGE) < 0 || cache_put(&survivor, &cached, 'b', 8) < 0) exit(2);
}

static void image_cache_one(void)
{
    image_cache();
    if (cache_put(&survivor, &cached, 'a', 8) < 0) exit(2);
}

/* The share of the smallest blocks is used up. */
static void image_cache_share(void)
{
    image_cache();
    if (cache_put(&survivor, &cached, 'X', LONG) < 0 || cache_put(&survivor, &cached, 'b', 8) < 0) exit(2);
}

/* All blocks are used. */
static void image_cache_blocks(void)
{
    image_cache();
    for (const char *l = "XYZ"; *l != '\0'; l++)
        if (cache_put(&survivor, &cached, *l, cache_size(*l)) < 0) exit(2);
}

/* 8 bytes more find no room in the quota, and one value that is large enough makes it; one has none. */
static void image_cache_quota(void)
{
    image_cache();
    if (cache_put(&survivor, &cached, 'b', 0) < 0 || cache_put(&survivor, &cached, 'a', LARGE) < 0 ||
        cache_put(&survivor, &cached, 'd', QUOTA - LARGE) < 0)
        exit(2);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static void run_evict(void)
{
    actor.result = cache_put(&actor, &cached, 'e', 8);
}

static void run_evict_block(void)
{
    actor.result = cache_put(&actor, &cached, 'e', LARGE);
}

static void run_evict_long(void)
{
    actor.result = cache_put(&actor, &cached, 'Z', LONG);
}

static void run_cache_touch(void)
{
    struct ap_memory_change c = {.how = AP_MEMORY_TOUCH, .until = APIARY_FOREVER};

    actor.result = cache_change(&actor, &cached, 'X', &c);
}

static void run_cache_incr(void)
{
    actor.result = cache_incr(&actor);
}

static apiary_memory_t *cache_opened;
static char cache_got[LARGE];

static void prepare_cache_get(void)
{
    if (apiary_memory_open(actor.api, "space", 0, &cache_opened) < 0) exit(2);
}

static void run_cache_get(void)
{
    apiary_memory_value_t found = {.struct_size = sizeof found};
    char value[LARGE] = "";

    actor.result = apiary_memory_get(cache_opened, "a", value, sizeof value, &found);
    memcpy(cache_got, value, sizeof cache_got);
}

static void run_caches_declare(void)
{
    struct ap_memory_name both[] = {cached, plain};

    actor.result = ap_caches_declare(actor.seg, both, 2);
}

static void other_cache_get(void)
{
    cache_looked();
}

static void other_cache_put(void)
{
    if (cache_put(&survivor, &cached, 'f', 8) < 0) fail("the second writer cannot put");
    if (cache_first(&cached, 'f') != 'f') fail("what was put is not there");
}

static void other_cache_put_long(void)
{
    if (cache_put(&survivor, &cached, 'Y', LONG) < 0) fail("the second writer cannot put");
    if (cache_first(&cached, 'Y') != 'Y') fail("what was put is not there");
}

/* The one block of the share may be the actor's already, whose value is not in its place: there is nothing to evict then. */
static void other_cache_put_share(void)
{
    int r = cache_put(&survivor, &cached, 'Y', LONG);

    if (r < 0 && (r != APIARY_ESHARE || cache_first(&cached, 'Z') != 0)) fail("the second writer cannot put: %d", r);
    if (r == 0 && cache_first(&cached, 'Y') != 'Y') fail("what was put is not there");
}

static void other_cache_incr(void)
{
    char was = cache_first(&cached, 'n'), is;

    if (cache_incr(&survivor) < 0) fail("the second writer cannot add");
    is = cache_first(&cached, 'n');
    if (is != (was == 0 ? '1' : was + 1)) fail("'%c' and 1 are '%c'", was, is);
}

static void other_cache_turns(void)
{
    for (uint32_t i = 0; i < ROUND; i++)
        if (cache_put(&survivor, &cached, letters[i % 7], 8) < 0) fail("the second writer cannot put");
}

/* ---- judging ---------------------------------------------------------------------------------------------------- */

static void before_evict(bool over)
{
    if (!over) return;
    if (actor.result < 0) fail("a put: %d, and there was something to evict", actor.result);
    if (cache_first(&cached, 'e') != 'e') fail("what was put is not there");
}

static void before_evict_long(bool over)
{
    if (over && actor.result < 0) fail("a put: %d, and there was something to evict", actor.result);
    if (over && cache_first(&cached, 'Z') != 'Z') fail("what was put is not there");
}

static void before_put_share(bool over)
{
    if (over && actor.result < 0) fail("a put: %d, and there was something to evict", actor.result);
    if (over && cache_first(&cached, 'Z') == 0 && cache_first(&cached, 'Y') == 0) fail("both values have gone");
}

static void before_cache_touch(bool over)
{
    if (over && actor.result < 0) fail("a touch: %d, and there was something to evict", actor.result);
    if (cache_first(&cached, 'X') != 'X') fail("the value that is touched has gone");
}

static void before_cache_quota(bool over)
{
    uint64_t bytes;

    before_evict(over);
    (void)ap_memory_held_by(survivor.seg, &cached, &bytes);
    if (bytes > QUOTA) fail("%u bytes are held, of %u", (uint32_t)bytes, QUOTA);
    if (over && cache_first(&cached, 'a') == 0 && cache_first(&cached, 'd') == 0) fail("more was evicted than makes room");
}

static void before_cache_incr(bool over)
{
    if (over && actor.result < 0) fail("an incr: %d", actor.result);
}

static void before_cache_got(bool over)
{
    if (over && actor.result < 0 && actor.result != APIARY_ENOKEY) fail("a get: %d", actor.result);
    if (over && actor.result == 0 && strspn(cache_got, "a") != 8) fail("it got '%s'", cache_got);
}

static void after_cache(bool over)
{
    (void)over;
    cache_judged();
}

static void after_caches_declare(bool over)
{
    struct ap_memory_name both[] = {cached, plain}, name;

    if (over && actor.result < 0) fail("declaring: %d", actor.result);
    if (over && (ap_cache_of(survivor.seg, &cached) == NULL || ap_cache_of(survivor.seg, &plain) == NULL)) fail("it is no cache");
    if (ap_caches_declare(survivor.seg, both, 2) < 0) fail("the next coordinator cannot declare");
    if (ap_cache_of(survivor.seg, &cached) == NULL || ap_cache_of(survivor.seg, &plain) == NULL) fail("it is no cache afterwards");
    if (ap_cache_read(survivor.seg, 2, &name)) fail("a name space has two rows");
}

#define BOTH .registry = true
const struct operation kills_cache[] = {
    {.name = "memory_evict", BOTH, .image = image_cache_full, .run = run_evict, .before = before_evict, .after = after_cache},
    {.name = "memory_evict_block", BOTH, .image = image_cache_block, .run = run_evict_block, .before = before_evict,
     .after = after_cache},
    {.name = "memory_evict_share", BOTH, .kept_share = 50, .image = image_cache_share, .run = run_evict_long,
     .before = before_evict_long, .after = after_cache},
    {.name = "memory_evict_quota", BOTH, .memory_bytes = QUOTA, .image = image_cache_quota, .run = run_evict,
     .before = before_cache_quota, .after = after_cache},
    {.name = "memory_touch_cached", BOTH, .image = image_cache_blocks, .run = run_cache_touch, .before = before_cache_touch,
     .after = after_cache},
    {.name = "memory_get_cached", BOTH, .image = image_cache_one, .prepare = prepare_cache_get, .run = run_cache_get,
     .after = after_cache},
    {.name = "caches_declare", BOTH, .image = cache_names, .run = run_caches_declare, .after = after_caches_declare},
    {.name = NULL},
};
const struct operation pairs_cache[] = {
    {.name = "memory_evict|get", BOTH, .image = image_cache_full, .run = run_evict, .other = other_cache_get,
     .before = before_evict, .after = after_cache},
    {.name = "memory_evict|put", BOTH, .image = image_cache_full, .run = run_evict, .other = other_cache_put, .after = after_cache},
    {.name = "memory_evict|incr", BOTH, .image = image_cache_full, .run = run_evict, .other = other_cache_incr,
     .before = before_evict, .after = after_cache},
    {.name = "memory_incr|evict", BOTH, .image = image_cache_full, .run = run_cache_incr, .other = other_cache_put,
     .before = before_cache_incr, .after = after_cache},
    {.name = "memory_evict_quota|put", BOTH, .memory_bytes = QUOTA, .image = image_cache_quota, .run = run_evict,
     .other = other_cache_put, .after = after_cache},
    {.name = "memory_put_share|put", BOTH, .kept_share = 50, .image = image_cache, .run = run_evict_long,
     .other = other_cache_put_share, .before = before_put_share, .after = after_cache},
    {.name = "memory_touch_cached|put", BOTH, .image = image_cache_blocks, .run = run_cache_touch, .other = other_cache_put_long,
     .after = after_cache},
    {.name = "memory_get_cached|turn_over", BOTH, .image = image_cache_one, .prepare = prepare_cache_get, .run = run_cache_get,
     .other = other_cache_turns, .before = before_cache_got, .after = after_cache},
    {.name = NULL},
};
