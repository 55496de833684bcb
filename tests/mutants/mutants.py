#!/usr/bin/env python3
"""Changes the library in many small ways, one at a time, and runs the tests on each: which would nobody notice?

    mutants.py [--count N] [--seed S] [--files REGEX] [--jobs J] [--work DIR] [--only NUMBER...] [--tests REGEX] [--listed] [--dry | --stale]

One build holds all changes (sites.py); APIARY_MUTANT selects one. First each test runs once without a change and tells which it
reaches; then each change meets the tests that reach it, the quickest first, until one fails. A failure counts when it comes a
second time, too; so does a test that takes ten times as long as before. The tests are the units, the process tests, the fuzz
replays and the crash sweep of a release build. Each test has a process namespace, a /dev/shm and a /tmp of its own where the
machine allows it, so that a change which leaves processes behind spoils nothing for the next.

listed.txt has changes that are always among them, explained.txt those that change nothing for anybody, with the reason. A row of
either that names nothing in the sources is an error; --stale prints those rows and leaves.
The table goes to DIR/report.txt; exit 0 when every survivor is explained.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import sites  # noqa: E402

SOURCE = os.environ.get('APIARY_SOURCE') or os.path.dirname(os.path.dirname(HERE))
FILES = r'^(shm|registry(/[^/]*)?|agents/(runtime|deployment))/[^/]*\.[ch]$'
TESTS = r'^(unit|process|fuzz)\.|^crash\.sweep$'
NOT = r'^process\.perf_'  # counts instructions
LONGER, AT_LEAST = 10, 20  # times as long as without a change, and never less than so many seconds

HEADER = '''#ifndef AP_MUTANT_H
#define AP_MUTANT_H
extern unsigned ap_mutant;
extern unsigned char *ap_mutants_seen;
static inline int ap_mutant_is(unsigned n)
{
    if (__builtin_expect(ap_mutants_seen != 0, 0)) ap_mutants_seen[n] = 1;
    return ap_mutant == n;
}
#define MUTANT(n) ap_mutant_is(n)
#endif
'''
CODE = '''#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
unsigned ap_mutant;
unsigned char *ap_mutants_seen;
__attribute__((constructor)) static void mutant_choose(void)
{
    const char *number = getenv("APIARY_MUTANT"), *seen = getenv("APIARY_MUTANTS_SEEN");
    if (number != NULL) ap_mutant = (unsigned)atoi(number);
    if (seen == NULL) return;
    int fd = open(seen, O_RDWR | O_CLOEXEC);
    void *at = fd >= 0 ? mmap(NULL, %d, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0) close(fd);
    if (at != MAP_FAILED) ap_mutants_seen = at;
}
'''


def say(*words):
    print(*words, flush=True)


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def rows_of(path, columns):
    """Lines `a | b | c`; a line that begins with '#' is a comment. The last column takes the rest."""
    ret = []
    for line in read(path).splitlines() if os.path.exists(path) else []:
        if line.strip() and not line.startswith('#'):
            row = [part.strip() for part in re.split(r' \| ', line, maxsplit=columns - 1)]
            if len(row) != columns:
                sys.exit('%s: not %d columns: %s' % (path, columns, line))
            ret.append(row)
    return ret


# ---- which changes

def all_sites(pattern):
    ret = []
    for layer in ('core', 'shm', 'registry', 'agents'):
        for folder, _, names in sorted(os.walk(os.path.join(SOURCE, layer))):
            for file in sorted(os.path.relpath(os.path.join(folder, name), SOURCE) for name in names):
                if re.match(pattern, file):
                    ret += sites.mutants_of(file, read(os.path.join(SOURCE, file)))
    return ret


def source_of(file):
    path = os.path.join(SOURCE, file)
    return read(path) if os.path.exists(path) else ''


def places_of(file, function, was):
    source = source_of(file)
    return [p for p in sites.Reader(source).read() if p.function == function and ' '.join(source[p.start:p.end].split()) == was]


def listed_sites():
    ret = []
    for file, function, was, form in rows_of(os.path.join(HERE, 'listed.txt'), 4):
        for place in places_of(file, function, was):
            ret.append(sites.Mutant(file, place, None if form == '-' else form, 'listed: ' + form, source_of(file)))
    return ret


def stale():
    """What is wrong with rows of the two lists, a line each."""
    ret, keys = [], {}
    for row in rows_of(os.path.join(HERE, 'listed.txt'), 4):
        found = len(places_of(*row[:3]))
        if found != 1:
            ret.append('listed.txt: %s has %d places in %s that read: %s' % (row[0], found, row[1], row[2]))
    for row in rows_of(os.path.join(HERE, 'explained.txt'), 5):
        if row[0] not in keys:
            keys[row[0]] = {m.key() for m in sites.mutants_of(row[0], source_of(row[0]))}
        if ' | '.join(row[:4]) not in keys[row[0]]:
            ret.append('explained.txt: %s has no change in %s of this kind: %s | %s' % tuple(row[:4]))
    return ret


def choose(options):
    chosen = listed_sites() if options.listed or options.count == 0 else []
    known = {m.key() for m in chosen}
    rest = [m for m in all_sites(options.files) if m.key() not in known]
    # by a hash of each, so that an edit elsewhere leaves the sample as it was
    rest.sort(key=lambda m: hashlib.sha256(('%d %s' % (options.seed, m.key())).encode()).digest())
    taken, used = [], set()
    for m in rest:  # one of each place: two changes of one line tell the same
        if len(taken) < options.count and (m.file, m.place.start) not in used:
            used.add((m.file, m.place.start))
            taken.append(m)
    chosen += sorted(taken, key=lambda m: (m.file, m.line))
    return chosen


# ---- the build

def copy_tree(work):
    tree = os.path.join(work, 'tree')
    os.makedirs(tree, exist_ok=True)
    for name in ('CMakeLists.txt', 'CMakePresets.json', 'LICENSE', 'README.md', 'CHANGELOG.md', 'cmake', 'core', 'shm', 'registry',
                 'agents', 'tools', 'perf', 'tests'):
        at = os.path.join(SOURCE, name)
        if os.path.isdir(at):
            shutil.copytree(at, os.path.join(tree, name), dirs_exist_ok=True)
        else:
            shutil.copy2(at, os.path.join(tree, name))
    return tree


def compiles(tree, build, file):
    """Whether a file, or for a header somebody who includes it, is C still."""
    unit = file if file.endswith('.c') else None
    for entry in json.loads(read(os.path.join(build, 'compile_commands.json'))):
        at = os.path.relpath(entry['file'], tree)
        if at == unit or (unit is None and re.match(FILES, at) and '#include "%s"' % file in read(entry['file'])):
            command = re.sub(r' -o \S+', ' -o /dev/null', entry['command']) + ' -fsyntax-only'
            return subprocess.run(command, shell=True, cwd=entry['directory'], capture_output=True).returncode == 0
    return True


def instrument(tree, build, mutants):
    """Writes the changed files; drops what is no C."""
    files, kept = {}, []
    for m in mutants:
        files.setdefault(m.file, []).append(m)
    for number, m in enumerate(mutants, 1):
        m.number = number
    for file, group in files.items():
        source, at = read(os.path.join(SOURCE, file)), os.path.join(tree, file)
        write(at, sites.with_mutants(source, group))
        if not compiles(tree, build, file):
            fit = []
            for m in group:
                write(at, sites.with_mutants(source, [m]))
                if compiles(tree, build, file):
                    fit.append(m)
                else:
                    say('no C: %s' % m.key())
            group = fit
            write(at, sites.with_mutants(source, group))
        kept += group
    return kept


def make(options, mutants):
    tree, build = copy_tree(options.work), os.path.join(options.work, 'build')
    write(os.path.join(tree, 'core', 'mutant.h'), HEADER)
    write(os.path.join(tree, 'core', 'mutant.c'), CODE % (len(mutants) + 1))
    log = os.path.join(options.work, 'build.log')
    with open(log, 'w', encoding='utf-8') as out:
        configure = ['cmake', '-S', tree, '-B', build, '-G', 'Ninja', '-DCMAKE_BUILD_TYPE=RelWithDebInfo', '-DAPIARY_TESTING=ON',
                     '-DCMAKE_C_FLAGS=-w -include %s/core/mutant.h' % tree]
        if subprocess.run(configure, stdout=out, stderr=out).returncode != 0:
            sys.exit('cmake failed: ' + log)
        kept = instrument(tree, build, mutants)
        if subprocess.run(['cmake', '--build', build], stdout=out, stderr=out).returncode != 0:
            sys.exit('the build failed: ' + log)
    return build, kept


# ---- the tests

class Test:
    def __init__(self, entry):
        properties = {p['name']: p['value'] for p in entry.get('properties', [])}
        self.name, self.command = entry['name'], entry['command']
        self.environment = dict(os.environ, **dict(e.split('=', 1) for e in properties.get('ENVIRONMENT', [])))
        self.folder = properties.get('WORKING_DIRECTORY')
        self.bad = re.compile('|'.join(properties.get('FAIL_REGULAR_EXPRESSION', [])) or '(?!)')
        self.skip = properties.get('SKIP_RETURN_CODE', 77)
        self.seconds = 0.0
        self.reaches = set()

    def run(self, number, seconds, seen=None):
        """'passed', 'skipped', 'failed' or 'too long'."""
        environment = dict(self.environment, APIARY_MUTANT=str(number), SWEEP_SEED='1')
        if seen is not None:
            environment['APIARY_MUTANTS_SEEN'] = seen
        p = subprocess.Popen(SHELL + self.command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            out = p.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate()
            return 'too long'
        if p.returncode == self.skip:
            return 'skipped'
        return 'failed' if p.returncode != 0 or self.bad.search(out.decode(errors='replace')) else 'passed'


def alone(work):
    """The words before a command that give it processes, shared memory and temporary files of its own, if the machine lets us.
    Criterion names its socket in /tmp after its process, and in each process namespace that is the same number."""
    shell = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'bash', '-c',
             'mount -t tmpfs -o size=4g,mode=1777 shm /dev/shm && mount --bind "$0" /mnt && mount -t tmpfs -o mode=1777 tmp /tmp && '
             'mkdir -p "$0" && mount --move /mnt "$0" && cd "$PWD" && "$@"; exit $?', os.path.abspath(work)]
    if shutil.which('unshare') and subprocess.run(shell + ['true'], capture_output=True, cwd=work).returncode == 0:
        return shell
    return []


SHELL = []


def tests_of(options, build, mutants):
    shown = subprocess.run(['ctest', '--test-dir', build, '--show-only=json-v1'], capture_output=True, check=True).stdout
    tests, seen = [], os.path.join(options.work, 'seen')
    for entry in json.loads(shown)['tests']:
        if not re.search(options.tests, entry['name']) or re.search(NOT, entry['name']):
            continue
        test = Test(entry)
        with open(seen, 'wb') as f:
            f.truncate(len(mutants) + 4096)
        began = time.monotonic()
        verdict = test.run(0, 900, seen)
        test.seconds = time.monotonic() - began
        if verdict != 'passed':
            say('%s is left out: %s without a change' % (test.name, verdict))
            continue
        with open(seen, 'rb') as f:
            test.reaches = {n for n, byte in enumerate(f.read()) if byte}
        tests.append(test)
    return sorted(tests, key=lambda t: t.seconds)


def judge(m, tests):
    """(verdict, by)."""
    reaching = [t for t in tests if m.number in t.reaches]
    if not reaching:
        return 'not reached', '-'
    for t in reaching:
        limit = max(AT_LEAST, LONGER * t.seconds)
        verdict = t.run(m.number, limit)
        if verdict == 'too long' or (verdict == 'failed' and t.run(m.number, limit) != 'passed'):
            return 'caught', t.name + (' (too long)' if verdict == 'too long' else '')
    return 'survived', '%d tests' % len(reaching)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--count', type=int, default=200)
    p.add_argument('--seed', type=int, default=None)
    p.add_argument('--files', default=FILES)
    p.add_argument('--jobs', type=int, default=os.cpu_count() or 1)
    p.add_argument('--work', default=os.path.join(os.environ.get('APIARY_BUILD', os.path.join(SOURCE, 'build')), 'mutants'))
    p.add_argument('--only', type=int, nargs='*')
    p.add_argument('--listed', action='store_true')
    p.add_argument('--tests', default=TESTS)
    p.add_argument('--dry', action='store_true', help='print the changes and leave')
    p.add_argument('--stale', action='store_true', help='look whether each row of the lists names something, and leave')
    options = p.parse_args()
    wrong = stale()
    if wrong or options.stale:
        say('\n'.join(wrong) or 'each row of listed.txt and explained.txt names something')
        return 2 if wrong else 0
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 30)
    mutants = choose(options)
    say('seed %d, %d changes' % (options.seed, len(mutants)))
    if options.dry:
        for m in mutants:
            say(m.key())
        return 0
    os.makedirs(options.work, exist_ok=True)
    SHELL.extend(alone(options.work))
    build, mutants = make(options, mutants)
    began = time.monotonic()
    tests = tests_of(options, build, mutants)
    say('%d tests, %.0f s without a change' % (len(tests), time.monotonic() - began))
    explained = {(f, g, was, what): why for f, g, was, what, why in rows_of(os.path.join(HERE, 'explained.txt'), 5)}
    wanted = [m for m in mutants if not options.only or m.number in options.only]
    counts, rows = {}, []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for m, (verdict, by) in zip(wanted, pool.map(lambda m: judge(m, tests), wanted)):
            why = explained.get((m.file, m.function, m.was, m.what))
            if verdict != 'caught' and why is not None:
                verdict, by = 'explained', why
            counts[verdict] = counts.get(verdict, 0) + 1
            rows.append('%4d %-11s %s:%d %s: %s: %s [%s]' % (m.number, verdict, m.file, m.line, m.function, m.was, m.what, by))
            say(rows[-1])
    total = ', '.join('%d %s' % (n, v) for v, n in sorted(counts.items()))
    say('seed %d: %d changes: %s; %.0f s' % (options.seed, len(rows), total, time.monotonic() - began))
    write(os.path.join(options.work, 'report.txt'), '\n'.join(rows) + '\n' + total + '\n')
    return 0 if counts.get('survived', 0) + counts.get('not reached', 0) == 0 else 1


if __name__ == '__main__':
    sys.exit(main())
