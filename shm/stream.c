/* shm/stream.c - parts of results on their way. See stream.h. */
#include "shm/stream.h"

#include <string.h>

#include "shm/bell.h"
#include "shm/part.h"

#define READS 64 /* of a row that changes meanwhile */

_Static_assert(sizeof(struct ap_stream) == 128, "the reader's word has a line of its own");
_Static_assert(offsetof(struct ap_stream, head) == 64, "the reader's word has a line of its own");

static uint64_t part_word(uint32_t size, uint32_t number)
{
    return (uint64_t)number << 32 | size;
}

/* Whether the task that had the slot has been freed, or is about to be: its window is as good as gone. */
static bool stream_gone(const struct ap_segment *seg, apiary_task_t task)
{
    const struct ap_slot *slot = ap_slot_at(seg, task.slot);
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A3 pairs TASK-R3 */
    uint32_t state = AP_WORD_STATE(word);

    return AP_WORD_GENERATION(word) != task.generation || state == AP_TASK_FREE || state == AP_TASK_RELEASING;
}

/* Where reading goes on. */
static uint64_t stream_position(uint64_t head, uint64_t begin, uint64_t tail)
{
    return head - begin <= tail - begin ? head : begin;
}

/* ---- the worker ------------------------------------------------------------------------------------------------- */

uint64_t ap_stream_window(const struct ap_segment *seg, uint32_t index, uint64_t token)
{
    const struct ap_stream *at = ap_stream_at(seg, index);
    uint64_t window = at != NULL ? ap_load_relaxed(&at->window) : 0, block;

    if (ap_pool_block(seg, window, NULL, &block) < 0) return 0;
    return block == AP_BLOCK(AP_BLOCK_STREAM, index, AP_WORD_GENERATION(token)) ? window : 0;
}

bool ap_stream_begin(struct ap_segment *seg, uint32_t lane, uint32_t index, uint64_t token, uint64_t window,
                     struct ap_stream_writer *ret)
{
    apiary_task_t task = ap_task_id(seg, index, AP_WORD_GENERATION(token));
    uint64_t capacity, block, tail, begun = AP_STREAM_BEGUN(task, ap_stream_attempt(ap_slot_at(seg, index), token));
    struct ap_stream *at = ap_stream_at(seg, index);

    if (ap_pool_block(seg, window, &capacity, &block) < 0) return false;
    if (block != AP_BLOCK(AP_BLOCK_STREAM, index, AP_WORD_GENERATION(token))) {
        if (AP_BLOCK_STATE(block) != AP_BLOCK_OWNED || AP_BLOCK_WHO(block) != lane) return false;
        /* Named first: if we die before it is attached it is still OWNED by the dead, and afterwards it is the task's. */
        ap_store_relaxed(&at->window, window);
        ap_pool_attach(seg, window, AP_BLOCK_STREAM, index, AP_WORD_GENERATION(token));
    }
    tail = ap_load_relaxed(&at->tail) & ~UINT64_C(7);
    *ret = (struct ap_stream_writer){.at = at, .window = ap_at_offset(seg, window, capacity), .capacity = capacity, .begin = tail,
                                     .tail = tail, .sent = ap_load_relaxed(&at->sent)};
    ap_store_relaxed(&at->wants, 0);
    ap_store_relaxed(&at->first, ret->sent);
    ap_store_relaxed(&at->tail, tail);
    ap_store_relaxed(&at->begin, tail);
    ap_store_release(&at->begun, begun); /* STREAM-R1 pairs STREAM-A1 */
    ap_fence_release(); /* STREAM-R2 pairs STREAM-A2 */
    return true;
}

static uint64_t stream_free(const struct ap_stream_writer *w)
{
    uint64_t head = ap_load_acquire(&w->at->head); /* STREAM-A4 pairs STREAM-R4 */

    return w->capacity - (w->tail - stream_position(head, w->begin, w->tail));
}

/* It waits for more than it needs: a reader that takes one small part after the other need not wake it for each. */
static bool stream_wait(struct ap_stream_writer *w, uint64_t room)
{
    uint64_t wants = room < w->capacity / 2 ? w->capacity / 2 : room;

    ap_store_relaxed(&w->at->wants, wants);
    ap_store_relaxed(&w->at->waits, ap_load_relaxed(&w->at->waits) + 1);
    ap_fence_full(); /* STREAM-F2 pairs STREAM-F1 */
    if (stream_free(w) < wants) return true;
    ap_store_relaxed(&w->at->wants, 0);
    return false;
}

bool ap_stream_room(const struct ap_stream_writer *w)
{
    uint64_t wants = ap_load_relaxed(&w->at->wants);

    return stream_free(w) >= (wants <= w->capacity ? wants : w->capacity);
}

/* By words, which a reader of an attempt before, or a second one, may copy meanwhile: it finds out. */
static void window_write(const struct ap_stream_writer *w, uint64_t position, const void *data, uint64_t size)
{
    for (uint64_t i = 0; i < size; i += 8) {
        uint64_t word = 0;

        if (size - i >= 8) memcpy(&word, (const uint8_t *)data + i, 8);
        else memcpy(&word, (const uint8_t *)data + i, size - i);
        ap_store_relaxed(&w->window[((position + i) & (w->capacity - 1)) / 8], word);
    }
}

int ap_stream_write(struct ap_stream_writer *w, const void *data, uint32_t size)
{
    uint64_t room = AP_STREAM_ROOM(size), word = part_word(size, (uint32_t)(w->sent - ap_load_relaxed(&w->at->first)));

    if (room > w->capacity) return APIARY_ETOOLARGE;
    if (stream_free(w) < room && stream_wait(w, room)) return 0;
    if (ap_load_relaxed(&w->at->wants) != 0) ap_store_relaxed(&w->at->wants, 0);
    window_write(w, w->tail, &word, sizeof word);
    window_write(w, w->tail + AP_STREAM_HEAD, data, size);
    w->tail += room;
    w->sent++;
    ap_store_relaxed(&w->at->sent, w->sent);
    ap_store_release(&w->at->tail, w->tail); /* STREAM-R3 pairs STREAM-A3 */
    return 1;
}

/* ---- readers ---------------------------------------------------------------------------------------------------- */

/* A row as a reader has seen it, and where its window is. */
struct seen_stream {
    const struct ap_stream *at;
    uint64_t begun, head, position, tail, capacity;
    const uint64_t *window; /* NULL: there is nothing to read */
};

static bool stream_seen(const struct ap_segment *seg, apiary_task_t task, struct seen_stream *ret)
{
    uint64_t window, block, begin;

    *ret = (struct seen_stream){.at = ap_stream_at(seg, task.slot)};
    if (ret->at == NULL) return false;
    ret->begun = ap_load_acquire(&ret->at->begun); /* STREAM-A1 pairs STREAM-R1 */
    if (!AP_STREAM_IS_OF(ret->begun, task)) return false;
    window = ap_load_relaxed(&ret->at->window);
    begin = ap_load_relaxed(&ret->at->begin);
    ret->head = ap_load_acquire(&ret->at->head); /* STREAM-A4 pairs STREAM-R4: of another reader */
    ret->tail = ap_load_acquire(&ret->at->tail); /* STREAM-A3 pairs STREAM-R3 */
    ret->position = stream_position(ret->head, begin, ret->tail);
    if (ap_pool_block(seg, window, &ret->capacity, &block) == 0 &&
        block == AP_BLOCK(AP_BLOCK_STREAM, task.slot, task.generation) && ((ret->position | ret->tail) & 7) == 0 &&
        ret->tail - ret->position <= ret->capacity)
        ret->window = ap_at_offset(seg, window, ret->capacity);
    return true;
}

static bool stream_same(const struct seen_stream *s)
{
    ap_fence_acquire(); /* STREAM-A2 pairs STREAM-R2 */
    return ap_load_relaxed(&s->at->begun) == s->begun;
}

static void window_read(const struct seen_stream *s, uint64_t position, void *data, uint64_t size)
{
    for (uint64_t i = 0; i < size; i += 8) {
        uint64_t word = ap_load_relaxed(&s->window[((position + i) & (s->capacity - 1)) / 8]);

        if (size - i >= 8) memcpy((uint8_t *)data + i, &word, 8);
        else memcpy((uint8_t *)data + i, &word, size - i);
    }
}

/* The word of the part at a position: true. False: what is there is not possible. */
static bool part_at(const struct seen_stream *s, uint64_t position, uint64_t *ret)
{
    if (s->tail - position < AP_STREAM_HEAD) return false;
    window_read(s, position, ret, sizeof *ret);
    return AP_STREAM_ROOM((uint32_t)*ret) <= s->tail - position;
}

/* A reader that is done looks whether the writer waits. One that finds nothing to read has nothing to say. */
static void stream_taken(struct ap_segment *seg, const struct seen_stream *s, uint32_t index, uint64_t head)
{
    uint64_t wants;

    ap_fence_full(); /* STREAM-F1 pairs STREAM-F2 */
    wants = ap_load_relaxed(&s->at->wants);
    if (wants != 0 && (s->capacity - (s->tail - head) >= wants || s->tail == head)) ap_stream_wake(seg, index);
}

bool ap_stream_any(const struct ap_segment *seg, uint32_t index, uint64_t word)
{
    struct seen_stream s;

    return stream_seen(seg, ap_task_id(seg, index, AP_WORD_GENERATION(word)), &s) && s.window != NULL && s.position != s.tail &&
           AP_STREAM_ATTEMPT(s.begun) >= ap_stream_attempt(ap_slot_at(seg, index), word);
}

int ap_stream_read(struct ap_segment *seg, apiary_task_t task, uint64_t word, void *data, size_t capacity,
                   struct ap_stream_part *ret)
{
    for (int reads = 0; reads < READS; reads++) {
        struct seen_stream s;
        uint64_t part, next;
        bool fits;

        if (!stream_seen(seg, task, &s)) return 0;
        if (AP_STREAM_ATTEMPT(s.begun) < ap_stream_attempt(ap_slot_at(seg, task.slot), word)) return 0;
        if (s.window == NULL || (s.position != s.tail && !part_at(&s, s.position, &part))) {
            /* Another reader may have gone on, and the writer behind it. */
            if (!stream_same(&s) || ap_load_relaxed(&s.at->head) != s.head) continue;
            return stream_gone(seg, task) ? APIARY_ESTALE : APIARY_ECORRUPT;
        }
        if (s.position == s.tail) return 0;
        fits = (uint32_t)part <= capacity;
        if (fits) window_read(&s, s.position + AP_STREAM_HEAD, data, (uint32_t)part);
        if (!stream_same(&s)) continue;
        next = s.position + AP_STREAM_ROOM((uint32_t)part);
        /* STREAM-R4 pairs STREAM-A4 */
        if (fits && !ap_cas(&ap_stream_at(seg, task.slot)->head, &s.head, next)) continue;
        *ret = (struct ap_stream_part){AP_STREAM_ATTEMPT(s.begun), (uint32_t)(part >> 32), (uint32_t)part};
        if (fits) stream_taken(seg, &s, task.slot, next);
        return 1;
    }
    return 0;
}

uint32_t ap_stream_sent(const struct ap_segment *seg, apiary_task_t task, uint64_t word)
{
    const struct ap_stream *at = ap_stream_at(seg, task.slot);
    uint64_t begun = at != NULL ? ap_load_acquire(&at->begun) : 0; /* STREAM-A1 pairs STREAM-R1 */

    if (!AP_STREAM_IS_OF(begun, task) || AP_STREAM_ATTEMPT(begun) != ap_stream_attempt(ap_slot_at(seg, task.slot), word)) return 0;
    return (uint32_t)(ap_load_relaxed(&at->sent) - ap_load_relaxed(&at->first));
}

void ap_stream_wake(struct ap_segment *seg, uint32_t index)
{
    const struct ap_slot *slot = ap_slot_at(seg, index);
    uint64_t word = slot != NULL ? ap_load_acquire(&slot->word) : 0; /* TASK-A2 pairs TASK-R2 */
    struct ap_lane *lane = AP_WORD_STATE(word) == AP_TASK_RUNNING ? ap_lane_at(seg, AP_WORD_OWNER(word)) : NULL;

    if (lane != NULL && ap_task_requested(slot, word, AP_REQUEST_PARTS)) ap_bell_ring(seg->ops, &lane->bell);
}

bool ap_stream_look(const struct ap_segment *seg, apiary_task_t task, struct ap_stream_view *ret)
{
    for (int reads = 0; reads < READS; reads++) {
        struct seen_stream s;
        uint64_t part, unread = 0, sent;

        if (!stream_seen(seg, task, &s) || s.window == NULL) return false;
        for (uint64_t p = s.position; p != s.tail && part_at(&s, p, &part); p += AP_STREAM_ROOM((uint32_t)part)) unread++;
        sent = ap_load_relaxed(&s.at->sent) - ap_load_relaxed(&s.at->first);
        if (!stream_same(&s)) continue;
        *ret = (struct ap_stream_view){.attempt = AP_STREAM_ATTEMPT(s.begun), .sent = sent, .unread = unread,
                                       .bytes = s.tail - s.position, .capacity = s.capacity,
                                       .wants = ap_load_relaxed(&s.at->wants)};
        return true;
    }
    return false;
}

void ap_stream_leave(struct ap_segment *seg, uint32_t index, uint64_t word)
{
    uint64_t window = ap_stream_window(seg, index, word);

    if (window != 0) ap_pool_free_attached(seg, index, AP_WORD_GENERATION(word), window);
}

/* ---- its part --------------------------------------------------------------------------------------------------- */

static void look_window(struct ap_look *look, const struct ap_stream *at, uint64_t word)
{
    uint64_t window = ap_look_64(look, &at->window), begin = ap_look_64(look, &at->begin), tail = ap_look_64(look, &at->tail);
    uint64_t head = ap_look_64(look, &at->head), position = stream_position(head, begin, tail), capacity, block;

    look->patient = true; /* it may be about to be freed, or another attempt may begin */
    if (ap_pool_block(look->seg, window, &capacity, &block) < 0 ||
        block != AP_BLOCK(AP_BLOCK_STREAM, look->index, AP_WORD_GENERATION(word)))
        ap_look_found(look, AP_CORRUPT, &at->window, word ^ window, "V2", "the window at %llu is not attached to it",
                      (unsigned long long)window);
    else if (tail - begin > tail || tail - position > capacity || ((begin | tail | position) & 7) != 0)
        ap_look_found(look, AP_CORRUPT, &at->tail, word ^ tail, "V1", "positions %llu, %llu, %llu in a window of %llu",
                      (unsigned long long)begin, (unsigned long long)position, (unsigned long long)tail,
                      (unsigned long long)capacity);
    look->patient = false;
}

static void look_stream(struct ap_look *look)
{
    const struct ap_stream *at = ap_stream_at(look->seg, look->index);
    const struct ap_slot *slot = ap_slot_at(look->seg, look->index);
    const struct ap_slab *slab = ap_slab_at(look->seg, look->index / AP_SLAB_SLOTS);
    uint64_t begun = ap_look_64(look, &at->begun), generation = begun >> 26;
    uint64_t word = slot != NULL ? ap_look_64(look, &slot->word) : 0, lease = slab != NULL ? ap_look_64(look, &slab->lease) : 0;
    uint32_t state = AP_WORD_STATE(word);

    if (slot == NULL) return; /* of what was salvaged */
    if ((begun >> 8 & AP_STREAM_EPOCH_MASK) != (AP_LEASE_EPOCH(lease) & AP_STREAM_EPOCH_MASK)) return;
    if (generation > AP_WORD_GENERATION(word))
        ap_look_found(look, AP_CORRUPT, &at->begun, word ^ begun, "V3", "generation %llu; its slot has %llu",
                      (unsigned long long)generation, (unsigned long long)AP_WORD_GENERATION(word));
    if (generation == AP_WORD_GENERATION(word) && (ap_task_waits(state) || state == AP_TASK_RUNNING || ap_task_ended(state)))
        look_window(look, at, word);
}

static uint64_t streams_count(const struct ap_geometry *g)
{
    return g->tasks;
}

static const struct ap_field stream_fields[] = {
    AP_FIELD(ap_stream, begun), AP_FIELD(ap_stream, window), AP_FIELD(ap_stream, begin), AP_FIELD(ap_stream, tail),
    AP_FIELD(ap_stream, sent), AP_FIELD(ap_stream, first), AP_FIELD(ap_stream, wants), AP_FIELD(ap_stream, waits),
    AP_FIELD(ap_stream, head), {NULL, 0, 0},
};
const struct ap_part ap_part_streams = {
    .name = "streams", .element = "stream", .size = sizeof(struct ap_stream), .count = streams_count, .fields = stream_fields,
    .numbers = AP_NO_NUMBERS, .look = look_stream,
    .withdraw = ap_part_nothing, .settle = ap_part_nothing,
};
