/* operate.js - what an operator changes: a question with what will happen to how many, a reason, the token once, and the answer in words.
 *
 * TOKEN     It is kept in sessionStorage: it outlives a reload, ends with the tab, and lies on no disk, as localStorage would have it. It is
 *           in no address.
 * REFUSALS  The server's own sentence is shown, and what was typed stays. A token that is refused is forgotten, and asked for again.
 */
import {h, setOptions, setText} from './dom.js';
import {plural} from './format.js';

const TOKEN = 'apiary-token', BY = 'apiary-by';
const PATIENCE = 40000; /* ms: a number of instances takes its time */
const REASON = 72, NAME = 32; /* bytes that the server takes */

const memory = new Map(); /* where storage is forbidden */
function kept(key) {
    try {
        return sessionStorage.getItem(key) || memory.get(key) || '';
    } catch (e) {
        return memory.get(key) || '';
    }
}

function keep(key, value) {
    memory.set(key, value);
    try {
        if (value) sessionStorage.setItem(key, value);
        else sessionStorage.removeItem(key);
    } catch (e) {
        /* it lasts as long as the page */
    }
}

/* {done: what it says} or {refused: a sentence, status}. */
async function ask(path, body) {
    let response;
    try {
        response = await fetch(path, {method: 'POST', cache: 'no-store', signal: AbortSignal.timeout(PATIENCE), body: JSON.stringify(body),
            headers: {'Content-Type': 'application/json', Authorization: `Bearer ${kept(TOKEN)}`}});
    } catch (e) {
        return {refused: e.name === 'TimeoutError' ? 'There was no answer in time. The events tell what has become of it.' : 'apiaryd does not answer. Nothing is known of what has become of it.', status: 0};
    }
    try {
        const told = await response.json();
        return response.ok ? {done: told.said} : {refused: told.error, status: response.status};
    } catch (e) {
        return {refused: `It says ${response.status} ${response.statusText}, and no more.`, status: response.status};
    }
}

/* ---- the question: one dialog, filled for what is asked */

let dialog = null, current = null;

function build() {
    const field = (label, input) => h('label', {class: 'field'}, label, input);
    const d = {title: h('h2', {id: 'operate-title'}), what: h('p', {class: 'what', id: 'operate-what'}), instance: h('select'), number: h('input', {type: 'number', step: 1, required: true}),
        reason: h('input', {type: 'text', required: true, maxlength: REASON, autocomplete: 'off'}), by: h('input', {type: 'text', maxlength: NAME, autocomplete: 'username'}),
        token: h('input', {type: 'password', autocomplete: 'off', spellcheck: 'false'}), refused: h('p', {class: 'refused', role: 'alert'}),
        go: h('button', {type: 'submit', class: 'button main'}), cancel: h('button', {type: 'button', class: 'button', onclick: () => d.node.close()}, 'Cancel')};
    d.numberText = document.createTextNode('');
    d.instanceField = field('Instance', d.instance);
    d.numberField = h('label', {class: 'field'}, d.numberText, d.number);
    d.tokenField = field('Token, which apiary token prints', d.token);
    d.form = h('form', null, d.title, d.what, d.instanceField, d.numberField, field('Reason, which stands in the events', d.reason), field('Your name, for the events', d.by), d.tokenField, d.refused,
        h('div', {class: 'choose'}, d.cancel, d.go));
    d.node = h('dialog', {class: 'operate', 'aria-labelledby': 'operate-title', 'aria-describedby': 'operate-what'}, d.form);
    d.instance.addEventListener('change', describe);
    d.number.addEventListener('input', describe);
    d.form.addEventListener('submit', (e) => {
        e.preventDefault();
        submit();
    });
    document.body.append(d.node);
    return d;
}

const chosen = () => ({instance: dialog.instance.value, number: dialog.number.value === '' ? null : Number(dialog.number.value)});

function describe() {
    setText(dialog.what, current.what(chosen()));
}

async function submit() {
    const asked = current, body = {...asked.body(chosen()), reason: dialog.reason.value.trim()};
    const token = dialog.token.value.trim();
    if (dialog.by.value.trim()) body.by = dialog.by.value.trim();
    keep(BY, dialog.by.value.trim());
    if (token && !/^[0-9a-f]{64}$/.test(token)) { /* it may have what no header can hold */
        setText(dialog.refused, 'A token is 64 hexadecimal digits; apiary token prints it.');
        dialog.token.focus();
        return;
    }
    if (token) keep(TOKEN, token);
    setText(dialog.refused, '');
    dialog.go.disabled = true;
    const answer = await ask(asked.path, body);
    dialog.go.disabled = false;
    if (answer.status === 401) keep(TOKEN, '');
    const told = answer.done || `${asked.title}: ${answer.refused}`;
    if (asked !== current || !dialog.node.open) { /* nobody waits for it there */
        setText(document.getElementById('announced'), told);
        asked.done(told);
        return;
    }
    if (answer.refused) {
        setText(dialog.refused, answer.refused);
        if (answer.status === 401) {
            dialog.token.value = '';
            dialog.tokenField.hidden = false;
            dialog.token.focus();
        }
        return;
    }
    dialog.node.close();
    setText(document.getElementById('announced'), told);
    asked.done(told);
}

/* asked: {title, verb, path, what(chosen), body(chosen), done(said), instances: [names], number: {label, min, max, value, optional}}. */
function question(asked) {
    dialog = dialog || build();
    current = asked;
    setText(dialog.title, asked.title);
    setText(dialog.go, asked.verb);
    setText(dialog.refused, '');
    dialog.instanceField.hidden = !asked.instances || asked.instances.length < 2;
    setOptions(dialog.instance, [{value: '', text: 'all'}, ...(asked.instances || []).map((i) => ({value: i, text: i}))], '');
    dialog.numberField.hidden = !asked.number;
    dialog.number.required = Boolean(asked.number && !asked.number.optional);
    if (asked.number) {
        dialog.numberText.data = asked.number.label;
        dialog.number.min = asked.number.min;
        dialog.number.max = asked.number.max;
        dialog.number.value = asked.number.value ?? '';
    }
    dialog.number.disabled = !asked.number;
    dialog.reason.value = '';
    dialog.by.value = kept(BY);
    dialog.token.value = '';
    dialog.tokenField.hidden = kept(TOKEN) !== '';
    describe();
    dialog.node.showModal();
    (asked.number ? dialog.number : dialog.reason).focus();
}

/* ---- a service's buttons. `service()` is the one that is looked at, `done` is called when something has changed */

const ROUTE = {
    drain: ['Drain', 'get no new tasks until they are resumed; those that they have go on'],
    pause: ['Pause', 'get no new tasks until they are resumed; those that they have go on'],
    resume: ['Resume', 'get tasks again'],
};

function meant(service, instance) {
    const rows = service.instances.filter((i) => instance === '' || i.instance === instance);
    return {n: rows.length, expect: rows.every((i) => i.pid > 0) ? {expect: rows.length} : {}}; /* one that has not registered yet is not counted there */
}

function askRoute(kind, service, done) {
    const [verb, then] = ROUTE[kind];
    question({title: `${verb} ${service.name}`, verb, path: `v1/${kind}`, done, instances: service.instances.map((i) => i.instance),
        what: ({instance}) => {
            const m = meant(service, instance), others = service.instances.length - m.n;
            const last = kind !== 'resume' && others === 0 ? ' Nobody else of the service is left to take tasks.' : '';
            return `${plural(m.n, 'instance')} of ${service.name} will ${then}.${kind === 'resume' ? '' : ` ${plural(service.queued + service.running, 'task')} of the service wait or run now.`}${last}`;
        },
        body: ({instance}) => ({service: service.name, ...(instance ? {instance} : {}), ...meant(service, instance).expect})});
}

function askWeight(service, done) {
    const now = [...new Set(service.agents.map((a) => a.weight))];
    question({title: `Weight of ${service.name}`, verb: 'Set weight', path: 'v1/weight', done, instances: service.instances.map((i) => i.instance),
        number: {label: 'Weight, 100 is usual; empty: as configured', min: 0, max: 1000, value: now.length === 1 ? now[0] : null, optional: true},
        what: ({instance, number}) => {
            const m = meant(service, instance);
            return `${plural(m.n, 'instance')} of ${service.name} will have ${number === null ? 'the weight of the configuration' : `the weight ${number}`} among the providers of their capabilities.${number === 0 ? ' With 0 they get tasks only where nobody else is there.' : ''}`;
        },
        body: ({instance, number}) => ({service: service.name, ...(instance ? {instance} : {}), weight: number, ...meant(service, instance).expect})});
}

function askScale(service, done) {
    question({title: `Instances of ${service.name}`, verb: 'Scale', path: 'v1/scale', done, number: {label: 'Instances, 1 to 64', min: 1, max: 64, value: service.instances.length},
        what: ({number}) => {
            const n = service.instances.length, step = (number || n) - n;
            return step === 0 ? `${service.name} has ${plural(n, 'instance')}.`
                : step > 0 ? `${plural(step, 'instance')} of ${service.name} will be started.` : `${plural(-step, 'instance')} of ${service.name} will finish the tasks in hand and end.`;
        },
        body: ({number}) => ({service: service.name, instances: number})});
}

export function serviceButtons(service, done) {
    const button = (name, ask) => h('button', {type: 'button', class: 'button', onclick: () => service() && ask(service(), done)}, name);
    return h('div', {class: 'operate-buttons', role: 'group', 'aria-label': 'Operate the service'},
        button('Drain', (sv) => askRoute('drain', sv, done)), button('Pause', (sv) => askRoute('pause', sv, done)), button('Resume', (sv) => askRoute('resume', sv, done)),
        button('Weight', (sv) => askWeight(sv, done)), button('Scale', (sv) => askScale(sv, done)));
}

/* ---- of tasks: `rows` are those that are shown, one or several */

const OF_TASKS = {
    retry: {verb: 'Retry', path: 'v1/dead/retry', what: 'will be delegated anew, fire and forget, and leave the dead set'},
    discard: {verb: 'Discard', path: 'v1/dead/discard', what: 'will leave the dead set for good, with the requests'},
    cancel: {verb: 'Cancel task', path: 'v1/tasks/cancel', what: 'will be taken back if queued; one that runs is told, and its agent may look'},
    forget: {verb: 'Forget result', path: 'v1/kept/forget', what: 'will lose the result that is kept'},
};
const MOST = 1000; /* in one request */

export function askTasks(kind, rows, done) {
    const {verb, path, what} = OF_TASKS[kind], some = rows.slice(0, MOST), dead = kind === 'retry' || kind === 'discard';
    const names = some.slice(0, 3).map((r) => (dead ? `number ${r.number}` : r.task)).join(', ');
    question({title: `${verb}: ${plural(some.length, 'task')}`, verb, path, done,
        what: () => `${plural(some.length, 'task')} ${what}: ${names}${some.length > 3 ? ` and ${some.length - 3} more` : ''}.${rows.length > MOST ? ` ${rows.length - MOST} more are shown; ${MOST} are done at a time.` : ''}`,
        body: () => ({...(dead ? {numbers: some.map((r) => r.number)} : {tasks: some.map((r) => r.task)}), expect: some.length})});
}

export function taskButton(kind, name, rows, done) {
    return h('button', {type: 'button', class: 'button', onclick: () => rows().length && askTasks(kind, rows(), done)}, name);
}
