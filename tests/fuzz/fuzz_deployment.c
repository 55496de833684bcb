/* tests/fuzz/fuzz_deployment.c - the file of a host: refused with a sentence, or complete and in range.
 *
 * Input: whether kinds are looked at (1 byte), the text. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agents/deployment/deployment.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_target[] = "deployment";
const size_t fuzz_longest = 1 << 15;

static const apiary_agent_key_t echo_keys[] = {{"text", 's', 0, "a text", 0, 0},
                                               {"count", 'i', 0, "a number", 0, 0},
                                               {"flag", 'b', 0, "a flag", 0, 0},
                                               {"words", 'l', 0, "texts", 0, 0},
                                               {"wait", 'd', 0, "duration", 0, 0},
                                               {"room", 'z', 1, "size", 0, 0},
                                               {.name = NULL}};
static const apiary_agent_kind_t echo = {APIARY_AGENT_KIND, .name = "echo", .what = "says it again"};
static const apiary_agent_kind_t keyed = {
    APIARY_AGENT_KIND, .name = "keyed", .what = "has keys", .keys = echo_keys};
static const apiary_agent_kind_t *const kinds[] = {&echo, &keyed, NULL};

static void swarm_check(const struct ap_deployment *d, const struct ap_deployment_swarm *s)
{
    FUZZ_REQUIRE(s->service != NULL && s->instances >= 1 && s->workers >= 1 && s->agent_count >= 1);
    FUZZ_REQUIRE(ap_deployment_swarm(d, s->service) == s);
    for (size_t i = 0; i < s->agent_count; i++) {
        const struct ap_deployment_agent *a = &s->agents[i];

        FUZZ_REQUIRE(a->name != NULL && (a->kind != NULL || a->plugin != NULL) && a->worker < s->workers);
        FUZZ_REQUIRE(a->capabilities[a->capability_count] == NULL);
        for (size_t c = 0; c < a->capability_count; c++)
            FUZZ_REQUIRE(a->capabilities[c][0] != '\0');
    }
    for (size_t i = 0; i < s->check_count; i++)
        FUZZ_REQUIRE(s->checks[i].capability != NULL &&
                     (s->checks[i].expect != NULL || s->checks[i].expect_match != NULL));
}

static void check(const struct ap_deployment *d)
{
    struct ap_geometry g = d->segment.geometry;
    struct ap_config_error error;
    char message[256];

    FUZZ_REQUIRE(ap_geometry_normalise(&ap_registry_parts, &g, message, sizeof message) == 0);
    FUZZ_REQUIRE(memcmp(&g, &d->segment.geometry, sizeof g) == 0); /* complete already */
    for (size_t i = 0; i < d->swarm_count; i++)
        swarm_check(d, &d->swarms[i]);
    for (size_t n = 0; n < 1000 && ap_deployment_unchecked(d, n, &error) != NULL; n++)
        FUZZ_REQUIRE(strnlen(error.text, sizeof error.text) < sizeof error.text);
}

void fuzz_one(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[32];
    struct ap_config_error error = {{0}};
    struct ap_deployment *d = NULL;
    int r;

    if (size == 0) return;
    if (file < 0) {
        FUZZ_REQUIRE((file = memfd_create("deployment", MFD_CLOEXEC)) >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (memmem(data, size, "plugin", 6) != NULL && memmem(data, size, ".so", 3) != NULL)
        return; /* it would be loaded */
    FUZZ_REQUIRE(ftruncate(file, 0) == 0 && pwrite(file, data + 1, size - 1, 0) == (ssize_t)size - 1);
    r = ap_deployment_load(path, (data[0] & 1) != 0 ? kinds : NULL, &d, &error);
    FUZZ_REQUIRE(r == 0 || r == APIARY_ECONFIG);
    if (r < 0) {
        FUZZ_REQUIRE(error.text[0] != '\0' && strnlen(error.text, sizeof error.text) < sizeof error.text);
        return;
    }
    check(d);
    ap_deployment_free(d);
}
