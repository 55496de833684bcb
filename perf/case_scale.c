/* perf/case_scale.c - the same round trips in a segment of small tables and in one of large ones, block by block. */
#include "perf/step.h"
#include "registry/client/client.h"

#define BODY 64u

struct place {
    apiary_t *a;
    uint8_t body[BODY];
    uint64_t number;
    struct perf_queen queen;
};

static void case_scale_turn(void *state, struct perf_block *b)
{
    struct place *p = state;

    perf_block_begin(b);
    do {
        apiary_result_t result = {.struct_size = sizeof result};
        apiary_task_t task;
        uint64_t number;

        perf_body_number(p->body, BODY, ++p->number);
        perf_must(apiary_delegate(p->a, PERF_CAPABILITY, p->body, BODY, NULL, &task), "delegate");
        perf_must(apiary_await(p->a, task, APIARY_FOREVER, &result), "await");
        perf_must(result.code, "the agent");
        if (result.size != BODY || !perf_body_check(result.data, BODY, &number) || number != p->number)
            perf_die("scale: a result is not what was sent");
        perf_must(apiary_release(p->a, &result), "release");
    } while (perf_block_did(b, 1));
    perf_block_end(b);
}

static void case_scale_place_make(struct place *p, unsigned segment, const struct ap_geometry *g, struct perf_result *r,
                                  const char *which)
{
    uint64_t size = perf_segment_make(segment, g, 0, 0);

    perf_result_row(r, "B", (double)size, "%s: segment of %u members, %u tasks", which, g->members, g->tasks);
    perf_body_make(p->body, BODY);
    p->queen = (struct perf_queen){.segment = segment, .service = "perf"};
    perf_queen_start(&p->queen, -1);
}

/* Submit, claim, complete, collect, discover and route, each once: what they cost must not depend on the size of the tables. */
static void count_steps(struct perf_result *r)
{
    static const struct perf_tables points[] = {{.members = 16, .tasks = 1024},
                                                {.members = 1024, .tasks = 1024},
                                                {.members = 16, .tasks = 1000000 / 64 * 64},
                                                {.members = 1024, .tasks = 1000000 / 64 * 64}};
    double least = 0, most = 0;

    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        double instructions, lines;
        char why[160];

        if (!perf_step_count(PERF_STEPS, points[i], &instructions, &lines, why, sizeof why)) {
            perf_result_missing(r, "instructions", "%s", why);
            return;
        }
        perf_result_row(r, "", instructions, "instructions of a task's steps: %u members, %u tasks", points[i].members,
                        points[i].tasks);
        perf_result_row(r, "", lines, "cache lines of a task's steps: %u members, %u tasks", points[i].members, points[i].tasks);
        if (i == 0 || instructions < least) least = instructions;
        if (instructions > most) most = instructions;
    }
    perf_result_row(r, "", most / least, "instructions of a task's steps, most by least");
}

/* The same with more and more services in the index, and ten entries of each. */
static void count_services(struct perf_result *r)
{
    static const unsigned services[] = {10, 100, 1000, 10000};
    double least = 0, most = 0;

    for (size_t i = 0; i < sizeof services / sizeof *services; i++) {
        double all, submit, discover, lines;
        char why[160];
        const struct perf_tables t = {.members = 16, .tasks = 1024, .services = services[i]};

        if (!perf_step_count(PERF_STEPS, t, &all, &lines, why, sizeof why) ||
            !perf_step_count(PERF_SUBMIT, t, &submit, &lines, why, sizeof why) ||
            !perf_step_count(PERF_DISCOVER, t, &discover, &lines, why, sizeof why)) {
            perf_result_missing(r, "services", "%s", why);
            return;
        }
        perf_result_row(r, "", all, "instructions of a task's steps: %u services, %u entries", services[i], services[i] * 10);
        perf_result_row(r, "", submit, "instructions of submit: %u services", services[i]);
        perf_result_row(r, "", discover, "instructions of discover: %u services", services[i]);
        if (i == 0 || all < least) least = all;
        if (all > most) most = all;
    }
    perf_result_row(r, "", most / least, "instructions of a task's steps by services, most by least");
}

/* The least payload pool: what grows is the tables. */
void perf_case_scale(const struct perf_case *c, struct perf_result *r)
{
    static struct place places[2];
    static const struct ap_geometry small = {.members = 16, .lanes = 32, .tasks = 1024, .queues = 16},
                                    large = {.members = 1024, .lanes = 2048, .tasks = 1000000 / 64 * 64, .queues = 128};
    struct perf_contestant all[3] = {
        {.name = "apiary", .setting = "large tables", .state = &places[0], .turn = case_scale_turn},
        {.name = "raw", .turn = perf_raw_turn},
        {.name = "small", .setting = "the same with small tables", .state = &places[1], .turn = case_scale_turn}};

    (void)c;
    count_steps(r);
    count_services(r);
    perf_expect_end(false);
    case_scale_place_make(&places[0], 0, &large, r, "large");
    case_scale_place_make(&places[1], 1, &small, r, "small");
    all[1].state = perf_raw_open(perf_options.pinned ? perf_options.server : -1);
    places[0].a = perf_attach(0, NULL);
    places[1].a = perf_attach(1, NULL);
    if (perf_options.pinned) perf_pin(perf_options.client);
    perf_blocks(r, all, 3);
    perf_result_note(r, "both queens' workers are left free; the one that has no turn sleeps");
}
