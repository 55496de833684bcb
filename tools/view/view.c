/* tools/view/view.c - copies of the segment's records for people; see view.h.
 *
 * Observers take no lock: each word is loaded once, range-checked, and the copy is used. A record that changes while it is
 * copied is either left out or shown as it was in between. Nothing depends on it.
 */
#include "tools/view/view.h"

#include <stdlib.h>
#include <string.h>

#include "registry/monitor/health.h"
#include "registry/monitor/monitor.h"
#include "registry/monitor/supervised.h"
#include "shm/event.h"
#include "shm/start_by.h"

int64_t view_lane_pid(const struct ap_segment *seg, uint32_t lane)
{
    const struct ap_lane *l = ap_lane_at(seg, lane);
    if (l == NULL) return 0;
    uint64_t life = ap_load_acquire(&l->life); /* LANE-A1 pairs LANE-R1 */
    if (AP_LIFE_STATE(life) == AP_LIFE_FREE) return 0;
    /* The lane's own: a SHARED one outlives its member's record, whose next tenant is somebody else. */
    int64_t pid = ap_load_relaxed(&l->pid);
    ap_fence_acquire();
    return AP_LIFE_EPOCH(ap_load_relaxed(&l->life)) == AP_LIFE_EPOCH(life) ? pid : 0;
}

_Static_assert(sizeof((struct swarm_view *)0)->instance == sizeof((struct ap_swarm *)0)->instance &&
                   sizeof((struct agent_view *)0)->name == sizeof((struct ap_agent_record *)0)->name,
               "texts are copied whole");

bool view_swarm(const struct ap_segment *seg, uint32_t swarm, struct swarm_view *ret)
{
    const struct ap_swarm *s = ap_swarm_at(seg, swarm);
    if (s == NULL) return false;
    uint64_t life = ap_load_acquire(&s->life); /* REG-A1 pairs REG-R1 */
    if (AP_SWARM_STATE(life) != AP_SWARM_LIVE && AP_SWARM_STATE(life) != AP_SWARM_DOWN) return false;
    memset(ret, 0, sizeof *ret);
    ret->index = swarm;
    ret->service_index = ap_load_relaxed(&s->service);
    ap_service_name(seg, ret->service_index, ret->service);
    ap_text_copy(ret->instance, s->instance, sizeof ret->instance);
    ap_swarm_reason(seg, swarm, ret->reason);
    ret->mode = (enum apiary_mode)AP_MODE_OF(ap_load_relaxed(&s->mode));
    ret->park = ap_load_relaxed(&s->park);
    ret->waited = ap_load_relaxed(&s->waited);
    ret->found = ap_health_read(s, ret->why);
    ret->holds = ap_load_relaxed(&s->health_until) > seg->ops->now();
    ap_text_copy(ret->health_endpoint, s->health_endpoint, sizeof ret->health_endpoint);
    ap_text_copy(ret->metrics_endpoint, s->metrics_endpoint, sizeof ret->metrics_endpoint);
    ap_text_copy(ret->version, s->version, sizeof ret->version);
    ap_text_copy(ret->tags, s->tags, sizeof ret->tags);
    ret->weight = ap_swarm_weight(s);
    ret->port = ap_load_relaxed(&s->port);
    /* A swarm that is DOWN has no member: its record may be another's by now. */
    struct ap_member m;
    if (AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_member_read(seg, ap_load_relaxed(&s->member), &m)) ret->pid = m.pid;
    ret->alive = AP_SWARM_STATE(life) == AP_SWARM_LIVE && ap_lane_alive(seg, AP_SWARM_LANE(life)) == 1;
    ap_fence_acquire();
    return ap_load_relaxed(&s->life) == life;
}

json_t *view_tags_json(const char *tags)
{
    json_t *list = json_array();

    while (*tags != '\0') {
        size_t n = strcspn(tags, " ");

        json_array_append_new(list, json_stringn(tags, n));
        tags += n + (tags[n] == ' ');
    }
    return list;
}

json_t *view_endpoint_json(const char *endpoint)
{
    return endpoint[0] != '\0' ? tool_json_text(endpoint) : json_null();
}

json_t *view_health_json(const struct swarm_view *v)
{
    static const char *const answers[] = {"unknown", "absent", "passing", "failing"};
    return json_pack("{s:o, s:s, s:b, s:o}", "endpoint",
                     v->health_endpoint[0] != '\0' ? tool_json_text(v->health_endpoint) : json_null(), "answers",
                     answers[v->found & AP_FOUND_ENDPOINT], "holds", v->holds, "why",
                     v->why[0] != '\0' ? tool_json_text(v->why) : json_null());
}

bool view_agent(const struct ap_segment *seg, uint32_t queue, struct agent_view *ret)
{
    const struct ap_queue *q = ap_queue_at(seg, queue);
    const struct ap_agent_record *record = ap_agent_at(seg, queue);
    if (q == NULL || record == NULL) return false;
    uint64_t life = ap_load_acquire(&q->life); /* DISC-A2 pairs DISC-R2: the record before the open queue */
    if (AP_QUEUE_STATE(life) != AP_QUEUE_OPEN && AP_QUEUE_STATE(life) != AP_QUEUE_CLOSED) return false;
    memset(ret, 0, sizeof *ret);
    if (!view_swarm(seg, ap_load_relaxed(&record->swarm), &ret->swarm)) return false;
    ret->queue = queue;
    ap_text_copy(ret->name, record->name, sizeof ret->name);
    ret->open = AP_QUEUE_STATE(life) == AP_QUEUE_OPEN && ap_lane_alive(seg, AP_QUEUE_LANE(life)) == 1;
    ret->depth = ap_queue_waiting(seg, queue);
    ret->running = ap_load_relaxed(&q->running);
    ap_queue_counts(q, &ret->counts);
    uint32_t n = ap_load_relaxed(&record->capability_count);
    ret->capability_count = n <= AP_AGENT_CAPABILITIES ? n : 0;
    for (uint32_t i = 0; i < ret->capability_count; i++)
        ret->capabilities[i] = ap_load_relaxed(&record->capabilities[i]);
    return true;
}

/* A copy of member `i`, if it lives. The anchor lane's life decides: a member is dead when all its lanes are. */
static bool member_alive(const struct ap_segment *seg, uint32_t i, struct ap_member *ret)
{
    if (!ap_member_read(seg, i, ret)) return false;
    uint32_t anchor = AP_MEMBER_LANE(ret->life);
    return ap_lane_alive(seg, anchor) == 1 && ap_lane_dead(seg, anchor) == 0;
}

uint32_t view_members(const struct ap_segment *seg, int kind, uint32_t except)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < seg->geometry.members; i++) {
        struct ap_member m;
        if (i != except && member_alive(seg, i, &m) && (kind == 0 || (uint32_t)kind == m.kind)) n++;
    }
    return n;
}

int64_t view_daemon_of(const struct ap_segment *seg, uint64_t *ret_namespace)
{
    for (uint32_t i = 0; i < seg->geometry.members; i++) {
        struct ap_member m;
        if (!member_alive(seg, i, &m) || m.kind != APIARY_DAEMON) continue;
        *ret_namespace = m.pid_namespace;
        return m.pid;
    }
    return 0;
}

int64_t view_daemon(const struct ap_segment *seg)
{
    uint64_t any;
    return view_daemon_of(seg, &any);
}

int64_t view_supervisor(const struct ap_segment *seg, uint32_t except)
{
    struct ap_member own;
    if (!ap_member_read(seg, except, &own)) return 0;
    for (uint32_t i = 0; i < seg->geometry.members; i++) {
        struct ap_member m;
        if (i == except || !member_alive(seg, i, &m) || m.kind != APIARY_TOOL) continue;
        if (m.pid_namespace == own.pid_namespace && memcmp(m.name, "up", sizeof "up") == 0) return m.pid;
    }
    return 0;
}

void view_open_tasks(const struct ap_segment *seg, uint32_t *queued, uint32_t *running)
{
    *queued = *running = 0;
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        struct task_view task;
        if (!view_task(seg, i, &task)) continue;
        *queued += task.state == AP_TASK_QUEUED;
        *running += task.state == AP_TASK_RUNNING;
    }
}

/* A lane that was joined after the task came is another client's: its own one has gone. */
static int64_t client_pid(const struct ap_segment *seg, const struct ap_slot *s)
{
    uint32_t client = ap_load_relaxed(&s->client);
    const struct ap_lane *lane = ap_lane_at(seg, client);
    int64_t pid = view_lane_pid(seg, client);
    ap_fence_acquire();
    return lane != NULL && ap_load_relaxed(&lane->joined) <= ap_load_relaxed(&s->queued) ? pid : 0;
}

static void view_member_of(const struct ap_segment *seg, uint32_t index, struct monitor_view *ret)
{
    const struct ap_lane *lane = ap_lane_at(seg, index);
    struct ap_member m;
    if (lane != NULL) ret->pid = ap_load_relaxed(&lane->pid);
    if (lane != NULL && ap_member_read(seg, ap_load_relaxed(&lane->member), &m)) memcpy(ret->name, m.name, sizeof m.name);
}

bool view_stopped_monitor(const struct ap_segment *seg, struct monitor_view *ret)
{
    uint32_t index, beats;
    memset(ret, 0, sizeof *ret);
    if (!ap_monitor_stopped(seg, &index, &beats, &ret->age)) return false;
    view_member_of(seg, index, ret);
    ret->replaced = beats != AP_NO_LANE;
    return true;
}

bool view_reaper(const struct ap_segment *seg, struct monitor_view *ret)
{
    uint32_t dead = 0;
    memset(ret, 0, sizeof *ret);
    while (dead < seg->geometry.lanes && ap_reap_held(seg, dead) == 0) dead++;
    if (dead == seg->geometry.lanes) return false;
    uint32_t word = ap_load_acquire(ap_robust_word(&ap_lane_at(seg, dead)->mutex)); /* LANE-A4 pairs LANE-R4 */
    for (uint32_t i = 0; i < seg->geometry.lanes; i++) {
        const struct ap_lane *lane = ap_lane_at(seg, i);
        if (i == dead || !ap_lane_lives(lane) || ap_load_relaxed(&lane->tid) != (word & FUTEX_TID_MASK)) continue;
        view_member_of(seg, i, ret);
        break;
    }
    return true;
}

bool view_task(const struct ap_segment *seg, uint32_t slot, struct task_view *ret)
{
    const struct ap_slot *s = ap_slot_at(seg, slot);
    const struct ap_slab *slab = ap_slab_at(seg, slot / AP_SLAB_SLOTS);
    if (s == NULL || slab == NULL) return false;
    uint64_t word = ap_load_acquire(&s->word); /* TASK-A2 pairs TASK-R2 */
    uint32_t state = AP_WORD_STATE(word);
    if (state == AP_TASK_FREE || state == AP_TASK_RESERVED || state >= AP_TASK_STATES) return false;
    memset(ret, 0, sizeof *ret);
    ret->id = (apiary_task_t){slot, AP_LEASE_EPOCH(ap_load_relaxed(&slab->lease)), AP_WORD_GENERATION(word)};
    ret->state = state;
    ret->crashes = AP_WORD_CRASHES(word);
    ret->failures = AP_TRIES_FAILURES(ap_slot_tries(s, word));
    uint64_t request = ap_load_relaxed(&s->request);
    ret->request = (uint32_t)ap_request_bits(request, word);
    ap_capability_name(seg, ap_load_relaxed(&s->capability), ret->capability);
    uint16_t caller = ap_load_relaxed(&s->caller);
    if (caller != 0) ap_service_name(seg, (uint32_t)caller - 1, ret->caller);
    /* While it waits the word says where; the slot then still names the queue that it was taken from before, if it was. */
    if (state == AP_TASK_SCHEDULED) ret->due = ap_load_relaxed(&s->due);
    ret->queue = state == AP_TASK_QUEUED ? AP_WORD_OWNER(word) : ap_load_relaxed(&s->queue);
    ret->worker = ap_load_relaxed(&s->worker);
    ret->body_size = ap_load_relaxed(&s->body_size);
    ret->result_size = ap_load_relaxed(&s->result_size);
    ret->agent_code = ap_load_relaxed(&s->agent_code);
    ret->code = state == AP_TASK_FAILED || state == AP_TASK_CANCELLED ? ap_word_code(word) : 0;
    ret->queued = ap_load_relaxed(&s->queued);
    ret->started = ap_load_relaxed(&s->started);
    ret->finished = ap_load_relaxed(&s->finished);
    ret->deadline = ap_task_waits(state) ? ap_slot_until(s, word) : ap_load_relaxed(&s->deadline);
    ret->client_pid = client_pid(seg, s);
    ret->starts = ap_word_starts(word) + ret->failures;
    ap_carried_read(seg, ret->id, &ret->carried);
    ap_progress_read(seg, ret->id, &ret->progress);
    ap_stream_look(seg, ret->id, &ret->stream);
    if (state == AP_TASK_RUNNING) ret->worker_pid = view_lane_pid(seg, AP_WORD_OWNER(word));
    ap_fence_full(); /* the copies before the second look at the word */
    return ap_load_relaxed(&s->word) == word;
}

/* One more of a process, whose threads may have ended: *most is of the process that has the most. */
static void count_one(const struct ap_segment *seg, uint32_t client, uint32_t *by_member, uint32_t *most, int64_t *pid)
{
    uint32_t member = ap_lane_member(seg, client);
    if (member >= seg->geometry.members || ++by_member[member] <= *most) return;
    *most = by_member[member];
    *pid = view_lane_pid(seg, client);
}

/* Slots in use, and whose results they are; `of` counts for each process, `left` those past their deadline. */
static void count_tasks(const struct ap_segment *seg, struct usage_view *ret, uint32_t *of, uint32_t *left)
{
    uint64_t now = seg->ops->now();
    for (uint32_t i = 0; i < seg->geometry.tasks; i++) {
        const struct ap_slot *slot = ap_slot_at(seg, i);
        if (slot == NULL) break;
        uint64_t word = ap_load_acquire(&slot->word), request = ap_load_relaxed(&slot->request); /* TASK-A2 pairs TASK-R2 */
        uint32_t state = AP_WORD_STATE(word), client = ap_load_relaxed(&slot->client);
        bool given_up = ap_request_has(request, word, AP_REQUEST_GIVEN_UP);
        bool finished = ap_task_ended(state);
        if (state == AP_TASK_FREE || (finished && given_up)) continue;
        ret->tasks_used++;
        if (!finished) continue;
        ret->results++;
        count_one(seg, client, of, &ret->holder_results, &ret->holder_pid);
        if (ap_load_relaxed(&slot->deadline) > now) continue;
        ret->left++;
        count_one(seg, client, left, &ret->left_by, &ret->left_pid);
    }
}

void view_usage(const struct ap_segment *seg, struct usage_view *ret)
{
    uint32_t *of = tool_alloc((size_t)seg->geometry.members * 2 * sizeof *of);
    uint32_t slabs = (uint32_t)seg->sections[AP_SECTION_SLABS].count;
    *ret = (struct usage_view){.tasks = seg->geometry.tasks, .slabs = slabs - AP_SLABS_KEPT(slabs),
                                .forgotten = ap_load_relaxed(&seg->header->forgotten)};
    count_tasks(seg, ret, of, of + seg->geometry.members);
    free(of);
    for (uint32_t i = 0; i < ret->slabs; i++) {
        const struct ap_slab *slab = ap_slab_at(seg, i);
        ret->slabs_leased += slab != NULL && AP_LEASE_LANE(ap_load_relaxed(&slab->lease)) != 0;
    }
    uint32_t first = 0, largest = 0;
    for (uint32_t class = 0, at = 0; class < AP_POOL_CLASSES; at += seg->geometry.pool_blocks[class++]) {
        if (seg->geometry.pool_blocks[class] == 0) continue;
        if (!ap_pool_room(seg, ap_pool_class_size[class])) ret->refused[ret->refused_count++] = ap_pool_class_size[class];
        largest = class;
        first = at;
    }
    ret->largest = ap_pool_class_size[largest];
    ret->largest_blocks = seg->geometry.pool_blocks[largest];
    for (uint32_t i = first; i < first + ret->largest_blocks; i++) {
        const uint64_t *word = ap_at(seg, AP_SECTION_BLOCKS, i);
        ret->largest_free += word != NULL && AP_BLOCK_STATE(ap_load_relaxed(word)) == AP_BLOCK_FREE;
    }
}

static int compare_rows(const void *a, const void *b)
{
    const apiary_swarm_status_t *x = a;
    const apiary_swarm_status_t *y = b;
    int c = strcmp(x->service, y->service);
    return c != 0 ? c : strverscmp(x->instance, y->instance);
}

int view_status(apiary_t *a, const char *service, apiary_swarm_status_t **ret)
{
    size_t capacity = 64;
    for (;;) {
        apiary_swarm_status_t *rows = tool_alloc(capacity * sizeof *rows);
        rows[0].struct_size = sizeof *rows;
        int n = apiary_swarm_status(a, service, rows, capacity);
        if (n >= 0 && (size_t)n <= capacity) {
            qsort(rows, (size_t)n, sizeof *rows, compare_rows);
            *ret = rows;
            return n;
        }
        free(rows);
        if (n < 0) return n;
        capacity = (size_t)n + 16;
    }
}

static int compare_service(const void *service, const void *row)
{
    return strcmp(service, ((const apiary_swarm_status_t *)row)->service);
}

const apiary_swarm_status_t *view_rows_of(const apiary_swarm_status_t *rows, int n, const char *service, int *ret_count)
{
    const apiary_swarm_status_t *found = n > 0 ? bsearch(service, rows, (size_t)n, sizeof *rows, compare_service) : NULL;
    *ret_count = 0;
    while (found != NULL && found > rows && compare_service(service, found - 1) == 0) found--;
    while (found != NULL && found + *ret_count < rows + n && compare_service(service, found + *ret_count) == 0) ++*ret_count;
    return found;
}

bool view_registered(const apiary_swarm_status_t *rows, int n, uint32_t instance)
{
    char name[16];
    snprintf(name, sizeof name, "%u", instance);
    for (int i = 0; i < n; i++)
        if (strcmp(rows[i].instance, name) == 0) return true;
    return false;
}

/* Down, unless it is started for the first time. */
static bool unregistered(const struct ap_supervised_view *v, apiary_swarm_status_t *ret)
{
    bool held = v->last.state == AP_CHILD_HELD;
    bool begins = v->supervised && (held || v->last.state == AP_CHILD_STARTING) && v->last.ends == 0;
    memset(ret, 0, sizeof *ret);
    memcpy(ret->service, v->service, sizeof ret->service);
    snprintf(ret->instance, sizeof ret->instance, "%u", v->last.instance);
    ret->state = begins ? APIARY_STARTING : APIARY_DOWN;
    ret->mode = APIARY_READY;
    if (begins) ret->pid = v->last.pid;
    return v->last.state != AP_CHILD_PASSING && v->last.state != AP_CHILD_RUNNING;
}

/* Of two rows for one instance the first of the segment's is meant. */
struct unregistered_row {
    apiary_swarm_status_t status;
    uint32_t row;
};
static int compare_unregistered(const void *a, const void *b)
{
    const struct unregistered_row *x = a, *y = b;
    int c = compare_rows(&x->status, &y->status);
    return c != 0 ? c : (x->row > y->row) - (x->row < y->row);
}

/* Those that a supervisor is to run and that are not among the `n` rows, which are in order; to be freed. How many there are. */
static size_t view_unregistered(const struct ap_segment *seg, const char *service, const apiary_swarm_status_t *rows, int n,
                                struct unregistered_row **ret)
{
    struct unregistered_row *list = NULL;
    size_t count = 0, room = 0, kept = 0;
    for (uint32_t i = 0; ap_supervised_at(seg, i) != NULL; i++) {
        struct ap_supervised_view v;
        struct unregistered_row u = {.row = i};
        if (!ap_supervised_read(seg, i, &v) || (service != NULL && strcmp(v.service, service) != 0)) continue;
        if (!unregistered(&v, &u.status)) continue;
        if (n > 0 && bsearch(&u.status, rows, (size_t)n, sizeof *rows, compare_rows) != NULL) continue;
        if (count == room) list = tool_realloc(list, (room = 2 * room + 16) * sizeof *list);
        list[count++] = u;
    }
    if (count > 0) qsort(list, count, sizeof *list, compare_unregistered);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_rows(&list[kept - 1].status, &list[i].status) != 0) list[kept++] = list[i];
    *ret = list;
    return kept;
}

int view_instances(apiary_t *a, const char *service, apiary_swarm_status_t **ret)
{
    apiary_swarm_status_t *rows = NULL;
    struct unregistered_row *more = NULL;
    int n = view_status(a, service, &rows);
    size_t count = n >= 0 ? view_unregistered(a->seg, service, rows, n, &more) : 0;
    if (count > 0) rows = tool_realloc(rows, ((size_t)n + count) * sizeof *rows);
    for (size_t i = 0; i < count; i++) rows[n++] = more[i].status;
    if (count > 0) qsort(rows, (size_t)n, sizeof *rows, compare_rows);
    free(more);
    *ret = rows;
    return n;
}
