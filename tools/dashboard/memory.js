/* memory.js - the memory that swarms share: its name spaces, their keys by a beginning, and what a key holds. */
import {h, panel, setText} from './dom.js';
import {bytes, count, duration, NONE, plural} from './format.js';
import {Table} from './table.js';

const PART = 200; /* keys that are asked for at a time */

const left = (row) => (row.expires_in_ns === null ? 'never' : duration(row.expires_in_ns));
const spaceKey = (s) => `${s.local ? '@' : ''}${s.namespace}`;

function spaceTable(open) {
    return new Table({label: 'name spaces', key: spaceKey, sort: 'bytes', dir: -1, open, empty: 'Nothing is in the memory.', columns: [
        {key: 'name', title: 'Name space', grow: true, first: true, narrow: true, sort: spaceKey, text: (s) => s.namespace},
        {key: 'kind', title: 'Kind', width: 130, narrow: true, sort: (s) => (s.local ? 1 : 0),
         text: (s) => [s.local ? 'local' : 'global', ...(s.cache ? ['cache'] : [])].join(', ')},
        {key: 'values', title: 'Values', width: 100, numeric: true, narrow: true, desc: true, sort: (s) => s.values, text: (s) => count(s.values)},
        {key: 'bytes', title: 'Bytes', width: 110, numeric: true, narrow: true, desc: true, sort: (s) => s.bytes, text: (s) => bytes(s.bytes)},
        {key: 'evicted', title: 'Evicted', width: 110, numeric: true, desc: true, hint: 'from a cache, to make room', sort: (s) => s.evicted ?? null,
         text: (s) => (s.evicted === undefined ? NONE : count(s.evicted))},
        {key: 'unfetched', title: 'Never got', width: 110, numeric: true, desc: true, hint: 'of those that were evicted', sort: (s) => s.unfetched ?? null,
         text: (s) => (s.unfetched === undefined ? NONE : count(s.unfetched))},
    ]});
}

function keyTable(open) {
    return new Table({label: 'keys of the memory', key: (k) => k.key, sort: 'key', open, empty: 'No such key.', columns: [
        {key: 'key', title: 'Key', grow: true, first: true, narrow: true, sort: (k) => k.key, text: (k) => k.key},
        {key: 'size', title: 'Size', width: 120, numeric: true, narrow: true, desc: true, sort: (k) => k.size, text: (k) => bytes(k.size)},
        {key: 'version', title: 'Version', width: 120, numeric: true, narrow: true, desc: true, sort: (k) => Number(k.version), text: (k) => String(k.version)},
        {key: 'expires', title: 'Expires in', width: 130, numeric: true, narrow: true, sort: (k) => k.expires_in_ns, text: left},
    ]});
}

/* 16 bytes in a line, each with its place. */
function hexLines(hex) {
    const lines = [];
    for (let at = 0; at < hex.length; at += 32) {
        const part = hex.slice(at, at + 32).match(/../g);
        const word = part.map((b) => String.fromCharCode(parseInt(b, 16))).join('').replace(/[^ -~]/g, '.');
        lines.push(`${(at / 2).toString(16).padStart(6, '0')}  ${part.join(' ').padEnd(48)} ${word}`);
    }
    return lines.join('\n');
}

export function memoryPanels(app) {
    const chosen = () => ({namespace: app.query.get('namespace'), local: app.query.get('local'), prefix: app.query.get('prefix')});
    const spaces = spaceTable((s) => choose({namespace: s.local ? null : s.namespace, local: s.local ? s.namespace : null, prefix: null, key: null}));
    const keys = keyTable((k) => choose({key: k.key}));
    const noSpaces = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell what is in the memory.');
    const held = h('span'), said = h('span');
    const prefix = h('input', {type: 'search', size: 18, onchange: () => choose({prefix: prefix.value, key: null})});
    const more = h('button', {type: 'button', class: 'button', hidden: true, onclick: () => askMore()}, 'More keys');
    const facts = h('p', {class: 'value-facts'}), shown = h('pre', {class: 'value', tabindex: 0, 'aria-label': 'the value'});
    const close = h('button', {type: 'button', class: 'button', onclick: () => choose({key: null})}, 'Close');
    const spacePanel = panel('Memory', noSpaces, spaces.node), keyPanel = panel('Keys', keys.node), valuePanel = panel('Value', facts, shown);
    spacePanel.aside.append(held);
    keyPanel.aside.append(said, h('label', null, 'Keys from', prefix), more);
    valuePanel.aside.append(close);
    let toldSpaces, toldKeys = null, toldValue = null, wrong = '', parts = 1;

    const choose = (changes) => {
        parts = 1;
        app.choose(changes);
        again();
    };
    const askMore = () => {
        parts++;
        again();
    };
    const again = () => refresh().then(draw, () => draw());

    /* As many parts as were asked for, one after the other. */
    const askKeys = async (query) => {
        let all = [], after = null;
        for (let part = 0; part < parts; part++) {
            const told = await app.ask('memory', {...query, limit: PART, after});
            if (told === null) return null;
            all = all.concat(told.keys);
            after = told.next;
            if (after === null) break;
        }
        return {keys: all, next: after};
    };
    const refused = async (asked) => {
        try {
            return [await asked(), ''];
        } catch (e) {
            if (!e.refused) throw e;
            return [null, e.message];
        }
    };
    const refresh = async () => {
        const query = chosen(), key = app.query.get('key'), {prefix: _, ...space} = query;
        const caches = await app.ask('caches');
        const evicted = new Map((caches ? caches.caches : []).map((c) => [c.namespace, c]));
        toldSpaces = await app.ask('namespaces');
        for (const s of toldSpaces ? toldSpaces.namespaces : []) {
            const cache = evicted.get(spaceKey(s));
            if (cache) Object.assign(s, {evicted: cache.evicted, unfetched: cache.evicted_unfetched});
        }
        [toldKeys, wrong] = await refused(() => askKeys(query));
        toldValue = key ? (await refused(() => app.ask('value', {...space, key})))[0] : null;
    };
    const draw = () => {
        noSpaces.hidden = toldSpaces !== null;
        spaces.node.hidden = !toldSpaces;
        keyPanel.hidden = !toldSpaces;
        if (toldSpaces) {
            const values = toldSpaces.namespaces.reduce((n, s) => n + s.values, 0);
            setText(held, `${plural(values, 'value')} of ${count(toldSpaces.room)}; a name space may hold ${count(toldSpaces.quota_values)}`);
            spaces.rows(toldSpaces.namespaces);
        }
        const {namespace, local, prefix: from} = chosen(), key = app.query.get('key');
        const list = toldKeys ? toldKeys.keys : [], where = local ? `local memory of ${local}` : namespace || 'default';
        keys.rows(list);
        more.hidden = !toldKeys || toldKeys.next === null;
        setText(said, wrong ? 'there is no such name space'
            : `${where}: ${plural(list.length, 'key')}${more.hidden ? '' : ' so far, more are there'}, ${bytes(list.reduce((n, k) => n + k.size, 0))}`);
        if (document.activeElement !== prefix) prefix.value = from || '';
        valuePanel.hidden = !key;
        if (!key) return;
        shown.hidden = !toldValue;
        if (!toldValue) setText(facts, `${key} is not there.`);
        else {
            const v = toldValue, cut = v.shown < v.size ? `the first ${bytes(v.shown)} of ${bytes(v.size)}` : bytes(v.size);
            setText(facts, `${v.key}: ${cut}, version ${v.version}, expires: ${left(v)}${v.hex === null ? '' : ', in hexadecimal'}`);
            setText(shown, v.hex === null ? v.text : hexLines(v.hex));
        }
    };
    return {nodes: [spacePanel, keyPanel, valuePanel], refresh, draw, close: () => [spaces, keys].forEach((t) => t.close())};
}
