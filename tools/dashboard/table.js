/* table.js - a table of which only the visible rows are drawn. Rows keep their elements, so what has the focus keeps it.
 *
 * columns   {key, title (or a function that tells it), text(row) or draw(cell, row), sort(row), numeric, width (px), narrow (shown at 390 px, too), first (a row's
 *           head, on a line of its own there), long (on one, too), desc (sorted downwards first)}
 * Keys: up, down, home, end, page up and down move from row to row; enter opens.
 */
import {h, setAttr, setText} from './dom.js';

const WIDE = 34; /* px of a row */
const NARROW_HEAD = 32, NARROW_LINE = 20, NARROW_PER_LINE = 2;
const MARGIN = 300; /* px that are drawn beyond what is seen */
const narrow = matchMedia('(max-width: 720px)');
const tables = new Set();
let asked = false;

function redrawSoon() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
        asked = false;
        for (const table of tables) table.draw();
    });
}
addEventListener('scroll', redrawSoon, {passive: true});
addEventListener('resize', redrawSoon);

export class Table {
    constructor({label, columns, key, open, sort, dir, empty}) {
        Object.assign(this, {columns, key, open, sortBy: sort, dir: dir || 1, list: [], pool: new Map(), focus: 0});
        this.heads = columns.map((c) => h('th', {role: 'columnheader', scope: 'col', class: c.numeric ? 'num' : ''}, this.head(c)));
        this.body = h('tbody', {role: 'rowgroup', onkeydown: (e) => this.keydown(e), onfocusin: (e) => this.focused(e)});
        this.above = h('tr', {class: 'spacer', role: 'presentation'}, h('td', {colspan: columns.length, role: 'presentation'}));
        this.below = this.above.cloneNode(true);
        this.body.append(this.above, this.below);
        this.table = h('table', {role: 'grid', 'aria-label': label},
            h('colgroup', null, columns.map((c) => h('col', {class: c.grow ? 'grow' : ''}))),
            h('thead', {role: 'rowgroup'}, h('tr', {role: 'row', 'aria-rowindex': 1}, this.heads)), this.body);
        [...this.table.querySelectorAll('col')].forEach((col, i) => {
            if (columns[i].width) col.style.width = `${columns[i].width}px`;
        });
        this.none = h('p', {class: 'nothing'}, empty || 'Nothing.');
        this.node = h('div', {class: 'table'}, this.sorter(label), this.table, this.none);
        this.markSort();
        tables.add(this);
    }

    close() {
        tables.delete(this);
    }

    head(c) {
        if (!c.sort) return h('span', {title: c.hint}, titleOf(c));
        return h('button', {type: 'button', class: 'sort', title: c.hint, onclick: () => this.sortOn(c.key)}, titleOf(c));
    }

    sorter(label) { /* where the heads are not shown */
        this.select = h('select', {'aria-label': `Order of ${label}`, onchange: () => this.sortOn(this.select.value, true)},
            this.columns.filter((c) => c.sort).map((c) => h('option', {value: c.key}, `by ${titleOf(c)}`)));
        return h('div', {class: 'sorter', hidden: this.select.options.length === 0}, this.select);
    }

    sortOn(key, keep) {
        const column = this.columns.find((c) => c.key === key);
        this.dir = this.sortBy === key && !keep ? -this.dir : column.desc ? -1 : 1;
        this.sortBy = key;
        this.markSort();
        this.rows(this.list);
    }

    markSort() {
        this.columns.forEach((c, i) => setAttr(this.heads[i], 'aria-sort', c.key === this.sortBy ? (this.dir > 0 ? 'ascending' : 'descending') : null));
        if (this.sortBy) this.select.value = this.sortBy;
    }

    rows(list) {
        const column = this.columns.find((c) => c.key === this.sortBy);
        if (column) {
            const keyed = list.map((row) => [column.sort(row), this.key(row), row]);
            keyed.sort((a, b) => this.dir * order(a[0], b[0]) || order(a[1], b[1]));
            list = keyed.map((k) => k[2]);
        }
        this.list = list;
        this.columns.forEach((c, i) => setText(this.heads[i].firstChild, titleOf(c)));
        setAttr(this.table, 'aria-rowcount', list.length + 1);
        this.none.hidden = list.length > 0;
        this.table.hidden = list.length === 0;
        this.draw();
    }

    height() {
        if (!narrow.matches) return WIDE;
        const more = this.columns.filter((c) => c.narrow && !c.first), long = more.filter((c) => c.long).length;
        return NARROW_HEAD + NARROW_LINE * (long + Math.ceil((more.length - long) / NARROW_PER_LINE)) + 10;
    }

    draw() {
        if (!this.node.isConnected || this.list.length === 0) return;
        const height = this.height(), top = this.body.getBoundingClientRect().top;
        const from = Math.max(0, Math.min(this.list.length - 1, Math.floor((-top - MARGIN) / height)));
        const to = Math.max(from + 1, Math.min(this.list.length, Math.ceil((innerHeight - top + MARGIN) / height))); /* one can always be reached */
        const wanted = new Set();
        for (let i = from; i < to; i++) wanted.add(i);
        const held = this.heldIndex(); /* the row that has the focus stays, wherever it is */
        const keys = new Map();
        let place = this.above;
        for (const i of wanted) {
            const tr = this.row(i, height);
            keys.set(tr.dataset.key, tr);
            if (place.nextSibling !== tr) place.after(tr);
            place = tr;
        }
        for (const [key, tr] of this.pool) {
            if (keys.has(key)) continue;
            if (tr.contains(document.activeElement) && held >= 0) continue;
            tr.remove();
            this.pool.delete(key);
        }
        this.spacer(this.above, from * height);
        this.spacer(this.below, Math.max(0, this.list.length - Math.max(to, from)) * height);
        this.rove();
    }

    heldIndex() {
        const tr = document.activeElement && document.activeElement.closest('tr');
        if (!tr || !this.body.contains(tr)) return -1;
        return this.list.findIndex((row) => String(this.key(row)) === tr.dataset.key);
    }

    spacer(tr, px) {
        tr.hidden = px === 0;
        tr.firstChild.style.height = `${px}px`;
    }

    row(i, height) {
        const row = this.list[i], key = String(this.key(row));
        let tr = this.pool.get(key);
        if (!tr) {
            tr = h('tr', {role: 'row', tabindex: -1, 'data-key': key, class: this.open ? 'opens' : null, onclick: (e) => {
                if (this.open && !e.target.closest('a, button')) this.open(tr.row);
            }}, this.columns.map((c) => h('td', {role: c.first ? 'rowheader' : 'gridcell', 'data-title': titleOf(c),
                                               class: `${c.numeric ? 'num ' : ''}${c.narrow ? '' : 'wide '}${c.first ? 'first' : ''}${c.long ? 'long' : ''}`})));
            this.pool.set(key, tr);
        }
        tr.row = row;
        tr.style.height = `${height}px`;
        setAttr(tr, 'aria-rowindex', i + 2);
        this.columns.forEach((c, n) => {
            const cell = tr.children[n];
            if (typeof c.title === 'function') setAttr(cell, 'data-title', c.title());
            if (c.draw) c.draw(cell, row);
            else {
                const text = c.text(row);
                setText(cell, text);
                if (c.title_of || text.length > 18) setAttr(cell, 'title', c.title_of ? c.title_of(row) : text);
            }
        });
        return tr;
    }

    rove() { /* one row can be reached by the tab key */
        const drawn = [...this.pool.values()];
        const at = drawn.find((tr) => tr.dataset.key === this.focusKey) || this.above.nextElementSibling;
        for (const tr of drawn) setAttr(tr, 'tabindex', tr === at ? 0 : -1);
    }

    focused(e) {
        const tr = e.target.closest('tr[data-key]');
        if (tr) this.focusKey = tr.dataset.key;
        this.rove();
    }

    keydown(e) {
        const tr = e.target.closest('tr[data-key]');
        if (!tr || e.ctrlKey || e.metaKey || e.altKey) return;
        if (e.key === 'Enter' && this.open && e.target === tr) {
            e.preventDefault();
            this.open(tr.row);
            return;
        }
        const page = Math.max(1, Math.floor(innerHeight * 0.7 / this.height()));
        const step = {ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity}[e.key];
        if (step === undefined) return;
        e.preventDefault();
        const at = this.list.findIndex((row) => String(this.key(row)) === tr.dataset.key);
        this.go(Math.max(0, Math.min(this.list.length - 1, at + step)));
    }

    go(i) {
        const height = this.height(), y = this.body.getBoundingClientRect().top + i * height;
        const sticky = 120; /* px that the head of the page covers */
        if (y < sticky) scrollBy(0, y - sticky);
        else if (y + height > innerHeight) scrollBy(0, y + height - innerHeight + 8);
        this.focusKey = String(this.key(this.list[i]));
        this.draw();
        const tr = this.pool.get(this.focusKey);
        if (tr) tr.focus({preventScroll: true});
        this.draw();
    }
}

const titleOf = (c) => (typeof c.title === 'function' ? c.title() : c.title);

function order(a, b) {
    const none = (v) => v === null || v === undefined || Number.isNaN(v);
    if (none(a) || none(b)) return none(a) === none(b) ? 0 : none(a) ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
}
