/* life.js - one task's life as a time line: when it waited, ran and ended, and the tasks of its trace below. */
import {h, s, toneOf} from './dom.js';
import {bytes, count, duration, NONE, plural} from './format.js';

const LINE = 40, LEFT = 6;

/* The 32 digits that all tasks of a trace have in common; null: it belongs to none. */
function traceOf(task) {
    const trace = task.carried && task.carried.trace;
    const text = trace && typeof trace === 'object' ? trace.traceparent || trace.trace || '' : trace || '';
    const found = /([0-9a-f]{32})/.exec(text);
    return found ? found[1] : null;
}

export function family(task, tasks) {
    const trace = traceOf(task);
    return trace ? tasks.filter((t) => t.task !== task.task && traceOf(t) === trace) : [];
}

/* [{from, to, name, tone}], in ns of the clock of the segment. */
function spansOf(task, now) {
    const spans = [], start = task.started_ns || null, end = task.finished_ns || null;
    const until = (t) => t || now || start || task.queued_ns;
    if (task.queued_ns) spans.push({from: task.queued_ns, to: until(start || end), name: start ? 'waited' : task.state, tone: 'wait'});
    if (start) {
        const ended = {done: 'ran', failed: 'ran, failed', cancelled: 'ran, cancelled'}[task.state] || 'runs';
        spans.push({from: start, to: until(end), name: ended, tone: end ? toneOf(task.state) : ''});
    }
    return spans;
}

/* Each start of each task of a trace, as /v1/trace tells it, in the order of who asked whom. */
function startsOf(trace) {
    return trace.tasks.map((t) => ({
        task: t.task, capability: t.capability, agent: t.agent, depth: t.depth, attempt: t.attempt, hedge: t.hedge, queued_ns: t.queued_ns,
        started_ns: t.started_ns, finished_ns: t.state && !t.finished_ns ? null : t.finished_ns, state: t.state || {late: 'failed', retried: 'failed', lost: 'failed'}[t.end] || t.end,
        said: t.state ? '' : {late: 'came too late', retried: 'is tried again', lost: 'its worker died'}[t.end] || '',
    }));
}

/* `trace`: of all swarms that were asked; null: this apiaryd does not tell, and the tasks that are not over are looked through. */
export function timeLine(task, tasks, now, width, trace) {
    const told = trace && trace.tasks.length ? startsOf(trace) : null;
    const rows = (told || [task, ...family(task, tasks || []).sort((a, b) => a.queued_ns - b.queued_ns)]).slice(0, 60);
    const all = rows.flatMap((t) => spansOf(t, now));
    if (!all.length) return h('p', {class: 'nothing'}, 'It has no times yet.');
    const from = Math.min(...all.map((x) => x.from)), to = Math.max(...all.map((x) => x.to));
    const pad = Math.max(1, (to - from) * 0.02);
    const scale = window.d3.scale.linear().domain([0, to - from + pad]).range([LEFT, width - 10]), x = (t) => scale(t - from);
    const made = [], height = rows.length * LINE + 22;
    rows.forEach((t, i) => {
        const y = i * LINE;
        const more = [t.attempt > 1 ? `start ${t.attempt}` : '', t.hedge === 'second copy' ? 'second copy' : '', t.said || ''].filter(Boolean).join(', ');
        made.push(s('text', {x: LEFT + 12 * Math.min(t.depth || 0, 8), y: y + 13}, `${t.capability} by ${t.agent || 'nobody yet'}`,
                    s('tspan', {class: 'what'}, `  ${t.task}${more ? `, ${more}` : ''}`)));
        for (const span of spansOf(t, now)) {
            const left = x(span.from), w = Math.max(2, x(span.to) - left);
            const text = `${span.name} ${duration(span.to - span.from)}`;
            made.push(s('g', null, s('title', null, text), s('rect', {class: `span ${span.tone}`, x: left, y: y + 18, width: w, height: 17, rx: 3})));
            if (w > text.length * 7) made.push(s('text', {x: left + 6, y: y + 31}, text));
        }
        if (t.deadline_ns && t.deadline_ns > from && t.deadline_ns < to + pad) {
            made.push(s('line', {class: 'deadline', x1: x(t.deadline_ns), x2: x(t.deadline_ns), y1: y + 15, y2: y + 38}, s('title', null, 'deadline')));
        }
    });
    for (const tick of scale.ticks(Math.max(2, Math.floor(width / 160)))) {
        made.push(s('text', {class: 'what', x: scale(tick), y: height - 4, 'text-anchor': scale(tick) < 40 ? 'start' : 'middle'}, `+${duration(tick)}`));
    }
    return s('svg', {class: 'life', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img',
                     'aria-label': rows.flatMap((t) => spansOf(t, now)).map((p) => `${p.name} ${duration(p.to - p.from)}`).join(', ')}, made);
}

const orNone = (v) => (v === null || v === undefined || v === '' ? NONE : String(v));

/* All that is told of a task, as names and values. */
export function factsOf(task, now) {
    const left = task.deadline_ns === null ? 'none' : !now ? NONE : task.deadline_ns > now ? `in ${duration(task.deadline_ns - now)}` : `${duration(now - task.deadline_ns)} ago`;
    const facts = [
        ['Task', task.task], ['State', task.state + (task.cancel_requested ? ', to be cancelled' : '')], ['Capability', task.capability],
        ['Caller', task.caller || 'no service'], ['Agent', orNone(task.agent)],
        ['Attempts', `${plural(task.attempts, 'start')}, ${plural(task.failures, 'failure')}, ${plural(task.crashes, 'crash', 'crashes')}`],
        ['Deadline', left], ['Processes', `client ${task.client_pid || NONE}, worker ${task.worker_pid || NONE}`],
        ['Request and result', `${bytes(task.body_size)}, ${bytes(task.result_size)}`],
    ];
    if (task.due_ns) facts.push(['Due', now && task.due_ns > now ? `in ${duration(task.due_ns - now)}` : 'now']);
    if (task.error) facts.push(['Error', `${task.error}${task.agent_code ? `, code ${task.agent_code}` : ''}`]);
    if (task.progress !== null && task.progress !== undefined) facts.push(['Progress', `${task.progress} (${count(task.beats)} signs of life)`]);
    if (task.parts) facts.push(['Parts', `${count(task.parts.sent)} sent, ${count(task.parts.read)} read`]);
    for (const [name, value] of Object.entries(task.carried || {})) {
        if (value === null || value === undefined) continue;
        facts.push([name.replace(/_/g, ' '), typeof value === 'object' ? JSON.stringify(value) : String(value)]);
    }
    return facts;
}
