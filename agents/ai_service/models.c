/* agents/ai_service/models.c - see models.h. */
#include "agents/ai_service/models.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define CATALOGUE_KEY "models"
#define CATALOGUE_MOST (64 * 1024)
#define SENTENCES_MOST 512

static const char built_in[] = "[{\"model\":\"local-digest\",\"provider\":\"local\",\"context\":1000000,\"cost\":0,"
                               "\"skills\":[\"digest\",\"count\"],"
                               "\"enabled\":true},"
                               "{\"model\":\"local-extract\",\"provider\":\"local\",\"context\":65536,\"cost\":1,"
                               "\"skills\":[\"summary\",\"digest\"],"
                               "\"enabled\":true}]";

/* ---- local-digest ------------------------------------------------------------------------------------------------ */

static size_t count_words(const char *text, size_t size)
{
    size_t words = 0;
    bool inside = false;
    for (size_t i = 0; i < size; i++) {
        bool space = isspace((unsigned char)text[i]) != 0;
        words += !space && !inside;
        inside = !space;
    }
    return words;
}

static json_t *digest(const char *prompt)
{
    char hex[65];
    size_t size = strlen(prompt);
    ap_sha256_hex(prompt, size, hex);
    return json_sprintf("%zu words, %zu bytes, sha256 %s", count_words(prompt, size), size, hex);
}

/* ---- local-extract ----------------------------------------------------------------------------------------------- */

struct sentence {
    const char *start;
    size_t size;
};

static size_t split(const char *text, struct sentence *ret)
{
    size_t count = 0;
    while (*text && count < SENTENCES_MOST) {
        while (isspace((unsigned char)*text))
            text++;
        const char *end = text;
        while (*end && !(strchr(".!?", *end) && (end[1] == '\0' || isspace((unsigned char)end[1]))))
            end++;
        if (*end) end++;
        if (end > text) ret[count++] = (struct sentence){text, (size_t)(end - text)};
        text = end;
    }
    return count;
}

static uint32_t word_hash(const char *word, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint32_t)tolower((unsigned char)word[i])) * 16777619u;
    return hash & 4095;
}

/* Calls for each word of four or more letters: adds to, or reads, how often such words occur. */
static uint64_t weigh(const struct sentence *s, uint32_t counts[4096], bool count)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < s->size;) {
        size_t length = 0;
        while (at + length < s->size && isalpha((unsigned char)s->start[at + length]))
            length++;
        if (length >= 4) {
            uint32_t *n = &counts[word_hash(s->start + at, length)];
            sum += count ? ++*n : *n;
        }
        at += length + 1;
    }
    return sum;
}

static json_t *extract(const char *prompt)
{
    struct sentence *sentences = calloc(SENTENCES_MOST, sizeof *sentences);
    uint32_t *counts = calloc(4096, sizeof *counts);
    json_t *answer = NULL;
    if (sentences && counts) {
        size_t count = split(prompt, sentences), best = 0;
        uint64_t most = 0;
        for (size_t i = 0; i < count; i++)
            weigh(&sentences[i], counts, true);
        for (size_t i = 0; i < count; i++) {
            uint64_t weight = weigh(&sentences[i], counts, false);
            if (weight > most) {
                most = weight;
                best = i;
            }
        }
        answer = count ? json_stringn(sentences[best].start, sentences[best].size) : json_string("");
    }
    free(sentences);
    free(counts);
    return answer;
}

bool ap_model_answer(const char *model, const char *prompt, json_t **ret)
{
    if (strcmp(model, "local-digest") == 0)
        *ret = digest(prompt);
    else if (strcmp(model, "local-extract") == 0)
        *ret = extract(prompt);
    else
        return false;
    return true;
}

/* ---- catalogue --------------------------------------------------------------------------------------------------- */

json_t *ap_models_load(apiary_agent_t *agent)
{
    char *text = malloc(CATALOGUE_MOST);
    json_t *catalogue = NULL;
    if (!text) return NULL;
    int64_t size = apiary_local_get(agent, CATALOGUE_KEY, text, CATALOGUE_MOST);
    if (size > 0 && size <= CATALOGUE_MOST) catalogue = json_loadb(text, (size_t)size, 0, NULL);
    free(text);
    return json_is_array(catalogue) ? catalogue : json_loads(built_in, 0, NULL);
}

int ap_models_store(apiary_agent_t *agent, const json_t *catalogue)
{
    char *text = ap_json_text(catalogue);
    if (!text) return APIARY_ENOBLOCK;
    size_t size = strlen(text);
    int error = size > CATALOGUE_MOST ? APIARY_ETOOLARGE : apiary_local_put(agent, CATALOGUE_KEY, text, size);
    free(text);
    return error;
}
