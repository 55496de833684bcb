/* agents/kinds/json.c - see json.h. */
#include "agents/kinds/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- to text ----------------------------------------------------------------------------------------------------- */

#define WHOLE_MOST 1e16 /* a whole number below is written out, as people do; from here on with an exponent */

static void write_value(FILE *out, const json_t *value);

/* As JSON has it: a full stop whatever the locale's decimal point is, no '+' and no zeros at the front of an exponent, and
 * something that tells it from a whole number, so that it is read as a double again. */
static void write_digits(FILE *out, const char *text)
{
    bool real = false;
    for (const char *c = text; *c; c++) {
        if (*c == 'e') {
            real = true;
            putc_unlocked('e', out);
            if (c[1] == '-') putc_unlocked('-', out);
            c += 1 + strspn(c + 1, "+-0");
            fputs(c, out);
            break;
        }
        if (strchr("-0123456789", *c)) {
            putc_unlocked(*c, out);
        } else if (!real) { /* the decimal point may be several bytes */
            real = true;
            putc_unlocked('.', out);
        }
    }
    if (!real) fputs(".0", out);
}

/* The fewest digits that read back as the same double: DBL_DIG of them survive, unless it has fewer (denormal) or needs more. */
static void print_shortest(char ret[40], double value, char format)
{
    int digits = fabs(value) < DBL_MIN ? 1 : DBL_DIG;
    do
        snprintf(ret, 40, format == 'g' ? "%.*g" : "%.*e", format == 'g' ? digits : digits - 1, value);
    while (strtod(ret, NULL) != value && ++digits <= DBL_DECIMAL_DIG);
}

static void write_real(FILE *out, double value)
{
    char text[40];
    if (fabs(value) < WHOLE_MOST && value == trunc(value))
        snprintf(text, sizeof text, "%.0f", value);
    else
        print_shortest(text, value, 'g');
    write_digits(out, text);
}

static void write_text(FILE *out, const char *text, size_t size)
{
    static const char names[] = "\b\f\n\r\t", letters[] = "bfnrt";
    putc_unlocked('"', out);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *name = c ? strchr(names, c) : NULL;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (name)
            fprintf(out, "\\%c", letters[name - names]);
        else if (c < 0x20)
            fprintf(out, "\\u%04X", c);
        else
            putc_unlocked(c, out);
    }
    putc_unlocked('"', out);
}

static void write_object(FILE *out, const json_t *object)
{
    const char *key, *between = "{";
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        fputs(between, out);
        write_text(out, key, strlen(key));
        putc_unlocked(':', out);
        write_value(out, value);
        between = ",";
    }
    fputs(*between == '{' ? "{}" : "}", out);
}

static void write_list(FILE *out, const json_t *list)
{
    size_t count = json_array_size(list);
    putc_unlocked('[', out);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) putc_unlocked(',', out);
        write_value(out, json_array_get(list, i));
    }
    putc_unlocked(']', out);
}

static void write_value(FILE *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(out, value);
        break;
    case JSON_ARRAY:
        write_list(out, value);
        break;
    case JSON_STRING:
        write_text(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        write_real(out, json_real_value(value));
        break;
    case JSON_TRUE:
        fputs("true", out);
        break;
    case JSON_FALSE:
        fputs("false", out);
        break;
    case JSON_NULL:
        fputs("null", out);
        break;
    }
}

char *ap_json_text(const json_t *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = value ? open_memstream(&text, &size) : NULL;
    if (!out) return NULL;
    write_value(out, value);
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed) return text;
    free(text);
    return NULL;
}

/* ---- compared ---------------------------------------------------------------------------------------------------- */

static int order_reals(double a, double b)
{
    return (a > b) - (a < b);
}

/* No 64-bit number is lost on the way to a double that is outside of their range, and inside it the whole part of the
 * double fits. */
static int order_mixed(json_int_t a, double b)
{
    if (b >= 0x1p63) return -1;
    if (b < -0x1p63) return 1;
    json_int_t whole = (json_int_t)b;
    if (a != whole) return a > whole ? 1 : -1;
    return order_reals(0, b - (double)whole);
}

static int order_numbers(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_integer(a)) return order_mixed(json_integer_value(a), json_real_value(b));
    if (json_is_integer(b)) return -order_mixed(json_integer_value(b), json_real_value(a));
    return order_reals(json_real_value(a), json_real_value(b));
}

int ap_json_order(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) return order_numbers(a, b);
    if (json_is_string(a) && json_is_string(b)) {
        int c = strcmp(json_string_value(a), json_string_value(b));
        return (c > 0) - (c < 0);
    }
    return 2;
}

bool ap_json_equal(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    if (json_is_number(a) && json_is_number(b)) return order_numbers(a, b) == 0;
    if (json_is_array(a) && json_is_array(b)) {
        size_t count = json_array_size(a);
        bool equal = count == json_array_size(b);
        for (size_t i = 0; equal && i < count; i++)
            equal = ap_json_equal(json_array_get(a, i), json_array_get(b, i));
        return equal;
    }
    if (json_is_object(a) && json_is_object(b)) {
        if (json_object_size(a) != json_object_size(b)) return false;
        json_object_foreach((json_t *)a, key, value) if (!ap_json_equal(value, json_object_get(b, key))) return false;
        return true;
    }
    return json_equal(a, b);
}

/* part / of > digits / 10^scale, in whole numbers. */
bool ap_json_more_than(json_int_t part, json_int_t of, const json_t *share)
{
    enum { SCALE_MOST = 22 }; /* 10^15 * 10^22 fits */
    char text[40];
    double value = json_number_value(share);
    if (json_is_integer(share) || value <= 0 || value >= 1) return (double)part > value * (double)of;
    print_shortest(text, value, 'e'); /* D.DDDe-EE */
    const char *exponent = strchr(text, 'e');
    __int128 digits = 0, scaled = part;
    int scale = -1 - atoi(exponent + 1);
    for (const char *c = text; c < exponent; c++)
        if (*c >= '0' && *c <= '9') {
            digits = digits * 10 + (*c - '0');
            scale++;
        }
    while (scale > 0 && digits % 10 == 0) {
        digits /= 10;
        scale--;
    }
    if (scale > SCALE_MOST) return (double)part > value * (double)of; /* less than one of as many as there can be */
    for (; scale > 0; scale--)
        scaled *= 10;
    return scaled > digits * of;
}

const json_t *ap_json_member(const json_t *object, const char *path)
{
    size_t size = strlen(path);
    const json_t *found = json_object_getn(object, path, size);
    while (!found) {
        do
            if (size == 0) return NULL;
        while (path[--size] != '.');
        const json_t *inner = json_object_getn(object, path, size);
        if (inner) found = ap_json_member(inner, path + size + 1);
    }
    return found;
}
