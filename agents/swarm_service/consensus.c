/* agents/swarm_service/consensus.c - kind "consensus": agreement among members, and work shared out to them.
 *
 *   swarm_consensus   {"votes":{"a":"yes","b":"no"},"quorum":0.5} ->
 *                     {"decided":true,"winner":"yes","votes":N,"of":N}   decided: more than quorum (0.5) of all votes. Where
 *                     several have the most, nothing is decided: {"decided":false,"winner":null,"tied":["no","yes"],...}
 *   work_partitioning {"items":["i1",...],"members":["m1",...]} -> {"assignment":{"m1":["i2"],...}}
 *                     rendezvous hashing (Thaler, Ravishankar 1998): when a member leaves only its own items move
 */
#include <stdlib.h>
#include <string.h>

#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"
#include "core/name.h"

enum { VOTES_MOST = 10000, ITEMS_MOST = 10000, MEMBERS_MOST = 256 };

static int consensus_by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The choices that have the most votes, in the order of their bytes: whoever votes first decides nothing. */
static json_t *leaders(json_t *counts, json_int_t most)
{
    const char **names = malloc(json_object_size(counts) * sizeof *names), *name;
    json_t *count, *list = names ? json_array() : NULL;
    size_t n = 0;
    if (!list) {
        free(names);
        return NULL;
    }
    json_object_foreach(counts, name, count) if (json_integer_value(count) == most) names[n++] = name;
    qsort(names, n, sizeof *names, consensus_by_text);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(names[i]));
    free(names);
    return list;
}

static void answer_counts(apiary_job_t *job, json_t *counts, json_int_t of, const json_t *quorum)
{
    const char *name;
    json_t *count, *half = json_real(0.5);
    json_int_t most = 0;
    json_object_foreach(counts, name, count) if (json_integer_value(count) > most) most = json_integer_value(count);
    json_t *list = leaders(counts, most);
    if (!list || !half)
        ap_out_of_memory(job);
    else if (json_array_size(list) > 1)
        ap_answer(job, "{s:b,s:n,s:O,s:I,s:I}", "decided", 0, "winner", "tied", list, "votes", most, "of", of);
    else
        ap_answer(job, "{s:b,s:O,s:I,s:I}", "decided", ap_json_more_than(most, of, quorum ? quorum : half), "winner",
                  json_array_get(list, 0), "votes", most, "of", of);
    json_decref(list);
    json_decref(half);
}

static void agree(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *votes;
    const char *name;
    json_t *vote, *counts;
    double quorum = 0.5;
    (void)state;
    if (!ap_need_object(job, request, "votes", &votes) ||
        (json_object_get(request, "quorum") && !ap_need_number(job, request, "quorum", &quorum)))
        return;
    size_t of = json_object_size(votes);
    if (of == 0 || of > VOTES_MOST || quorum < 0 || quorum >= 1) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "1 to %d votes and a quorum from 0 to less than 1 are allowed",
                        VOTES_MOST);
        return;
    }
    counts = json_object();
    json_object_foreach((json_t *)votes, name, vote)
    {
        const char *choice = json_string_value(vote);
        if (!choice) {
            json_decref(counts);
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "the vote of \"%s\" is not a text", name);
            return;
        }
        json_int_t count = json_integer_value(json_object_get(counts, choice)) + 1;
        json_object_set_new(counts, choice, json_integer(count));
    }
    answer_counts(job, counts, (json_int_t)of, json_object_get(request, "quorum"));
    json_decref(counts);
}

static uint64_t text_hash(const json_t *text)
{
    return ap_hash(json_string_value(text), json_string_length(text));
}

static bool all_texts(apiary_job_t *job, const json_t *list, const char *what)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (!json_is_string(item))
    {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "item %zu of \"%s\" is not a text", i, what);
        return false;
    }
    return true;
}

static void partition(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *items, *members;
    json_t *item, *member;
    size_t i, m;
    (void)state;
    if (!ap_need_array(job, request, "items", ITEMS_MOST, &items) ||
        !ap_need_array(job, request, "members", MEMBERS_MOST, &members) || !all_texts(job, items, "items") ||
        !all_texts(job, members, "members"))
        return;
    if (json_array_size(members) == 0) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"members\" is empty");
        return;
    }
    json_t *assignment = json_object();
    uint64_t hashes[MEMBERS_MOST];
    json_array_foreach(members, m, member)
    {
        json_object_set_new(assignment, json_string_value(member), json_array());
        hashes[m] = text_hash(member);
    }
    json_array_foreach(items, i, item)
    {
        const char *best = NULL;
        uint64_t most = 0, both[2] = {text_hash(item), 0};
        json_array_foreach(members, m, member)
        {
            both[1] = hashes[m];
            uint64_t w = ap_hash(both, sizeof both);
            if (!best || w > most) {
                most = w;
                best = json_string_value(member);
            }
        }
        json_array_append(json_object_get(assignment, best), item);
    }
    ap_answer(job, "{s:o}", "assignment", assignment);
}

const struct ap_function ap_functions_consensus[] = {
    {.capability = "swarm_consensus",
     .call = agree,
     .in = AP_OBJECT("'votes'", "'votes':{'type':'object','additionalProperties':{'type':'string'},'minProperties':1,"
           "'maxProperties':10000},"
                      "'quorum':{'type':'number','minimum':0,'exclusiveMaximum':1}"),
     .out = AP_OBJECT("'decided','winner','votes','of'", "'decided':{'type':'boolean'},"
                      "'winner':{'type':['string','null']},"
                      "'tied':{'type':'array','items':{'type':'string'}},"
                      "'votes':{'type':'integer'},"
                      "'of':{'type':'integer'}"),
     .bound = "10000 votes",
     .again = AP_AGAIN_SAME,
     .send = "{\"votes\":{\"q1\":\"split\",\"q2\":\"stay\",\"q3\":\"split\"}}",
     .answer = "{\"decided\":true,\"winner\":\"split\",\"votes\":2,\"of\":3}"},
    {.capability = "work_partitioning",
     .call = partition,
     .in = AP_OBJECT("'items','members'", "'items':{'type':'array','items':{'type':'string'},'maxItems':10000},"
                      "'members':{'type':'array','items':{'type':'string'},'minItems':1,'maxItems':256}"),
     .out = AP_OBJECT("'assignment'", "'assignment':{'type':'object','additionalProperties':{'type':'array',"
           "'items':{'type':'string'}}}"),
     .bound = "10000 items for 256 members",
     .again = AP_AGAIN_SAME,
     .send = "{\"items\":[\"n1\",\"n2\",\"n3\",\"n4\"],\"members\":[\"a\",\"b\"]}",
     .answer = "{\"assignment\":{\"a\":[\"n3\"],\"b\":[\"n1\",\"n2\",\"n4\"]}}"},
    {.capability = NULL},
};

static void consensus_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_consensus, state, job);
}

const apiary_agent_kind_t ap_kind_consensus = {
    APIARY_AGENT_KIND,
    .name = "consensus",
    .what = "swarm_consensus, work_partitioning: votes counted, items shared out by rendezvous hashing",
    .create = ap_create_plain,
    .handle = consensus_handle,
    .capabilities = (const char *const[]){"swarm_consensus", "work_partitioning", NULL},
};
