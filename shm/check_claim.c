/* shm/check_claim.c - the checker of claims, and their row of the table of parts. See check.h, claim.h. */
#include "core/name.h"
#include "shm/claim.h"
#include "shm/part.h"

#define LONG(n) ((unsigned long long)(n))

static uint64_t numbers_of(struct ap_look *look)
{
    return ap_look_64(look, &ap_claim_at(look->seg, 0)->numbers);
}

/* C1, for a row that names a lane. */
static void claim_owner(struct ap_look *look, const struct ap_claim *row, uint64_t word)
{
    uint32_t lane = AP_CLAIM_LANE(word);
    uint64_t life = 0;

    if (AP_CLAIM_STATE(word) == AP_CLAIM_HELD && lane == AP_NO_LANE) return;
    switch (ap_look_owner(look, lane, &life)) {
    case AP_OWNER_ABSENT:
        ap_look_found(look, AP_CORRUPT, &row->word, word, "C1", "lane %u is out of range", lane);
        break;
    case AP_OWNER_LIVE: break;
    default:
        look->patient = true;
        ap_look_found(look, AP_REPAIRABLE, &row->word, word ^ life, "C1", "in the hands of lane %u, which is not LIVE", lane);
    }
}

/* C2 and C5, of a row that has a key. Its hash. */
static uint64_t claim_key(struct ap_look *look, const struct ap_claim *row, uint64_t word)
{
    uint32_t rows = (uint32_t)look->seg->places[AP_SECTION_CLAIMS].count, size = ap_look_32(look, &row->size), home;
    uint64_t hash = ap_look_64(look, &row->hash), entering;
    char text[APIARY_CLAIM_KEY_MAX + 1];
    size_t n = ap_look_text(look, (const char *)row->key, sizeof text, "C2", "key", text);

    if (n == 0 || n != size) ap_look_found(look, AP_CORRUPT, &row->size, word ^ size, "C2", "a key of %u bytes", size);
    else if (ap_hash(text, n) != hash)
        ap_look_found(look, AP_CORRUPT, &row->hash, word ^ hash, "C2", "the key has another hash than %016llx", LONG(hash));
    home = (uint32_t)(hash % rows);
    entering = ap_look_64(look, &ap_claim_at(look->seg, home)->home);
    if ((look->index + rows - home) % rows >= AP_CLAIM_WINDOW && (entering & AP_CLAIM_SPILLED) == 0) {
        look->patient = true;
        ap_look_found(look, AP_CORRUPT, &ap_claim_at(look->seg, home)->home, word ^ entering, "C5",
                      "claim %llu lies outside the window of this home, which does not say so", LONG(look->index));
    }
    return hash;
}

/* C3: the same key once more. */
static void claim_unique(struct ap_look *look, const struct ap_claim *row, uint64_t word, uint64_t hash)
{
    for (uint64_t i = 0; i < look->index; i++) {
        const struct ap_claim *other = ap_claim_at(look->seg, i);
        uint64_t other_word;

        if (ap_look_64(look, &other->hash) != hash) continue;
        other_word = ap_look_64(look, &other->word);
        if (AP_CLAIM_STATE(other_word) < AP_CLAIM_FREE) continue;
        look->patient = true;
        ap_look_found(look, AP_CORRUPT, &row->word, word ^ other_word, "C3", "claim %llu has the same key", LONG(i));
    }
}

/* Whether a row that is being entered is in the hands of a living lane. */
static bool claim_entering(struct ap_look *look, const struct ap_claim *row)
{
    uint64_t word = ap_look_64(look, &row->word);

    return AP_CLAIM_STATE(word) != AP_CLAIM_FREE && ap_lane_alive(look->seg, AP_CLAIM_LANE(word));
}

/* C4, of the home's word. A row that a dead lane was entering is completed by who comes by. */
static void claim_home(struct ap_look *look, const struct ap_claim *row)
{
    uint64_t entering = ap_look_64(look, &row->home);
    uint32_t rows = (uint32_t)look->seg->places[AP_SECTION_CLAIMS].count, entered = AP_CLAIM_ENTERED(entering);

    if (entered == 0) return;
    look->patient = true;
    if (entered > rows) {
        ap_look_found(look, AP_CORRUPT, &row->home, entering, "C4", "claim %u, which is being entered, is none", entered - 1);
        return;
    }
    if (ap_look_64(look, &ap_claim_at(look->seg, entered - 1)->hash) % rows != look->index)
        ap_look_found(look, AP_CORRUPT, &row->home, entering, "C4", "claim %u, which is being entered, is not of this home",
                      entered - 1);
    else if (!claim_entering(look, ap_claim_at(look->seg, entered - 1)))
        ap_look_found(look, AP_REPAIRABLE, &row->home, entering, "C4", "claim %u is not entered completely", entered - 1);
}

static void look_claim(struct ap_look *look)
{
    const struct ap_claim *row = ap_claim_at(look->seg, look->index);
    uint64_t word = ap_look_64(look, &row->word), numbers;
    uint32_t state = AP_CLAIM_STATE(word), lane = AP_CLAIM_LANE(word);

    if (state == AP_CLAIM_HELD || state == AP_CLAIM_FILLING) claim_owner(look, row, word);
    else if (lane != 0) ap_look_found(look, AP_CORRUPT, &row->word, word, "C2", "state %u, lane %u", state, lane);
    numbers = numbers_of(look); /* after the word */
    if (AP_CLAIM_NUMBER(word) > numbers || (word != 0 && AP_CLAIM_NUMBER(word) == 0))
        ap_look_found(look, AP_CORRUPT, &row->word, word, "C2", "number %llu; %llu were given out", LONG(AP_CLAIM_NUMBER(word)),
                      LONG(numbers));
    if (look->index != 0) ap_look_zero(look, &row->numbers, sizeof row->numbers, "C2", "numbers");
    ap_look_zero(look, &row->reserved, sizeof row->reserved, "C2", "reserved");
    claim_home(look, row);
    if (state >= AP_CLAIM_FREE) claim_unique(look, row, word, claim_key(look, row, word));
}

static const struct ap_field claim_fields[] = {
    AP_FIELD(ap_claim, word), AP_FIELD(ap_claim, hash), AP_FIELD(ap_claim, until), AP_FIELD(ap_claim, who),
    AP_FIELD(ap_claim, home), AP_FIELD(ap_claim, turn), AP_FIELD(ap_claim, waiting), AP_FIELD(ap_claim, size),
    AP_FIELD(ap_claim, counts), AP_FIELD(ap_claim, numbers), AP_FIELD(ap_claim, key), {NULL, 0, 0},
};
static const struct ap_number claim_numbers[] = {
    {.key = "claims", .what = "keys that are claimed at a time", .at = AP_NUMBER_AT(claims), .otherwise = 128, .min = 1,
     .max = AP_CLAIMS_MAX, .counts = true},
    {.key = NULL},
};
const struct ap_part ap_part_claims = {
    .name = "claims", .element = "claim", .size = sizeof(struct ap_claim), .fields = claim_fields, .numbers = claim_numbers,
    .look = look_claim, .withdraw = ap_part_nothing, .settle = ap_claims_settle,
};
