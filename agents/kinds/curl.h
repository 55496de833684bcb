/* agents/kinds/curl.h - libcurl, loaded by the first agent that needs it.
 *
 * It brings some thirty libraries, and their loading takes most of the time in which a program that is linked to them starts; most
 * commands and most queens forward nothing over HTTP. The functions have libcurl's own types and names without their "curl_".
 */
#ifndef AGENTS_KINDS_CURL_H
#define AGENTS_KINDS_CURL_H

#include <curl/curl.h>

#include "core/must_check.h"

#define AP_CURL_FUNCTIONS(X) \
    X(easy_cleanup)          \
    X(easy_getinfo)          \
    X(easy_init)             \
    X(easy_pause)            \
    X(easy_setopt)           \
    X(easy_strerror)         \
    X(free)                  \
    X(global_init)           \
    X(multi_add_handle)      \
    X(multi_assign)          \
    X(multi_cleanup)         \
    X(multi_info_read)       \
    X(multi_init)            \
    X(multi_remove_handle)   \
    X(multi_setopt)          \
    X(multi_socket_action)   \
    X(multi_strerror)        \
    X(slist_append)          \
    X(slist_free_all)        \
    X(url)                   \
    X(url_cleanup)           \
    X(url_get)               \
    X(url_set)

struct ap_curl {
#define AP_CURL_FUNCTION(name) __typeof__(&curl_##name) name;
    AP_CURL_FUNCTIONS(AP_CURL_FUNCTION)
#undef AP_CURL_FUNCTION
};

/* All NULL until ap_curl_load() has succeeded, and unchanged from then on. */
extern struct ap_curl ap_curl;

/* Loads libcurl and makes it ready, once in the process, whichever thread asks first; it is never unloaded. Returns 0, or
 * APIARY_ENOTSUP with the reason in *why, which stays. */
AP_MUST_CHECK int ap_curl_load(const char **why);

#endif
