/* dom.js - elements, and changes to them only where something is different: what has the focus keeps it, and nothing is laid out anew. */

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
        if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
        else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return node;
}

export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

export function setAttr(node, name, value) {
    if (value === null || value === undefined || value === false) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function setOptions(select, options, chosen) {
    const made = options.map((o) => `${o.value}\n${o.text}`).join('\n');
    if (select.dataset.made !== made) {
        select.replaceChildren(...options.map((o) => h('option', {value: o.value}, o.text)));
        select.dataset.made = made;
    }
    if (select.value !== chosen) select.value = chosen;
}

/* What the states mean: their shape, so that colour is not all that tells them apart. */
const SHAPES = {
    good: 'M6 1.5a4.5 4.5 0 1 0 .01 0z',
    warn: 'M6 1 11.4 10.6H.6z',
    bad: 'M2.6 1 6 4.4 9.4 1 11 2.6 7.6 6 11 9.4 9.4 11 6 7.6 2.6 11 1 9.4 4.4 6 1 2.6z',
    info: 'M6 .6 11.4 6 6 11.4.6 6z',
    none: 'M1 5h10v2H1z',
};

export function shape(tone) {
    return s('svg', {class: `shape ${tone}`, viewBox: '0 0 12 12', width: 12, height: 12, 'aria-hidden': 'true'},
        s('path', {d: SHAPES[tone] || SHAPES.none}));
}

export const shapePath = (tone) => SHAPES[tone] || SHAPES.none;

const TONES = {
    passing: 'good', done: 'good', ready: 'good',
    warning: 'warn', starting: 'info', scheduled: 'info', queued: 'none', running: 'info',
    critical: 'bad', down: 'bad', failed: 'bad',
    drain: 'warn', maint: 'warn', pause: 'warn', cancelled: 'warn',
};
export const toneOf = (state) => TONES[state] || 'none';

/* A word with its shape; drawn anew only when it is another. */
export function drawBadge(node, word, tone) {
    const now = `${word}\n${tone}`;
    if (node.dataset.badge === now) return;
    node.dataset.badge = now;
    node.replaceChildren(h('span', {class: `badge ${tone}`}, shape(tone), word));
}

/* The figures of a panel: [{name, value, hint, tone}], always the same ones in one place. */
export function drawFigures(node, figures) {
    while (node.children.length > figures.length) node.lastChild.remove();
    figures.forEach((f, i) => {
        let box = node.children[i];
        if (!box) {
            box = h('div', {class: 'figure'}, h('dt'), h('dd'), h('div', {class: 'hint'}));
            node.append(box);
        }
        setText(box.children[0], f.name);
        setText(box.children[1], f.value);
        setText(box.children[2], f.hint || '\u00a0');
        setAttr(box, 'data-tone', f.tone || null);
    });
}

export function panel(title, ...children) {
    const id = `panel-${title.toLowerCase().replace(/[^a-z]+/g, '-')}`;
    const aside = h('div', {class: 'aside'});
    const node = h('section', {class: 'panel', 'aria-labelledby': id},
        h('div', {class: 'panel-head'}, h('h2', {id}, title), aside), ...children);
    return Object.assign(node, {aside});
}
