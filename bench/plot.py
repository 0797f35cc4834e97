# SPDX-License-Identifier: Apache-2.0
"""hs-perf's JSON as SVG: no library but Python's own.

    plot.py RESULTS.json FOLDER

costs.svg: the costs of `hs-perf client` beside each other, on a log scale.
pool.svg: bytes a second over buffer sizes, a line for each payload. What is
invalid, since too much was lost, is drawn hollow. horizon.svg: whole traces
over the delay of their trigger, of `hs-perf fairness`, with the intervals.
traverse.svg: time of a traversal over the rate of triggers, of `hs-perf
traverse`: a line for each kind of trace and carrier, dashed for its p99.
"""
import json
import math
import os
import re
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 400, 180, 30, 130, 50
COLOURS = ["#1b6ca8", "#d1495b", "#66a182", "#edae49", "#775144", "#4a4e69"]


def text(x, y, words, anchor="start", size=12):
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return ('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" '
            'font-family="sans-serif">%s</text>' % (x, y, size, anchor, words))


def svg(parts, height=HEIGHT):
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d">'
            '<rect width="100%%" height="100%%" fill="white"/>\n%s\n</svg>\n'
            % (WIDTH, height, "\n".join(parts)))


def costs(results):
    rows = [r for r in results if r["unit"] == "ns"]
    if not rows:
        return None
    low = math.floor(math.log10(min(max(r["median"], 0.1) for r in rows)))
    high = math.ceil(math.log10(max(max(r["p99"], 1) for r in rows)))
    high = max(high, low + 1)
    span = WIDTH - LEFT - RIGHT
    height = TOP + BOTTOM + 24 * len(rows)

    def x_of(value):
        return LEFT + span * (math.log10(max(value, 10 ** low)) - low) / (
            high - low)
    parts = [text(LEFT, 18, "ns an operation: median, and a line to p99", size=13)]
    for power in range(low, high + 1):
        x = x_of(10 ** power)
        parts.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" '
                     'stroke="#ddd"/>' % (x, x, TOP, height - BOTTOM))
        parts.append(text(x, height - BOTTOM + 16, "%g" % 10 ** power,
                          "middle"))
    for i, row in enumerate(rows):
        y = TOP + 24 * i + 4
        fill = COLOURS[0] if row["valid"] else "none"
        parts.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" '
                     'stroke="#999"/>' % (x_of(row["median"]),
                                          x_of(row["p99"]), y + 8, y + 8))
        parts.append('<rect x="%d" y="%d" width="%.1f" height="16" fill="%s" '
                     'stroke="%s"/>' % (LEFT, y, x_of(row["median"]) - LEFT,
                                        fill, COLOURS[0]))
        parts.append(text(LEFT - 6, y + 13, row["name"], "end"))
        ratio = ", ".join("%s %.2g" % kv for kv in row["ratio"].items())
        parts.append(text(x_of(row["p99"]) + 6, y + 13,
                          "%.3g ns" % row["median"]))
        if ratio:
            parts[-1] += "<title>%s</title>" % ratio
    return svg(parts, height)


def pool(results):
    points = {}
    for row in results:
        m = re.match(r"pool_t(\d+)_p(\d+)_b(\d+)$", row["name"])
        if m:
            t, p, b = map(int, m.groups())
            points.setdefault((t, p), []).append((b, row))
    if not points:
        return None
    sizes = sorted({b for line in points.values() for b, _ in line})
    top = max(r["median"] for line in points.values() for _, r in line)

    def x_of(b):
        return LEFT - 110 + (WIDTH - LEFT - RIGHT + 110) * (
            sizes.index(b) / max(1, len(sizes) - 1))

    def y_of(v):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * v / top
    parts = [text(20, 18, "GB/s of the client over bytes of a buffer", size=13)]
    for i in range(5):
        v = top * i / 4
        parts.append('<line x1="70" x2="%d" y1="%.1f" y2="%.1f" '
                     'stroke="#ddd"/>' % (WIDTH - RIGHT, y_of(v), y_of(v)))
        parts.append(text(64, y_of(v) + 4, "%.2g" % v, "end"))
    for b in sizes:
        parts.append(text(x_of(b), HEIGHT - BOTTOM + 16, "%d" % b, "middle"))
    for i, ((t, p), line) in enumerate(sorted(points.items())):
        colour = COLOURS[i % len(COLOURS)]
        line.sort(key=lambda e: e[0])
        parts.append('<polyline fill="none" stroke="%s" points="%s"/>' % (
            colour, " ".join("%.1f,%.1f" % (x_of(b), y_of(r["median"]))
                             for b, r in line)))
        for b, r in line:
            parts.append('<circle cx="%.1f" cy="%.1f" r="4" stroke="%s" '
                         'fill="%s"/>' % (x_of(b), y_of(r["median"]), colour,
                                          colour if r["valid"] else "white"))
        parts.append(text(WIDTH - RIGHT + 10, TOP + 20 * i + 10,
                          "%d thread%s, %d B" % (t, "s"[:t > 1], p)))
        parts[-1] = parts[-1].replace("<text ", '<text fill="%s" ' % colour)
    return svg(parts)


def horizon(results):
    lines, half = {}, {}
    for row in results:
        m = re.match(r"horizon_(\w+?)_(\d+)ms$", row["name"])
        if m:
            lines.setdefault(m.group(1), []).append((int(m.group(2)), row))
        m = re.match(r"horizon_half_(\w+)$", row["name"])
        if m:
            half[m.group(1)] = int(re.search(
                r"payload rate: (\d+) ms", row["note"]).group(1))
    if not lines:
        return None
    low, high = 100.0, max(x for line in lines.values() for x, _ in line)

    def x_of(ms):
        return 70 + (WIDTH - 70 - RIGHT) * (
            math.log(max(ms, low) / low) / math.log(high / low))

    def y_of(share):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share
    parts = [text(20, 18, "share of whole traces over the delay of their "
                  "trigger, ms", size=13)]
    for i in range(5):
        parts.append('<line x1="70" x2="%d" y1="%.1f" y2="%.1f" '
                     'stroke="#ddd"/>' % (WIDTH - RIGHT, y_of(i / 4),
                                          y_of(i / 4)))
        parts.append(text(64, y_of(i / 4) + 4, "%g %%" % (25 * i), "end"))
    for ms in (100, 200, 400, 1000, 2000, 4000):
        parts.append(text(x_of(ms), HEIGHT - BOTTOM + 16, "%d" % ms, "middle"))
    for i, (name, line) in enumerate(sorted(lines.items())):
        colour = COLOURS[i % len(COLOURS)]
        line.sort(key=lambda e: e[0])
        parts.append('<polyline fill="none" stroke="%s" points="%s"/>' % (
            colour, " ".join("%.1f,%.1f" % (x_of(ms), y_of(r["median"]))
                             for ms, r in line)))
        for ms, r in line:
            parts.append('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" '
                         'stroke="%s"/>' % (x_of(ms), x_of(ms),
                                            y_of(r["low"]), y_of(r["high"]),
                                            colour))
        parts.append('<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="%s" '
                     'stroke-dasharray="4"/>' % (
                         x_of(half[name]), x_of(half[name]), TOP,
                         HEIGHT - BOTTOM, colour))
        parts.append(text(WIDTH - RIGHT + 10, TOP + 20 * i + 10,
                          name + " a node"))
        parts[-1] = parts[-1].replace("<text ", '<text fill="%s" ' % colour)
    parts.append(text(WIDTH - RIGHT + 10, TOP + 20 * len(lines) + 10,
                      "dashed: capacity/rate", size=10))
    return svg(parts)


def traverse(results):
    lines = {}
    for row in results:
        m = re.match(r"traverse_(\w+?)_(\d+)(k?)_(\w+)$", row["name"])
        if m and row["unit"] == "us":
            rate = int(m.group(2)) * (1000 if m.group(3) else 1)
            lines.setdefault(m.group(1) + " " + m.group(4), []).append(
                (rate, row))
    if not lines:
        return None
    points = [e for line in lines.values() for e in line]
    rates = sorted({x for x, _ in points})
    low = math.floor(math.log10(min(max(r["median"], 1) for _, r in points)))
    high = math.ceil(math.log10(max(r["p99"] for _, r in points)))
    high = max(high, low + 1)
    span = max(math.log(rates[-1] / rates[0]), 1e-9)

    def x_of(rate):
        return 70 + (WIDTH - 90 - RIGHT) * math.log(rate / rates[0]) / span

    def y_of(us):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (
            math.log10(max(us, 10 ** low)) - low) / (high - low)
    parts = [text(20, 18, "us from a trigger to its manifest, over triggers a "
                  "second", size=13)]
    for power in range(low, high + 1):
        y = y_of(10 ** power)
        parts.append('<line x1="70" x2="%d" y1="%.1f" y2="%.1f" '
                     'stroke="#ddd"/>' % (WIDTH - RIGHT, y, y))
        parts.append(text(64, y + 4, "%g" % 10 ** power, "end"))
    for rate in rates:
        parts.append(text(x_of(rate), HEIGHT - BOTTOM + 16, "%d" % rate,
                          "middle", 10))
    for i, (name, line) in enumerate(sorted(lines.items())):
        colour = COLOURS[i % len(COLOURS)]
        line.sort(key=lambda e: e[0])
        for key, dash in (("median", ""), ("p99", ' stroke-dasharray="5"')):
            parts.append('<polyline fill="none" stroke="%s"%s points="%s"/>' % (
                colour, dash, " ".join("%.1f,%.1f" % (x_of(x), y_of(r[key]))
                                       for x, r in line)))
            for x, r in line:
                parts.append('<circle cx="%.1f" cy="%.1f" r="3" stroke="%s" '
                             'fill="%s"/>' % (x_of(x), y_of(r[key]), colour,
                                              colour if r["valid"]
                                              else "white"))
        parts.append('<text fill="%s" ' % colour + text(
            WIDTH - RIGHT + 10, TOP + 20 * i + 10, name)[6:])
    parts.append(text(WIDTH - RIGHT + 10, TOP + 20 * len(lines) + 10,
                      "dashed: p99", size=10))
    return svg(parts)


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    with open(sys.argv[1], encoding="utf-8") as f:
        results = json.load(f)["results"]
    os.makedirs(sys.argv[2], exist_ok=True)
    for name, picture in (("costs.svg", costs(results)),
                          ("pool.svg", pool(results)),
                          ("horizon.svg", horizon(results)),
                          ("traverse.svg", traverse(results))):
        if picture:
            path = os.path.join(sys.argv[2], name)
            with open(path, "w", encoding="utf-8") as f:
                f.write(picture)
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
