/* agents/runtime/plugin.c - agent kinds from shared objects, and what a kind offers. See kind.h. */
#include <dlfcn.h>
#include <string.h>

#include "agents/runtime/kind.h"
#include "core/text.h"

int ap_agent_plugin(const char *path, const apiary_agent_kind_t **ret, char *message, size_t size)
{
    const apiary_agent_kind_t *(*entry)(void);
    const apiary_agent_kind_t *kind = NULL;
    void *object, *symbol = NULL;
    const char *why = NULL;
    char what[160];

    /* All symbols now, so that what is missing shows here and not in the middle of a task. */
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object != NULL) symbol = dlsym(object, APIARY_AGENT_PLUGIN_SYMBOL);
    if (object == NULL) {
        why = dlerror();
    } else if (symbol == NULL) {
        why = "lacks the symbol " APIARY_AGENT_PLUGIN_SYMBOL
              "; it must define 'const apiary_agent_kind_t *" APIARY_AGENT_PLUGIN_SYMBOL "(void)'";
    } else {
        *(void **)&entry = symbol;
        kind = entry();
        if (kind == NULL) why = APIARY_AGENT_PLUGIN_SYMBOL " returned NULL";
        else if (ap_agent_kind_adopt(kind, &kind, what, sizeof what) < 0) why = what;
    }
    if (why == NULL) {
        *ret = kind;
        return 0;
    }
    if (message != NULL) ap_format(message, size, "plug-in %s: %s", path, why);
    if (object != NULL) dlclose(object);
    return APIARY_ECONFIG;
}

bool ap_agent_kind_offers(const apiary_agent_kind_t *kind, const char *capability)
{
    size_t length = strcspn(capability, "@");

    if (kind->capabilities == NULL) return true;
    for (const char *const *name = kind->capabilities; *name != NULL; name++)
        if (strlen(*name) == length && memcmp(*name, capability, length) == 0) return true;
    return false;
}
