/* tools/apiaryd/apiaryd.c - the coordinator: makes the segment or takes the living one over, and watches who dies.
 *
 * Nothing passes through it: while it is dead, delegation, discovery and recovery go on. It holds a lock on the segment
 * itself (an open-file-description lock, which the kernel drops at its death), so there is at most one per segment.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agents/deployment/deployment.h"
#include "core/address.h"
#include "core/log.h"
#include "core/process.h"
#include "core/text.h"
#include "core/uring.h"
#include "registry/client/client.h"
#include "registry/memory/cache.h"
#include "registry/monitor/monitor.h"
#include "shm/pool.h"
#include "tools/apiaryd/events.h"
#include "tools/apiaryd/health.h"
#include "tools/apiaryd/http.h"
#include "tools/apiaryd/own.h"
#include "tools/apiaryd/past.h"
#include "tools/apiaryd/ready.h"
#include "tools/common/common.h"
#include "tools/common/state.h"

static const struct tool_usage usage = {
    .arguments = "",
    .what = "Creates the segment of a configuration, or takes over the living one, and watches its members.",
    .more = "It stays in the foreground. SIGTERM ends it and leaves the segment, so that the members go on without it; "
            "the\n"
            "next one takes the segment over. Without a configuration the segment has the default sizes.",
};

struct daemon_options {
    const char *config, *level, *state, *listen, *hosts;
    bool remove, standard_input, ready_passing;
};

/* The daemon's duties for a segment. */
struct duties {
    bool created;
    const struct ap_deployment *awaited; /* READY when all of it passes; NULL: at once */
    uint64_t interval;                   /* of health checks */
    const char *state;                   /* --state */
    const char *listen;                  /* where HTTP is served; NULL: nowhere */
    const char *hosts;                   /* --hosts */
    const struct ap_deployment *deployment;
    struct history_limits limits;
};

static void apiaryd_tell(const char *what, const char *is, const char *configured)
{
    ap_log(4, "the living segment has %s %s, the configuration says %s: it counts for a new segment", what, is, configured);
}

static void apiaryd_compare(const char *what, uint64_t is, uint64_t configured)
{
    char texts[2][24];
    snprintf(texts[0], sizeof texts[0], "%" PRIu64, is);
    snprintf(texts[1], sizeof texts[1], "%" PRIu64, configured);
    if (is != configured) apiaryd_tell(what, texts[0], texts[1]);
}

static void compare_time(const char *what, uint64_t is, uint64_t configured)
{
    char texts[2][32];
    if (is != configured) apiaryd_tell(what, tool_format_duration(is, texts[0]), tool_format_duration(configured, texts[1]));
}

struct comparison {
    const struct ap_geometry *is, *configured;
};

static int compare_number(void *user, const struct ap_number *n)
{
    const struct comparison *c = user;
    char what[64];

    snprintf(what, sizeof what, "%s%s%s", n->group != NULL ? n->group : "", n->group != NULL ? ": " : "", n->key);
    apiaryd_compare(what, ap_number_of(c->is, n), ap_number_of(c->configured, n));
    return 0;
}

/* A living segment keeps its sizes; what the configuration says otherwise is told, once. */
static void compare_geometry(const struct ap_geometry *is, const struct ap_geometry *configured)
{
    struct comparison c = {is, configured};

    ap_numbers_each(&ap_registry_parts, compare_number, &c);
    compare_time("task_timeout", is->task_timeout, configured->task_timeout);
}

/* A user's or group's number; UINT32_MAX would leave it as it is. */
static bool id_read(const char *text, uint32_t *ret)
{
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    *ret = (uint32_t)n;
    return *end == '\0' && errno == 0 && n < UINT32_MAX;
}

struct belongs {
    uid_t uid;
    gid_t gid;
};

/* Whom a new segment is to belong to: here, since the library could not ask for names where it is linked statically. */
static int find_owner(const struct ap_deployment *d, struct belongs *ret, struct ap_segment_options *options, char *message,
                      size_t size)
{
    if (d->owner != NULL) {
        const struct passwd *p = getpwnam(d->owner);
        if (p != NULL) ret->uid = p->pw_uid;
        if (p == NULL && !id_read(d->owner, &ret->uid)) {
            snprintf(message, size, "owner: no user is called '%s'; give a user's name or number", AP_SHOWN(d->owner, 64));
            return APIARY_ECONFIG;
        }
        options->owner = &ret->uid;
    }
    if (d->group != NULL) {
        const struct group *g = getgrnam(d->group);
        if (g != NULL) ret->gid = g->gr_gid;
        if (g == NULL && !id_read(d->group, &ret->gid)) {
            snprintf(message, size, "group: no group is called '%s'; give a group's name or number", AP_SHOWN(d->group, 64));
            return APIARY_ECONFIG;
        }
        options->group = &ret->gid;
    }
    return 0;
}

static bool exists(const char *name)
{
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd >= 0) close(fd);
    return fd >= 0 || errno == EACCES;
}

/* Creates the segment unless it is there: a living one is taken over whomever a new one would belong to. */
static int make_segment(const struct tool *t, const struct ap_deployment *d, const struct ap_segment_options *options,
                        bool *created)
{
    char message[1024] = "";
    struct ap_segment *seg = NULL;
    struct ap_segment_options own = *options;
    struct belongs to;
    int rc = d != NULL ? find_owner(d, &to, &own, message, sizeof message) : 0;
    if (rc == 0) rc = ap_registry_create(&own, message, sizeof message, &seg);
    else if (exists(own.name)) rc = APIARY_EEXIST;
    *created = rc == 0;
    if (rc == 0) ap_segment_unmap(seg);
    if (rc == 0 || rc == APIARY_EEXIST) return TOOL_OK;
    struct ap_config_error error;
    if (rc == APIARY_ECONFIG && d != NULL && ap_deployment_refuse(d, message, &error) < 0)
        return tool_error(t, rc, error.text, "cannot create %s", options->name);
    return tool_error(t, rc, message, "cannot create %s", options->name);
}

static int attach(const struct tool *t, const char *name, apiary_t **ret)
{
    char message[1024] = "";
    apiary_attach_options_t options = {.struct_size = sizeof options,
        .name = "apiaryd", .kind = APIARY_DAEMON, .message = message, .message_size = sizeof message};
    int rc = apiary_attach(name, &options, ret);
    if (rc == APIARY_EPERM) /* of another user, most likely */
        return tool_error(t, rc, message, "cannot take over (another name is given with --segment)");
    return rc < 0 ? tool_error(t, rc, message, "cannot take over") : TOOL_OK;
}

/* The first byte stands for the role of the daemon; those below 2^62 for images (shm/image.h), those above for tasks
 * (agents/kinds/child.h). */
static int lock_segment(const struct tool *t, const apiary_t *a, const char *name)
{
    struct flock first = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    if (fcntl(apiary_segment_fd(a), F_OFD_SETLK, &first) == 0) return TOOL_OK;
    if (errno == EAGAIN || errno == EACCES)
        return tool_fail(t, TOOL_FAILED,
                         "%s: another apiaryd looks after it; stop that one first ('apiary status' shows its pid), or give another "
                         "name with --segment",
                         name);
    return tool_fail(t, TOOL_FAILED, "%s: cannot lock it: %m", name);
}

/* Only the name that still belongs to this segment. */
static void remove_segment(int fd, const char *name)
{
    int rc = ap_segment_remove_own(fd, name);
    if (rc < 0) ap_log(4, "cannot remove %s: %s", name, apiary_strerror(rc));
}

/* READY now, or (`d` not NULL) when an instance of each of its services passes; then until a signal, which is returned. */
static int wait_for_signal(apiary_t *a, const struct ap_deployment *d, const sigset_t *signals)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    bool told = false;
    while (!told) {
        told = (d == NULL || ready_deployment(a, d)) && tool_notify("READY=1");
        if (told && d != NULL) ap_log(6, "all %zu services pass", d->swarm_count);
        int which = told ? -1 : sigtimedwait(signals, NULL, &pause);
        if (which > 0) return which;
    }
    int which = 0;
    sigwait(signals, &which);
    return which;
}

static struct keeper *apiaryd_keep(apiary_t *a, const char *name, const struct duties *duties)
{
    char *folder = tool_state_folder(duties->state, name), why[HISTORY_WHY];
    struct keeper *keeper = keeper_start(a, folder, &duties->limits, why);

    if (keeper == NULL) ap_log(4, "events are not kept: %s", why);
    else ap_log(6, "events are kept in %s", folder);
    free(folder);
    return keeper;
}

static struct past_keeper *apiaryd_keep_past(apiary_t *a, const char *name, const struct duties *duties)
{
    char *folder = tool_state_folder(duties->state, name), why[HISTORY_WHY];
    struct past_keeper *keeper = past_keeper_start(a, folder, why);

    if (keeper == NULL) ap_log(4, "the history is not kept: %s", why);
    free(folder);
    return keeper;
}

static struct http *apiaryd_serve(apiary_t *a, const char *name, const struct duties *duties)
{
    char *folder = tool_state_folder(duties->state, name), why[HTTP_WHY];
    const struct http_options o = {.listen = duties->listen, .folder = folder, .segment = name, .hosts = duties->hosts,
                                   .deployment = duties->deployment};
    struct http *http = duties->listen != NULL ? http_start(a, &o, why) : NULL;

    if (http == NULL && duties->listen != NULL) ap_log(4, "HTTP is not served: %s", why);
    free(folder);
    return http;
}

/* The endpoints of single services. */
static struct own *apiaryd_serve_own(apiary_t *a, const char *name, const struct duties *duties)
{
    char why[HTTP_WHY];
    struct own *own;

    if (!own_start(a, name, duties->hosts, duties->deployment, &own, why))
        ap_log(4, "HTTP of single services is not served: %s", why);
    return own;
}

/* The configuration says anew which name spaces of the memory are caches. */
static void declare_caches(const apiary_t *a, const struct ap_deployment *d)
{
    int r = ap_caches_declare(a->seg, d->caches, d->cache_count);

    if (r < 0)
        ap_log(3, "caches: more name spaces were declared in the life of this segment than memory_caches; some of the "
                  "configuration are none: %s",
               apiary_strerror(r));
}

/* Where HTTP is served: --listen, else $APIARY_LISTEN, else as the configuration says; without one nowhere. */
static int apiaryd_listen(const struct tool *t, const struct daemon_options *o, const struct ap_deployment *d, const char **ret)
{
    const char *own = getenv("APIARY_LISTEN"), *text = o->listen != NULL ? o->listen : own != NULL && *own != '\0' ? own : NULL;
    struct sockaddr_storage address;
    socklen_t size;

    *ret = text != NULL ? text : d != NULL ? d->listen : "off";
    if (strcmp(*ret, "off") == 0) *ret = NULL;
    if (*ret == NULL || ap_address_read(*ret, &address, &size) == 0) return TOOL_OK;
    return tool_fail(t, TOOL_USAGE, "%s is '%s'; it may be off, or an address with a port, such as 127.0.0.1:4100 or [::1]:4100",
                     o->listen != NULL ? "--listen" : "APIARY_LISTEN", AP_SHOWN(*ret, 64));
}

static const char *apiaryd_hosts(const struct daemon_options *o)
{
    return o->hosts != NULL ? o->hosts : getenv("APIARY_HOSTS");
}

/* *ret_used: a thread still uses the segment, so the process is to end as it is. */
static int apiaryd_watch(const struct tool *t, apiary_t *a, const char *name, const struct duties *duties, bool *ret_used)
{
    struct ap_monitor *monitor = NULL;
    char unhealthy[192];
    int rc = ap_monitor_start(a->seg, a->member, &monitor);
    if (rc < 0) {
        char why[192];
        if (rc == APIARY_ESYS) ap_format(why, sizeof why, "%s: %s", apiary_strerror(rc), strerror(errno));
        else ap_park_refusal(rc, why, sizeof why);
        return tool_error(t, rc, why, "%s: cannot start the monitor", name);
    }
    struct health *health = health_start(a, duties->interval, unhealthy, sizeof unhealthy);
    if (health == NULL) ap_log(3, "nobody is asked whether it is well: %s", unhealthy);
    struct keeper *keeper = apiaryd_keep(a, name, duties);
    struct past_keeper *past = apiaryd_keep_past(a, name, duties);
    struct http *http = apiaryd_serve(a, name, duties);
    struct own *own = apiaryd_serve_own(a, name, duties);
    ap_log(6, "%s %s, %" PRIu64 " bytes", duties->created ? "created" : "took over", name, a->seg->size);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    int which = wait_for_signal(a, duties->awaited, &signals);
    tool_notify("STOPPING=1");
    ap_log(6, "signal %d: leaving %s to its members", which, name);
    own_stop(own);
    http_stop(http);
    health_stop(health);
    *ret_used = !keeper_stop(keeper);
    if (!past_keeper_stop(past)) *ret_used = true;
    ap_monitor_stop(monitor);
    return TOOL_OK;
}

static int apiaryd_run(const struct tool *t, const struct daemon_options *o)
{
    struct ap_deployment *d = NULL;
    const char *path = tool_config_path(o->config);
    struct ap_config_error error = {.text = ""};
    char *text = NULL;
    size_t size = 0;
    int rc = path != NULL && o->standard_input ? ap_config_read(STDIN_FILENO, path, &text, &size, &error) : 0;
    if (rc == 0 && path != NULL) rc = ap_deployment_parse(path, text, size, NULL, NULL, &d, &error);
    free(text);
    if (rc < 0) return tool_error(t, rc, error.text, "configuration");
    struct ap_segment_options options = {.name = NULL};
    if (d != NULL) options = d->segment;
    const char *why = NULL;
    const char *listen = NULL;
    bool created = false;
    apiary_t *a = NULL;
    bool used = false;
    int gone;
    rc = tool_choose_segment(t, path, options.name, &options.name, &why);
    if (rc == TOOL_OK) rc = apiaryd_listen(t, o, d, &listen);
    if (rc == TOOL_OK) ap_log(6, "segment %s, %s", options.name, why);
    if (rc == TOOL_OK) rc = make_segment(t, d, &options, &created);
    if (rc == TOOL_OK) rc = attach(t, options.name, &a);
    if (a == NULL && created && o->remove && (gone = ap_segment_remove(options.name)) < 0)
        ap_log(4, "cannot remove %s: %s", options.name, apiary_strerror(gone));
    if (rc == TOOL_OK) rc = lock_segment(t, a, options.name);
    if (rc == TOOL_OK) {
        if (!created && d != NULL) compare_geometry(&a->seg->geometry, &options.geometry);
        if (d != NULL) declare_caches(a, d);
        const struct duties duties = {.created = created,
                                      .awaited = o->ready_passing ? d : NULL,
                                      .interval = d != NULL ? d->health_check_interval : AP_HEALTH_INTERVAL * UINT64_C(1000000),
                                      .state = o->state,
                                      .listen = listen,
                                      .hosts = apiaryd_hosts(o),
                                      .deployment = d,
                                      .limits = {.age = d != NULL ? d->events_max_age : AP_EVENTS_MAX_AGE,
                                                 .bytes = d != NULL ? d->events_max_bytes : AP_EVENTS_MAX_BYTES}};
        rc = apiaryd_watch(t, a, options.name, &duties, &used);
        if (o->remove) remove_segment(apiary_segment_fd(a), options.name);
    }
    if (!used) apiary_detach(a);
    ap_deployment_free(d);
    return rc;
}

int main(int argc, char **argv)
{
    struct tool t = {.program = "apiaryd"};
    struct daemon_options o = {.level = "info"};
    const struct tool_option options[] = {
        {"config", 'c', "FILE", "the configuration [$APIARY_CONFIG, else /etc/apiary/apiary.yaml if there]", &o.config,
         NULL},
        {"stdin", 0, NULL, "read the configuration's text from standard input; FILE is its name", NULL, &o.standard_input},
        {"ready-when-passing", 0, NULL, "tell the service manager READY when every service of the configuration passes", NULL,
         &o.ready_passing},
        {"state", 0, "DIR", "keep events there [$STATE_DIRECTORY, else $XDG_STATE_HOME/apiary, else ~/.local/state/apiary]",
         &o.state, NULL},
        {"hosts", 0, "NAMES", "names of this host, with commas between, that --listen off loopback answers to [$APIARY_HOSTS]",
         &o.hosts, NULL},
        {"listen", 0, "ADDRESS", "serve HTTP on ADDRESS:PORT, or off [$APIARY_LISTEN, else as the configuration says]", &o.listen,
         NULL},
        {"remove", 0, NULL, "remove the segment at the end", NULL, &o.remove},
        {"log-level", 'l', "LEVEL", "error, warning, info or debug [info]", &o.level, NULL},
        {.name = NULL},
    };
    ap_process_begin();
    int rc = tool_parse(&t, &usage, options, &argc, &argv);
    if (rc != TOOL_GO_ON) return rc;
    if ((o.standard_input || o.ready_passing) && tool_config_path(o.config) == NULL)
        return tool_usage_error(&t, &usage, "--stdin, --ready-when-passing: name the configuration with --config");
    if (tool_log_level(o.level) < 0)
        return tool_usage_error(&t, &usage, "--log-level: '%s' is not one of error, warning, info, debug", o.level);
    ap_log_level(tool_log_level(o.level));
    ap_log_part("apiaryd");
    tool_spare_json();
    rc = tool_serve(&t);
    if (rc == TOOL_OK) rc = tool_first(&t);
    if (rc != TOOL_OK) return rc;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread starts */
    return apiaryd_run(&t, &o);
}
