/* stream.js - what apiaryd tells by itself (/v1/stream): events as they come, and that something has changed. While it tells nothing, nothing
 * is asked for. Where it is not offered, or ends, the page asks as before.
 */
import {isOffered} from './source.js';
import {eventsOf} from './marks.js';

const MOST = 500; /* events that are kept, as many as are asked for */
const AGAIN = 30000; /* ms, after a refusal */

/* live: it is open; stirred: something has changed since that was last set back; stale: events are to be asked for. */
export const stream = {live: false, stirred: true, stale: true};
let source = null, refused = 0;

export async function listen(app) {
    if (source || Date.now() - refused < AGAIN || !await isOffered('stream') || source) return;
    source = new EventSource('v1/stream');
    source.addEventListener('open', () => Object.assign(stream, {live: true, stirred: true, stale: true}));
    source.addEventListener('tick', () => {
        stream.stirred = true;
    });
    source.addEventListener('event', (e) => {
        stream.stirred = true;
        if (app.events) app.events = merge(app.events, eventsOf({events: [JSON.parse(e.data)]}));
    });
    source.addEventListener('missed', () => {
        stream.stale = stream.stirred = true;
    });
    source.addEventListener('error', () => {
        stream.live = false;
        stop(); /* the browser would ask again by itself, and say each time on its console that it was refused */
        refused = Date.now();
    });
}

function stop() {
    if (source) source.close();
    source = null;
}

/* Nobody looks: the connection is others'. */
export function pause() {
    stop();
    stream.live = false;
}

/* An answer, and what has come by itself since. */
export function merge(told, since) {
    const last = told.length ? told[told.length - 1].number : 0;
    return [...told, ...since.filter((e) => e.number > last)].slice(-MOST);
}
