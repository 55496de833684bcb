"""Where a source file can be changed, and the changed file that holds all chosen changes at once.

Each change is an expression or statement with a second form, chosen at run time by a number:

    if (a < b)          if ((MUTANT(7) ? (a <= b) : (a < b)))
    f(x);               (MUTANT(8) ? (void)0 : (void)(f(x)));

so one build carries them all, and a test that asks for a number runs that change and no other. MUTANT also notes that it was
asked, which tells the tests that reach a change from those that cannot notice it.

The reader of C here knows tokens, brackets and statements and nothing of types; what it does not understand it leaves alone.
"""
import re

TOKEN = re.compile(
    r'(?P<space>\s+|\\\n)|(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<text>"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\')'
    r'|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)'
    r'|(?P<sign><<=|>>=|\.\.\.|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^\w\s])', re.S)
OPEN, CLOSE = {'(': ')', '[': ']', '{': '}'}, {')', ']', '}'}
ASSIGNS = {'=', '+=', '-=', '*=', '/=', '%=', '&=', '|=', '^=', '<<=', '>>='}
KEYWORDS = {'return', 'break', 'continue', 'goto', 'case', 'default', 'else', 'do', 'if', 'while', 'for', 'switch', 'sizeof',
            'const', 'static', 'struct', 'enum', 'union', 'unsigned', 'int', 'char', 'void', 'long', 'bool', 'extern', '_Static_assert'}
# What changes nothing but speed, speaks to the compiler or leaves no code (fences of half an order: x86-64 has no instruction for
# them, tests/ORDERINGS.md and the models ask for them), or is a leak, which is for the address sanitizer's build to find.
HINTS = re.compile(r'\b(ap_prefetch_\w+|ap_pause|ap_slot_ahead_of_\w+|madvise|pthread_setname_np|va_start|va_end'
                   r'|ap_spin_\w+|free|offsetof|__attribute__|AP_WAY|AP_DEBUG_ASSERT|ap_fence_acquire|ap_fence_release)\b')
SWAPS = {'<': '<=', '<=': '<', '>': '>=', '>=': '>', '==': '!=', '!=': '==', '&&': '||', '||': '&&'}


class Token:
    __slots__ = ('kind', 'text', 'start', 'end')

    def __init__(self, kind, text, start, end):
        self.kind, self.text, self.start, self.end = kind, text, start, end


def tokens_of(source):
    """The tokens of a file without spaces, comments and lines of the preprocessor."""
    ret, at, fresh = [], 0, True
    while at < len(source):
        if fresh and source[at] == '#':
            while True:
                end = source.find('\n', at)
                end = len(source) if end < 0 else end
                more = source[end - 1] == '\\'
                at = end + 1
                if not more or at >= len(source):
                    break
            continue
        m = TOKEN.match(source, at)
        if m is None:
            raise ValueError('not understood: %r' % source[at:at + 20])
        kind = m.lastgroup
        if kind in ('space', 'comment'):
            fresh = fresh or '\n' in m.group()
        else:
            fresh = False
            ret.append(Token(kind, m.group(), m.start(), m.end()))
        at = m.end()
    return ret


def partner(tokens, i):
    """Index of the bracket that closes the one at i."""
    depth = 0
    for k in range(i, len(tokens)):
        if tokens[k].text in OPEN:
            depth += 1
        elif tokens[k].text in CLOSE:
            depth -= 1
            if depth == 0:
                return k
    raise ValueError('a bracket without its partner')


class Place:
    """A range of a file with the forms that may stand there instead."""

    def __init__(self, start, end, statement):
        self.start, self.end, self.statement = start, end, statement
        self.forms = []  # (text, what)


class Reader:
    def __init__(self, source):
        self.source, self.tokens, self.places = source, tokens_of(source), []
        self.function = ''
        self.functions = []  # (place index from, name)

    def text(self, i, k):
        return self.source[self.tokens[i].start:self.tokens[k - 1].end] if k > i else ''

    def replaced(self, i, k, at, new):
        t = self.tokens
        return self.source[t[i].start:t[at].start] + new + self.source[t[at].end:t[k - 1].end]

    def add(self, i, k, condition=False, statement=False, removable=False, loop=False):
        """Tokens i..k-1 are one expression, or an expression statement without its semicolon."""
        t = self.tokens
        body = self.text(i, k)
        if k <= i or '{' in body or HINTS.search(body) or '#' in body:
            return
        place = Place(t[i].start, t[k - 1].end, statement)
        place.function = self.function
        for n in range(i, k):
            s = t[n].text
            if s in SWAPS and i < n < k - 1:
                place.forms.append((self.replaced(i, k, n, SWAPS[s]), "'%s' is '%s'" % (s, SWAPS[s])))
            if s in ('+', '-') and n + 1 < k and t[n + 1].text == '1' and n > i and t[n - 1].kind != 'sign' or \
                    s in ('+', '-') and n + 1 < k and t[n + 1].text == '1' and n > i and t[n - 1].text in (')', ']'):
                place.forms.append((self.source[t[i].start:t[n].start] + self.source[t[n + 1].end:t[k - 1].end],
                                    "without '%s 1'" % s))
            if s == '!' and n + 1 < k and t[n + 1].text != '=':
                place.forms.append((self.replaced(i, k, n, ' '), "without '!'"))
            if s == '~' and n + 1 < k:
                place.forms.append((self.replaced(i, k, n, ' '), "without '~'"))
            if t[n].kind == 'number' and s not in ('0', '1') and n > i and t[n - 1].text in ('<', '<=', '>', '>=', '==', '+', '*', '/'):
                place.forms.append((self.replaced(i, k, n, '(%s + 1)' % s), '%s is one more' % s))
        if condition:
            place.forms.append(('0', 'never'))
            if not loop:
                place.forms.append(('1', 'always'))
        if removable:
            place.forms.append((None, 'left out'))
        if place.forms:
            self.places.append(place)

    def end_of(self, i, stops):
        """The first token at this depth from i on that is one of stops."""
        t = self.tokens
        while t[i].text not in stops:
            i = partner(t, i) + 1 if t[i].text in OPEN else i + 1
        return i

    def declaration(self, i, end):
        """Tokens i..end-1 of a statement that declares something with a value: each value is an expression."""
        t, k = self.tokens, i
        while k < end:
            if t[k].text in OPEN:
                k = partner(t, k) + 1
            elif t[k].text == '=':
                stop = self.end_of(k + 1, (',', ';'))
                self.add(k + 1, stop)
                k = stop
            else:
                k += 1

    def simple(self, i, end):
        t = self.tokens
        first = t[i]
        if first.text == 'return':
            self.add(i + 1, end)
        elif first.text in ('break', 'continue', 'goto', 'case', 'default', 'static', 'extern', '_Static_assert'):
            pass
        elif first.kind != 'name' and first.text not in ('*', '(', '++', '--'):
            pass
        elif first.text in KEYWORDS or self.declares(i, end):
            self.declaration(i, end)
        else:
            self.add(i, end, statement=True, removable=not self.text(i, end).startswith('(void)') or '(' in self.text(i + 3, end))

    def declares(self, i, end):
        t = self.tokens
        if t[i].kind != 'name' or i + 1 >= end:
            return False
        k = i + 1
        while k < end and t[k].text == '*':
            k += 1
        return k < end and t[k].kind == 'name' and (k > i + 1 or t[i + 1].kind == 'name')

    def statement(self, i):
        """Reads the statement at i; returns the index after it."""
        t = self.tokens
        s = t[i].text
        if s == '{':
            end = partner(t, i)
            k = i + 1
            while k < end:
                k = self.statement(k)
            return end + 1
        if s in ('if', 'while', 'switch'):
            close = partner(t, i + 1)
            if s != 'switch':
                self.add(i + 2, close, condition=True, loop=s == 'while')
            k = self.statement(close + 1) if t[close + 1].text != ';' else close + 2
            if s == 'if' and k < len(t) and t[k].text == 'else':
                k = self.statement(k + 1)
            return k
        if s == 'for':
            close = partner(t, i + 1)
            first = self.end_of(i + 2, (';',))
            second = self.end_of(first + 1, (';',))
            self.declaration(i + 2, first)
            self.add(first + 1, second)
            return self.statement(close + 1) if t[close + 1].text != ';' else close + 2
        if s == 'do':
            k = self.statement(i + 1)
            close = partner(t, k + 1)
            if self.text(k + 2, close) not in ('0', '1'):
                self.add(k + 2, close, condition=False)
            return close + 2
        if s in ('case', 'default'):
            return self.end_of(i, (':',)) + 1
        if t[i].kind == 'name' and t[i + 1].text == ':' and s not in KEYWORDS:
            return i + 2
        end = self.end_of(i, (';',))
        if end > i:
            self.simple(i, end)
        return end + 1

    def read(self):
        """Function bodies at the top level: `) {`."""
        t, i = self.tokens, 0
        while i < len(t):
            if t[i].text == '(':
                close = partner(t, i)
                if close + 1 < len(t) and t[close + 1].text == '{' and t[i - 1].kind == 'name':
                    self.function = t[i - 1].text
                    i = self.statement(close + 1)
                    continue
                i = close + 1
            elif t[i].text == '{':
                i = partner(t, i) + 1
            else:
                i += 1
        return self.places


class Mutant:
    def __init__(self, file, place, form, what, source):
        self.file, self.place, self.form, self.what = file, place, form, what
        self.line = source.count('\n', 0, place.start) + 1
        self.function = place.function
        self.was = ' '.join(source[place.start:place.end].split()).replace(' | ', '|')  # which separates columns in the lists
        self.number = 0

    def key(self):
        """What a list can name it by: no line numbers, which change."""
        return '%s | %s | %s | %s' % (self.file, self.function, self.was, self.what)


def mutants_of(file, source):
    ret = []
    for place in Reader(source).read():
        for form, what in place.forms:
            ret.append(Mutant(file, place, form, what, source))
    return ret


def with_mutants(source, mutants):
    """The file with all of these (numbered) in it."""
    places = {}
    for m in mutants:
        places.setdefault((m.place.start, m.place.end), []).append(m)
    out, at = [], 0
    for (start, end), group in sorted(places.items()):
        if start < at:
            raise ValueError('places overlap')
        was = source[start:end]
        text = ''
        for m in group:
            form = m.form
            if group[0].place.statement:
                form = '(void)0' if form is None else '(void)(%s)' % form
            else:
                form = '(%s)' % form
            text += 'MUTANT(%d) ? %s : ' % (m.number, form)
        text = '(%s%s(%s))' % (text, '(void)' if group[0].place.statement else '', was)
        out += [source[at:start], text]
        at = end
    out.append(source[at:])
    return ''.join(out)
