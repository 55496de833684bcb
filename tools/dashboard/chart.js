/* chart.js - lines over time, with what happened as marks below, and heat maps. What is not known is hatched; no line goes over it. */
import {h, s, setAttr, setText, shapePath} from './dom.js';
import {clock, roundDuration} from './format.js';
import {lower} from './spread.js';

const d3 = window.d3;
const HEIGHT = 148, MARGIN = {left: 64, right: 10, top: 10, bottom: 34};
let patterns = 0;

/* The parts of a window of which nothing is known: before the first sample, and where nobody answered. */
function unknown(app, from, to, store) {
    const first = store.samples[0], parts = [];
    if (!first || first.t > from) parts.push({from, to: Math.min(to, first ? first.t : to)});
    for (const gap of [...app.past.gaps, ...app.gaps]) parts.push({from: gap.from, to: gap.to || to});
    const seen = parts.filter((p) => p.to > from && p.from < to && p.to - p.from > 1).sort((a, b) => a.from - b.from), joined = [];
    for (const p of seen) { /* the page and the coordinator may tell the same one */
        const last = joined[joined.length - 1];
        if (last && p.from <= last.to) last.to = Math.max(last.to, Math.min(to, p.to));
        else joined.push({from: Math.max(from, p.from), to: Math.min(to, p.to)});
    }
    return joined;
}

class Plot {
    constructor(title, hint) {
        this.readout = h('span', {class: 'readout'});
        this.id = `hatch-${++patterns}`;
        this.svg = s('svg', {role: 'img', tabindex: 0, 'aria-label': title, height: HEIGHT, width: '100%'});
        this.node = h('figure', {class: 'chart'}, h('figcaption', null, h('span', {class: 'chart-title', title: hint}, title), this.readout), this.svg);
        this.title = title;
        this.svg.addEventListener('pointermove', (e) => this.point(e.clientX - this.svg.getBoundingClientRect().left));
        this.svg.addEventListener('pointerleave', () => this.point(null));
        this.svg.addEventListener('blur', () => this.point(null));
        this.svg.addEventListener('keydown', (e) => {
            const step = {ArrowLeft: -8, ArrowRight: 8, Home: -1e6, End: 1e6}[e.key];
            if (step === undefined || !this.x) return;
            e.preventDefault();
            const [a, b] = this.x.range();
            this.point(Math.max(a, Math.min(b, (this.cursor ?? b) + step)));
        });
    }

    frame(from, to) {
        const width = Math.max(200, this.svg.clientWidth || this.node.clientWidth || 400);
        setAttr(this.svg, 'viewBox', `0 0 ${width} ${HEIGHT}`);
        this.width = width;
        this.x = d3.scale.linear().domain([from, to]).range([MARGIN.left, width - MARGIN.right]);
        this.bottom = HEIGHT - MARGIN.bottom;
    }

    hatch(parts) {
        const texts = [], made = [s('defs', null, s('pattern', {id: this.id, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)'},
            s('rect', {class: 'hatch-line', width: 1.5, height: 6})))];
        for (const part of parts) {
            const x = this.x(part.from), w = this.x(part.to) - x;
            made.push(s('rect', {x, y: MARGIN.top, width: Math.max(1, w), height: this.bottom - MARGIN.top, fill: `url(#${this.id})`, class: 'no-data'}));
            if (w > 60) texts.push(s('text', {x: x + w / 2, y: (MARGIN.top + this.bottom) / 2 + 4, 'text-anchor': 'middle', class: 'no-data-text'}, 'no data'));
        }
        return [made, texts];
    }

    axes(y, ticks, format) {
        const made = [];
        for (const v of ticks) {
            const at = Math.round(y(v)) + 0.5;
            made.push(s('line', {class: 'grid', x1: MARGIN.left, x2: this.width - MARGIN.right, y1: at, y2: at}));
            made.push(s('text', {class: 'tick', x: MARGIN.left - 6, y: at + 4, 'text-anchor': 'end'}, format(v)));
        }
        const [from, to] = this.x.domain();
        const times = d3.time.scale().domain([new Date(from), new Date(to)]).ticks(Math.max(2, Math.floor(this.width / 130)));
        for (const time of times) {
            const at = this.x(time.getTime());
            if (at < MARGIN.left + 18 || at > this.width - 24) continue;
            const long = to - from > 2 * 86400e3;
            made.push(s('line', {class: 'tick-line', x1: at, x2: at, y1: this.bottom, y2: this.bottom + 3}));
            made.push(s('text', {class: 'tick', x: at, y: this.bottom + 15, 'text-anchor': 'middle'},
                long ? d3.time.format('%a %d')(time) : clock2(time, to - from < 180e3)));
        }
        return made;
    }

    marks(events) {
        const made = [s('line', {class: 'lane', x1: MARGIN.left, x2: this.width - MARGIN.right, y1: HEIGHT - 8.5, y2: HEIGHT - 8.5})];
        const drawn = new Map();
        const order = {none: 0, good: 1, info: 2, warn: 3, bad: 4};
        for (const e of events) { /* one mark for those that would lie upon one another: the gravest */
            const at = Math.round(this.x(e.at) / 10);
            const cell = drawn.get(at) || {e, n: 0, x: this.x(e.at)};
            if (order[e.tone] > order[cell.e.tone]) cell.e = e;
            cell.n++;
            drawn.set(at, cell);
        }
        for (const {e, n, x} of drawn.values()) {
            const text = `${clock(e.at)} ${e.text}${e.service ? ` (${e.service})` : ''}${n > 1 ? ` and ${n - 1} more` : ''}`;
            made.push(s('g', {class: `mark ${e.tone}`, transform: `translate(${x - 5} ${HEIGHT - 14}) scale(.83)`},
                s('title', null, text), s('path', {d: shapePath(e.tone)})));
        }
        return made;
    }

    point(x) {
        this.cursor = x;
        if (this.line) {
            const on = x !== null && this.x && x >= MARGIN.left && x <= this.width - MARGIN.right;
            setAttr(this.line, 'visibility', on ? 'visible' : 'hidden');
            if (on) {
                setAttr(this.line, 'x1', x);
                setAttr(this.line, 'x2', x);
            }
        }
        setText(this.readout, this.read(x === null || !this.x ? null : this.x.invert(x)));
    }

    finish(parts) {
        this.line = s('line', {class: 'cursor', y1: MARGIN.top, y2: this.bottom, visibility: 'hidden'});
        this.svg.replaceChildren(...parts.flat(), this.line);
        this.point(this.cursor ?? null);
    }
}

const clock2 = (time, seconds) => d3.time.format(seconds ? '%H:%M:%S' : '%H:%M')(time);

/* Lines of one unit. series: [{name, tone, points: [{t, v, broken}]}], v null where nothing is known. */
export class LineChart extends Plot {
    constructor(title, format, hint) {
        super(title, hint);
        this.format = format;
        this.series = [];
    }

    draw(app, store, series, events, {least = 0, log = false} = {}) {
        const to = app.model.at, from = to - app.window;
        this.series = series;
        this.frame(from, to);
        const values = series.flatMap((l) => l.points.map((p) => p.v)).filter((v) => v !== null && !Number.isNaN(v));
        const most = Math.max(least || 1e-9, ...values);
        const low = log ? Math.max(1000, Math.min(1e6, ...values.filter((v) => v > 0))) : 0;
        const y = (log ? d3.scale.log().domain([low / 1.5, Math.max(most, low * 10) * 1.5]) : d3.scale.linear().domain([0, most * 1.08]))
            .range([this.bottom, MARGIN.top]);
        const ticks = log ? decades(y.domain()) : y.ticks(3);
        const path = d3.svg.line().x((p) => this.x(p.t)).y((p) => y(p.v));
        const lines = series.flatMap((l) => runs(l.points).map((run) => (run.length === 1
            ? s('circle', {class: `dot ${l.tone}`, cx: this.x(run[0].t), cy: y(run[0].v), r: 1.8})
            : s('path', {class: `line ${l.tone}`, d: path(run)}))));
        const [hatched, texts] = this.hatch(unknown(app, from, to, store));
        this.finish([hatched, this.axes(y, ticks, log ? roundDuration : this.format), texts, lines, this.marks(events)]);
        setAttr(this.svg, 'aria-label', `${this.title}, ${this.read(null)}; arrow keys read it`);
    }

    read(t) {
        const parts = this.series.map((l) => {
            const known = l.points.filter((p) => p.v !== null && !Number.isNaN(p.v));
            let p = known[known.length - 1];
            if (t !== null) p = l.points.reduce((best, c) => (!best || Math.abs(c.t - t) < Math.abs(best.t - t) ? c : best), null);
            const name = this.series.length > 1 ? `${l.name} ` : '';
            return {t: p ? p.t : null, text: `${name}${p && p.v !== null && !Number.isNaN(p.v) ? this.format(p.v) : '-'}`};
        });
        const at = t !== null && parts[0] && parts[0].t ? `${clock(parts[0].t)}  ` : '';
        return at + parts.map((p) => p.text).join('  ');
    }
}

function runs(points) { /* stretches without a hole */
    const found = [];
    let run = [];
    for (const p of points) {
        const hole = p.v === null || Number.isNaN(p.v);
        if ((p.broken || hole) && run.length) {
            found.push(run);
            run = [];
        }
        if (!hole) run.push(p);
    }
    if (run.length) found.push(run);
    return found;
}

function decades([from, to]) {
    const ticks = [];
    for (let v = 1000; v <= to; v *= 10) if (v >= from) ticks.push(v);
    return ticks.length > 5 ? ticks.filter((_, i) => i % 2 === 0) : ticks;
}

/* How long tasks took, over time: the darker a field, the more of them. steps: [{from, to, spread}]. */
export class HeatMap extends Plot {
    constructor(title, format, hint) {
        super(title, hint);
        this.format = format;
        this.steps = [];
    }

    draw(app, store, steps, events, q, quantile) {
        const to = app.model.at, from = to - app.window;
        this.steps = steps;
        this.q = q;
        this.quantile = quantile;
        this.frame(from, to);
        let low = Infinity, high = 0, most = 0;
        for (const step of steps) {
            for (const bucket of step.spread.at) {
                low = Math.min(low, bucket);
                high = Math.max(high, bucket);
            }
            step.cells = cellsOf(step.spread);
            for (const n of step.cells.values()) most = Math.max(most, n);
        }
        if (high < low) [low, high] = [0, 80];
        low = Math.max(0, low - 2) & ~1;
        high = Math.max(low + 16, high + 2);
        const edge = (bucket) => Math.max(512, lower(bucket));
        const y = d3.scale.log().domain([edge(low), edge(high + 1)]).range([this.bottom, MARGIN.top]);
        const cells = [];
        for (const step of steps) {
            const x = this.x(step.from), w = Math.max(1.5, this.x(step.to) - x - 0.5);
            for (const [bucket, n] of step.cells) {
                const top = y(edge(bucket + 2)), height = Math.max(1.5, y(edge(bucket)) - top - 0.5);
                cells.push(s('rect', {class: 'cell', x: x.toFixed(1), y: top.toFixed(1), width: w.toFixed(1), height: height.toFixed(1),
                                      'fill-opacity': (0.15 + 0.85 * Math.log1p(n) / Math.log1p(most)).toFixed(2)}));
            }
        }
        const points = steps.map((step) => ({t: (step.from + step.to) / 2, v: quantile(step.spread, q), broken: step.broken}));
        const path = d3.svg.line().x((p) => this.x(p.t)).y((p) => y(Math.max(edge(low), p.v)));
        const lines = runs(points).map((run) => s('path', {class: 'line over', d: path(run)}));
        const [hatched, texts] = this.hatch(unknown(app, from, to, store));
        this.finish([hatched, this.axes(y, decades(y.domain()), roundDuration), texts, cells, lines, this.marks(events)]);
        setAttr(this.svg, 'aria-label', `${this.title}: ${this.read(null)}; arrow keys read it`);
    }

    read(t) {
        const step = t === null ? [...this.steps].reverse().find((one) => one.spread.count > 0) : this.steps.find((one) => t >= one.from && t < one.to);
        if (!step || !this.quantile) return t === null ? '-' : 'no data';
        const text = `${step.spread.count.toLocaleString('en-US')} tasks, p50 ${this.format(this.quantile(step.spread, 0.5))}, `
            + `p${+(this.q * 100).toFixed(2)} ${this.format(this.quantile(step.spread, this.q))}`;
        return t === null ? text : `${clock(step.from)}  ${text}`;
    }
}

function cellsOf(spread) { /* two buckets make a field */
    const cells = new Map();
    spread.at.forEach((bucket, i) => cells.set(bucket & ~1, (cells.get(bucket & ~1) || 0) + spread.n[i]));
    return cells;
}

/* A line as large as a word, of the last steps; beside the figure it belongs to, so readers need no name of it. */
export function drawSpark(node, values) {
    let svg = node.firstElementChild;
    if (!svg) {
        svg = s('svg', {class: 'spark', viewBox: '0 0 90 20', width: 90, height: 20, 'aria-hidden': 'true'}, s('path', {class: 'line main'}));
        node.append(svg);
    }
    const most = Math.max(1e-9, ...values.filter((v) => v !== null));
    let d = '', pen = false;
    values.forEach((v, i) => {
        if (v === null || Number.isNaN(v)) pen = false;
        else {
            d += `${pen ? 'L' : 'M'}${(1 + i * 88 / Math.max(1, values.length - 1)).toFixed(1)} ${(18 - 16 * v / most).toFixed(1)}`;
            pen = true;
        }
    });
    setAttr(svg.firstChild, 'd', d);
}
