/* core/error.c - the table of errors as text. */
#include "core/apiary.h"

#ifndef APIARY_BUILD_VERSION
#define APIARY_BUILD_VERSION "0.1.0"
#endif

/* Switches and not an array: two errors of one value would not compile. */

const char *apiary_strerror(int error)
{
    switch (error) {
    case 0:
        return "success";
#define X(name, number, text, advice) \
    case name: \
        return text;
#include "core/apiary_error.def"
#undef X
    default:
        return "an error that this version does not know";
    }
}

const char *apiary_advice(int error)
{
    switch (error) {
    case 0:
        return "";
#define X(name, number, text, advice) \
    case name: \
        return advice;
#include "core/apiary_error.def"
#undef X
    default:
        return "check that the program and the library are of the same version";
    }
}

const char *apiary_error_name(int error)
{
    switch (error) {
    case 0:
        return "0";
#define X(name, number, text, advice) \
    case name: \
        return #name;
#include "core/apiary_error.def"
#undef X
    default:
        return "APIARY_UNKNOWN";
    }
}

/* THE place that says which errors refuse because of load. */
uint64_t apiary_retry_after(int error)
{
    const uint64_t ms = UINT64_C(1000000);

    switch (error) {
    case APIARY_EQUEUEFULL:
    case APIARY_ELIMIT:
    case APIARY_EBACKLOG:
    case APIARY_ERATE:
        return ms;
    case APIARY_ENOSLOT:
    case APIARY_ENOBLOCK:
    case APIARY_ESHARE:
        return 10 * ms;
    default:
        return 0;
    }
}

const char *apiary_version(void)
{
    return APIARY_BUILD_VERSION;
}
