/* agents/security_service/signer.c - kind "signer": message authentication codes, and tokens made of them.
 *
 *   message_authentication {"op":"sign","message":M,"key":K}          -> {"mac":HEX,"algorithm":"hmac-sha256"}
 *                          {"op":"verify","message":M,"mac":HEX,"key":K} -> {"valid":true|false}   compared in constant time
 *   token_management       {"op":"issue","subject":S,"ttl_s":N}       -> {"token":T,"expires":UNIX}
 *                          {"op":"check","token":T}                   -> {"valid":true,"subject":S,"expires":UNIX} or
 *                                                                        {"valid":false,"because":"..."}
 * Without "key" the agent's own is used: from `key_file` (its bytes, 16 at least; nobody else may read it), or a random one
 * made when the agent is created: what it signs is then worth nothing to another instance or after a restart.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "core/descriptor.h"

enum { MAC = crypto_auth_hmacsha256_BYTES, KEY_LEAST = 16, KEY_MOST = 1024, SUBJECT_MOST = 200 };
#define TTL_MOST (366LL * 24 * 3600)

struct signer {
    apiary_agent_t *agent;
    unsigned char key[KEY_MOST];
    size_t key_size;
};

/* Messages have no prefix, tokens one with a NUL, which no message can hold: a signed message is never a token. */
static void mac_of(const void *key, size_t key_size, const char *prefix, size_t prefix_size, const void *message,
                   size_t size, unsigned char ret[MAC])
{
    crypto_auth_hmacsha256_state hash;
    crypto_auth_hmacsha256_init(&hash, key, key_size);
    crypto_auth_hmacsha256_update(&hash, (const unsigned char *)prefix, prefix_size);
    crypto_auth_hmacsha256_update(&hash, message, size);
    crypto_auth_hmacsha256_final(&hash, ret);
    sodium_memzero(&hash, sizeof hash);
}

static void token_mac(const struct signer *s, const char *head, size_t size, unsigned char ret[MAC])
{
    static const char prefix[] = "token";
    mac_of(s->key, s->key_size, prefix, sizeof prefix, head, size, ret);
}

static bool same_mac(const char *hex, const unsigned char mac[MAC])
{
    unsigned char given[MAC];
    size_t size;
    const char *end;
    if (strlen(hex) != 2 * MAC || strspn(hex, "0123456789abcdef") != 2 * MAC ||
        sodium_hex2bin(given, sizeof given, hex, 2 * MAC, NULL, &size, &end) != 0 || size != MAC)
        return false;
    return sodium_memcmp(given, mac, MAC) == 0;
}

static void signer_authenticate(void *state, apiary_job_t *job, const json_t *request)
{
    struct signer *s = state;
    const char *op, *message, *given, *key = NULL;
    unsigned char mac[MAC];
    char hex[2 * MAC + 1];
    if (!ap_need_text(job, request, "op", &op) || !ap_need_text(job, request, "message", &message) ||
        !ap_may_text(job, request, "key", &key))
        return;
    mac_of(key ? (const unsigned char *)key : s->key, key ? strlen(key) : s->key_size, "", 0, message, strlen(message),
           mac);
    if (strcmp(op, "sign") == 0) {
        ap_hex(mac, MAC, hex);
        ap_answer(job, "{s:s,s:s}", "mac", hex, "algorithm", "hmac-sha256");
    } else if (strcmp(op, "verify") == 0) {
        if (ap_need_text(job, request, "mac", &given)) ap_answer(job, "{s:b}", "valid", same_mac(given, mac));
    } else {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; sign, verify are allowed", op);
    }
}

/* The second of now, or the one that begins next: a token of a second lives for one at least. */
static int64_t unix_second(bool next)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec + (next && now.tv_nsec > 0);
}

/* ---- tokens: SUBJECT in hex . EXPIRES . MAC of what is before it ------------------------------------------------- */

static void issue(struct signer *s, apiary_job_t *job, const json_t *request)
{
    char token[2 * SUBJECT_MOST + 32 + 2 * MAC];
    const char *subject;
    unsigned char mac[MAC];
    int64_t ttl = 3600;
    if (!ap_need_text(job, request, "subject", &subject) || !ap_may_integer(job, request, "ttl_s", 1, TTL_MOST, &ttl))
        return;
    size_t size = strlen(subject);
    if (size == 0 || size > SUBJECT_MOST) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"subject\" has %zu bytes; 1 to %d are allowed", size, SUBJECT_MOST);
        return;
    }
    int64_t expires = unix_second(true) + ttl;
    ap_hex((const unsigned char *)subject, size, token);
    int n = (int)(2 * size);
    n += snprintf(token + n, sizeof token - (size_t)n, ".%" PRId64, expires);
    token_mac(s, token, (size_t)n, mac);
    token[n++] = '.';
    ap_hex(mac, MAC, token + n);
    ap_answer(job, "{s:s,s:I}", "token", token, "expires", (json_int_t)expires);
}

static void signer_check(struct signer *s, apiary_job_t *job, const json_t *request)
{
    const char *token, *why = NULL;
    unsigned char mac[MAC], subject[SUBJECT_MOST + 1];
    char *end = NULL;
    size_t size = 0;
    int64_t expires = 0;
    if (!ap_need_text(job, request, "token", &token)) return;
    const char *last = strrchr(token, '.'), *first = strchr(token, '.');
    token_mac(s, token, last ? (size_t)(last - token) : 0, mac);
    if (!last || first == last || !same_mac(last + 1, mac)) /* nothing in it is believed before this */
        why = "not a token of this signer";
    else if (sodium_hex2bin(subject, SUBJECT_MOST, token, (size_t)(first - token), NULL, &size, NULL) != 0 ||
             (expires = strtoll(first + 1, &end, 10)) <= 0 || end != last)
        why = "malformed";
    else if (expires <= unix_second(false))
        why = "expired";
    if (why)
        ap_answer(job, "{s:b,s:s}", "valid", 0, "because", why);
    else
        ap_answer(job, "{s:b,s:s%,s:I}", "valid", 1, "subject", (const char *)subject, size, "expires",
                  (json_int_t)expires);
}

static void tokens(void *state, apiary_job_t *job, const json_t *request)
{
    const char *op;
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "issue") == 0)
        issue(state, job, request);
    else if (strcmp(op, "check") == 0)
        signer_check(state, job, request);
    else
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; issue, check are allowed", op);
}

const struct ap_function ap_functions_signer[] = {
    {.capability = "message_authentication",
     .call = signer_authenticate,
     .in = "{'oneOf':["
           AP_OBJECT("'op','message'", "'op':{'const':'sign'},"
                      "'message':{'type':'string'},"
                      "'key':{'type':'string'}") ","
           AP_OBJECT("'op','message','mac'", "'op':{'const':'verify'},"
                      "'message':{'type':'string'},"
                      "'mac':{'type':'string'},"
                      "'key':{'type':'string'}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "one look at the message",
     .again = AP_AGAIN_SAME,
     .send = "{\"op\":\"sign\",\"key\":\"Jefe\",\"message\":\"what do ya want for nothing?\"}",
     .answer = "{\"mac\":\"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\","
           "\"algorithm\":\"hmac-sha256\"}"},
    {.capability = "token_management",
     .call = tokens,
     .in = "{'oneOf':["
           AP_OBJECT("'op','subject'", "'op':{'const':'issue'},"
                      "'subject':{'type':'string','minLength':1,'maxLength':200},"
                      "'ttl_s':{'type':'integer','minimum':1,'maximum':31622400}") ","
           AP_OBJECT("'op','token'", "'op':{'const':'check'},"
                      "'token':{'type':'string'}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "one look at the token",
     .again = "issues another token, which ends later",
     .send = "{\"op\":\"check\",\"token\":\"6265652e.1.00\"}",
     .answer = "{\"valid\":false,\"because\":\"not a token of this signer\"}"},
    {.capability = NULL},
};

static void signer_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_signer, state, job);
}

/* ---- the kind ---------------------------------------------------------------------------------------------------- */

static int signer_read_key(struct signer *s, const char *path)
{
    struct stat st;
    int fd = ap_fd_open(path, O_RDONLY | O_NONBLOCK, 0);
    ssize_t size = -1;
    const char *why = "cannot be read";
    if (fd >= 0 && fstat(fd, &st) == 0) {
        if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
            why = "must be a file that only its owner may read (chmod 600)";
        else
            size = read(fd, s->key, sizeof s->key);
        if (size >= 0 && size < KEY_LEAST) {
            why = "is shorter than 16 bytes";
            size = -1;
        }
    }
    if (fd >= 0) close(fd);
    if (size < 0) {
        apiary_agent_log(s->agent, 3, "signer: key_file %s %s", path, why);
        return APIARY_ECONFIG;
    }
    s->key_size = (size_t)size;
    return 0;
}

static void signer_destroy(void *state)
{
    struct signer *s = state;
    sodium_memzero(s->key, sizeof s->key);
    apiary_agent_free(s->agent, s);
}

static int signer_create(apiary_agent_t *agent, void **state)
{
    const char *path = apiary_agent_text(agent, "key_file", NULL);
    if (sodium_init() < 0) return APIARY_ESYS;
    struct signer *s = apiary_agent_alloc(agent, sizeof *s);
    if (!s) return APIARY_ENOBLOCK;
    s->agent = agent;
    s->key_size = 32;
    randombytes_buf(s->key, s->key_size);
    int error = path ? signer_read_key(s, path) : 0;
    if (error < 0) {
        signer_destroy(s);
        return error;
    }
    *state = s;
    return 0;
}

static const apiary_agent_key_t keys[] = {
    {"key_file", 'p', 0, "the agent's own key, mode 0600 [a random one each start]", 0, 0},
    {.name = NULL},
};

const apiary_agent_kind_t ap_kind_signer = {
    APIARY_AGENT_KIND,
    .name = "signer",
    .what = "message_authentication, token_management: HMAC-SHA-256, compared in constant time",
    .keys = keys,
    .create = signer_create,
    .handle = signer_handle,
    .destroy = signer_destroy,
    .capabilities = (const char *const[]){"message_authentication", "token_management", NULL},
    .state = APIARY_STATE_AGENT,
    .state_unless = "key_file",
};
