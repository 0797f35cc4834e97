# SPDX-License-Identifier: Apache-2.0
"""What is run for which figure: each step is one hs-perf command, whose
results and details are one JSON file."""
import os

TRACERS = ["none", "hindsight", "head:0.01", "tail-async", "tail-sync"]
ALIBABA = "microbricks/100_alibaba_topology.json"


class Step:
    """A command and the file that it leaves."""

    def __init__(self, name, words, reads_details=False, after=None,
                 truths=False, beyond=None):
        self.name = name
        self.words = words
        self.reads_details = reads_details
        self.after = after  # (step, function of its answer -> more words)
        self.truths = truths
        # The step before: where that was beyond saturation this is left out.
        self.beyond = beyond


def is_beyond(one):
    """Whether of a run a tenth of what was due in the span did not even begin:
    a point there is enough. What was achieved has Poisson's noise in it."""
    return one["unsent"] > 0.1 * one["offered"] * one["seconds"]


def curves(figure, rates, words, seconds, quick):
    """A tracer after the other over all rates up to the first that it does not
    carry, one step a point, so that what is interrupted goes on where it
    was. Where it is to be quick there are few, and all are run."""
    steps = []
    for tracer in TRACERS:
        before = None
        for rate in rates:
            before = Step(
                "%s-%s-%s" % (figure, tracer.replace(":", ""), rate),
                ["services", "--tracer", tracer, "--rate", str(rate),
                 "--edge", "0.01", "--span", "%gs" % seconds] + words,
                reads_details=True, beyond=None if quick else before)
            steps.append(before)
    return steps


# Figure 3b of Hindsight, where 3 s are too few requests.
EDGES = 10000
EDGE_SPAN_S = 66


def edges(rates, words, quick):
    """So long that there are ten thousand edge cases, or about a minute."""
    steps, before = [], None
    for rate in rates:
        span = 1 if quick else min(EDGE_SPAN_S,
                                   max(3, 1.03 * EDGES / 0.01 / rate))
        before = Step("3edges-%s" % rate,
                      ["services", "--rate", str(rate), "--edge", "0.01",
                       "--span", "%.1fs" % span] + words,
                      reads_details=True, beyond=before)
        steps.append(before)
    return steps


def limited(share, nodes):
    """So much of what was written may be reported, by all agents together."""
    def words(answer):
        one = answer["details"][0]
        rate = one["written_bytes"] / one["seconds"]
        return ["--byte-rate", "%dB" % max(1024, share * rate / nodes)]
    return words


def figure5(quick):
    """The three use cases, as examples/ has them."""
    seconds = "2s" if quick else "6s"
    one = ["services", "-t", "chain:4", "--nodes", "4", "--rate", "1k",
           "--symptom", "failing", "--at", "service2", "--trigger",
           "exception", "--pool", "64MiB", "--span", seconds, "--idle",
           "sleep", "--settle", "1s"]
    two = ["services", "-t", "chain:3", "--nodes", "3", "--rate", "1k",
           "--work", "sleep", "--symptom", "slow", "--slow", "20ms", "--edge",
           "0.1", "--pool", "64MiB", "--span", seconds, "--idle", "sleep"]
    base = Step("5a-volume", one + ["--edge", "0.01"], reads_details=True)
    steps = [base]
    for share in (0.01, 0.05):
        for error in ([0.02, 0.1] if quick else [0.01, 0.02, 0.04, 0.06,
                                                 0.08, 0.1]):
            steps.append(Step(
                "5a-%g-%g" % (share, error), one + ["--edge", str(error)],
                reads_details=True, after=(base, limited(share, 4))))
    for percentile in (90, 95, 99):
        steps.append(Step("5b-p%d" % percentile,
                          two + ["--trigger", "percentile:%d" % percentile],
                          reads_details=True))
    steps.append(Step("5b-head", two + ["--trigger", "none", "--tracer",
                                        "fabric-head:0.05"],
                      reads_details=True))
    steps.append(Step("5c-queue", [
        "services", "-t", "two", "--rate", "1k", "--burst",
        "1s,10,15ms" if quick else "2s,10,15ms", "--at", "service2",
        "--trigger", "queue:99", "--pool", "64MiB", "--span",
        "2s" if quick else "5s", "--edge", "0", "--all-truths", "--idle",
        "sleep"],
        reads_details=True, truths=True))
    return steps


def all_steps(quick, commands):
    """Every step of every figure; @commands is what this hs-perf can do."""
    seconds = 0.5 if quick else 3
    shared = os.environ.get("HS_SHARED_DATA")
    large = ["--warm", "300ms", "--pool", "64MiB", "--idle", "yield"]
    if shared and os.path.exists(os.path.join(shared, ALIBABA)):
        large += ["-t", ALIBABA, "--nodes", "4", "--callers"]
    else:
        large += ["-t", "chain:8", "--nodes", "4"]
    two = ["--warm", "300ms", "--pool", "128MiB", "-t", "two"]
    steps = curves("3", [500, 4000] if quick else
                   [1000 << k for k in range(12)], large, seconds, quick)
    steps += edges([4000] if quick else [1000 << k for k in range(12)],
                   large, quick)
    steps += curves("6", [2000, 20000] if quick else
                    [10000, 50000, 100000, 200000, 400000, 800000, 1600000,
                     3200000, 6400000, 12800000, 25600000], two, seconds,
                    quick)
    steps.append(Step("6-two", [
        "services", "--two", "--rate", "100k", "--works", "1us,2us,5us,10us",
        "--span", "100ms" if quick else "400ms", "--warm",
        "100ms" if quick else "400ms", "--turns", "1" if quick else "5"]))
    steps.append(Step("6-payload", [
        "services", "--rate", "5k" if quick else "50k", "--payload", "4KiB",
        "--edge", "0.001", "--pool", "512MiB", "--span", "%gs" % seconds],
        reads_details=True))
    steps.append(Step("4ab-fairness", ["fairness", "--seconds",
                                       "5" if quick else "60"]))
    steps.append(Step("4a-loads", [
        "fairness", "--seconds", "4" if quick else "20", "--loads",
        "5000" if quick else "2500,5000,20000,28000"]))
    if "traverse" in commands:
        steps.append(Step("4c-traverse", ["traverse"]))
        for size in (2, 4) if quick else (2, 4, 6, 8, 10):
            steps.append(Step("4c-%d" % size, [
                "traverse", "--sizes", str(size), "--rates",
                "100" if quick else "100,1000,3000,7500", "--seconds",
                "1" if quick else "2"]))
    steps += figure5(quick)
    steps.append(Step("7-pool", ["pool", "--span",
                                 "20ms" if quick else "200ms"]))
    steps.append(Step("table3-client", ["client", "--no-peers", "--rounds",
                                        "6" if quick else "40", "--span",
                                        "50ms" if quick else "300ms"]))
    return steps
