/* agents/hex_server/packages.c - kinds "versions" and "packages": semantic versions, and a registry of packages in memory.
 *
 *   version_resolution {"versions":["1.0.0",...],"requirement":"~> 1.2"} -> {"version":"1.4.2","matching":[...]}  newest first
 *   package_registry   {"op":"publish","name":N,"version":V,"requires":{P:R}} -> {"published":true}; the same again: false
 *                      {"op":"versions","name":N} -> {"name":N,"versions":[...]}   newest first
 *                      {"op":"list"} -> {"packages":[...]}
 *   package_management {"requires":{P:R}} -> {"resolved":{P:V,...}}   a set of the newest published versions that fit together
 * A published version never changes: publishing it with other requirements fails. The registry is as old as the process.
 */
#include <stdlib.h>
#include <string.h>

#include "agents/hex_server/version.h"
#include "agents/kinds/support.h"
#include "agents/kinds/table.h"

enum { VERSIONS_MOST = 1000, PACKAGES_MOST = 1000, STEPS_MOST = 20000, WANTED_MOST = 500 };

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
    apiary_job_fail(job, AP_CODE_BAD_REQUEST, "\"%s\" is not a requirement such as \"~> 1.2\" or \">= 1.0.0 and < 2.0.0\"",
                    requirement ? requirement : "");
    return false;
}

static void resolve_versions(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *versions;
    const char *requirement;
    struct ap_version version;
    json_t *item;
    size_t i;
    (void)state;
    if (!ap_need_array(job, request, "versions", VERSIONS_MOST, &versions) ||
        !ap_need_text(job, request, "requirement", &requirement) || !need_requirement(job, requirement))
        return;
    json_t *matching = json_array();
    json_array_foreach(versions, i, item)
    {
        if (!parse_text(item, &version)) {
            json_decref(matching);
            apiary_job_fail(job, AP_CODE_BAD_REQUEST,
                            "item %zu of \"versions\" is not a version such as 1.2.3 or 1.2.3-rc.1", i);
            return;
        }
        if (ap_requirement_match(requirement, &version))
            json_array_insert(matching, packages_place_of(matching, &version), item);
    }
    ap_answer(job, "{s:O?,s:o}", "version", json_array_get(matching, 0), "matching", matching);
}

static void versions_handle(void *state, apiary_job_t *job)
{
    static const struct ap_function functions[] = {{"version_resolution", resolve_versions}, {NULL, NULL}};
    ap_dispatch(functions, state, job);
}

/* ---- registry ---------------------------------------------------------------------------------------------------- */

static bool requirements_valid(apiary_job_t *job, const json_t *requires)
{
    const char *name;
    json_t *requirement;
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

/* ---- resolution: depth first, the newest version first, back when something does not fit ------------------------- */

struct search {
    const json_t *packages;
    json_t *chosen; /* name: version */
    size_t count;   /* of what is wanted, by the request and by the releases chosen so far */
    struct {
        const char *name, *requirement;
    } wanted[WANTED_MOST];
    int steps;
    const char *stuck; /* the last package for which nothing fitted */
    bool too_much;
};

static bool want(struct search *s, const json_t *requires)
{
    const char *name;
    json_t *requirement;
    json_object_foreach((json_t *) requires, name, requirement)
    {
        if (s->count == WANTED_MOST) {
            s->too_much = true;
            return false;
        }
        s->wanted[s->count].name = name;
        s->wanted[s->count++].requirement = json_string_value(requirement);
    }
    return true;
}

/* Meets everything wanted from `at` on; at most WANTED_MOST deep. */
static bool solve(struct search *s, size_t at)
{
    struct ap_version version;
    json_t *release;
    size_t i, before = s->count;
    if (at == s->count) return true;
    const char *name = s->wanted[at].name, *requirement = s->wanted[at].requirement;
    const json_t *taken = json_object_get(s->chosen, name);
    if (taken) return parse_text(taken, &version) && ap_requirement_match(requirement, &version) && solve(s, at + 1);
    json_array_foreach(json_object_get(s->packages, name), i, release)
    {
        json_t *text = json_object_get(release, "version");
        if (!parse_text(text, &version) || !ap_requirement_match(requirement, &version)) continue;
        if (++s->steps > STEPS_MOST || s->too_much) {
            s->too_much = true;
            return false;
        }
        json_object_set(s->chosen, name, text);
        if (want(s, json_object_get(release, "requires")) && solve(s, at + 1)) return true;
        json_object_del(s->chosen, name);
        s->count = before;
    }
    s->stuck = name;
    return false;
}

static void resolve(void *state, apiary_job_t *job, const json_t *request)
{
    const json_t *requires;
    if (!ap_need_object(job, request, "requires", &requires) || !requirements_valid(job, requires)) return;
    struct search *s = calloc(1, sizeof *s);
    if (!s) {
        ap_out_of_memory(job);
        return;
    }
    s->packages = state;
    s->chosen = json_object();
    if (want(s, requires) && solve(s, 0))
        ap_answer(job, "{s:O}", "resolved", s->chosen);
    else if (s->too_much)
        apiary_job_fail(job, AP_CODE_TOO_LARGE, "no set was found in %d steps", STEPS_MOST);
    else
        apiary_job_fail(job, AP_CODE_CONFLICT,
                        "no published versions fit together; the last that nothing fitted was \"%s\"",
                        s->stuck ? s->stuck : "");
    json_decref(s->chosen);
    free(s);
}

static void packages_handle(void *state, apiary_job_t *job)
{
    static const struct ap_function functions[] = {
        {"package_registry", registry},
        {"package_management", resolve},
        {NULL, NULL},
    };
    ap_dispatch(functions, state, job);
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
    .what = "version_resolution: the newest semantic version that meets a requirement",
    .create = ap_create_plain,
    .handle = versions_handle,
    .capabilities = (const char *const[]){"version_resolution", NULL},
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
