/* events.js - what has changed or was repaired, the newest first. */
import {h, panel, setOptions, setText, shape} from './dom.js';
import {clock, plural} from './format.js';
import {GRAVITY} from './marks.js';
import {Table} from './table.js';

export function eventTable(label) {
    return new Table({label, key: (e) => e.number, empty: 'No events.', columns: [
        {key: 'time', title: 'Time', width: 156, first: true, narrow: true, text: (e) => clock(e.at)},
        {key: 'tone', title: 'Gravity', width: 70, narrow: true, draw: (cell, e) => {
            if (cell.dataset.tone === e.tone) return;
            cell.dataset.tone = e.tone;
            cell.replaceChildren(h('span', {class: `badge ${e.tone}`, title: GRAVITY[e.tone]}, shape(e.tone),
                h('span', {class: 'seen-by-readers'}, GRAVITY[e.tone])));
        }},
        {key: 'kind', title: 'Kind', width: 150, narrow: true, text: (e) => e.kind},
        {key: 'service', title: 'Service', width: 160, narrow: true, long: true, text: (e) => e.service || '-'},
        {key: 'text', title: 'What', width: 230, narrow: true, long: true, text: (e) => e.text},
        {key: 'about', title: 'About', grow: true, narrow: true, long: true, text: (e) => (e.said ? `${e.about}: ${e.said}` : e.about)},
    ]});
}

export function open(root, app) {
    const table = eventTable('events');
    const missing = h('p', {class: 'absent', hidden: true}, 'This apiaryd does not tell events.');
    const gravity = h('select', {onchange: () => app.choose({gravity: gravity.value})});
    const kind = h('select', {onchange: () => app.choose({kind: kind.value})});
    const service = h('select', {onchange: () => app.choose({service: service.value})});
    const text = h('input', {type: 'search', size: 14, oninput: () => app.choose({f: text.value})});
    const list = panel('Events', missing, table.node);
    const said = h('span');
    list.aside.append(said, h('label', null, 'Gravity', gravity), h('label', null, 'Kind', kind), h('label', null, 'Service', service), h('label', null, 'Text', text));
    root.replaceChildren(h('h1', {class: 'seen-by-readers'}, 'Events'), list, legend());
    const draw = () => {
        missing.hidden = app.events !== null;
        table.node.hidden = app.events === null;
        if (app.events === null) return;
        const wanted = {gravity: app.query.get('gravity') || '', kind: app.query.get('kind') || '', service: app.query.get('service') || '',
                        text: (app.query.get('f') || '').toLowerCase()};
        const all = (name) => [...new Set(app.events.map((e) => e[name]).filter(Boolean))].sort();
        const options = (first, values) => [{value: '', text: first}, ...values.map((v) => ({value: v, text: v}))];
        setOptions(gravity, [{value: '', text: 'all'}, ...Object.entries(GRAVITY).map(([value, name]) => ({value, text: name}))], wanted.gravity);
        setOptions(kind, options('all', all('kind')), wanted.kind);
        setOptions(service, options('all', all('service')), wanted.service);
        if (document.activeElement !== text) text.value = app.query.get('f') || '';
        const from = app.model.at - app.window;
        const rows = app.events.filter((e) => (!wanted.gravity || e.tone === wanted.gravity) && (!wanted.kind || e.kind === wanted.kind)
            && (!wanted.service || e.service === wanted.service)
            && (!wanted.text || `${e.kind} ${e.text} ${e.about} ${e.said || ''} ${e.service || ''}`.toLowerCase().includes(wanted.text)));
        const inside = rows.filter((e) => e.at >= from).length;
        setText(said, `${plural(rows.length, 'event')}, ${inside} in the window`);
        table.rows(rows.reverse());
    };
    return {draw, close: () => table.close()};
}

function legend() {
    return h('p', {class: 'nothing'}, Object.entries(GRAVITY).map(([tone, name]) => h('span', {class: `badge ${tone}`}, shape(tone), name)));
}
