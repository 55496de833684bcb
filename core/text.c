/* core/text.c - see text.h. */
#include "core/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A full buffer gets the mark as its end. Returns the length. */
static size_t mark(char *text, size_t size)
{
    static const char dots[] = "...";
    size_t n = size >= sizeof dots ? size - sizeof dots : 0;

    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    for (const char *dot = dots; *dot != '\0' && n + 1 < size; dot++) text[n++] = *dot;
    text[n] = '\0';
    return n;
}

size_t ap_vformat(char *ret, size_t size, const char *format, va_list args)
{
    int n;

    if (size == 0) return 0;
    n = vsnprintf(ret, size, format, args);
    if (n < 0) ret[n = 0] = '\0';
    return (size_t)n < size ? (size_t)n : mark(ret, size);
}

size_t ap_format(char *ret, size_t size, const char *format, ...)
{
    va_list args;
    size_t n;

    va_start(args, format);
    n = ap_vformat(ret, size, format, args);
    va_end(args);
    return n;
}

char *ap_vformat_whole(char *buffer, size_t size, const char *format, va_list args)
{
    va_list again;
    char *whole = NULL;
    int n;

    va_copy(again, args);
    n = vsnprintf(buffer, size, format, args);
    if (n >= 0 && (size_t)n >= size && (whole = malloc((size_t)n + 1)) != NULL) vsnprintf(whole, (size_t)n + 1, format, again);
    va_end(again);
    if (whole != NULL) return whole;
    if (n < 0) buffer[0] = '\0';
    else if ((size_t)n >= size) mark(buffer, size);
    return buffer;
}

const char *ap_shown(char *ret, size_t size, const char *text)
{
    ap_format(ret, size, "%s", text);
    return ret;
}

double ap_decimal(const char *text, const char **end)
{
    double value = 0, place = 1;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0');
    if (at != text && *at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) value += (*at - '0') * (place /= 10);
    *end = at;
    return value;
}

int ap_duration(const char *text, uint64_t *ret)
{
    static const struct {
        const char *unit;
        double ns;
    } units[] = {{"", 1e6}, {"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
    const char *unit;
    double value = ap_decimal(text, &unit);

    for (size_t i = 0; unit != text && i < sizeof units / sizeof units[0]; i++) {
        double ns = value * units[i].ns;
        if (strcmp(unit, units[i].unit) != 0) continue;
        if (!(ns >= 1) || ns > 1e18) return -1;
        *ret = (uint64_t)(ns + 0.5);
        return 0;
    }
    return -1;
}
