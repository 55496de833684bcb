/* tests/unit/shm_fixture.h - a small segment for the suites of shm/. */
#ifndef SHM_FIXTURE_H
#define SHM_FIXTURE_H

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/part.h"
#include "shm/reap.h"
#include "tests/support/leftovers.h"

static struct ap_segment *seg;
static char seg_name[64];

/* The name of another segment, of this process alone: tests of one program run beside each other, and builds do. */
static inline const char *own_name(void)
{
    static char own[64];

    snprintf(own, sizeof own, "/apiary-own-%d", (int)getpid());
    return own;
}


static inline void fixture_make(uint32_t tasks, uint32_t depth, uint32_t inlets)
{
    struct ap_segment_options o = {.name = seg_name};
    char message[256] = "";

    leftovers_clear("apiary-unit");
    leftovers_clear("apiary-own");
    snprintf(seg_name, sizeof seg_name, "/apiary-unit-%d", (int)getpid());
    shm_unlink(seg_name);
    o.geometry = (struct ap_geometry){.members = 8, .lanes = 16, .tasks = tasks, .queues = 4, .queue_depth = depth,
                                      .queue_inlets = inlets, .pool_blocks = {8, 4, 2, 1, 1, 1, 1}, .events = 64,
                                      .member_share = 100, .kept_share = 100};
    cr_assert_eq(ap_segment_create(&o, &ap_shm_parts, message, sizeof message, &seg), 0, "%s", message);
}

static inline void fixture_setup(void)
{
    fixture_make(128, 8, 2);
}

static inline void fixture_teardown(void)
{
    ap_segment_unmap(seg);
    shm_unlink(seg_name);
}

static inline struct ap_segment *fixture_again(void)
{
    struct ap_segment *other = NULL;
    char message[256] = "";

    cr_assert_eq(ap_segment_attach(seg_name, true, &ap_shm_parts, message, sizeof message, &other), 0, "%s", message);
    return other;
}

/* Runs `body` in a child with its own mapping and a lane, which then dies by SIGKILL without leaving. Returns the lane. */
static inline uint32_t fixture_die(void (*body)(struct ap_segment *, struct ap_lane_handle *))
{
    int ends[2], status;
    uint32_t lane = AP_NO_LANE;
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        struct ap_segment *own = NULL;
        struct ap_lane_handle h;
        if (ap_segment_attach(seg_name, true, &ap_shm_parts, NULL, 0, &own) < 0 ||
            ap_member_open(own, "child", NULL, APIARY_CLIENT, &h) < 0 ||
            write(ends[1], &h.index, sizeof h.index) != sizeof h.index)
            _exit(1);
        if (body != NULL) body(own, &h);
        kill(getpid(), SIGKILL);
    }
    cr_assert_eq(read(ends[0], &lane, sizeof lane), (ssize_t)sizeof lane);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    close(ends[0]);
    close(ends[1]);
    return lane;
}

static inline uint64_t word_of(uint32_t slot)
{
    return ap_load_acquire(&ap_slot_at(seg, slot)->word);
}

static inline uint32_t state_of(uint32_t slot)
{
    return AP_WORD_STATE(word_of(slot));
}

#endif
