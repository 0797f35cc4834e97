# SPDX-License-Identifier: Apache-2.0
"""A fabric for scenario tests: daemons as children, applications on a string.

Nothing here waits for a fixed time to pass for good: wait_for() asks for a
state until it is there, and fails with what it saw last.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BUILD = os.environ.get("HS_BUILD", os.path.join(os.path.dirname(
    os.path.abspath(__file__)), "..", "..", "build"))
# "udp", "tcp": slices by the shipping protocol; otherwise by the transport.
SHIP = os.environ.get("HS_SHIP", "")
SHIP_HOST = os.environ.get("HS_SHIP_HOST", "127.0.0.1")
# What carries messages: "shm"; otherwise TCP.
CARRIER = os.environ.get("HS_CARRIER", "")
PATIENCE_S = float(os.environ.get("HS_PATIENCE_S", "30"))


class Failure(Exception):
    """A state that should have come did not."""


def program(name):
    """The path of a built program."""
    folder = {"hs-agent": "agent", "hs-coordinator": "coordinator",
              "hs-collector": "collector",
              "pacer": "tests/e2e", "churn": "tests/e2e"}.get(name, "tools")
    return os.path.join(BUILD, folder, name)


def wait_for(what, probe, patience_s=None):
    """Ask `probe` until it gives something true, and return that."""
    end = time.monotonic() + (patience_s or PATIENCE_S)
    last = None
    while True:
        try:
            last = probe()
        except (OSError, http.client.HTTPException) as error:
            last = None
            reason = error
        else:
            reason = last
        if last:
            return last
        if time.monotonic() > end:
            raise Failure("%s: not in time; last seen: %r" % (what, reason))
        time.sleep(0.02)


def free_ports(count):
    """Ports of 127.0.0.1 that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Door(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, what, body=None):
    """Return (status, decoded answer)."""
    door = Door(path)
    try:
        door.request(method, what, json.dumps(body) if body else None)
        answer = door.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        door.close()


class App:
    """An hs-client: say() gives the rest of its "ok", or fails."""

    def __init__(self, sock, service, attach=True, command=None):
        """`command`: how to start it, where not as a plain child."""
        self.process = subprocess.Popen(
            command or [program("hs-client")], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, bufsize=1)
        self.say("open %s %s" % (sock, service))
        if attach:
            self.say("attach 15")

    def tell(self, line):
        """Send a command without reading the answer."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        """One answer; None at the end."""
        line = self.process.stdout.readline()
        return line.rstrip("\n") if line else None

    def say(self, line):
        self.tell(line)
        answer = self.hear()
        if answer is None or not answer.startswith("ok"):
            raise Failure("hs-client: %s -> %r" % (line, answer))
        return answer[3:]

    def stats(self):
        pairs = (pair.split("=") for pair in self.say("stats").split())
        return {key: int(value) for key, value in pairs}

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        if signo == signal.SIGKILL:
            self.process.wait()

    def close(self):
        if self.process.poll() is None:
            try:
                self.tell("quit")
                self.process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Fabric:
    """N agents, a coordinator and a collector, or two, under one directory."""
    host = "127.0.0.1"  # of the coordinator and the collectors
    ship_more = ""      # lines of "ship", where slices are datagrams

    def __init__(self, nodes, agent_yaml="", pool="16MiB", collectors=1):
        self.dir = tempfile.mkdtemp(prefix="hs-e2e-")
        self.nodes = nodes
        self.agent_yaml = agent_yaml
        self.pool = pool
        self.running = {}
        self.apps = []
        self.collectors = ["collector", "collector-b"][:collectors]
        self.coordinator_port, *ports = free_ports(1 + collectors)
        self.collector_ports = dict(zip(self.collectors, ports))
        self.collector_port = ports[0]
        # Datagrams come at the number that the transport has for TCP.
        self.ship_ports = self.collector_ports
        if SHIP == "tcp":
            self.ship_ports = dict(zip(self.collectors,
                                       free_ports(collectors)))
        self.write_configs()

    def __enter__(self):
        try:
            for name in self.names():
                self.start(name, wait=False)
            for name in self.names():
                self.wait_up(name)
        except BaseException:
            self.__exit__(True, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for app in self.apps:
            app.kill(signal.SIGCONT)
            app.close()
        if kind:
            self.print_logs()
        self.stop_all()
        shutil.rmtree(self.dir, ignore_errors=True)

    def names(self):
        return (self.collectors + ["coordinator"] +
                ["agent-%d" % i for i in range(self.nodes)])

    def path(self, name):
        return os.path.join(self.dir, name)

    def control(self, name):
        return self.path(name + ".sock")

    def write(self, name, text):
        if CARRIER and name.endswith(".yaml"):
            text += "transport:\n  carrier: %s\n" % CARRIER
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text)

    def collector_list(self):
        return ", ".join("%s:%d" % (self.host, port)
                         for port in self.collector_ports.values())

    def write_configs(self):
        collectors = self.collector_list()
        for i, (name, port) in enumerate(self.collector_ports.items()):
            self.write(name + ".yaml", COLLECTOR.format(
                host=self.host, number=2001 + i, name=name,
                control=self.control(name), port=port,
                store=self.path(name.replace("collector", "store"))) +
                self.ship(name))
        self.write("coordinator.yaml", COORDINATOR.format(
            host=self.host, control=self.control("coordinator"),
            port=self.coordinator_port,
            collector=collectors))
        for i in range(self.nodes):
            self.write("agent-%d.yaml" % i, AGENT.format(
                host=self.host,
                number=i + 1, name="node-%d" % i,
                run_dir=self.path("agent-%d" % i),
                control=self.control("agent-%d" % i),
                app=self.path("app-%d.sock" % i), pool=self.pool,
                coordinator=self.coordinator_port,
                collector=collectors) +
                self.ship("agent-%d" % i) + self.agent_yaml)
        self.write("fabric.json", json.dumps({
            "nodes": [{"name": "node-%d" % i, "agent": "agent-%d.sock" % i,
                       "application": "app-%d.sock" % i}
                      for i in range(self.nodes)],
            "coordinators": ["coordinator.sock"],
            "collectors": [name + ".sock" for name in self.collectors]}))

    def ship(self, name):
        """How a daemon ships."""
        if not SHIP:
            return ""
        text = "ship:\n  carrier: %s\n" % SHIP + self.ship_more
        if name in self.collectors:
            return text + '  bind: "%s:%d"\n' % (
                SHIP_HOST, self.ship_ports[name])
        if SHIP_HOST.startswith("["):
            text += '  bind: "[::]:0"\n'
        # In an order of its own: it says nothing about who owns a trace.
        return text + "  collectors: [%s]\n" % ", ".join(
            '"%s:%d"' % (SHIP_HOST, port)
            for port in reversed(self.ship_ports.values()))

    def start(self, name, wait=True, path=None, before=None):
        """`path`: another program than the one that was built; `before`: run
        in the child ahead of it."""
        kind = name.split("-")[0]
        with open(self.path(name + ".log"), "ab") as log:
            self.running[name] = subprocess.Popen(
                self.inside(name) +
                [path or program("hs-" + kind), "--config",
                 self.path(name + ".yaml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=before)
        if wait:
            self.wait_up(name)

    def inside(self, name):
        """Words ahead of a daemon's command line, which become it."""
        return []

    def wait_up(self, name):
        def probe():
            if self.running[name].poll() is not None:
                raise Failure("%s ended with %s" %
                              (name, self.running[name].returncode))
            return ask(self.control(name), "GET", "/v1/status")[0] == 200
        wait_for(name + " answers", probe)

    def kill(self, name, signo=signal.SIGKILL):
        self.running[name].send_signal(signo)
        if signo in (signal.SIGKILL, signal.SIGTERM):
            self.running[name].wait(30)

    def worker(self, name):
        """The pid of an agent's worker: what its keeper started."""
        return self.status(name)["node"]["pid"]

    def stop_all(self):
        for name, process in self.running.items():
            if process.poll() is None and name.startswith("agent"):
                process.send_signal(signal.SIGCONT)
                try:
                    ask(self.control(name), "POST", "/v1/stop",
                        {"purge": True})
                except (OSError, http.client.HTTPException, ValueError):
                    pass
        for process in self.running.values():
            if process.poll() is None:
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def print_logs(self):
        for name in self.names():
            try:
                with open(self.path(name + ".log"), errors="replace") as log:
                    lines = log.read().splitlines()[-15:]
            except OSError:
                continue
            for line in lines:
                print("  %s: %s" % (name, line))

    def app(self, node, service, attach=True):
        one = App(self.path("app-%d.sock" % node), service, attach)
        self.apps.append(one)
        return one

    def status(self, name):
        code, answer = ask(self.control(name), "GET", "/v1/status")
        if code == 503:  # busy: whoever waits asks again
            raise OSError("%s: %r" % (name, answer))
        if code != 200:
            raise Failure("%s: status %d: %r" % (name, code, answer))
        return answer

    def wait_let_go(self, agents):
        """Until no agent keeps what the collector has acknowledged."""
        wait_for("agents let go of what is stored", lambda: not sum(
            domain["buffers"]["pinned"] for i in range(agents)
            for domain in self.status("agent-%d" % i)["domains"]))

    def hs(self, *words):
        """Run hs; return (exit code, its JSON answer or text)."""
        done = subprocess.run(
            [program("hs"), *words, "--fabric", self.dir, "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, done.stdout + done.stderr

    def rows(self, **filters):
        words = []
        for key, value in filters.items():
            words += ["--" + key.replace("_", "-"), str(value)]
        code, answer = self.hs("traces", "list", "--limit", "100000", *words)
        if code not in (0, 1):
            raise OSError("hs traces list: %d %r" % (code, answer))
        return answer["traces"]

    def row(self, trace):
        for row in self.rows():
            if row["trace_id"] == trace:
                return row
        return None

    def wait_mark(self, trace, mark, spans=None):
        """Wait until the trace has this mark, and so many spans."""
        def probe():
            row = self.row(trace)
            good = (row and row["mark"] == mark and
                    (spans is None or row["spans"] == spans))
            if not good:
                raise OSError("row is %r" % (row,))
            return row
        return wait_for("trace %s %s" % (trace, mark), probe)

    def wait_bytes(self, trace, least):
        """Wait until the collector has so many bytes of it."""
        def probe():
            row = self.row(trace)
            if not row or row["bytes"] < least:
                raise OSError("row is %r" % (row,))
            return row
        return wait_for("%u bytes of trace %s" % (least, trace), probe)

    def spans(self, trace):
        """(service, operation) of every span, sorted, from the export."""
        code, answer = self.hs("traces", "export", "--format", "jaeger",
                               trace)
        if code:
            raise Failure("export: %d %r" % (code, answer))
        found = []
        for one in answer["data"]:
            for span in one["spans"]:
                process = one["processes"][span["processID"]]
                found.append((process["serviceName"], span["operationName"]))
        return sorted(found)


COLLECTOR = """node:
  id: {number}
  name: {name}
control:
  socket: {control}
listen: {host}:{port}
store: {store}
"""

COORDINATOR = """node:
  id: 1001
  name: coordinator
control:
  socket: {control}
listen: {host}:{port}
collectors: [{collector}]
"""

AGENT = """node:
  id: {number}
  name: {name}
run_dir: {run_dir}
control:
  socket: {control}
domains:
  - name: default
    socket: {app}
    pool: {pool}
coordinators: [{host}:{coordinator}]
collectors: [{collector}]
linger: 5s
"""
