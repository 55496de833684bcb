/* registry/discovery/tags.c - tags, and which instances a query means. See tags.h. */
#include "registry/discovery/tags.h"

#include <string.h>

#include "core/name.h"
#include "core/sized.h"

/* Whether the word is among those of the text. */
static bool tags_word(const char *tags, const char *word, size_t length)
{
    while (*tags != '\0') {
        size_t n = strcspn(tags, " ");

        if (n == length && memcmp(tags, word, n) == 0) return true;
        tags += n + (tags[n] == ' ');
    }
    return false;
}

bool ap_tags_valid(const char *tags)
{
    char word[APIARY_NAME_MAX + 1];
    const char *at = tags;

    if (tags == NULL || *tags == '\0') return true;
    if (strnlen(tags, APIARY_TAGS_MAX + 1) > APIARY_TAGS_MAX) return false;
    for (;;) {
        size_t n = strcspn(at, " ");

        if (n > APIARY_NAME_MAX) return false;
        memcpy(word, at, n);
        word[n] = '\0';
        if (!ap_name_valid(word, APIARY_NAME_MAX) || tags_word(at[n] == ' ' ? at + n + 1 : "", word, n)) return false;
        if (at[n] == '\0') return true;
        at += n + 1;
    }
}

bool ap_tags_have(const char *tags, const char *wanted)
{
    while (*wanted != '\0') {
        size_t n = strcspn(wanted, " ");

        if (!tags_word(tags, wanted, n)) return false;
        wanted += n + (wanted[n] == ' ');
    }
    return true;
}

/* A service's name is one of a capability without its major, and shorter. */
static bool service_read(const char *text, struct ap_instance_query *ret)
{
    const char *at = strchr(text, '@');
    size_t n = at != NULL ? (size_t)(at - text) : strnlen(text, APIARY_NAME_MAX + 1);

    if (n > APIARY_NAME_MAX || (at != NULL && (strlen(at + 1) >= sizeof ret->major || !ap_capability_valid(text)))) return false;
    memcpy(ret->service, text, n);
    if (at != NULL) strcpy(ret->major, at + 1);
    return ap_name_valid(ret->service, APIARY_NAME_MAX);
}

int ap_instance_query_read(const apiary_instance_query_t *query, struct ap_instance_query *ret)
{
    apiary_instance_query_t own = {.struct_size = sizeof own};
    int r = query != NULL ? ap_sized_in(&own, sizeof own, AP_FIRST_INSTANCE_QUERY, query, query->struct_size) : 0;

    memset(ret, 0, sizeof *ret);
    if (r < 0) return r;
    if (own.service != NULL && !service_read(own.service, ret)) return APIARY_EINVAL;
    if (!ap_tags_valid(own.tags)) return APIARY_EINVAL;
    if (own.tags != NULL) strcpy(ret->tags, own.tags);
    return 0;
}

bool ap_instance_meant(const struct ap_instance_query *query, const apiary_instance_t *instance)
{
    size_t major = strlen(query->major);

    if (query->service[0] != '\0' && strcmp(query->service, instance->service) != 0) return false;
    if (major != 0 && (strncmp(instance->version, query->major, major) != 0 ||
                       (instance->version[major] != '\0' && instance->version[major] != '.')))
        return false;
    return ap_tags_have(instance->tags, query->tags);
}
