/* tests/crash/defect.c - which of defects.txt this program is to have; linked to the library in which they are planted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Made by defects.py. */
extern unsigned ap_defect;
extern const char *const ap_defect_names[]; /* the first is none, the last is NULL */

static __attribute__((constructor)) void choose(void)
{
    const char *name = getenv("APIARY_DEFECT");

    if (name == NULL || name[0] == '\0') return;
    for (unsigned i = 1; ap_defect_names[i] != NULL; i++)
        if (strcmp(name, ap_defect_names[i]) == 0) ap_defect = i;
    if (ap_defect != 0) return;
    fprintf(stderr, "there is no defect '%s'\n", name);
    exit(64);
}
