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
    uint64_t n = ap_load_relaxed(&shared->next), count[5] = {0}, extra = 0, unexecuted = 0, unknowing = 0;
    uint64_t lost = 0;
    int bad = 0;

    if (n > TASKS_MAX) n = TASKS_MAX;
    for (uint64_t i = 0; i < n; i++) {
        count[known[i] <= FAILED ? known[i] : 0]++;
        if (executed[i] > 1) extra += executed[i] - 1u;
        if (known[i] == COMPLETED && executed[i] == 0) unexecuted++;
        /* Delegated, and its client was killed: it must have been executed all the same. */
        if (known[i] == DELEGATED && executed[i] == 0) lost++;
    }
    /* A client may be killed with its next number in hand and nothing begun. */
    unknowing = count[NONE] + count[BEGUN] + count[DELEGATED];
    printf("submitted %lu = completed %lu + failed %lu + submitter died unknowing %lu\n", (unsigned long)n,
           (unsigned long)count[COMPLETED], (unsigned long)count[FAILED], (unsigned long)unknowing);
    printf("extra executions %lu; completed twice %lu; wrong result %lu; completed without execution %lu; lost %lu; calm failed "
           "%lu\n", (unsigned long)extra, (unsigned long)shared->doubled, (unsigned long)shared->wrong,
           (unsigned long)unexecuted, (unsigned long)lost, (unsigned long)shared->calm_failed);
    for (int i = 0; i < 2; i++)
        printf("%s, first executions: %lu in the order of their client, %lu late\n", i == 0 ? "work" : "calm",
               (unsigned long)ap_load_relaxed(&order[i][0]), (unsigned long)ap_load_relaxed(&order[i][1]));
    for (int i = 0; i < 200; i++) {
        if (shared->codes[i] != 0) printf("failed with %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->codes[i]);
        if (shared->refused[i] != 0)
            printf("refused and retried, %s: %lu\n", apiary_error_name(-i), (unsigned long)shared->refused[i]);
    }
    bad |= count[NONE] > client_kills || shared->doubled != 0 || shared->wrong != 0 || unexecuted != 0 || lost != 0;
    bad |= shared->calm_failed != 0;
    /* Nobody moves a task of a queue that was never closed. */
    bad |= ap_load_relaxed(&order[1][1]) != 0;
    bad |= unknowing > (uint64_t)client_kills * WINDOW + client_kills + (uint64_t)strangers * STRANGER_TASKS;
    /* What a dead worker had started is started again: it has one task in hand at a time, as this agent finishes at once. */
    bad |= extra > queen_kills;
    /* A task fails only by three crashes of its own workers: none here crashes for its task's sake, but chance may. */
    bad |= count[FAILED] > queen_kills / 3;
    return bad;
}

#endif
