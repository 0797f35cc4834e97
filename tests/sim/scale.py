#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the work of a trigger grows with nodes, trace size and trigger rate.

scale.py HS-SIM GRAPHS OUT: GRAPHS as graphs.py writes them; writes OUT.csv and
OUT.svg. scale.py HS-SIM question OUT: the question to many, likewise. Runs without faults over clean links, so that what is counted is the
protocol's own.
"""
import csv
import re
import subprocess
import sys

BASE = """forward_share=0.5 lateral_share=0 buffer_bytes=256 write_max_bytes=200
nr_procs=1 hostile=0 load_ns=2000000000 ring_words=16 lane_room=128 nr_slots=64
loss=0 slow=0 dup=0 drift=0 delay_min_ns=20000 delay_max_ns=100000
small_collector=0 stream=1 nr_fired=4096 window_bytes=262144 rate_limit=0
crash_trigger=0 trace_buffers_max=4096 reply_lost=0 remember_ns=20000000000
nr_buffers=768 nr_moves=0 ship=0""".split()

FIELDS = ["nodes", "requests", "share", "triggers", "collects", "messages",
          "manifests", "manifest_mean_bytes", "manifest_max_bytes",
          "coordinator_messages", "visits_per_request", "complete", "partial",
          "cpu_s", "seeks"]


def run(program, graphs, nodes, requests, share, extra=()):
    args = [program, "--seeds", "1", "--seed", "5", "--no-shrink", "--each",
            "--coverage", "--nodes", str(nodes), "--requests", str(requests),
            "--faults", "0", "--coordinators", "4", "--collectors", "2"]
    if graphs:
        args += ["--graphs", graphs]
    for pair in BASE + ["trigger_share=%g" % share, *extra]:
        args += ["--set", pair]
    out = subprocess.run(args, capture_output=True, text=True).stdout
    count = {k: int(v) for k, v in re.findall(r"message (\w+) +(\d+)", out)}
    extra = {k: int(v) for k, v in re.findall(r"(\w+_bytes|visits) (\d+)", out)}
    seed = re.search(r"complete (\d+) partial (\d+).* ([\d.]+) s", out)
    triggers = max(1, count["TRIGGER"])
    manifests = max(1, count["MANIFEST"])
    if " failed=0 " not in out:
        print(out, file=sys.stderr)
    return {
        "nodes": nodes, "requests": requests, "share": share,
        "triggers": triggers,
        "collects": count["COLLECT"] / triggers,
        "messages": sum(v for k, v in count.items()
                        if not k.startswith("SLICE")) / triggers,
        "manifests": manifests / triggers,
        "manifest_mean_bytes": extra["manifest_bytes"] / manifests,
        "manifest_max_bytes": extra["manifest_max_bytes"],
        "coordinator_messages": sum(count[k] for k in (
            "TRIGGER", "COLLECT", "CRUMBS", "UPDATE", "MANIFEST",
            "MANIFEST_ACK", "STORED")) / triggers,
        "visits_per_request": extra["visits"] / requests,
        "complete": int(seed.group(1)), "partial": int(seed.group(2)),
        "cpu_s": float(seed.group(3)),
        "seeks": count["SEEK"] / triggers,
    }


def plot(title, x_name, series, left, top):
    """One small diagram: lines over a logarithmic x axis, y from 0."""
    import math
    xs = [x for points in series.values() for x, _ in points]
    top_y = max(y for points in series.values() for _, y in points) or 1
    lo, hi = math.log10(min(xs)), math.log10(max(xs))
    colours = ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad"]
    out = ['<g transform="translate(%d,%d)" font-family="sans-serif" '
           'font-size="11"><rect width="360" height="200" fill="none" '
           'stroke="#888"/><text x="0" y="-8">%s</text>' % (left, top, title)]
    for k, (name, points) in enumerate(series.items()):
        at = [(360 * ((math.log10(x) - lo) / ((hi - lo) or 1)),
               200 - 190 * y / top_y) for x, y in points]
        out.append('<polyline fill="none" stroke="%s" stroke-width="2" '
                   'points="%s"/>' % (colours[k], " ".join(
                       "%.1f,%.1f" % p for p in at)))
        out.append('<text x="8" y="%d" fill="%s">%s</text>' % (
            16 + 14 * k, colours[k], name))
    for x in sorted(set(xs)):
        out.append('<text x="%.1f" y="214" text-anchor="middle">%g</text>' % (
            360 * ((math.log10(x) - lo) / ((hi - lo) or 1)), x))
    out.append('<text x="362" y="14">%.3g</text><text x="362" y="200">0</text>'
               '<text x="180" y="230" text-anchor="middle">%s</text></g>' % (
                   top_y, x_name))
    return "".join(out)


def write(path, series):
    with open(path + ".csv", "w", newline="") as f:
        w = csv.DictWriter(f, ["series"] + FIELDS)
        w.writeheader()
        for name, rows in series:
            for row in rows:
                w.writerow({"series": name, **{
                    k: round(v, 3) for k, v in row.items()}})


def pick(rows, x, *ys):
    return {y: [(r[x], r[y]) for r in rows] for y in ys}


def question(program, path):
    """All triggers by an operator, at a node that need not have seen the
    trace; with more than 500 nodes not all of them are asked."""
    late = ["late_share=1", "visits_max=8"]
    nodes = [run(program, None, n, 300, 0.3, late)
             for n in (30, 100, 300, 500, 1000)]
    rate = [run(program, None, 300, r, 0.3, late)
            for r in (30, 100, 300, 1000)]
    write(path, (("nodes", nodes), ("rate", rate)))
    with open(path + ".svg", "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="860" '
                'height="300"><rect width="860" height="300" fill="white"/>')
        f.write(plot("SEEKs a trigger, none fired where it was seen", "nodes",
                     pick(nodes, "nodes", "seeks"), 30, 40))
        f.write(plot("the same with 300 nodes", "triggers in 2 s",
                     pick(rate, "triggers", "seeks"), 450, 40))
        f.write("</svg>\n")


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, graphs, path = sys.argv[1:]
    if graphs == "question":
        question(program, path)
        return
    nodes = [run(program, graphs, n, 2000, 0.3)
             for n in (100, 300, 1000, 3000, 10000)]
    rate = [run(program, graphs, 1000, r, 0.5)
            for r in (500, 2000, 8000)]
    size = [run(program, None, 1000, 300, 0.5,
                ["visits_max=%d" % v, "fanout_max=8"])
            for v in (4, 16, 64, 256)]
    write(path, (("nodes", nodes), ("rate", rate), ("size", size)))
    with open(path + ".svg", "w") as f:
        f.write('<svg xmlns="http://www.w3.org/2000/svg" width="860" '
                'height="580"><rect width="860" height="580" fill="white"/>')
        f.write(plot("per trigger, Alibaba graphs", "nodes",
                     pick(nodes, "nodes", "messages", "collects",
                          "manifests"), 30, 40))
        f.write(plot("manifest bytes", "nodes",
                     pick(nodes, "nodes", "manifest_mean_bytes",
                          "manifest_max_bytes"), 450, 40))
        f.write(plot("per trigger, random graphs, 1,000 nodes",
                     "visits of a request, mean",
                     pick(size, "visits_per_request", "messages", "collects",
                          "manifests"), 30, 310))
        f.write(plot("manifest bytes", "visits of a request, mean",
                     pick(size, "visits_per_request", "manifest_mean_bytes",
                          "manifest_max_bytes"), 450, 310))
        f.write("</svg>\n")


if __name__ == "__main__":
    main()
