#!/usr/bin/env python3
"""Plants the defects of defects.txt in a copy of the sources.

    defects.py SOURCE COPY    copies the sources of the library to COPY, with each defect behind a switch, and core/defect.[ch]
    defects.py --list         prints a line for each defect: name, the tests that must notice it, what is wrong

A file of the copy is written only if it differs, so that a build makes anew what has changed.
"""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ('core', 'shm', 'registry', 'agents')


class Broken(Exception):
    pass


def read(path):
    """[(name, what is wrong, tests, [(file, old, new)])]"""
    defects, file, old, new = [], None, [], []

    def place(number):
        nonlocal old, new
        if old or new:
            if not (old and new and defects and file):
                raise Broken(f'{path}:{number}: a place has lines with - and with +, and a file')
            defects[-1][3].append((file, '\n'.join(old), '\n'.join(new)))
        old, new = [], []

    with open(path, encoding='utf-8') as f:
        lines = f.read().split('\n') + ['']
    for number, line in enumerate(lines, 1):
        if new and not line.startswith('+'):
            place(number)
        if line == '' or line.startswith('#'):
            continue
        head = re.fullmatch(r'([a-z_]+): (.+)', line)
        if head:
            defects.append((head[1], head[2], [], []))
            file = None
        elif line.startswith('by '):
            defects[-1][2].extend(line.split()[1:])
        elif line.startswith('in '):
            file = line[3:].strip()
        elif line.startswith('- '):
            old.append(line[2:])
        elif line.startswith('+ '):
            new.append(line[2:])
        else:
            raise Broken(f'{path}:{number}: {line}')
    for name, _, tests, places in defects:
        if not tests or not places:
            raise Broken(f'{name}: no test, or no place')
        for test in tests:
            if test.startswith('unit.') and '/' not in test:
                raise Broken(f'{name}: {test} is a program; expected {test}/TEST')
    return defects


def planted(text, places):
    """The text with all of [(name, old, new)] in it."""
    spans = []
    for name, old, new in places:
        found = list(re.finditer(r'\s+'.join(re.escape(word) for word in old.split()), text))
        if len(found) != 1:
            raise Broken(f'{name}: found {len(found)} times, and not once: {old.strip()}')
        spans.append((found[0].start(), found[0].end(), re.sub(r'\bDEFECT\b', f'AP_DEFECT({name})', new), name))
    spans.sort(reverse=True)
    for later, earlier in zip(spans, spans[1:]):
        if earlier[1] > later[0]:
            raise Broken(f'{later[3]} and {earlier[3]} stand at one place')
    for start, end, new, _ in spans:
        text = text[:start] + new + text[end:]
    return '#include "core/defect.h"\n#line 1\n' + text


def header(defects):
    names = ''.join(f', AP_DEFECT_{name}' for name, _, _, _ in defects)
    return f'''#ifndef AP_DEFECT_H
#define AP_DEFECT_H
enum ap_defect_name {{AP_DEFECT_none{names}}};
extern unsigned ap_defect;
extern const char *const ap_defect_names[];
#define AP_DEFECT(name) __builtin_expect(ap_defect == AP_DEFECT_##name, 0)
#endif
'''


def code(defects):
    names = ''.join(f'"{name}", ' for name, _, _, _ in defects)
    return f'''#include "core/defect.h"
unsigned ap_defect;
const char *const ap_defect_names[] = {{"", {names}(const char *)0}};
'''


def write(path, text):
    try:
        with open(path, encoding='utf-8') as f:
            if f.read() == text:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def copy(source, to, defects):
    places = {}
    for name, _, _, where in defects:
        for file, old, new in where:
            places.setdefault(file, []).append((name, old, new))
    kept = {os.path.join(to, 'core/defect.h'), os.path.join(to, 'core/defect.c')}
    for folder in FOLDERS:
        for at, _, files in os.walk(os.path.join(source, folder)):
            for name in files:
                if not name.endswith(('.c', '.h', '.def')):
                    continue
                file = os.path.relpath(os.path.join(at, name), source)
                with open(os.path.join(source, file), encoding='utf-8') as f:
                    text = f.read()
                if file in places:
                    try:
                        text = planted(text, places.pop(file))
                    except Broken as e:
                        raise Broken(f'{file}: {e}') from None
                write(os.path.join(to, file), text)
                kept.add(os.path.join(to, file))
    if places:
        raise Broken(f'no such file: {" ".join(places)}')
    write(os.path.join(to, 'core/defect.h'), header(defects))
    write(os.path.join(to, 'core/defect.c'), code(defects))
    for at, _, files in os.walk(to):  # a header that the sources have no more is not found here either
        for name in files:
            if os.path.join(at, name) not in kept:
                os.unlink(os.path.join(at, name))


def main():
    path = os.path.join(HERE, 'defects.txt')
    try:
        defects = read(path)
        if sys.argv[1:] == ['--list']:
            for name, text, tests, _ in defects:
                print(name, ' '.join(tests), text, sep='\t')
        elif len(sys.argv) == 3:
            copy(sys.argv[1], sys.argv[2], defects)
        else:
            sys.exit(__doc__)
    except Broken as e:
        sys.exit(f'tests/crash/defects.txt: {e}')


main()
