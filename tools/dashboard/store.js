/* store.js - what was counted at which time, as long as the page is open; older samples where there is a history.
 *
 * ROWS      A row is a service, or an agent. Counters are kept as what has come since the page was opened, so that a process that starts
 *           anew takes nothing away; gauges as they are. NaN: not known.
 * GAPS      A sample that is `broken` follows a time in which nobody answered: what was counted meanwhile is in its counters, but when
 *           it happened is not known, and no line is drawn over it.
 * THINNING  When there are too many samples, older ones go: what stays lies the further apart, the older it is.
 */
import {EMPTY, plus, since} from './spread.js';

const NUMBERS = 3e6; /* that a store keeps, more or less */

export class Store {
    constructor(counters, gauges) {
        this.counters = counters;
        this.fields = [...counters, ...gauges];
        this.column = new Map(this.fields.map((f, i) => [f, i]));
        this.rows = new Map();
        this.samples = [];
        this.sources = new Map(); /* of what a row sums up: its last counts */
        this.told = new Set(); /* what was told in an earlier sample: only of this a source that is new has all counted since then */
        this.telling = new Set();
        this.sums = [];
        this.spreads = [];
    }

    begin(t, broken) {
        this.now = {t, broken: broken && this.samples.length > 0, values: new Float64Array(this.rows.size * this.fields.length).fill(NaN), run: [], wait: []};
    }

    row(key) {
        let i = this.rows.get(key);
        if (i === undefined) {
            i = this.rows.size;
            this.rows.set(key, i);
            this.sums.push(new Float64Array(this.counters.length));
            this.spreads.push({run: EMPTY, wait: EMPTY});
        }
        const need = (i + 1) * this.fields.length;
        if (this.now.values.length < need) {
            const more = new Float64Array(Math.max(need, this.now.values.length * 2)).fill(NaN);
            more.set(this.now.values);
            this.now.values = more;
        }
        return i;
    }

    /* Counts of `source`, one of those that the row sums up: {field: value, ..., run: spread, wait: spread}. */
    count(key, source, counts) {
        const i = this.row(key), last = this.sources.get(source);
        const base = i * this.fields.length;
        this.counters.forEach((field, c) => {
            const value = counts[field];
            if (typeof value !== 'number') return;
            const before = last && typeof last[field] === 'number' ? last[field] : this.told.has(field) && !last ? 0 : value;
            this.telling.add(field);
            this.sums[i][c] += value >= before ? value - before : value;
            this.now.values[base + c] = this.sums[i][c];
        });
        for (const kind of ['run', 'wait']) {
            if (!counts[kind]) continue;
            const before = last && last[kind] ? last[kind] : this.told.has(kind) && !last ? EMPTY : counts[kind];
            this.telling.add(kind);
            if (last && last[kind] && last[kind].count === counts[kind].count) counts[kind] = last[kind];
            this.spreads[i][kind] = plus(this.spreads[i][kind], since(counts[kind], before));
            this.now[kind][i] = this.spreads[i][kind];
        }
        this.sources.set(source, counts);
    }

    gauge(key, gauges) {
        const base = this.row(key) * this.fields.length;
        for (const [field, value] of Object.entries(gauges)) {
            this.now.values[base + this.column.get(field)] = value === null || value === undefined ? NaN : value;
        }
    }

    end() {
        this.samples.push(this.now);
        this.told = new Set(this.telling);
        const most = Math.min(2000, Math.max(60, Math.floor(NUMBERS / Math.max(1, this.rows.size * this.fields.length))));
        if (this.samples.length > most) this.thin();
    }

    thin() {
        const end = this.samples[this.samples.length - 1].t, kept = [];
        this.samples.forEach((sample, i) => {
            const next = this.samples[i + 1], last = kept[kept.length - 1];
            if (!last || !next || next.t - last.t > (end - sample.t) / 60 || sample.broken) kept.push(sample);
        });
        this.samples = kept.length < this.samples.length ? kept : this.samples.slice(Math.floor(kept.length / 4));
    }

    value(sample, key, field) {
        const i = this.rows.get(key);
        if (i === undefined) return NaN;
        const at = i * this.fields.length + this.column.get(field);
        return at < sample.values.length ? sample.values[at] : NaN;
    }

    /* What came between two samples: {span (ms), count(field), run(), wait()}; null where there is no such pair. */
    between(key, a, b) {
        const i = this.rows.get(key);
        if (i === undefined || !a || !b || a.t >= b.t) return null;
        return {
            span: b.t - a.t,
            count: (field) => {
                const to = this.value(b, key, field), from = this.value(a, key, field);
                return Number.isNaN(from) ? to : to - from; /* it was not there: all of it has come since */
            },
            run: () => (b.run[i] ? since(b.run[i], a.run[i] || EMPTY) : null),
            wait: () => (b.wait[i] ? since(b.wait[i], a.wait[i] || EMPTY) : null),
        };
    }

    from(time) { /* the sample with which a window that begins then begins */
        let low = 0, high = this.samples.length;
        while (low < high) {
            const mid = (low + high) >> 1;
            if (this.samples[mid].t < time) low = mid + 1;
            else high = mid;
        }
        return this.samples[Math.min(low, this.samples.length - 1)];
    }

    window(key, ms) {
        const last = this.samples[this.samples.length - 1];
        return last ? this.between(key, this.from(last.t - ms), last) : null;
    }

    /* The part of the window of which there are samples, in ms. */
    span(ms) {
        const {samples} = this;
        return samples.length ? Math.max(1, Math.min(ms, samples[samples.length - 1].t - samples[0].t)) : ms;
    }

    /* The window cut at samples, at most `bins` times: [{a, b, broken}]. */
    steps(ms, bins) {
        const last = this.samples[this.samples.length - 1], steps = [];
        if (!last) return steps;
        const start = last.t - ms, step = ms / bins;
        let a = null, broken = false;
        for (const sample of this.samples) {
            if (sample.t < start) continue;
            if (sample.broken) broken = true;
            if (a && sample.t - a.t < step && !sample.broken && sample !== last) continue;
            if (a) steps.push({a, b: sample, broken});
            a = sample;
            broken = false;
        }
        return steps;
    }

    /* What a history tells of the time before: of each row and field values at the same times, with null for no data. */
    before(times, columns) {
        if (this.samples.length === 0) return;
        const first = this.samples[0], width = this.fields.length;
        const old = times.filter((t) => t < first.t).map((t) => ({t, broken: false, values: new Float64Array(this.rows.size * width).fill(NaN), run: [], wait: []}));
        for (const {key, field, values} of columns) {
            const i = this.rows.get(key), column = this.column.get(field);
            if (i === undefined || column === undefined) continue;
            const at = i * width + column;
            let sum = first.values[at], later = null;
            for (let k = old.length - 1; k >= 0; k--) {
                const value = values[k];
                if (value === null || value === undefined) {
                    later = null;
                    continue;
                }
                if (column < this.counters.length) {
                    if (later !== null) sum -= later >= value ? later - value : later;
                    later = value;
                    old[k].values[at] = sum;
                } else {
                    old[k].values[at] = value;
                }
            }
        }
        let empty = false;
        for (const sample of old) { /* where nothing at all is known there is a gap */
            const none = sample.values.every(Number.isNaN);
            sample.broken = !none && empty;
            empty = none;
        }
        first.broken = empty;
        this.samples = [...old.filter((sample) => !sample.values.every(Number.isNaN)), ...this.samples];
    }
}
