/* agents/security_service/access.c - kinds "authentication" (passwords) and "authorization" (roles).
 *
 *   authentication {"op":"hash","password":P}            -> {"hash":"$argon2id$..."}
 *                  {"op":"verify","password":P,"hash":H} -> {"valid":true|false}
 *                  Argon2id, 19 MiB, two passes; about 20 ms of the worker each. A hash that would cost more than 64 MiB or ten
 *                  passes to verify is refused.
 *   authorization  {"subject":S,"action":A,"resource":R} -> {"allowed":true,"role":ROLE} or {"allowed":false}
 *                  `subjects`: NAME=ROLE,ROLE; `rules`: "ROLE ACTION RESOURCE", where * is any (a role: any that a subject has) and
 *                  a trailing * of the others any ending. Nothing else is allowed. A resource with a part "." or ".." names
 *                  another one than it seems to, and is refused.
 */
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum {
    HASH_MEMORY = 19456 * 1024,
    HASH_PASSES = 2,
    SUM = 32, /* bytes of a hash */
    VERIFY_KIB_LEAST = crypto_pwhash_MEMLIMIT_MIN / 1024,
    VERIFY_KIB_MOST = 65536,
    VERIFY_PASSES_MOST = 10,
    PASSWORD_MOST = 1024
};

/* ---- authentication ---------------------------------------------------------------------------------------------- */

static void make_hash(apiary_job_t *job, const char *password)
{
    char hash[crypto_pwhash_STRBYTES];
    if (crypto_pwhash_str(hash, password, strlen(password), HASH_PASSES, HASH_MEMORY) != 0)
        ap_out_of_memory(job);
    else
        ap_answer(job, "{s:s}", "hash", hash);
}

struct stored { /* a hash as crypto_pwhash_str writes it */
    unsigned memory, passes, lanes; /* KiB */
    unsigned char salt[crypto_pwhash_SALTBYTES], sum[SUM];
};

static bool read_hash(const char *text, struct stored *ret)
{
    int at = 0;
    size_t salt, sum;
    const char *end, *stop = text + strlen(text);
    if (stop - text >= (ptrdiff_t)crypto_pwhash_STRBYTES ||
        sscanf(text, "$argon2id$v=19$m=%9u,t=%9u,p=%9u$%n", &ret->memory, &ret->passes, &ret->lanes, &at) != 3 || at == 0)
        return false;
    const char *dollar = strchr(text + at, '$');
    return dollar &&
           sodium_base642bin(ret->salt, sizeof ret->salt, text + at, (size_t)(dollar - text) - (size_t)at, NULL, &salt, &end,
                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           end == dollar && salt == sizeof ret->salt &&
           sodium_base642bin(ret->sum, sizeof ret->sum, dollar + 1, (size_t)(stop - dollar) - 1, NULL, &sum, &end,
                             sodium_base64_VARIANT_ORIGINAL_NO_PADDING) == 0 &&
           end == stop && sum == sizeof ret->sum;
}

/* Not crypto_pwhash_str_verify: it says "no" to the right password when there is no memory for the hash. */
static void access_verify(apiary_job_t *job, const json_t *request, const char *password)
{
    const char *text;
    struct stored stored = {.memory = 0};
    unsigned char sum[SUM];
    if (!ap_need_text(job, request, "hash", &text)) return;
    bool read = read_hash(text, &stored);
    if (stored.memory > VERIFY_KIB_MOST || stored.passes > VERIFY_PASSES_MOST || stored.lanes > 1) {
        apiary_job_fail(job, AP_CODE_FORBIDDEN, "\"hash\" would cost %u KiB and %u passes; %d and %d are allowed",
                        stored.memory, stored.passes, VERIFY_KIB_MOST, VERIFY_PASSES_MOST);
        return;
    }
    if (!read || stored.memory < VERIFY_KIB_LEAST || stored.passes < 1 || stored.lanes != 1) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"hash\" is not of Argon2id as op \"hash\" makes it");
        return;
    }
    if (crypto_pwhash(sum, sizeof sum, password, strlen(password), stored.salt, stored.passes, (size_t)stored.memory * 1024,
                      crypto_pwhash_ALG_ARGON2ID13) != 0)
        apiary_job_fail(job, AP_CODE_INTERNAL, "the hash cannot be computed: there is no memory for it");
    else
        ap_answer(job, "{s:b}", "valid", sodium_memcmp(sum, stored.sum, sizeof sum) == 0);
    sodium_memzero(sum, sizeof sum);
}

static void access_authenticate(void *state, apiary_job_t *job, const json_t *request)
{
    const char *op, *password;
    (void)state;
    if (!ap_need_text(job, request, "op", &op) || !ap_need_text(job, request, "password", &password)) return;
    if (strlen(password) > PASSWORD_MOST)
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "the password has more than %d bytes", PASSWORD_MOST);
    else if (strcmp(op, "hash") == 0)
        make_hash(job, password);
    else if (strcmp(op, "verify") == 0)
        access_verify(job, request, password);
    else
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; hash, verify are allowed", op);
}

const struct ap_function ap_functions_authentication[] = {
    {.capability = "authentication",
     .call = access_authenticate,
     .in = "{'oneOf':["
           AP_OBJECT("'op','password'", "'op':{'const':'hash'},"
                      "'password':{'type':'string','maxLength':1024}") ","
           AP_OBJECT("'op','password','hash'", "'op':{'const':'verify'},"
                      "'password':{'type':'string','maxLength':1024},"
                      "'hash':{'type':'string'}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "64 MiB and ten passes",
     .again = "verifies the same; a second hash has another salt",
     .send = "{\"op\":\"verify\",\"password\":\"honey\",\"hash\":\"$argon2id$v=19$m=19456,t=2,"
           "p=1$Kq1KLPPv2NcQoO1e3iH5EQ$N48fGFJ8dz5DCpQXUuZy3GREAWYdxSWyz/B34ttwtvc\"}",
     .answer = "{\"valid\":true}"},
    {.capability = NULL},
};

static void authentication_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_authentication, state, job);
}

static int authentication_create(apiary_agent_t *agent, void **state)
{
    if (sodium_init() < 0) return APIARY_ESYS;
    *state = agent;
    return 0;
}

/* ---- authorization ----------------------------------------------------------------------------------------------- */

/* The next word of a rule; a rule was checked to have three. */
static const char *word(const char **at, size_t *size)
{
    *at += strspn(*at, " \t");
    const char *start = *at;
    *size = strcspn(*at, " \t");
    *at += *size;
    return start;
}

/* The next role of a subject's, without the spaces around it; *at is at the comma or the end behind it then. */
static const char *next_role(const char **at, size_t *size)
{
    *at += strspn(*at, " \t");
    const char *start = *at;
    *size = strcspn(*at, ",");
    *at += *size;
    while (*size > 0 && strchr(" \t", start[*size - 1]))
        --*size;
    return start;
}

static bool fits(const char *pattern, size_t size, const char *text)
{
    if (size > 0 && pattern[size - 1] == '*') return strncmp(pattern, text, size - 1) == 0;
    return strlen(text) == size && memcmp(pattern, text, size) == 0;
}

static bool role_is(const char *named, size_t size, const char *role, size_t role_size)
{
    return (size == 1 && named[0] == '*') || (size == role_size && memcmp(named, role, size) == 0);
}

/* comb/../gate is no part of comb/, whatever a pattern says. */
static bool goes_elsewhere(const char *resource)
{
    while (true) {
        size_t size = strcspn(resource, "/");
        if ((size == 1 || size == 2) && strncmp(resource, "..", size) == 0) return true;
        if (resource[size] == '\0') return false;
        resource += size + 1;
    }
}

static bool role_allows(apiary_agent_t *agent, const char *role, size_t role_size, const char *action,
                        const char *resource)
{
    const char *const *rules = NULL;
    size_t count = apiary_agent_list(agent, "rules", &rules);
    for (size_t i = 0; i < count; i++) {
        const char *at = rules[i], *part;
        size_t size;
        part = word(&at, &size);
        if (!role_is(part, size, role, role_size)) continue;
        part = word(&at, &size);
        if (!fits(part, size, action)) continue;
        part = word(&at, &size);
        if (fits(part, size, resource)) return true;
    }
    return false;
}

static void authorize(void *state, apiary_job_t *job, const json_t *request)
{
    const char *subject, *action, *resource;
    const char *const *subjects = NULL;
    if (!ap_need_text(job, request, "subject", &subject) || !ap_need_text(job, request, "action", &action) ||
        !ap_need_text(job, request, "resource", &resource))
        return;
    if (goes_elsewhere(resource)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"resource\" has a part \".\" or \"..\"; its own name is wanted");
        return;
    }
    size_t count = apiary_agent_list(state, "subjects", &subjects), length = strlen(subject);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(subjects[i], subject, length) != 0 || subjects[i][length] != '=') continue;
        for (const char *at = subjects[i] + length + 1; *at; at += *at == ',') {
            size_t size;
            const char *role = next_role(&at, &size);
            if (role_allows(state, role, size, action, resource)) {
                ap_answer(job, "{s:b,s:s%}", "allowed", 1, "role", role, size);
                return;
            }
        }
    }
    ap_answer(job, "{s:b}", "allowed", 0);
}

const struct ap_function ap_functions_authorization[] = {
    {.capability = "authorization",
     .call = authorize,
     .in = AP_OBJECT("'subject','action','resource'", "'subject':{'type':'string'},"
                      "'action':{'type':'string'},"
                      "'resource':{'type':'string'}"),
     .out = AP_OBJECT("'allowed'", "'allowed':{'type':'boolean'},"
                      "'role':{'type':'string'}"),
     .bound = "one look at each rule per role",
     .again = AP_AGAIN_SAME,
     .send = "{\"subject\":\"bee\",\"action\":\"read\",\"resource\":\"comb/7\"}",
     .answer = "{\"allowed\":true,\"role\":\"reader\"}"},
    {.capability = NULL},
};

static void authorization_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_authorization, state, job);
}

static bool role_has_rule(apiary_agent_t *agent, const char *role, size_t role_size)
{
    const char *const *rules = NULL;
    for (size_t i = apiary_agent_list(agent, "rules", &rules); i-- > 0;) {
        const char *at = rules[i];
        size_t size;
        const char *named = word(&at, &size);
        if (role_is(named, size, role, role_size)) return true;
    }
    return false;
}

/* A role that stands in the list before, too. */
static bool role_again(const char *roles, const char *role, size_t role_size)
{
    for (const char *at = roles; at < role; at += *at == ',') {
        size_t size;
        const char *before = next_role(&at, &size);
        if (before != role && size == role_size && memcmp(before, role, size) == 0) return true;
    }
    return false;
}

/* false: one of them could be no role of a rule, or stands there twice, and it is said. One that merely has no rule allows nothing:
 * a warning. */
static bool check_roles(apiary_agent_t *agent, const char *subject, const char *roles)
{
    const char *at = roles;
    for (bool more = true; more; at += more) {
        size_t size;
        const char *role = next_role(&at, &size);
        if (size == 0 || strcspn(role, " \t=*") < size) {
            ap_refuse_item(agent, "subjects", subject,
                           "is not NAME=ROLE,ROLE: a role is one word without a *, and each comma is "
                           "between two");
            return false;
        }
        if (role_again(roles, role, size)) {
            ap_refuse_item(agent, "subjects", subject, "gives its subject a role twice; expected each once");
            return false;
        }
        if (!role_has_rule(agent, role, size))
            apiary_agent_log(agent, 4, "subjects: \"%s\": no rule is for the role %.*s", subject, (int)size, role);
        more = *at == ',';
    }
    return true;
}

static int authorization_create(apiary_agent_t *agent, void **state)
{
    const char *const *list = NULL;
    for (size_t i = apiary_agent_list(agent, "rules", &list); i-- > 0;) {
        const char *at = list[i];
        size_t sizes[4];
        for (int w = 0; w < 4; w++)
            word(&at, &sizes[w]);
        if (sizes[2] == 0 || sizes[3] != 0)
            return ap_refuse_item(agent, "rules", list[i], "is not \"ROLE ACTION RESOURCE\"");
    }
    for (size_t i = apiary_agent_list(agent, "subjects", &list); i-- > 0;) {
        const char *equals = strchr(list[i], '=');
        if (!equals || equals == list[i]) return ap_refuse_item(agent, "subjects", list[i], "is not NAME=ROLE,ROLE");
        if (equals[1] == '\0')
            return ap_refuse_item(agent, "subjects", list[i],
                                  "gives its subject no role; expected NAME=ROLE,ROLE, and one who may do nothing is left out");
        for (size_t j = 0; j < i; j++)
            if (strncmp(list[j], list[i], (size_t)(equals + 1 - list[i])) == 0)
                return ap_refuse_item(agent, "subjects", list[i],
                                      "names its subject again; expected each once, with all its roles");
        if (!check_roles(agent, list[i], equals + 1)) return APIARY_ECONFIG;
    }
    *state = agent;
    return 0;
}

static const apiary_agent_key_t authorization_keys[] = {
    {"subjects", 'l', 1, "NAME=ROLE,ROLE", 0, 0},
    {"rules", 'l', 1, "\"ROLE ACTION RESOURCE\"; * is any, at the end of an action or resource any ending", 0, 0},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_authentication = {
    APIARY_AGENT_KIND,
    .name = "authentication",
    .what = "authentication: Argon2id password hashes",
    .create = authentication_create,
    .handle = authentication_handle,
    .capabilities = (const char *const[]){"authentication", NULL},
};

const apiary_agent_kind_t ap_kind_authorization = {
    APIARY_AGENT_KIND,
    .name = "authorization",
    .what = "authorization: roles and rules; what no rule allows is not allowed",
    .keys = authorization_keys,
    .create = authorization_create,
    .handle = authorization_handle,
    .capabilities = (const char *const[]){"authorization", NULL},
};
