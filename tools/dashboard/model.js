/* model.js - what the sources say, put together: services with their instances and agents. Nothing is invented: null is "not told". */
import {duration, NONE} from './format.js';
import {bucketOf, fromPairs} from './spread.js';
import {Store} from './store.js';

/* What is asked for of /v1/metrics: names, or their beginnings. */
export const METRICS = 'apiary_process_cpu_seconds_total,apiary_process_private_bytes,apiary_agent_oldest_queued_seconds,apiary_agent_heap_';

const STATES = ['passing', 'starting', 'warning', 'critical', 'down'];
const rank = (state) => Math.max(0, STATES.indexOf(state));

/* The samples of a counter in /v1/metrics: [{labels, value}]; null when it is not told. */
function samplesOf(metrics, name) {
    const list = metrics && (metrics.metrics || metrics.counters);
    if (!Array.isArray(list)) return null;
    const found = list.find((m) => m.name === name);
    return found ? found.samples : null;
}

function sumBy(metrics, name, key) {
    const samples = samplesOf(metrics, name);
    if (!samples) return null;
    const sums = new Map();
    for (const {labels, value} of samples) {
        if (value === null || value === undefined) continue;
        const k = key(labels);
        sums.set(k, (sums.get(k) || 0) + Number(value));
    }
    return sums;
}

const instanceKey = (l) => `${l.service}/${l.instance}`;
const agentKey = (l) => `${l.service}/${l.instance}/${l.agent}`;
/* The labels of metrics name an instance `queen`, since Prometheus has an `instance` of its own. */
const toldOfInstance = (l) => `${l.service}/${l.queen}`;
const toldOfAgent = (l) => `${l.service}/${l.queen}/${l.agent}`;

function spreadOf(told) {
    if (!told || !Array.isArray(told.buckets)) return null;
    return fromPairs(told.buckets.map(([edge, tasks]) => [bucketOf(edge), tasks]), told.sum_ns);
}

export function agentSpreads(stats) {
    const found = new Map();
    for (const a of stats && Array.isArray(stats.agents) ? stats.agents : []) {
        found.set(agentKey(a), {run: spreadOf(a.ran || a.running), wait: spreadOf(a.waited || a.waiting)});
    }
    return found;
}

function newService(name) {
    return {name, instances: [], agents: [], state: 'passing', mode: 'ready', queued: 0, running: 0, passing: 0, delegations: 0, most: 0,
            oldest: null, cpu: null, memory: null, reason: '', targets: []};
}

const addKnown = (sum, value) => (value === null || value === undefined ? sum : (sum || 0) + value);

function addInstance(service, row, told) {
    const key = instanceKey(row);
    const instance = {...row, key, cpu: told.cpu ? told.cpu.get(key) ?? null : null, memory: told.memory ? told.memory.get(key) ?? null : null};
    service.instances.push(instance);
    if (rank(row.state) >= rank(service.state)) service.state = row.state;
    if (row.mode !== 'ready') service.mode = row.mode;
    if (row.state === 'passing') service.passing++;
    service.reason = service.reason || row.reason || (row.state !== 'passing' && row.supervision && row.supervision.why) || '';
    service.queued += row.queued;
    service.running += row.running;
    service.delegations = Math.max(service.delegations, row.delegations || 0);
    service.most = Math.max(service.most, row.max_delegations || 0);
    service.cpu = addKnown(service.cpu, instance.cpu);
    service.memory = addKnown(service.memory, instance.memory);
}

export function build(status, services, metrics, stats, calls, capabilities) {
    const told = {
        cpu: sumBy(metrics, 'apiary_process_cpu_seconds_total', toldOfInstance),
        memory: sumBy(metrics, 'apiary_process_private_bytes', toldOfInstance),
        oldest: sumBy(metrics, 'apiary_agent_oldest_queued_seconds', toldOfAgent),
        heap: new Map([...sumBy(metrics, 'apiary_agent_heap_bytes', toldOfAgent) || [], ...sumBy(metrics, 'apiary_agent_heap_resident_bytes', toldOfAgent) || []]),
    };
    const spreads = agentSpreads(stats), pairs = pairsOf(calls) || pairsOf(stats);
    const byName = new Map();
    const get = (name) => {
        if (!byName.has(name)) byName.set(name, newService(name));
        return byName.get(name);
    };
    for (const row of status.swarms) addInstance(get(row.service), row, told);
    for (const row of services ? services.agents : []) {
        const service = get(row.service), key = agentKey(row);
        const oldest = told.oldest ? told.oldest.get(key) ?? null : null;
        const heap = told.heap.get(key) ?? null;
        const agent = {...row, key, heap, oldest: oldest === null ? null : oldest * 1e9, ...(spreads.get(key) || {run: null, wait: null})};
        service.agents.push(agent);
        if (agent.oldest !== null) service.oldest = Math.max(service.oldest || 0, agent.oldest);
    }
    judgeTargets(byName, capabilities);
    return {segment: status.segment, status, services: byName, has: {agents: services !== null, cpu: told.cpu !== null,
            memory: told.memory !== null, oldest: told.oldest !== null, spreads: spreads.size > 0, pairs: pairs !== null},
            pairs, capabilities: capabilitiesOf(byName)};
}

/* The targets of what a service offers: [{capability, target, state, text}], as they are judged. */
function judgeTargets(byName, told) {
    const targets = new Map();
    for (const c of told ? told.capabilities : []) {
        if (!c.targets) continue;
        const {success, p99} = c.targets, found = [];
        if (success) found.push({capability: c.capability, target: 'success', state: success.state,
            text: `${part(success.short)} over 5 min, ${part(success.long)} over 1 h, target ${part(success.target)}`});
        if (p99) found.push({capability: c.capability, target: 'p99', state: p99.state,
            text: `${duration(p99.short_ns)} over 5 min, ${duration(p99.long_ns)} over 1 h, target ${duration(p99.target_ns)}`});
        targets.set(c.capability, found);
    }
    for (const service of byName.values()) {
        const offered = new Set(service.agents.flatMap((agent) => agent.capabilities));
        service.targets = [...offered].flatMap((name) => targets.get(name) || []);
    }
}

const part = (ratio) => (ratio === null ? NONE : `${+(ratio * 100).toFixed(3)} %`);

const VERDICTS = ['none', 'met', 'missed', 'badly missed'];
/* The worst verdict on its targets; '' where it has none. */
export function worstVerdict(service) {
    return service.targets.reduce((worst, t) => (VERDICTS.indexOf(t.state) > VERDICTS.indexOf(worst) ? t.state : worst), service.targets.length ? 'none' : '');
}

/* Which services offer a capability: name -> [service...]. */
function capabilitiesOf(byName) {
    const found = new Map();
    for (const service of byName.values()) {
        for (const agent of service.agents) {
            for (const capability of agent.capabilities) {
                if (!found.has(capability)) found.set(capability, new Set());
                found.get(capability).add(service.name);
            }
        }
    }
    return found;
}

/* Who calls what, as counted: [{caller, service, capability, tasks, failures, refused, time}], time in ns, service '' where nobody has it;
 * null when it is not told. */
function pairsOf(told) {
    if (!told || !Array.isArray(told.pairs)) return null;
    return told.pairs.filter((p) => p.capability).map((p) => ({
        caller: !p.caller || p.caller === '-' ? '' : p.caller, service: p.service || '', capability: p.capability, tasks: p.ended,
        failures: p.failed + p.late, refused: p.refused ?? null, time: p.waited_ns + p.ran_ns,
    }));
}

export const newStores = () => ({
    services: new Store(['done', 'failed', 'late', 'cancelled', 'cpu'], ['queued', 'running', 'oldest', 'memory']),
    agents: new Store(['done', 'failed', 'late', 'cancelled'], ['queued', 'running']),
    pairs: new Store(['tasks', 'failures', 'refused', 'time'], []),
});

/* All services together, as a row of the store. */
export const ALL = '';

export function record(stores, model, t, broken) {
    for (const store of Object.values(stores)) store.begin(t, broken);
    const all = {queued: 0, running: 0, oldest: null, memory: null};
    for (const service of model.services.values()) {
        for (const i of service.instances) {
            const counts = {done: i.done, failed: i.failed, late: i.late, cancelled: i.cancelled, cpu: i.cpu};
            stores.services.count(service.name, i.key, counts);
            stores.services.count(ALL, ` ${i.key}`, {...counts});
        }
        for (const agent of service.agents) {
            const spreads = {run: agent.run, wait: agent.wait};
            stores.services.count(service.name, `${agent.key} times`, {...spreads});
            stores.services.count(ALL, ` ${agent.key} times`, {...spreads});
            stores.agents.count(agent.key, agent.key, {done: agent.done, failed: agent.failed, late: agent.late, cancelled: agent.cancelled, ...spreads});
            stores.agents.gauge(agent.key, {queued: agent.queued, running: agent.running});
        }
        const now = {queued: service.queued, running: service.running, oldest: service.oldest, memory: service.memory};
        stores.services.gauge(service.name, now);
        all.queued += now.queued;
        all.running += now.running;
        all.memory = addKnown(all.memory, now.memory);
        if (now.oldest !== null) all.oldest = Math.max(all.oldest || 0, now.oldest);
    }
    stores.services.gauge(ALL, all);
    for (const p of model.pairs || []) stores.pairs.count(pairKey(p), pairKey(p), {tasks: p.tasks, failures: p.failures, refused: p.refused, time: p.time});
    for (const store of Object.values(stores)) store.end();
}

export const pairKey = (p) => `${p.caller}\n${p.service}\n${p.capability}`;

/* What a row did within the window, as the tables show it. Null where it is not known. */
export function judge(store, key, ms, q) {
    const w = store.window(key, ms);
    if (!w) return {span: 0, rate: null, ended: null, done: null, failed: null, run50: null, run: null, wait: null, cpu: null, tasks: 0};
    const done = w.count('done'), failed = w.count('failed'); /* those that were late are among them */
    const run = w.run(), wait = w.wait();
    return {span: w.span, rate: done + failed >= 0 ? (done + failed) / (w.span / 1000) : null, ended: done + failed, done, failed, spread: run,
            waits: wait, q, cpu: store.column.has('cpu') ? w.count('cpu') / (w.span / 1000) : null};
}

/* How bad it is, as a number: state, mode, targets, failures, age of the oldest, fullness. */
export function severity(service, judged) {
    const part = judged.ended > 0 ? judged.failed / judged.ended : 0;
    const failing = part === 0 ? 0 : part < 0.01 ? 1 : part < 0.1 ? 2 : 3;
    const age = service.oldest === null ? 0 : service.oldest < 1e9 ? 0 : service.oldest < 1e10 ? 1 : service.oldest < 6e10 ? 2 : 3;
    const full = service.most > 0 && service.delegations >= 0.8 * service.most ? 1 : 0;
    const missed = {missed: 200, 'badly missed': 400}[worstVerdict(service)] || 0;
    return rank(service.state) * 1000 + (service.mode === 'ready' ? 0 : 500) + missed + failing * 100 + age * 10 + full;
}
