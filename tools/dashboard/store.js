/* store.js - what was counted at which time: since the page was opened, and before that as the coordinator has kept it.
 *
 * ROWS      A row is a service, an agent, or a pair. Counters are kept as what has come since some moment, so that a process that starts
 *           anew takes nothing away; gauges as they are. NaN: not known.
 * GAPS      A sample that is `broken` follows a time in which nobody answered: what was counted meanwhile is in its counters, but when
 *           it happened is not known, and no line is drawn over it.
 * PAST      Samples that the coordinator has kept are `old`, and come before all others. What was counted while nobody looked is in
 *           none; `lost` is how much of the time before a sample that was, and no rate is by it.
 * THINNING  When there are too many samples, older ones go: what stays lies the further apart, the older it is.
 */
import {EMPTY, plus, since} from './spread.js';

const NUMBERS = 3e6; /* that a store keeps, more or less */
const TOLERATED = 1500; /* ms between two steps that somebody looked at, as looks are not to the millisecond */

export class Store {
    constructor(counters, gauges) {
        this.counters = counters;
        this.fields = [...counters, ...gauges];
        this.column = new Map(this.fields.map((f, i) => [f, i]));
        this.rows = new Map();
        this.samples = [];
        this.first = null; /* of those that are not old */
        this.past = {run: [], wait: [], lost: 0}; /* all of it */
        this.sources = new Map(); /* of what a row sums up: its last counts */
        this.told = new Set(); /* what was told in an earlier sample: only of this a source that is new has all counted since then */
        this.telling = new Set();
        this.sums = [];
        this.spreads = [];
    }

    begin(t, broken) {
        this.now = {t, broken: broken && this.first !== null, old: false, lost: 0, values: new Float64Array(this.rows.size * this.fields.length).fill(NaN), run: [], wait: []};
    }

    place(key) {
        let i = this.rows.get(key);
        if (i === undefined) {
            i = this.rows.size;
            this.rows.set(key, i);
            this.sums.push(new Float64Array(this.counters.length));
            this.spreads.push({run: EMPTY, wait: EMPTY});
        }
        return i;
    }

    row(key) {
        const i = this.place(key);
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
        this.first = this.first || this.now;
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

    /* The time up to a sample in which nobody looked, from the oldest one on. */
    lost(sample) {
        return sample.old ? sample.lost : this.past.lost;
    }

    spreadBetween(kind, i, a, b) {
        if (!b[kind][i]) return null;
        if (b.old || !a.old) return since(b[kind][i], a[kind][i] || EMPTY);
        return plus(since(this.past[kind][i] || EMPTY, a[kind][i] || EMPTY), since(b[kind][i], this.first[kind][i] || EMPTY));
    }

    /* What came between two samples: {span (ms that somebody looked), count(field), run(), wait()}; null where there is no such pair. */
    between(key, a, b) {
        const i = this.rows.get(key);
        if (i === undefined || !a || !b || a.t >= b.t) return null;
        const span = b.t - a.t - (this.lost(b) - this.lost(a));
        if (span <= 0) return null;
        return {
            span,
            count: (field) => {
                const to = this.value(b, key, field), from = this.value(a, key, field);
                return Number.isNaN(from) ? to : to - from; /* it was not there: all of it has come since */
            },
            run: () => this.spreadBetween('run', i, a, b),
            wait: () => this.spreadBetween('wait', i, a, b),
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
        let a = null, before = null;
        for (const sample of this.samples) {
            if (sample.t < start) continue;
            const broken = Boolean(sample.broken);
            if (broken && a && before !== a) { /* what came before a gap is not told of the gap */
                steps.push({a, b: before, broken: false});
                a = before;
            }
            before = sample;
            if (a && sample.t - a.t < step && !broken && sample !== last) continue;
            if (a) steps.push({a, b: sample, broken});
            a = sample;
        }
        return steps;
    }

    /* What the coordinator has kept of the time before the first sample, in place of what it told before.
     * steps: [{t, watched, rows: Map(key -> {field: value, ..., run: spread, wait: spread})}], the oldest first; gaps: [{from, to}]. */
    before(steps, width, gaps) {
        const {first} = this;
        if (!first) return;
        const told = steps.filter((step) => step.t <= first.t), total = new Map();
        for (const step of told) for (const key of step.rows.keys()) total.set(this.place(key), null);
        const places = [...total.keys()], past = {run: [], wait: [], lost: 0};
        const sums = this.startOf(told), old = [];
        let at = told.length ? told[0].t - width : first.t;
        const keep = (t, broken) => {
            const values = new Float64Array(this.rows.size * this.fields.length).fill(NaN);
            for (const i of places) values.set(sums.subarray(i * this.counters.length, (i + 1) * this.counters.length), i * this.fields.length);
            old.push({t, broken, old: true, lost: past.lost, values, run: [...past.run], wait: [...past.wait]});
            return old[old.length - 1];
        };
        for (const step of told) {
            const missed = step.t - at - step.watched;
            if (old.length === 0) keep(step.t - step.watched, false);
            else if (missed > TOLERATED) {
                past.lost += missed;
                keep(step.t - step.watched, true);
            }
            for (const [key, row] of step.rows) this.addPast(past, sums, this.rows.get(key), row);
            this.setGauges(keep(step.t, false), step.rows, places);
            at = step.t;
        }
        past.lost += Math.max(0, first.t - at); /* the step that is not over */
        first.broken = told.length > 0 && (first.t - at > 3 * width || gaps.some((gap) => gap.to > at));
        this.past = past;
        this.samples = [...old, ...this.samples.filter((sample) => !sample.old)];
    }

    /* The counters with which the past begins: those with which it ends are those of the first sample. */
    startOf(told) {
        const sums = new Float64Array(this.rows.size * this.counters.length);
        for (const [key, i] of this.rows) {
            this.counters.forEach((field, c) => {
                const value = this.value(this.first, key, field);
                sums[i * this.counters.length + c] = Number.isNaN(value) ? 0 : value;
            });
        }
        for (const step of told) {
            for (const [key, row] of step.rows) {
                this.counters.forEach((field, c) => { sums[this.rows.get(key) * this.counters.length + c] -= row[field] || 0; });
            }
        }
        return sums;
    }

    addPast(past, sums, i, row) {
        this.counters.forEach((field, c) => { sums[i * this.counters.length + c] += row[field] || 0; });
        for (const kind of ['run', 'wait']) if (row[kind]) past[kind][i] = plus(past[kind][i] || EMPTY, row[kind]);
    }

    /* Of a row that is not in a step nothing was queued or running. */
    setGauges(sample, rows, places) {
        for (const field of ['queued', 'running']) {
            const column = this.column.get(field);
            if (column !== undefined) for (const i of places) sample.values[i * this.fields.length + column] = 0;
        }
        for (const [key, row] of rows) {
            const base = this.rows.get(key) * this.fields.length;
            for (let g = this.counters.length; g < this.fields.length; g++) {
                const value = row[this.fields[g]];
                if (value !== null && value !== undefined) sample.values[base + g] = value;
            }
        }
    }
}
