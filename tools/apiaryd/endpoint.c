/* tools/apiaryd/endpoint.c - one exchange with a health endpoint. See health.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/descriptor.h"
#include "core/text.h"
#include "tools/apiaryd/health.h"
#include "tools/common/common.h"

#define SLACK UINT64_C(1000000000) /* to notice that the time of an answer is over */

static bool endpoint_is_loopback(const struct sockaddr *address)
{
    const struct sockaddr_in *in = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    if (address->sa_family == AF_INET) return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static curl_socket_t endpoint_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct health_instance *in = user;
    (void)purpose;
    if (!endpoint_is_loopback(&address->addr)) return CURL_SOCKET_BAD;
    int fd = ap_fd_socket(address->family, address->socktype, address->protocol);
    if (fd >= 0) return fd;
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) in->shortage = errno;
    return CURL_SOCKET_BAD;
}

static size_t endpoint_body(char *data, size_t one, size_t size, void *user)
{
    (void)data;
    (void)user;
    return one * size;
}

/* With `result` of what was set before: the first thing that libcurl refuses is the answer. */
#define SET(easy, result, option, value) ((result) != CURLE_OK ? (result) : curl_easy_setopt((easy), (option), (value)))

/* Without any one of these it would be another request, or one to elsewhere. */
static CURLcode endpoint_set(struct health_instance *in, const char *url)
{
    CURL *easy = in->easy;
    CURLcode r = curl_easy_setopt(easy, CURLOPT_URL, url);
    r = SET(easy, r, CURLOPT_PROTOCOLS_STR, "http");
    r = SET(easy, r, CURLOPT_PROXY, "");
    r = SET(easy, r, CURLOPT_NOSIGNAL, 1L);
    r = SET(easy, r, CURLOPT_FOLLOWLOCATION, 0L);
    r = SET(easy, r, CURLOPT_FRESH_CONNECT, 1L); /* whether anybody accepts is a part of the question */
    r = SET(easy, r, CURLOPT_FORBID_REUSE, 1L);
    r = SET(easy, r, CURLOPT_USERAGENT, "apiaryd");
    r = SET(easy, r, CURLOPT_TIMEOUT_MS, (long)((in->terms.timeout + 999999) / 1000000));
    r = SET(easy, r, CURLOPT_ERRORBUFFER, in->curl_why);
    r = SET(easy, r, CURLOPT_PRIVATE, in);
    r = SET(easy, r, CURLOPT_WRITEFUNCTION, endpoint_body);
    r = SET(easy, r, CURLOPT_OPENSOCKETFUNCTION, endpoint_socket);
    return SET(easy, r, CURLOPT_OPENSOCKETDATA, in);
}

int endpoint_ask(struct health_instance *in, const char *url)
{
    if (!ap_endpoint_valid(url)) return APIARY_EINVAL;
    if (in->easy == NULL) in->easy = curl_easy_init();
    if (in->easy == NULL) return APIARY_ENOBLOCK;
    in->curl_why[0] = '\0';
    in->shortage = 0;
    if (endpoint_set(in, url) != CURLE_OK || curl_multi_add_handle(in->health->multi, in->easy) != CURLM_OK)
        return APIARY_ENOBLOCK;
    in->asked = true;
    return 0;
}

const char *endpoint_hindrance(const struct health_instance *in, CURLcode result)
{
    uint64_t late = in->begun + in->terms.timeout + SLACK;
    if (result == CURLE_OUT_OF_MEMORY || result == CURLE_FAILED_INIT) return curl_easy_strerror(result);
    if (result == CURLE_COULDNT_CONNECT && in->shortage != 0) return strerror(in->shortage);
    if (result == CURLE_OPERATION_TIMEDOUT && in->health->a->seg->ops->now() > late)
        return "the coordinator itself was stopped, or had no processor";
    return NULL;
}

static void endpoint_failed(struct health_instance *in, CURLcode result)
{
    char time[32];
    long number = 0;
    if (result == CURLE_OPERATION_TIMEDOUT) {
        in->answer = ANSWER_LATE;
        ap_format(in->why, sizeof in->why, "no answer in %s", tool_format_duration(in->terms.timeout, time));
    } else if (result == CURLE_COULDNT_CONNECT && curl_easy_getinfo(in->easy, CURLINFO_OS_ERRNO, &number) == CURLE_OK &&
               number == ECONNREFUSED) {
        in->answer = ANSWER_NOBODY;
        ap_format(in->why, sizeof in->why, "nobody listens there");
    } else {
        in->answer = ANSWER_BROKEN;
        ap_format(in->why, sizeof in->why, "%s", in->curl_why[0] != '\0' ? in->curl_why : curl_easy_strerror(result));
    }
}

bool endpoint_answered(struct health_instance *in, CURLcode result)
{
    long status = 0;
    if (result == CURLE_OK) result = curl_easy_getinfo(in->easy, CURLINFO_RESPONSE_CODE, &status);
    bool passes = result == CURLE_OK && status >= 200 && status <= 299;
    if (result != CURLE_OK) {
        endpoint_failed(in, result);
    } else if (!passes) {
        in->answer = (uint64_t)status;
        ap_format(in->why, sizeof in->why, "status %ld", status);
    }
    endpoint_drop(in);
    return passes;
}

void endpoint_drop(struct health_instance *in)
{
    if (in->asked) curl_multi_remove_handle(in->health->multi, in->easy);
    in->asked = false;
}

void endpoint_free(struct health_instance *in)
{
    endpoint_drop(in);
    curl_easy_cleanup(in->easy);
    in->easy = NULL;
}
