/* agents/hex_server/version.c - see version.h. */
#include "agents/hex_server/version.h"

#include <string.h>

enum { EQ, NE, GE, LE, GT, LT, COMPATIBLE };

/* ---- versions ---------------------------------------------------------------------------------------------------- */

static bool version_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool version_letter(char c)
{
    return version_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static bool version_read_number(const char **at, const char *end, struct ap_version *v)
{
    const char *start = *at;
    while (*at < end && version_digit(**at))
        ++*at;
    size_t size = (size_t)(*at - start);
    if (size == 0 || (*start == '0' && size > 1)) return false;
    v->part[v->parts].digits = start;
    v->part[v->parts].size = size;
    return true;
}

/* Identifiers joined by dots, none empty; numbers without leading zeros where `strict`. */
static bool identifiers_valid(const char *at, const char *end, bool strict)
{
    while (true) {
        const char *start = at;
        bool digits = true;
        while (at < end && version_letter(*at))
            digits &= version_digit(*at++);
        if (at == start || (strict && digits && *start == '0' && at - start > 1)) return false;
        if (at == end) return true;
        if (*at++ != '.') return false;
    }
}

bool ap_version_parse(const char *text, size_t size, bool partial, struct ap_version *ret)
{
    const char *at = text, *end = text + size, *plus = memchr(text, '+', size);
    struct ap_version v = {.parts = 0, .part = {{"0", 1}, {"0", 1}, {"0", 1}}};
    if (plus && !identifiers_valid(plus + 1, end, false)) return false;
    if (plus) end = plus;
    for (; v.parts < 3; v.parts++) {
        if (v.parts > 0 && (at == end || *at != '.')) break;
        at += v.parts > 0;
        if (!version_read_number(&at, end, &v)) return false;
    }
    if (v.parts < (partial ? 2 : 3)) return false;
    if (at < end && *at == '-') {
        at++;
        if (!identifiers_valid(at, end, true)) return false;
        v.pre = at;
        v.pre_size = (size_t)(end - at);
        at = end;
    }
    if (at != end) return false;
    *ret = v;
    return true;
}

/* Without zeros at the front the longer number is the larger. */
static int compare_numbers(const char *a, size_t na, const char *b, size_t nb)
{
    if (na != nb) return na < nb ? -1 : 1;
    int c = memcmp(a, b, na);
    return (c > 0) - (c < 0);
}

static int compare_identifier(const char *a, size_t na, const char *b, size_t nb)
{
    bool da = true, db = true;
    for (size_t i = 0; i < na; i++)
        da &= version_digit(a[i]);
    for (size_t i = 0; i < nb; i++)
        db &= version_digit(b[i]);
    if (da != db) /* numbers are lower than words */
        return da ? -1 : 1;
    if (da) return compare_numbers(a, na, b, nb);
    int c = memcmp(a, b, na < nb ? na : nb);
    if (c == 0) return (na > nb) - (na < nb);
    return c < 0 ? -1 : 1;
}

static size_t identifier_size(const char *at, const char *end)
{
    const char *dot = memchr(at, '.', (size_t)(end - at));
    return (size_t)((dot ? dot : end) - at);
}

static int compare_pre(const struct ap_version *va, const struct ap_version *vb)
{
    const char *a = va->pre, *b = vb->pre;
    if (va->pre_size == 0 || vb->pre_size == 0) /* a pre-release is lower than its release */
        return (vb->pre_size != 0) - (va->pre_size != 0);
    const char *enda = a + va->pre_size, *endb = b + vb->pre_size;
    while (a < enda && b < endb) {
        size_t na = identifier_size(a, enda), nb = identifier_size(b, endb);
        int c = compare_identifier(a, na, b, nb);
        if (c != 0) return c;
        a += na + 1;
        b += nb + 1;
    }
    return (a < enda) - (b < endb);
}

static int compare_part(const struct ap_version *a, const struct ap_version *b, int i)
{
    return compare_numbers(a->part[i].digits, a->part[i].size, b->part[i].digits, b->part[i].size);
}

int ap_version_compare(const struct ap_version *a, const struct ap_version *b)
{
    for (int i = 0; i < 3; i++) {
        int c = compare_part(a, b, i);
        if (c != 0) return c;
    }
    return compare_pre(a, b);
}

/* ---- requirements ------------------------------------------------------------------------------------------------ */

struct comparison {
    int operator;
    struct ap_version version;
};

static void skip_space(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool read_comparison(const char **at, struct comparison *ret)
{
    static const struct {
        const char *text;
        int operator;
    } operators[] = {{"==", EQ}, {"!=", NE}, {">=", GE}, {"<=", LE}, {"~>", COMPATIBLE}, {">", GT}, {"<", LT}, {"!", NE}};
    skip_space(at);
    ret->operator= EQ;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strncmp(*at, operators[i].text, strlen(operators[i].text)) == 0) {
            ret->operator= operators[i].operator;
            *at += strlen(operators[i].text);
            break;
        }
    skip_space(at);
    size_t size = strcspn(*at, " \t");
    bool valid = ap_version_parse(*at, size, ret->operator== COMPATIBLE, &ret->version);
    *at += size;
    skip_space(at);
    return valid;
}

/* 'a' and, 'o' or, 0 the end, '?' anything else. */
static char read_joint(const char **at)
{
    char joint = **at == '\0'                                             ? 0
                 : strncmp(*at, "and", 3) == 0 && strchr(" \t", (*at)[3]) ? 'a'
                 : strncmp(*at, "or", 2) == 0 && strchr(" \t", (*at)[2])  ? 'o'
                                                                          : '?';
    *at += joint == 'a' ? 3 : joint == 'o' ? 2 : 0;
    return joint;
}

static bool version_matches(const struct comparison *c, const struct ap_version *v)
{
    int order = ap_version_compare(v, &c->version);
    bool ahead = v->pre_size > 0 && c->version.pre_size == 0; /* a pre-release that was not asked for */
    switch (c->operator) {
    case EQ:
        return order == 0;
    case NE:
        return order != 0;
    case GE:
        return order >= 0 && !ahead;
    case LE:
        return order <= 0;
    case GT:
        return order > 0 && !ahead;
    case LT:
        return order < 0;
    default: /* the last part that was written may grow */
        for (int i = 0; i < c->version.parts - 1; i++)
            if (compare_part(v, &c->version, i) != 0) return false;
        return order >= 0 && !ahead;
    }
}

bool ap_requirement_valid(const char *requirement)
{
    struct comparison c;
    if (strnlen(requirement, AP_REQUIREMENT_MOST + 1) > AP_REQUIREMENT_MOST) return false;
    for (char joint = 'o'; joint; joint = read_joint(&requirement))
        if (joint == '?' || !read_comparison(&requirement, &c)) return false;
    return true;
}

bool ap_requirement_match(const char *requirement, const struct ap_version *version)
{
    struct comparison c;
    bool any = false, all = true; /* all: of the comparisons since the last "or" */
    for (char joint = 'o'; joint; joint = read_joint(&requirement)) {
        if (!read_comparison(&requirement, &c)) return false;
        bool one = version_matches(&c, version);
        all = joint == 'o' ? one : all && one;
        if (all && (requirement[0] == '\0' || requirement[0] == 'o')) any = true;
    }
    return any;
}
