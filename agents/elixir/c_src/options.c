/* options.c - options of a delegation by their names: those of libapiary's table, and the flags that it leaves to programs. */
#include <stdlib.h>
#include <string.h>

#include "nif.h"

static const struct {
    const char *name;
    uint32_t flag;
} flags[] = {{"detach", APIARY_DETACH}, {"no_fallback", APIARY_NO_FALLBACK}, {"no_hedge", APIARY_NO_HEDGE}};

static int option_one(const char *name, const char *text, apiary_delegate_options_t *ret)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].name, name) != 0) continue;
        if (strcmp(text, "true") != 0) return strcmp(text, "false") == 0 ? 0 : APIARY_EINVAL;
        ret->flags |= flags[i].flag;
        return 0;
    }
    return apiary_option_set(ret, name, text);
}

int options_read(ErlNifEnv *env, ERL_NIF_TERM list, apiary_delegate_options_t *ret)
{
    ERL_NIF_TERM head;
    int rc = 0;

    *ret = (apiary_delegate_options_t){.struct_size = sizeof *ret};
    while (rc == 0 && enif_get_list_cell(env, list, &head, &list)) {
        const ERL_NIF_TERM *pair;
        char *name = NULL, *text = NULL;
        int arity;

        rc = APIARY_EINVAL;
        if (enif_get_tuple(env, head, &arity, &pair) && arity == 2) {
            name = nif_string(env, pair[0]);
            text = nif_string(env, pair[1]);
            if (name != NULL && text != NULL) rc = option_one(name, text, ret);
        }
        free(name);
        free(text);
    }
    return rc;
}
