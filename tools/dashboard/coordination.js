/* coordination.js - claims with who holds them and how many wait, the memory that swarms share, and what the registry itself does. */
import {drawBadge, drawFigures, h, panel, setText} from './dom.js';
import {bytes, count, duration, NONE, plural, ratio} from './format.js';
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

function keyTable() {
    return new Table({label: 'keys of the memory', key: (k) => k.key, sort: 'key', empty: 'No such key.', columns: [
        {key: 'key', title: 'Key', grow: true, first: true, narrow: true, sort: (k) => k.key, text: (k) => k.key},
        {key: 'size', title: 'Size', width: 120, numeric: true, narrow: true, desc: true, sort: (k) => k.size, text: (k) => bytes(k.size)},
        {key: 'version', title: 'Version', width: 120, numeric: true, narrow: true, desc: true, sort: (k) => k.version, text: (k) => count(k.version)},
        {key: 'expires', title: 'Expires in', width: 130, numeric: true, narrow: true, sort: (k) => k.expires_in_ns,
         text: (k) => (k.expires_in_ns === null ? 'never' : duration(k.expires_in_ns))},
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
    const claims = claimTable(), keys = keyTable();
    const noClaims = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell claims.');
    const noKeys = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell what is in the memory.');
    const claimPanel = panel('Claims', noClaims, claims.node), memoryPanel = panel('Memory', noKeys, keys.node);
    const search = h('input', {type: 'search', size: 14, oninput: () => app.choose({f: search.value})});
    const space = h('input', {type: 'search', size: 12, list: 'spaces', onchange: () => ask({namespace: space.value, local: null})});
    const spaces = h('datalist', {id: 'spaces'});
    const local = h('input', {type: 'search', size: 14, list: 'locals', onchange: () => ask({local: local.value, namespace: null})});
    const locals = h('datalist', {id: 'locals'});
    const prefix = h('input', {type: 'search', size: 14, onchange: () => ask({prefix: prefix.value})});
    const said = h('span');
    claimPanel.aside.append(h('label', null, 'Search', search));
    memoryPanel.aside.append(said, h('label', null, 'Name space', space, spaces), h('label', null, 'or local of', local, locals), h('label', null, 'Keys from', prefix));
    const work = h('dl', {class: 'figures', 'aria-label': 'What the registry does'});
    const noWork = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell what the registry does.');
    const workPanel = panel('Registry', noWork, work);
    root.replaceChildren(h('h1', {class: 'seen-by-readers'}, 'Coordination'), totals, claimPanel, memoryPanel, workPanel);
    let toldStats, toldClaims, toldKeys, caches = null, wrong = '';
    const ask = (changes) => {
        app.choose(changes);
        refresh().then(draw, () => draw());
    };
    const refresh = async () => {
        const query = {namespace: app.query.get('namespace'), local: app.query.get('local'), prefix: app.query.get('prefix')};
        toldClaims = await app.ask('claims');
        caches = await app.ask('caches');
        toldStats = await app.ask('stats');
        try {
            toldKeys = await app.ask('memory', query);
            wrong = '';
        } catch (e) {
            if (!e.refused) throw e;
            toldKeys = {keys: []};
            wrong = 'there is no such name space';
        }
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
        for (const [input, name] of [[space, 'namespace'], [local, 'local'], [prefix, 'prefix']]) {
            if (document.activeElement !== input) input.value = app.query.get(name) || '';
        }
        const offer = (list, names) => {
            const made = names.join('\n');
            if (list.dataset.made === made) return;
            list.dataset.made = made;
            list.replaceChildren(...names.map((n) => h('option', {value: n})));
        };
        offer(spaces, ['default', ...(caches ? caches.caches.map((c) => c.namespace) : [])]);
        offer(locals, [...app.model.services.keys()].sort().slice(0, 500));
        noKeys.hidden = toldKeys !== null;
        keys.node.hidden = !toldKeys;
        if (toldKeys) {
            keys.rows(toldKeys.keys);
            setText(said, wrong || `${plural(toldKeys.keys.length, 'key')}, ${bytes(toldKeys.keys.reduce((n, k) => n + k.size, 0))}`);
        } else setText(said, '');
    };
    return {draw, refresh, close: () => [claims, keys].forEach((t) => t.close())};
}
