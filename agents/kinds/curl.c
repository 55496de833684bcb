/* agents/kinds/curl.c - see curl.h */
#include "agents/kinds/curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include "apiary.h"

struct ap_curl ap_curl;

static char refusal[256]; /* why it cannot be used; empty: it can */

/* As dlerror() says it: with the name of the library. */
static void refuse(const char *why)
{
    (void)snprintf(refusal, sizeof refusal, "%s", why ? why : "not loaded");
}

static void load(void)
{
    struct ap_curl found;
    void *library = dlopen(APIARY_LIBCURL, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        refuse(dlerror());
        return;
    }
#define AP_CURL_FUNCTION(name)                                                               \
    if ((found.name = (__typeof__(found.name))(uintptr_t)dlsym(library, "curl_" #name)) == NULL) { \
        refuse(dlerror());                                                                   \
        return;                                                                              \
    }
    AP_CURL_FUNCTIONS(AP_CURL_FUNCTION)
#undef AP_CURL_FUNCTION
    CURLcode ready = found.global_init(CURL_GLOBAL_NOTHING); /* no TLS: plain HTTP on loopback */
    if (ready != CURLE_OK) refuse(found.easy_strerror(ready));
    else ap_curl = found;
}

int ap_curl_load(const char **why)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, load);
    if (refusal[0] == '\0') return 0;
    *why = refusal;
    return APIARY_ENOTSUP;
}
