/* format.js - numbers as text, as the commands print them (tools/common/text.c): a value that is not known is "-". */

export const NONE = '-';

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

export function duration(ns) {
    if (!known(ns)) return NONE;
    if (ns < 1000) return `${Math.round(ns)} ns`;
    if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} us`;
    if (ns < 1e9) return `${(ns / 1e6).toFixed(2)} ms`;
    const s = Math.floor(ns / 1e9);
    if (s < 60) return `${(Math.floor(ns / 1e8) / 10).toFixed(1)} s`;
    if (s < 3600) return `${Math.floor(s / 60)}m ${s % 60}s`;
    if (s < 86400) return `${Math.floor(s / 3600)}h ${Math.floor(s % 3600 / 60)}m`;
    return `${Math.floor(s / 86400)}d ${Math.floor(s % 86400 / 3600)}h`;
}

/* A round time, at an axis: "100 us". */
export function roundDuration(ns) {
    if (ns < 1e6) return `${ns / 1e3} us`;
    if (ns < 1e9) return `${ns / 1e6} ms`;
    return `${Math.round(ns / 1e9)} s`;
}

export function bytes(value) {
    if (!known(value)) return NONE;
    const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
    let unit = 0;
    while (value >= 1024 && unit + 1 < units.length) {
        value /= 1024;
        unit++;
    }
    return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function count(value) {
    return known(value) ? Math.round(value).toLocaleString('en-US') : NONE;
}

/* Of tasks in a second. What is below 0.01 and not nothing is told as such. */
export function rate(value) {
    if (!known(value)) return NONE;
    if (value === 0) return '0';
    if (value < 0.01) return '<0.01';
    if (value < 10) return value.toFixed(2);
    if (value < 100) return value.toFixed(1);
    return count(value);
}

/* A part of a whole. Nothing of it was asked: "-". Never 100 % while something is missing, never 0 % while there is something. */
export function ratio(part, whole) {
    if (!known(part) || !known(whole) || whole <= 0) return NONE;
    if (part >= whole) return '100 %';
    if (part <= 0) return '0 %';
    const percent = part / whole * 100;
    if (percent < 0.01) return '<0.01 %';
    return `${(Math.floor(percent * 100) / 100).toFixed(percent < 10 || percent >= 99 ? 2 : 1)} %`;
}

/* A share of one processor, 1 being all of it. */
export function share(value) {
    if (!known(value)) return NONE;
    if (value > 0 && value < 0.0005) return '<0.1 %';
    return `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`;
}

const two = (n) => String(n).padStart(2, '0');

/* A time of day here, with the date where it is of another day. */
export function clock(ms, seconds = true) {
    if (!known(ms)) return NONE;
    const d = new Date(ms);
    const time = `${two(d.getHours())}:${two(d.getMinutes())}${seconds ? `:${two(d.getSeconds())}` : ''}`;
    if (d.toDateString() === new Date().toDateString()) return time;
    return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}`;
}

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
