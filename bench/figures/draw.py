# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG text: lines and points over linear or logarithmic axes."""
import math
from html import escape

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 14, 52
COLOURS = ["#1b6ca8", "#d1495b", "#2e8540", "#b7791f", "#6b4fa0", "#4a5568",
           "#0d9488", "#be185d"]


def short(value):
    """1500 -> 1.5k."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return "%.3g%s" % (value / scale, unit)
    return "%.3g" % value


class Axis:
    """Values to positions."""

    def __init__(self, values, log, low, high, start, end):
        values = [v for v in values if not log or v > 0] or [1]
        self.log = log
        self.low = min(values) if low is None else low
        self.high = max(values) if high is None else high
        if log:
            self.low = 10 ** math.floor(math.log10(self.low) + 1e-9)
            self.high = 10 ** math.ceil(math.log10(self.high) - 1e-9)
        if self.high <= self.low:
            self.high = self.low * 10 if log else self.low + 1
        self.start, self.end = start, end

    def place(self, value):
        if self.log:
            value = max(value, self.low)
            share = (math.log10(value / self.low) /
                     math.log10(self.high / self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        share = min(max(share, -0.02), 1.02)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        if self.log:
            decade = round(math.log10(self.low))
            last = round(math.log10(self.high))
            step = max(1, (last - decade + 5) // 6)
            return [10 ** d for d in range(decade, last + 1, step)]
        rough = (self.high - self.low) / 5
        base = 10 ** math.floor(math.log10(rough))
        step = min((m * base for m in (1, 2, 2.5, 5, 10)),
                   key=lambda s: abs(s - rough))
        first = math.ceil(self.low / step - 1e-9)
        ticks = []
        while first * step <= self.high * (1 + 1e-9):
            ticks.append(first * step)
            first += 1
        return ticks


def frame(x, y, x_name, y_name):
    parts = []
    for tick in x.ticks():
        at = x.place(tick)
        parts.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="g"/>'
                     % (at, TOP, at, HEIGHT - BOTTOM))
        parts.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>'
                     % (at, HEIGHT - BOTTOM + 16, short(tick)))
    for tick in y.ticks():
        at = y.place(tick)
        parts.append('<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" class="g"/>'
                     % (LEFT, at, WIDTH - RIGHT, at))
        parts.append('<text x="%d" y="%.1f" text-anchor="end">%s</text>'
                     % (LEFT - 6, at + 4, short(tick)))
    parts.append('<text x="%d" y="%d" text-anchor="middle" class="n">%s</text>'
                 % ((LEFT + WIDTH - RIGHT) // 2, HEIGHT - BOTTOM + 36,
                    escape(x_name)))
    parts.append('<text transform="translate(16 %d) rotate(-90)" '
                 'text-anchor="middle" class="n">%s</text>'
                 % ((TOP + HEIGHT - BOTTOM) // 2, escape(y_name)))
    return parts


def series_svg(one, colour, x, y):
    points = [(x.place(p[0]), y.place(p[1])) for p in one["points"]]
    bad = [len(p) > 2 and p[2] for p in one["points"]]
    kind = one.get("kind", "line")
    width = one.get("width", 2)
    parts = []
    if kind == "line" and len(points) > 1:
        parts.append('<polyline points="%s" fill="none" stroke="%s" '
                     'stroke-width="%g"%s/>' % (
                         " ".join("%.1f,%.1f" % p for p in points), colour,
                         width, ' stroke-dasharray="5 4"' if one.get("paper")
                         else ' opacity="0.45"' if width > 3 else ""))
    radius = one.get("radius", 3.2 + max(0, width - 2) * 0.6)
    shown = kind != "line" or len(points) < 60
    for (a, b), is_bad in zip(points, bad) if shown else []:
        if is_bad:
            parts.append('<circle cx="%.1f" cy="%.1f" r="4.5" fill="#fff" '
                         'stroke="%s" stroke-width="1.4"/><path d="M%.1f '
                         '%.1fl5 5m0 -5l-5 5" stroke="%s" '
                         'stroke-width="1.4"/>' %
                         (a, b, colour, a - 2.5, b - 2.5, colour))
        elif one.get("paper"):
            parts.append('<circle cx="%.1f" cy="%.1f" r="%.1f" fill="#fff" '
                         'stroke="%s" stroke-width="1.6"/>' %
                         (a, b, radius, colour))
        elif kind == "cross":
            parts.append('<path d="M%.1f %.1fl8 8m0 -8l-8 8" stroke="%s" '
                         'stroke-width="2"/>' % (a - 4, b - 4, colour))
        else:
            parts.append('<circle cx="%.1f" cy="%.1f" r="%.1f" fill="%s"/>' %
                         (a, b, radius, colour))
    return parts


def legend(shown):
    parts = []
    for i, (name, colour, paper) in enumerate(shown):
        row, column = divmod(i, 3)
        a, b = LEFT + column * 165, HEIGHT + 4 + row * 18
        parts.append('<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" '
                     'stroke-width="3"%s/>' % (
                         a, b, a + 18, b, colour,
                         ' stroke-dasharray="5 4"' if paper else ""))
        parts.append('<text x="%d" y="%d">%s</text>' %
                     (a + 24, b + 4, escape(name)))
    return parts


def plot(series, x_name, y_name, log_x=False, log_y=False, y_high=None,
         marks=()):
    """One plot. Series: name, points, and kind, paper, colour, width as
    wanted, a point x, y and, if so, that it is invalid; marks: values of x at
    which a dotted line stands."""
    series = [one for one in series if one["points"]]
    if not series:
        return '<p class="none">nothing was measured</p>'
    x = Axis([p[0] for one in series for p in one["points"]] + list(marks),
             log_x, None if log_x else 0, None, LEFT, WIDTH - RIGHT)
    values = [p[1] for one in series for p in one["points"]]
    if y_high is None and not log_y:
        y_high = max(values) * 1.06
    y = Axis(values, log_y, None if log_y else 0, y_high, HEIGHT - BOTTOM,
             TOP)
    body = frame(x, y, x_name, y_name)
    for mark in marks:
        body.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#333" '
                    'stroke-dasharray="2 3"/>' %
                    (x.place(mark), TOP, x.place(mark), HEIGHT - BOTTOM))
    shown, free = [], 0
    for one in series:
        colour = one.get("colour")
        if colour is None:
            colour = COLOURS[free % len(COLOURS)]
            free += 1
        body += series_svg(one, colour, x, y)
        shown.append((one["name"], colour, one.get("paper")))
    body += legend(shown)
    height = HEIGHT + 18 * ((len(shown) + 2) // 3) + 4
    return ('<svg viewBox="0 0 %d %d" xmlns="http://www.w3.org/2000/svg" '
            'font-family="system-ui, sans-serif" font-size="12" '
            'role="img"><style>.g{stroke:#e4e7eb}.n{font-weight:600}'
            'text{fill:#334}</style><rect x="%d" y="%d" width="%d" '
            'height="%d" fill="none" stroke="#99a"/>%s</svg>' % (
                WIDTH, height, LEFT, TOP, WIDTH - RIGHT - LEFT,
                HEIGHT - BOTTOM - TOP, "".join(body)))
