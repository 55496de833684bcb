/* tests/unit/test_check_supervised.c - each rule of what supervisors say broken once, by hand. */
#include "check_fixture.h"

TestSuite(check_supervised, .init = setup);

/* Of the two records the one that is not current may be anything: what a dead supervisor had half written. */
Test(check_supervised, each_field_is_judged)
{
    struct ap_supervised *s = ap_supervised_at(&d.seg, 0);
    struct ap_supervision *r = (void *)s->record[s->turn % 2], *other = (void *)s->record[(s->turn + 1) % 2];

    SOUND(other->state, 99);
    SOUND(other->said[3], '\n');
    CORRUPTS(s->life, AP_SUPERVISED_LIFE(2, 0, 77), "supervised", 0, "J1");
    CORRUPTS(s->life, AP_SUPERVISED_LIFE(2, 4000, AP_SUPERVISED_HELD), "supervised", 0, "J1");
    CORRUPTS(s->service[0], '\n', "supervised", 0, "J2");
    CORRUPTS(s->supervisor, 0, "supervised", 0, "J3");
    CORRUPTS(s->held, UINT64_MAX, "supervised", 0, "J3");
    CORRUPTS(r->state, 99, "supervised", 0, "J3");
    CORRUPTS(r->pid, 1, "supervised", 0, "J3");
    CORRUPTS(r->end, 9, "supervised", 0, "J3");
    CORRUPTS(r->stage, 0, "supervised", 0, "J3");
    CORRUPTS(r->ended, 0, "supervised", 0, "J3");
    CORRUPTS(r->ended, UINT64_MAX, "supervised", 0, "J3");
    CORRUPTS(r->said_size, 2, "supervised", 0, "J3");
    CORRUPTS(r->said_size, 8, "supervised", 0, "J3");
    SOUND(r->said_size, 0x10000);
    CORRUPTS(r->said[2], 1, "supervised", 0, "J3");
    CORRUPTS(s->reserved1[1], 1, "supervised", 0, "J4");
    CORRUPTS(s->reserved2[1], 1, "supervised", 0, "J4");
    s->life = AP_SUPERVISED_LIFE(3, 0, AP_SUPERVISED_ORPHANED);
    s->left = AP_LEFT(2, 1000000);
    CORRUPTS(s->left, AP_LEFT(1, 1000000), "supervised", 0, "J3");
}
