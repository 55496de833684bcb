/* agents/hex_server/packages.c - kinds "versions" and "packages": semantic versions, and a registry of packages in memory.
 *
 *   version_resolution {"versions":["1.0.0",...],"requirement":"~> 1.2"} -> {"version":"1.4.2","matching":[...]}  newest first
 *   version_sorting    lines, each a version -> the same, the oldest first; of equals the first one first
 *   package_registry   {"op":"publish","name":N,"version":V,"requires":{P:R}} -> {"published":true}; the same again: false
 *                      {"op":"versions","name":N} -> {"name":N,"versions":[...]}   newest first
 *                      {"op":"list"} -> {"packages":[...]}
 *   package_management {"requires":{P:R}} -> {"resolved":{P:V,...}}   a set of published versions that fit together (pubgrub.h);
 *                      where there is none the task fails with sentences that say why
 * A published version never changes: publishing it with other requirements fails. The registry is as old as the process.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agents/hex_server/pubgrub.h"
#include "agents/hex_server/version.h"
#include "agents/kinds/schema.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { VERSIONS_MOST = 1000, PACKAGES_MOST = 1000, REQUIRES_MOST = 500, LINES_MOST = 100000 };

static bool parse_text(const json_t *text, struct ap_version *ret)
{
    return json_is_string(text) && ap_version_parse(json_string_value(text), json_string_length(text), false, ret);
}

/* A list of {version, ...} or texts is kept newest first: where does this one belong? */
static size_t packages_place_of(const json_t *list, const struct ap_version *version)
{
    struct ap_version other;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const json_t *text = json_is_object(item) ? json_object_get(item, "version") : item;
        if (parse_text(text, &other) && ap_version_compare(&other, version) <= 0) break;
    }
    return i;
}

static bool need_requirement(apiary_job_t *job, const char *requirement)
{
    if (requirement && ap_requirement_valid(requirement)) return true;
    if (requirement && strlen(requirement) > AP_REQUIREMENT_MOST) {
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "a requirement has %zu bytes; at most %d are allowed", strlen(requirement),
                        AP_REQUIREMENT_MOST);
        return false;
    }
    apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\" is not a requirement such as \"~> 1.2\" or \">= 1.0.0 and < 2.0.0\"",
                    requirement ? requirement : "");
    return false;
}

struct numbered {
    struct ap_version version;
    const char *text;
    size_t size, number;
};

static int packages_oldest_first(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    int c = ap_version_compare(&x->version, &y->version);
    return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

static int newest_first(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    int c = ap_version_compare(&y->version, &x->version);
    return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

static void answer_matching(apiary_job_t *job, const json_t *versions, struct numbered *found, size_t count)
{
    json_t *matching = json_array();
    qsort(found, count, sizeof *found, newest_first);
    for (size_t i = 0; i < count; i++)
        json_array_append(matching, json_array_get(versions, found[i].number));
    ap_answer(job, "{s:O?,s:o}", "version", json_array_get(matching, 0), "matching", matching);
}

static void resolve_versions(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *versions;
    const char *requirement;
    json_t *item;
    size_t i, count = 0;
    if (!ap_need_array(job, request, "versions", VERSIONS_MOST, &versions) ||
        !ap_need_text(job, request, "requirement", &requirement) || !need_requirement(job, requirement))
        return;
    struct numbered *found = apiary_agent_alloc(state, (json_array_size(versions) + 1) * sizeof *found);
    if (!found) {
        ap_out_of_memory(job);
        return;
    }
    json_array_foreach(versions, i, item)
    {
        if (!parse_text(item, &found[count].version)) {
            apiary_agent_free(state, found);
            apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                            "item %zu of \"versions\" is not a version such as 1.2.3 or 1.2.3-rc.1", i);
            return;
        }
        found[count].number = i;
        count += ap_requirement_match(requirement, &found[count].version);
    }
    answer_matching(job, versions, found, count);
    apiary_agent_free(state, found);
}

/* false: one is no version, or there are too many; the job is failed. Empty lines are none. */
static bool read_lines(apiary_job_t *job, const char *at, const char *end, struct numbered *lines, size_t *count)
{
    for (size_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t size = (size_t)((stop ? stop : end) - at);
        const char *text = at;
        at += size + 1;
        if (size > 0 && text[size - 1] == '\r') size--;
        if (size == 0) continue;
        if (!ap_version_parse(text, size, false, &lines[*count].version)) {
            apiary_job_fail(job, AP_CODE_BAD_REQUEST, "line %zu is not a version such as 1.2.3 or 1.2.3-rc.1", line);
            return false;
        }
        lines[*count].text = text;
        lines[*count].size = size;
        lines[*count].number = *count;
        ++*count;
    }
    return true;
}

/* Its copy is read: the request lies in the segment, where its sender may change it. */
static void sort_versions(void *state, apiary_job_t *job)
{
    apiary_agent_t *agent = state;
    struct ap_bytes body = {.agent = agent}, out = {.agent = agent};
    size_t size, count = 0, most = 1;
    const char *data = apiary_job_data(job, &size);
    bool copied = ap_bytes_add(&body, data, size);
    for (size_t i = 0; copied && i < size; i++)
        most += body.data[i] == '\n';
    struct numbered *lines = copied && most <= LINES_MOST ? apiary_agent_alloc(agent, most * sizeof *lines) : NULL;
    if (most > LINES_MOST) {
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "%zu lines; at most %d are allowed", most, LINES_MOST);
    } else if (!lines) {
        ap_out_of_memory(job);
    } else if (read_lines(job, body.data, body.data + size, lines, &count)) {
        qsort(lines, count, sizeof *lines, packages_oldest_first);
        bool added = true;
        for (size_t i = 0; i < count && added; i++)
            added = ap_bytes_add(&out, lines[i].text, lines[i].size) && ap_bytes_add(&out, "\n", 1);
        if (added)
            apiary_job_reply(job, out.data ? out.data : "", out.size);
        else
            ap_out_of_memory(job);
    }
    apiary_agent_free(agent, lines);
    ap_bytes_free(&body);
    ap_bytes_free(&out);
}

const struct ap_function ap_functions_versions[] = {
    {.capability = "version_resolution",
     .call = resolve_versions,
     .in = AP_OBJECT("'versions','requirement'", "'versions':{'type':'array','items':{'type':'string'},'maxItems':1000},"
                      "'requirement':{'type':'string','maxLength':4096}"),
     .out = AP_OBJECT("'version','matching'", "'version':{'type':['string','null']},"
                      "'matching':{'type':'array','items':{'type':'string'}}"),
     .bound = "1000 versions, a requirement of 4 KiB",
     .again = AP_AGAIN_SAME,
     .send = "{\"versions\":[\"1.2.0\",\"1.10.0\",\"2.0.0\"],\"requirement\":\"~> 1.2\"}",
     .answer = "{\"version\":\"1.10.0\",\"matching\":[\"1.10.0\",\"1.2.0\"]}"},
    {.capability = "version_sorting",
     .bytes = sort_versions,
     .bound = "100000 lines",
     .again = AP_AGAIN_SAME,
     .send = "1.10.0\n1.9.1\n1.0.0-rc.1\n1.0.0\n",
     .answer = "1.0.0-rc.1\n1.0.0\n1.9.1\n1.10.0\n"},
    {.capability = NULL},
};

static void versions_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_versions, state, job);
}

/* ---- registry ---------------------------------------------------------------------------------------------------- */

static bool requirements_valid(apiary_job_t *job, const json_t *requires)
{
    const char *name;
    json_t *requirement;
    if (json_object_size(requires) > REQUIRES_MOST) {
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "%zu requirements; at most %d are allowed", json_object_size(requires),
                        REQUIRES_MOST);
        return false;
    }
    json_object_foreach((json_t *) requires, name,
                        requirement) if (!need_requirement(job, json_string_value(requirement))) return false;
    return true;
}

static json_t *find_release(const json_t *releases, const struct ap_version *version)
{
    struct ap_version other;
    json_t *there = json_array_get(releases, packages_place_of(releases, version));
    return parse_text(json_object_get(there, "version"), &other) && ap_version_compare(&other, version) == 0 ? there
                                                                                                             : NULL;
}

static void packages_publish(json_t *packages, apiary_job_t *job, const json_t *request)
{
    const char *name, *text;
    const json_t *requires = NULL;
    struct ap_version version;
    if (!ap_need_text(job, request, "name", &name) || !ap_need_text(job, request, "version", &text)) return;
    if (json_object_get(request, "requires") &&
        (!ap_need_object(job, request, "requires", &requires) || !requirements_valid(job, requires)))
        return;
    if (!ap_version_parse(text, strlen(text), false, &version)) {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\" is not a version such as 1.2.3 or 1.2.3-rc.1", text);
        return;
    }
    json_t *releases = json_object_get(packages, name), *there = find_release(releases, &version);
    json_t *wanted = requires ? json_deep_copy(requires) : json_object();
    if (there) {
        if (json_equal(json_object_get(there, "requires"), wanted))
            ap_answer(job, "{s:b}", "published", 0);
        else
            apiary_job_fail(job, AP_CODE_CONFLICT, "%s %s is published with other requirements and never changes", name,
                            text);
        json_decref(wanted);
        return;
    }
    if ((!releases && json_object_size(packages) >= PACKAGES_MOST) || json_array_size(releases) >= VERSIONS_MOST) {
        json_decref(wanted);
        apiary_job_fail(job, AP_CODE_FULL, "the registry holds %d packages of %d versions", PACKAGES_MOST,
                        VERSIONS_MOST);
        return;
    }
    if (!releases) {
        releases = json_array();
        json_object_set_new(packages, name, releases);
    }
    json_array_insert_new(releases, packages_place_of(releases, &version),
                          json_pack("{s:s,s:o}", "version", text, "requires", wanted));
    ap_answer(job, "{s:b}", "published", 1);
}

static void show_versions(const json_t *packages, apiary_job_t *job, const json_t *request)
{
    const char *name;
    json_t *release;
    size_t i;
    if (!ap_need_text(job, request, "name", &name)) return;
    const json_t *releases = json_object_get(packages, name);
    if (!releases) {
        apiary_job_fail(job, AP_CODE_NOT_FOUND, "there is no package \"%s\"", name);
        return;
    }
    json_t *versions = json_array();
    json_array_foreach(releases, i, release) json_array_append(versions, json_object_get(release, "version"));
    ap_answer(job, "{s:s,s:o}", "name", name, "versions", versions);
}

static void registry(void *state, apiary_job_t *job, const json_t *request)
{
    const char *op, *name;
    json_t *unused;
    if (!ap_need_text(job, request, "op", &op)) return;
    if (strcmp(op, "publish") == 0) {
        packages_publish(state, job, request);
    } else if (strcmp(op, "versions") == 0) {
        show_versions(state, job, request);
    } else if (strcmp(op, "list") == 0) {
        json_t *names = json_array();
        json_object_foreach((json_t *)state, name, unused) json_array_append_new(names, json_string(name));
        ap_answer(job, "{s:o}", "packages", names);
    } else {
        apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"op\" is \"%s\"; publish, versions, list are allowed", op);
    }
}

/* ---- resolution -------------------------------------------------------------------------------------------------- */

static void resolve(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *requires;
    json_t *chosen;
    char *why;
    if (!ap_need_object(job, request, "requires", &requires) || !requirements_valid(job, requires)) return;
    int error = ap_pubgrub(state, requires, &chosen, &why);
    if (error == 0) {
        ap_answer(job, "{s:o}", "resolved", chosen);
    } else if (error == -EDOM) {
        apiary_job_fail_text(job, AP_CODE_CONFLICT, why, strlen(why));
        free(why);
    } else if (error == -E2BIG) {
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "the search was given up: these packages depend on each other in too many ways");
    } else {
        ap_out_of_memory(job);
    }
}

const struct ap_function ap_functions_packages[] = {
    {.capability = "package_registry",
     .call = registry,
     .in = "{'oneOf':["
           AP_OBJECT("'op','name','version'", "'op':{'const':'publish'},"
                      "'name':{'type':'string'},"
                      "'version':{'type':'string'},"
                      "'requires':{'type':'object','additionalProperties':{'type':'string'},'maxProperties':500}") ","
           AP_OBJECT("'op','name'", "'op':{'const':'versions'},"
                      "'name':{'type':'string'}") ","
           AP_OBJECT("'op'", "'op':{'const':'list'}")
           "]}",
     .out = "{'type':'object'}",
     .bound = "1000 packages of 1000 versions",
     .again = "publishes nothing more, and says so",
     .send = "{\"op\":\"list\"}"},
    {.capability = "package_management",
     .call = resolve,
     .in = AP_OBJECT("'requires'", "'requires':{'type':'object','additionalProperties':{'type':'string'},"
           "'maxProperties':500}"),
     .out = AP_OBJECT("'resolved'", "'resolved':{'type':'object','additionalProperties':{'type':'string'}}"),
     .bound = "50 million steps and 64 MiB, then it is given up",
     .again = AP_AGAIN_LOOKS,
     .send = "{\"requires\":{}}",
     .answer = "{\"resolved\":{}}"},
    {.capability = NULL},
};

static void packages_handle(void *state, apiary_job_t *job)
{
    ap_dispatch(ap_functions_packages, state, job);
}

static int packages_create(apiary_agent_t *agent, void **state)
{
    (void)agent;
    *state = json_object();
    return *state ? 0 : APIARY_ENOBLOCK;
}

static void packages_destroy(void *state)
{
    json_decref(state);
}

const apiary_agent_kind_t ap_kind_versions = {
    APIARY_AGENT_KIND,
    .name = "versions",
    .what = "version_resolution, version_sorting: semantic versions, by a requirement and in their order",
    .create = ap_create_plain,
    .handle = versions_handle,
    .capabilities = (const char *const[]){"version_resolution", "version_sorting", NULL},
};

const apiary_agent_kind_t ap_kind_packages = {
    APIARY_AGENT_KIND,
    .name = "packages",
    .what = "package_registry, package_management: publishing packages, resolving what they require",
    .create = packages_create,
    .handle = packages_handle,
    .destroy = packages_destroy,
    .capabilities = (const char *const[]){"package_registry", "package_management", NULL},
    .state = APIARY_STATE_AGENT,
};
