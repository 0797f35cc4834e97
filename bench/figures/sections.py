# SPDX-License-Identifier: Apache-2.0
"""A section of the page for each figure, drawn from the steps' files."""
import csv
import os
from html import escape

import paper
from draw import plot
from steps import TRACERS

NAMES = {"none": "no tracing", "hindsight": "hindsight",
         "head:0.01": "head, 1 %", "tail-async": "tail, async",
         "tail-sync": "tail, sync"}
COLOUR = {"none": "#4a5568", "hindsight": "#1b6ca8", "head:0.01": "#b7791f",
          "tail-async": "#d1495b", "tail-sync": "#6b4fa0"}

def named(answer, name):
    for one in (answer or {}).get("results", []):
        if one["name"] == name:
            return one
    return None


def figure(title, svg, caption):
    return "<figure><b>%s</b>%s<figcaption>%s</figcaption></figure>" % (
        escape(title), svg, caption)


def curve(answers, fig, tracer, value):
    """Points of one tracer by what was offered."""
    points = []
    prefix = "%s-%s-" % (fig, tracer.replace(":", ""))
    for name, answer in answers.items():
        if name.startswith(prefix):
            point = value(answer["details"][0])
            if point is not None:
                points.append(point)
    return sorted(points)


def by_tracer(answers, fig, value, tracers=None):
    return [{"name": NAMES[tracer], "colour": COLOUR[tracer],
             "points": curve(answers, fig, tracer, value)}
            for tracer in tracers or TRACERS]


def latency(one):
    return (one["achieved"], one["mean_ns"] / 1e6) if one["measured"] else None


def capture(one):
    edge = one["edge"]
    return (one["offered"], edge["whole"] / edge["all"]) if edge["all"] \
        else None


def network(one):
    seconds = one["seconds"] or 1
    return (one["offered"], max(one["network_bytes"] / seconds / 1e6, 1e-4))


def peak_table(answers, fig, wanted, absolute):
    base = max([p[0] for p in curve(answers, fig, "none", latency)] or [0])
    rows = []
    for tracer in TRACERS:
        best = max([p[0] for p in curve(answers, fig, tracer, latency)]
                   or [0])
        theirs = wanted.get(tracer)
        if theirs and absolute:
            theirs = theirs / wanted["none"]
        details = [a["details"][0] for n, a in answers.items() if
                   n.startswith("%s-%s-" % (fig, tracer.replace(":", "")))]
        lost = max([one["lost_share"] for one in details] or [0])
        rows.append("<tr><td>%s</td><td>%.3g</td><td>%s</td><td>%s</td>"
                    "<td>%.3g %%</td></tr>" % (
                        NAMES[tracer], best,
                        "%.3g" % (best / base) if base else "",
                        "%.3g" % theirs if theirs else "", lost * 100))
    return ("<table><tr><th>tracer</th><th>peak, requests/s</th><th>over no "
            "tracing</th><th>the paper's ratio</th><th>lost, at worst</th>"
            "</tr>%s</table>" % "".join(rows))


def section3(answers):
    traced = [t for t in TRACERS if t != "none"]
    captured = by_tracer(answers, "3", capture, traced)
    captured.append({"name": "tail, in the paper", "paper": True,
                     "colour": COLOUR["tail-async"],
                     "points": paper.TAIL_CAPTURE})
    rows = "".join("<tr><td>%s</td><td>%s</td><td>%s</td></tr>" % (
        NAMES[t], "%.3g" % max([p[1] for p in curve(answers, "3", t, network)]
                               or [0]), "%.3g" % paper.NETWORK_MB[t])
        for t in traced)
    return (
        "<h2>Figure 3: overhead against edge cases, 1 % of requests</h2>"
        "<p>Requests through MicroBricks' Alibaba topology (73 services in "
        "four nodes), without computation. Captured means whole: with every "
        "span that the replies counted.</p><div class=row>" +
        figure("3a latency and throughput", plot(
            by_tracer(answers, "3", latency), "achieved requests/s",
            "mean latency, ms", True, True),
            "Latency counts from when a request was due, so beyond "
            "saturation it grows with the span.") +
        figure("3b edge cases captured whole", plot(
            captured, "offered requests/s", "share", True, y_high=1.05),
            "Hollow: 100, 71 and 28 %, the paper's tail sampling at 1,000, "
            "2,000 and 3,000 requests/s; its Hindsight keeps 99 to 100 %.") +
        figure("3c network", plot(
            by_tracer(answers, "3", network, traced), "offered requests/s",
            "MB/s", True, True),
            "All bytes of all messages, including what only says that a node "
            "is there.") +
        "</div>" + peak_table(answers, "3", paper.PEAK, False) +
        "<table><tr><th>tracer</th><th>network at most, MB/s</th><th>the "
        "paper's</th></tr>%s</table>" % rows)


def section4(answers):
    fair = answers.get("4ab-fairness")
    rows = "".join(
        "<tr><td>%s</td><td>%.4g %%</td><td>%d</td><td>%s</td></tr>" % (
            what, one["median"] * 100, one["n"], theirs)
        for what, name, theirs in (
            ("A, 0.1 % of requests", "fairness_coherent_A", "about 100 %"),
            ("B, 1 %", "fairness_coherent_B", "about 100 %"),
            ("F, 50 %, faulty", "fairness_coherent_F", "what is left"))
        for one in [named(fair, name)] if one)
    series = []
    for size, colour in (("10MB", "#d1495b"), ("100MB", "#1b6ca8")):
        points = sorted((int(one["name"].split("_")[2][:-2]) / 1e3,
                         one["median"]) for one in
                        (fair or {}).get("results", [])
                        if one["name"].startswith("horizon_%s_" % size))
        series.append({"name": size, "colour": colour, "points": points})
        series.append({"name": size + ", in the paper", "colour": colour,
                       "paper": True,
                       "points": paper.HORIZON_10MB if size == "10MB"
                       else paper.HORIZON_100MB})
    traverse = answers.get("4c-traverse")
    text = "<p class=none>hs-perf traverse has not been run</p>"
    if traverse:
        text = "<table><tr><th>figure</th><th>median</th><th>p99</th>" \
            "<th>unit</th></tr>%s</table>" % "".join(
                "<tr><td>%s</td><td>%.4g</td><td>%.4g</td><td>%s</td></tr>" %
                (escape(one["name"]), one["median"], one["p99"],
                 escape(one["unit"])) for one in traverse["results"])
    return (
        "<h2>Figure 4: overload and the event horizon</h2>"
        "<div class=row><figure><b>4a coherent traces under a faulty trigger"
        "</b><table><tr><th>trigger</th><th>whole</th><th>of</th><th>the "
        "paper</th></tr>%s</table><figcaption>Three agents that may report 1 "
        "MB/s each, under virtual time: the production logic, so shares and "
        "not speeds.</figcaption></figure>" % rows +
        figure("4b whole traces over the trigger's delay", plot(
            series, "delay, s", "share", y_high=1.05),
            "By a pool's size. The paper's load differs, and with it the time "
            "that a pool holds.") +
        "<figure><b>4c traversal</b>%s<figcaption>The paper: up to 86 ms at "
        "12,000 triggers/s, under 13 ms at 100.</figcaption></figure></div>" %
        text)


def cumulated(histogram):
    """[[ns, count]...] as points of a distribution, in ms."""
    total = sum(count for _, count in histogram)
    points, so_far = [], 0
    for value, count in histogram:
        so_far += count
        points.append((value / 1e6, so_far / total))
    return points


def section5a(answers):
    series = []
    for share, colour in ((0.01, "#d1495b"), (0.05, "#1b6ca8")):
        points = []
        for name, answer in answers.items():
            if name.startswith("5a-%g-" % share):
                one = answer["details"][0]
                points.append((float(name.split("-")[2]) * 100,
                               one["edge"]["whole"] / one["seconds"]))
        series.append({"name": "limit of %g %%" % (share * 100),
                       "colour": colour, "points": sorted(points)})
    every = []
    for name, answer in answers.items():
        if name.startswith("5a-0.05-"):
            one = answer["details"][0]
            every.append((float(name.split("-")[2]) * 100,
                          one["edge"]["all"] / one["seconds"]))
    series.append({"name": "all exceptions", "colour": "#9ca3af",
                   "points": sorted(every)})
    return figure("5a exceptions captured", plot(
        series, "requests that fail, %", "whole traces/s"),
        "An exception trigger inside the second of four services; the agents "
        "may report 1 % and 5 % of what is written.")


def section5b(answers):
    series, colours = [], iter(["#2e8540", "#b7791f", "#d1495b"])
    for percentile in (90, 95, 99):
        answer = answers.get("5b-p%d" % percentile)
        if not answer:
            continue
        one = answer["details"][0]
        if percentile == 90:
            series.append({"name": "all requests", "colour": "#9ca3af",
                           "radius": 0,
                           "points": cumulated(one["latency"])})
        series.append({"name": "percentile %d" % percentile,
                       "colour": next(colours),
                       "radius": 0,
                           "points": cumulated(one["collected_durations"])})
    head = answers.get("5b-head")
    if head and head["details"][0].get("collected_durations"):
        series.append({"name": "head sampling, 5 %", "colour": "#6b4fa0",
                       "radius": 0,
                           "points": cumulated(
                           head["details"][0]["collected_durations"])})
    return figure("5b latency of what was captured", plot(
        series, "latency, ms", "share below", True, y_high=1.05),
        "A tenth of all requests takes 20 to 30 ms longer. A percentile "
        "trigger captures these; head sampling captures what there is.")


def section5c(folder, answers):
    answer = answers.get("5c-queue")
    path = os.path.join(folder, "raw", "5c-queue.csv")
    if not answer or not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as text:
        rows = [(int(r["at_ns"]) / 1e9, int(r["latency_ns"]) / 1e6,
                 int(r["marks"]), r["captured"]) for r in csv.DictReader(text)]
    costly = [r for r in rows if r[2] & 16]
    if not costly:
        return ""
    low, high = costly[0][0] - 0.05, costly[-1][0] + 0.35
    near = [r for r in rows if low <= r[0] <= high]
    series = [
        {"name": "requests", "kind": "points", "radius": 1.6,
         "colour": "#9ca3af", "points": [
             (r[0], r[1]) for r in near if r[3] == "missing"]},
        {"name": "captured", "kind": "points", "radius": 2.6,
         "colour": "#1b6ca8", "points": [
             (r[0], r[1]) for r in near if r[3] != "missing"]},
        {"name": "the expensive ones", "kind": "cross", "colour": "#d1495b",
         "points": [(r[0], r[1]) for r in costly]}]
    for one in series:
        one["points"] = [(a - low, b) for a, b in one["points"]]
    got = sum(r[3] == "whole" for r in costly)
    return figure("5c a queue trigger, and what was before it", plot(
        series, "s", "latency, ms"),
        "Ten expensive requests come at once. The queue's trigger brings the "
        "ten requests before each that waited long: %d of the %d expensive "
        "ones were captured whole, of %d captured in all. The paper: all "
        "ten." % (got, len(costly), sum(r[3] != "missing" for r in rows)))


def section6(answers):
    hindsight = [a["details"][0] for n, a in answers.items()
                 if n.startswith("6-hindsight-")]
    best = max(hindsight, key=lambda one: one["written_bytes"] /
               (one["seconds"] or 1), default=None)
    said = ""
    if best:
        said = ("<p>Hindsight wrote up to %.3g MB/s of trace data here (the "
                "paper: 330), with an event horizon of %.3g s (5.2) in pools "
                "of 128 MiB, and %.2g cores for agents, coordinator and "
                "collector (0.3).</p>" % (
                    best["written_bytes"] / best["seconds"] / 1e6,
                    best["horizon_ns"] / 1e9,
                    best["daemon_cpu_ns"] / 1e9 / best["seconds"]))
    return ("<h2>Figure 6: two services, every request traced</h2>"
            "<div class=row>" + figure("6 latency and throughput", plot(
                by_tracer(answers, "6", latency), "achieved requests/s",
                "mean latency, ms", True, True),
                "Over rings in shared memory instead of gRPC: a request is "
                "some hundred nanoseconds, and any tracer's cost is seen.") +
            "<div>" + peak_table(answers, "6", paper.TWO_PEAK, True) + said +
            "</div></div>")


def section7(answers):
    pool = answers.get("7-pool")
    series = []
    for payload, colour in ((32, "#d1495b"), (256, "#b7791f"),
                            (2048, "#1b6ca8"), (8192, "#2e8540")):
        points = []
        for one in (pool or {}).get("results", []):
            parts = one["name"].split("_")
            if one["name"].startswith("pool_t1_p%d_" % payload):
                points.append((int(parts[3][1:]),
                               one["median"] * (1 - one["lost_share"])))
        series.append({"name": "%d bytes" % payload, "colour": colour,
                       "points": sorted(points)})
    client = answers.get("table3-client")
    rows = []
    for what, theirs, name in paper.TABLE3:
        one = named(client, name) if name else None
        ours = ""
        if one:
            ours = "%.3g" % (2048 / one["median"] if one["unit"] == "GB/s"
                             else one["median"])
        rows.append("<tr><td>%s</td><td>%s</td><td>%.4g</td></tr>" % (
            escape(what), ours or "&ndash;", theirs))
    return ("<h2>Figure 7 and table 3: the data plane alone</h2>"
            "<div class=row>" + figure("7 goodput by buffer size", plot(
                series, "buffer, bytes", "GB/s of whole traces", True),
                "One thread, by payload of a tracepoint. The paper's client "
                "peaks at %g GB/s with payloads of 1 kB." %
                paper.POOL_PEAK_GB) +
            "<figure><b>Table 3</b><table><tr><th>call, one thread</th><th>"
            "here, ns</th><th>paper, ns</th></tr>%s</table></figure></div>" %
            "".join(rows))
