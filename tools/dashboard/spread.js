/* spread.js - histograms of times as the segment has them (shm/times.h): each power of two in eight buckets, from 1,024 ns to 2^42 ns.
 *
 * Here a histogram is sparse: {count, sum, at: [bucket...], n: [tasks...]}, buckets in rising order. It is never changed, so two
 * samples between which nothing has ended share one.
 */

export const BUCKETS = 258;
export const EMPTY = {count: 0, sum: 0, at: [], n: []};

export function lower(bucket) {
    if (bucket <= 0) return 0;
    return (8 + (bucket - 1) % 8) * 2 ** (7 + Math.floor((bucket - 1) / 8));
}
export const upper = (bucket) => lower(bucket + 1);

export function bucketOf(ns) {
    if (ns < 1024) return 0;
    if (ns >= 2 ** 42) return BUCKETS - 1;
    const power = Math.floor(Math.log2(ns));
    return (power - 10) * 8 + Math.floor(ns / 2 ** (power - 3)) - 7;
}

export function fromPairs(pairs, sum) {
    const at = [], n = [];
    let count = 0;
    for (const [bucket, tasks] of pairs) {
        at.push(bucket);
        n.push(tasks);
        count += tasks;
    }
    return {count, sum: sum || 0, at, n};
}

function combine(a, b, sign) {
    const at = [], n = [];
    let count = 0;
    for (let i = 0, k = 0; i < a.at.length || k < b.at.length;) {
        const left = i < a.at.length ? a.at[i] : Infinity, right = k < b.at.length ? b.at[k] : Infinity;
        const bucket = Math.min(left, right);
        let tasks = 0;
        if (left === bucket) tasks += a.n[i++];
        if (right === bucket) {
            /* Less than before: it has begun anew, and all of it has come since. */
            tasks = sign < 0 && b.n[k] > tasks ? tasks : tasks + sign * b.n[k];
            k++;
        }
        if (tasks > 0) {
            at.push(bucket);
            n.push(tasks);
            count += tasks;
        }
    }
    return {count, sum: Math.max(0, a.sum + sign * b.sum), at, n};
}

export const plus = (a, b) => (a.count === 0 ? b : b.count === 0 ? a : combine(a, b, 1));
export const since = (now, before) => (now === before ? EMPTY : before.count === 0 ? now : combine(now, before, -1));

/* The time that a part q of the tasks do not exceed: the point of its bucket as far from both edges, relative to them. null: none. */
export function quantile(spread, q) {
    if (!spread || spread.count === 0) return null;
    const rank = Math.max(1, Math.ceil(q * spread.count - 1e-9));
    let seen = 0;
    for (let i = 0; i < spread.at.length; i++) {
        seen += spread.n[i];
        if (seen < rank) continue;
        const low = lower(spread.at[i]), high = upper(spread.at[i]);
        return low === 0 ? high / 2 : 2 * low * high / (low + high);
    }
    return lower(BUCKETS - 1);
}
