/* source.js - asks apiaryd. A source that it does not offer is absent (null), and is asked for again now and then. */

const PATHS = {
    status: 'v1/status', services: 'v1/services', metrics: 'v1/metrics', stats: 'v1/stats', pairs: 'v1/pairs', events: 'v1/events',
    capabilities: 'v1/capabilities', tasks: 'v1/tasks', dead: 'v1/dead', finished: 'v1/finished', trace: 'v1/trace', kept: 'v1/kept', claims: 'v1/claims',
    namespaces: 'v1/namespaces', memory: 'v1/memory', value: 'v1/value', caches: 'v1/caches', history: 'v1/history', stream: 'v1/stream',
};
const INDEX = 'v1/openapi.json'; /* what is offered: {"paths": {"/v1/status": ..., ...}} */
const ASK_ABSENT_AGAIN = 30000; /* ms */
const PATIENCE = 15000; /* ms for one answer */
const PARTS = 20; /* of a list: that many thousand rows at most */

export const link = {down: false, since: Date.now(), answered: null, why: '', tries: 0};
const absent = new Map();

export const isAbsent = (name) => absent.has(name);

function fails(why) {
    if (!link.down) {
        link.down = true;
        link.since = Date.now();
    }
    link.why = why;
    link.tries++;
}

function answers() {
    if (link.down) {
        link.down = false;
        link.since = Date.now();
        absent.clear(); /* it may be another daemon */
        offered = null;
    }
    link.tries = 0;
    link.answered = Date.now();
}

/* What is not offered is not asked for, so that the browser's console does not fill with refusals. */
let offered = null;
async function learn() {
    offered = fetch(INDEX, {cache: 'no-store', signal: AbortSignal.timeout(PATIENCE)})
        .then((r) => (r.ok ? r.json() : null))
        .then((told) => (told && told.paths ? new Set(Object.keys(told.paths).map((path) => path.replace(/^\//, ''))) : null));
    try {
        return await offered;
    } catch (e) {
        offered = null;
        fails('nobody listens');
        throw e;
    }
}

/* Whether this daemon has it. */
export async function isOffered(name) {
    try {
        const routes = await (offered || learn());
        return Boolean(routes && routes.has(PATHS[name]));
    } catch (e) {
        return false;
    }
}

/* The answer; null where the source is absent. Throws where nobody answers, and an error that is `refused` where the question is wrong. */
export async function ask(name, query) {
    const left = absent.get(name);
    if (left && Date.now() - left < ASK_ABSENT_AGAIN) return null;
    const routes = await (offered || learn());
    if (routes && !routes.has(PATHS[name])) {
        absent.set(name, Infinity); /* as long as this daemon answers */
        return null;
    }
    const given = query ? Object.entries(query).filter(([, v]) => v !== '' && v !== null && v !== undefined) : [];
    const url = PATHS[name] + (given.length ? `?${new URLSearchParams(given)}` : '');
    let response;
    try {
        response = await fetch(url, {cache: 'no-store', signal: AbortSignal.timeout(PATIENCE)});
    } catch (e) {
        fails(e.name === 'TimeoutError' ? 'no answer in time' : 'nobody listens');
        throw e;
    }
    if ((response.status === 404 && !routes) || response.status === 501) {
        absent.set(name, Date.now());
        answers();
        return null;
    }
    if (!response.ok) {
        const why = `it says ${response.status} ${response.statusText}`, refused = response.status < 500;
        if (refused) answers();
        else fails(why);
        throw Object.assign(new Error(why), {refused});
    }
    try {
        const json = await response.json();
        absent.delete(name);
        answers();
        return json;
    } catch (e) {
        fails('its answer ended early');
        throw e;
    }
}

/* A list that comes in parts, whole: {...the last part, [list]: all rows, next: null, or that there are more than are asked for}. */
export async function askAll(name, list, query) {
    let whole = null, after = null;
    for (let part = 0; part < PARTS; part++) {
        const told = await ask(name, {...query, after});
        if (told === null) return null;
        whole = {...told, [list]: whole ? whole[list].concat(told[list]) : told[list]};
        after = told.next ?? null;
        if (after === null) break;
    }
    return whole;
}
