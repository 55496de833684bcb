/* agents/hex_server/version.c - see version.h. */
#include "agents/hex_server/version.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { EQ, NE, GE, LE, GT, LT, COMPATIBLE };

/* ---- versions ---------------------------------------------------------------------------------------------------- */

static bool version_read_number(const char **at, const char *end, unsigned long *ret)
{
    const char *start = *at;
    unsigned long value = 0;
    while (*at < end && isdigit((unsigned char)**at) && *at - start < 9)
        value = value * 10 + (unsigned long)(*(*at)++ - '0');
    if (*at == start || (*start == '0' && *at - start > 1) || (*at < end && isdigit((unsigned char)**at))) return false;
    *ret = value;
    return true;
}

/* Identifiers joined by dots, none empty; numbers without leading zeros where `strict`. */
static bool identifiers_valid(const char *at, const char *end, bool strict)
{
    while (true) {
        const char *start = at;
        bool digits = true;
        while (at < end && (isalnum((unsigned char)*at) || *at == '-'))
            digits &= isdigit((unsigned char)*at++) != 0;
        if (at == start || (strict && digits && *start == '0' && at - start > 1)) return false;
        if (at == end) return true;
        if (*at++ != '.') return false;
    }
}

bool ap_version_parse(const char *text, size_t size, bool partial, struct ap_version *ret)
{
    const char *at = text, *end = text + size, *plus = memchr(text, '+', size);
    struct ap_version v = {.parts = 0};
    if (plus && !identifiers_valid(plus + 1, end, false)) return false;
    if (plus) end = plus;
    for (; v.parts < 3; v.parts++) {
        if (v.parts > 0 && (at == end || *at != '.')) break;
        at += v.parts > 0;
        if (!version_read_number(&at, end, &v.part[v.parts])) return false;
    }
    if (v.parts < (partial ? 2 : 3)) return false;
    if (at < end && *at == '-') {
        at++;
        if (!identifiers_valid(at, end, true) || (size_t)(end - at) >= sizeof v.pre) return false;
        memcpy(v.pre, at, (size_t)(end - at));
        at = end;
    }
    if (at != end) return false;
    *ret = v;
    return true;
}

static int compare_identifier(const char *a, size_t na, const char *b, size_t nb)
{
    bool da = strspn(a, "0123456789") >= na, db = strspn(b, "0123456789") >= nb;
    if (da != db) /* numbers are lower than words */
        return da ? -1 : 1;
    if (da && na != nb) /* no leading zeros: the longer number is the larger */
        return na < nb ? -1 : 1;
    int c = memcmp(a, b, na < nb ? na : nb);
    if (c == 0) return (na > nb) - (na < nb);
    return c < 0 ? -1 : 1;
}

static int compare_pre(const char *a, const char *b)
{
    if (!*a || !*b) /* a pre-release is lower than its release */
        return (*b != '\0') - (*a != '\0');
    while (*a && *b) {
        size_t na = strcspn(a, "."), nb = strcspn(b, ".");
        int c = compare_identifier(a, na, b, nb);
        if (c != 0) return c;
        a += na + (a[na] == '.');
        b += nb + (b[nb] == '.');
    }
    return (*a != '\0') - (*b != '\0');
}

int ap_version_compare(const struct ap_version *a, const struct ap_version *b)
{
    for (int i = 0; i < 3; i++)
        if (a->part[i] != b->part[i]) return a->part[i] < b->part[i] ? -1 : 1;
    return compare_pre(a->pre, b->pre);
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
    } operators[] = {{"==", EQ}, {"!=", NE}, {">=", GE}, {"<=", LE}, {"~>", COMPATIBLE}, {">", GT}, {"<", LT}};
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
    if (v->pre[0] && !c->version.pre[0]) return c->operator== NE;
    switch (c->operator) {
    case EQ:
        return order == 0;
    case NE:
        return order != 0;
    case GE:
        return order >= 0;
    case LE:
        return order <= 0;
    case GT:
        return order > 0;
    case LT:
        return order < 0;
    default: /* the last part that was written may grow */
        for (int i = 0; i < c->version.parts - 1; i++)
            if (v->part[i] != c->version.part[i]) return false;
        return order >= 0;
    }
}

bool ap_requirement_valid(const char *requirement)
{
    struct comparison c;
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
