# SPDX-License-Identifier: Apache-2.0
"""Every atomic says its order, who it pairs with and why.

The label is a comment in the statement's line, or between the statement and
the one before it:

    /* lane.W1 release, pairs lane.R1: bytes before head. */
    /* lane.C1 relaxed: a counter, nothing is published by it. */

Only a relaxed access may stand alone. Every partner exists and names the
label back, and the tables of docs/MEMORY_MODEL.md (first two columns) list
the same pairs as the code: no more and no fewer. Tests are exempt.
"""
import re

from source import Finding

MODEL = "docs/MEMORY_MODEL.md"
NAME = r"[a-z][a-z0-9_]*\.[A-Z]+\d+"
LABEL = re.compile(r"(?<![\w.])(" + NAME + r")\s+(relaxed|consume|acquire|"
                   r"release|acq_rel|seq_cst)\b(?:,\s*pairs\s+(" + NAME +
                   r"(?:(?:,\s*|\s+and\s+|\s+)" + NAME + r")*))?\s*:\s*(\S)?")
EXPLICIT = re.compile(r"\b(__atomic_(?!always|is_lock)\w+|"
                      r"atomic_\w+_explicit|"
                      r"atomic_(?:thread|signal)_fence)\s*\(")
IMPLICIT = re.compile(r"\b(atomic_(?:load|store|exchange|"
                      r"compare_exchange_(?:weak|strong)|"
                      r"fetch_(?:add|sub|or|and|xor)|"
                      r"flag_(?:test_and_set|clear))|__sync_\w+)\s*\(")
# A field or variable of an atomic type, and a plain one. A plain assignment to
# the first is a seq_cst store that nobody sees in the text.
ATOMIC_FIELD = re.compile(r"\b(?:_Atomic\b(?:\s*\([^)]*\))?|"
                          r"atomic_(?:bool|u?int\w*|u?l?long|u?char|flag|"
                          r"size_t|ptrdiff_t)\b)"
                          r"[\w\s*]*?\b(\w+)\s*(?:\[[^\]]*\]\s*)?[;,=]")
PLAIN_FIELD = re.compile(r"\b(?:u?int\d*_t|u?int|bool|long|char|size_t|"
                         r"unsigned|struct\s+\w+)\s+\**(\w+)\s*[;,=\[)]")
HIDDEN_WRITE = (r"(?:\b|(?<=\.)|(?<=>))(%s)\b(?:\s*\[[^\]]*\])?\s*"
                r"(?:\+\+|--|[-+|&^]?=(?!=))")
ORDER = re.compile(r"\b(?:memory_order_|__ATOMIC_)(relaxed|consume|acquire|"
                   r"release|acq_rel|seq_cst|RELAXED|CONSUME|ACQUIRE|RELEASE|"
                   r"ACQ_REL|SEQ_CST)\b")


class Label:
    """One label as the code gives it."""

    def __init__(self, source, comment, match):
        self.path = source.path
        self.line = source.line_of(comment.start)
        self.name = match.group(1)
        self.order = match.group(2)
        self.pairs = set(re.findall(NAME, match.group(3) or ""))
        self.reasoned = bool(match.group(4))


def statement_bounds(code):
    """Offsets of the delimiters between statements, in order.

    A semicolon within parentheses is the head of a `for` and ends nothing.
    """
    bounds = [0]
    stack = []
    for match in re.finditer(r"[(){};]|\n#[^\n]*", code):
        token = match.group(0)
        if token.startswith("\n"):
            bounds.append(match.end())
        elif token in "({":
            stack.append(token)
            if token == "{":
                bounds.append(match.end())
        elif token in ")}":
            if stack:
                stack.pop()
            if token == "}":
                bounds.append(match.end())
        elif not stack or stack[-1] == "{":
            bounds.append(match.end())
    bounds.append(len(code))
    return bounds


def comments_for(source, bounds, offset):
    """The comments that belong to the statement around offset."""
    start = max(b for b in bounds if b <= offset)
    ends = [b for b in bounds if b > offset]
    end = min(ends) if ends else len(source.text)
    line_end = source.text.find("\n", end)
    end = len(source.text) if line_end < 0 else line_end
    # What trails the previous statement on its own line belongs to it.
    first_line_end = source.text.find("\n", start)
    own_line = source.text.rfind("\n", 0, offset) < start
    for comment in source.comments:
        if comment.start < start or comment.start > end:
            continue
        if not own_line and comment.start < first_line_end:
            continue
        yield comment


def call_text(code, start):
    """The text from a call's name to its closing parenthesis."""
    depth = 0
    for i in range(code.index("(", start), len(code)):
        if code[i] == "(":
            depth += 1
        elif code[i] == ")":
            depth -= 1
            if depth == 0:
                return code[start:i + 1]
    return code[start:]


def check_use(source, bounds, match):
    line = source.line_of(match.start())
    labels = [m for c in comments_for(source, bounds, match.start())
              for m in LABEL.finditer(c.text)]
    if not labels:
        yield Finding("atomics", source.path, line,
                      "%s has no label such as /* lane.W1 release, pairs "
                      "lane.R1: why. */" % match.group(1), match.group(1))
        return
    orders = {o.lower() for o in
              ORDER.findall(call_text(source.code, match.start()))}
    said = {m.group(2) for m in labels}
    if orders and not orders & said:
        yield Finding("atomics", source.path, line,
                      "the code says %s, the label %s"
                      % ("/".join(sorted(orders)), "/".join(sorted(said))),
                      match.group(1))


def hidden_names(sources):
    """Names that are only ever declared with an atomic type."""
    atomic, plain = set(), set()
    for source in sources:
        if source.is_c and not source.path.startswith("tests/"):
            atomic.update(ATOMIC_FIELD.findall(source.code))
            without = ATOMIC_FIELD.sub(";", source.code)
            plain.update(PLAIN_FIELD.findall(without))
    return atomic - plain


def check_hidden(source, names):
    if not names:
        return
    code = ATOMIC_FIELD.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                            source.code)
    pattern = re.compile(HIDDEN_WRITE % "|".join(sorted(names)))
    for match in pattern.finditer(code):
        yield Finding("atomics", source.path, source.line_of(match.start()),
                      "writing %s plainly is a seq_cst store; use the "
                      "_explicit form" % match.group(1), match.group(1))


def gather(source):
    """Every label in a file's comments."""
    for comment in source.comments:
        for match in LABEL.finditer(comment.text):
            yield Label(source, comment, match)


def check_label(label, known):
    if not label.reasoned:
        yield Finding("atomics", label.path, label.line,
                      "%s gives no reason after the colon" % label.name)
    if label.order != "relaxed" and not label.pairs:
        yield Finding("atomics", label.path, label.line,
                      "%s %s pairs with nobody" % (label.name, label.order))
    for partner in sorted(label.pairs):
        if partner not in known:
            yield Finding("atomics", label.path, label.line,
                          "%s pairs %s, which no atomic carries"
                          % (label.name, partner))
        elif not any(label.name in other.pairs for other in known[partner]):
            yield Finding("atomics", label.path, label.line,
                          "%s pairs %s, which does not name it back"
                          % (label.name, partner))


def table_pairs(model):
    """The pairs in the tables, as {frozenset: line}."""
    pairs = {}
    for number, row in enumerate(model.text.split("\n"), 1):
        cells = row.split("|")
        if not row.startswith("|") or len(cells) < 4:
            continue
        for left in re.findall(NAME, cells[1]):
            for right in re.findall(NAME, cells[2]):
                pairs[frozenset((left, right))] = number
    return pairs


def check_table(labels, model):
    listed = table_pairs(model)
    used = {}
    for label in labels:
        for partner in label.pairs:
            used.setdefault(frozenset((label.name, partner)), label)
    for pair in sorted(used.keys() - listed.keys(), key=sorted):
        label = used[pair]
        yield Finding("atomics", label.path, label.line,
                      "%s does not list the pair %s"
                      % (MODEL, " | ".join(sorted(pair))))
    for pair in sorted(listed.keys() - used.keys(), key=sorted):
        yield Finding("atomics", MODEL, listed[pair],
                      "no code carries the pair %s"
                      % " | ".join(sorted(pair)))


def check(sources):
    labels = []
    model = None
    names = hidden_names(sources)
    for source in sources:
        if source.path == MODEL:
            model = source
        if not source.is_c or source.path.startswith("tests/"):
            continue
        for match in IMPLICIT.finditer(source.code):
            yield Finding("atomics", source.path,
                          source.line_of(match.start()),
                          "%s leaves its order to the default; use the "
                          "_explicit form" % match.group(1), match.group(1))
        yield from check_hidden(source, names)
        uses = list(EXPLICIT.finditer(source.code))
        if uses:
            bounds = statement_bounds(source.code)
            for match in uses:
                yield from check_use(source, bounds, match)
        labels.extend(gather(source))
    known = {}
    for label in labels:
        known.setdefault(label.name, []).append(label)
    for label in labels:
        yield from check_label(label, known)
    if model is not None:
        yield from check_table(labels, model)
    elif labels:
        yield Finding("atomics", MODEL, 1, "the table of pairs is missing")
