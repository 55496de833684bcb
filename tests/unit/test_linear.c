/* The judge of process.linear (tests/linear/): histories written by hand, legal and illegal, and small ones by chance, which are
 * judged by trying all orders, too. */
#include <criterion/criterion.h>
#include <string.h>

#include <apiary.h>

#include "tests/linear/linear.h"

#define NODES 1000000

static struct linear_op ops[4096];
static size_t n;

static struct linear_op *add(uint32_t process, uint64_t call, uint64_t answered, uint32_t kind, int result)
{
    ops[n] = (struct linear_op){.process = process, .call = call, .answered = answered, .kind = kind, .result = result,
                                .before = LINEAR_NOTHING, .until = LINEAR_NEVER, .ttl = LINEAR_NEVER, .policy = LINEAR_FAIL};
    return &ops[n++];
}

static struct linear_op *pending(struct linear_op *op)
{
    op->pending = true;
    return op;
}

static void put(uint32_t process, uint64_t call, uint64_t answered, int64_t value, uint64_t version)
{
    struct linear_op *op = add(process, call, answered, LINEAR_PUT, 0);

    op->value = value;
    op->version = version;
}

static void get(uint32_t process, uint64_t call, uint64_t answered, int64_t value, uint64_t version)
{
    struct linear_op *op = add(process, call, answered, LINEAR_GET, version != 0 ? 0 : APIARY_ENOKEY);

    op->value = value;
    op->version = version;
}

static void killed_put(uint32_t process, uint64_t call, uint64_t answered, int64_t value)
{
    put(process, call, answered, value, 0);
    pending(&ops[n - 1]);
}

static void cas(uint32_t process, uint64_t call, uint64_t answered, uint64_t expected, int64_t value, uint64_t version)
{
    struct linear_op *op = add(process, call, answered, LINEAR_CAS, version != 0 ? 0 : APIARY_ECHANGED);

    op->value = value;
    op->expected = expected;
    op->version = version;
}

static void incr(uint32_t process, uint64_t call, uint64_t answered, int64_t by, int64_t sum)
{
    struct linear_op *op = add(process, call, answered, LINEAR_INCR, 0);

    op->by = by;
    op->value = sum;
}

static struct linear_op *claim(uint32_t process, uint64_t call, uint64_t answered, uint64_t token, uint64_t until)
{
    struct linear_op *op = add(process, call, answered, LINEAR_CLAIM, token != 0 ? 0 : APIARY_EHELD);

    op->token = token;
    op->until = until;
    if (until != LINEAR_NEVER) op->ttl = until > call ? until - call : 0;
    return op;
}

static struct linear_op *staying(uint32_t process, uint64_t call, uint64_t answered, uint64_t token, uint64_t until)
{
    struct linear_op *op = claim(process, call, answered, token, until);

    op->stays = true;
    return op;
}

static struct linear_op *shown(uint32_t process, uint64_t call, uint64_t answered, uint32_t kind, uint64_t token, int result)
{
    struct linear_op *op = add(process, call, answered, kind, result);

    op->token = token;
    return op;
}

static struct linear_op *renewed(uint32_t process, uint64_t call, uint64_t answered, uint64_t token, uint64_t until)
{
    struct linear_op *op = shown(process, call, answered, LINEAR_RENEW, token, 0);

    op->until = until;
    if (until != LINEAR_NEVER) op->ttl = until - call;
    return op;
}

static void found(uint32_t process, uint64_t call, uint64_t answered, uint64_t token)
{
    shown(process, call, answered, LINEAR_CLAIM, token, 1)->policy = LINEAR_USE_EXISTING;
}

/* A claim by stealing, with what it may have ended. */
static void steal(uint32_t process, uint64_t call, uint64_t answered, uint64_t token)
{
    claim(process, call, answered, token, LINEAR_NEVER)->policy = LINEAR_STEAL;
    pending(add(process, call, answered, LINEAR_END, 0));
}

static int judged(void)
{
    struct linear_verdict v;

    cr_assert_eq(linear_sort(ops, n), 0);
    linear_check(ops, n, NODES, &v);
    return v.legal;
}

#define LEGAL(...)                                  \
    do {                                            \
        n = 0;                                      \
        __VA_ARGS__;                                \
        cr_expect_eq(judged(), 1, #__VA_ARGS__);    \
    } while (0)
#define ILLEGAL(...)                                \
    do {                                            \
        n = 0;                                      \
        __VA_ARGS__;                                \
        cr_expect_eq(judged(), 0, #__VA_ARGS__);    \
    } while (0)

TestSuite(linear, .timeout = TEST_LIMIT);

/* ---- memory ----------------------------------------------------------------------------------------------------- */

Test(linear, reads)
{
    LEGAL((void)0);
    LEGAL(get(1, 1, 2, 0, 0));
    LEGAL(put(1, 1, 2, 10, 1); get(2, 3, 4, 10, 1));
    ILLEGAL(put(1, 1, 2, 10, 1); get(2, 3, 4, 0, 0));
    ILLEGAL(put(1, 1, 2, 10, 1); get(2, 3, 4, 11, 1));
    ILLEGAL(put(1, 1, 2, 10, 1); get(2, 3, 4, 10, 2));
    ILLEGAL(get(2, 1, 2, 10, 1); put(1, 3, 4, 10, 1));
    LEGAL(put(1, 1, 9, 10, 1); get(2, 2, 3, 0, 0); get(2, 4, 5, 10, 1));
    ILLEGAL(put(1, 1, 9, 10, 1); get(2, 2, 3, 10, 1); get(3, 4, 5, 0, 0));
    LEGAL(put(1, 1, 9, 10, 1); get(2, 2, 5, 10, 1); get(3, 4, 6, 0, 0));
    LEGAL(put(1, 1, 9, 10, 1); put(2, 2, 8, 20, 2); get(3, 3, 4, 10, 1); get(3, 5, 6, 20, 2); get(3, 10, 11, 20, 2));
    ILLEGAL(put(1, 1, 9, 10, 1); put(2, 2, 8, 20, 2); get(3, 3, 4, 20, 2); get(4, 5, 6, 10, 1));
    ILLEGAL(put(1, 1, 2, 10, 2); put(2, 3, 4, 20, 1));
}

Test(linear, changes)
{
    struct linear_op *op;

    LEGAL(op = add(1, 1, 2, LINEAR_ADD, 0); op->version = 1; add(2, 3, 4, LINEAR_ADD, APIARY_EEXIST));
    ILLEGAL(op = add(1, 1, 4, LINEAR_ADD, 0); op->version = 1; op = add(2, 2, 3, LINEAR_ADD, 0); op->version = 2);
    LEGAL(op = add(1, 1, 4, LINEAR_ADD, 0); op->version = 1; op = add(2, 2, 3, LINEAR_ADD, 0); op->version = 2;
          add(3, 2, 4, LINEAR_DELETE, 0));
    ILLEGAL(add(2, 3, 4, LINEAR_ADD, APIARY_EEXIST));
    ILLEGAL(op = add(1, 1, 2, LINEAR_REPLACE, 0); op->version = 1);
    LEGAL(add(1, 1, 2, LINEAR_REPLACE, APIARY_ENOKEY); add(1, 3, 4, LINEAR_DELETE, APIARY_ENOKEY));
    ILLEGAL(put(1, 1, 2, 10, 1); add(2, 3, 5, LINEAR_DELETE, 0); add(3, 4, 6, LINEAR_DELETE, 0));
    ILLEGAL(add(1, 1, 2, LINEAR_TOUCH, 0));
    LEGAL(put(1, 1, 2, 10, 1); add(1, 3, 4, LINEAR_TOUCH, 0); get(1, 5, 6, 10, 1));
    ILLEGAL(put(1, 1, 2, 10, 3); add(1, 3, 4, LINEAR_DELETE, 0); put(1, 5, 6, 11, 2));
}

Test(linear, cas_and_incr)
{
    LEGAL(put(1, 1, 2, 10, 1); cas(2, 3, 5, 1, 20, 2); cas(3, 4, 6, 1, 0, 0));
    ILLEGAL(put(1, 1, 2, 10, 1); cas(2, 3, 5, 1, 20, 2); cas(3, 4, 6, 1, 30, 3));
    ILLEGAL(put(1, 1, 2, 10, 1); cas(2, 3, 4, 1, 0, 0));
    LEGAL(incr(1, 1, 4, 1, 1); incr(2, 2, 3, 1, 2));
    ILLEGAL(incr(1, 1, 4, 1, 1); incr(2, 2, 3, 1, 1));
    ILLEGAL(incr(1, 1, 2, 5, 5); incr(2, 3, 4, 0, 4));
    LEGAL(put(1, 1, 2, 7 | LINEAR_TEXT, 1); add(2, 3, 4, LINEAR_INCR, APIARY_EOVERFLOW));
    ILLEGAL(put(1, 1, 2, 7, 1); add(2, 3, 4, LINEAR_INCR, APIARY_EOVERFLOW));
    LEGAL(put(1, 1, 2, 10, 1); incr(2, 3, 4, 1, 11); get(1, 5, 6, 11, 9); cas(1, 7, 8, 9, 12, 10));
    ILLEGAL(put(1, 1, 2, 10, 1); incr(2, 3, 4, 1, 11); get(1, 5, 6, 11, 1));
    ILLEGAL(put(1, 1, 2, 10, 1); incr(2, 3, 4, 1, 11); cas(1, 7, 8, 1, 12, 10));
}

/* A value for `ttl`, and a get that was told how much of it is left. */
static void put_for(uint32_t process, uint64_t call, uint64_t answered, int64_t value, uint64_t version, uint64_t ttl)
{
    put(process, call, answered, value, version);
    ops[n - 1].ttl = ttl;
}

static void get_for(uint32_t process, uint64_t call, uint64_t answered, int64_t value, uint64_t version, uint64_t left)
{
    get(process, call, answered, value, version);
    ops[n - 1].ttl = left;
}

static void touch(uint32_t process, uint64_t call, uint64_t answered, uint64_t ttl)
{
    add(process, call, answered, LINEAR_TOUCH, 0)->ttl = ttl;
}

Test(linear, ends_of_values)
{
    LEGAL(put_for(1, 1, 2, 10, 1, 20); get_for(2, 5, 6, 10, 1, 16); get(2, 25, 26, 0, 0));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); get(2, 15, 16, 0, 0));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); get_for(2, 25, 26, 10, 1, 0));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); get_for(2, 15, 26, 10, 1, 1); get(2, 30, 31, 0, 0));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); get(2, 15, 26, 0, 0));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); get(2, 5, 6, 10, 1));
    ILLEGAL(put(1, 1, 2, 10, 1); get_for(2, 5, 6, 10, 1, 16));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); get_for(2, 5, 6, 10, 1, 8));
    /* Two that were told different ends. */
    LEGAL(put_for(1, 1, 11, 10, 1, 20); get_for(2, 12, 13, 10, 1, 10));
    ILLEGAL(put_for(1, 1, 11, 10, 1, 20); get_for(2, 12, 13, 10, 1, 10); get_for(2, 14, 15, 10, 1, 15));
    /* Changes of what is over, and of what is not. */
    LEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 25, 26, LINEAR_ADD, 0)->version = 2);
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 15, 16, LINEAR_ADD, 0)->version = 2);
    LEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 15, 16, LINEAR_ADD, APIARY_EEXIST));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 25, 26, LINEAR_ADD, APIARY_EEXIST));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 25, 26, LINEAR_REPLACE, 0)->version = 2);
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); cas(2, 25, 26, 1, 20, 2));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); cas(2, 25, 26, 7, 0, 0));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 25, 26, LINEAR_DELETE, 0));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); add(2, 25, 26, LINEAR_DELETE, APIARY_ENOKEY));
    ILLEGAL(put_for(1, 1, 2, 10, 5, 20); put(2, 25, 26, 20, 4));
    /* A number goes on with its end, or from nothing without one. */
    LEGAL(put_for(1, 1, 2, 10, 1, 20); incr(2, 5, 6, 1, 11); get_for(2, 7, 8, 11, 2, 14));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); incr(2, 5, 6, 1, 11); get(2, 7, 8, 11, 2));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); incr(2, 25, 26, 1, 1); get(2, 47, 48, 1, 2));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); incr(2, 25, 26, 1, 11));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); incr(2, 15, 16, 1, 1));
    ILLEGAL(put_for(1, 1, 2, 7 | LINEAR_TEXT, 1, 20); add(2, 25, 26, LINEAR_INCR, APIARY_EOVERFLOW));
}

Test(linear, touches)
{
    LEGAL(put(1, 1, 2, 10, 1); touch(1, 3, 4, 20); get_for(2, 5, 6, 10, 1, 18); get(2, 25, 26, 0, 0));
    ILLEGAL(put(1, 1, 2, 10, 1); touch(1, 3, 4, 20); get(2, 15, 16, 0, 0));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); touch(1, 3, 4, 40); get(2, 25, 26, 0, 0));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); touch(1, 3, 4, LINEAR_NEVER); get(2, 95, 96, 10, 1));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); touch(1, 25, 26, 40));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); add(1, 25, 26, LINEAR_TOUCH, APIARY_ENOKEY));
    /* It had found the value before its end, and comes after one who has not found it. */
    LEGAL(put_for(1, 1, 2, 10, 1, 20); touch(1, 15, 36, 40); get(2, 25, 26, 0, 0); get_for(2, 27, 28, 10, 1, 30));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); touch(1, 22, 36, 40); get(2, 25, 26, 0, 0); get_for(2, 27, 28, 10, 1, 30));
    /* By one who was killed: it may have happened or not. */
    LEGAL(put(1, 1, 2, 10, 1); touch(1, 3, 9, 20); pending(&ops[1]); get_for(2, 15, 16, 10, 1, 10));
    LEGAL(put(1, 1, 2, 10, 1); touch(1, 3, 9, 20); pending(&ops[1]); get(2, 15, 16, 10, 1));
    ILLEGAL(put(1, 1, 2, 10, 1); touch(1, 3, 9, 20); pending(&ops[1]); get_for(2, 10, 11, 10, 1, 25));
    LEGAL(put_for(1, 1, 2, 10, 1, 20); incr(1, 15, 29, 1, 0); pending(&ops[1])->over = true; get(2, 33, 34, 1, 2));
    ILLEGAL(put_for(1, 1, 2, 10, 1, 20); incr(1, 15, 18, 1, 0); pending(&ops[1])->over = true; get(2, 33, 34, 1, 2));
}

/* What a killed process had begun. */
Test(linear, pending_changes)
{
    LEGAL(put(1, 1, 2, 10, 1); killed_put(2, 3, LINEAR_NEVER, 20); get(3, 8, 9, 10, 1));
    LEGAL(put(1, 1, 2, 10, 1); killed_put(2, 3, LINEAR_NEVER, 20); get(3, 8, 9, 20, 2));
    LEGAL(put(1, 1, 2, 10, 1); killed_put(2, 3, LINEAR_NEVER, 20); get(3, 8, 9, 10, 1); get(3, 18, 19, 20, 2));
    ILLEGAL(put(1, 1, 2, 10, 1); killed_put(2, 3, LINEAR_NEVER, 20); get(3, 8, 9, 20, 2); get(3, 18, 19, 10, 1));
    ILLEGAL(put(1, 1, 2, 10, 1); killed_put(2, 7, LINEAR_NEVER, 20); get(3, 5, 6, 20, 2));
    ILLEGAL(put(1, 1, 2, 10, 1); killed_put(2, 3, 7, 20); get(3, 8, 9, 10, 1); get(3, 18, 19, 20, 2));
    ILLEGAL(put(1, 1, 2, 10, 5); killed_put(2, 3, 7, 20); get(3, 8, 9, 20, 4));
    ILLEGAL(put(1, 1, 2, 10, 1); killed_put(2, 3, LINEAR_NEVER, 20); get(3, 8, 9, 20, 2); put(1, 10, 11, 30, 3);
            get(3, 18, 19, 20, 2));
    LEGAL(killed_put(2, 3, LINEAR_NEVER, 20); add(3, 5, 6, LINEAR_ADD, APIARY_EEXIST));
    LEGAL(killed_put(2, 3, LINEAR_NEVER, 20); killed_put(4, 3, LINEAR_NEVER, 40); get(3, 5, 6, 40, 1); get(3, 7, 8, 20, 2));
    LEGAL(put(1, 1, 2, 10, 1); pending(add(2, 3, LINEAR_NEVER, LINEAR_DELETE, 0)); get(3, 5, 6, 0, 0));
    ILLEGAL(put(1, 1, 2, 10, 1); pending(add(2, 3, LINEAR_NEVER, LINEAR_DELETE, 0)); get(3, 5, 6, 0, 0); get(3, 7, 8, 10, 1));
}

/* ---- claims ----------------------------------------------------------------------------------------------------- */

Test(linear, grants)
{
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 100, 0); claim(2, 5, 6, 200, LINEAR_NEVER));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); claim(2, 5, 6, 200, LINEAR_NEVER));
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); claim(2, 5, 6, 0, 0));
    ILLEGAL(claim(2, 5, 6, 0, 0));
    LEGAL(claim(2, 5, 6, 0, 0)->line = true);
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 9, LINEAR_RELEASE, 100, 0); claim(2, 5, 6, 200, LINEAR_NEVER));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 100, 0); claim(2, 5, 6, 99, LINEAR_NEVER));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 100, 0); claim(2, 5, 6, 100, LINEAR_NEVER));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 100, 0); shown(1, 5, 6, LINEAR_RELEASE, 100, 0));
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); found(2, 3, 4, 100));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); found(2, 3, 4, 99));
}

Test(linear, tokens)
{
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(2, 3, 4, LINEAR_CHECK, 100, 0); shown(1, 5, 6, LINEAR_RENEW, 100, 0));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(2, 3, 4, LINEAR_CHECK, 100, APIARY_ESTALE));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 100, 0); shown(2, 5, 6, LINEAR_CHECK, 100, 0));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 100, 0); shown(1, 5, 6, LINEAR_RENEW, 100, 0));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RENEW, 100, APIARY_ESTALE));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); shown(1, 3, 4, LINEAR_RELEASE, 90, APIARY_ESTALE);
            shown(1, 5, 6, LINEAR_RELEASE, 100, APIARY_ESTALE));
}

Test(linear, times)
{
    LEGAL(claim(1, 1, 2, 100, 50); steal(2, 49, 51, 200); shown(1, 60, 61, LINEAR_CHECK, 100, APIARY_ESTALE));
    ILLEGAL(claim(1, 1, 2, 100, 50); steal(2, 30, 40, 200));
    ILLEGAL(claim(1, 1, 2, 100, 50); claim(2, 60, 61, 200, LINEAR_NEVER));
    LEGAL(claim(1, 1, 2, 100, 50); shown(1, 60, 61, LINEAR_CHECK, 100, APIARY_ESTALE));
    ILLEGAL(claim(1, 1, 2, 100, 50); shown(1, 60, 61, LINEAR_CHECK, 100, 0));
    LEGAL(claim(1, 1, 2, 100, 50); renewed(1, 60, 61, 100, 90); shown(1, 70, 71, LINEAR_CHECK, 100, 0));
    ILLEGAL(claim(1, 1, 2, 100, 50); renewed(1, 40, 41, 100, 90); steal(2, 60, 61, 200));
    ILLEGAL(claim(1, 1, 2, 100, 50); steal(2, 55, 56, 200); shown(1, 60, 61, LINEAR_RENEW, 100, 0));
    /* The one who steals has ended it, and another comes first. */
    LEGAL(claim(1, 1, 2, 100, 50); steal(2, 55, 66, 0); claim(3, 57, 58, 200, LINEAR_NEVER));
    LEGAL(claim(1, 1, 2, 100, 50); steal(2, 55, 66, 0); shown(1, 57, 58, LINEAR_RENEW, 100, APIARY_ESTALE);
          shown(1, 59, 60, LINEAR_RELEASE, 100, 0); claim(3, 61, 62, 200, LINEAR_NEVER));
    /* The check began before the time was over, but what it has seen began later. */
    LEGAL(claim(1, 60, 61, 100, 65); shown(2, 40, 90, LINEAR_CHECK, 100, 0));
    ILLEGAL(claim(1, 60, 61, 100, 55); shown(2, 40, 90, LINEAR_CHECK, 100, 0));
}

Test(linear, deaths)
{
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 6, 7, 200, LINEAR_NEVER));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 3, 4, 200, LINEAR_NEVER));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 10, 11, 0, 0));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(1, 5, 9, LINEAR_DIE, 0); shown(2, 10, 11, LINEAR_CHECK, 100, 0));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(3, 5, 9, LINEAR_DIE, 0); claim(2, 10, 11, 200, LINEAR_NEVER));
    LEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(1, 5, 9, LINEAR_DIE, 0); shown(2, 10, 11, LINEAR_RELEASE, 100, 0));
    ILLEGAL(claim(1, 1, 2, 100, LINEAR_NEVER); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 10, 11, 200, LINEAR_NEVER);
            shown(2, 12, 13, LINEAR_RELEASE, 100, 0));
}

Test(linear, stays)
{
    LEGAL(staying(1, 1, 2, 100, 50); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 10, 11, 0, 0); shown(3, 12, 13, LINEAR_CHECK, 100, 0));
    ILLEGAL(staying(1, 1, 2, 100, 50); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 10, 11, 200, LINEAR_NEVER));
    ILLEGAL(staying(1, 1, 2, 100, 50); add(1, 5, 9, LINEAR_DIE, 0); shown(3, 12, 13, LINEAR_CHECK, 100, APIARY_ESTALE));
    ILLEGAL(claim(1, 1, 2, 100, 50); add(1, 5, 9, LINEAR_DIE, 0); claim(2, 10, 11, 0, 0));
    /* Its time is over: nobody needs to steal it. */
    LEGAL(staying(1, 1, 2, 100, 50); claim(2, 51, 52, 200, LINEAR_NEVER));
    ILLEGAL(staying(1, 1, 2, 100, 50); claim(2, 51, 52, 0, 0));
    ILLEGAL(staying(1, 1, 2, 100, 50); found(2, 51, 52, 100));
    LEGAL(staying(1, 1, 2, 100, 50); shown(2, 51, 52, LINEAR_RENEW, 100, APIARY_ESTALE));
    ILLEGAL(staying(1, 1, 2, 100, 50); renewed(2, 51, 52, 100, 90));
    ILLEGAL(staying(1, 1, 2, 100, 50); shown(2, 41, 42, LINEAR_RENEW, 100, APIARY_ESTALE));
    LEGAL(staying(1, 1, 2, 100, 50); renewed(2, 41, 42, 100, 90); claim(2, 51, 52, 0, 0); claim(2, 91, 92, 200, LINEAR_NEVER));
    ILLEGAL(staying(1, 1, 2, 100, 50); renewed(2, 41, 42, 100, 90); claim(2, 51, 52, 200, LINEAR_NEVER));
    LEGAL(staying(1, 1, 2, 100, 50); shown(2, 41, 42, LINEAR_RENEW, 100, APIARY_EINVAL));
    ILLEGAL(claim(1, 1, 2, 100, 50); shown(2, 41, 42, LINEAR_RENEW, 100, APIARY_EINVAL));
    /* Until its call is answered it may be its lane's. */
    LEGAL(staying(1, 1, 70, 100, 50); claim(2, 51, 52, 0, 0); claim(2, 71, 72, 200, LINEAR_NEVER));
    LEGAL(staying(1, 1, 2, 100, 50); shown(2, 51, 52, LINEAR_RELEASE, 100, 0));
    LEGAL(staying(1, 1, 2, 100, 50); shown(2, 51, 52, LINEAR_RELEASE, 100, APIARY_ESTALE));
    ILLEGAL(staying(1, 1, 2, 100, 50); shown(2, 41, 42, LINEAR_RELEASE, 100, APIARY_ESTALE));
    ILLEGAL(staying(1, 1, 2, 100, 50); shown(2, 51, 52, LINEAR_RELEASE, 100, APIARY_ESTALE);
            shown(2, 53, 54, LINEAR_RELEASE, 100, 0));
    /* What was told of its end is not its ttl. */
    ILLEGAL(staying(1, 1, 2, 100, 50)->ttl = 60);
    ILLEGAL(claim(1, 1, 2, 100, 50); renewed(2, 41, 42, 100, LINEAR_NEVER)->ttl = 60);
}

/* A claim that was begun by a process that was killed: it ends with it. */
static void killed_claim(void)
{
    uint32_t death = (uint32_t)n;

    add(1, 5, 9, LINEAR_DIE, 0);
    pending(claim(1, 3, 9, 0, 0))->result = 0;
    ops[n - 1].before = death;
}

Test(linear, pending_claims)
{
    LEGAL(killed_claim(); claim(2, 4, 6, 0, 0));
    ILLEGAL(killed_claim(); claim(2, 1, 2, 0, 0));
    ILLEGAL(killed_claim(); claim(2, 10, 12, 0, 0));
    LEGAL(killed_claim(); claim(2, 10, 12, 200, LINEAR_NEVER));
    LEGAL(killed_claim(); found(2, 4, 6, 150); shown(3, 7, 8, LINEAR_CHECK, 150, 0));
    ILLEGAL(killed_claim(); found(2, 4, 6, 150); shown(3, 10, 11, LINEAR_CHECK, 150, 0));
    ILLEGAL(killed_claim(); found(2, 4, 6, 150); claim(2, 10, 12, 149, LINEAR_NEVER));
}

/* ---- without a search -------------------------------------------------------------------------------------------- */

Test(linear, two_tokens)
{
    uint64_t count;
    size_t two[2];

    n = 0;
    claim(1, 1, 2, 100, LINEAR_NEVER);
    shown(1, 3, 9, LINEAR_CHECK, 100, 0);
    claim(2, 5, 6, 200, LINEAR_NEVER);
    cr_expect_not(linear_two_tokens(ops, n, two, &count), "the check was begun before the other was granted");
    cr_expect_eq(count, 1);
    shown(1, 10, 11, LINEAR_CHECK, 100, APIARY_ESTALE);
    cr_expect_not(linear_two_tokens(ops, n, two, &count));
    shown(1, 12, 13, LINEAR_CHECK, 100, 0);
    cr_assert(linear_two_tokens(ops, n, two, &count));
    cr_expect_eq(two[0], 2);
    cr_expect_eq(two[1], 4);
}

/* ---- what is illegal of a long history ---------------------------------------------------------------------------- */

Test(linear, shrinks)
{
    struct linear_verdict v;
    size_t k;

    n = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        put(1, i * 10 + 1, i * 10 + 4, (int64_t)i, i + 1);
        get(2, i * 10 + 5, i * 10 + 9, i == 700 ? 650 : (int64_t)i, i == 700 ? 651 : i + 1);
        get(3, i * 10 + 6, i * 10 + 8, (int64_t)i, i + 1);
    }
    cr_assert_eq(judged(), 0);
    k = linear_shrink(ops, n, NODES);
    cr_expect_eq(k, 2, "%zu are left", k);
    cr_expect_eq(ops[0].kind, LINEAR_PUT);
    cr_expect_eq(ops[0].value, 700);
    cr_expect_eq(ops[1].value, 650);
    linear_check(ops, k, NODES, &v);
    cr_expect_eq(v.legal, 0);
}

Test(linear, gives_up_in_time)
{
    struct linear_verdict v;

    n = 0;
    for (uint32_t i = 0; i < 40; i++) killed_put(i + 2, 1, LINEAR_NEVER, i + 1);
    for (uint64_t i = 0; i < 20; i++) incr(1, 2 * i + 10, 2 * i + 11, 1, 1);
    linear_check(ops, n, 5000, &v);
    cr_expect_eq(v.legal, -1);
    cr_expect_leq(v.nodes, 5001 + 64);
}

/* ---- by chance --------------------------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t draw(uint64_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (seed >> 33) % below;
}

/* Whether some order of those that are not in `done` explains them: all orders are tried. */
static bool explained(uint32_t done, uint64_t now, struct linear_state state)
{
    bool all = true;

    for (uint32_t i = 0; i < n; i++) all = all && ((done >> i & 1) != 0 || ops[i].pending);
    if (all) return true;
    for (uint32_t i = 0; i < n; i++) {
        struct linear_state next = state;
        uint64_t then = ops[i].call > now ? ops[i].call : now;
        bool first = (done >> i & 1) == 0;

        /* A pending one that should have come before it never takes effect: it is done, too. */
        uint32_t missed = 0;
        for (uint32_t k = 0; k < n && first; k++) {
            if ((done >> k & 1) != 0 || ops[k].answered >= ops[i].call) continue;
            if (ops[k].pending) missed |= 1u << k;
            else first = false;
        }
        if (!first || !linear_step(&ops[i], then, &next)) continue;
        if (explained(done | missed | 1u << i, ops[i].pending ? now : then, next)) return true;
    }
    return false;
}

static void chance_memory(uint32_t process, uint64_t call, uint64_t answered)
{
    int64_t value = (int64_t)draw(3);
    uint64_t version = (uint64_t)value + 1;

    switch (draw(7)) {
    case 0: put(process, call, answered, value, version); break;
    case 1: get(process, call, answered, value, draw(3) == 0 ? 0 : version); break;
    case 2: killed_put(process, call, draw(2) == 0 ? LINEAR_NEVER : answered, value); break;
    case 3: cas(process, call, answered, draw(3) + 1, value, draw(3) == 0 ? 0 : version); break;
    case 4: add(process, call, answered, LINEAR_DELETE, draw(2) == 0 ? 0 : APIARY_ENOKEY); break;
    case 5: add(process, call, answered, LINEAR_TOUCH, draw(2) == 0 ? 0 : APIARY_ENOKEY); break;
    default: incr(process, call, answered, 1, value); break;
    }
    if (draw(2) == 0) ops[n - 1].ttl = draw(9);
}

static void chance_claim(uint32_t process, uint64_t call, uint64_t answered)
{
    uint64_t token = 1 + draw(3), until = draw(2) == 0 ? LINEAR_NEVER : answered + draw(9);

    switch (draw(7)) {
    case 0: claim(process, call, answered, token, until); break;
    case 6: staying(process, call, answered, token, answered + draw(9)); break;
    case 1: claim(process, call, answered, 0, 0); break;
    case 2: shown(process, call, answered, LINEAR_CHECK, token, draw(2) == 0 ? 0 : APIARY_ESTALE); break;
    case 3: shown(process, call, answered, LINEAR_RELEASE, token, draw(4) != 0 ? 0 : APIARY_ESTALE); break;
    case 4: steal(process, call, answered, token); break;
    default: add(process, call, answered, LINEAR_DIE, 0); break;
    }
}

Test(linear, as_by_all_orders)
{
    unsigned legal[2] = {0, 0};

    for (unsigned round = 0; round < 40000; round++) {
        unsigned claims = round & 1, count = 2 + (unsigned)draw(4);
        bool right;

        n = 0;
        for (unsigned i = 0; i < count; i++) {
            uint64_t call = 1 + draw(12), answered = call + 1 + draw(6);

            if (claims) chance_claim(1 + i % 3, call, answered);
            else chance_memory(1 + i % 3, call, answered);
        }
        cr_assert_eq(linear_sort(ops, n), 0);
        right = explained(0, 0, (struct linear_state){0});
        legal[claims] += right;
        if (judged() == right) continue;
        linear_print(stderr, ops, n);
        cr_assert_fail("round %u: it is %s", round, right ? "legal" : "illegal");
    }
    cr_expect(legal[0] > 1000 && legal[0] < 19000, "%u of memory were legal", legal[0]);
    cr_expect(legal[1] > 1000 && legal[1] < 19000, "%u of claims were legal", legal[1]);
}
