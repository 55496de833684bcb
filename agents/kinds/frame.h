/* agents/kinds/frame.h - the messages of apiary-exec(7) as bytes: "HEAD BODY\n", two decimal numbers; then HEAD bytes, a JSON
 * object that has a text `type`; then BODY bytes. */
#ifndef AP_KINDS_FRAME_H
#define AP_KINDS_FRAME_H

#include <jansson.h>

#include "agents/kinds/support.h"
#include "core/must_check.h"

enum { AP_FRAME_LINE = 24 /* bytes of the first line at most */, AP_FRAME_HEAD = 64 * 1024 };

struct ap_frame {
    json_t *head;            /* the caller's */
    const char *type, *body; /* type: in the head; body: in what was read */
    size_t body_size, size; /* size: of the whole message */
};

enum ap_frame_found { AP_FRAME_MORE, AP_FRAME_WHOLE, AP_FRAME_WRONG, AP_FRAME_TOO_LARGE };

/* The message at the beginning of `data`. MORE: ret->size bytes are needed, as far as it is known. WRONG: `why` says what is wrong
 * with it. TOO_LARGE: its body has more than `most` bytes. */
AP_MUST_CHECK
enum ap_frame_found ap_frame_read(const char *data, size_t size, size_t most, struct ap_frame *ret, char *why, size_t why_size);
/* Adds all but the body. Takes the reference to `head`. false: no memory, and nothing is added. */
AP_MUST_CHECK bool ap_frame_write(struct ap_bytes *to, json_t *head, size_t body_size);

#endif
