/* coordination.js - claims with who holds them and how many wait, the memory that swarms share, and what the registry itself does. */
import {drawBadge, drawFigures, h, panel, setText} from './dom.js';
import {count, duration, NONE, ratio} from './format.js';
import {memoryPanels} from './memory.js';
import {Table} from './table.js';

function claimTable() {
    return new Table({label: 'claims', key: (c) => c.key, sort: 'waiting', dir: -1, empty: 'No key is claimed.', columns: [
        {key: 'key', title: 'Key', grow: true, first: true, narrow: true, sort: (c) => c.key, text: (c) => c.key},
        {key: 'state', title: 'State', width: 120, draw: (cell, c) => (c.waiting > 0 ? drawBadge(cell, 'waited for', 'warn') : drawBadge(cell, 'held', 'good'))},
        {key: 'holder', title: 'Holder', width: 190, narrow: true, long: true, sort: (c) => c.holder, text: (c) => c.holder || (c.stays ? 'stays by itself' : 'no service')},
        {key: 'pid', title: 'Process', width: 90, numeric: true, narrow: true, sort: (c) => c.pid, text: (c) => (c.pid ? String(c.pid) : NONE)},
        {key: 'waiting', title: 'Waiting', width: 90, numeric: true, narrow: true, desc: true, sort: (c) => c.waiting, text: (c) => count(c.waiting)},
        {key: 'expires', title: 'Ends in', width: 110, numeric: true, narrow: true, sort: (c) => c.expires_in_ns, text: (c) => (c.expires_in_ns === null ? 'never' : duration(c.expires_in_ns))},
        {key: 'token', title: 'Token', width: 130, numeric: true, sort: (c) => c.token, text: (c) => String(c.token)},
    ]});
}

const WORK = [['search', 'Search', 'a capability by its name'], ['discover', 'Discovery', 'the providers of a capability'],
              ['pick', 'Pick', 'the provider of a task'], ['recover', 'Recovery', 'of a dead thread']];
const REPAIRED = ['task-requeued', 'task-moved', 'task-lost', 'task-crashed', 'claim-freed', 'blocks-swept', 'agent-ejected'];

/* Times of the registry, why it picked, and what it repaired. */
function registryFigures(r) {
    const most = Object.entries(r.picks).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]), all = most.reduce((n, [, one]) => n + one, 0);
    return [
        ...WORK.map(([key, name, what]) => ({name, value: r.times[key].measured > 0 ? duration(r.times[key].p50_ns) : NONE,
                                            hint: r.times[key].measured > 0 ? `p99 ${duration(r.times[key].p99_ns)}: ${what}` : `none yet: ${what}`})),
        {name: 'Picks', value: count(all), hint: most.map(([why, n]) => `${why} ${ratio(n, all)}`).join(', ') || 'none yet'},
        {name: 'Repaired', value: count(REPAIRED.reduce((n, kind) => n + (r.events[kind] || 0), 0)),
         hint: REPAIRED.filter((kind) => r.events[kind]).map((kind) => `${kind} ${count(r.events[kind])}`).join(', ') || 'nothing'},
    ];
}

export function open(root, app) {
    const totals = h('dl', {class: 'figures', 'aria-label': 'Claims, in all'});
    const claims = claimTable(), memory = memoryPanels(app);
    const noClaims = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell claims.');
    const claimPanel = panel('Claims', noClaims, claims.node);
    const search = h('input', {type: 'search', size: 14, oninput: () => app.choose({f: search.value})});
    claimPanel.aside.append(h('label', null, 'Search', search));
    const work = h('dl', {class: 'figures', 'aria-label': 'What the registry does'});
    const noWork = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell what the registry does.');
    const workPanel = panel('Registry', noWork, work);
    root.replaceChildren(h('h1', {class: 'seen-by-readers'}, 'Coordination'), totals, claimPanel, ...memory.nodes, workPanel);
    let toldStats, toldClaims;
    const refresh = async () => {
        toldClaims = await app.ask('claims');
        toldStats = await app.ask('stats');
        await memory.refresh();
    };
    const draw = () => {
        noClaims.hidden = toldClaims !== null;
        claims.node.hidden = !toldClaims;
        totals.hidden = !toldClaims;
        if (toldClaims) {
            const c = toldClaims, wanted = (app.query.get('f') || '').toLowerCase();
            drawFigures(totals, [
                {name: 'Held', value: count(c.held), hint: `of ${count(c.room)}`},
                {name: 'Waiting', value: count(c.claims.reduce((n, one) => n + one.waiting, 0)), hint: `${count(c.waited)} have waited`},
                {name: 'Granted', value: count(c.granted), hint: `${ratio(c.granted, c.granted + c.refused)} of asked`},
                {name: 'Refused', value: count(c.refused), hint: 'another had the key'},
                {name: 'Expired', value: count(c.expired), hint: `${count(c.stolen)} taken by others`},
                {name: 'Freed', value: count(c.freed), hint: 'their holder died'},
                {name: 'Stale tokens', value: count(c.stale), hint: 'refused', tone: c.stale > 0 ? 'bad' : null},
            ]);
            claims.rows(c.claims.filter((one) => !wanted || `${one.key} ${one.holder}`.toLowerCase().includes(wanted)));
        }
        const registry = toldStats && toldStats.registry;
        noWork.hidden = toldStats === undefined || !!registry;
        work.hidden = !registry;
        if (registry) drawFigures(work, registryFigures(registry));
        if (document.activeElement !== search) search.value = app.query.get('f') || '';
        memory.draw();
    };
    return {draw, refresh, close: () => {
        claims.close();
        memory.close();
    }};
}
