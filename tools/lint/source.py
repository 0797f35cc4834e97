# SPDX-License-Identifier: Apache-2.0
"""What every check needs to know about a file: its text, the same text with
comments and literals blanked (so that a word in a string is not code), and
its comments. Blanking keeps every offset and every line where it was.
"""
import os
import re

SKIPPED_DIRS = re.compile(r"^(\..*|build(-.*)?|demo-run|__pycache__|data|corpus|"
                          r"fixtures|samples?|third_party|node_modules)$")
KEPT_DIRS = {".ci"}
C_SUFFIXES = (".c", ".h", ".cc", ".cpp")
CODE_SUFFIXES = C_SUFFIXES + (".py", ".sh", ".js", ".css", ".html", ".proto")
TEXT_SUFFIXES = CODE_SUFFIXES + (".md", ".build", ".yaml", ".yml", ".txt",
                                 ".options", ".map", ".supp", ".service")

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'
                   r"'(?:\\.|[^'\\\n])*'", re.S)


class Finding:
    """One complaint: which check, where, what, and the symbol if any."""

    def __init__(self, check, path, line, text, symbol=None):
        self.check = check
        self.path = path
        self.line = line
        self.text = text
        self.symbol = symbol

    def __str__(self):
        return "%s:%d: [%s] %s" % (self.path, self.line, self.check,
                                   self.text)


class Comment:
    """A comment's place and its words without the decoration."""

    def __init__(self, start, end, raw):
        self.start = start
        self.end = end
        lines = raw.strip("/").strip("*").split("\n")
        self.text = " ".join(line.strip().lstrip("*").strip()
                             for line in lines).strip()


class Source:
    """A text file, with its path relative to the root (forward slashes)."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self._code = None
        self._comments = None

    @property
    def is_c(self):
        return self.path.endswith(C_SUFFIXES)

    def _split(self):
        comments = []

        def blank(match):
            token = match.group(0)
            if token.startswith("/"):
                comments.append(Comment(match.start(), match.end(), token))
                keep = ""
            else:
                keep = token[0]
            body = re.sub(r"[^\n]", " ", token)
            if keep:
                body = keep + body[1:-1] + keep
            return body

        self._code = TOKEN.sub(blank, self.text)
        self._comments = comments

    @property
    def code(self):
        if self._code is None:
            self._split()
        return self._code

    @property
    def comments(self):
        if self._comments is None:
            self._split()
        return self._comments

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1


def is_script(path):
    """A file without a suffix that starts with #! is a program too."""
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def load_tree(root):
    """Return every text file under root, sorted by path."""
    sources = []
    for folder, dirs, files in os.walk(root):
        dirs[:] = sorted(d for d in dirs
                         if d in KEPT_DIRS or not SKIPPED_DIRS.match(d))
        for name in sorted(files):
            path = os.path.join(folder, name)
            if os.path.islink(path):
                continue
            if not name.endswith(TEXT_SUFFIXES) and (
                    "." in name or not is_script(path)):
                continue
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            sources.append(Source(relative, text))
    return sources
