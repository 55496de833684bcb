/* tools/dashboard/dashboard.h - the files of the page that apiaryd serves, as they are in the program: those of this
 * folder, and d3 of libjs-d3.
 *
 * THREADS   Any. Nothing is ever changed or freed.
 */
#ifndef AP_TOOLS_DASHBOARD_H
#define AP_TOOLS_DASHBOARD_H

#include <stddef.h>

#define DASHBOARD_ETAG_SIZE 19u /* with both quotes and the end */

struct dashboard_file {
    const char *path;         /* as a browser asks for it: "/dashboard.css" */
    const char *content_type; /* with its character set */
    const unsigned char *data;
    size_t size;                    /* in bytes */
    char etag[DASHBOARD_ETAG_SIZE]; /* of the bytes, in quotes, as the header ETag has it */
};

/* The Content-Security-Policy of an answer with one of the files: nothing comes from elsewhere, no other page shows this one. */
#define DASHBOARD_POLICY \
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* The file of a path; "/" is the page itself. NULL: there is none. */
const struct dashboard_file *dashboard_file(const char *path);

#endif
