# SPDX-License-Identifier: Apache-2.0
"""The page: what was measured, what differs from the paper, how it was made."""
import os
import re
from html import escape

import sections
from sections import machine_of, named

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1220px;margin:2em auto;
padding:0 1.2em;color:#1f2937}
h1{font-size:1.7em;margin-bottom:.1em} h2{margin-top:2em;font-size:1.25em;
border-bottom:1px solid #d6dbe1;padding-bottom:.2em}
.row{display:flex;flex-wrap:wrap;gap:1.2em} figure{margin:0;flex:1 1 360px;
min-width:340px;max-width:580px} figcaption{font-size:.9em;color:#4b5563}
svg{width:100%;height:auto} table{border-collapse:collapse;margin:.6em 0}
td,th{border:1px solid #d6dbe1;padding:.25em .7em;text-align:right}
td:first-child,th:first-child{text-align:left} th{background:#f3f5f8}
code{background:#f3f5f8;padding:.1em .3em;font-size:.86em}
.none{color:#9ca3af;font-style:italic} .note{color:#4b5563;font-size:.92em}
.quick{background:#fff4d6;padding:.5em 1em;border-left:4px solid #e0a800}
"""


def topology(answers):
    """Of figure 3, as it was run."""
    if any(name.startswith("3-") and "chain:8" in answer["command"]
           for name, answer in answers.items()):
        return ("The topology of figure 3 is a chain of eight services: no "
                "HS_SHARED_DATA was there with the Alibaba one. ")
    return ("The topology is the one of 73 services, since that of 93 is not "
            "public; calls of interfaces that are not in it, and calls that "
            "close circles, are left out, and requests begin only where "
            "somebody is called. ")


def differences(machine, answers):
    return (
        "<h2>What differs from the paper's testbed</h2><p>The paper ran "
        "MicroBricks in gRPC and C++ on 14 machines with 544 cores, a "
        "container for each of 93 services, OpenTelemetry's collector and "
        "Jaeger, on a network of its own. This is one machine with %s cores "
        "(%s), on which load, services, agents, coordinator and collectors "
        "share the processor; its stalls are in <code>machine_stalls</code> "
        "of each file. Services are loops over rings in shared memory, "
        "without an RPC stack and without computation, so that rates are "
        "higher, latencies lower, and a tracer's share of a request larger. "
        "%sA point is three seconds, not minutes. Four agents have the services "
        "among them, not one for each container, and 4a and 4b are the "
        "daemons' logic under virtual time. Tail sampling is this program's own "
        "collector, which counts spans and stores nothing: a floor for what "
        "one costs, not what OpenTelemetry's does; <code>hs-perf services "
        "--otlp URL</code> measures against any other. Use cases run on "
        "chains of services in place of DeathStarBench and HDFS. Network is "
        "loopback. The paper's numbers are those in its text.</p>" % (
            machine.get("cores", "?"), escape(str(machine.get("cpu", ""))),
            topology(answers)))


def stalls(answers):
    values = sorted(one["median"] for answer in answers.values()
                    for one in [named(answer, "machine_stalls")] if one)
    if not values:
        return ""
    return ("<p class=note>Control: before each run a loop that does nothing "
            "stood still for %.2g %% of the time in the median of the runs, "
            "%.2g %% at worst.</p>" % (
                values[len(values) // 2] * 100, values[-1] * 100))


def commands(answers):
    return ("<h2>How each was made</h2><p class=note>Files are beside the page; "
            "the figures of a run come from its <code>--details</code>.</p>"
            "<table><tr><th>file</th><th>command"
            "</th></tr>%s</table>" % "".join(
                '<tr><td><a href="raw/%s.json">%s</a></td><td style='
                '"text-align:left"><code>%s</code></td></tr>' % (
                    escape(name), escape(name), escape(answer["command"]))
                for name, answer in answers.items()))


def write_report(folder, answers, quick):
    """Return the path of the page."""
    machine = machine_of(answers)
    page = os.path.join(folder, "index.html")
    body = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Hindsight "
        "Fabric: the paper's evaluation</title><style>%s</style><h1>The "
        "paper's evaluation, on this machine</h1><p>Section 6 of &ldquo;The "
        "Benefit of Hindsight&rdquo; (NSDI &rsquo;23), by <code>hs-perf "
        "figures</code>.</p>" % STYLE,
        "<p class=quick>Made with --quick: spans are short and points few. It "
        "shows that everything runs, not how fast.</p>" if quick else "",
        "<p class=note>A crossed ring, or the word invalid, is a run that lost "
        "more than 0.1 % of what it was to record.</p>",
        stalls(answers), sections.section3(answers),
        sections.section4(answers),
        "<h2>Figure 5: the use cases</h2><div class=row>",
        sections.section5a(answers), sections.section5b(answers),
        sections.section5c(folder, answers),
        "</div>", sections.section6(answers), sections.section7(answers),
        differences(machine, answers), commands(answers), "</html>"]
    text = "".join(body)
    with open(page, "w", encoding="utf-8") as out:
        out.write(text)
    # Each plot by itself, too, as pages of others take it.
    for title, svg in re.findall(r"<figure><b>([^<]*)</b>(<svg.*?</svg>)",
                                 text, re.S):
        with open(os.path.join(folder, title.split()[0] + ".svg"), "w",
                  encoding="utf-8") as out:
            out.write(svg + "\n")
    return page
