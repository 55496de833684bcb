/* tools/apiary/token.c - apiary token: what a request that changes something over HTTP needs. */
#include "tools/apiary/apiary.h"

#include <stdlib.h>
#include <string.h>

#include "tools/apiary/where.h"
#include "tools/common/state.h"
#include "tools/common/token.h"
#include "tools/history/history.h"

/* The folder of the coordinator that runs, else the one in which it would be. NULL, and a sentence in `why`: nobody can say. */
static char *token_folder(const struct tool *t, const char *state, char why[HISTORY_WHY])
{
    apiary_attach_options_t options = {.struct_size = sizeof options, .kind = APIARY_TOOL, .read_only = true};
    const char *segment = tool_segment(t, NULL);
    apiary_t *a = NULL;
    char *folder = NULL;

    snprintf(why, HISTORY_WHY, "this user has no home; --state names the folder");
    if (state == NULL && apiary_attach(segment, &options, &a) == 0) folder = events_where(a, why);
    apiary_detach(a);
    return folder != NULL ? folder : tool_state_find(state, segment, TOKEN_FILE);
}

static int token_print(const struct tool *t, const char *folder, bool anew)
{
    char token[TOKEN_SIZE + 1], why[TOKEN_WHY];
    int rc = anew ? token_make(folder, true, why) : 0;

    if (rc == 0) rc = token_read(folder, token, why);
    if (rc == 1)
        return tool_fail(t, TOOL_FAILED, "token: there is none in %s; apiaryd makes it when it begins to serve HTTP, and --state "
                         "names another folder", folder);
    if (rc < 0) return tool_fail(t, TOOL_FAILED, "token: %s", why);
    printf("%s\n", token);
    return TOOL_OK;
}

int cmd_token(struct tool *t, int argc, char **argv)
{
    static const struct tool_usage usage = {
        .command = "token",
        .arguments = "",
        .what = "Prints the token with which the page of apiaryd, and whoever asks over HTTP, may change something.",
        .more = "Only the user who runs apiaryd can read it. With --renew it is another one from now on, and whoever has the\n"
                "former one is refused; so it is when somebody has removed its file.",
    };
    const char *state = NULL;
    bool anew = false;
    const struct tool_option options[] = {
        {"renew", 0, NULL, "make a new one, which apiaryd asks for from now on", NULL, &anew},
        {"state", 0, "DIR", "apiaryd's folder [that of the one that runs, else as for apiary events]", &state, NULL},
        {.name = NULL},
    };
    char why[HISTORY_WHY], *folder;
    int rc = tool_parse(t, &usage, options, &argc, &argv);

    if (rc != TOOL_GO_ON) return rc;
    folder = token_folder(t, state, why);
    rc = folder != NULL ? token_print(t, folder, anew) : tool_fail(t, TOOL_FAILED, "token: %s", why);
    free(folder);
    return tool_finish(t, rc);
}
