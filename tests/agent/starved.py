#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An agent whose standby is still being prepared, at idle priority, ends when it
is told to, whoever else wants the cores. As root: others are more important."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

AGENT = os.environ["HS_AGENT"]
# For each core, so that what is idle gets none of it.
HOGS = 8
# A standby is made 200 ms after a worker is ready, and is at it for a while.
AFTER_S = (0.24, 0.3)
# No measure of speed: it was not over at all.
PATIENCE_S = 30
CONFIG = """node:
  id: 1
run_dir: '{0}'
domains:
  - name: default
    socket: '{0}/sock'
    pool: 16MiB
"""


def ends(after_s):
    folder = tempfile.mkdtemp(prefix="hs-starved-")
    config = os.path.join(folder, "agent.yaml")
    with open(config, "w", encoding="ascii") as f:
        f.write(CONFIG.format(folder))
    with subprocess.Popen([AGENT, "--config", config], text=True,
                          stderr=subprocess.PIPE) as agent:
        try:
            for line in agent.stderr:
                if "worker ready" in line:
                    break
            time.sleep(after_s)
            agent.send_signal(signal.SIGTERM)
            return agent.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            return "not at all"
        finally:
            agent.kill()
            shutil.rmtree(folder)


def main():
    if os.geteuid() != 0:
        print("needs root, for priorities above others'")
        return 77
    hogs = [subprocess.Popen(["nice", "-n", "-15", "sh", "-c",
                              "while :; do :; done"])
            for _ in range(HOGS * os.cpu_count())]
    try:
        for after_s in AFTER_S:
            how = ends(after_s)
            assert how == 0, "told %g s after: %s" % (after_s, how)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
