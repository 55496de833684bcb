/* tests/fuzz/fuzz_config.c - configuration text: refused with one printable sentence, or a tree that keeps its promises;
 * by itself, and as that of an agent.
 *
 * Input: the text. */
#include <stdlib.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "core/apiary.h"
#include "core/config.h"
#include "tests/fuzz/fuzz.h"

const char fuzz_target[] = "config";
const size_t fuzz_longest = 1 << 15;

static void sentence_check(const struct ap_config_error *error)
{
    size_t n = strnlen(error->text, sizeof error->text);

    FUZZ_REQUIRE(n > 0 && n < sizeof error->text);
    for (size_t i = 0; i < n; i++) FUZZ_REQUIRE((uint8_t)error->text[i] >= 0x20 && error->text[i] != 0x7f);
}

static void numbers_check(const struct ap_node *map)
{
    const struct ap_key keys[] = {{.name = "n", .type = 'i', .min = -5, .max = 5}, {.name = "d", .type = 'd'},
                                  {.name = "z", .type = 'z', .max = 1 << 20},      {.name = "b", .type = 'b'},
                                  {.name = "s", .type = 's'},                      {.name = "l", .type = 'l'},
                                  {.name = "m", .type = 'm'},                      {.name = "L", .type = 'L'},
                                  {.name = "a", .type = 'a', .required = true},    {.name = NULL}};
    struct ap_config_error error = {{0}};
    int r = ap_node_check(map, keys, &error);

    FUZZ_REQUIRE(r == 0 || r == APIARY_ECONFIG);
    if (r < 0) {
        sentence_check(&error);
        return;
    }
    FUZZ_REQUIRE(ap_node_number(map, "n", 'i', 0) >= -5 && ap_node_number(map, "n", 'i', 0) <= 5);
    FUZZ_REQUIRE(ap_node_number(map, "d", 'd', 0) >= 0);
    FUZZ_REQUIRE(ap_node_number(map, "z", 'z', 0) >= 0 && ap_node_number(map, "z", 'z', 0) <= 1 << 20);
    FUZZ_REQUIRE((uint64_t)ap_node_number(map, "b", 'b', 0) <= 1);
    FUZZ_REQUIRE(ap_node_text(map, "s", "") != NULL && ap_node_get(map, "a") != NULL);
}

static uint32_t walk(const struct ap_node *node, unsigned depth)
{
    uint32_t count = 1;

    FUZZ_REQUIRE(depth <= 16 && node->line >= 1 && node->file != NULL);
    if (node->kind == AP_NODE_TEXT) {
        FUZZ_REQUIRE(node->text != NULL);
        fuzz_touch(node->text, strlen(node->text));
        return 1;
    }
    FUZZ_REQUIRE(node->kind == AP_NODE_LIST || node->kind == AP_NODE_MAP);
    FUZZ_REQUIRE(node->kind == AP_NODE_LIST || node->count <= 256);
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == AP_NODE_MAP) {
            FUZZ_REQUIRE(ap_node_get(node, node->keys[i]) == node->items[i]);
            FUZZ_REQUIRE(ap_node_key_line(node, node->keys[i]) == node->key_lines[i]);
        }
        count += walk(node->items[i], depth + 1);
    }
    if (node->kind == AP_NODE_MAP) numbers_check(node);
    return count;
}

/* With the keys of the other mappings, so that the same texts get far. */
static void agent_check(const char *text)
{
    static const apiary_agent_key_t keys[] = {{.name = "n", .type = 'i', .what = "a number", .min = -5, .max = 5},
                                              {.name = "d", .type = 'd'},
                                              {.name = "z", .type = 'z', .max = 1 << 20},
                                              {.name = "b", .type = 'b'},
                                              {.name = "s", .type = 's'},
                                              {.name = "l", .type = 'l'},
                                              {.name = "m", .type = 'p'},
                                              {.name = "L", .type = 'c'},
                                              {.name = "a", .type = 's', .required = 1},
                                              {.name = NULL}};
    static const apiary_agent_kind_t kinds[] = {{APIARY_AGENT_KIND, .name = "fuzz", .keys = keys},
                                                {APIARY_AGENT_KIND, .name = "bare"}};

    for (size_t i = 0; i < 2; i++) {
        struct ap_config_error error = {{0}};
        struct ap_config *config = NULL;
        int r = ap_agent_config_parse(NULL, text, "agent", &kinds[i], &config, &error);

        FUZZ_REQUIRE(r == 0 || r == APIARY_ECONFIG);
        FUZZ_REQUIRE((r == 0) == (config != NULL));
        if (r < 0) sentence_check(&error);
        ap_config_free(config);
    }
}

void fuzz_one(const uint8_t *data, size_t size)
{
    struct ap_config_error error = {{0}};
    struct ap_config *config = NULL;
    char *text = calloc(size + 1, 1);
    int r;

    FUZZ_REQUIRE(text != NULL);
    memcpy(text, data, size);
    agent_check(text);
    free(text);
    r = ap_config_parse("fuzz", (const char *)data, size, &config, &error);

    FUZZ_REQUIRE(r == 0 || r == APIARY_ECONFIG);
    if (r < 0) {
        FUZZ_REQUIRE(config == NULL);
        sentence_check(&error);
        return;
    }
    FUZZ_REQUIRE(walk(ap_config_root(config), 0) <= 65536);
    ap_config_free(config);
}
