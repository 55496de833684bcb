/* registry/client/option.h - options by their names: what registry/client/option.c shares with the tools. */
#ifndef AP_OPTION_H
#define AP_OPTION_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a text is the name of an option or of one of its words; where that has a '-' it may have a '_'. */
bool ap_option_named(const char *text, const char *name);
/* "terminate"; NULL: it is no policy. */
const char *ap_parent_close_name(uint64_t policy);

#endif
