/* tests/crash/memory.c - values of the memory: each is the one of before or the new one, whole, and nothing is left of either. */
#include "sweep.h"

#include "registry/memory/memory.h"

#define LARGE 320u /* bytes of a value that lies in a block */
#define ALL 64u    /* more than there are rows */

static struct ap_memory_name space;
static struct ap_memory_key key, second; /* of one bucket */

static void key_named(const char *text, struct ap_memory_key *ret)
{
    if (ap_memory_name("space", false, &space) < 0 || ap_memory_key(&space, text, ret) < 0) exit(2);
}

static void keys_make(void)
{
    char text[] = "b0";

    key_named("a", &key);
    do {
        text[1]++;
        key_named(text, &second);
    } while (ap_bucket_of(survivor.seg, key.hash) != ap_bucket_of(survivor.seg, second.hash));
}

/* ---- what both sides do ----------------------------------------------------------------------------------------- */

static int change_for(struct side *s, const struct ap_memory_key *of, struct ap_memory_change *c)
{
    const struct ap_memory_writer w = {.seg = s->seg, .lane = &s->lane, .hint = &s->hint};

    return ap_memory_change(&w, of, c);
}

/* A value of one letter, or a number. */
static int set(struct side *s, const struct ap_memory_key *of, enum ap_memory_how how, char letter, uint32_t size, uint64_t until)
{
    char value[LARGE];
    struct ap_memory_change c = {.how = how, .value = value, .size = size, .until = until};

    memset(value, letter, sizeof value);
    return change_for(s, of, &c);
}

static int put(struct side *s, const struct ap_memory_key *of, char letter, uint32_t size)
{
    return set(s, of, AP_MEMORY_PUT, letter, size, APIARY_FOREVER);
}

static int remove_key(struct side *s, const struct ap_memory_key *of)
{
    struct ap_memory_change c = {.how = AP_MEMORY_DELETE};

    return change_for(s, of, &c);
}

static int incr(struct side *s)
{
    struct ap_memory_change c = {.how = AP_MEMORY_INCR, .number = 1};

    return change_for(s, &key, &c);
}

/* The letter of a value that is whole; 0: it is absent. */
static char letter_of(const struct ap_memory_key *of, uint64_t *ret_version)
{
    char value[LARGE] = "";
    struct ap_memory_read read;
    int r = ap_memory_read(survivor.seg, of, value, sizeof value, &read);

    if (r == APIARY_ENOKEY) return 0;
    if (r < 0) {
        fail("a get: %d", r);
        return 0;
    }
    for (uint32_t i = 1; i < read.size; i++)
        if (value[i] != value[0]) fail("byte %u of a value is '%c', not '%c'", i, value[i], value[0]);
    if (ret_version != NULL) *ret_version = read.version;
    return value[0];
}

static void other_expire(void)
{
    uint32_t row = 0;

    ap_memory_expire(survivor.seg, survivor.lane.index, survivor.seg->ops->now(), &row, ALL);
}

/* Each row is in a place, and the table can be emptied and filled again. */
static void memory_emptied(void)
{
    struct ap_memory_found found;
    uint64_t position = 0, rows = survivor.seg->sections[AP_SECTION_VALUES].count;
    uint32_t used = 0, met = 0;

    ap_pool_sweep(survivor.seg);
    other_expire();
    for (uint32_t i = 0; i < rows; i++)
        used += AP_VALUE_STATE(ap_load_relaxed(&ap_value_at(survivor.seg, i)->life)) == AP_VALUE_USED;
    while (ap_memory_next(survivor.seg, NULL, "", &position, &found) == 1 && met++ < ALL)
        if (remove_key(&survivor, &found.key) < 0) fail("a key that is there is not deleted");
    if (used != met) fail("%u rows are used, %u keys are there", used, met);
    for (char c = 'p'; c < 't'; c++)
        if (put(&survivor, &key, c, c == 'q' ? LARGE : 8) < 0 || letter_of(&key, NULL) != c) fail("afterwards: no put");
    if (put(&survivor, &second, 'x', 8) < 0 || letter_of(&second, NULL) != 'x') fail("afterwards: no second key");
    if (remove_key(&survivor, &key) < 0 || remove_key(&survivor, &second) < 0) fail("afterwards: no delete");
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

/* The second key is there. */
static void image_neighbour(void)
{
    keys_make();
    if (put(&survivor, &second, 'n', 8) < 0) exit(2);
}

static void image_small(void)
{
    image_neighbour();
    if (put(&survivor, &key, 'o', 8) < 0) exit(2);
}

/* The only row that is free is the last one that a search comes to. */
static void image_last(void)
{
    struct ap_memory_key more;

    keys_make();
    for (char text[] = "c0"; text[1] < '0' + (char)survivor.seg->sections[AP_SECTION_VALUES].count; text[1]++) {
        key_named(text, &more);
        if (put(&survivor, &more, 'c', 8) < 0) exit(2);
    }
    if (remove_key(&survivor, &more) < 0) exit(2);
}

static void image_large(void)
{
    image_neighbour();
    if (put(&survivor, &key, 'o', LARGE) < 0) exit(2);
}

static void image_number(void)
{
    image_neighbour();
    if (put(&survivor, &key, '1', 1) < 0) exit(2);
}

/* One whose time is over. */
static void image_over(void)
{
    image_neighbour();
    if (set(&survivor, &key, AP_MEMORY_PUT, 'o', LARGE, 1) < 0) exit(2);
}

static void run_put(void)
{
    actor.result = put(&actor, &key, 'v', 8);
}

static void run_put_large(void)
{
    actor.result = put(&actor, &key, 'v', LARGE);
}

static void run_add(void)
{
    actor.result = set(&actor, &key, AP_MEMORY_ADD, 'v', 8, APIARY_FOREVER);
}

static void run_restore(void)
{
    struct ap_memory_change c = {
        .how = AP_MEMORY_RESTORE, .value = "vvvvvvvv", .size = 8, .until = APIARY_FOREVER, .version = 1000};

    actor.result = change_for(&actor, &key, &c);
}

static void run_delete(void)
{
    actor.result = remove_key(&actor, &key);
}

static void run_incr(void)
{
    actor.result = incr(&actor);
}

static void run_touch(void)
{
    struct ap_memory_change c = {.how = AP_MEMORY_TOUCH, .until = APIARY_FOREVER - 1};

    actor.result = change_for(&actor, &key, &c);
}

static void run_expire(void)
{
    uint32_t row = 0;

    ap_memory_expire(actor.seg, actor.lane.index, actor.seg->ops->now(), &row, ALL);
}

static void memory_judged(bool over, char before, char after)
{
    char letter = letter_of(&key, NULL);

    if (letter != after && (over || letter != before)) fail("the value is '%c'", letter);
    if (letter_of(&second, NULL) != 'n') fail("the second key's value is '%c'", letter_of(&second, NULL));
    memory_emptied();
}

static void after_put(bool over)
{
    memory_judged(over, 0, 'v');
}

static void after_put_over(bool over)
{
    memory_judged(over, 'o', 'v');
}

static void after_refused(bool over)
{
    memory_judged(over, 'o', 'o');
}

static void after_delete(bool over)
{
    memory_judged(over, 'o', 0);
}

static void after_touch(bool over)
{
    memory_judged(over, 'o', 'o');
}

static void after_incr(bool over)
{
    memory_judged(over, '1', '2');
}

static void after_over(bool over)
{
    (void)over;
    if (letter_of(&key, NULL) != 0) fail("it is there after its time");
    memory_emptied();
}

/* ---- a writer that has died, and its reaper --------------------------------------------------------------------- */

/* As of the moment after its request: the place is as it was, and the turn pending. */
static void dead_asking(void)
{
    struct ap_bucket *b = ap_bucket_of(actor.seg, key.hash);
    uint64_t turn, place;

    run_put_large();
    turn = b->turn;
    place = b->place[AP_TURN_NUMBER(turn)];
    ap_store_relaxed(&ap_draft_at(actor.seg, actor.lane.index)->fresh, place);
    ap_store_relaxed(&b->place[AP_TURN_NUMBER(turn)], ap_value_at(actor.seg, AP_PLACE_ROW(place))->from);
    ap_store_relaxed(&b->turn, turn | AP_PLACE_PRESENT);
}

static void image_dead_asking(void)
{
    image_neighbour();
    die_having(dead_asking);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

/* With a row that is not filled. */
static void dead_filling(void)
{
    struct ap_draft *d = ap_draft_at(actor.seg, actor.lane.index);
    struct ap_value *v = ap_value_at(actor.seg, 4);
    uint64_t epoch = AP_VALUE_EPOCH(v->life) + 1;

    ap_store_relaxed(&d->fresh, AP_PLACE(key.hash, epoch, 4));
    ap_store_relaxed(&v->life, AP_VALUE_LIFE(epoch, actor.lane.index, AP_VALUE_USED));
}

static void image_dead_filling(void)
{
    image_large();
    die_having(dead_filling);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

static void after_dead_asking(bool over)
{
    memory_judged(over, 'v', 'v');
}

static void after_dead_filling(bool over)
{
    memory_judged(over, 'o', 'o');
}

/* ---- two writers ------------------------------------------------------------------------------------------------ */

static uint64_t version_between; /* of the survivor's value */

static void other_put(void)
{
    if (put(&survivor, &key, 's', LARGE) < 0) fail("the second writer cannot put");
    if (letter_of(&key, &version_between) != 's') fail("what was put is not there");
}

static void other_put_second(void)
{
    if (put(&survivor, &second, 'm', 8) < 0) fail("the second writer cannot put another key");
    if (letter_of(&second, NULL) != 'm') fail("what was put is not there");
}

static void other_add(void)
{
    survivor.result = set(&survivor, &key, AP_MEMORY_ADD, 's', 8, APIARY_FOREVER);
}

static void other_delete(void)
{
    survivor.result = remove_key(&survivor, &key);
}

static void other_incr(void)
{
    if (incr(&survivor) < 0) fail("the second writer cannot add");
}

/* It is taken, and then the first one becomes free. */
static void other_turn_room(void)
{
    struct ap_memory_key more;
    char text[] = "c0";

    if (put(&survivor, &second, 'm', 8) < 0) return; /* the actor has the last row */
    do {
        key_named(text, &more);
        text[1]++;
    } while (remove_key(&survivor, &more) < 0 && text[1] <= '9');
}

static void before_turn_room(bool over)
{
    if (over && actor.result < 0) fail("a put: %d, and there always was a row", actor.result);
}

/* A row becomes FREE that is nobody's: a lane that dies was about to take it when another did. */
static struct ap_value *about(void)
{
    return ap_value_at(survivor.seg, 3);
}

static void prepare_about(void)
{
    ap_store_relaxed(&ap_draft_at(actor.seg, survivor.lane.index)->fresh, AP_PLACE(key.hash, AP_VALUE_EPOCH(about()->life) + 1, 3));
}

static void run_withdraw(void)
{
    ap_memory_withdraw(actor.seg, survivor.lane.index, 0);
}

static void other_take_row(void)
{
    uint64_t life = about()->life, epoch = AP_VALUE_EPOCH(life) + 1;

    ap_store_relaxed(&ap_draft_at(survivor.seg, actor.lane.index)->fresh, AP_PLACE(key.hash, epoch, 3));
    ap_store_relaxed(&about()->life, AP_VALUE_LIFE(epoch, actor.lane.index, AP_VALUE_USED));
}

static void before_withdrawn(bool over)
{
    (void)over;
    if (AP_VALUE_STATE(about()->life) != AP_VALUE_USED || AP_VALUE_LANE(about()->life) != actor.lane.index)
        fail("the row of a living writer is free");
}

static void other_get(void)
{
    char letter = letter_of(&key, NULL);

    if (letter != 'o' && letter != 'v') fail("a reader meets '%c'", letter);
}

static void after_two_puts(bool over)
{
    uint64_t version = 0;
    char letter = letter_of(&key, &version);

    (void)over;
    if (letter != 'v' && letter != 's') fail("the value is '%c'", letter);
    if (letter == 'v' && version == version_between) fail("two values have the version %llu", (unsigned long long)version);
    memory_emptied();
}

static void after_two_keys(bool over)
{
    char letter = letter_of(&key, NULL);

    if (letter != 'v' && (over || letter != 0)) fail("the value is '%c'", letter);
    if (letter_of(&second, NULL) != 'm') fail("the second key's value is '%c'", letter_of(&second, NULL));
    memory_emptied();
}

static void after_two_adds(bool over)
{
    char letter = letter_of(&key, NULL);

    if (over && (actor.result == 0) == (survivor.result == 0)) fail("two adds: %d and %d", actor.result, survivor.result);
    if (letter != (survivor.result == 0 ? 's' : 'v')) fail("the value is '%c'", letter);
    memory_emptied();
}

static void after_put_delete(bool over)
{
    char letter = letter_of(&key, NULL);

    if (survivor.result < 0) fail("delete: %d", survivor.result);
    if (letter != 0 && letter != 'v') fail("the value is '%c'", letter);
    if (over && letter == 0 && actor.result < 0) fail("put: %d", actor.result);
    memory_emptied();
}

static void after_two_deletes(bool over)
{
    if (over && (actor.result == 0) == (survivor.result == 0)) fail("two deletes: %d and %d", actor.result, survivor.result);
    if (letter_of(&key, NULL) != 0) fail("it is there");
    memory_emptied();
}

static void after_two_incrs(bool over)
{
    char letter = letter_of(&key, NULL);

    if (letter != '3' && (over || letter != '2')) fail("1 and 1 and 1 are '%c'", letter);
    memory_emptied();
}

static char got[LARGE];
static struct ap_memory_read got_read;

/* Its stack is put back between two preemptions, and these two are not: they are written last. */
static void run_get(void)
{
    struct ap_memory_read read = {.size = 0};
    char value[LARGE];

    actor.result = ap_memory_read(actor.seg, &key, value, sizeof value, &read);
    memcpy(got, value, sizeof got);
    got_read = read;
}

/* The same by the handle's call, of a key in the first place of its bucket. */
static apiary_memory_t *opened;

static void image_first(void)
{
    keys_make();
    if (put(&survivor, &key, 'o', 8) < 0) exit(2);
}

static void prepare_get(void)
{
    if (apiary_memory_open(actor.api, "space", 0, &opened) < 0) exit(2);
}

static void run_get_first(void)
{
    apiary_memory_value_t found = {.struct_size = sizeof found};
    char value[LARGE];

    actor.result = apiary_memory_get(opened, "a", value, sizeof value, &found);
    memcpy(got, value, sizeof got);
    got_read.size = (uint32_t)found.size;
}

/* The key gets another value, and the row of the one before becomes the second key's. */
static void other_turn_rows(void)
{
    uint64_t rows = survivor.seg->sections[AP_SECTION_VALUES].count;

    if (put(&survivor, &key, 's', 40) < 0) fail("the second writer cannot put");
    for (uint64_t i = 0; i < 2 * rows; i++)
        if (put(&survivor, &second, 'm', 60) < 0) fail("the second writer cannot put another key");
}

static void before_got(bool over)
{
    if (!over) return;
    if (actor.result < 0) fail("a get: %d", actor.result);
    if (got_read.size != (got[0] == 'o' ? 8 : 40)) fail("%u bytes of '%c'", got_read.size, got[0]);
    for (uint32_t i = 0; i < got_read.size; i++)
        if (got[i] != got[0] || (got[0] != 'o' && got[0] != 's')) fail("byte %u is '%c', the first is '%c'", i, got[i], got[0]);
}

static void after_turn_rows(bool over)
{
    (void)over;
    memory_emptied();
}

static void before_touched(bool over)
{
    /* There is but one block of that size. */
    if (over && actor.result < 0 && actor.result != APIARY_ENOBLOCK) fail("a touch: %d", actor.result);
}

static void after_put_expire(bool over)
{
    memory_judged(over, 0, 'v');
}

#define BOTH .registry = true
const struct operation kills_memory[] = {
    {.name = "memory_put", BOTH, .image = image_neighbour, .run = run_put, .after = after_put},
    {.name = "memory_put_block", BOTH, .image = image_neighbour, .run = run_put_large, .after = after_put},
    {.name = "memory_put_over", BOTH, .image = image_large, .run = run_put, .after = after_put_over},
    {.name = "memory_put_block_over", BOTH, .image = image_small, .run = run_put_large, .after = after_put_over},
    {.name = "memory_put_expired", BOTH, .image = image_over, .run = run_put, .after = after_put},
    {.name = "memory_add_refused", BOTH, .image = image_small, .run = run_add, .after = after_refused},
    {.name = "memory_restore", BOTH, .image = image_neighbour, .run = run_restore, .after = after_put},
    {.name = "memory_delete", BOTH, .image = image_large, .run = run_delete, .after = after_delete},
    {.name = "memory_incr", BOTH, .image = image_number, .run = run_incr, .after = after_incr},
    {.name = "memory_touch", BOTH, .image = image_small, .run = run_touch, .after = after_touch},
    {.name = "memory_expire", BOTH, .image = image_over, .run = run_expire, .after = after_over},
    {.name = "reap_memory_asking", BOTH, .image = image_dead_asking, .prepare = prepare_reap, .run = run_reap_dead,
     .after = after_dead_asking},
    {.name = "reap_memory_filling", BOTH, .image = image_dead_filling, .prepare = prepare_reap, .run = run_reap_dead,
     .after = after_dead_filling},
    {.name = NULL},
};
const struct operation pairs_memory[] = {
    {.name = "memory_put|put", BOTH, .image = image_neighbour, .run = run_put, .other = other_put, .after = after_two_puts},
    {.name = "memory_put|put_second", BOTH, .image = keys_make, .run = run_put, .other = other_put_second, .after = after_two_keys},
    {.name = "memory_put_over|put", BOTH, .image = image_small, .run = run_put, .other = other_put, .after = after_two_puts},
    {.name = "memory_put_over|get", BOTH, .image = image_small, .run = run_put, .other = other_get, .after = after_put_over},
    {.name = "memory_get|turn_over", BOTH, .image = image_small, .run = run_get, .other = other_turn_rows, .before = before_got,
     .after = after_turn_rows},
    {.name = "memory_get_first|turn_over", BOTH, .image = image_first, .prepare = prepare_get, .run = run_get_first,
     .other = other_turn_rows, .before = before_got, .after = after_turn_rows},
    {.name = "memory_touch|turn_over", BOTH, .image = image_large, .run = run_touch, .other = other_turn_rows,
     .before = before_touched, .after = after_turn_rows},
    {.name = "memory_put_last|turn_room", BOTH, .image = image_last, .run = run_put, .other = other_turn_room,
     .before = before_turn_room, .after = after_turn_rows},
    {.name = "reap_memory|take_row", BOTH, .image = image_neighbour, .prepare = prepare_about, .run = run_withdraw,
     .other = other_take_row, .before = before_withdrawn, .after = after_turn_rows},
    {.name = "memory_put_block_over|get", BOTH, .image = image_small, .run = run_put_large, .other = other_get,
     .after = after_put_over},
    {.name = "memory_put_over|delete", BOTH, .image = image_small, .run = run_put, .other = other_delete,
     .after = after_put_delete},
    {.name = "memory_put_expired|expire", BOTH, .image = image_over, .run = run_put, .other = other_expire,
     .after = after_put_expire},
    {.name = "memory_add|add", BOTH, .image = image_neighbour, .run = run_add, .other = other_add, .after = after_two_adds},
    {.name = "memory_delete|delete", BOTH, .image = image_small, .run = run_delete, .other = other_delete,
     .after = after_two_deletes},
    {.name = "memory_incr|incr", BOTH, .image = image_number, .run = run_incr, .other = other_incr, .after = after_two_incrs},
    {.name = NULL},
};
