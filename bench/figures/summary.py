# SPDX-License-Identifier: Apache-2.0
"""summary.json: the few figures that others refer to, in the one format of
results, each with the command that made it and the file that has all of it."""
import json
import os

from sections import (invalid, invalid_capture, machine_of, named, of_tracer,
                      runs, wilson)

# Results of single steps that are passed on as they are.
PASSED = (
    ("6-two", ("machine_stalls", "services_two_off", "services_two_traced",
               "services_two_calm", "cpu_ns_per_request", "services_two_p99",
               "services_work_1000ns", "services_work_2000ns",
               "services_work_5000ns", "services_work_10000ns",
               "services_work_90")),
    ("6-payload", ("trace_bytes_per_s",)),
    ("4ab-fairness", ("fairness_coherent_A", "fairness_coherent_B",
                      "fairness_coherent_F", "fairness_use_F",
                      "horizon_half_10MB", "horizon_half_100MB")),
    ("4a-loads", ("fairness_coherent_A_28000", "fairness_coherent_B_28000",
                  "fairness_coherent_F_28000")),
    ("4c-traverse", ("traverse_10nodes_100_tcp", "traverse_10nodes_7500_tcp")),
    ("table3-client", ("tracepoint_32B", "span_5attr", "begin_end_64B",
                       "payload_2kB", "traces_per_GB", "percentile_p9999")),
)


def share(name, hits, n, answer, step, note, tracer="hindsight"):
    low, high = wilson(hits, n)
    one = answer["details"][0]
    return {"name": name, "unit": "share", "median": hits / n, "low": low,
            "high": high, "n": n, "note": note, "step": step,
            "command": answer["command"], "lost_share": one["lost_share"],
            "valid": not invalid_capture(one, tracer)}


def step_of(answers, one):
    return next(name for name, answer in answers.items()
                if (answer.get("details") or [None])[0] is one)


def captured(answers):
    """A share for each load."""
    results = []
    for prefix, tracer, name in (
            ("3edges-", "hindsight", "edge_capture"),
            ("3-tail-async-", "tail-async", "edge_capture_tail_async"),
            ("3-head0.01-", "head:0.01", "edge_capture_head")):
        for one in runs(answers, prefix):
            edge = one["edge"]
            if not edge["all"]:
                continue
            step = step_of(answers, one)
            results.append(share(
                "%s_%d" % (name, one["offered"]), edge["whole"], edge["all"],
                answers[step], step, "%.0f/s offered, %.0f/s achieved; whole "
                "traces of edge cases, 1 %% of requests" % (
                    one["offered"], one["achieved"]), tracer))
    return results


def network(answers):
    """Bytes of Hindsight over those of tail sampling, at the same load."""
    tails = {one["offered"]: one for one in
             of_tracer(answers, "3", "tail-async")}
    results = []
    for one in of_tracer(answers, "3", "hindsight"):
        tail = tails.get(one["offered"])
        if not tail or one["achieved"] < 0.9 * one["offered"] or \
                tail["achieved"] < 0.9 * tail["offered"]:
            continue
        step = step_of(answers, one)
        rate = [each["network_bytes"] / each["seconds"]
                for each in (one, tail)]
        results.append({
            "name": "network_%d" % one["offered"], "unit": "B/s",
            "median": rate[0], "n": one["measured"],
            "lost_share": one["lost_share"], "valid": not invalid(one),
            "ratio": {"tail_async": rate[0] / rate[1]}, "step": step,
            "note": "all messages, 1 %% of requests collected; tail "
                    "sampling lost %.2g %%" % (tail["lost_share"] * 100),
            "command": answers[step]["command"]})
    return results


def use_cases(answers):
    results = []
    for limit in ("0.01", "0.05"):
        name = "5a-%s-0.1" % limit
        if name in answers:
            edge = answers[name]["details"][0]["edge"]
            results.append(share("errors_captured_limit_%s" % limit,
                                 edge["whole"], edge["all"], answers[name],
                                 name, "one in ten fails; so much of what is "
                                 "written may be reported"))
    if "5c-queue" in answers:
        costly = answers["5c-queue"]["details"][0]["costly"]
        results.append(share("queue_culprits", costly["whole"], costly["all"],
                             answers["5c-queue"], "5c-queue",
                             "expensive requests that came before those that "
                             "waited"))
    return results


def passed(answers):
    results = []
    for step, names in PASSED:
        for name in names:
            one = named(answers.get(step), name)
            if one:
                results.append(dict(one, step=step,
                                    command=answers[step]["command"]))
    return results


def write_summary(folder, answers):
    machine = machine_of(answers)
    said = {"machine": {key: machine[key] for key in
                        ("cpu", "cores", "memory", "tsc_ghz")
                        if key in machine},
            "results": captured(answers) + network(answers) +
            use_cases(answers) + passed(answers)}
    with open(os.path.join(folder, "summary.json"), "w",
              encoding="utf-8") as out:
        json.dump(said, out, indent=1)
        out.write("\n")
