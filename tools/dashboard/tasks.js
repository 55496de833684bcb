/* tasks.js - tasks that live, that are slow, that are not tried again, and results that are kept. */
import {drawBadge, h, panel, setAttr, setText, toneOf} from './dom.js';
import {bytes, clock, count, duration, NONE, plural} from './format.js';
import {factsOf, timeLine} from './life.js';
import {taskButton} from './operate.js';
import {Table} from './table.js';

const TABS = [['live', 'Live'], ['slow', 'Slow'], ['ended', 'Failed and slow'], ['dead', 'Dead'], ['kept', 'Kept results']];
const SLOWER = [['10ms', 1e7], ['100ms', 1e8], ['1s', 1e9], ['10s', 1e10], ['1m', 6e10]];
const ENDED = new Set(['done', 'failed', 'cancelled']);

/* How old a task is, or became, in ns; null where the answer does not say what time it is. */
function ageOf(task, now) {
    if (!task.queued_ns) return null;
    if (task.finished_ns) return task.finished_ns - task.queued_ns;
    return now ? Math.max(0, now - task.queued_ns) : null;
}

function taskTable(app, open) {
    return new Table({label: 'tasks', key: (t) => t.task, sort: 'age', dir: -1, open, empty: 'No such task.', columns: [
        {key: 'task', title: 'Task', width: 130, first: true, narrow: true, sort: (t) => t.task, text: (t) => t.task},
        {key: 'state', title: 'State', width: 110, narrow: true, sort: (t) => t.state, draw: (cell, t) => drawBadge(cell, t.state, toneOf(t.state))},
        {key: 'capability', title: 'Capability', grow: true, narrow: true, long: true, sort: (t) => t.capability, text: (t) => t.capability},
        {key: 'caller', title: 'Caller', width: 150, sort: (t) => t.caller, text: (t) => t.caller || NONE},
        {key: 'agent', title: 'Agent', grow: true, narrow: true, long: true, sort: (t) => t.agent, text: (t) => t.agent || NONE},
        {key: 'age', title: 'Age', width: 90, numeric: true, narrow: true, desc: true, hint: 'since it was queued; of those that have ended, until then',
         sort: (t) => t.age, text: (t) => duration(t.age)},
        {key: 'wait', title: 'Waited', width: 90, numeric: true, desc: true, sort: (t) => t.waited, text: (t) => duration(t.waited)},
        {key: 'attempts', title: 'Starts', width: 66, numeric: true, desc: true, sort: (t) => t.attempts, text: (t) => count(t.attempts)},
        {key: 'size', title: 'Request', width: 86, numeric: true, desc: true, sort: (t) => t.body_size, text: (t) => bytes(t.body_size)},
        {key: 'error', title: 'Error', width: 110, narrow: true, text: (t) => t.error || NONE},
    ]});
}

function endedTable(open) {
    return new Table({label: 'failed and slow tasks', key: (t) => `${t.task} ${t.attempt} ${t.end}`, sort: 'at', dir: -1, open, empty: 'No task has failed or was slow.', columns: [
        {key: 'at', title: 'Ended', width: 150, first: true, narrow: true, sort: (t) => t.at_ns, text: (t) => clock(t.at_ns / 1e6)},
        {key: 'end', title: 'End', width: 100, narrow: true, sort: (t) => t.end, draw: (cell, t) => drawBadge(cell, t.end, toneOf({late: 'failed', lost: 'failed', retried: 'failed'}[t.end] || t.end))},
        {key: 'capability', title: 'Capability', grow: true, narrow: true, long: true, sort: (t) => t.capability, text: (t) => t.capability},
        {key: 'caller', title: 'Caller', width: 140, sort: (t) => t.caller, text: (t) => t.caller || NONE},
        {key: 'agent', title: 'Agent', grow: true, long: true, sort: (t) => t.agent, text: (t) => t.agent || NONE},
        {key: 'waited', title: 'Waited', width: 90, numeric: true, desc: true, sort: (t) => t.waited_ns, text: (t) => duration(t.waited_ns)},
        {key: 'ran', title: 'Ran', width: 90, numeric: true, narrow: true, desc: true, sort: (t) => t.ran_ns, text: (t) => duration(t.ran_ns)},
        {key: 'attempt', title: 'Start', width: 66, numeric: true, desc: true, sort: (t) => t.attempt, text: (t) => count(t.attempt)},
        {key: 'error', title: 'Error', width: 150, sort: (t) => t.error, text: (t) => (t.error ? `${t.error}${t.agent_code ? `, ${t.agent_code}` : ''}` : NONE)},
        {key: 'task', title: 'Task', width: 130, sort: (t) => t.task, text: (t) => t.task},
    ]});
}

function deadTable(open) {
    return new Table({label: 'dead tasks', key: (d) => d.number, sort: 'number', dir: -1, open, empty: 'No task is dead.', columns: [
        {key: 'number', title: 'Number', width: 86, first: true, narrow: true, sort: (d) => d.number, text: (d) => String(d.number)},
        {key: 'died', title: 'Died', width: 150, narrow: true, sort: (d) => Date.parse(d.died), text: (d) => clock(Date.parse(d.died))},
        {key: 'capability', title: 'Capability', width: 180, narrow: true, long: true, sort: (d) => d.capability, text: (d) => d.capability},
        {key: 'caller', title: 'Caller', width: 140, sort: (d) => d.caller, text: (d) => d.caller || NONE},
        {key: 'agent', title: 'Agent', width: 190, narrow: true, long: true, sort: (d) => d.agent, text: (d) => `${d.service}/${d.instance}/${d.agent}`},
        {key: 'attempts', title: 'Starts', width: 66, numeric: true, narrow: true, sort: (d) => d.attempts, text: (d) => count(d.attempts)},
        {key: 'error', title: 'Error', width: 120, narrow: true, sort: (d) => d.error, text: (d) => d.error || NONE},
        {key: 'text', title: 'Said', grow: true, text: (d) => d.text || NONE},
    ]});
}

function keptTable(open) {
    return new Table({label: 'kept results', key: (k) => k.task, sort: 'task', open, empty: 'No result is kept.', columns: [
        {key: 'task', title: 'Task', grow: true, first: true, narrow: true, sort: (k) => k.task, text: (k) => k.task},
        {key: 'ended', title: 'State', width: 120, narrow: true, sort: (k) => (k.ended ? 1 : 0),
         draw: (cell, k) => drawBadge(cell, k.ended ? (k.error ? 'failed' : 'kept') : 'promised', k.ended ? (k.error ? 'bad' : 'good') : 'info')},
        {key: 'capability', title: 'Capability', grow: true, narrow: true, sort: (k) => k.capability, text: (k) => k.capability || NONE},
        {key: 'error', title: 'Error', width: 150, text: (k) => k.error || NONE},
        {key: 'size', title: 'Size', width: 100, numeric: true, narrow: true, desc: true, sort: (k) => k.size, text: (k) => bytes(k.size)},
        {key: 'expires', title: 'Kept for', width: 110, numeric: true, narrow: true, sort: (k) => k.expires_in_ns, text: (k) => duration(k.expires_in_ns)},
    ]});
}

export function open(root, app) {
    const told = {tasks: undefined, ended: undefined, dead: undefined, kept: undefined, trace: null};
    let now = null, made = '', more = {};
    const openTask = (row) => app.choose({task: String(row.task)});
    const tables = {live: taskTable(app, openTask), ended: endedTable(openTask), dead: deadTable((d) => app.choose({task: d.task})), kept: keptTable(openTask)};
    const tabs = h('div', {class: 'tabs', role: 'tablist', 'aria-label': 'Tasks'}, TABS.map(([key, name]) => h('button', {type: 'button', role: 'tab', id: `tab-${key}`, 'aria-controls': 'tasks-shown', 'data-tab': key,
        onclick: () => app.choose({tab: key === 'live' ? null : key, task: null})}, name)));
    tabs.addEventListener('keydown', (e) => {
        const step = {ArrowRight: 1, ArrowLeft: -1}[e.key], all = [...tabs.children], at = all.indexOf(document.activeElement);
        if (!step || at < 0) return;
        const next = all[(at + step + all.length) % all.length];
        next.focus();
        next.click();
    });
    const search = h('input', {type: 'search', size: 18, oninput: () => app.choose({f: search.value})});
    const slower = h('select', {onchange: () => app.choose({slower: slower.value})}, SLOWER.map(([name]) => h('option', {value: name}, name)));
    const slowerLabel = h('label', null, 'Slower than', slower), said = h('span');
    const missing = h('p', {class: 'absent', hidden: true});
    const shown = h('div', {role: 'tabpanel', id: 'tasks-shown'}, missing, tables.live.node, tables.ended.node, tables.dead.node, tables.kept.node);
    const list = panel('Tasks', shown);
    list.firstChild.firstChild.after(tabs);
    const changed = (text) => {
        done.hidden = false;
        setText(done, text);
        app.again();
    };
    const done = h('p', {class: 'done', hidden: true}); /* of a change, until another view is opened */
    let found = [];
    const ofDead = h('span', {class: 'operate-buttons'}, taskButton('retry', 'Retry these', () => found, changed), taskButton('discard', 'Discard these', () => found, changed));
    list.firstChild.after(done);
    list.aside.append(ofDead, said, slowerLabel, h('label', null, 'Search', search));
    const one = h('div', {class: 'pad'}), closeOne = h('button', {type: 'button', class: 'button', onclick: () => app.choose({task: null})}, 'Close');
    const detail = panel('Life of a task', one), chosen = {live: [], dead: [], kept: []};
    const ofOne = {retry: taskButton('retry', 'Retry', () => chosen.dead, changed), discard: taskButton('discard', 'Discard', () => chosen.dead, changed),
        cancel: taskButton('cancel', 'Cancel task', () => chosen.live, changed), forget: taskButton('forget', 'Forget result', () => chosen.kept, changed)};
    detail.aside.append(...Object.values(ofOne), closeOne);
    root.className = 'tasks';
    root.replaceChildren(h('h1', {class: 'seen-by-readers'}, 'Tasks'), detail, list);

    const refresh = async () => {
        const id = app.query.get('task');
        const [tasks, dead, kept, ended, trace] = await Promise.all([app.askAll('tasks', 'tasks'), app.askAll('dead', 'dead'), app.ask('kept'),
            app.ask('finished'), /^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$/.test(id || '') ? app.ask('trace', {id}) : null]);
        more = {live: tasks && tasks.next, dead: dead && dead.next};
        now = tasks && tasks.now_ns ? tasks.now_ns : null;
        told.tasks = tasks && tasks.tasks.map((t) => ({...t, age: ageOf(t, now), waited: t.queued_ns && t.started_ns ? t.started_ns - t.queued_ns : null}));
        told.ended = ended && ended.tasks;
        told.trace = trace && {of: id, ...trace};
        told.dead = dead && dead.dead;
        told.kept = kept && kept.kept;
    };
    const matches = (row) => {
        const wanted = (app.query.get('f') || '').toLowerCase();
        return !wanted || [row.task, row.state, row.capability, row.caller, row.agent, row.service, row.error, row.text, row.end, row.trace].some((v) => v && String(v).toLowerCase().includes(wanted));
    };
    const rowsOf = (tab) => {
        if (tab === 'ended') return told.ended;
        if (tab === 'dead') return told.dead;
        if (tab === 'kept') return told.kept;
        if (!told.tasks || tab === 'live') return told.tasks;
        const least = (SLOWER.find(([n]) => n === app.query.get('slower')) || SLOWER[2])[1];
        return told.tasks.filter((t) => !ENDED.has(t.state) && t.state !== 'scheduled' && t.age >= least);
    };
    const draw = () => {
        const tab = TABS.some(([k]) => k === app.query.get('tab')) ? app.query.get('tab') : 'live';
        for (const button of tabs.children) {
            setAttr(button, 'aria-selected', button.dataset.tab === tab ? 'true' : 'false');
            setAttr(button, 'tabindex', button.dataset.tab === tab ? 0 : -1);
            const rows = rowsOf(button.dataset.tab), name = TABS.find(([k]) => k === button.dataset.tab)[1];
            setText(button, rows ? `${name} ${count(rows.length)}` : name);
        }
        setAttr(shown, 'aria-labelledby', `tab-${tab}`);
        slowerLabel.hidden = tab !== 'slow';
        slower.value = app.query.get('slower') || '1s';
        if (document.activeElement !== search) search.value = app.query.get('f') || '';
        const rows = rowsOf(tab), table = tables[tab === 'slow' ? 'live' : tab];
        missing.hidden = rows !== null;
        setText(missing, tab === 'slow' && told.tasks && !now ? 'This apiaryd does not tell how old tasks are.' : 'This apiaryd does not tell them.');
        for (const t of Object.values(tables)) t.node.hidden = t !== table || !rows;
        found = (rows || []).filter(matches);
        ofDead.hidden = tab !== 'dead' || found.length === 0;
        setText(said, rows ? `${plural(found.length, 'row')}${more[tab === 'slow' ? 'live' : tab] ? ', and more' : ''}` : '');
        if (rows) table.rows(found);
        drawOne();
    };
    const drawOne = () => {
        const id = app.query.get('task');
        detail.hidden = !id;
        for (const t of Object.values(tables)) for (const tr of t.pool.values()) setAttr(tr, 'data-chosen', tr.row.task === id);
        if (!id) return;
        const task = (told.tasks || []).find((t) => t.task === id);
        const dead = (told.dead || []).find((d) => d.task === id), kept = (told.kept || []).find((k) => k.task === id);
        chosen.live = task && !ENDED.has(task.state) ? [task] : [];
        chosen.dead = dead ? [dead] : [];
        chosen.kept = kept && kept.ended ? [kept] : [];
        ofOne.retry.hidden = ofOne.discard.hidden = !dead;
        ofOne.cancel.hidden = chosen.live.length === 0;
        ofOne.forget.hidden = chosen.kept.length === 0;
        const ended = (told.ended || []).find((t) => t.task === id), trace = told.trace && told.trace.of === id && told.trace.tasks.length ? told.trace : null;
        const width = Math.max(260, one.clientWidth - 28);
        const next = JSON.stringify([task, ended, trace && trace.tasks, dead, kept, task && !task.finished_ns ? now : 0, width]);
        if (next === made) return;
        made = next;
        const facts = task ? factsOf(task, now) : ended ? Object.entries(ended) : dead ? Object.entries(dead) : kept ? Object.entries(kept) : [];
        one.replaceChildren(...[task || trace ? timeLine(task, told.tasks, now, width, trace) : null,
            trace && trace.trace && !trace.sampled ? h('p', {class: 'nothing'}, 'Its trace is not sampled: of its tasks that are over only those are shown that failed or were slow.') : null,
            facts.length ? h('dl', {class: 'facts'}, facts.map(([n, v]) => h('div', null, h('dt', null, n.replace(/_/g, ' ')), h('dd', null, v === null || v === '' ? NONE : String(v)))))
                : h('p', {class: 'nothing'}, `Task ${id} has ended, and nothing is kept of it.`)].filter(Boolean));
    };
    return {draw, refresh, close: () => Object.values(tables).forEach((t) => t.close())};
}
