# SPDX-License-Identifier: Apache-2.0
"""A section of the page for each figure, drawn from the steps' files."""
import csv
import math
import os
from html import escape

import paper
from draw import plot, short
from steps import TRACERS, is_beyond

NAMES = {"none": "no tracing", "hindsight": "hindsight",
         "head:0.01": "head, 1 %", "tail-async": "tail, async",
         "tail-sync": "tail, sync"}
COLOUR = {"none": "#4a5568", "hindsight": "#1b6ca8", "head:0.01": "#b7791f",
          "tail-async": "#d1495b", "tail-sync": "#6b4fa0"}


def machine_of(answers):
    for answer in answers.values():
        if "machine" in answer:
            return answer["machine"]
    return {}


def named(answer, name):
    for one in (answer or {}).get("results", []):
        if one["name"] == name:
            return one
    return None


def invalid(one):
    """Of a result or of a run's details: more than 0.1 % was lost."""
    return one["lost_share"] > 0.001


def flag(one):
    """What stands behind a figure of it."""
    return ", invalid" if invalid(one) else ""


def lost(one):
    """The same, and how much it lost."""
    return "%.2g %% lost%s" % (one["lost_share"] * 100, flag(one))


def figure(title, svg, caption):
    return "<figure><b>%s</b>%s<figcaption>%s</figcaption></figure>" % (
        escape(title), svg, caption)


def runs(answers, prefix):
    """Details of all loads, by what was offered."""
    found = [answer["details"][0] for name, answer in answers.items()
             if name.startswith(prefix)]
    return sorted(found, key=lambda one: one["offered"])


def of_tracer(answers, fig, tracer):
    return runs(answers, "%s-%s-" % (fig, tracer.replace(":", "")))


def curve(answers, fig, tracer, value):
    """Points of one tracer by what was offered."""
    points = [value(one) for one in of_tracer(answers, fig, tracer)]
    return [point for point in points if point is not None]


def by_tracer(answers, fig, value, tracers=None):
    return [{"name": NAMES[tracer], "colour": COLOUR[tracer],
             "points": curve(answers, fig, tracer, value)}
            for tracer in tracers or TRACERS]


def latency(one):
    return (one["achieved"], one["mean_ns"] / 1e6, invalid(one)) \
        if one["measured"] else None


def invalid_capture(one, tracer):
    """Of a share of whole traces: what a tail sampler loses is its result."""
    return invalid(one) and not tracer.startswith("tail")


def capture_of(tracer):
    def capture(one):
        edge = one["edge"]
        return (one["offered"], edge["whole"] / edge["all"],
                invalid_capture(one, tracer)) if edge["all"] else None
    return capture


def network(one):
    seconds = one["seconds"] or 1
    return (one["offered"], max(one["network_bytes"] / seconds / 1e6, 1e-4),
            invalid(one))


def wilson(hits, n):
    """The interval in which a share lies with 95 %."""
    z, p = 1.96, hits / n
    scale = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def peak(answers, fig, tracer):
    """What it carried at most, and whether that was all that was offered."""
    best = max(of_tracer(answers, fig, tracer),
               key=lambda one: one["achieved"], default=None)
    if not best:
        return 0, False
    return best["achieved"], not is_beyond(best) and \
        best is of_tracer(answers, fig, tracer)[-1]


def peak_table(answers, fig, wanted, absolute):
    base, base_open = peak(answers, fig, "none")
    rows = []
    for tracer in TRACERS:
        best, is_open = peak(answers, fig, tracer)
        theirs = wanted.get(tracer)
        if theirs and absolute:
            theirs = theirs / wanted["none"]
        worst = max([one["lost_share"] for one in
                     of_tracer(answers, fig, tracer)] or [0])
        rows.append("<tr><td>%s</td><td>%s%.3g</td><td>%s%s</td><td>%s</td>"
                    "<td>%.3g %%</td></tr>" % (
                        NAMES[tracer], "&ge; " if is_open else "", best,
                        "&le; " if base_open and tracer != "none" else "",
                        "%.3g" % (best / base) if base else "",
                        "%.3g" % theirs if theirs else "", worst * 100))
    return ("<table><tr><th>tracer</th><th>peak, requests/s</th><th>over no "
            "tracing</th><th>the paper's ratio</th><th>lost, at worst</th>"
            "</tr>%s</table>" % "".join(rows))


def edge_table(answers):
    """Of each load how many were whole, with 95 %."""
    rows = []
    for one in runs(answers, "3edges-"):
        edge = one["edge"]
        if not edge["all"]:
            continue
        low, high = wilson(edge["whole"], edge["all"])
        rows.append("<tr><td>%s%s</td><td>%s</td><td>%d of %d</td><td>%.2f "
                    "to %.2f %%</td><td>%d, %d</td></tr>" % (
                        short(one["offered"]), flag(one),
                        short(one["achieved"]), edge["whole"], edge["all"],
                        low * 100, high * 100, edge["evicted"],
                        edge["missing"]))
    if not rows:
        return ""
    return ("<figure><b>Hindsight's edge cases, counted</b><table><tr><th>"
            "offered/s</th><th>achieved/s</th><th>whole</th><th>95 %%</th>"
            "<th>evicted, missing</th></tr>%s</table><figcaption>Runs of "
            "their own, so long that there are ten thousand, or about a "
            "minute.</figcaption></figure>" % "".join(rows))


def section3(answers):
    traced = [t for t in TRACERS if t != "none"]
    captured = [one for tracer in traced for one in
                by_tracer(answers, "3", capture_of(tracer), [tracer])]
    # What lies on one line is to be seen all the same.
    for one, width in zip(captured, (2, 2, 4, 8)):
        one["width"] = width
    captured.reverse()
    captured.append({"name": "paper's tail", "paper": True,
                     "colour": COLOUR["tail-async"],
                     "points": paper.TAIL_CAPTURE})
    captured.append({"name": "paper's hindsight", "paper": True,
                     "colour": COLOUR["hindsight"],
                     "points": paper.HINDSIGHT_CAPTURE})
    rows = "".join("<tr><td>%s</td><td>%s</td><td>%s</td></tr>" % (
        NAMES[t], "%.3g" % max([p[1] for p in curve(answers, "3", t, network)]
                               or [0]), "%.3g" % paper.NETWORK_MB[t])
        for t in traced)
    return (
        "<h2>Figure 3: overhead against edge cases, 1 % of requests</h2>"
        "<p>Requests through MicroBricks' Alibaba topology (73 services in "
        "four nodes), without computation, up to the first load that a tracer "
        "does not carry. Captured means whole: with every span that the "
        "replies counted.</p><div class=row>" +
        figure("3a latency and throughput", plot(
            by_tracer(answers, "3", latency), "achieved requests/s",
            "mean latency, ms", True, True),
            "Latency counts from when a request was due, so beyond "
            "saturation it grows with the span. The paper's peak: 14,000 "
            "requests/s on 544 cores with execution times of milliseconds.") +
        figure("3b edge cases captured whole", plot(
            captured, "offered requests/s", "share", True, y_high=1.05),
            "Hollow: 100, 71 and 28 %, the paper's tail sampling at 1,000, "
            "2,000 and 3,000 requests/s; its Hindsight keeps 99 to 100 % up "
            "to 14,000. Tail sampling is a floor here, see below: its "
            "collector counts spans and stores nothing.") +
        figure("3c network", plot(
            by_tracer(answers, "3", network, traced), "offered requests/s",
            "MB/s", True, True),
            "All bytes of all messages, including what only says that a node "
            "is there.") + edge_table(answers) +
        "</div>" + peak_table(answers, "3", paper.PEAK, False) +
        "<table><tr><th>tracer</th><th>network at most, MB/s</th><th>the "
        "paper's</th></tr>%s</table>" % rows)


def section4a(fair, loads):
    """Whole traces of each trigger over the load."""
    results = (fair or {}).get("results", []) + \
        [one for one in (loads or {}).get("results", [])
         if one["name"].count("_") == 3]
    series = []
    for letter, colour, width, what in (
            ("A", "#2e8540", 7, "A, 0.1 % of requests"),
            ("B", "#1b6ca8", 2, "B, 1 %"),
            ("F", "#d1495b", 2, "F, 50 %, faulty")):
        points = []
        for one in results:
            name = "fairness_coherent_" + letter
            if one["name"] == name:
                points.append((10000, one["median"], invalid(one)))
            elif one["name"].startswith(name + "_"):
                points.append((int(one["name"].split("_")[3]), one["median"],
                               invalid(one)))
        series.append({"name": what, "colour": colour, "width": width,
                       "points": sorted(points)})
    use = named(fair, "fairness_use_F")
    return figure("4a coherent traces under a faulty trigger", plot(
        series, "requests/s", "share", y_high=1.05),
        "Three agents that may report 1 MB/s each, under virtual time: the "
        "production logic, so shares and not speeds. %sThe paper: about 100 %% "
        "of A and B up to 28,000 requests/s, some %s whole traces a second "
        "of all, and less of F the more there are. Each of these three asks "
        "the coordinator as often as thirty do there, so that at other loads "
        "than 10,000 its <code>origin.rate</code> is raised: by default it "
        "holds back rare triggers of such an agent with the faulty ones." % (
            "F sends %.1f %% of what A and B leave of the limits at 10,000. "
            % (use["median"] * 100) if use else "",
            format(paper.COLLECTED_PER_S, ",")))


def section4c(answers):
    """Medians and p99 by how many nodes a trace visited."""
    points = {}
    for step in ("4c-%d" % size for size in (2, 4, 6, 8, 10)):
        for one in (answers.get(step) or {}).get("results", []):
            parts = one["name"].split("_")
            if parts[0] != "traverse" or not parts[1].endswith("nodes"):
                continue
            points.setdefault(parts[2], {})[int(parts[1][:-5])] = one
    series = []
    for rate, colour in (("100", "#2e8540"), ("1k", "#b7791f"),
                         ("3k", "#1b6ca8"), ("7500", "#d1495b")):
        of_rate = points.get(rate, {})
        for what, key, width in (("median", "median", 2), ("p99", "p99", 7)):
            series.append({
                "name": "%s/s, %s" % (rate, what), "colour": colour,
                "width": width, "radius": 3.2,
                "points": [(nodes, of_rate[nodes][key] / 1e3,
                            invalid(of_rate[nodes]))
                           for nodes in sorted(of_rate)]})
    rows = "".join(
        "<tr><td>%s%s</td><td>%.3g</td><td>%.3g</td><td>%d</td></tr>" % (
            escape(one["name"]), flag(one),
            one["median"] / 1e3, one["p99"] / 1e3, one["n"])
        for one in (answers.get("4c-traverse") or {}).get("results", [])
        if one["name"].startswith("traverse_"))
    return figure("4c traversal over the nodes of a trace", plot(
        series, "nodes, a chain", "ms", False, True),
        "From when a trigger is due until its manifest is on its way, by "
        "triggers a second; pale: p99. Of a chain each hop waits for the one "
        "before it. The paper: up to 86 ms at 12,000 triggers/s, under 13 ms "
        "at 100, on average, in a call graph that fans out.") + (
            "<figure><b>4c, ten nodes</b><table><tr><th>figure</th><th>median,"
            " ms</th><th>p99, ms</th><th>of</th></tr>%s</table></figure>" %
            rows if rows else "")


def section4(answers):
    fair = answers.get("4ab-fairness")
    series = []
    for size, colour in (("10MB", "#d1495b"), ("100MB", "#1b6ca8")):
        points = sorted((int(one["name"].split("_")[2][:-2]) / 1e3,
                         one["median"], invalid(one)) for one in
                        (fair or {}).get("results", [])
                        if one["name"].startswith("horizon_%s_" % size))
        series.append({"name": size, "colour": colour, "points": points})
        series.append({"name": size + ", in the paper", "colour": colour,
                       "paper": True,
                       "points": paper.HORIZON_10MB if size == "10MB"
                       else paper.HORIZON_100MB})
    return (
        "<h2>Figure 4: overload and the event horizon</h2>"
        "<div class=row>" + section4a(fair, answers.get("4a-loads")) +
        figure("4b whole traces over the trigger's delay", plot(
            series, "delay, s", "share", y_high=1.05),
            "By a pool's size, under virtual time. The paper's load differs, "
            "and with it the time that a pool holds.") +
        section4c(answers) + "</div>")


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
                               one["edge"]["whole"] / one["seconds"],
                               invalid(one)))
        series.append({"name": "limit of %g %%" % (share * 100),
                       "colour": colour, "width": 2 if share < 0.05 else 4,
                       "points": sorted(points)})
    every = []
    for name, answer in answers.items():
        if name.startswith("5a-0.05-"):
            one = answer["details"][0]
            every.append((float(name.split("-")[2]) * 100,
                          one["edge"]["all"] / one["seconds"]))
    series.append({"name": "all exceptions", "colour": "#9ca3af",
                   "width": 8, "points": sorted(every)})
    series.reverse()
    return figure("5a exceptions captured", plot(
        series, "requests that fail, %", "whole traces/s"),
        "An exception trigger inside the second of four services; the agents "
        "may report 1 % and 5 % of what is written. Counted are traces that "
        "were whole a second after the load: what a limit holds back comes "
        "later. The paper: all while the limit allows it, then as many as it "
        "carries.")


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
    everybody = series[0]["points"] if series else []
    marks = [next(ms for ms, share in everybody if share >= p / 100)
             for p in (90, 95, 99) if everybody]
    return figure("5b latency of what was captured", plot(
        series, "latency, ms", "share below", True, y_high=1.05, marks=marks),
        "A tenth of all requests takes 20 to 30 ms longer. A percentile "
        "trigger captures these; head sampling captures what there is. "
        "Dotted: the 90th, 95th and 99th percentile of all requests.")


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
        "ten, 8 unrelated ones before them and 9 after." % (got, len(costly), sum(r[3] != "missing" for r in rows)))


def work_table(answers):
    """What is left of the cost where a call has something to do."""
    two = answers.get("6-two")
    rows = []
    for one in (two or {}).get("results", []):
        work = one["name"].startswith("services_work_") and \
            one["name"].endswith("ns")
        if not work and one["name"] != "services_two_traced":
            continue
        ratio = one["ratio"]["off"]
        rows.append("<tr><td>%s%s</td><td>%s</td><td>%s</td><td>%.3g</td>"
                    "</tr>" % (
                        "%g &micro;s" % (int(one["name"].split("_")[2][:-2]) /
                                         1e3) if work else "none",
                        flag(one),
                        short(one["median"] / ratio), short(one["median"]),
                        ratio))
    if not rows:
        return ""
    cost = named(two, "cpu_ns_per_request")
    tail = named(two, "services_two_p99")
    return ("<figure><b>Where a call spins</b><table><tr><th>each call</th>"
            "<th>off, requests/s</th><th>traced</th><th>traced over off</th>"
            "</tr>%s</table><figcaption>Two services, agents, coordinator and "
            "collector on the same cores, more offered than they take. At "
            "100,000 requests/s tracing costs %.4g ns of processor time a "
            "request, all of it included, and the 99th percentile of latency "
            "is %.3g times that without; %s.</figcaption></figure>" % (
                "".join(rows), cost["median"], tail["ratio"]["off"],
                lost(cost)))


def section6(answers):
    hindsight = of_tracer(answers, "6", "hindsight")
    best = max(hindsight, key=lambda one: one["written_bytes"] /
               (one["seconds"] or 1), default=None)
    said = ""
    if best:
        said = ("<p>Hindsight wrote up to %.3g MB/s of trace data here, %s (the "
                "paper: 330), with an event horizon of %.3g s (5.2) in pools "
                "of 128 MiB, and %.2g cores for agents, coordinator and "
                "collector (0.3).</p>" % (
                    best["written_bytes"] / best["seconds"] / 1e6, lost(best),
                    best["horizon_ns"] / 1e9,
                    best["daemon_cpu_ns"] / 1e9 / best["seconds"]))
    for one in runs(answers, "6-payload"):
        said += ("<p>With 4 KiB more in each call's span, at %s requests/s: "
                 "%.3g MB/s, %s.</p>" % (
                     short(one["offered"]),
                     one["written_bytes"] / one["seconds"] / 1e6, lost(one)))
    return ("<h2>Figure 6: two services, every request traced</h2>"
            "<div class=row>" + figure("6 latency and throughput", plot(
                by_tracer(answers, "6", latency), "achieved requests/s",
                "mean latency, ms", True, True),
                "Over rings in shared memory instead of gRPC: a request is "
                "some hundred nanoseconds, and any tracer's cost is seen.") +
            "<div>" + peak_table(answers, "6", paper.TWO_PEAK, True) + said +
            "</div>" + work_table(answers) + "</div>")


def section7(answers):
    pool = answers.get("7-pool")
    goodput, buffers = [], []
    for payload, colour in ((32, "#d1495b"), (256, "#b7791f"),
                            (2048, "#1b6ca8"), (8192, "#2e8540")):
        points = []
        for one in (pool or {}).get("results", []):
            parts = one["name"].split("_")
            if one["name"].startswith("pool_t1_p%d_" % payload):
                points.append((int(parts[3][1:]),
                               one["median"] * (1 - one["lost_share"]),
                               invalid(one)))
        points.sort()
        goodput.append({"name": "%d bytes" % payload, "colour": colour,
                        "points": points})
        buffers.append({"name": "%d bytes" % payload, "colour": colour,
                        "points": [(gb, gb * 1e3 / size, bad)
                                   for size, gb, bad in points]})
    goodput.append({"name": "1 kB, the paper's peak", "paper": True,
                    "colour": "#4a5568", "points": [
                        (paper.POOL_PEAK_BUFFER, paper.POOL_PEAK_GB)]})
    client = answers.get("table3-client")
    rows = []
    for what, theirs, name in paper.TABLE3:
        one = named(client, name) if name else None
        ours = ""
        if one:
            ours = "%.3g%s" % (2048 / one["median"] if one["unit"] == "GB/s"
                               else one["median"], flag(one))
        rows.append("<tr><td>%s</td><td>%s</td><td>%.4g</td></tr>" % (
            escape(what), ours or "&ndash;", theirs))
    clock = named(client, "tracepoint_32B")
    return ("<h2>Figure 7 and table 3: the data plane alone</h2>"
            "<div class=row>" + figure("7a goodput by buffer size", plot(
                goodput, "buffer, bytes", "GB/s of whole traces", True),
                "One thread, by payload of a tracepoint. Smaller than 256 "
                "bytes no buffer is.") +
            figure("7b what the agent takes in", plot(
                buffers, "GB/s of whole traces", "M buffers/s", True, True),
                "The same runs: a point for each size of buffers, from 256 "
                "bytes at the left to 128 kB.") +
            "<figure><b>Table 3</b><table><tr><th>call, one thread</th><th>"
            "here, ns</th><th>paper, ns</th></tr>%s</table><figcaption>Begin "
            "and end are measured as one%s.</figcaption></figure></div>" % (
                "".join(rows),
                "; a read of the clock alone is %.3g ns here, which a "
                "tracepoint with a time has in it" % (
                    clock["median"] / clock["ratio"]["clock"])
                if clock else ""))
