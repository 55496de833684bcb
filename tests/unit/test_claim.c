/* Claims on keys (shm/claim.h, registry/conflict/): who has one, until when, and in which order. */
#include "claim_others.h"

TestSuite(claim, .init = claim_setup, .fini = claim_teardown, .timeout = TEST_LIMIT);

Test(claim, one_has_it_and_its_tokens_grow)
{
    apiary_claim_t first, second, again;

    cr_assert_eq(claims("door", APIARY_FOREVER, 0, &first), 0);
    cr_expect(first.token > 0 && first.expires == APIARY_FOREVER && first.pid == getpid());
    cr_expect_eq(apiary_claim_check(client, "door", first.token), 0);
    cr_expect_eq(apiary_claim_check(client, "door", first.token + 1), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_check(client, "window", first.token), APIARY_ESTALE);
    cr_expect_eq(claims("door", SECOND, APIARY_CLAIM_FAIL, &second), APIARY_EHELD);
    cr_expect_eq(second.token, 0, "nothing is written");
    cr_expect_eq(claims("door", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &second), APIARY_EHELD);
    cr_expect_eq(claims("door", SECOND, APIARY_CLAIM_WAIT, &second), APIARY_EHELD, "it would wait for itself");
    cr_assert_eq(claims("door", SECOND, APIARY_CLAIM_USE_EXISTING, &second), 1);
    cr_expect(second.token == first.token && second.expires == first.expires && second.pid == first.pid);
    cr_expect_str_eq(second.holder, "caller");
    cr_assert_eq(claims("window", SECOND, 0, &again), 0, "another key");
    cr_expect_gt(again.token, first.token);
    cr_expect_eq(apiary_claim_release(client, "door", first.token), 0);
    cr_expect_eq(apiary_claim_release(client, "door", first.token), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_renew(client, "door", first.token, SECOND, NULL), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_check(client, "door", first.token), APIARY_ESTALE);
    cr_assert_eq(claims("door", SECOND, APIARY_CLAIM_USE_EXISTING, &second), 0, "nobody has it");
    cr_expect_gt(second.token, again.token);
    cr_expect_eq(stats().granted, 3);
    cr_expect_eq(stats().refused, 3);
    cr_expect_eq(stats().stale, 5);
    cr_expect(stats().held == 2 && stats().room == 16);
}

Test(claim, its_time)
{
    apiary_claim_t claim, other;

    frozen = shifted_now();
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_expect(claim.expires > shifted_now() + SECOND / 2 && claim.expires < shifted_now() + SECOND + 3 * MS);
    ap_store_relaxed(&ahead, SECOND + 3 * MS);
    cr_expect_eq(apiary_claim_check(client, "k", claim.token), APIARY_ESTALE, "its time is over");
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_FAIL, &other), APIARY_EHELD, "and it is its living holder's");
    cr_assert_eq(apiary_claim_renew(client, "k", claim.token, 2 * SECOND, &other), 0);
    cr_expect(other.token == claim.token && other.expires > claim.expires + SECOND);
    cr_expect_eq(apiary_claim_check(client, "k", claim.token), 0);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &other), APIARY_EHELD);
    ap_store_relaxed(&ahead, 4 * SECOND);
    cr_assert_eq(claims("k", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &other), 0);
    cr_expect_gt(other.token, claim.token);
    cr_expect_eq(apiary_claim_renew(client, "k", claim.token, SECOND, NULL), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_release(client, "k", claim.token), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_check(client, "k", other.token), 0);
    cr_expect(stats().stolen == 1 && stats().expired == 0);
}

/* A seal, once made, stands: the thief may have died before it has freed the claim. */
Test(claim, a_sealed_claim_is_anybodys)
{
    apiary_claim_t claim, other;
    struct ap_claim *row;

    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    row = held_row();
    row->until = AP_CLAIM_TAG(AP_CLAIM_TOKEN_NUMBER(claim.token));
    cr_expect_eq(apiary_claim_check(client, "k", claim.token), APIARY_ESTALE);
    cr_expect_eq(apiary_claim_renew(client, "k", claim.token, SECOND, NULL), APIARY_ESTALE);
    cr_expect_eq(claims("k", SECOND, 0, &other), 0);
}

/* A holder that has not told its time yet is given some by who wants to steal it, and by nobody else. */
Test(claim, a_time_that_is_not_told)
{
    apiary_claim_t claim, other;
    struct ap_claim *row;

    frozen = shifted_now();
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    row = held_row();
    row->until = AP_CLAIM_TAG(AP_CLAIM_TOKEN_NUMBER(claim.token) - 1);
    cr_expect_eq(claims("k", SECOND, 0, &other), APIARY_EHELD);
    cr_expect_eq(row->until, AP_CLAIM_TAG(AP_CLAIM_TOKEN_NUMBER(claim.token) - 1));
    cr_expect_eq(apiary_claim_check(client, "k", claim.token), 0);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &other), APIARY_EHELD);
    ap_store_relaxed(&ahead, AP_CLAIM_UNTOLD + 3 * MS);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &other), 0);
}

static uint32_t meddled;

/* The holder reads the clock when it has the row and has not told its time yet: that is when another wants to steal it. */
static uint64_t meddling_now(void)
{
    struct ap_claim_ask ask = {.ttl = SECOND, .ticket = UINT64_MAX, .lane = client->anchor->lane.index, .steals = true};
    struct ap_claim_view view;

    shifted.now = shifted_now;
    if (ap_claim_key(seg, "k", &ask.key) == 0 && ap_claim_take(seg, &ask, &view) == 0) meddled++;
    return shifted_now();
}

Test(claim, a_slow_holder_has_its_own_time)
{
    apiary_claim_t claim;

    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    shifted.now = meddling_now;
    cr_assert_eq(claims("k", 3600 * SECOND, 0, &claim), 0);
    cr_expect_eq(meddled, 1);
    ap_store_relaxed(&ahead, 2 * AP_CLAIM_UNTOLD);
    cr_expect_eq(apiary_claim_check(client, "k", claim.token), 0, "what the other one has told is not its time");
}

Test(claim, one_that_stays)
{
    struct other o = {.key = "k", .ttl = SECOND, .flags = APIARY_CLAIM_STAYS};
    apiary_claim_t claim;

    frozen = shifted_now();
    other_start(&o);
    other_end(&o);
    cr_assert_eq(o.result, 0);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &claim), APIARY_EHELD);
    cr_expect_eq(apiary_claim_check(client, "k", o.claim.token), 0);
    cr_assert_eq(apiary_claim_renew(client, "k", o.claim.token, 5 * SECOND, &claim), 0);
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_expect_eq(apiary_claim_check(client, "k", o.claim.token), 0);
    ap_store_relaxed(&ahead, 6 * SECOND);
    cr_expect_eq(apiary_claim_renew(client, "k", o.claim.token, 5 * SECOND, &claim), APIARY_ESTALE);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_FAIL, &claim), 0, "nobody's, and its time is over");
    cr_expect(stats().expired == 1 && stats().stolen == 0);
    cr_assert_eq(claims_of(client, "j", SECOND, 0, APIARY_CLAIM_STAYS, 0, &claim), 0);
    cr_expect_eq(ap_claims_tidy(seg), 0);
    ap_store_relaxed(&ahead, 8 * SECOND);
    cr_expect_eq(ap_claims_tidy(seg), 1);
    cr_expect_eq(stats().expired, 2);
}

/* A key that was claimed before lies in its row already: there it stays as well, and one that does not stay is its thread's. */
Test(claim, one_that_stays_in_a_row_of_before)
{
    struct other stays = {.key = "k", .ttl = 3600 * SECOND, .flags = APIARY_CLAIM_STAYS}, ends = {.key = "k", .ttl = 3600 * SECOND};
    apiary_claim_t claim;

    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    other_start(&stays);
    other_end(&stays);
    cr_assert_eq(stays.result, 0);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_FAIL, &claim), APIARY_EHELD, "its thread has ended");
    cr_expect_eq(apiary_claim_check(client, "k", stays.claim.token), 0);
    cr_assert_eq(apiary_claim_release(client, "k", stays.claim.token), 0);
    other_start(&ends);
    other_end(&ends);
    cr_assert_eq(ends.result, 0);
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_FAIL, &claim), 0);
}

Test(claim, one_that_stays_must_end)
{
    apiary_claim_t claim, renewed = {.struct_size = sizeof renewed};

    cr_assert_eq(claims_of(client, "k", SECOND, 0, APIARY_CLAIM_STAYS, 0, &claim), 0);
    cr_expect_eq(apiary_claim_renew(client, "k", claim.token, APIARY_FOREVER, &renewed), APIARY_EINVAL);
    cr_expect_eq(renewed.token, 0, "nothing is written");
    cr_assert_eq(claims("j", SECOND, 0, &claim), 0);
    cr_expect_eq(apiary_claim_renew(client, "j", claim.token, APIARY_FOREVER, NULL), 0, "one that is the thread's ends with it");
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_expect_eq(claims("k", SECOND, 0, &claim), 0);
}

/* Tags have 24 bits of the number. Where those of two claims in a row are the same, what was told of the first is not told of the
 * second: here, that it is sealed. */
Test(claim, tags_that_come_again)
{
    apiary_claim_t claim, next;

    frozen = shifted_now();
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    ap_claim_at(seg, 0)->numbers = AP_CLAIM_TOKEN_NUMBER(claim.token) + AP_CLAIM_TAG(UINT64_MAX);
    ap_store_relaxed(&ahead, 2 * SECOND);
    cr_assert_eq(claims("k", SECOND, APIARY_CLAIM_STEAL_IF_EXPIRED, &next), 0);
    cr_expect_neq(AP_CLAIM_TAG(AP_CLAIM_TOKEN_NUMBER(next.token)), AP_CLAIM_TAG(AP_CLAIM_TOKEN_NUMBER(claim.token)));
    cr_expect_eq(apiary_claim_check(client, "k", next.token), 0);
    cr_expect_eq(apiary_claim_renew(client, "k", next.token, SECOND, NULL), 0);
}

/* A thread that is cancelled as it fills a row leaves it as it was. */
static void *fills_and_ends(void *arg)
{
    struct ap_claim *row = held_row() + 1;
    apiary_claim_t claim;
    uint32_t lane;

    if (row == ap_claim_at(seg, 0) + 16) row -= 2;
    cr_assert_eq(claims("j", SECOND, 0, &claim), 0);
    cr_assert_eq(apiary_claim_release(client, "j", claim.token), 0);
    lane = ap_context_here(client)->lane.index;
    row->word = AP_CLAIM_WORD(ap_claim_number(seg), lane, AP_CLAIM_FILLING);
    *(struct ap_claim **)arg = row;
    return NULL;
}

Test(claim, a_thread_that_ends_as_it_fills_a_row)
{
    apiary_claim_t claim;
    struct ap_claim *row = NULL;
    pthread_t thread;

    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_assert_eq(pthread_create(&thread, NULL, fills_and_ends, &row), 0);
    pthread_join(thread, NULL);
    cr_expect_eq(AP_CLAIM_STATE(row->word), AP_CLAIM_EMPTY);
}

Test(claim, it_ends_with_its_thread)
{
    struct other o = {.key = "k", .ttl = APIARY_FOREVER}, next = {.key = "j", .ttl = APIARY_FOREVER};
    apiary_claim_t claim;

    other_start(&o);
    sem_wait(&o.done);
    cr_assert_eq(o.result, 0);
    cr_expect_eq(claims("k", SECOND, 0, &claim), APIARY_EHELD);
    other_end(&o);
    other_start(&next); /* its lane has the same index */
    sem_wait(&next.done);
    cr_expect_eq(claims("k", SECOND, 0, &claim), 0);
    other_end(&next);
}

Test(claim, it_ends_with_its_handle)
{
    apiary_t *another = attach_as("another");
    apiary_claim_t claim;

    cr_assert_eq(claims_of(another, "k", APIARY_FOREVER, 0, 0, 0, &claim), 0);
    cr_assert_eq(claims("k", SECOND, APIARY_CLAIM_USE_EXISTING, &claim), 1);
    cr_expect_str_eq(claim.holder, "another");
    cr_expect_eq(apiary_detach(another), 0);
    cr_expect_eq(claims("k", SECOND, 0, &claim), 0);
}

/* Nobody recovers the dead here but who wants its key. */
Test(claim, a_dead_holder_has_nothing)
{
    pid_t pid = child(holds_k);
    apiary_claim_t claim;

    cr_expect_eq(claims("k", SECOND, 0, &claim), APIARY_EHELD);
    cr_expect_eq(claim.pid, 0);
    child_kill(pid);
    cr_expect_eq(stats().held, 0);
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_expect_eq(stats().freed, 1);
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    pid = child(holds_k);
    child_kill(pid);
    cr_expect_eq(ap_reap_all(seg, client->anchor->lane.index, &ap_registry_hooks), 1);
    cr_expect_eq(stats().freed, 2);
}

static void holds_four(apiary_t *a)
{
    static const char *const keys[] = {"k", "j", "i", "h"};
    apiary_claim_t claim;

    for (int n = 0; n < 4; n++)
        if (claims_of(a, keys[n], APIARY_FOREVER, 0, 0, 0, &claim) != 0) _exit(3);
}

static void holds_row(apiary_t *a)
{
    apiary_claim_t claim;

    if (claims_of(a, "in its row", APIARY_FOREVER, 0, 0, 0, &claim) != 0) _exit(3);
}

/* By whoever frees what a dead one had: who wants the key, who wants a row, who tidies up, who recovers the dead. Each once. */
Test(claim, what_a_dead_one_had_is_counted_once)
{
    pid_t pid = child(holds_four);
    apiary_claim_t claim;

    for (unsigned i = 0; i < 12; i++) cr_assert_eq(claims(numbered(i), APIARY_FOREVER, 0, &claim), 0, "%u", i);
    child_kill(pid);
    cr_assert_eq(claims("k", SECOND, 0, &claim), 0);
    cr_expect_eq(stats().freed, 1);
    cr_assert_eq(claims("in its row", SECOND, 0, &claim), 0);
    cr_expect_eq(stats().freed, 2);
    cr_expect_eq(ap_claims_tidy(seg), 2);
    cr_expect_eq(stats().freed, 4);
    cr_assert_eq(apiary_claim_release(client, "in its row", claim.token), 0);
    pid = child(holds_row);
    child_kill(pid);
    cr_expect_gt(ap_reap_all(seg, client->anchor->lane.index, &ap_registry_hooks), 0);
    cr_expect_eq(stats().freed, 5);
    cr_expect_eq(ap_claims_tidy(seg), 0);
}

Test(claim, who_waits_has_it_when_the_holder_dies)
{
    pid_t pid = child(holds_k);
    struct other o = {.key = "k", .ttl = SECOND * 60, .policy = APIARY_CLAIM_WAIT};

    other_start(&o);
    until_waiting("k", 1);
    child_kill(pid);
    sem_wait(&o.done);
    cr_expect_eq(o.result, 0);
    cr_expect(stats().waited == 1 && stats().freed == 1);
    other_end(&o);
}

/* In the order in which they came; a dead one is passed over, and nobody comes before them. */
Test(claim, a_line)
{
    struct other others[3];
    apiary_claim_t claim, barging;
    uint32_t order = 0;
    pid_t pid;

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    pid = child(waits_then_ready);
    until_waiting("k", 1);
    for (uint32_t i = 0; i < 3; i++) {
        others[i] = (struct other){.key = "k", .ttl = APIARY_FOREVER, .policy = APIARY_CLAIM_WAIT, .order = &order,
                                   .place = UINT32_MAX};
        other_start(&others[i]);
        until_waiting("k", i + 2);
    }
    child_kill(pid);
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    for (uint32_t i = 0; i < 3; i++) {
        while (ap_load_acquire(&order) == i) sched_yield();
        cr_assert_eq(others[i].place, i, "another one of the line has it first");
        sem_wait(&others[i].done);
        cr_assert_eq(others[i].result, 0);
        cr_expect(i == 0 || others[i].claim.token > others[i - 1].claim.token);
        cr_expect_eq(claims("k", SECOND, 0, &barging), APIARY_EHELD);
        if (i == 1) other_end(&others[i]); /* which ends it, too */
        else cr_assert_eq(apiary_claim_release(client, "k", others[i].claim.token), 0);
    }
    other_end(&others[0]);
    other_end(&others[2]);
    cr_expect_eq(stats().waited, 3);
    cr_expect_eq(claims("k", SECOND, 0, &claim), 0);
}

/* While somebody waits whose turn it is, nobody else takes it; but not for long. */
Test(claim, a_turn_that_is_not_taken)
{
    apiary_claim_t claim, other;
    struct ap_claim_ask ask = {.ticket = ap_claim_number(seg)};
    struct ap_lane *lane = ap_lane_at(seg, client->anchor->lane.index);

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    cr_assert_eq(ap_claim_key(seg, "k", &ask.key), 0);
    ap_claim_line(seg, lane, &ask, AP_CLAIM_TOKEN_ROW(claim.token));
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    cr_expect_eq(claims("k", SECOND, 0, &other), APIARY_EHELD, "it is the turn of the one who waits");
    cr_expect_eq(claims("k", SECOND, APIARY_CLAIM_USE_EXISTING, &other), APIARY_EHELD);
    ap_store_relaxed(&ahead, AP_CLAIM_GRACE);
    cr_expect_eq(claims("k", SECOND, 0, &other), 0);
    ap_claim_leave(seg, lane);
    cr_expect_eq(lane->waits, 0);
}

/* It stood still as the row went to another key, and has not looked again yet. */
Test(claim, who_waits_for_another_key)
{
    struct ap_claim_ask ask = {.ticket = ap_claim_number(seg)};
    struct ap_lane *lane = ap_lane_at(seg, client->anchor->lane.index);
    struct ap_claim_view view;
    apiary_claim_t claim;

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    cr_assert_eq(ap_claim_key(seg, "another", &ask.key), 0);
    ap_claim_line(seg, lane, &ask, AP_CLAIM_TOKEN_ROW(claim.token));
    cr_assert(ap_claim_read(seg, AP_CLAIM_TOKEN_ROW(claim.token), &view));
    cr_expect_eq(view.waiting, 0, "nobody waits for this key");
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    cr_expect_eq(claims("k", SECOND, 0, &claim), 0, "nobody has it, and nobody waits for it");
    ap_claim_leave(seg, lane);
}

Test(claim, waiting_ends)
{
    struct other o = {.key = "k", .ttl = SECOND, .policy = APIARY_CLAIM_WAIT, .timeout = 20 * MS};
    struct other i = {.key = "k", .ttl = SECOND, .policy = APIARY_CLAIM_WAIT};
    struct other steals = {.key = "k", .ttl = SECOND, .policy = APIARY_CLAIM_WAIT};
    apiary_claim_t claim;

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    other_start(&o);
    sem_wait(&o.done);
    cr_expect_eq(o.result, APIARY_EHELD);
    other_end(&o);
    other_start(&i);
    until_waiting("k", 1);
    cr_assert_eq(apiary_interrupt(client), 0);
    sem_wait(&i.done);
    cr_expect_eq(i.result, APIARY_EINTERRUPTED);
    other_end(&i);
    for (uint32_t l = 0; l < seg->geometry.lanes; l++) cr_expect_eq(ap_lane_at(seg, l)->waits, 0);
    cr_assert_eq(apiary_claim_renew(client, "k", claim.token, 30 * MS, NULL), 0);
    other_start(&steals);
    sem_wait(&steals.done);
    cr_expect_eq(steals.result, 0, "who waits takes it when its time is over");
    cr_expect_eq(stats().stolen, 1);
    other_end(&steals);
}

/* A thread that is cancelled as it waits leaves nothing. */
Test(claim, a_cancelled_waiter)
{
    struct other o = {.key = "k", .ttl = SECOND, .policy = APIARY_CLAIM_WAIT};
    apiary_claim_t claim;

    cr_assert_eq(claims("k", APIARY_FOREVER, 0, &claim), 0);
    other_start(&o);
    until_waiting("k", 1);
    pthread_cancel(o.thread);
    pthread_join(o.thread, NULL);
    until_waiting("k", 0);
    cr_assert_eq(apiary_claim_release(client, "k", claim.token), 0);
    cr_expect_eq(claims("k", SECOND, 0, &claim), 0);
}
