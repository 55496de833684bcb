/* overview.js - all services at a glance, the worst first. */
import {drawBadge, drawFigures, h, panel, setAttr, setText, toneOf} from './dom.js';
import {bytes, count, duration, NONE, plural, rate, ratio, share} from './format.js';
import {ALL, judge, severity, worstVerdict} from './model.js';
import {eventsIn} from './marks.js';
import {LineChart, drawSpark} from './chart.js';
import {quantile} from './spread.js';
import {Table} from './table.js';
import {hashOf} from './main.js';

const SPARKS = 30;

/* The steps of a row's rate, for lines. What came in a gap came at no known time: it is in no step. */
export function rates(store, key, ms, bins, fields = ['done', 'failed']) {
    return store.steps(ms, bins).map(({a, b, broken}) => {
        const w = store.between(key, a, b);
        const n = w ? fields.reduce((sum, f) => sum + w.count(f), 0) : NaN;
        return {t: b.t, v: broken || Number.isNaN(n) ? null : n / (w.span / 1000), broken};
    });
}

export function gauges(store, key, ms, bins, field) {
    return store.steps(ms, bins).map(({b, broken}) => {
        const v = store.value(b, key, field);
        return {t: b.t, v: Number.isNaN(v) ? null : v, broken};
    });
}

/* A percentile's steps, of what ended in each. */
export function quantiles(store, key, ms, bins, kind, q) {
    return store.steps(ms, bins).map(({a, b, broken}) => {
        const w = store.between(key, a, b);
        return {t: b.t, v: !broken && w && w[kind]() ? quantile(w[kind](), q) : null, broken};
    });
}

export function stateWord(service) {
    const all = service.instances.length;
    const word = service.mode === 'ready' ? service.state : `${service.state}, ${service.mode}`;
    return all > 1 && service.passing < all ? `${word} ${all - service.passing}/${all}` : word;
}

export const stateTone = (service) => (service.mode !== 'ready' && service.state === 'passing' ? 'warn' : toneOf(service.state));

export function open(root, app) {
    const figures = h('dl', {class: 'figures', 'aria-label': 'All services'});
    const traffic = new LineChart('Tasks per second', rate, 'tasks that ended, of all services');
    const failures = new LineChart('Failures per second', rate, 'tasks that failed or were late, of all services');
    const waiting = new LineChart('Queued', count, 'tasks that wait, in all queues');
    const table = new Table({
        label: 'services', key: (r) => r.service.name, sort: 'worst', dir: -1, empty: 'No service is registered.',
        open: (r) => app.go('swarm', r.service.name), columns: columnsOf(app),
    });
    const list = panel('Services', table.node);
    const filter = h('input', {type: 'search', 'aria-label': 'Filter services by name or state', size: 16, value: app.query.get('f') || '',
                               oninput: () => app.choose({f: filter.value})});
    filter.setAttribute('placeholder', 'name or state');
    list.aside.append(filter);
    root.className = 'overview';
    root.replaceChildren(h('h1', {class: 'seen-by-readers'}, 'Overview'), figures, h('div', {class: 'charts three'}, traffic.node, failures.node, waiting.node), list);
    return {close: () => table.close(), draw: () => {
        const rows = rowsOf(app);
        drawTotals(app, figures, rows);
        const store = app.stores.services, to = app.model.at, events = eventsIn(app.events, to - app.window, to);
        traffic.draw(app, store, [{name: 'tasks', tone: 'main', points: rates(store, ALL, app.window, 120)}], events);
        failures.draw(app, store, [{name: 'failures', tone: 'bad', points: rates(store, ALL, app.window, 120, ['failed'])}], events);
        waiting.draw(app, store, [{name: 'queued', tone: 'main', points: gauges(store, ALL, app.window, 120, 'queued')}], events, {least: 4});
        const wanted = (app.query.get('f') || '').toLowerCase();
        table.rows(rows.filter((r) => !wanted || r.service.name.toLowerCase().includes(wanted) || stateWord(r.service).includes(wanted)));
    }};
}

function rowsOf(app) {
    return [...app.model.services.values()].map((service) => {
        const judged = judge(app.stores.services, service.name, app.window);
        return {service, judged, worst: severity(service, judged), p50: quantile(judged.spread, 0.5), p: quantile(judged.spread, app.q),
                wait: quantile(judged.waits, app.q)};
    });
}

const known = (v) => v !== null && v !== undefined;

function columnsOf(app) {
    const p = () => `p${app.percentile}`;
    return [
        {key: 'name', title: 'Service', first: true, narrow: true, grow: true, sort: (r) => r.service.name, draw: (cell, r) => {
            if (!cell.firstChild) cell.append(h('a', {tabindex: -1}), h('span', {class: 'narrow-state'}));
            const href = hashOf('swarm', r.service.name);
            setAttr(cell.firstChild, 'href', href);
            setText(cell.firstChild, r.service.name);
            setAttr(cell, 'title', r.service.reason ? `${r.service.name}: ${r.service.reason}` : r.service.name);
        }},
        {key: 'worst', title: 'State', width: 150, narrow: true, sort: (r) => r.worst, desc: true, hint: 'by what is worst: state, mode, targets, failures, age of the oldest',
         draw: (cell, r) => {
             drawBadge(cell, stateWord(r.service), stateTone(r.service));
             setAttr(cell, 'title', r.service.reason || null);
         }},
        {key: 'rate', title: 'Tasks/s', width: 74, numeric: true, narrow: true, desc: true, sort: (r) => r.judged.rate, text: (r) => rate(r.judged.rate)},
        {key: 'trend', title: 'Trend', width: 108, draw: (cell, r) => drawSpark(cell,
            rates(app.stores.services, r.service.name, app.stores.services.span(app.window), SPARKS).map((point) => point.v))},
        {key: 'success', title: 'Success', width: 82, numeric: true, narrow: true, hint: 'of the tasks that ended in the window; "-": none did',
         sort: (r) => (r.judged.ended > 0 ? r.judged.done / r.judged.ended : null), draw: (cell, r) => {
             setText(cell, ratio(r.judged.done, r.judged.ended));
             setAttr(cell, 'data-tone', r.judged.failed > 0 ? 'bad' : null);
             setAttr(cell, 'title', r.judged.ended > 0 ? `${count(r.judged.failed)} of ${count(r.judged.ended)} failed or were late` : 'nothing was asked');
         }},
        {key: 'targets', title: 'Targets', width: 92, desc: true, hint: 'success and p99 that its capabilities are to keep, over five minutes and an hour',
         sort: (r) => ['', 'none', 'met', 'missed', 'badly missed'].indexOf(worstVerdict(r.service)), draw: (cell, r) => {
             const worst = worstVerdict(r.service);
             if (worst === '' || worst === 'none') {
                 setText(cell, NONE);
                 delete cell.dataset.badge;
             } else drawBadge(cell, worst === 'met' ? 'met' : 'missed', {met: 'good', missed: 'warn'}[worst] || 'bad');
             setAttr(cell, 'title', r.service.targets.map((t) => `${t.capability}: ${t.target} ${t.state}, ${t.text}`).join('\n') || 'it has no targets');
         }},
        {key: 'p50', title: 'Run p50', width: 82, numeric: true, desc: true, sort: (r) => r.p50, text: (r) => duration(r.p50)},
        {key: 'p', title: () => `Run ${p()}`, width: 96, numeric: true, narrow: true, desc: true, hint: 'the chosen percentile of the time that tasks ran',
         sort: (r) => r.p, draw: (cell, r) => {
             setText(cell, duration(r.p));
             setAttr(cell, 'title', r.judged.spread && r.judged.spread.count ? `${p()} of ${plural(r.judged.spread.count, 'task')}` : 'no task ended');
         }},
        {key: 'wait', title: () => `Wait ${p()}`, width: 96, numeric: true, desc: true, hint: 'the chosen percentile of the time that tasks waited',
         sort: (r) => r.wait, text: (r) => duration(r.wait)},
        {key: 'queued', title: 'Queued', width: 72, numeric: true, narrow: true, desc: true, sort: (r) => r.service.queued, text: (r) => count(r.service.queued)},
        {key: 'oldest', title: 'Oldest', width: 78, numeric: true, narrow: true, desc: true, hint: 'age of the task that waits longest',
         sort: (r) => r.service.oldest, text: (r) => (r.service.queued > 0 && known(r.service.oldest) ? duration(r.service.oldest) : NONE)},
        {key: 'cpu', title: 'CPU', width: 70, numeric: true, desc: true, hint: 'of one processor', sort: (r) => r.judged.cpu, text: (r) => share(r.judged.cpu)},
        {key: 'memory', title: 'Memory', width: 82, numeric: true, desc: true, sort: (r) => r.service.memory, text: (r) => bytes(r.service.memory)},
    ];
}

function drawTotals(app, node, rows) {
    const all = judge(app.stores.services, ALL, app.window);
    const bad = rows.filter((r) => r.service.state !== 'passing').length;
    const queued = rows.reduce((n, r) => n + r.service.queued, 0), running = rows.reduce((n, r) => n + r.service.running, 0);
    const oldest = rows.reduce((age, r) => (r.service.queued > 0 && known(r.service.oldest) ? Math.max(age || 0, r.service.oldest) : age), null);
    const memory = rows.reduce((sum, r) => (known(r.service.memory) ? (sum || 0) + r.service.memory : sum), null);
    const over = all.span ? `over ${duration(all.span * 1e6)}` : 'two looks are needed';
    const has = app.model.has, usage = app.model.status.usage || {};
    drawFigures(node, [
        {name: 'Services passing', value: `${rows.length - bad} of ${rows.length}`, hint: `${count(app.model.status.members)} attached`, tone: bad ? 'bad' : 'good'},
        {name: 'Tasks', value: all.rate === null ? NONE : `${rate(all.rate)}/s`, hint: over},
        {name: 'Success', value: ratio(all.done, all.ended), hint: all.ended > 0 ? `${count(all.failed)} of ${count(all.ended)} failed` : 'nothing was asked', tone: all.failed > 0 ? 'bad' : null},
        {name: `Run p${app.percentile}`, value: duration(quantile(all.spread, app.q)), hint: has.spreads ? `p50 ${duration(quantile(all.spread, 0.5))}` : 'apiaryd tells no times'},
        {name: 'Queued', value: count(queued), hint: oldest !== null ? `oldest ${duration(oldest)}` : `${count(running)} running`},
        {name: 'Processor', value: share(all.cpu), hint: has.cpu ? 'of one, all queens' : 'apiaryd does not tell'},
        {name: 'Memory', value: bytes(memory), hint: has.memory ? 'all queens' : 'apiaryd does not tell'},
        {name: 'Task table', value: ratio(usage.tasks_used, usage.tasks), hint: known(usage.tasks) ? `${count(usage.tasks_used)} of ${count(usage.tasks)}` : ''},
    ]);
}
