/* agents/plugin.c - agent kinds from shared objects, and what a kind offers. See kinds.h. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "agents/kinds.h"
#include "core/text.h"

static int refuse(char *message, size_t size, const char *path, const char *what)
{
    if (message != NULL && size > 0) ap_format(message, size, "plug-in %s: %s", path, what);
    return APIARY_ECONFIG;
}

int ap_agent_plugin(const char *path, const apiary_agent_kind_t **ret, char *message, size_t size)
{
    const apiary_agent_kind_t *(*entry)(void);
    const apiary_agent_kind_t *kind;
    void *object, *symbol;
    const char *why;
    char what[160];

    /* All symbols now, so that what is missing shows here and not in the middle of a task. */
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        why = dlerror();
        return refuse(message, size, path, why != NULL ? why : "cannot be loaded");
    }
    symbol = dlsym(object, APIARY_AGENT_PLUGIN_SYMBOL);
    if (symbol == NULL)
        return refuse(message, size, path,
                      "lacks the symbol " APIARY_AGENT_PLUGIN_SYMBOL
                      "; it must define 'const apiary_agent_kind_t *" APIARY_AGENT_PLUGIN_SYMBOL "(void)'");
    *(void **)&entry = symbol;
    kind = entry();
    if (kind == NULL) return refuse(message, size, path, APIARY_AGENT_PLUGIN_SYMBOL " returned NULL");
    if (kind->abi != APIARY_AGENT_ABI) {
        ap_format(what, sizeof what, "was built for agent interface %u, this program has %u; build it again", kind->abi,
                 APIARY_AGENT_ABI);
        return refuse(message, size, path, what);
    }
    if (kind->name == NULL || kind->name[0] == '\0') return refuse(message, size, path, "its kind has no name");
    if (kind->handle == NULL) return refuse(message, size, path, "its kind lacks handle");
    *ret = kind;
    return 0;
}

bool ap_agent_kind_offers(const apiary_agent_kind_t *kind, const char *capability)
{
    size_t length = strcspn(capability, "@");

    if (kind->capabilities == NULL) return true;
    for (const char *const *name = kind->capabilities; *name != NULL; name++)
        if (strlen(*name) == length && memcmp(*name, capability, length) == 0) return true;
    return false;
}
