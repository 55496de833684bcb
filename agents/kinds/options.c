/* agents/kinds/options.c - see options.h. */
#include "agents/kinds/options.h"

#include <stdio.h>
#include <string.h>

#include "agents/kinds/support.h"
#include "core/text.h"

static const apiary_agent_key_t keys[] = {AP_OPTION_KEYS, {.name = NULL}};

/* Each was judged when the configuration was read. */
void ap_options_read(const apiary_agent_t *agent, apiary_delegate_options_t *ret)
{
    *ret = (apiary_delegate_options_t){.struct_size = sizeof *ret};
    for (const apiary_agent_key_t *k = keys; k->name; k++) {
        const char *text = apiary_agent_text(agent, k->name, NULL);
        if (text) (void)!apiary_option_set(ret, k->name, text);
    }
}

static bool option_known(const char *name)
{
    for (const apiary_agent_key_t *k = keys; k->name; k++)
        if (strcmp(k->name, name) == 0) return true;
    return false;
}

/* As on the command line; NULL: a value of another type. */
static const char *option_text(const json_t *value, char *digits, size_t size)
{
    if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
    if (!json_is_integer(value)) return json_string_value(value);
    snprintf(digits, size, "%lld", (long long)json_integer_value(value));
    return digits;
}

bool ap_options_add(apiary_job_t *job, const json_t *object, const char *where, apiary_delegate_options_t *options)
{
    json_t *all = json_object_get(object, "options"), *value;
    const char *name;
    char digits[24];
    if (!all) return true;
    if (!json_is_object(all)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "%s\"options\" is not an object", where);
        return false;
    }
    json_object_foreach(all, name, value)
    {
        const char *text = option_text(value, digits, sizeof digits);
        if (text && option_known(name) && apiary_option_set(options, name, text) == 0) continue;
        if (!option_known(name))
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "%soptions: \"%s\" is unknown", where, AP_SHOWN(name, 64));
        else
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "%soptions: \"%s\" cannot be that; it is %s", where, name,
                            apiary_option_what(name));
        return false;
    }
    return true;
}
