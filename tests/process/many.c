/* many - ten thousand services of a few processes: many SEGMENT SERVICES PROCESSES
 *   1 A segment is made that has room for so many services. Processes register them, each its share, every service with one agent
 *     of ten capabilities. Each capability has five providers, so there are ten entries for each service.
 *   2 A watch is told of each registration once. A second one finds all of them present. Each entry is found.
 *   3 One of the processes is killed. The watch is told that each of its services has died, once, and of no other. Their entries
 *     are not alive, all others are.
 *   4 It is started again, and has what it had. One service more is refused.
 *   5 All leave.
 * Prints what each took. Exit 1 with a line when something is not so. As `many queen SEGMENT ALL FROM COUNT` and `many monitor
 * SEGMENT ALL 0 0` it is one of the others: "ready" is printed, and it ends with its input. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/apiary/discovery.h"
#include "registry/client/client.h"
#include "registry/discovery/discovery.h"
#include "registry/monitor/monitor.h"

#define EACH 10u      /* capabilities of a service */
#define PROVIDERS 5u  /* of a capability */
#define PROCESSES 16u

static const char *segment;
static unsigned services;

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    _exit(1);
}

static void must(int r, const char *what)
{
    if (r < 0) die("%s: %s", what, apiary_strerror(r));
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double ms_since(uint64_t began)
{
    return (double)(now() - began) / 1e6;
}

static apiary_t *attach(enum apiary_member_kind kind)
{
    char message[256] = "";
    apiary_attach_options_t o = {.struct_size = sizeof o, .name = "many", .kind = kind, .message = message,
                                 .message_size = sizeof message};
    apiary_t *a = NULL;

    if (apiary_attach(segment, &o, &a) < 0) die("attach: %s", message);
    return a;
}

static void ready(void)
{
    printf("ready\n");
    fflush(stdout);
}

static void capability_name(char ret[32], unsigned i)
{
    snprintf(ret, 32, "area%u.capability-%u", i % 97, i);
}

/* ---- a process with many services ------------------------------------------------------------------------------- */

struct one {
    char service[24], names[EACH][32];
    const char *capabilities[EACH + 1];
    struct ap_agent_registration agent;
    struct ap_swarm_registration swarm;
};

static int enrol(apiary_t *a, struct one *s, unsigned number)
{
    snprintf(s->service, sizeof s->service, "service-%u", number);
    for (unsigned k = 0; k < EACH; k++) {
        capability_name(s->names[k], (number * EACH + k) % (services * EACH / PROVIDERS));
        s->capabilities[k] = s->names[k];
    }
    s->agent = (struct ap_agent_registration){.name = "agent", .capabilities = s->capabilities, .lane = a->anchor->lane.index};
    s->swarm = (struct ap_swarm_registration){.service = s->service, .lane = a->anchor->lane.index, .member = a->member,
                                              .agents = &s->agent, .agent_count = 1};
    return ap_swarm_register(a->seg, &s->swarm);
}

static void queen(unsigned from, unsigned count)
{
    struct one *all = calloc(count, sizeof *all);
    apiary_t *a = attach(APIARY_QUEEN);
    uint64_t began = 0;

    if (all == NULL) die("out of memory");
    for (unsigned i = 0; i < count; i++) {
        if (i + 100 == count) began = now();
        must(enrol(a, &all[i], from + i), all[i].service);
    }
    if (began != 0) fprintf(stderr, "  each of the last 100 registrations of %u: %.3f ms\n", count, ms_since(began) / 100);
    ready();
    if (getchar() != EOF) die("a line to a queen");
    began = now();
    for (unsigned i = 0; i < count; i++) ap_swarm_deregister(a->seg, a->anchor->lane.index, &all[i].swarm);
    fprintf(stderr, "  each of %u that leave: %.3f ms\n", count, ms_since(began) / count);
    must(apiary_detach(a), "detach");
    free(all);
}

static void monitor(void)
{
    apiary_t *a = attach(APIARY_TOOL);
    struct ap_monitor *m;

    must(ap_monitor_start(a->seg, a->member, &m), "monitor");
    ready();
    if (getchar() != EOF) die("a line to a monitor");
    ap_monitor_stop(m);
    must(apiary_detach(a), "detach");
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

struct process {
    pid_t pid;
    int in;
    FILE *out;
};

static void process_start(struct process *p, const char *what, unsigned from, unsigned count)
{
    char number[2][16];
    int in[2], out[2];

    snprintf(number[0], sizeof number[0], "%u", from);
    snprintf(number[1], sizeof number[1], "%u", count);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) die("pipe: %s", strerror(errno));
    p->pid = fork();
    if (p->pid < 0) die("fork: %s", strerror(errno));
    if (p->pid == 0) {
        char all[16];

        snprintf(all, sizeof all, "%u", services);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl("/proc/self/exe", "many", what, segment, all, number[0], number[1], (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    p->in = in[1];
    p->out = fdopen(out[0], "r");
}

static void process_ready(struct process *p)
{
    char line[16];

    if (fgets(line, sizeof line, p->out) == NULL || strcmp(line, "ready\n") != 0) die("process %d is not ready", (int)p->pid);
}

static void process_end(struct process *p)
{
    int status;

    close(p->in);
    if (waitpid(p->pid, &status, 0) != p->pid || status != 0) die("process %d has ended with %d", (int)p->pid, status);
    fclose(p->out);
}

static void process_kill(struct process *p)
{
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    close(p->in);
    fclose(p->out);
}

/* ---- what a watch is told ----------------------------------------------------------------------------------------- */

static unsigned service_number(const apiary_instance_t *i)
{
    unsigned number;

    if (sscanf(i->service, "service-%u", &number) != 1 || number >= services) die("told of \"%s\"", i->service);
    return number;
}

/* The next `count` changes are `event`, each of another service of from..from+count-1. */
static void told(apiary_instance_watch_t *w, uint64_t event, unsigned from, unsigned count)
{
    bool *seen = calloc(services, sizeof *seen);
    apiary_instance_change_t change = {.struct_size = sizeof change};
    apiary_instance_t instance = {.struct_size = sizeof instance};

    if (seen == NULL) die("out of memory");
    for (unsigned n = 0; n < count; n++) {
        unsigned number;

        must(apiary_instance_next(w, APIARY_FOREVER, &change, &instance), "watch");
        if (event == APIARY_INSTANCE_LEFT && change.event == APIARY_INSTANCE_MODE) { /* it drains first */
            number = service_number(&instance);
            must(apiary_instance_next(w, APIARY_FOREVER, &change, &instance), "watch");
            if (service_number(&instance) != number) die("%s between the drain and the end of another", instance.service);
        }
        if (change.event != event) die("told %u of %u: event %" PRIu64 " of %s", n, count, change.event, instance.service);
        number = service_number(&instance);
        if (number < from || number >= from + count) die("event %" PRIu64 " of %s", event, instance.service);
        if (seen[number]) die("told of %s twice", instance.service);
        seen[number] = true;
    }
    free(seen);
}

static void told_synced(apiary_instance_watch_t *w)
{
    apiary_instance_change_t change = {.struct_size = sizeof change};
    apiary_instance_t instance = {.struct_size = sizeof instance};

    must(apiary_instance_next(w, APIARY_FOREVER, &change, &instance), "watch");
    if (change.event != APIARY_INSTANCE_SYNCED) die("event %" PRIu64 " where the present set ends", change.event);
}

static void told_nothing(apiary_instance_watch_t *w)
{
    apiary_instance_change_t change = {.struct_size = sizeof change};
    apiary_instance_t instance = {.struct_size = sizeof instance};

    if (apiary_instance_next(w, 0, &change, &instance) != 0) die("event %" PRIu64 " of %s", change.event, instance.service);
}

static apiary_instance_watch_t *watch(apiary_t *a)
{
    apiary_instance_watch_t *w = NULL;

    must(apiary_instance_watch(a, NULL, 0, &w), "watch");
    return w;
}

/* ---- what is found ------------------------------------------------------------------------------------------------ */

/* Asks for each capability: there are `entries`, and those of the services dead..dead+count-1 are not alive. */
static void found(apiary_t *a, unsigned entries, unsigned dead, unsigned count)
{
    unsigned names = services * EACH / PROVIDERS, rows = 0, alive = 0;
    apiary_provider_t all[2 * PROVIDERS];
    uint64_t began = now();

    for (unsigned i = 0; i < names; i++) {
        char name[32];
        int n;

        capability_name(name, i);
        all[0].struct_size = sizeof all[0];
        n = apiary_discover(a, name, all, 2 * PROVIDERS);
        if (n < 0 || n > (int)PROVIDERS) die("discover %s: %d", name, n);
        for (int k = 0; k < n; k++) {
            unsigned number;

            if (sscanf(all[k].service, "service-%u", &number) != 1) die("%s is provided by \"%s\"", name, all[k].service);
            if (all[k].alive == (number >= dead && number < dead + count))
                die("%s of %s: alive %u", name, all[k].service, (unsigned)all[k].alive);
            if (number % (names / EACH) != i / EACH) die("%s is provided by %s", name, all[k].service);
            alive += all[k].alive;
        }
        rows += (unsigned)n;
    }
    printf("  %u entries, %u alive, of %u capabilities: each of these is found in %.0f ns\n", rows, alive, names,
           ms_since(began) * 1e6 / names);
    if (rows != entries || alive != entries - count * EACH) die("%u entries, and %u of them alive", rows, alive);
}

static char first_finding[256];

static void finding(void *user, const struct ap_finding *f)
{
    (void)user;
    if (first_finding[0] == '\0')
        snprintf(first_finding, sizeof first_finding, "%s %" PRIu64 ": %s: %s", f->structure, f->index, f->rule, f->text);
}

/* Every checker is content. */
static void sound(apiary_t *a)
{
    struct ap_report report = {.found = finding};
    uint64_t began = now();

    ap_check_all(a->seg, &report);
    printf("  all is checked in %.0f ms\n", ms_since(began));
    if (report.corrupt + report.repairable != 0) die("not sound: %s", first_finding);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static void make(void)
{
    struct ap_segment_options o = {.name = segment, .geometry = {.members = 32, .lanes = 64, .tasks = 1024, .queues = services,
                                                                 .queue_depth = 16, .queue_inlets = 1, .member_share = 100}};
    uint32_t capabilities = 64;
    struct ap_segment *seg;
    char message[256] = "";
    uint64_t began = now();

    while (capabilities < services * EACH / PROVIDERS * 3 / 2) capabilities *= 2;
    AP_REGISTRY_NUMBER(&o.geometry, SERVICES) = services;
    AP_REGISTRY_NUMBER(&o.geometry, SWARMS) = services;
    AP_REGISTRY_NUMBER(&o.geometry, CAPABILITIES) = capabilities;
    AP_REGISTRY_NUMBER(&o.geometry, INSTANCES) = 4 * services;
    if (ap_registry_create(&o, message, sizeof message, &seg) < 0) die("create: %s", message);
    printf("a segment of %.1f MiB for %u services, made in %.0f ms\n", (double)seg->size / (1 << 20), services, ms_since(began));
    ap_segment_unmap(seg);
}

static void one_more(apiary_t *a)
{
    struct one s;
    int r = enrol(a, &s, services);

    if (r != APIARY_ETABLEFULL) die("one more: %s", r < 0 ? apiary_strerror(r) : "registered");
}

static void all_of_it(unsigned processes)
{
    struct process watcher, all[PROCESSES];
    apiary_instance_watch_t *w, *present;
    unsigned each = services / processes, victim = processes / 2;
    uint64_t began;
    apiary_t *a;

    make();
    began = now();
    a = attach(APIARY_CLIENT);
    printf("attached in %.1f ms\n", ms_since(began));
    w = watch(a);
    told_synced(w);
    process_start(&watcher, "monitor", 0, 0);
    process_ready(&watcher);
    began = now();
    for (unsigned i = 0; i < processes; i++) process_start(&all[i], "queen", i * each, each);
    for (unsigned i = 0; i < processes; i++) process_ready(&all[i]);
    printf("%u services of %u processes are registered in %.0f ms\n", services, processes, ms_since(began));
    told(w, APIARY_INSTANCE_REGISTERED, 0, services);
    told_nothing(w);
    found(a, services * EACH, 0, 0);
    sound(a);
    began = now();
    present = watch(a);
    told(present, APIARY_INSTANCE_PRESENT, 0, services);
    told_synced(present);
    printf("the present set of %u is told in %.0f ms\n", services, ms_since(began));
    apiary_instance_unwatch(present);
    one_more(a);

    began = now();
    process_kill(&all[victim]);
    told(w, APIARY_INSTANCE_DIED, victim * each, each);
    printf("the death of a process is told of its %u services in %.0f ms\n", each, ms_since(began));
    found(a, services * EACH, victim * each, each);
    told_nothing(w);
    sound(a);

    process_start(&all[victim], "queen", victim * each, each);
    process_ready(&all[victim]);
    told(w, APIARY_INSTANCE_REGISTERED, victim * each, each);
    found(a, services * EACH, 0, 0);
    one_more(a);

    began = now();
    for (unsigned i = 0; i < processes; i++) {
        process_end(&all[i]);
        told(w, APIARY_INSTANCE_LEFT, i * each, each);
    }
    printf("all have left in %.0f ms\n", ms_since(began));
    told_nothing(w);
    apiary_instance_unwatch(w);
    process_end(&watcher);
    must(apiary_detach(a), "detach");
}

int main(int argc, char **argv)
{
    if (argc == 6) {
        segment = argv[2];
        services = (unsigned)atoi(argv[3]);
        if (strcmp(argv[1], "queen") == 0) queen((unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
        else monitor();
        return 0;
    }
    if (argc != 4 || atoi(argv[3]) < 1 || atoi(argv[3]) > (int)PROCESSES) die("many SEGMENT SERVICES PROCESSES");
    segment = argv[1];
    setlinebuf(stdout);
    services = (unsigned)atoi(argv[2]) / (unsigned)atoi(argv[3]) * (unsigned)atoi(argv[3]);
    all_of_it((unsigned)atoi(argv[3]));
    return 0;
}
