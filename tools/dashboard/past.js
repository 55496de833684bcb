/* past.js - what the coordinator has kept of the time before the page was opened, into the stores. */
import {ALL, pairKey} from './model.js';
import {fromPairs} from './spread.js';

const ROWS = 30000; /* of one answer, more or less: so many services have as many fewer steps */
const STEPS = 300, COARSE = 30; /* of charts; of what is only added up */
const ANSWERS = 40;

/* All steps of a window, by this machine's clock: {steps, gaps, width}; null where the coordinator keeps none. */
async function readSteps(app, of, step) {
    const steps = [], seconds = Math.max(10, Math.ceil(step / 1000));
    let since = `${Math.round(app.window / 1000)}s`, ahead = null; /* ahead: this clock of the coordinator's */
    let gaps = [], after = null, width = 0;
    for (let n = 0; n < ANSWERS; n++) {
        const told = await app.ask('history', {of, since, step: `${seconds}s`, after}).catch((e) => {
            if (!e.refused) throw e;
            return null; /* of more rows than one answer may have */
        });
        if (told === null || told.kept_in === null) return null;
        if (ahead === null) {
            ahead = Date.now() - told.until_ms;
            since = new Date(told.since_ms).toISOString().replace(/\.\d+Z$/, 'Z'); /* the next parts go on from there */
        }
        for (const one of told.steps) steps.push({t: one.at_ms + ahead, watched: one.watched_ms, rows: one.rows.map((row) => [told.rows[row.row], row])});
        gaps = told.gaps.map((gap) => ({from: gap.from_ms + ahead, to: gap.to_ms + ahead}));
        width = told.step_ms;
        after = told.next;
        if (after === null) break;
    }
    return {steps, gaps, width};
}

function spreadOf(told) { /* [bucket, how many, bucket, ...] */
    if (!told) return null;
    const pairs = [];
    for (let i = 0; i + 1 < told.length; i += 2) pairs.push([told[i], told[i + 1]]);
    return fromPairs(pairs, 0);
}

const told = (value) => (value === undefined ? null : value);

function countsOf(row) {
    return {done: row.done || 0, failed: row.failed || 0, late: row.late || 0, cancelled: row.cancelled || 0, cpu: (row.cpu_ns || 0) / 1e9,
            queued: row.queued ?? 0, running: row.running ?? 0, oldest: row.oldest_ns ?? 0, memory: told(row.memory_bytes),
            run: spreadOf(row.ran), wait: spreadOf(row.waited)};
}

const addTold = (a, b) => (b === null ? a : (a || 0) + b);

function sum(rows) {
    const all = {done: 0, failed: 0, late: 0, cancelled: 0, cpu: 0, queued: 0, running: 0, oldest: 0, memory: null};
    const spreads = {run: new Map(), wait: new Map()};
    for (const row of rows) {
        for (const field of ['done', 'failed', 'late', 'cancelled', 'cpu', 'queued', 'running']) all[field] += row[field];
        all.oldest = Math.max(all.oldest, row.oldest);
        all.memory = addTold(all.memory, row.memory);
        for (const kind of ['run', 'wait']) {
            if (row[kind]) row[kind].at.forEach((bucket, i) => spreads[kind].set(bucket, (spreads[kind].get(bucket) || 0) + row[kind].n[i]));
        }
    }
    for (const kind of ['run', 'wait']) {
        all[kind] = spreads[kind].size ? fromPairs([...spreads[kind]].sort((a, b) => a[0] - b[0]), 0) : null;
    }
    return all;
}

function pairOf(row) {
    const failures = row.failed || 0;
    return {tasks: (row.done || 0) + failures, failures, refused: row.refused || 0, time: (row.waited_ns || 0) + (row.ran_ns || 0)};
}

const serviceRows = (step) => {
    const rows = new Map(step.rows.map(([name, row]) => [name.service, countsOf(row)]));
    rows.set(ALL, sum([...rows.values()]));
    return rows;
};
const agentRows = (step) => new Map(step.rows.map(([name, row]) => [`${name.service}/${name.instance}/${name.agent}`, countsOf(row)]));
const pairRows = (step) => new Map(step.rows.map(([name, row]) => [pairKey({...name, caller: name.caller === '-' ? '' : name.caller}), pairOf(row)]));

/* Fills the stores: {gaps}; null where nothing is kept. */
export async function readPast(app) {
    const {services, agents, pairs} = app.stores, rows = Math.max(1, app.model.services.size);
    const fine = app.window / Math.max(COARSE, Math.min(STEPS, ROWS / rows));
    const told = await readSteps(app, 'services', fine);
    if (told === null) return null;
    services.before(told.steps.map((step) => ({...step, rows: serviceRows(step)})), told.width, told.gaps);
    for (const [store, of, read] of [[agents, 'agents', agentRows], [pairs, 'pairs', pairRows]]) {
        const coarse = await readSteps(app, of, app.window / COARSE);
        if (coarse !== null) store.before(coarse.steps.map((step) => ({...step, rows: read(step)})), coarse.width, coarse.gaps);
    }
    return {gaps: told.gaps};
}
