/* tests/crash/claim.c - claims: whoever dies at whatever step, a key is held by one at most, is free as soon as its holder is dead,
 * and its tokens grow. */
#include "sweep.h"

#include <linux/futex.h>
#include <unistd.h>

#include "registry/conflict/conflict.h"

#define TTL UINT64_C(10000000)

static struct ap_claim_view had; /* what the survivor was granted last */
static uint64_t theirs;          /* the token that it had in the image */
#define TTL_STAYS (2 * WORLD_LATER / 3)

static uint32_t rows(void)
{
    return (uint32_t)survivor.seg->sections[AP_SECTION_CLAIMS].count;
}

static uint64_t numbers(void)
{
    return ap_claim_at(survivor.seg, 0)->numbers;
}

static int claims(const char *key, uint64_t ttl, uint32_t policy, uint32_t flags)
{
    const apiary_claim_options_t o = {.struct_size = sizeof o, .policy = policy, .flags = flags, .timeout = 1};
    apiary_claim_t claim = {.struct_size = sizeof claim};
    int r = apiary_claim(actor.api, key, ttl, &o, &claim);

    if (r == 0) actor.token = claim.token;
    return r;
}

static int takes_in_line(const char *key, uint64_t ttl, bool steals, uint64_t ticket)
{
    struct ap_claim_ask ask = {.ttl = ttl, .ticket = ticket, .lane = survivor.lane.index, .steals = steals};

    if (ap_claim_key(survivor.seg, key, &ask.key) != 0) exit(2);
    return ap_claim_take(survivor.seg, &ask, &had);
}

static int takes(const char *key, uint64_t ttl, bool steals)
{
    return takes_in_line(key, ttl, steals, UINT64_MAX);
}

static struct ap_claim_key key_of(const char *text)
{
    struct ap_claim_key key;

    if (ap_claim_key(survivor.seg, text, &key) != 0) exit(2);
    return key;
}

static bool holds(const char *text, uint64_t token)
{
    return ap_claim_check(survivor.seg, text, token) == 0;
}

static void frees(const char *text)
{
    if (ap_claim_release(survivor.seg, text, had.token) != 0) fail("a claim cannot be released");
}

static const char *numbered(unsigned i)
{
    static char text[16];

    snprintf(text, sizeof text, "key-%u", i);
    return text;
}

/* A key whose home is the row `home`; the `n`th of them. */
static const char *key_at(uint32_t home, unsigned n)
{
    static char text[16];

    for (unsigned i = 0; ; i++) {
        snprintf(text, sizeof text, "at-%u", i);
        if (key_of(text).home == home && n-- == 0) return text;
    }
}

/* ---- what must hold --------------------------------------------------------------------------------------------- */

/* Nobody has anything: as many keys can be claimed as there are rows, and each is free afterwards. */
static void claims_all(void)
{
    uint64_t token = AP_CLAIM_TOKEN(numbers() + 1, 0) - 1;

    for (unsigned i = 0; i < rows(); i++) {
        int r = takes(numbered(i), APIARY_FOREVER, false);

        if (r != 1) fail("claim %u of %u: %d", i, rows(), r);
        else if (had.token <= token || !holds(numbered(i), had.token)) fail("claim %u: a bad token", i);
        token = had.token;
    }
    if (takes("one more", APIARY_FOREVER, false) != APIARY_ETABLEFULL) fail("there is room for more claims than rows");
    ap_claims_end(survivor.seg, survivor.lane.index);
    for (uint32_t i = 0; i < rows(); i++)
        if (AP_CLAIM_STATE(ap_claim_at(survivor.seg, i)->word) == AP_CLAIM_HELD) fail("claim %u is held", i);
}

/* The dead one's key is to be had at once, before anybody has recovered anything, with a higher token than any before. */
static void before_claim(bool over)
{
    uint64_t token = AP_CLAIM_TOKEN(numbers() + 1, 0) - 1;
    int r = takes("key", APIARY_FOREVER, false);

    (void)over;
    if (r != 1) fail("the dead one's claim is not to be had: %d", r);
    else if (had.token <= token || !holds("key", had.token)) fail("its token is %llx", (unsigned long long)had.token);
    else frees("key");
}

static void after_claim(bool over)
{
    (void)over;
    claims_all();
}

/* ---- one dies --------------------------------------------------------------------------------------------------- */

static void run_claim(void)
{
    if (claims("key", APIARY_FOREVER, 0, 0) != 0) _exit(31);
}

static void run_claim_timed(void)
{
    if (claims("key", TTL, 0, 0) != 0) _exit(31);
}

static void run_claim_release(void)
{
    if (apiary_claim_release(actor.api, "key", actor.token) != 0) _exit(32);
}

static void prepare_released(void)
{
    run_claim();
    run_claim_release();
}

/* Free as soon as it is said to be: no death has to be seen for that. */
static void before_release(bool over)
{
    struct ap_claim_view view;

    for (uint32_t i = 0; over && i < rows(); i++) {
        uint64_t token = AP_CLAIM_TOKEN(AP_CLAIM_NUMBER(ap_claim_at(survivor.seg, i)->word), i);

        if (ap_claim_read(survivor.seg, i, &view)) fail("\"%s\" is held after its release", view.key);
        if (ap_claim_release(survivor.seg, "key", token) != APIARY_ESTALE) fail("it can be released twice");
    }
    before_claim(over);
}

static void run_claim_renew(void)
{
    if (apiary_claim_renew(actor.api, "key", actor.token, APIARY_FOREVER, NULL) != 0) _exit(33);
}

static void run_claim_stays(void)
{
    if (claims("key", TTL_STAYS, 0, APIARY_CLAIM_STAYS) != 0) _exit(34);
}

/* Its time is told in any case. */
static void before_stays(bool over)
{
    for (uint32_t i = 0; i < rows(); i++) {
        struct ap_claim_view view;

        if (!ap_claim_read(survivor.seg, i, &view)) continue;
        if (view.lane != AP_NO_LANE) fail("lane %u has it", view.lane);
        if (view.until == UINT64_MAX) fail("its time is not told");
        if (takes("key", APIARY_FOREVER, true) != 0) fail("it is taken before its time");
    }
    if (over && takes("key", APIARY_FOREVER, true) != 0) fail("it is gone with who made it");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

static void after_stays(bool over)
{
    (void)over;
    world_due();
    claims_all();
}

/* The survivor's, whose time is over. */
static void image_expired(void)
{
    if (takes("key", TTL, false) != 1) exit(2);
    theirs = had.token;
    world_due();
}

static void run_claim_steal(void)
{
    if (claims("key", APIARY_FOREVER, APIARY_CLAIM_STEAL_IF_EXPIRED, 0) != 0) _exit(35);
}

static void run_claim_wait(void)
{
    if (claims("key", APIARY_FOREVER, APIARY_CLAIM_WAIT, 0) != 0) _exit(36);
}

/* Nothing holds that passes: the survivor's time is over, and the thief is dead. */
static void before_steal(bool over)
{
    if (holds("key", theirs)) fail("a token passes after its time");
    if (over && takes("key", APIARY_FOREVER, false) != 1) fail("what a dead thief had cannot be had");
    else if (takes("key", APIARY_FOREVER, true) < 0) fail("it cannot be stolen again");
}

static void after_steal(bool over)
{
    ap_claims_end(survivor.seg, survivor.lane.index);
    after_claim(over);
}

static void image_claimed(void)
{
    if (takes("key", APIARY_FOREVER, false) != 1) exit(2);
    theirs = had.token;
}

static void run_claim_wait_in_vain(void)
{
    if (claims("key", APIARY_FOREVER, APIARY_CLAIM_WAIT, 0) != APIARY_EHELD) _exit(37);
}

static void before_wait(bool over)
{
    (void)over;
    if (!holds("key", theirs)) fail("its holder has lost it");
    had.token = theirs;
    frees("key");
    if (takes("key", APIARY_FOREVER, false) != 1) fail("one waits for it who is dead");
}

/* The survivor waits in line, and has not taken its turn. */
static uint64_t ticket;

static void image_turn(void)
{
    if (takes("key", APIARY_FOREVER, false) != 1) exit(2);
    ticket = ap_claim_number(survivor.seg);
    ap_claim_line(survivor.seg, survivor.lane.lane, &(struct ap_claim_ask){.key = key_of("key"), .ticket = ticket}, had.row);
    frees("key");
    world_due();
}

/* It goes on: the one that went past it is dead. */
static void before_turn(bool over)
{
    (void)over;
    ap_claim_awake(survivor.lane.lane);
    if (takes_in_line("key", APIARY_FOREVER, false, ticket) != 1) fail("who waits does not have it when another is dead");
    else frees("key");
    ap_claim_leave(survivor.seg, survivor.lane.lane);
}

/* Others have gone past the actor. */
static void prepare_passed(void)
{
    ap_store_relaxed(&actor.lane.lane->passed, 1);
}

/* Each row has a key that nobody has. */
static void image_claims_free(void)
{
    for (unsigned i = 0; i < rows(); i++)
        if (takes(numbered(i), APIARY_FOREVER, false) != 1) exit(2);
    ap_claims_end(survivor.seg, survivor.lane.index);
}

/* The window of the key's home is full. */
static void image_claims_window(void)
{
    uint32_t home = key_of("key").home;

    for (unsigned i = 0; i < AP_CLAIM_WINDOW; i++)
        if (takes(key_at(home, i), APIARY_FOREVER, false) != 1) exit(2);
}

static void after_spilled(bool over)
{
    ap_claims_end(survivor.seg, survivor.lane.index);
    after_claim(over);
}

static void run_claims_end(void)
{
    if (apiary_detach(actor.api) != 0) _exit(38);
}

static void dead_claims(void)
{
    run_claim();
    run_claim_release();
    run_claim_timed();
    if (claims("other", APIARY_FOREVER, 0, 0) != 0) _exit(39);
    /* And it died as it filled a row. */
    for (uint32_t i = 0; i < rows(); i++) {
        struct ap_claim *row = ap_claim_at(actor.seg, i);

        if (row->word != 0) continue;
        row->word = AP_CLAIM_WORD(ap_claim_number(actor.seg), actor.lane.index, AP_CLAIM_FILLING);
        return;
    }
}

static void image_dead_claims(void)
{
    die_having(dead_claims);
    locks_change(FUTEX_OWNER_DIED, SOMEBODY);
}

/* Nobody has recovered it as the actor attached. */
static void prepare_reap_claims(void)
{
    locks_change(SOMEBODY, FUTEX_OWNER_DIED);
}

static void run_reap_claims(void)
{
    ap_reap_all(actor.seg, actor.lane.index, world_hooks);
}

const struct operation kills_claim[] = {
    {.name = "claim", .registry = true, .run = run_claim, .before = before_claim, .after = after_claim},
    {.name = "claim_timed", .registry = true, .prepare = prepare_released, .run = run_claim_timed, .before = before_claim,
     .after = after_claim},
    {.name = "claim_evicting", .registry = true, .image = image_claims_free, .run = run_claim, .before = before_claim,
     .after = after_claim},
    {.name = "claim_spilled", .registry = true, .image = image_claims_window, .run = run_claim, .before = before_claim,
     .after = after_spilled},
    {.name = "claim_stays", .registry = true, .run = run_claim_stays, .before = before_stays, .after = after_stays},
    {.name = "claim_stays_again", .registry = true, .prepare = prepare_released, .run = run_claim_stays, .before = before_stays,
     .after = after_stays},
    {.name = "claim_release", .registry = true, .prepare = run_claim, .run = run_claim_release, .before = before_release,
     .after = after_claim},
    {.name = "claim_renew", .registry = true, .prepare = run_claim_timed, .run = run_claim_renew, .before = before_claim,
     .after = after_claim},
    {.name = "claim_steal", .registry = true, .image = image_expired, .run = run_claim_steal, .before = before_steal,
     .after = after_steal},
    {.name = "claim_passing", .registry = true, .image = image_turn, .run = run_claim, .before = before_turn, .after = after_claim},
    {.name = "claim_wait", .registry = true, .image = image_expired, .prepare = prepare_passed, .run = run_claim_wait,
     .before = before_steal, .after = after_steal},
    {.name = "claim_wait_in_vain", .registry = true, .image = image_claimed, .run = run_claim_wait_in_vain, .before = before_wait,
     .after = after_steal},
    {.name = "claim_detach", .registry = true, .prepare = run_claim, .run = run_claims_end, .before = before_claim,
     .after = after_claim},
    {.name = "reap_claims", .registry = true, .image = image_dead_claims, .prepare = prepare_reap_claims,
     .run = run_reap_claims, .before = before_claim, .after = after_claim},
    {.name = NULL},
};

/* ---- one comes between ------------------------------------------------------------------------------------------ */

/* Either is granted or refused. Who is granted holds: the other one has seen that, or comes later. */
static void run_claim_or_not(void)
{
    actor.result = claims("key", APIARY_FOREVER, 0, 0);
    if (actor.result == 0 && !holds("key", actor.token)) fail("two have the claim");
    if (actor.result != 0 && actor.result != APIARY_EHELD) fail("claim: %d", actor.result);
}

static void run_claim_last(void)
{
    actor.result = claims("key", APIARY_FOREVER, 0, 0);
    if (actor.result == 0 && !holds("key", actor.token)) fail("two have the claim");
}

static void other_claim(void)
{
    survivor.result = takes("key", APIARY_FOREVER, false);
    if (survivor.result == 1 && !holds("key", had.token)) fail("two have the claim");
    if (survivor.result < 0) fail("the other's claim: %d", survivor.result);
}

/* What the survivor was granted it has still; if not, the actor has or had it. */
static void before_either(bool over)
{
    if (survivor.result == 1 && !holds("key", had.token)) fail("the survivor has lost its claim");
    if (over && actor.result != 0 && survivor.result != 1) fail("both were refused");
    if (survivor.result != 1) before_claim(over);
    ap_claims_end(survivor.seg, survivor.lane.index);
}

static void other_claim_again(void)
{
    survivor.result = takes(numbered(rows() - 1), APIARY_FOREVER, false);
    if (survivor.result < 0) fail("the other's claim: %d", survivor.result);
}

static void before_evicted(bool over)
{
    (void)over;
    if (survivor.result == 1 && !holds(numbered(rows() - 1), had.token)) fail("the survivor has lost its claim");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

/* All rows but one are held by the survivor. */
static void image_claims_last(void)
{
    for (unsigned i = 0; i + 1 < rows(); i++)
        if (takes(numbered(i), APIARY_FOREVER, false) != 1) exit(2);
}

static void free_row(uint32_t i)
{
    struct ap_claim_view view;

    if (!ap_claim_read(survivor.seg, i, &view) || ap_claim_release(survivor.seg, view.key, view.token) != 0)
        fail("claim %u cannot be released", i);
}

/* The only row that may be filled is the last one that a search for "key" comes to. */
static void image_claims_turn(void)
{
    for (unsigned i = 0; i < rows(); i++)
        if (takes(numbered(i), APIARY_FOREVER, false) != 1) exit(2);
    free_row((key_of("key").home + rows() - 1) % rows());
}

/* The same key in the last row. While the actor fills that one the table is full. */
static void other_claim_last(void)
{
    survivor.result = takes("key", APIARY_FOREVER, false);
    if (survivor.result < 0 && survivor.result != APIARY_ETABLEFULL) fail("the other's claim: %d", survivor.result);
}

/* Another key in that row, and the first one that the search comes to becomes free. */
static void other_turn_claims_over(void)
{
    if (takes("another", APIARY_FOREVER, false) == 1) free_row(key_of("key").home); /* else the actor fills it */
}

static void before_last(bool over)
{
    if (over && actor.result == APIARY_ETABLEFULL) fail("the table is said to be full, and it has the key");
    if (over && actor.result != 0 && survivor.result != 1) fail("both were refused");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

static void before_turned(bool over)
{
    if (over && actor.result == APIARY_ETABLEFULL) fail("the table is said to be full, and it never was");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

static void other_renew(void)
{
    struct ap_claim_view view;

    survivor.result = ap_claim_renew(survivor.seg, "key", theirs, APIARY_FOREVER, &view);
}

static void run_steal_or_not(void)
{
    actor.result = claims("key", APIARY_FOREVER, APIARY_CLAIM_STEAL_IF_EXPIRED, 0);
    if (actor.result == 0 && !holds("key", actor.token)) fail("what was stolen does not hold");
    if (actor.result == 0 && holds("key", theirs)) fail("two tokens pass");
}

/* A renewal that succeeded was not overtaken. */
static void before_renewed(bool over)
{
    (void)over;
    if (survivor.result == 0 && !holds("key", theirs)) fail("a renewed claim was stolen");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

/* It has a time, whatever became of it since it was granted. */
static void run_claim_timed_or_not(void)
{
    apiary_claim_t claim = {.struct_size = sizeof claim};

    actor.result = apiary_claim(actor.api, "key", TTL, NULL, &claim);
    if (actor.result != 0 && actor.result != APIARY_EHELD) fail("claim: %d", actor.result);
    if (actor.result == 0 && claim.expires == APIARY_FOREVER) fail("its holder is told that it lasts for ever");
}

static void other_steal(void)
{
    world_due();
    survivor.result = takes("key", APIARY_FOREVER, true);
    if (survivor.result < 0) fail("the thief's claim: %d", survivor.result);
}

static void before_stolen(bool over)
{
    (void)over;
    if (survivor.result == 1 && !holds("key", had.token)) fail("the thief has lost its claim");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

static void other_reap(void)
{
    ap_reap_all(survivor.seg, survivor.lane.index, world_hooks);
    other_claim();
}

static void before_reaped(bool over)
{
    (void)over;
    if (survivor.result != 1 || !holds("key", had.token)) fail("the survivor has lost its claim");
    ap_claims_end(survivor.seg, survivor.lane.index);
}

static void after_pair(bool over)
{
    (void)over;
    claims_all();
}

const struct operation pairs_claim[] = {
    {.name = "claim|claim", .registry = true, .run = run_claim_or_not, .other = other_claim, .before = before_either,
     .after = after_pair},
    {.name = "claim_timed|claim", .registry = true, .prepare = prepare_released, .run = run_claim_or_not, .other = other_claim,
     .before = before_either, .after = after_pair},
    {.name = "claim_spilled|claim", .registry = true, .image = image_claims_window, .run = run_claim_or_not, .other = other_claim,
     .before = before_either, .after = after_pair},
    {.name = "claim_evicting|claim", .registry = true, .image = image_claims_free, .run = run_claim_or_not,
     .other = other_claim_again, .before = before_evicted, .after = after_pair},
    {.name = "claim_last|claim", .registry = true, .image = image_claims_last, .run = run_claim_last, .other = other_claim_last,
     .before = before_last, .after = after_pair},
    {.name = "claim_last|claim_turn", .registry = true, .image = image_claims_turn, .run = run_claim_last,
     .other = other_turn_claims_over, .before = before_turned, .after = after_pair},
    {.name = "claim_steal|claim_renew", .registry = true, .image = image_expired, .run = run_steal_or_not, .other = other_renew,
     .before = before_renewed, .after = after_pair},
    {.name = "claim_timed|claim_steal", .registry = true, .run = run_claim_timed_or_not, .other = other_steal,
     .before = before_stolen, .after = after_pair},
    {.name = "reap_claims|claim", .registry = true, .image = image_dead_claims, .prepare = prepare_reap_claims,
     .run = run_reap_claims, .other = other_reap, .before = before_reaped, .after = after_pair},
    {.name = NULL},
};
