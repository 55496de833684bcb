#!/usr/bin/env node
// An agent in JavaScript that stays: exec with `persistent`, apiary-exec(7). Nothing but Node itself.
'use strict';

function write(head, body = Buffer.alloc(0)) {
  const text = Buffer.from(JSON.stringify(head));
  process.stdout.write(Buffer.concat([Buffer.from(`${text.length} ${body.length}\n`), text, body]));
}

const handlers = {
  async upper(task, body) {
    return Buffer.from(body.toString().toUpperCase());
  },
  // Each word is a part of the result, told before the next one is looked for.
  async words(task, body) {
    const found = body.toString().split(/\s+/).filter((word) => word !== '');
    for (const [i, word] of found.entries()) {
      write({ type: 'part', id: task.id }, Buffer.from(word + '\n'));
      write({ type: 'beat', id: task.id }, Buffer.from(`${i + 1} of ${found.length} words`));
    }
    return Buffer.alloc(0);
  },
  async refuse(task, body) {
    write({ type: 'log', level: 4 }, Buffer.from('a task is refused'));
    throw new Error(body.toString());
  },
};

async function run(task, body) {
  try {
    const handler = handlers[task.capability.split('@')[0]];
    write({ type: 'result', id: task.id }, await handler(task, body));
  } catch (why) {
    write({ type: 'fail', id: task.id, code: 1 }, Buffer.from(String(why)));
  }
}

let got = Buffer.alloc(0);

// The first whole message of what was read, taken out of it; null: more is needed.
function take() {
  const end = got.indexOf(10);
  if (end < 0) return null;
  const [headSize, bodySize] = got.subarray(0, end).toString().split(' ').map(Number);
  const body = end + 1 + headSize;
  if (got.length < body + bodySize) return null;
  const message = [JSON.parse(got.subarray(end + 1, body)), Buffer.from(got.subarray(body, body + bodySize))];
  got = got.subarray(body + bodySize);
  return message;
}

process.stdin.on('data', (chunk) => {
  got = Buffer.concat([got, chunk]);
  for (let message = take(); message !== null; message = take()) {
    const [head, body] = message;
    if (head.type === 'hello') write({ type: 'hello', protocol: 1 });
    else if (head.type === 'task') run(head, body);
  }
});
