/* flow.js - who calls whom: callers on the left, the services that offer what they ask for on the right; the same as a table. */
import {h, panel, s, setAttr, setText} from './dom.js';
import {count, duration, NONE, plural, rate, ratio} from './format.js';
import {pairKey} from './model.js';
import {Table} from './table.js';
import {hashOf} from './main.js';

const MOST = 36; /* calls in the picture; all are in the table */
const ROW = 19; /* px of a call where it ends */

export function open(root, app) {
    const picture = h('div', {class: 'flow pad'});
    const missing = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell who calls whom.');
    const none = h('p', {class: 'nothing', hidden: true}, 'No calls in the window.');
    const drawing = panel('Who calls whom', missing, none, picture);
    const said = h('span');
    drawing.aside.append(said);
    const table = new Table({label: 'calls', key: (r) => r.key, sort: 'rate', dir: -1, columns: columns(), empty: 'No calls in the window.',
                             open: (r) => app.go('swarm', r.services[0] || '')});
    const list = panel('Calls', table.node);
    root.replaceChildren(h('h1', {class: 'seen-by-readers'}, 'Flow'), drawing, list);
    let made = '';
    return {close: () => table.close(), draw: () => {
        missing.hidden = app.model.has.pairs;
        list.hidden = !app.model.has.pairs;
        const calls = app.model.has.pairs ? callsOf(app) : [];
        const first = [...calls].sort((a, b) => b.failures - a.failures || b.tasks - a.tasks).slice(0, MOST);
        none.hidden = calls.length > 0 || !app.model.has.pairs;
        setText(said, calls.length > first.length ? `the ${first.length} with most failures and tasks, of ${count(calls.length)}` : '');
        const width = Math.max(300, picture.clientWidth - 28);
        const next = JSON.stringify([width, first.map((c) => [c.key, c.text, c.weight])]);
        if (next !== made && !picture.contains(document.activeElement)) {
            made = next;
            picture.replaceChildren(...(first.length ? [draw(app, first, width)] : []));
        }
        table.rows(calls);
    }};
}

function callsOf(app) {
    const calls = [];
    let most = 0;
    for (const pair of app.model.pairs) {
        const key = pairKey(pair), w = app.stores.pairs.window(key, app.window);
        if (!w) continue;
        const tasks = w.count('tasks'), failures = w.count('failures'), time = w.count('time'), refused = w.count('refused');
        if (!(tasks > 0 || refused > 0)) continue;
        most = Math.max(most, tasks);
        const mean = time >= 0 && tasks > 0 ? time / tasks : null;
        calls.push({key, ...pair, tasks, failures, refused, mean, rate: tasks / (w.span / 1000), services: pair.service ? [pair.service] : [...(app.model.capabilities.get(pair.capability) || [])],
                    text: `${rate(tasks / (w.span / 1000))}/s, ${duration(mean)}${failures > 0 ? `, ${plural(failures, 'failure')}` : ''}${refused > 0 ? `, ${count(refused)} refused` : ''}`});
    }
    for (const call of calls) call.weight = 1 + Math.round(7 * Math.sqrt(call.tasks / Math.max(1, most)));
    return calls;
}

const callerName = (c) => c.caller || 'no service';
const ownerName = (c) => (c.services.length > 1 ? `${c.services[0]} and ${c.services.length - 1} more` : c.services[0] || 'nobody now');

function columns() {
    return [
        {key: 'caller', title: 'Caller', first: true, narrow: true, grow: true, sort: callerName, text: callerName},
        {key: 'capability', title: 'Capability', narrow: true, long: true, grow: true, sort: (r) => r.capability, text: (r) => r.capability},
        {key: 'service', title: 'Offered by', narrow: true, long: true, grow: true, sort: ownerName, draw: (cell, r) => {
            if (!cell.firstChild) cell.append(h('a', {tabindex: -1}));
            setText(cell.firstChild, ownerName(r));
            setAttr(cell.firstChild, 'href', r.services.length ? hashOf('swarm', r.services[0]) : null);
        }},
        {key: 'rate', title: 'Tasks/s', width: 90, numeric: true, narrow: true, desc: true, sort: (r) => r.rate, text: (r) => rate(r.rate)},
        {key: 'mean', title: 'Mean time', width: 100, numeric: true, narrow: true, desc: true, sort: (r) => r.mean, text: (r) => duration(r.mean)},
        {key: 'tasks', title: 'Tasks', width: 90, numeric: true, desc: true, sort: (r) => r.tasks, text: (r) => count(r.tasks)},
        {key: 'failures', title: 'Failed', width: 84, numeric: true, narrow: true, desc: true, sort: (r) => r.failures, draw: (cell, r) => {
            setText(cell, count(r.failures));
            setAttr(cell, 'data-tone', r.failures > 0 ? 'bad' : null);
        }},
        {key: 'refused', title: 'Refused', width: 84, numeric: true, desc: true, hint: 'delegations that were not accepted', sort: (r) => r.refused, text: (r) => count(r.refused)},
        {key: 'success', title: 'Success', width: 90, numeric: true, sort: (r) => 1 - r.failures / r.tasks,
         text: (r) => (r.tasks > 0 ? ratio(r.tasks - r.failures, r.tasks) : NONE)},
    ];
}

/* ---- the picture */

function places(calls) {
    const left = new Map(), right = new Map();
    for (const call of calls) {
        if (!left.has(call.caller)) left.set(call.caller, []);
        left.get(call.caller).push(call);
        const owner = ownerName(call);
        if (!right.has(owner)) right.set(owner, new Map());
        if (!right.get(owner).has(call.capability)) right.get(owner).set(call.capability, []);
        right.get(owner).get(call.capability).push(call);
    }
    return {left: new Map([...left].sort()), right: new Map([...right].sort())};
}

function draw(app, calls, width) {
    const {left, right} = places(calls), wide = width > 700;
    const side = wide ? 200 : 118, parts = [], nodes = [];
    let y = 28;
    const at = new Map(); /* where each call ends */
    for (const [owner, capabilities] of right) {
        nodes.push(s('text', {class: 'name', x: width - side + 12, y: y + 4}, cut(owner, wide ? 28 : 16)));
        y += 11;
        for (const [capability, inside] of capabilities) {
            const height = inside.length * ROW;
            inside.sort((a, b) => (a.caller < b.caller ? -1 : 1));
            inside.forEach((call, k) => at.set(call.key, y + (k + 0.5) * ROW));
            const bad = inside.some((c) => c.failures > 0);
            nodes.push(s('rect', {class: `node${bad ? ' bad' : ''}`, x: width - side, y: y + 1, width: 5, height: height - 2}));
            nodes.push(s('text', {class: 'what', x: width - side + 12, y: y + height / 2 + 4}, cut(capability, wide ? 28 : 16)));
            y += height + 3;
        }
        y += 8;
    }
    const height = Math.max(y, 28 + left.size * 44), step = (height - 20) / left.size;
    const said = (call) => call.text.length * (call.failures > 0 ? 7.4 : 6.7);
    /* From there on each edge has a row of its own, so that what is said of one covers no other. */
    const rows = width - side - (wide ? Math.max(0, ...calls.map(said)) + 16 : 0);
    let i = 0;
    for (const [caller, inside] of left) {
        const mid = 20 + step * (i + 0.5), size = Math.min(step - 6, Math.max(14, inside.reduce((sum, c) => sum + c.weight + 2, 0)));
        nodes.push(s('rect', {class: 'node', x: side - 5, y: mid - size / 2, width: 5, height: size}));
        nodes.push(s('text', {x: side - 12, y: mid + 4, 'text-anchor': 'end'}, cut(caller || 'no service', wide ? 26 : 15)));
        inside.sort((a, b) => at.get(a.key) - at.get(b.key));
        inside.forEach((call, k) => {
            const from = mid - size / 2 + size * (k + 0.5) / inside.length;
            parts.push(edge(call, {x0: side, y0: from, x1: width - side, y1: at.get(call.key), rows, said: wide ? said(call) : 0}));
        });
        i++;
    }
    parts.sort((a, b) => a.bad - b.bad);
    return s('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': 'Who calls whom; the table below has the same'},
        s('text', {class: 'heading', x: side - 12, y: 12, 'text-anchor': 'end'}, 'callers'),
        s('text', {class: 'heading', x: width - side + 12, y: 12}, 'services'),
        parts.map((p) => p.node), parts.map((p) => p.said), nodes);
}

function edge(call, {x0, y0, x1, y1, rows, said}) {
    const mid = (x0 + rows) / 2, bad = call.failures > 0;
    const text = `${callerName(call)} calls ${call.capability} of ${ownerName(call)}: ${call.text}`;
    return {bad: bad ? 1 : 0, node: s('g', {class: 'call', tabindex: 0, role: 'img', 'aria-label': text}, s('title', null, text),
        s('path', {class: `edge${bad ? ' bad' : ''}`, d: `M${x0} ${y0}C${mid} ${y0} ${mid} ${y1} ${rows} ${y1}H${x1}`, 'stroke-width': call.weight})),
    said: said > 0 ? s('g', {'aria-hidden': 'true'}, s('rect', {class: 'behind', x: x1 - 12 - said, y: y1 - 8, width: said + 4, height: 16}),
                       s('text', {class: `said what${bad ? ' bad' : ''}`, x: x1 - 10, y: y1 + 4, 'text-anchor': 'end'}, call.text)) : s('g')};
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}\u2026` : text);
