/* shm/crowd.h - a queue's shared ring: each lane that has no inlet has its turn there, and its place.
 *
 * WHY       Inlets are few, and a lane that has one keeps it, also when it asks for nothing. All others meet in the shared ring. A
 *           lane that floods it is to take neither the turns nor the places of the rest.
 * WHOSE     A reference belongs to the lane that holds its task's slab. A hint: a stale one counts for some lane, for one turn.
 * TURNS     1 The consumer serves the ring in rounds: of each lane that has something there the oldest reference that is left. It
 *           stays at the ring until a round is over. So the lanes of the ring are served like the holders of inlets, each as often
 *           as one of those.
 *           2 To that end it looks at the first AP_CROWD_WINDOW references, and gives each the round after the one before it of the
 *           same lane, or the round under way. References of one lane keep their order.
 *           3 A reference that is served out of the ring's order is taken out of its cell by compare-and-swap: a hole is left, with
 *           the cell's lap and reference 0. `head` moves on when everything before is served, over the holes there. A reference
 *           that was taken out is lost with the consumer, as one that `head` has passed.
 *           4 Lanes whose numbers are alike modulo AP_CROWD_LANES share their turns.
 *           5 All this is so for the references of each rank (rank.h), and of the ranks the consumer says which one it takes.
 * WAITING   1 A task that may not be started yet (registry/routing/places.h) is passed over, and stays where it is. Its round stays
 *           under way; those of the round that may be started are served in it, and then those of the next.
 *           2 So is one of a rank whose turn it is not.
 *           3 Where what is passed over is the first of the ring, and half of the window lies behind it with some holes, all that
 *           was looked at goes to the ring's end: the holes take up places. It keeps its rounds and its order, also before what its
 *           lanes have pushed while it went.
 *           4 Only where more lies behind the window than that has room for beside it (so many come by redelivery and re-routing
 *           alone, see PLACES 2), the first goes and nothing else, behind what is younger of its lane: so that what is behind the
 *           window is looked at in the end.
 *           5 Behind AP_CROWD_WINDOW tasks that all wait nothing is looked at.
 * PLACES    1 A lane may push into the ring as long as it has fewer references of the rank there than places are left. With n lanes
 *           that push all they can, each in one rank, each has an n + 1st part of the ring, and one part is left for whoever comes.
 *           2 AP_CROWD_WINDOW places count, however deep the ring is. Redelivery and re-routing may fill all of it.
 *           3 Holes are nobody's, and no places that are left. A flood makes room for the holes of those who are served beside it,
 *           since it may have no more references than places are left.
 *           4 The references are counted by a look at all their cells, and only when half of the places are taken or more. There
 *           is no count that a death could leave wrong.
 * COUNT     ring.rounds: the rounds that have begun. A round counts with the first that is taken of it, if none of a later one was
 *           before; those of each rank count apart.
 * LAYOUT    Nothing but the holes and the count in the segment: the rounds are private to the consumer, and begin anew when the
 *           head is not where it left it. Then what is there has the order of the ring, also where some of it had gone to the end.
 * INVARIANTS Q14 rounds is 0 in an inlet, and in the shared ring not more than its references, once for each consumer of the queue
 * THREADS   pop: the consumer's. The looks: any.
 */
#ifndef AP_CROWD_H
#define AP_CROWD_H

#include "shm/rank.h"

struct ap_segment;
struct ap_consumer;
struct ap_ring;

#define AP_CROWD_WINDOW 256u
#define AP_CROWD_LANES 256u

/* The turns of one rank. */
struct ap_crowd_turns {
    uint64_t round;                  /* under way */
    uint64_t counted;                /* the latest of which something was taken in turn */
    uint64_t latest[AP_CROWD_LANES]; /* the round of each lane's last reference */
    /* The references of each round that are not served, in the ring's order: positions modulo the window, + 1; 0: none. */
    uint16_t first[AP_CROWD_WINDOW], last[AP_CROWD_WINDOW];
    uint32_t left; /* in all rounds */
};
/* Private memory of the consumer. All zeros: it has not looked yet. */
struct ap_crowd {
    uint64_t head, seen; /* positions: where it left the head, and up to where the references have their rounds */
    struct ap_crowd_turns of[AP_RANKS];
    uint16_t next[AP_CROWD_WINDOW]; /* in its round */
    uint8_t rank[AP_CROWD_WINDOW];
    uint64_t served[AP_CROWD_WINDOW / 64]; /* bits of positions from head to seen, holes among them */
};

/* Bits of the ranks of which something is there. */
uint32_t ap_crowd_ranks(struct ap_consumer *c);
/* The next reference of a rank that may be started (NULL: all may), its lap removed; 0: there is none. pop takes it, sets the
 * consumer's turn, and moves the ring's head. any: it stays where it is. */
typedef bool (*ap_may_fn)(void *user, uint64_t ref);
uint64_t ap_crowd_pop(struct ap_consumer *c, enum ap_rank rank, ap_may_fn may, void *user);
uint64_t ap_crowd_any(struct ap_consumer *c, enum ap_rank rank, ap_may_fn may, void *user);
/* Takes the oldest of a rank, unless its task was queued after that time. 0: there is none. */
uint64_t ap_crowd_pop_before(struct ap_consumer *c, enum ap_rank rank, uint64_t queued);
/* Whether the lane may push one more of a rank into the shared ring, of which so many places are `used`. */
bool ap_crowd_room(const struct ap_segment *seg, uint32_t queue, uint32_t lane, enum ap_rank rank, uint64_t used);
/* Where the head rests if it is to be at `head`: behind the holes there. */
uint64_t ap_crowd_head(const struct ap_segment *seg, struct ap_ring *ring, uint64_t head);
/* How many references in the shared ring are each lane's, of the ranks whose bits are set. */
void ap_crowd_count(const struct ap_segment *seg, uint32_t queue, uint32_t ranks, uint16_t ret[AP_CROWD_LANES]);

#endif
