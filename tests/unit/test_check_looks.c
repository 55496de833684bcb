/* What the looks of the checkers are made of: each function of check.h with all that it finds, counts and returns. */
#include "check_fixture.h"

#include <limits.h>
#include <linux/futex.h>

#include "tests/support/inject.h"

TestSuite(check_looks, .init = setup);

/* All findings as text: severity, place behind `from`, rule and sentence of each. */
static const char *said(const void *from)
{
    static char text[2048];
    size_t n = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < all.count; i++) {
        const struct ap_finding *f = &all.list[i];

        cr_expect_str_eq(f->structure, "thing");
        cr_expect_eq(f->index, 5);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s at %lld: %s: %s", i > 0 ? "; " : "",
                              f->severity == AP_CORRUPT ? "corrupt" : "repairable",
                              (long long)((int64_t)f->offset - ((const uint8_t *)from - bytes)), f->rule, f->text);
    }
    return text;
}

static struct ap_report look(ap_look_fn fn)
{
    struct ap_report report = {.found = on_finding, .user = &all};

    memset(&all, 0x55, sizeof all);
    all.count = 0;
    ap_look_at(&d.seg, "thing", 5, fn, &report);
    cr_expect_eq(report.repairable + report.corrupt, all.count);
    return report;
}

/* ---- a finding ------------------------------------------------------------------------------------------------- */

static void look_two(struct ap_look *l)
{
    ap_look_found(l, AP_REPAIRABLE, bytes + 7, 1, "X1", "%s", "one");
    ap_look_found(l, AP_CORRUPT, bytes + 9, 1, "1234567", "%0200d", 0);
}

/* Byte for byte: what goes out is printed, compared and hashed. */
Test(check_looks, a_finding_is_padded_with_zeros)
{
    static struct ap_finding want = {.severity = AP_REPAIRABLE, .structure = "thing", .index = 5, .offset = 7, .rule = "X1",
                                     .text = "one"}; /* and zeros between them */
    struct ap_report report = look(look_two);

    cr_assert_eq(all.count, 2);
    cr_expect_eq(memcmp(&all.list[0], &want, sizeof want), 0);
    cr_expect_str_eq(all.list[1].rule, "1234567");
    cr_expect_eq(strlen(all.list[1].text), sizeof want.text - 1);
    cr_expect_str_eq(all.list[1].text + sizeof want.text - 4, "...");
    cr_expect_eq(report.repairable, 1);
    cr_expect_eq(report.corrupt, 1);
    report = (struct ap_report){.found = NULL};
    ap_look_at(&d.seg, "thing", 5, look_two, &report);
    cr_expect_eq(report.repairable, 1, "counted where nobody asks for them, too");
    cr_expect_eq(report.corrupt, 1);
}

static const char *long_name = "a-name-of-16-byt";

Test(check_looks, a_name_that_is_too_long_is_cut)
{
    struct ap_report report = {.found = on_finding, .user = &all};

    all.count = 0;
    ap_look_at(&d.seg, long_name, 5, look_two, &report);
    cr_expect_eq(all.count, 2);
    cr_expect_str_eq(all.list[0].structure, "a-name-of-16-by");
}

static void look_many(struct ap_look *l)
{
    for (unsigned i = 0; i < AP_LOOK_MAX + 3; i++) ap_look_found(l, AP_CORRUPT, bytes + i, i, "X1", "%u", i);
    cr_expect_eq(l->count, AP_LOOK_MAX);
}

Test(check_looks, no_more_findings_than_there_is_room_for)
{
    look(look_many);
    cr_assert_eq(all.count, AP_LOOK_MAX);
    for (unsigned i = 0; i < AP_LOOK_MAX; i++) cr_expect_eq(all.list[i].offset, i);
}

/* ---- how often ------------------------------------------------------------------------------------------------- */

static unsigned looks, patient_at; /* patient_at: bits of the looks that are patient */
static unsigned found_at[AP_LOOKS]; /* bits of the places that are found in each look */

static void look_planned(struct ap_look *l)
{
    unsigned at = looks++;

    cr_expect_not(l->patient, "each look begins without patience");
    cr_expect_eq(l->count, 0);
    cr_assert_lt(at, AP_LOOKS);
    l->patient = (patient_at >> at & 1) != 0;
    for (unsigned i = 0; i < 4; i++)
        if ((found_at[at] >> i & 1) != 0) ap_look_found(l, AP_CORRUPT, bytes + i, found_at[at] >> 4, "X1", "look %u", at);
}

static const char *planned(unsigned patience, const unsigned *found, unsigned count)
{
    looks = 0;
    patient_at = patience;
    for (unsigned i = 0; i < AP_LOOKS; i++) found_at[i] = found[i < count ? i : count - 1];
    look(look_planned);
    return said(bytes);
}

#define FOUND(...) (const unsigned[]){__VA_ARGS__}, sizeof((unsigned[]){__VA_ARGS__}) / sizeof(unsigned)

Test(check_looks, a_finding_stands_when_it_was_seen_twice_on_the_same_words)
{
    cr_expect_str_eq(planned(0, FOUND(0)), "");
    cr_expect_eq(looks, 1);
    cr_expect_str_eq(planned(0, FOUND(3)), "corrupt at 0: X1: look 1; corrupt at 1: X1: look 1");
    cr_expect_eq(looks, 2);
    cr_expect_str_eq(planned(0, FOUND(7, 4)), "corrupt at 2: X1: look 1", "what is gone is gone");
    cr_expect_eq(looks, 2);
    cr_expect_str_eq(planned(0, FOUND(1, 2)), "", "what is new was not seen before");
    cr_expect_eq(looks, 2);
    cr_expect_str_eq(planned(0, FOUND(0x13, 0x23)), "corrupt at 0: X1: look 2; corrupt at 1: X1: look 2", "other words at first");
    cr_expect_eq(looks, 3);
}

static uint64_t monotonic(void)
{
    return ap_ops_system.now();
}

static struct inject_count last;

static long naps(void)
{
    long before = last.naps;

    last = inject_count();
    return last.naps - before;
}

static long yields(void) /* before naps() */
{
    return inject_count().yields - last.yields;
}

/* Without patience others are let go on between the looks, with it two milliseconds pass. */
Test(check_looks, patience_looks_again_and_waits)
{
    uint64_t before = monotonic();

    naps();
    cr_expect_str_eq(planned(0xff, FOUND(1)), "corrupt at 0: X1: look 7");
    cr_expect_eq(looks, AP_LOOKS);
    cr_expect_geq(monotonic() - before, (AP_LOOKS - 1) * UINT64_C(2000000) - 1000000, "two milliseconds each");
    cr_expect_eq(yields(), 0);
    cr_expect_eq(naps(), AP_LOOKS - 1);
    cr_expect_str_eq(planned(1, FOUND(1)), "corrupt at 0: X1: look 1", "the last look says whether to go on");
    cr_expect_eq(looks, 2);
    cr_expect_eq(yields(), 0);
    cr_expect_eq(naps(), 1);
    cr_expect_str_eq(planned(2, FOUND(1)), "corrupt at 0: X1: look 2");
    cr_expect_eq(looks, 3);
    cr_expect_eq(yields(), 1);
    cr_expect_eq(naps(), 1);
    planned(0, FOUND(0x11, 0x21, 0x31, 0x41, 0x51, 0x61, 0x71, 0x81));
    cr_expect_eq(yields(), AP_LOOKS - 1);
    cr_expect_eq(naps(), 0);
}

/* What may be so for a moment, when somebody is in the middle of it, is waited for. */
#define PATIENT(field, value, how_often)                                          \
    do {                                                                          \
        __typeof__(field) patient_old = (field);                                  \
        (field) = (__typeof__(field))(value);                                     \
        naps();                                                                   \
        check();                                                                  \
        cr_expect_gt(all.count, 0, #field);                                       \
        cr_expect_eq(naps(), (how_often) * (AP_LOOKS - 1), #field " = " #value);  \
        (field) = patient_old;                                                    \
    } while (0)

Test(check_looks, what_may_be_so_for_a_moment)
{
    struct ap_lane *l = ap_lane_at(&d.seg, 2), *left = ap_lane_at(&d.seg, 3);
    struct ap_slot *slot = ap_slot_at(&d.seg, 0);

    while (AP_WORD_STATE(slot->word) != AP_TASK_QUEUED || slot->body == 0) slot++;
    PATIENT(l->kind, 0, 0);
    PATIENT(l->tid, 1u << 22, 1);
    PATIENT(left->life, AP_LIFE(0, AP_LIFE_DEAD), 1);
    PATIENT(left->member, 5, 1);
    PATIENT(slot->body, 1, 0);
    PATIENT(*(uint64_t *)ap_at(&d.seg, AP_SECTION_BLOCKS, ap_pool_number(&d.seg, slot->body)), 0, 1);
}

/* ---- words, zeros ---------------------------------------------------------------------------------------------- */

static uint64_t words[4] = {1, UINT64_MAX, 0, 0};
static size_t zeros;

static void look_words(struct ap_look *l)
{
    cr_expect_eq(ap_look_64(l, &words[1]), UINT64_MAX);
    cr_expect_eq(l->report->checked, 1);
    cr_expect_eq(ap_look_32(l, (const uint32_t *)&words[1]), UINT32_MAX);
    cr_expect_eq(l->report->checked, 2);
    cr_expect_eq(ap_look_16(l, (const uint16_t *)&words[1]), UINT16_MAX);
    cr_expect_eq(l->report->checked, 3);
}

static void look_zeros(struct ap_look *l)
{
    ap_look_zero(l, bytes + 100, zeros, "X1", "nothing");
}

static const char *zeros_said(size_t n, unsigned checked)
{
    zeros = n;
    cr_expect_eq(look(look_zeros).checked, checked, "%zu bytes", n);
    return said(bytes + 100);
}

Test(check_looks, words_are_counted)
{
    cr_expect_eq(look(look_words).checked, 3);
    memset(bytes + 100, 0, 20);
    cr_expect_str_eq(zeros_said(0, 0), "");
    cr_expect_str_eq(zeros_said(1, 1), "");
    cr_expect_str_eq(zeros_said(8, 1), "");
    cr_expect_str_eq(zeros_said(9, 2), "");
    bytes[100 + 8] = 0xab;
    bytes[100 + 7] = 1;
    cr_expect_str_eq(zeros_said(7, 1), "");
    cr_expect_str_eq(zeros_said(8, 2), "corrupt at 7: X1: nothing: a byte is 0x01; it must be 0");
    bytes[100 + 7] = 0;
    cr_expect_str_eq(zeros_said(8, 1), "");
    cr_expect_str_eq(zeros_said(16, 4), "corrupt at 8: X1: nothing: a byte is 0xab; it must be 0");
}

/* ---- texts ----------------------------------------------------------------------------------------------------- */

#define TEXT (bytes + 200)
static char got[24];
static size_t got_length;
static unsigned turns; /* how often the text has changed */

static void look_text(struct ap_look *l)
{
    memset(got, 0x7e, sizeof got);
    got_length = ap_look_text(l, (const char *)TEXT, 8, "X1", "it", got);
    for (size_t i = 8; i < sizeof got; i++) cr_expect_eq(got[i], 0x7e, "behind what is the caller's");
}

static void look_changing_text(struct ap_look *l)
{
    look_text(l);
    TEXT[3]++;
    turns++;
}

static const char *text_said(const char *eight, size_t length, const char *copy)
{
    memcpy(TEXT, eight, 8);
    look(look_text);
    cr_expect_eq(got_length, length, "%s: %zu", copy, got_length);
    cr_expect_str_eq(got, copy);
    return said(TEXT);
}

Test(check_looks, texts)
{
    cr_expect_str_eq(text_said("\0\0\0\0\0\0\0", 0, ""), "");
    cr_expect_str_eq(text_said("abc\0\0\0\0", 3, "abc"), "");
    cr_expect_str_eq(text_said("abcdefg", 7, "abcdefg"), "");
    cr_expect_str_eq(text_said(" ~\xc3\xbc\x80\xff\0", 6, " ~\xc3\xbc\x80\xff"), "");
    cr_expect_str_eq(text_said("abcdefgh", 7, "abcdefg"), "corrupt at 7: X1: it: it does not end in NUL");
    cr_expect_str_eq(text_said("a\x01" "c\x02\0\0\0", 4, "a?c?"), "corrupt at 1: X1: it: byte 0x01 does not print");
    cr_expect_str_eq(text_said("\x7f" "b\x1f\0\0\0\0", 3, "?b?"), "corrupt at 0: X1: it: byte 0x7f does not print");
    cr_expect_str_eq(text_said("a\0b\0\0\0\0", 1, "a"), "corrupt at 2: X1: it: byte 0x62 behind its end; it must be 0");
    cr_expect_str_eq(text_said("a\0\0\0\0\0\0z", 1, "a"), "corrupt at 7: X1: it: byte 0x7a behind its end; it must be 0");
    cr_expect_str_eq(text_said("\x02\0\0\0\0\x90\0", 1, "?"), "corrupt at 0: X1: it: byte 0x02 does not print; "
                                                             "corrupt at 5: X1: it: byte 0x90 behind its end; it must be 0");
    cr_expect_str_eq(text_said("abcd\nfgh", 7, "abcd?fg"), "corrupt at 7: X1: it: it does not end in NUL; "
                                                         "corrupt at 4: X1: it: byte 0x0a does not print");
    cr_expect_eq(look(look_text).checked, 2, "a word in each look");
}

/* The evidence is all of the text: of one that changes it is never the same twice. */
Test(check_looks, a_text_that_changes)
{
    memcpy(TEXT, "abcd\x01\0\0", 8);
    turns = 0;
    look(look_changing_text);
    cr_expect_eq(turns, AP_LOOKS);
    cr_expect_eq(all.count, 1);
}

/* ---- owners ---------------------------------------------------------------------------------------------------- */

static uint32_t owner_index;
static enum ap_owner owner;
static uint64_t owner_life;

static void look_owner(struct ap_look *l)
{
    owner_life = 77;
    owner = ap_look_owner(l, owner_index, &owner_life);
    cr_expect_eq(ap_look_owner(l, owner_index, NULL), owner);
}

static enum ap_owner owner_of(uint32_t lane, uint64_t life)
{
    owner_index = lane;
    look(look_owner);
    cr_expect_eq(owner_life, life, "lane %u: life %llx", lane, (unsigned long long)owner_life);
    return owner;
}

Test(check_looks, owners)
{
    struct ap_lane *lane = ap_lane_at(&d.seg, 2);
    uint32_t *lock = (uint32_t *)ap_robust_word(&lane->mutex), held = *lock;

    cr_expect_eq(owner_of(2, AP_LIFE(0, AP_LIFE_LIVE)), AP_OWNER_LIVE);
    *lock = FUTEX_OWNER_DIED;
    cr_expect_eq(owner_of(2, AP_LIFE(0, AP_LIFE_LIVE)), AP_OWNER_DEAD);
    *lock = held;
    lane->life = AP_LIFE(6, AP_LIFE_DEAD);
    cr_expect_eq(owner_of(2, lane->life), AP_OWNER_DEAD);
    lane->life = AP_LIFE(6, AP_LIFE_FREE);
    cr_expect_eq(owner_of(2, lane->life), AP_OWNER_FREE);
    lane->life = AP_LIFE(6, AP_LIFE_DEAD + 1);
    cr_expect_eq(owner_of(2, lane->life), AP_OWNER_FREE, "no state at all");
    cr_expect_eq(owner_of(11, 0), AP_OWNER_FREE);
    cr_expect_eq(owner_of(12, 77), AP_OWNER_ABSENT);
    cr_expect_eq(look(look_owner).checked, 0);
}

/* ---- times ----------------------------------------------------------------------------------------------------- */

static uint64_t now_seen;

static void look_time(struct ap_look *l)
{
    now_seen = ap_look_now(l);
}

static int boot_seen(void)
{
    return look(look_time).boot;
}

Test(check_looks, stamps_of_another_boot_are_not_compared)
{
    struct inject_count was = inject_count();
    uint64_t before = monotonic();

    cr_expect_eq(boot_seen(), 1);
    cr_expect_geq(now_seen, before);
    cr_expect_leq(now_seen, monotonic());
    for (unsigned i = 0; i < 16; i++) {
        header->boot_id[i] ^= 1;
        cr_expect_eq(boot_seen(), -1, "byte %u", i);
        cr_expect_eq(now_seen, UINT64_MAX);
        header->boot_id[i] ^= 1;
    }
    cr_expect_eq(inject_count().descriptors, was.descriptors);
    for (unsigned at = 1; at < 3; at++) {
        inject_begin(INJECT_OPEN | INJECT_FILE, at, false, EIO);
        cr_expect_eq(boot_seen(), -1, "a machine that does not say");
        cr_expect_not_null(inject_end());
    }
    cr_expect_eq(inject_count().descriptors, was.descriptors);
    cr_expect_eq(inject_count().closed, was.closed);
}

static uint64_t stamp;

static void look_date(struct ap_look *l)
{
    ap_look_date(l, &stamp, "X1", "it");
}

Test(check_looks, dates)
{
    const uint64_t minute = UINT64_C(60000000000), day = 1440 * minute;

    stamp = 0;
    cr_expect_eq(look(look_date).corrupt, 0);
    stamp = ap_ops_system.realtime() + minute;
    cr_expect_eq(look(look_date).corrupt, 0, "the clock may have been set");
    stamp = ap_ops_system.realtime() + day - minute;
    cr_expect_eq(look(look_date).corrupt, 0);
    stamp = UINT64_MAX;
    cr_expect_eq(look(look_date).corrupt, 1);
    cr_expect_str_eq(all.list[0].text, "it: 18446744073709551615 is in the future");
    stamp = ap_ops_system.realtime() + day + minute;
    cr_expect_eq(look(look_date).corrupt, 1);
}

/* ---- mutexes --------------------------------------------------------------------------------------------------- */

static uint32_t lock_seen;

static void look_mutex(struct ap_look *l)
{
    lock_seen = ap_look_mutex(l, &header->role, "X1");
}

static const char *mutex_said(uint32_t *at, uint32_t value)
{
    uint32_t old = *at, lock;

    *at = value;
    look(look_mutex);
    lock = *ap_robust_word(&header->role);
    cr_expect_eq(lock_seen, lock);
    *at = old;
    return said(at);
}

Test(check_looks, mutexes)
{
    uint32_t *lock = (uint32_t *)ap_robust_word(&header->role), *owner_word = (uint32_t *)&header->role.__data.__owner;
    uint32_t *count = &header->role.__data.__count, *kind = (uint32_t *)&header->role.__data.__kind;

    cr_expect_str_eq(mutex_said(lock, *lock), "");
    cr_expect_eq(look(look_mutex).checked, 4);
    cr_expect_str_eq(mutex_said(lock, 1u << 22), "");
    cr_expect_str_eq(mutex_said(lock, 0xc0000000 | 1u << 22), "");
    cr_expect_str_eq(mutex_said(lock, (1u << 22) + 1), "corrupt at 0: X1: the lock word 0x00400001 names no thread");
    cr_expect_str_eq(mutex_said(owner_word, 1u << 22), "");
    cr_expect_str_eq(mutex_said(owner_word, INT_MAX), "");
    cr_expect_str_eq(mutex_said(owner_word, INT_MAX - 1), "");
    cr_expect_str_eq(mutex_said(owner_word, (1u << 22) + 1), "corrupt at 0: X1: the mutex' owner 0x00400001 is not a thread");
    cr_expect_str_eq(mutex_said(owner_word, INT_MAX - 2), "corrupt at 0: X1: the mutex' owner 0x7ffffffd is not a thread");
    cr_expect_str_eq(mutex_said(owner_word, 0x80000000u), "corrupt at 0: X1: the mutex' owner 0x80000000 is not a thread");
    cr_expect_str_eq(mutex_said(count, 1), "");
    cr_expect_str_eq(mutex_said(count, 2), "corrupt at 0: X1: the mutex' count is 2; at most 1");
    cr_expect_str_eq(mutex_said(kind, 0), "corrupt at 0: X1: the mutex' kind is 0x0, not 0x90");
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

/* Every part of a check is there: the header's, that it has not changed, and each part's. */
Test(check_looks, all_is_checked)
{
    struct ap_report report = {.found = on_finding, .user = &all}, apart = {.found = NULL};

    all.count = 0;
    memcpy(d.seg.sections, header->sections, sizeof header->sections); /* as attach has them */
    ap_check_all(&d.seg, &report);
    cr_assert_eq(report.corrupt + report.repairable, 0, "%s", first_text());
    ap_header_check(d.seg.base, d.seg.size, d.seg.parts, d.seg.fingerprint, &apart);
    cr_expect_gt(apart.checked, 200);
    ap_parts_check(&d.seg, 0, d.seg.parts->count, &apart);
    cr_expect_eq(report.checked, apart.checked);
    header->geometry.task_timeout++;
    header->sections[3].reserved = 1;
    ap_check_all(&d.seg, &report);
    cr_expect_not_null(find("header", 0, &header->geometry, "S12"), "%s", first_text());
    cr_expect_not_null(find("header", 0, header->sections, "S12"));
    cr_expect_eq(report.corrupt, 3, "%s", first_text());
}
