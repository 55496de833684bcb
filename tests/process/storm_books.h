/* tests/process/storm_books.h - what must be true when the storm is over. Part of storm.c. */
#ifndef STORM_BOOKS_H
#define STORM_BOOKS_H

#include "tests/process/storm.h"

/* ---- the books -------------------------------------------------------------------------------------------------- */

static int verify(void)
{
    pid_t pid = start((char *[]){"shmdump", segment, "--verify", NULL});
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

/* When all have left: anything that is not free is a leak. */
static unsigned leaks(void)
{
    struct ap_segment *seg;
    unsigned slots = 0, blocks = 0, leases = 0, lanes = 0, members = 0, tickets = 0;

    if (ap_registry_attach(segment, true, NULL, 0, &seg) < 0) die("%s is gone", segment);
    ap_reap_all(seg, AP_NO_LANE, &ap_registry_hooks);
    ap_sweep(seg, 0, &ap_registry_hooks);
    ap_kept_expire(seg, UINT64_MAX); /* of clients that are gone */
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_DEAD].count; i++) {
        uint64_t life = ap_load_acquire(&ap_dead_at(seg, i)->life);

        if (AP_DEAD_STATE(life) == AP_DEAD_KEPT) ap_dead_free(seg, i, life);
    }
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) slots += AP_WORD_STATE(ap_slot_at(seg, i)->word) != AP_TASK_FREE;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_BLOCKS].count; i++)
        blocks += *(uint64_t *)ap_at(seg, AP_SECTION_BLOCKS, i) != 0;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_SLABS].count; i++) leases += AP_LEASE_LANE(ap_slab_at(seg, i)->lease) != 0;
    for (uint64_t i = 0; i < seg->sections[AP_SECTION_RINGS].count; i++)
        leases += ((struct ap_ring *)ap_at(seg, AP_SECTION_RINGS, i))->lease != 0;
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) lanes += AP_LIFE_STATE(ap_lane_at(seg, i)->life) != AP_LIFE_FREE;
    for (uint32_t i = 0; i < seg->geometry.members; i++) members += AP_MEMBER_STATE(ap_member_at(seg, i)->life) != AP_LIFE_FREE;
    for (uint32_t i = 0; i < seg->sections[AP_SECTION_SERVICES].count; i++) tickets += ap_tickets_busy(seg, i);
    printf("left behind: %u slots, %u blocks, %u leases, %u lanes, %u members, %u tickets\n", slots, blocks, leases, lanes,
           members, tickets);
    ap_segment_unmap(seg);
    return slots + blocks + leases + lanes + members + tickets;
}

static void print_victims(void)
{
    uint64_t all = 0, none = victims[0][AP_TASK_STATES] + victims[1][AP_TASK_STATES];

    for (int who = 0; who < 2; who++) {
        printf("%s when killed:", who == 0 ? "queens" : "clients");
        for (uint32_t i = 0; i <= AP_TASK_STATES; i++)
            if (victims[who][i] != 0)
                printf(" %s %lu", i < AP_TASK_STATES ? ap_task_state_name(i) : "nothing in hand", (unsigned long)victims[who][i]);
        printf("\n");
        for (uint32_t i = 0; i <= AP_TASK_STATES; i++) all += victims[who][i];
    }
    printf("with a task in hand: %lu of %lu\n", (unsigned long)(all - none), (unsigned long)all);
}

static int balance(unsigned queen_kills, unsigned client_kills, unsigned strangers)
{
    uint64_t n = ap_load_relaxed(&shared->next), count[KNOWN] = {0}, unexecuted = 0, unknowing = 0, lost = 0, late_start = 0;
    int bad = 0;

    if (n > TASKS_MAX) n = TASKS_MAX;
    for (uint64_t i = 0; i < n; i++) {
        count[known[i] < KNOWN ? known[i] : 0]++;
        unexecuted += known[i] == COMPLETED && executed[i] == 0;
        late_start += known[i] == UNSTARTED && executed[i] != 0;
        /* Delegated, and its client was killed: it must have been executed all the same. */
        lost += known[i] == DELEGATED && executed[i] == 0;
    }
    /* A client may be killed with its next number in hand and nothing begun. */
    unknowing = count[NONE] + count[BEGUN] + count[DELEGATED] + count[OFFERED];
    printf("submitted %lu = completed %lu + had another's result %lu + failed %lu + ended as asked %lu + not started in time %lu + "
           "submitter died unknowing %lu\n", (unsigned long)n, (unsigned long)count[COMPLETED], (unsigned long)count[SHARED],
           (unsigned long)count[FAILED], (unsigned long)count[ENDED], (unsigned long)count[UNSTARTED], (unsigned long)unknowing);
    printf("completed twice %lu; wrong result %lu; completed without execution %lu; lost %lu; started too late %lu; calm failed "
           "%lu\n", (unsigned long)shared->doubled, (unsigned long)shared->wrong, (unsigned long)unexecuted, (unsigned long)lost,
           (unsigned long)late_start, (unsigned long)shared->calm_failed);
    for (int i = 0; i < 2; i++)
        printf("%s, first executions: %lu in the order of their client, %lu late\n", i == 0 ? "work" : "calm",
               (unsigned long)ap_load_relaxed(&order[i][0]), (unsigned long)ap_load_relaxed(&order[i][1]));
    for (int i = 0; i < 200; i++) {
        if (shared->codes[i] != 0) printf("failed with %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->codes[i]);
        if (shared->ends[i] != 0) printf("ended as asked, %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->ends[i]);
        if (shared->refused[i] != 0)
            printf("refused and retried, %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->refused[i]);
    }
    bad |= count[NONE] > client_kills || shared->doubled != 0 || shared->wrong != 0 || unexecuted != 0 || lost != 0;
    bad |= shared->calm_failed != 0 || late_start != 0;
    /* Nobody moves a task of a queue that was never closed. */
    bad |= ap_load_relaxed(&order[1][1]) != 0;
    bad |= unknowing > (uint64_t)client_kills * WINDOW + client_kills + (uint64_t)strangers * STRANGER_TASKS;
    /* A task fails only by three crashes of its own workers: none here crashes for its task's sake, but chance may. */
    bad |= count[FAILED] > queen_kills / 3;
    return bad;
}

/* What options and rules promise. */
static int balance_options(struct ap_segment *seg, unsigned queen_kills)
{
    const struct stormy_seen *s = seen;
    int frail = ap_capability_find(seg, "frail_echo", 10), work = ap_capability_find(seg, "work_echo", 9);
    const struct ap_terms *none = ap_terms_at(seg, 0), *hedges = work < 0 ? none : ap_terms_at(seg, (uint64_t)work);

    printf("started again: %lu that end at once, %lu that do not, %lu that had failed, %lu second copies, %lu children; without "
           "reason %lu\n", (unsigned long)s->again, (unsigned long)s->again_held, (unsigned long)s->retried,
           (unsigned long)s->copies, (unsigned long)s->children, (unsigned long)s->doubled);
    printf("parts read %lu, wrong %lu; hedged and answered %lu, twice %lu; second copies sent %lu, answered first %lu\n",
           (unsigned long)shared->parts, (unsigned long)shared->parts_wrong, (unsigned long)shared->answered,
           (unsigned long)shared->answered_twice, (unsigned long)hedges->hedged, (unsigned long)hedges->hedge_won);
    printf("admitted against the rules %lu, run against them %lu; gone to a fallback %lu; above their bound %lu; parents without "
           "a child %lu, children that were not run %lu\n", (unsigned long)shared->admitted, (unsigned long)s->trespassed,
           (unsigned long)(frail < 0 ? 0 : ap_terms_at(seg, (uint64_t)frail)->fell_back), (unsigned long)s->crowded,
           (unsigned long)s->childless, (unsigned long)s->unborn);
    /* A dead worker had one task in hand of those that end at once. */
    return s->again > queen_kills || s->doubled != 0 || shared->parts_wrong != 0 || shared->answered_twice != 0 ||
           shared->admitted != 0 || s->trespassed != 0 || s->crowded != 0 || s->unborn != 0;
}

#endif
