/* core/config_check.c - values of a configuration tree and what they may be; the sentences that refuse the others. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/apiary.h"
#include "core/config.h"
#include "core/text.h"

struct unit {
    const char *name;
    int64_t factor;
};

/* From the largest, so that a value is shown in the largest unit that divides it. */
static const struct unit durations[] = {{"h", INT64_C(3600000000000)},
                                        {"m", INT64_C(60000000000)},
                                        {"s", 1000000000},
                                        {"ms", 1000000},
                                        {"us", 1000},
                                        {"ns", 1}};
static const struct unit sizes[] = {
    {"TiB", INT64_C(1) << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};

#define UNITS(table) (sizeof(table) / sizeof(table)[0])

/* A terminal obeys control characters, and a quoted text can hold any. C2 80 to C2 9F are those of Latin-1 in UTF-8. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f) *p = '?';
        if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) p[0] = p[1] = '?';
    }
}

/* A long path keeps its end: the sentence matters more. */
static int print_place(char *text, size_t size, const char *file, unsigned line)
{
    size_t length = strlen(file), keep = 160;
    const char *dots = "";

    if (length > keep) {
        file += length - keep;
        while (((unsigned char)*file & 0xc0) == 0x80)
            file++;
        dots = "...";
    }
    if (line == 0) return snprintf(text, size, "%s%s: ", dots, file);
    return snprintf(text, size, "%s%s:%u: ", dots, file, line);
}

static void print_refusal(const struct ap_node *at, unsigned line, struct ap_config_error *error, const char *format,
                          va_list args) __attribute__((format(printf, 4, 0)));

static void print_refusal(const struct ap_node *at, unsigned line, struct ap_config_error *error, const char *format,
                          va_list args)
{
    int n;

    if (error == NULL) return;
    n = print_place(error->text, sizeof error->text, at->file, line);
    ap_vformat(error->text + n, sizeof error->text - (size_t)n, format, args);
    make_printable(error->text);
}

int ap_node_refuse(const struct ap_node *at, struct ap_config_error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_refusal(at, at->line, error, format, args);
    va_end(args);
    return APIARY_ECONFIG;
}

int ap_node_refuse_line(const struct ap_node *at, unsigned line, struct ap_config_error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_refusal(at, line, error, format, args);
    va_end(args);
    return APIARY_ECONFIG;
}

static size_t keys_find(const struct ap_node *map, const char *key)
{
    if (map == NULL || map->kind != AP_NODE_MAP) return SIZE_MAX;
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i], key) == 0) return i;
    return SIZE_MAX;
}

const struct ap_node *ap_node_get(const struct ap_node *map, const char *key)
{
    size_t i = keys_find(map, key);
    return i != SIZE_MAX ? map->items[i] : NULL;
}

unsigned ap_node_key_line(const struct ap_node *map, const char *key)
{
    size_t i = keys_find(map, key);
    return i != SIZE_MAX ? map->key_lines[i] : 0;
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

/* Digits, single '_' between them, no leading zero. Returns where they end, NULL: no number, or past INT64_MAX. */
static const char *read_digits(const char *at, int64_t *ret)
{
    int64_t value = 0;

    if (*at < '0' || *at > '9' || (*at == '0' && at[1] >= '0' && at[1] <= '9')) return NULL;
    for (;; at++) {
        if (*at == '_' && at[1] >= '0' && at[1] <= '9') continue;
        if (*at < '0' || *at > '9') break;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *at - '0', &value)) return NULL;
    }
    *ret = value;
    return at;
}

static bool read_whole(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    int64_t value = 0;
    const char *end = read_digits(text + negative, &value);

    if (end == NULL || *end != '\0') return false;
    *ret = negative ? -value : value;
    return true;
}

static bool read_with_unit(const char *text, const struct unit *units, size_t count, int64_t bare, int64_t *ret)
{
    int64_t value = 0, factor = 0;
    const char *end = read_digits(text, &value);

    if (end == NULL) return false;
    if (*end == '\0') factor = bare;
    for (size_t i = 0; i < count && factor == 0; i++)
        if (strcmp(end, units[i].name) == 0) factor = units[i].factor;
    if (factor == 0 || __builtin_mul_overflow(value, factor, &value)) return false;
    *ret = value;
    return true;
}

static bool keys_read_number(const struct ap_node *node, char type, int64_t *ret)
{
    if (node->kind != AP_NODE_TEXT) return false;
    switch (type) {
    case 'i':
        return !node->quoted && read_whole(node->text, ret);
    case 'd':
        return read_with_unit(node->text, durations, UNITS(durations), 1000000, ret);
    case 'z':
        return read_with_unit(node->text, sizes, UNITS(sizes), 1, ret);
    case 'b':
        if (node->quoted || (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0)) return false;
        *ret = node->text[0] == 't';
        return true;
    default:
        return false;
    }
}

void ap_number_print(char *text, size_t size, char type, int64_t value)
{
    const struct unit *units = type == 'd' ? durations : sizes;
    size_t i = 0, count = type == 'd' ? UNITS(durations) : UNITS(sizes);

    if (type == 'i' || value == 0) {
        snprintf(text, size, "%lld", (long long)value);
        return;
    }
    while (i + 1 < count && value % units[i].factor != 0)
        i++;
    snprintf(text, size, "%lld%s", (long long)(value / units[i].factor), units[i].name);
}

int64_t ap_node_number(const struct ap_node *map, const char *key, char type, int64_t otherwise)
{
    const struct ap_node *node = ap_node_get(map, key);
    int64_t value = otherwise;

    if (node == NULL || !keys_read_number(node, type, &value)) return otherwise;
    return value;
}

const char *ap_node_text(const struct ap_node *map, const char *key, const char *otherwise)
{
    const struct ap_node *node = ap_node_get(map, key);
    return node != NULL && node->kind == AP_NODE_TEXT ? node->text : otherwise;
}

/* ---- the schema ----------------------------------------------------------------------------------------------- */

static size_t length_limited(const char *text)
{
    return strnlen(text, 32);
}

/* Edit distance of two short words; an exchange of neighbours counts as one. */
static unsigned keys_distance(const char *a, const char *b)
{
    unsigned char d[33][33];
    size_t n = length_limited(a), m = length_limited(b);

    for (size_t i = 0; i <= n; i++)
        d[i][0] = (unsigned char)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1u < best) best = d[i - 1][j] + 1u;
            if (d[i][j - 1] + 1u < best) best = d[i][j - 1] + 1u;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1u < best)
                best = d[i - 2][j - 2] + 1u;
            d[i][j] = (unsigned char)best;
        }
    }
    return d[n][m];
}

/* blocks_2MiB is no slip for blocks_256B: who writes a number means it. (But the version behind an '@' may be the slip.) */
static bool same_digits(const char *a, const char *b)
{
    static const char digits[] = "0123456789@";

    for (;; a++, b++) {
        a += strcspn(a, digits);
        b += strcspn(b, digits);
        if (*a != *b) return false;
        if (*a == '\0' || *a == '@') return true;
    }
}

bool ap_word_near(const char *word, const char *meant)
{
    size_t length = length_limited(meant);
    return keys_distance(word, meant) <= (length >= 6 ? 2u : length >= 3 ? 1u : 0u) && same_digits(word, meant);
}

const char *ap_word_nearest(const char *word, const char *meant, const char *other)
{
    if (!ap_word_near(word, other)) return meant;
    return meant == NULL || keys_distance(word, other) < keys_distance(word, meant) ? other : meant;
}

void ap_words_add(char *list, size_t size, const char *word)
{
    static const char more[] = ", ...";
    size_t at = strlen(list);

    if (at >= 3 && strcmp(list + at - 3, "...") == 0) return;
    if (at + 2 + strlen(word) + sizeof more <= size)
        snprintf(list + at, size - at, "%s%s", at > 0 ? ", " : "", word);
    else if (at + sizeof more <= size)
        memcpy(list + at, more, sizeof more);
}

static int refuse_unknown(const struct ap_node *map, size_t i, const struct ap_key *keys, struct ap_config_error *error)
{
    const char *near = NULL;
    char allowed[768] = "";

    for (const struct ap_key *k = keys; k->name != NULL; k++) {
        near = ap_word_nearest(map->keys[i], near, k->name);
        ap_words_add(allowed, sizeof allowed, k->name);
    }
    return ap_node_refuse_line(map, map->key_lines[i], error, "%s: unknown key%s%s%s; %s%s",
                               AP_SHOWN(map->keys[i], 64),
                               near != NULL ? " (did you mean '" : "", near != NULL ? near : "",
                               near != NULL ? "'?)" : "", keys->name != NULL ? "allowed: " : "no key is allowed here",
                               allowed);
}

static const char *keys_expected(char type)
{
    switch (type) {
    case 's':
        return "a text";
    case 'i':
        return "a whole number, without quotes";
    case 'b':
        return "true or false, without quotes";
    case 'l':
        return "a text or a list of texts";
    case 'd':
        return "a duration such as 250ms, 30s, 5m (ns us ms s m h; a bare number is milliseconds)";
    case 'z':
        return "a size such as 512, 64KiB, 2MiB (B KiB MiB GiB TiB; a bare number is bytes)";
    case 'm':
        return "a mapping (key: value)";
    case 'e':
        return "a text, or a list of texts and mappings";
    default:
        return "a list of mappings";
    }
}

static int refuse_type(const struct ap_node *node, const struct ap_key *key, struct ap_config_error *error)
{
    const char *want = keys_expected(key->type);

    if (node->kind == AP_NODE_LIST) return ap_node_refuse(node, error, "%s: is a list; expected %s", key->name, want);
    if (node->kind == AP_NODE_MAP) return ap_node_refuse(node, error, "%s: is a mapping; expected %s", key->name, want);
    if (node->text[0] == '\0') return ap_node_refuse(node, error, "%s: is empty; expected %s", key->name, want);
    return ap_node_refuse(node, error, "%s: %s%s%s is not allowed; expected %s", key->name,
                          node->quoted ? "\"" : "'", AP_SHOWN(node->text, 40), node->quoted ? "\"" : "'", want);
}

/* YAML reads these as "nothing"; a text that is one of them is quoted. */
static bool is_text(const struct ap_node *node)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL"};

    if (node->kind != AP_NODE_TEXT) return false;
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++)
        if (!node->quoted && strcmp(node->text, nothing[i]) == 0) return false;
    return true;
}

/* A number well written, that no 64 bits hold. */
static bool is_huge(const struct ap_node *node, char type)
{
    const char *digits = node->kind == AP_NODE_TEXT ? node->text + (node->text[0] == '-') : "";

    size_t size = strlen(digits);

    return type != 'b' && !node->quoted && digits[0] != '0' && size >= 19 && strspn(digits, "0123456789") == size;
}

static int check_number(const struct ap_node *node, const struct ap_key *key, struct ap_config_error *error)
{
    char min[32], max[32];
    int64_t value = 0;
    bool unbounded = key->min == 0 && key->max == 0;

    if (!keys_read_number(node, key->type, &value)) {
        if (!is_huge(node, key->type)) return refuse_type(node, key, error);
        if (unbounded) return ap_node_refuse(node, error, "%s: %s is out of range", key->name, AP_SHOWN(node->text, 40));
    } else if (key->type == 'b' || unbounded || (value >= key->min && value <= key->max)) {
        return 0;
    }
    ap_number_print(min, sizeof min, key->type, key->min);
    ap_number_print(max, sizeof max, key->type, key->max);
    return ap_node_refuse(node, error, "%s: %s is out of range; allowed: %s to %s", key->name, AP_SHOWN(node->text, 40), min,
                          max);
}

static int check_items(const struct ap_node *node, const struct ap_key *key, struct ap_config_error *error)
{
    if (key->required && node->count == 0)
        return ap_node_refuse(node, error, "%s: is an empty list; expected at least one item%s%s", key->name,
                              key->what != NULL ? ": " : "", key->what != NULL ? key->what : "");
    for (size_t i = 0; i < node->count; i++) {
        const struct ap_node *item = node->items[i];
        bool text = key->type != 'L' && is_text(item), map = key->type != 'l' && item->kind == AP_NODE_MAP;
        if (!text && !map)
            return ap_node_refuse(item, error, "%s: item %zu is not %s; expected %s", key->name, i + 1,
                                  key->type == 'l'   ? "a text"
                                  : key->type == 'L' ? "a mapping"
                                                     : "a text or a mapping",
                                  keys_expected(key->type));
    }
    return 0;
}

static int check_value(const struct ap_node *node, const struct ap_key *key, struct ap_config_error *error)
{
    switch (key->type) {
    case 'i':
    case 'd':
    case 'z':
    case 'b':
        return check_number(node, key, error);
    case 's':
        return is_text(node) ? 0 : refuse_type(node, key, error);
    case 'l':
    case 'e':
        if (is_text(node)) return 0;
        return node->kind == AP_NODE_LIST ? check_items(node, key, error) : refuse_type(node, key, error);
    case 'L':
        return node->kind == AP_NODE_LIST ? check_items(node, key, error) : refuse_type(node, key, error);
    case 'm':
        return node->kind == AP_NODE_MAP ? 0 : refuse_type(node, key, error);
    default:
        return 0;
    }
}

int ap_node_check(const struct ap_node *map, const struct ap_key *keys, struct ap_config_error *error)
{
    if (map->kind != AP_NODE_MAP)
        return ap_node_refuse(map, error, "%s; expected a mapping (key: value)",
                              map->kind == AP_NODE_LIST ? "this is a list" : "this is a text");
    for (size_t i = 0; i < map->count; i++) {
        const struct ap_key *k = keys;
        int r;
        while (k->name != NULL && strcmp(k->name, map->keys[i]) != 0)
            k++;
        if (k->name == NULL) return refuse_unknown(map, i, keys, error);
        r = check_value(map->items[i], k, error);
        if (r < 0) return r;
    }
    for (const struct ap_key *k = keys; k->name != NULL; k++) {
        if (!k->required || keys_find(map, k->name) != SIZE_MAX) continue;
        return ap_node_refuse(map, error, "%s: missing%s%s; expected %s", k->name, k->what != NULL ? ": " : "",
                              k->what != NULL ? k->what : "", keys_expected(k->type));
    }
    return 0;
}
