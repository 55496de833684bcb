// What tests/process/dashboard.sh asks of the page, in the page: looks() judges what is on the screen by rules such as those of axe,
// parts() the modules that need no page. Both answer what is wrong, as texts.
(() => {
    const colour = (text) => {
        const m = /rgba?\(([^)]+)\)/.exec(text);
        if (!m) return null;
        const [r, g, b, a] = m[1].split(/[ ,/]+/).map(Number);
        return {r, g, b, a: a === undefined ? 1 : a};
    };
    const over = (top, below) => ({r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a), b: top.b * top.a + below.b * (1 - top.a), a: 1});
    const light = ({r, g, b}) => {
        const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const contrast = (a, b) => {
        const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
        return (high + 0.05) / (low + 0.05);
    };
    const ground = (node) => {
        const layers = [];
        for (let e = node; e; e = e.parentElement) {
            const c = colour(getComputedStyle(e).backgroundColor);
            if (c && c.a > 0) layers.push(c);
            if (c && c.a === 1) break;
        }
        return layers.reverse().reduce((below, top) => over(top, below), {r: 255, g: 255, b: 255, a: 1});
    };
    const shown = (e) => e.getClientRects().length > 0 && getComputedStyle(e).visibility !== 'hidden' && !e.closest('.seen-by-readers, .skip, defs, title');
    const name = (e) => {
        if (e.getAttribute('aria-label')) return e.getAttribute('aria-label').trim();
        if (!e.labels || e.tagName === 'BUTTON') return (e.title || e.alt || e.textContent || '').trim();
        return [...e.labels].map((l) => [...l.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join('')).join(' ').trim();
    };
    const what = (e) => `${e.tagName.toLowerCase()}${e.id ? `#${e.id}` : ''}.${e.getAttribute('class') || ''} "${(e.textContent || '').trim().slice(0, 30)}"`;

    window.looks = () => {
        const wrong = new Set();
        const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        let read = 0;
        while (texts.nextNode()) {
            const e = texts.currentNode.parentElement;
            if (!texts.currentNode.data.trim() || !shown(e) || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'OPTION'].includes(e.tagName)) continue;
            read++;
            const style = getComputedStyle(e), size = parseFloat(style.fontSize);
            const ink = colour(e.ownerSVGElement ? style.fill : style.color);
            if (size < 12) wrong.add(`text of ${size} px: ${what(e)}`);
            if (!ink) continue;
            const back = ground(e.ownerSVGElement || e), ratio = contrast(over(ink, back), back);
            const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
            if (ratio < (large ? 3 : 4.5)) wrong.add(`contrast of ${ratio.toFixed(2)}: ${what(e)}`);
        }
        if (read < 12) wrong.add(`only ${read} texts`);
        for (const e of document.querySelectorAll('input, select, button, a[href], [role=img], [role=grid], [role=tab], nav')) {
            if (shown(e) && !name(e)) wrong.add(`it has no name: ${what(e)}`);
        }
        for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) wrong.add(`no alt: ${what(e)}`);
        const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
        for (const id of ids) if (ids.filter((i) => i === id).length > 1) wrong.add(`twice the id ${id}`);
        for (const attribute of ['aria-labelledby', 'aria-controls']) {
            for (const e of document.querySelectorAll(`[${attribute}]`)) if (!document.getElementById(e.getAttribute(attribute))) wrong.add(`${attribute} of nothing: ${what(e)}`);
        }
        if (document.querySelectorAll('h1').length !== 1) wrong.add('not one h1');
        if (!document.documentElement.lang) wrong.add('no language');
        for (const grid of document.querySelectorAll('[role=grid]')) {
            if (!shown(grid)) continue;
            const rows = [...grid.querySelectorAll('tr[data-key]')];
            if (rows.filter((r) => r.tabIndex === 0).length !== 1) wrong.add(`not one row can be reached: ${name(grid)}`);
            if (rows.some((r) => [...r.children].some((c) => !['gridcell', 'rowheader'].includes(c.getAttribute('role'))))) wrong.add(`a cell without a role: ${name(grid)}`);
        }
        for (const e of document.querySelectorAll('[style]')) {
            if (/(color|font|display|margin)/.test(e.getAttribute('style'))) wrong.add(`style in the page: ${what(e)}`);
        }
        const beyond = document.documentElement.scrollWidth - document.documentElement.clientWidth;
        if (beyond > 0) wrong.add(`${beyond} px wider than the window`);
        return [...wrong];
    };

    window.parts = async () => {
        const wrong = [], same = (what_, is, expected) => {
            if (JSON.stringify(is) !== JSON.stringify(expected)) wrong.push(`${what_} is ${JSON.stringify(is)}, not ${JSON.stringify(expected)}`);
        };
        const f = await import('./format.js'), spread = await import('./spread.js'), {Store} = await import('./store.js');
        same('nothing asked', f.ratio(0, 0), '-');
        same('unknown', f.ratio(null, 5), '-');
        same('nearly all', f.ratio(999999, 1000000), '99.99 %');
        same('nearly nothing', f.ratio(1, 1000000), '<0.01 %');
        same('all', f.ratio(7, 7), '100 %');
        same('none', f.ratio(0, 7), '0 %');
        const times = [[999, '999 ns'], [1500, '1.5 us'], [20040000, '20.04 ms'], [1500000000, '1.5 s'], [61e9, '1m 1s'], [3661e9, '1h 1m'], [90000e9, '1d 1h'], [null, '-'], [NaN, '-']];
        for (const [ns, text] of times) same(`${ns} ns`, f.duration(ns), text);
        same('ticks', [f.roundDuration(1e3), f.roundDuration(1e8), f.roundDuration(1e12)], ['1 us', '100 ms', '1000 s']);
        same('bytes', [f.bytes(1023), f.bytes(1536), f.bytes(null)], ['1023 B', '1.5 KiB', '-']);
        same('rates', [f.rate(0), f.rate(0.001), f.rate(null)], ['0', '<0.01', '-']);
        for (const ns of [0, 1023, 1024, 1151, 1152, 2048, 1e6, 123456789, 2 ** 42 - 1]) {
            const b = spread.bucketOf(ns);
            if (!(spread.lower(b) <= ns && ns < spread.upper(b))) wrong.push(`${ns} ns is not in bucket ${b}`);
        }
        const some = spread.fromPairs([[10, 90], [20, 10]], 5), more = spread.fromPairs([[10, 95], [20, 10], [30, 1]], 9);
        same('what came since', spread.since(more, some), {count: 6, sum: 4, at: [10, 30], n: [5, 1]});
        same('begun anew', spread.since(some, more).n, [90]);
        same('no quantile', spread.quantile(spread.EMPTY, 0.5), null);
        if (!(spread.quantile(some, 0.9) < spread.upper(10) && spread.quantile(some, 0.91) >= spread.lower(20))) wrong.push('quantiles');
        const store = new Store(['done'], ['queued']);
        const add = (t, done, broken) => {
            store.begin(t, broken);
            store.count('a', 'a/0', {done, run: spread.fromPairs([[10, done]], 0)});
            store.gauge('a', {queued: null});
            store.end();
        };
        add(0, 1000);
        add(1000, 1005);
        add(2000, 3); // it has begun anew
        add(3000, 4, true);
        const w = store.window('a', 10000);
        same('since the page was opened', [w.span, w.count('done')], [3000, 9]);
        same('gauge that is not told', Number.isNaN(store.value(store.samples[0], 'a', 'queued')), true);
        same('gaps', store.steps(10000, 100).map((one) => one.broken), [false, false, true]);
        const past = (t, watched, done) => ({t, watched, rows: new Map([['a', {done, queued: done, run: spread.fromPairs([[10, done]], 0)}]])});
        for (let again = 0; again < 2; again++) { // the second one takes the place of the first
            store.before([past(-40000, 10000, 6), past(-30000, 10000, 4), past(-1000, 9000, 2), past(9000, 10000, 7)], 10000, []);
            same('times of the past', store.samples.map((one) => one.t), [-50000, -40000, -30000, -10000, -1000, 0, 1000, 2000, 3000]);
            same('a step', store.between('a', store.samples[0], store.samples[1]).count('done'), 6);
            same('a gap', [store.between('a', store.samples[2], store.samples[3]), store.samples[3].broken], [null, true]);
            same('a gauge in a gap', Number.isNaN(store.value(store.samples[3], 'a', 'queued')), true);
            same('steps wider than those of the past', store.steps(60000, 2).map(({a, b, broken}) => [a.t, b.t, broken]),
                [[-50000, -30000, false], [-30000, -10000, true], [-10000, 2000, false], [2000, 3000, true]]);
            const all = store.window('a', 1e6);
            same('past and present', [all.span, all.count('done'), all.run().count], [32000, 21, 21]);
            same('from the past on', store.between('a', store.samples[4], store.samples[6]).run().count, 5);
        }
        for (let t = 4000; t < 4000000; t += 1000) add(t, t);
        if (store.samples.length > 2000) wrong.push('old samples stay');
        return wrong;
    };
})();
