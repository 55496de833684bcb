/* swarm.js - one service: its instances, agents, queues, limits, memory, times and events. */
import {drawBadge, drawFigures, h, panel, setAttr, setOptions, setText, toneOf} from './dom.js';
import {bytes, count, duration, NONE, plural, rate, ratio, share} from './format.js';
import {judge, severity} from './model.js';
import {eventsIn} from './marks.js';
import {HeatMap, LineChart} from './chart.js';
import {quantile} from './spread.js';
import {Table} from './table.js';
import {gauges, quantiles, rates, stateTone, stateWord} from './overview.js';
import {eventTable} from './events.js';
import {serviceButtons} from './operate.js';

const BINS = 120, HEAT_BINS = 60;

const failed = (cell, judged) => {
    setText(cell, ratio(judged.done, judged.ended));
    setAttr(cell, 'data-tone', judged.failed > 0 ? 'bad' : null);
    setAttr(cell, 'title', judged.ended > 0 ? `${count(judged.failed)} of ${count(judged.ended)} failed or were late` : 'nothing was asked');
};

function agentTable(app) {
    const p = () => `p${app.percentile}`;
    return new Table({label: 'agents', key: (r) => r.agent.key, sort: 'name', empty: 'It has no agents.', columns: [
        {key: 'name', title: 'Agent', first: true, narrow: true, grow: true, sort: (r) => r.name, text: (r) => r.name},
        {key: 'offers', title: 'Offers', grow: true, narrow: false, sort: (r) => r.offers, text: (r) => r.offers},
        {key: 'alive', title: 'State', width: 90, narrow: true, sort: (r) => (r.agent.alive ? 1 : 0),
         draw: (cell, r) => drawBadge(cell, r.agent.alive ? 'alive' : 'gone', r.agent.alive ? 'good' : 'bad')},
        {key: 'rate', title: 'Tasks/s', width: 78, numeric: true, narrow: true, desc: true, sort: (r) => r.judged.rate, text: (r) => rate(r.judged.rate)},
        {key: 'success', title: 'Success', width: 84, numeric: true, narrow: true, sort: (r) => (r.judged.ended > 0 ? r.judged.done / r.judged.ended : null),
         draw: (cell, r) => failed(cell, r.judged)},
        {key: 'p50', title: 'Run p50', width: 88, numeric: true, desc: true, sort: (r) => r.p50, text: (r) => duration(r.p50)},
        {key: 'p', title: () => `Run ${p()}`, width: 98, numeric: true, narrow: true, desc: true, sort: (r) => r.p, text: (r) => duration(r.p)},
        {key: 'wait', title: () => `Wait ${p()}`, width: 98, numeric: true, desc: true, sort: (r) => r.wait, text: (r) => duration(r.wait)},
        {key: 'queued', title: 'Queued', width: 76, numeric: true, narrow: true, desc: true, sort: (r) => r.agent.queued, text: (r) => count(r.agent.queued)},
        {key: 'running', title: 'Running', width: 78, numeric: true, desc: true, sort: (r) => r.agent.running, text: (r) => count(r.agent.running)},
        {key: 'oldest', title: 'Oldest', width: 82, numeric: true, desc: true, sort: (r) => r.agent.oldest,
         text: (r) => (r.agent.queued > 0 ? duration(r.agent.oldest) : NONE)},
        {key: 'heap', title: 'Heap', width: 82, numeric: true, desc: true, sort: (r) => r.agent.heap, text: (r) => bytes(r.agent.heap)},
    ]});
}

function instanceTable() {
    const why = (i) => i.reason || (i.supervision && i.supervision.why) || (i.health && i.health.why) || '';
    return new Table({label: 'instances', key: (i) => i.key, sort: 'name', empty: 'It has no instance.', columns: [
        {key: 'name', title: 'Instance', first: true, narrow: true, width: 200, sort: (i) => i.key, text: (i) => `${i.key}${i.version ? ` ${i.version}` : ''}`},
        {key: 'state', title: 'State', width: 150, narrow: true, sort: (i) => i.state,
         draw: (cell, i) => drawBadge(cell, i.mode === 'ready' ? i.state : `${i.state}, ${i.mode}`, i.mode === 'ready' ? toneOf(i.state) : 'warn')},
        {key: 'why', title: 'Why', grow: true, text: (i) => why(i) || NONE},
        {key: 'pid', title: 'Process', width: 80, numeric: true, narrow: true, sort: (i) => i.pid, text: (i) => (i.pid > 0 ? String(i.pid) : NONE)},
        {key: 'uptime', title: 'Up for', width: 86, numeric: true, narrow: true, sort: (i) => i.uptime_ns, text: (i) => duration(i.uptime_ns)},
        {key: 'restarts', title: 'Restarts', width: 78, numeric: true, narrow: true, sort: (i) => (i.supervision ? i.supervision.restarts : null),
         text: (i) => (i.supervision ? count(i.supervision.restarts) : NONE)},
        {key: 'beat', title: 'Beat ago', width: 90, numeric: true, sort: (i) => i.beat_age_ns, text: (i) => duration(i.beat_age_ns)},
        {key: 'stuck', title: 'Stuck for', width: 88, numeric: true, narrow: true, sort: (i) => i.stuck_ns, draw: (cell, i) => {
            setText(cell, i.stuck_ns > 0 ? duration(i.stuck_ns) : NONE);
            setAttr(cell, 'data-tone', i.stuck_ns > 1e10 ? 'bad' : null);
        }},
        {key: 'ejected', title: 'Ejected', width: 76, numeric: true, sort: (i) => i.ejected, text: (i) => `${count(i.ejected)}/${count(i.agents)}`},
        {key: 'memory', title: 'Memory', width: 88, numeric: true, sort: (i) => i.memory, text: (i) => bytes(i.memory)},
    ]});
}

/* What its capabilities declare against the default: [["llm_routing", "hedge", "20.00 ms"]...]. */
function termsOf(capabilities, service) {
    const offered = new Set(service.agents.flatMap((a) => a.capabilities)), found = [];
    for (const c of capabilities ? capabilities.capabilities : []) {
        if (!offered.has(c.capability)) continue;
        for (const [term, t] of Object.entries(c.terms)) if (t.declared) found.push({capability: c.capability, term, value: termText(term, t.value)});
        if (c.places) found.push({capability: c.capability, term: 'running at once', value: `${count(c.places.taken ?? 0)} of ${count(c.places.bound ?? c.places.limit ?? null)}`});
    }
    return found;
}

const TIMES = new Set(['schedule_to_close', 'schedule_to_start', 'start_to_close', 'heartbeat', 'delay', 'backoff', 'slow_start', 'target_p99']);
function termText(term, value) {
    if (TIMES.has(term) && typeof value === 'number') return duration(value);
    if (term === 'target_success') return `${value} %`;
    return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

function tableOfPairs(node, pairs) {
    const made = JSON.stringify(pairs);
    if (node.dataset.made === made) return;
    node.dataset.made = made;
    node.replaceChildren(h('table', {class: 'plain'}, h('tbody', null, pairs.map(([name, value]) => h('tr', null, h('th', {scope: 'row'}, name), h('td', null, value))))));
}

export function open(root, app) {
    const title = h('h1'), badge = h('span'), reason = h('span', {class: 'hint'});
    const pick = h('select', {'aria-label': 'Service', onchange: () => app.go('swarm', pick.value)});
    const typed = h('input', {'aria-label': 'Service', type: 'search', size: 22, onchange: () => app.go('swarm', typed.value)});
    const figures = h('dl', {class: 'figures'}), gone = h('p', {class: 'nothing panel', hidden: true});
    const traffic = new LineChart('Tasks per second', rate), queue = new LineChart('Queued and running', count);
    const times = new LineChart('Time to run and to wait', duration, 'the chosen percentile'), resources = new LineChart('Processor', share, 'of one processor');
    const heat = new HeatMap('Latency', duration, 'how long tasks ran: the darker, the more of them; the line is the chosen percentile');
    const agents = agentTable(app), instances = instanceTable(), happened = eventTable('events of the service');
    const agentPanel = panel('Agents', agents.node), instancePanel = panel('Instances', instances.node), eventPanel = panel('Events', happened.node);
    const limitBox = h('div'), memoryBox = h('div');
    const limits = panel('Limits and terms', limitBox), memory = panel('Local memory', memoryBox);
    const untold = h('p', {class: 'absent panel', hidden: true}, 'This apiaryd does not tell how long tasks wait and run.');
    const said = h('p', {class: 'done', hidden: true}); /* of a change, until another view is opened */
    const operate = serviceButtons(() => app.model && app.model.services.get(chosen), (text) => {
        said.hidden = false;
        setText(said, text);
        app.again();
    });
    const body = h('div', {class: 'body'}, operate, said, figures, h('div', {class: 'charts'}, traffic.node, queue.node, times.node, resources.node), untold, heat.node,
        instancePanel, agentPanel, h('div', {class: 'two'}, limits, memory), eventPanel);
    root.className = 'swarm';
    root.replaceChildren(h('div', {class: 'title'}, title, badge, reason, h('div', {class: 'aside'}, h('label', null, 'Service', pick, typed))), gone, body);
    let capabilities = null, local = null;

    const name = () => {
        if (app.argument) return app.argument;
        const rows = [...app.model.services.values()].map((sv) => [severity(sv, judge(app.stores.services, sv.name, app.window)), sv.name]);
        rows.sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? -1 : 1));
        return rows.length ? rows[0][1] : '';
    };
    let chosen = '';
    const refresh = async () => {
        if (!app.model) return;
        if (!chosen || app.argument) chosen = name();
        capabilities = await app.ask('capabilities');
        local = await app.askAll('memory', 'keys', {local: chosen});
    };
    const draw = () => {
        if (!chosen || app.argument) chosen = name();
        const service = app.model.services.get(chosen), names = [...app.model.services.keys()].sort();
        pick.hidden = names.length > 500;
        typed.hidden = !pick.hidden;
        if (!pick.hidden) setOptions(pick, (service ? names : [chosen, ...names]).map((n) => ({value: n, text: n})), chosen);
        else if (document.activeElement !== typed) typed.value = chosen;
        setText(title, chosen || 'No service');
        gone.hidden = Boolean(service);
        body.hidden = !service;
        if (!service) {
            setText(gone, chosen ? `${chosen} is not registered.` : 'No service is registered.');
            badge.replaceChildren();
            delete badge.dataset.badge;
            setText(reason, '');
            return;
        }
        drawBadge(badge, stateWord(service), stateTone(service));
        setText(reason, service.reason);
        drawService(service);
    };
    const drawService = (service) => {
        const store = app.stores.services, judged = judge(store, chosen, app.window), to = app.model.at;
        const events = eventsIn(app.events, to - app.window, to, chosen), told = app.model.has;
        drawFigures(figures, figuresOf(app, service, judged));
        const series = (label, tone, points) => ({name: label, tone, points});
        traffic.draw(app, store, [series('ended', 'main', rates(store, chosen, app.window, BINS)),
                                  series('failed', 'bad', rates(store, chosen, app.window, BINS, ['failed']))], events);
        queue.draw(app, store, [series('queued', 'main', gauges(store, chosen, app.window, BINS, 'queued')),
                                series('running', 'second', gauges(store, chosen, app.window, BINS, 'running'))], events, {least: 4});
        for (const plot of [times, heat]) plot.node.hidden = !told.spreads;
        untold.hidden = told.spreads;
        resources.node.hidden = !told.cpu;
        if (told.spreads) {
            times.draw(app, store, [series(`run p${app.percentile}`, 'main', quantiles(store, chosen, app.window, BINS, 'run', app.q)),
                                    series(`wait p${app.percentile}`, 'second', quantiles(store, chosen, app.window, BINS, 'wait', app.q))], events, {log: true});
            const steps = store.steps(app.window, HEAT_BINS).map(({a, b, broken}) => ({from: a.t, to: b.t, broken, w: store.between(chosen, a, b)}));
            heat.draw(app, store, steps.filter((one) => !one.broken && one.w && one.w.run()).map((one) => ({...one, spread: one.w.run()})), events, app.q, quantile);
        }
        if (told.cpu) resources.draw(app, store, [series('processor', 'main', rates(store, chosen, app.window, BINS, ['cpu']))], events, {least: 0.01});
        instances.rows(service.instances);
        agents.rows(service.agents.map((agent) => {
            const one = judge(app.stores.agents, agent.key, app.window);
            return {agent, judged: one, name: service.instances.length > 1 ? `${agent.agent} of ${agent.instance}` : agent.agent, offers: agent.capabilities.join(', '),
                    p50: quantile(one.spread, 0.5), p: quantile(one.spread, app.q), wait: quantile(one.waits, app.q)};
        }));
        happened.rows(eventsIn(app.events, 0, Infinity, chosen).reverse());
        drawLimits(service);
        drawMemory();
    };
    const drawLimits = (service) => {
        const rows = [['Delegations in flight', service.most > 0 ? `${count(service.delegations)} of ${count(service.most)}` : NONE],
                      ['Delegations that waited', count(service.instances.reduce((n, i) => n + (i.delegations_waited || 0), 0))],
                      ['Weight', [...new Set(service.agents.map((a) => a.weight))].join(', ') || NONE]];
        if (capabilities === null) rows.push(['Terms of its capabilities', 'this apiaryd does not tell']);
        for (const t of service.targets) rows.push([`${t.capability}: ${t.target} ${t.state === 'none' ? 'without a verdict' : t.state}`, t.text]);
        for (const t of termsOf(capabilities, service)) rows.push([`${t.capability}: ${t.term}`, t.value]);
        tableOfPairs(limitBox, rows);
    };
    const drawMemory = () => {
        if (local === null) tableOfPairs(memoryBox, [['Keys', 'this apiaryd does not tell']]);
        else {
            const keys = local.keys;
            tableOfPairs(memoryBox, [['Keys', count(keys.length)], ['Size of the values', bytes(keys.reduce((n, k) => n + k.size, 0))],
                ...keys.slice(0, 12).map((k) => [k.key, `${bytes(k.size)}, version ${count(k.version)}${k.expires_in_ns !== null ? `, for ${duration(k.expires_in_ns)}` : ''}`]),
                ...(keys.length > 12 ? [['more', `${plural(keys.length - 12, 'key')}: see Coordination`]] : [])]);
        }
    };
    return {draw, refresh, close: () => [agents, instances, happened].forEach((t) => t.close())};
}

function figuresOf(app, service, judged) {
    const over = judged.span ? `over ${duration(judged.span * 1e6)}` : 'two looks are needed';
    return [
        {name: 'Tasks', value: judged.rate === null ? NONE : `${rate(judged.rate)}/s`, hint: over},
        {name: 'Success', value: ratio(judged.done, judged.ended), tone: judged.failed > 0 ? 'bad' : null,
         hint: judged.ended > 0 ? `${count(judged.failed)} of ${count(judged.ended)} failed` : 'nothing was asked'},
        {name: 'Run p50', value: duration(quantile(judged.spread, 0.5)), hint: judged.spread ? plural(judged.spread.count, 'task') : 'not told'},
        {name: `Run p${app.percentile}`, value: duration(quantile(judged.spread, app.q)), hint: `wait ${duration(quantile(judged.waits, app.q))}`},
        {name: 'Queued', value: count(service.queued), hint: service.queued > 0 ? `oldest ${duration(service.oldest)}` : `${count(service.running)} running`},
        {name: 'Instances passing', value: `${service.passing} of ${service.instances.length}`, hint: plural(service.agents.length, 'agent'),
         tone: service.passing < service.instances.length ? 'bad' : null},
        {name: 'Processor', value: share(judged.cpu), hint: app.model.has.cpu ? 'of one' : 'not told'},
        {name: 'Memory', value: bytes(service.memory), hint: app.model.has.memory ? 'of its queens' : 'not told'},
    ];
}
