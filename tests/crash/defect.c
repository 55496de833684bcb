/* tests/crash/defect.c - which of core/defect.h this test program is to have; linked to the copies of the library with defects. */
#include "core/defect.h"

#ifdef APIARY_DEFECTS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned ap_defect;

/* "list": what there is. */
static __attribute__((constructor)) void choose(void)
{
    static const struct {
        const char *name, *text;
    } all[] = {
#define X(name, text) {#name, text},
        AP_DEFECTS(X)
#undef X
    };
    const char *name = getenv("APIARY_DEFECT");

    if (name == NULL || name[0] == '\0') return;
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(name, "list") == 0) printf("%s\t%s\n", all[i].name, all[i].text);
        else if (strcmp(name, all[i].name) == 0) ap_defect = i + 1;
    }
    if (strcmp(name, "list") == 0) exit(0);
    if (ap_defect != 0) return;
    fprintf(stderr, "there is no defect '%s'\n", name);
    exit(64);
}

#endif
