# SPDX-License-Identifier: Apache-2.0
"""A licence line in every source, no notes to self, and sizes that fit in a
head: functions of at most 70 lines, sources of at most 600.
"""
import re

from source import CODE_SUFFIXES, Finding

LICENCE = "SPDX-License-" + "Identifier: Apache-2.0"
NOTES = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) +
                   r")\b")
FUNCTION_LINES = 70
SOURCE_LINES = 600
SIGNATURE = re.compile(r"(\w+)\s*\([^;{}]*\)\s*\Z", re.S)


def check_licence(sources):
    for source in sources:
        name = source.path.rsplit("/", 1)[-1]
        if not name.endswith(CODE_SUFFIXES) and "." in name:
            continue
        head = source.text.split("\n", 3)[:3]
        if source.text and not any(LICENCE in line for line in head):
            yield Finding("spdx", source.path, 1,
                          "the first lines lack " + LICENCE)


def check_notes(sources):
    for source in sources:
        for match in NOTES.finditer(source.text):
            yield Finding("notes", source.path, source.line_of(match.start()),
                          "%s: do it, or say in docs/ what is missing"
                          % match.group(1), match.group(1))


def functions(source):
    """Yield (name, line, number of lines) of each function definition."""
    start = 0
    for match in re.finditer(r"^\{.*?^\}", source.code, re.M | re.S):
        before = source.code[start:match.start()]
        start = match.end()
        signature = SIGNATURE.search(before)
        if signature:
            lines = match.group(0).count("\n") + 1
            name = re.findall(r"(\w+)\s*\(", before[before.rfind(";") + 1:])
            yield (name[0] if name else "?",
                   source.line_of(match.start()), lines)


def check_sizes(sources):
    for source in sources:
        if not source.is_c:
            continue
        lines = source.text.count("\n")
        if lines > SOURCE_LINES:
            yield Finding("size", source.path, lines,
                          "%d lines, %d at most" % (lines, SOURCE_LINES))
        for name, line, length in functions(source):
            if length > FUNCTION_LINES:
                yield Finding("size", source.path, line,
                              "%s() has %d lines, %d at most"
                              % (name, length, FUNCTION_LINES), name)
