#!/usr/bin/env ruby
# An agent in Ruby that stays: exec with `persistent`, apiary-exec(7). Nothing but the standard library.
require 'json'

$stdin.binmode
$stdout.binmode

def write(head, body = '')
  text = head.to_json.b
  $stdout.write("#{text.bytesize} #{body.bytesize}\n", text, body.b)
  $stdout.flush
end

# Each word is a part of the result, told before the next one is looked for.
def words(task, body)
  found = body.split
  found.each.with_index(1) do |word, done|
    write({ type: 'part', id: task['id'] }, "#{word}\n")
    write({ type: 'beat', id: task['id'] }, "#{done} of #{found.size} words")
  end
  ''
end

def refuse(_task, body)
  write({ type: 'log', level: 4 }, 'a task is refused')
  raise body
end

HANDLERS = { 'upper' => ->(_task, body) { body.upcase }, 'words' => method(:words), 'refuse' => method(:refuse) }.freeze

def run(task, body)
  write({ type: 'result', id: task['id'] }, HANDLERS.fetch(task['capability'].split('@').first).call(task, body))
rescue StandardError => e # whatever a handler raises is the reason of a failure, and not the end of the process
  write({ type: 'fail', id: task['id'], code: 1 }, "#{e.class}: #{e.message}")
end

while (line = $stdin.gets)
  head_size, body_size = line.split.map(&:to_i)
  head = JSON.parse($stdin.read(head_size))
  body = $stdin.read(body_size) || ''
  case head['type']
  when 'hello' then write({ type: 'hello', protocol: 1 })
  when 'task' then run(head, body)
  end
end
