/* agents/kinds/frame.c - see frame.h. */
#include "agents/kinds/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number that ends with `end`; NULL: there is none. */
static const char *frame_number(const char *at, const char *limit, char end, size_t *ret)
{
    const char *first = at;
    size_t n = 0;
    while (at < limit && *at >= '0' && *at <= '9' && at - first < 10)
        n = 10 * n + (size_t)(*at++ - '0');
    if (at == first || at >= limit || *at != end) return NULL;
    *ret = n;
    return at + 1;
}

/* The first bytes of what is no message, for people. */
static void frame_show(const char *data, size_t size, char *ret, size_t capacity)
{
    char shown[AP_FRAME_LINE + 1];
    size_t n = size < AP_FRAME_LINE ? size : AP_FRAME_LINE;
    for (size_t i = 0; i < n; i++)
        shown[i] = data[i] >= ' ' && data[i] <= '~' ? data[i] : '?';
    shown[n] = '\0';
    snprintf(ret, capacity, "\"%s\" is not the first line of a message, HEAD BODY", shown);
}

enum ap_frame_found ap_frame_read(const char *data, size_t size, size_t most, struct ap_frame *ret, char *why, size_t why_size)
{
    size_t head_size, line = size < AP_FRAME_LINE ? size : AP_FRAME_LINE;
    const char *head = frame_number(data, data + line, ' ', &head_size);
    json_error_t error;

    *ret = (struct ap_frame){.size = AP_FRAME_LINE};
    if (head) head = frame_number(head, data + line, '\n', &ret->body_size);
    if (!head) {
        size_t could = 0;
        while (could < line && (data[could] == ' ' || (data[could] >= '0' && data[could] <= '9')))
            could++;
        if (could == size && size < AP_FRAME_LINE) return AP_FRAME_MORE;
        frame_show(data, line, why, why_size);
        return AP_FRAME_WRONG;
    }
    if (head_size > AP_FRAME_HEAD) {
        snprintf(why, why_size, "the head of a message has %zu bytes; allowed: at most %d", head_size, AP_FRAME_HEAD);
        return AP_FRAME_WRONG;
    }
    if (ret->body_size > most) return AP_FRAME_TOO_LARGE;
    ret->size = (size_t)(head - data) + head_size + ret->body_size;
    if (ret->size > size) return AP_FRAME_MORE;
    ret->head = json_loadb(head, head_size, JSON_REJECT_DUPLICATES, &error);
    ret->type = json_string_value(json_object_get(ret->head, "type"));
    ret->body = head + head_size;
    if (ret->type) return AP_FRAME_WHOLE;
    if (ret->head) snprintf(why, why_size, "the head of a message is no object with a text \"type\"");
    else snprintf(why, why_size, "the head of a message is not JSON: %s", error.text);
    json_decref(ret->head);
    ret->head = NULL;
    return AP_FRAME_WRONG;
}

bool ap_frame_write(struct ap_bytes *to, json_t *head, size_t body_size)
{
    char *text = ap_json_text(head), line[AP_FRAME_LINE + 16];
    size_t before = to->size;
    json_decref(head);
    if (!text) return false;
    snprintf(line, sizeof line, "%zu %zu\n", strlen(text), body_size);
    bool good = ap_bytes_text(to, line) && ap_bytes_text(to, text);
    if (!good) to->size = before;
    free(text);
    return good;
}
