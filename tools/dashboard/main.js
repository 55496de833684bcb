/* main.js - the page: what is asked when, which view is shown, and what the reader has chosen (in the address, so that it can be kept). */
import {setAttr, setOptions, setText} from './dom.js';
import {duration, clock} from './format.js';
import {ask, askAll, isAbsent, link} from './source.js';
import {build, METRICS, newStores, record} from './model.js';
import {eventsOf} from './marks.js';
import {readPast} from './past.js';
import {listen, merge, pause, stream} from './stream.js';
import * as overview from './overview.js';
import * as flow from './flow.js';
import * as swarm from './swarm.js';
import * as tasks from './tasks.js';
import * as coordination from './coordination.js';
import * as events from './events.js';

const VIEWS = {overview, flow, swarm, tasks, coordination, events};
const WINDOWS = [['1m', 60], ['5m', 300], ['15m', 900], ['1h', 3600], ['6h', 21600], ['1d', 86400], ['1w', 604800]];
const PERCENTILES = ['50', '90', '95', '99', '99.9', '99.99'];
const EACH = 2000; /* ms between two samples; longer where an answer takes long, so that watching costs little */
const SLOWEST = 20000;
const STILL = 10000; /* ms, after which all is asked for, though nothing has changed */
const HIDDEN = 15000; /* where nobody sees the page */
const EVENTS = 500, EVENTS_LONG = 1000; /* newest ones that are asked for; of a window of hours */

const $ = (id) => document.getElementById(id);

export const app = {
    model: null, stores: newStores(), events: null, view: null, name: '', argument: '', query: new URLSearchParams(),
    window: 300e3, windowName: '5m', percentile: '99', q: 0.99, opened: Date.now(), gaps: [], past: {gaps: []}, capabilities: null,
    ask, askAll, isAbsent, link,
    /* Writes what the reader chose into the address; null takes it out. */
    choose(changes, push) {
        for (const [k, v] of Object.entries(changes)) {
            if (v === null || v === '') app.query.delete(k);
            else app.query.set(k, v);
        }
        const text = app.query.toString();
        const hash = `#/${app.name}${app.argument ? `/${encodeURIComponent(app.argument)}` : ''}${text ? `?${text}` : ''}`;
        if (hash === location.hash) return;
        if (push) location.hash = hash;
        else {
            history.replaceState(null, '', hash);
            readHash();
        }
    },
    /* Something was changed: it is looked at at once. */
    again() {
        stream.stirred = true;
        if (timer === null) return;
        clearTimeout(timer);
        sample();
    },
    go(view, argument) {
        location.hash = hashOf(view, argument);
    },
};

const KEPT = ['w', 'p']; /* of the choices: those that go along to another view */
export function hashOf(view, argument) {
    const kept = new URLSearchParams([...app.query].filter(([k]) => KEPT.includes(k))).toString();
    return `#/${view}${argument ? `/${encodeURIComponent(argument)}` : ''}${kept ? `?${kept}` : ''}`;
}

function readHash() {
    const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
    const [name, argument] = path.split('/');
    app.query = new URLSearchParams(query || '');
    const chosen = WINDOWS.find(([w]) => w === app.query.get('w')) || WINDOWS[1];
    const changed = chosen[0] !== app.windowName;
    [app.windowName, app.window] = [chosen[0], chosen[1] * 1000];
    app.percentile = PERCENTILES.includes(app.query.get('p')) ? app.query.get('p') : '99';
    app.q = Number(app.percentile) / 100;
    $('window').value = app.windowName;
    $('percentile').value = app.percentile;
    show(Object.hasOwn(VIEWS, name) ? name : 'overview', argument ? safeDecode(argument) : '');
    if (changed) askHistory();
}

function safeDecode(text) {
    try {
        return decodeURIComponent(text);
    } catch (e) {
        return text;
    }
}

function show(name, argument) {
    const another = app.name !== name || !app.view;
    const other = app.argument !== argument;
    app.name = name;
    app.argument = argument;
    for (const a of document.querySelectorAll('nav a')) {
        setAttr(a, 'aria-current', a.dataset.view === name ? 'page' : null);
        a.href = hashOf(a.dataset.view);
    }
    if (another || other) {
        if (app.view && app.view.close) app.view.close();
        const root = $('view');
        root.className = '';
        app.view = VIEWS[name].open(root, app);
        document.title = `${argument || name} - apiary`;
        if (app.started) scrollTo(0, 0);
        refreshView();
    }
    draw();
}

function draw() {
    if (app.view && app.model) app.view.draw();
    drawLink();
}

function drawLink() {
    const node = $('link');
    let text, state;
    if (link.down) {
        state = 'down';
        const since = clock(app.gaps.length ? app.gaps[app.gaps.length - 1].from : link.since);
        text = `apiaryd does not answer (${link.why}): nothing is known since ${since}. It is asked again every few seconds.`;
    } else if (!app.model) {
        state = 'asking';
        text = 'asking apiaryd';
    } else {
        state = 'up';
        const open = Date.now() - app.opened;
        const past = open < app.window && isAbsent('history') ? `. Watched for ${duration(open * 1e6)}: nothing is known of the time before` : '';
        text = `as of ${clock(app.model.at)}${past}`;
    }
    if (state !== node.dataset.link && node.dataset.link !== 'asking') { /* the time of each look is not read out, but this is */
        setText($('announced'), state === 'down' ? 'apiaryd does not answer' : 'apiaryd answers again');
    }
    setAttr(node, 'data-link', state);
    setText(node, text);
    setAttr(document.body, 'data-stale', link.down ? 'yes' : null);
    if (app.model) setText($('segment'), app.model.segment);
}

/* ---- what is asked */

let turn = 0, broken = false, timer = null, asked = 0, askedEvents = 0;

/* Nothing has changed since the last answers, as far as is told: nothing is asked, and nothing noted, as nobody has looked. */
function still() {
    return stream.live && !stream.stirred && !stream.stale && !broken && app.model !== null && Date.now() - asked < STILL;
}

/* The newest events: once, and where some were missed, or nobody tells them. */
async function askEvents() {
    const live = stream.live, before = app.events, limit = app.window > 3600e3 ? EVENTS_LONG : EVENTS;
    if (limit <= askedEvents && (live ? !stream.stale : turn % 3 !== 0)) return;
    stream.stale = false;
    askedEvents = limit;
    const told = eventsOf(await ask('events', {limit}));
    app.events = live && told && app.events !== before ? merge(told, app.events) : told;
}

async function askAllOfIt() {
    asked = Date.now();
    stream.stirred = false;
    const [status, services, metrics, stats, pairs] = await Promise.all(['status', 'services', 'metrics', 'stats', 'pairs'].map((s) => ask(s, s === 'metrics' ? {name: METRICS} : null)));
    if (status === null) throw new Error('no status');
    if (turn % 5 === 0) app.capabilities = await ask('capabilities');
    const at = Date.now();
    app.model = build(status, services, metrics, stats, pairs, app.capabilities);
    app.model.at = at;
    if (broken) {
        app.gaps[app.gaps.length - 1].to = at;
    }
    record(app.stores, app.model, at, broken);
    broken = false;
    await askEvents();
    turn++;
    await refreshView();
    askHistory();
    if (document.hidden) pause();
    else listen(app);
}

async function sample() {
    const began = performance.now();
    timer = null;
    try {
        if (!still()) await askAllOfIt();
    } catch (e) {
        if (!link.down) console.error(e); /* else the head of the page says it */
        if (!broken) app.gaps.push({from: app.model ? app.model.at : app.opened, to: null});
        broken = true;
    }
    draw();
    const took = performance.now() - began;
    const least = document.hidden ? HIDDEN : EACH;
    timer = setTimeout(sample, broken ? least : Math.max(least, Math.min(SLOWEST, took * 4)));
}

/* Whoever looks again sees what is now. */
function seen() {
    if (document.hidden || timer === null) return;
    clearTimeout(timer);
    sample();
}

/* A view's own sources. */
async function refreshView() {
    const view = app.view;
    if (!view || !view.refresh) return;
    try {
        await view.refresh();
    } catch (e) {
        if (!link.down) throw e;
    }
    if (view === app.view) draw();
}

/* What was before the page was opened, as finely as the window shows it. */
let askedFor = null;
async function askHistory() {
    if (!app.model || askedFor === app.windowName) return;
    const name = app.windowName;
    askedFor = name;
    try {
        const past = await readPast(app);
        if (past === null || name !== app.windowName) return; /* another one was chosen meanwhile */
        app.past = past;
    } catch (e) {
        askedFor = null; /* it is asked for again with the next change, or when the coordinator answers again */
        return;
    }
    draw();
}

/* ---- what is chosen in the head of the page */

function begin() {
    setOptions($('window'), WINDOWS.map(([w]) => ({value: w, text: w})), '5m');
    setOptions($('percentile'), PERCENTILES.map((p) => ({value: p, text: `p${p}`})), '99');
    $('window').addEventListener('change', () => app.choose({w: $('window').value}));
    $('percentile').addEventListener('change', () => app.choose({p: $('percentile').value}));
    $('theme').value = document.documentElement.dataset.theme || 'auto';
    $('theme').addEventListener('change', () => setTheme($('theme').value));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
    addEventListener('hashchange', readHash);
    document.addEventListener('visibilitychange', seen);
    document.querySelector('.skip').addEventListener('click', (e) => {
        e.preventDefault(); /* the address is the view's */
        $('view').focus();
    });
    document.querySelector('.choices').addEventListener('submit', (e) => e.preventDefault());
    readHash();
    app.started = true;
    sample();
    setInterval(drawLink, 1000);
}

function setTheme(theme) {
    if (theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
        localStorage.setItem('apiary-theme', theme);
    } catch (e) {
        /* storage may be forbidden: the theme lasts as long as the page */
    }
    draw();
}

begin();
