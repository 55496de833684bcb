/* Names, capabilities, hash. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/apiary.h"
#include "core/name.h"

Test(name, what_is_a_name)
{
    static const char *const good[] = {"a", "ai_service", "a9", "x.y-z", "cache-manager.2"};
    static const char *const bad[] = {"",    "9a",   "_a", "-a",  ".a",       "A",         "aB",    "a b",
                                      "a/b", "a\tb", "a@", "a@1", "\xc3\xa4", "a\xc3\xa4", "a\x80", "a:b"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(ap_name_valid(good[i], APIARY_NAME_MAX), "'%s'", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(ap_name_valid(bad[i], APIARY_NAME_MAX), "'%s'", bad[i]);
    cr_expect_not(ap_name_valid(NULL, APIARY_NAME_MAX));
}

Test(name, length_is_bounded)
{
    char name[APIARY_CAPABILITY_MAX + 3];

    memset(name, 'a', sizeof name);
    name[APIARY_NAME_MAX] = '\0';
    cr_expect(ap_name_valid(name, APIARY_NAME_MAX));
    cr_expect_not(ap_name_valid(name, APIARY_NAME_MAX - 1));
    name[APIARY_NAME_MAX] = 'a';
    name[APIARY_NAME_MAX + 1] = '\0';
    cr_expect_not(ap_name_valid(name, APIARY_NAME_MAX));
    name[APIARY_NAME_MAX + 1] = 'a';
    name[APIARY_CAPABILITY_MAX] = '\0';
    cr_expect(ap_capability_valid(name));
    memcpy(name + APIARY_CAPABILITY_MAX - 2, "@1", 3);
    cr_expect(ap_capability_valid(name));
    memcpy(name + APIARY_CAPABILITY_MAX - 1, "@1", 3);
    cr_expect_not(ap_capability_valid(name));
}

Test(name, never_reads_past_the_bound)
{
    /* Not ended: only strnlen within max + 1 bytes is allowed to look at it. */
    char name[APIARY_NAME_MAX + 1];
    memset(name, 'a', sizeof name);
    cr_expect_not(ap_name_valid(name, APIARY_NAME_MAX));
}

Test(name, what_is_a_capability)
{
    static const char *const good[] = {"cache", "cache@1", "cache@65535", "llm.route@10", "a@9"};
    static const char *const bad[] = {
        "",         "@1",       "cache@",    "cache@0",  "cache@01",    "cache@65536",  "cache@-1",         "cache@+1",
        "cache@1x", "cache@@1", "cache@1@2", "cache@ 1", "cache@99999", "cache@100000", "cache@4294967297", "Cache@1",
        "9@1"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(ap_capability_valid(good[i]), "'%s'", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(ap_capability_valid(bad[i]), "'%s'", bad[i]);
    cr_expect_not(ap_capability_valid(NULL));
}

Test(name, hash_is_xxh3_and_never_0)
{
    /* The published value of XXH3 (64 bits, seed 0) of nothing: the hash is part of the layout of a segment. */
    cr_expect_eq(ap_hash("", 0), UINT64_C(0x2d06800538d394c2));
    cr_expect_neq(ap_hash("a", 1), ap_hash("b", 1));
    cr_expect_eq(ap_hash("cache", 5), ap_hash("cache@1", 5));
    for (uint32_t i = 0; i < 100000; i++)
        cr_assert_neq(ap_hash(&i, sizeof i), 0);
}
