/* Kinds of agents as programs of other versions have them, and the sentence for each that is refused. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "core/atomic.h"
#include "core/sized.h"

static void handle(void *state, apiary_job_t *job)
{
    (void)state;
    (void)job;
}

static const apiary_agent_key_t keys[] = {{"one", 'i', 1, "the first", -3, 7}, {"two", 's', 0, NULL, 0, 0}, {.name = NULL}};
static const apiary_agent_kind_t kind = {APIARY_AGENT_KIND, .name = "kind", .what = "what it is", .keys = keys, .handle = handle};

/* As a later version may have them: one word more. */
struct later_key {
    apiary_agent_key_t key;
    uint64_t more;
};
struct later_kind {
    apiary_agent_kind_t kind;
    uint64_t more;
};

Test(kind, one_of_this_version_is_itself)
{
    const apiary_agent_kind_t *got = NULL;
    char message[8] = "as it is";

    cr_expect_eq(ap_agent_kind_adopt(&kind, &got, message, sizeof message), 0);
    cr_expect_eq(got, &kind);
    cr_expect_eq(memcmp(message, "as it is", 8), 0);
}

static void is_as_it_was(const apiary_agent_kind_t *got, const void *from)
{
    cr_assert_not_null(got);
    cr_expect_neq((const void *)got, from);
    cr_expect_eq(got->struct_size, sizeof *got);
    cr_expect_eq(got->abi, APIARY_AGENT_ABI);
    cr_expect_eq(got->key_size, sizeof *got->keys);
    cr_expect_str_eq(got->name, "kind");
    cr_expect_str_eq(got->what, "what it is");
    cr_expect_eq(got->handle, handle);
    cr_expect(got->create == NULL && got->destroy == NULL && got->capabilities == NULL);
}

static void has_the_keys(const apiary_agent_kind_t *got)
{
    cr_assert_not_null(got->keys);
    cr_expect_str_eq(got->keys[0].name, "one");
    cr_expect_eq(got->keys[0].type, 'i');
    cr_expect_eq(got->keys[0].required, 1);
    cr_expect_str_eq(got->keys[0].what, "the first");
    cr_expect(got->keys[0].min == -3 && got->keys[0].max == 7);
    cr_expect_str_eq(got->keys[1].name, "two");
    cr_expect_eq(got->keys[1].type, 's');
    cr_expect(got->keys[1].what == NULL && got->keys[1].min == 0 && got->keys[1].max == 0);
    cr_expect_null(got->keys[2].name);
}

/* Made once for each, whoever asks first. */
Test(kind, one_of_a_later_version_is_known_as_far_as_this_one_knows)
{
    struct later_key later_keys[] = {{keys[0], 0}, {keys[1], 0}, {{.name = NULL}, 0}};
    struct later_kind only_kind = {.more = 0}, only_keys = only_kind, both = only_kind, none = only_kind;
    struct later_kind *const all[] = {&only_kind, &only_keys, &both, &none};
    const apiary_agent_kind_t *got[4] = {NULL}, *again = NULL;
    char message[8] = "as it is";

    for (int i = 0; i < 4; i++) {
        all[i]->kind = kind;
        if (i != 1) all[i]->kind.struct_size = sizeof(struct later_kind);
        if (i == 1 || i == 2) all[i]->kind.key_size = sizeof(struct later_key);
        if (i == 1 || i == 2) all[i]->kind.keys = &later_keys[0].key;
        if (i == 3) all[i]->kind.keys = NULL;
        cr_assert_eq(ap_agent_kind_adopt(&all[i]->kind, &got[i], message, sizeof message), 0);
        cr_expect_eq(memcmp(message, "as it is", 8), 0);
        is_as_it_was(got[i], all[i]);
        if (i < 3) has_the_keys(got[i]);
        else cr_expect_null(got[i]->keys);
    }
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(ap_agent_kind_adopt(&all[i]->kind, &again, NULL, 0), 0);
        cr_expect_eq(again, got[i]);
        for (int k = 0; k < i; k++) cr_expect_neq(got[i], got[k]);
    }
}

enum { THREADS = 4, KINDS = 200 };
static struct later_kind together[KINDS];
static const apiary_agent_kind_t *all_got[THREADS][KINDS];
static uint32_t there;

static void *adopt_all(void *number)
{
    intptr_t me = (intptr_t)number;

    ap_add_acq_rel(&there, 1);
    while (ap_load_acquire(&there) != THREADS) sched_yield();
    for (int i = 0; i < KINDS; i++) cr_expect_eq(ap_agent_kind_adopt(&together[i].kind, &all_got[me][i], NULL, 0), 0);
    return NULL;
}

Test(kind, threads_that_ask_at_once_are_given_the_same)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < KINDS; i++) {
        together[i].kind = kind;
        together[i].kind.struct_size = sizeof together[0];
    }
    for (intptr_t i = 0; i < THREADS; i++) cr_assert_eq(pthread_create(&threads[i], NULL, adopt_all, (void *)i), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < KINDS; i++)
        for (int k = 1; k < THREADS; k++) cr_expect_eq(all_got[k][i], all_got[0][i]);
}

static void refused(const void *from, int error, const char *sentence)
{
    const apiary_agent_kind_t *got = &kind;
    char message[200] = "", small[10] = "";

    cr_expect_eq(ap_agent_kind_adopt(from, &got, message, sizeof message), error, "%s", sentence);
    cr_expect_str_eq(message, sentence);
    cr_expect_eq(ap_agent_kind_adopt(from, &got, NULL, 0), error);
    cr_expect_eq(ap_agent_kind_adopt(from, &got, small, 0), error);
    cr_expect_str_eq(small, "");
    cr_expect_eq(ap_agent_kind_adopt(from, &got, small, sizeof small), error);
    cr_expect_eq(strncmp(small, sentence, 6), 0);
    cr_expect_str_eq(small + 6, "...");
    cr_expect_eq(got, &kind, "untouched");
}

Test(kind, what_is_none_is_refused)
{
    static const char of_size[] = "its kind is of an older agent interface, or does not begin with APIARY_AGENT_KIND; "
                                  "build it again",
                      of_keys[] = "its kind's key_size is not that of apiary_agent_key_t; begin it with APIARY_AGENT_KIND";
    static const size_t bad[] = {0, 71, AP_FIRST_AGENT_KIND - 8, AP_SIZED_MAX + 8};
    static const uint32_t bad_keys[] = {0, AP_FIRST_AGENT_KEY - 8, AP_FIRST_AGENT_KEY + 1, AP_SIZED_MAX + 8};
    apiary_agent_kind_t k;
    char of_abi[128];

    refused(NULL, APIARY_EINVAL, "its kind is missing; apiary_kind has none of a name that it does not know");
    for (int i = 0; i < 4; i++) {
        k = kind;
        k.struct_size = bad[i];
        refused(&k, APIARY_EINVAL, of_size);
        k = kind;
        k.key_size = bad_keys[i];
        refused(&k, APIARY_EINVAL, of_keys);
    }
    for (uint32_t abi = APIARY_AGENT_ABI - 1; abi <= APIARY_AGENT_ABI + 1; abi += 2) {
        snprintf(of_abi, sizeof of_abi, "its kind is of agent interface %u, this program has %u; build it again", abi,
                 APIARY_AGENT_ABI);
        k = kind;
        k.abi = abi;
        refused(&k, APIARY_EINVAL, of_abi);
    }
    k = kind;
    k.name = NULL;
    refused(&k, APIARY_EINVAL, "its kind has no name");
    k.name = "";
    refused(&k, APIARY_EINVAL, "its kind has no name");
    k = kind;
    k.handle = NULL;
    refused(&k, APIARY_EINVAL, "its kind lacks handle");
}

/* A word that is not known means something. */
Test(kind, what_only_a_later_version_knows_is_refused)
{
    static const char sentence[] = "uses a field that only a newer version of this program has";
    static struct later_kind more = {.more = 1};
    struct later_key first[] = {{keys[0], 1}, {{.name = NULL}, 0}}, last[] = {{keys[0], 0}, {keys[1], 0}, {{.name = NULL}, 0}};
    apiary_agent_kind_t k = kind;

    more.kind = kind;
    more.kind.struct_size = sizeof more;
    refused(&more, APIARY_ENOTSUP, sentence);
    k.key_size = sizeof(struct later_key);
    k.keys = &first[0].key;
    refused(&k, APIARY_ENOTSUP, sentence);
    ((unsigned char *)&last[1].more)[7] = 1;
    k.keys = &last[0].key;
    refused(&k, APIARY_ENOTSUP, sentence);
}
