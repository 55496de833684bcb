/* fencing.c - why a lock is not enough, and what is: the token of a claim, checked where the effect happens.
 * cc fencing.c $(pkg-config --cflags --libs apiary) && ./a.out
 *
 * Two writers share a record. The first claims it for 50 ms and then stands still, as a process may at any time. The second one
 * takes the claim over and writes. Then the first goes on: it does not know that its time is over, and writes, too. The store sees
 * that its token is not the newest, and refuses. */
#include <apiary.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KEY "examples/record"
#define MS 1000000u

/* The place of the effect. It keeps the highest token that it has seen, and lets no older one write. That it asks the segment, too,
 * is what refuses a holder whose claim was released, or whose time is over, before a newer one has written. */
struct store {
    apiary_t *a;
    uint64_t newest;
    char text[64];
};

static int store_write(struct store *s, uint64_t token, const char *text)
{
    int rc = token < s->newest ? APIARY_ESTALE : apiary_claim_check(s->a, KEY, token);

    printf("the store %s \"%s\" under token %llu\n", rc == 0 ? "accepts" : "refuses", text, (unsigned long long)token);
    if (rc != 0) return rc;
    s->newest = token;
    snprintf(s->text, sizeof s->text, "%s", text);
    return 0;
}

static int claims(apiary_t *a, uint64_t ttl, enum apiary_claim_policy policy, uint64_t *token)
{
    apiary_claim_options_t o = {.struct_size = sizeof o, .policy = policy};
    apiary_claim_t claim = {.struct_size = sizeof claim};
    int rc = apiary_claim(a, KEY, ttl, &o, &claim);

    if (rc == 0) *token = claim.token;
    else fprintf(stderr, "claim: %s; %s\n", apiary_strerror(rc), apiary_advice(rc));
    return rc;
}

int main(void)
{
    const struct timespec pause = {.tv_nsec = 100 * (long)MS};
    struct store store = {.newest = 0};
    uint64_t first = 0, second = 0;
    apiary_t *one = NULL, *other = NULL;
    int rc = apiary_attach(NULL, NULL, &one);

    if (rc == 0) rc = apiary_attach(NULL, NULL, &other);
    if (rc < 0) {
        fprintf(stderr, "attach: %s; %s\n", apiary_strerror(rc), apiary_advice(rc));
        return 3;
    }
    store.a = one;
    rc = claims(one, 50 * MS, APIARY_CLAIM_FAIL, &first);
    nanosleep(&pause, NULL); /* it stands still: swapped out, stopped, or slow */
    if (rc == 0) rc = claims(other, APIARY_FOREVER, APIARY_CLAIM_STEAL_IF_EXPIRED, &second);
    if (rc == 0) rc = store_write(&store, second, "by the second");
    if (rc == 0 && store_write(&store, first, "by the first, late") != APIARY_ESTALE) rc = 1;
    if (rc == 0) rc = apiary_claim_release(other, KEY, second);
    if (rc == 0) printf("the record is \"%s\"\n", store.text);
    apiary_detach(other);
    apiary_detach(one);
    return rc != 0 || strcmp(store.text, "by the second") != 0;
}
