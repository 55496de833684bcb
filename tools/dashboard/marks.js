/* marks.js - events: how grave they are, and as marks under the charts. */

const TONES = {
    'swarm-died': 'bad', 'agent-ejected': 'bad', 'endpoint-failed': 'bad', 'agent-deaf': 'bad', 'swarm-stuck': 'bad',
    'config-refused': 'bad', 'target-missed': 'bad', 'target-met': 'good', 'task-failed': 'bad', 'instance-ended': 'warn', 'member-died': 'warn', 'lane-reaped': 'warn',
    'claim-stolen': 'warn', 'claim-freed': 'warn', 'result-forgotten': 'warn', 'blocks-swept': 'warn', 'service-held': 'warn',
    'swarm-registered': 'good', 'agent-returned': 'good', 'endpoint-passed': 'good', 'agent-heard': 'good',
    'swarm-mode': 'info', operated: 'info', 'swarm-weight': 'info', 'config-applied': 'info', 'service-added': 'info', 'service-changed': 'info',
    'service-removed': 'info', 'service-restarted': 'info', 'service-scaled': 'info', 'service-adjusted': 'info', 'terms-changed': 'info',
};
export const GRAVITY = {bad: 'trouble', warn: 'repaired or worth a look', good: 'came or came back', info: 'done by an operator', none: 'other'};

export function eventsOf(told) {
    if (told === null) return null;
    return told.events.map((e) => ({...e, at: Date.parse(e.time), tone: TONES[e.kind] || (/died|lost|failed/.test(e.kind) ? 'bad' : 'none'),
                                    about: aboutOf(e)}));
}

/* "swarm ai_service/0, mode drain, by user 0, pid 3": the names where there are any, else the numbers. */
function aboutOf(e) {
    const parts = Object.entries(e.of || {}).map(([k, v]) => {
        const name = e.names && e.names[k];
        return name ? (k === 'failure' || k === 'by' ? name : `${k} ${name}`) : `${k} ${v}`;
    });
    return parts.join(', ');
}

/* Those of a service, or all, within a time. */
export function eventsIn(events, from, to, service) {
    return (events || []).filter((e) => e.at >= from && e.at <= to && (!service || e.service === service));
}
