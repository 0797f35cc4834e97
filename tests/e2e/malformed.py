#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nonsense at every door, and the house still stands.

    malformed.py                 all of them
    malformed.py NAME...         these: wire, agent_wire, control, yaml, files,
                                 answers, memory

After each, the daemons that were tormented are the same processes, and collect
a good trace, complete. Seeded; run against an ASan build it shows what is not
merely survived by luck.
"""
import array
import ctypes
import json
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import traceback

from fabric import Failure, Fabric, free_ports, program, wait_for

MAGIC = 0x31465348
HELLO, PING, PONG, TRIGGER, COLLECT, CRUMBS = 1, 2, 3, 4, 5, 6
UPDATE, MANIFEST, MANIFEST_ACK, STORED, SLICE, SLICE_ACK = range(7, 13)
NODE = 0x7700000001


def crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC = crc_table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = CRC[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xffffffff


def message(kind, payload, seq=1):
    return struct.pack("<IHHIIQQ", MAGIC, 1, kind, len(payload),
                       crc32c(payload), NODE, seq) + payload


def hello(role, name):
    return message(HELLO, struct.pack("<HHHHIIQ32s", role, 1, 1, 0, 64, 0,
                                      NODE, name.encode()))


def trigger(key=1):
    return struct.pack("<QQQQ32sQQ", NODE, key, 1, 1, b"bad", 5, 6)


def answer(nr_crumbs=2):
    return struct.pack("<QQQIHHIIQ", 5, 6, NODE, 1, 4, 0, 1, nr_crumbs,
                       100) + struct.pack("<QII", 0x8800000001, 0, 0) * 2


def goods():
    """One well-formed message of each kind."""
    group = trigger() + struct.pack("<II", 1, 0)
    body = bytes(range(100))
    return [
        (1, TRIGGER, group + answer()),
        (1, UPDATE, group + answer()),
        (1, CRUMBS, group + answer()),
        (2, COLLECT, group + struct.pack("<QQ", 5, 6)),
        (2, STORED, struct.pack("<QQ", NODE, 1)),
        (2, MANIFEST, struct.pack("<QQQIHHII", 5, 6, 1, 1, 1, 0, 1, 1) +
         trigger() + answer()),
        (3, MANIFEST_ACK, struct.pack("<QQQII", 5, 6, 1, 1, 0)),
        (3, SLICE_ACK, struct.pack("<IIQ", 1, 0, 5)),
        (1, SLICE, struct.pack("<QQQQQIIIIIIHHI4x", 5, 6, NODE, 1, 1, 1, 1, 0,
                               0, len(body), crc32c(body), 0, 1, 0) + body),
        (1, PING, struct.pack("<QQ", 1, 0)),
    ]


def say(port, data):
    """Send, close; whatever the other side does."""
    with socket.create_connection(("127.0.0.1", port), 5) as one:
        try:
            one.sendall(data)
        except OSError:
            pass


def torments(rng):
    """(what, bytes) for a listener."""
    for role, kind, payload in goods():
        name = "kind %d" % kind
        start = hello(role, "evil")
        whole = start + message(kind, payload, 2)
        for cut in range(len(whole)):
            if cut < len(start) and kind != TRIGGER:
                continue
            yield "%s cut at %d" % (name, cut), whole[:cut]
        for at in range(len(payload)):
            bad = bytearray(payload)
            bad[at] ^= rng.choice((0xff, 0x80, 1))
            yield ("%s byte %d" % (name, at),
                   start + message(kind, bytes(bad), 2))
        for at in range(32):
            bad = bytearray(message(kind, payload, 2))
            bad[at] ^= 0xff
            yield "%s header byte %d" % (name, at), start + bytes(bad)
        for fewer in range(0, len(payload), 4):
            yield ("%s of %d bytes" % (name, fewer),
                   start + message(kind, payload[:fewer], 2))
        yield name + " without hello", message(kind, payload, 2)
        for other in (1, 2, 3, 9):
            yield name + " of another role", (
                hello(other, "evil") + message(kind, payload, 2) * 3)
    for _ in range(200):
        yield "noise", rng.randbytes(rng.randrange(1, 5000))


def one_good(fabric, app):
    """A trace through what was tormented, complete."""
    trace = app.say("begin good")
    app.say("finish good " + app.say("span good op"))
    app.say("end good")
    app.say("trigger good " + trace)
    fabric.wait_mark(trace, "complete", 1)


def same_processes(fabric, pids):
    for name, pid in pids.items():
        if fabric.running[name].poll() is not None:
            raise Failure("%s ended with %d" % (
                name, fabric.running[name].returncode))
        if pid_of(fabric, name) != pid:
            raise Failure("%s is another process than before" % name)


def pid_of(fabric, name):
    """Of the worker, where there is one."""
    status = fabric.status(name)
    if name.startswith("agent"):
        return status["node"]["pid"]
    return fabric.running[name].pid


def pids_of(fabric):
    return {name: pid_of(fabric, name) for name in fabric.names()}


def wire():
    """The listeners of coordinator and collector."""
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        pids = pids_of(fabric)
        for port in (fabric.coordinator_port, fabric.collector_port):
            for what, data in torments(random.Random(port)):
                try:
                    say(port, data)
                except OSError as error:
                    raise Failure("after %s: %s" % (what, error)) from error
        same_processes(fabric, pids)
        one_good(fabric, app)


def agent_wire():
    """What an agent hears from those it dials."""
    port, = free_ports(1)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen()
    listener.settimeout(10)
    rng = random.Random(7)
    cases = [(role, kind, p) for role, kind, p in goods() if role > 1]
    with Fabric(1) as fabric:
        pids = pids_of(fabric)
        config = fabric.path("agent-0.yaml")
        with open(config, encoding="utf-8") as source:
            text = source.read()
        with open(config, "w", encoding="utf-8") as out:
            out.write(text.replace("collectors: [", "collectors: ["
                                   "127.0.0.1:%d, " % port, 1))
        fabric.kill("agent-0", 15)
        fabric.start("agent-0")
        pids = pids_of(fabric)
        for _ in range(40):
            one, _ = listener.accept()
            role, kind, payload = rng.choice(cases)
            bad = bytearray(message(kind, payload, 2))
            data = hello(role, "evil")
            for _ in range(rng.randrange(1, 20)):
                payload_bad = bytearray(payload)
                payload_bad[rng.randrange(len(payload))] ^= 0xff
                data += message(kind, bytes(payload_bad), 2)
            bad[rng.randrange(len(bad))] ^= 0xff
            data += bytes(bad)
            try:
                one.sendall(data[:rng.randrange(32, len(data))])
            except OSError:
                pass
            one.close()
        listener.close()
        same_processes(fabric, pids)
        fabric.write("agent-0.yaml", text)
        fabric.kill("agent-0", 15)
        fabric.start("agent-0")
        one_good(fabric, fabric.app(0, "svc"))


def knock(path, data):
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(10)
        one.connect(path)
        try:
            one.sendall(data)
            one.settimeout(0.3)  # a part of a request: nothing to answer yet
            return one.recv(200)
        except OSError:
            return b""


def control():
    """HTTP garbage on the control sockets."""
    rng = random.Random(3)
    post = ("POST /v1/trigger HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
            "\r\n")
    bodies = [b"{", b"[" * 100000, b'{"trigger":' * 5000, b"\xff\xfe\x00",
              b'{"trigger":"x","trace_id":5}', b'{"trigger":{},"last_ns":-1}',
              b'{"trigger":"x","last_ns":1e400}', b'"x"', b"null", b"{}",
              b'{"trigger":"x","last_ns":1,"limit":4097}',
              b'{"trigger":"' + b"n" * 70000 + b'","trace_id":"1"}',
              b'{"trigger":"x","trace_id":"zz"}',
              b'{"trigger":"x","trace_id":"1","lateral":["2",3]}',
              json.dumps({"trigger": "x", "trace_id": "1",
                          "lateral": ["%x" % (i + 2) for i in range(33)]}
                         ).encode()]
    noise = [b"", b"\r\n\r\n", b"GET", b"GET /\r\n\r\n",
             b"GET /v1/status HTTP/9.9\r\n\r\n",
             b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
             b"GET /v1/status HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
             b"POST /v1/trigger HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
             b"POST /v1/trigger HTTP/1.1\r\nContent-Length: "
             b"99999999999999999999\r\n\r\n",
             b"POST /v1/trigger HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
             b"\r\nffffffffffffffff\r\n",
             b"GET /v1/traces/..%2f..%2fetc HTTP/1.1\r\n\r\n",
             b"GET /v1/traces?limit=-1&since=x&mark=? HTTP/1.1\r\n\r\n",
             b"GET /v1/traces/" + b"f" * 33 + b" HTTP/1.1\r\n\r\n"]
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        pids = pids_of(fabric)
        for name in fabric.names():
            path = fabric.control(name)
            for one in noise + [rng.randbytes(rng.randrange(1, 3000))
                                for _ in range(50)]:
                knock(path, one)
            for body in bodies:
                said = knock(path, (post % len(body)).encode() + body)
                if name.startswith("agent") and b" 200 " in said[:20]:
                    raise Failure("taken: %r: %r" % (body[:60], said))
                knock(path, (post % (len(body) + 9)).encode() + body)
        same_processes(fabric, pids)
        one_good(fabric, app)


def run(command, **more):
    """(exit code, all it said); it may fail, but not fall."""
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False,
                          **more)
    text = done.stdout.decode(errors="replace")
    if done.returncode < 0 or "Sanitizer" in text or "runtime err" in text:
        raise Failure("%r: %d: %s" % (command, done.returncode, text[-3000:]))
    return done.returncode, text


def refused(command, wants, **more):
    """The program ends by itself, not 0, naming what was wrong."""
    code, text = run(command, **more)
    if code == 0:
        raise Failure("%r was content: %s" % (command, text[-3000:]))
    for want in wants:
        if want not in text:
            raise Failure("%r does not name %r: %s" % (command, want,
                                                       text[:600]))
    return text


def yaml():
    """Files that no daemon may take, each told where."""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        "%s: &%s [*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]\n" %
        ((b, b) + (a,) * 8) for a, b in zip("abcdefgh", "bcdefghi"))
    odd = {"bomb": bomb, "tab": "node:\n\tid: 1\n",
           "twice": "node:\n  id: 1\n  id: 2\n", "list": "- a\n- b\n",
           "unknown": "nod:\n  id: 1\n", "deep": "[" * 50000,
           "deep_map": "{a: " * 20000, "merge": "<<: *x\n",
           "scalar": "hello\n",
           "huge_number": "node:\n  id: 99999999999999999999\n",
           "negative": "node:\n  id: -1\n", "nul": "node:\n  id: \0 1\n",
           "utf8": "node:\n  name: \udcff\udcfe\n",
           "open": "node: {id: 1\n", "tag": "node: !!python/none x\n",
           "two": "node: {id: 1}\n---\nnode: {id: 2}\n",
           "long": "node:\n  name: " + "n" * 3000000 + "\n"}
    with Fabric(0) as fabric:
        for name, text in odd.items():
            path = fabric.path(name + ".yaml")
            with open(path, "w", encoding="utf-8",
                      errors="surrogateescape") as out:
                out.write(text)
            for daemon in ("hs-agent", "hs-coordinator", "hs-collector"):
                refused([program(daemon), "--config", path], [path])


def files():
    """hs-replay and input that is cut, huge, or says too little."""
    span = {"traceID": "1" * 32, "spanID": "2" * 16, "operationName": "op",
            "references": [], "startTime": 1700000000000000, "duration": 5,
            "tags": [], "logs": [], "processID": "p1"}

    def write(folder, name, spans, cut=None):
        text = json.dumps({"data": [{"traceID": "1" * 32, "spans": spans,
                                     "processes": {"p1": {
                                         "serviceName": "s",
                                         "tags": []}}}]})
        path = os.path.join(folder, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text[:cut])
        return path, len(text)

    with Fabric(0) as fabric:
        def replay(path, *wants):
            return refused([program("hs-replay"), "--nodes", "1", "--speed",
                            "50", "--trigger", "share=1", path],
                           wants, cwd=fabric.dir)
        path, length = write(fabric.dir, "cut.json", [span])
        for cut in range(0, length, 7):
            write(fabric.dir, "cut.json", [span], cut)
            replay(path, "cut.json")
        bare = {k: v for k, v in span.items() if k != "traceID"}
        replay(write(fabric.dir, "bare.json", [bare])[0], "bare.json")
        odd = dict(span, traceID="not hex")
        replay(write(fabric.dir, "odd.json", [odd])[0], "odd.json")
        path = fabric.path("deep.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write("[" * 1000000)
        replay(path, "deep.json")
        big = dict(span, tags=[{"key": "big", "type": "string",
                                "value": "x" * (100 << 20)}])
        path = write(fabric.dir, "big.json", [big])[0]
        text = run([program("hs-replay"), "--nodes", "1", "--speed", "50",
                    "--trigger", "share=1", path], cwd=fabric.dir)[1]
        for want in ("big.json: data[0].spans[0].tags[0]", "cut to 65536",
                     "complete=1 partial=0"):
            if want not in text:
                raise Failure("100 MB: no %r in: %s" % (want, text[-2000:]))


def answers():
    """hs and whoever answers it with anything."""
    replies = [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n"
               b"Content-Length: 5\r\n\r\n{", b"garbage",
               b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx",
               b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}"]
    for body in (b"{}", b"[]", b"null", b"5", b'{"traces":5}', b"[" * 90000,
                 b'{"traces":[{}]}', b'{"traces":[{"trace_id":5}]}',
                 b'{"node":[],"domains":{},"triggers":5,"peers":[[]]}',
                 b'{"node":{"id":5},"domains":[5],"stats":{"x":"y"}}',
                 b'{"traces":[{"trace_id":"1","services":{},"causes":[5],'
                 b'"nodes":5,"triggers":[[]],"duration_ns":"x"}]}',
                 b'{"spans":[{}],"trace_id":"1"}', b'\xff\xfe'):
        replies.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" %
                       (len(body), body))
    current = [b""]
    with Fabric(0) as fabric:
        path = fabric.path("liar.sock")
        door = socket.socket(socket.AF_UNIX)
        door.bind(path)
        door.listen()

        def serve():
            while True:
                try:
                    one, _ = door.accept()
                except OSError:
                    return
                one.settimeout(2)
                try:
                    one.recv(4096)
                    one.sendall(current[0])
                except OSError:
                    pass
                one.close()
        threading.Thread(target=serve, daemon=True).start()
        where = ["--collector", path, "--agent", path, "--coordinator", path]
        for reply in replies:
            current[0] = reply
            for words in (["status"], ["traces", "list"],
                          ["traces", "show", "1"],
                          ["traces", "export", "--format", "jaeger", "1"],
                          ["trigger", "1"], ["stop"]):
                run([program("hs"), *words, *where, "--timeout", "3s"])
        door.close()


class Guest:
    """An attachment without the library: it may write what it likes."""

    def __init__(self, path):
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.settimeout(10)
        self.line.connect(path)
        self.line.send(struct.pack("<IHHIIQ64s", 0x4f4c4548, 1, 1, 0, 0, 0,
                                   b"liar"))
        data, ancillary, _, _ = self.line.recvmsg(64, 256)
        fds = array.array("i")
        for _, _, block in ancillary:
            fds.frombytes(block[:len(block) // 4 * 4])
        _, _, verdict, self.process = struct.unpack_from("<IHHI", data)
        if verdict or len(fds) != 3:
            raise OSError("verdict %d, %d descriptors" % (verdict, len(fds)))
        self.fds = list(fds)
        sizes = [os.fstat(fd).st_size for fd in self.fds]
        self.down = mmap.mmap(self.fds[0], sizes[0], prot=mmap.PROT_READ)
        self.up = mmap.mmap(self.fds[1], sizes[1])
        self.pool = mmap.mmap(self.fds[2], sizes[2])
        self.sizes = sizes
        head = struct.unpack_from("<QIIQIIQ8I6I9Q", self.down)
        (self.nr_rings, self.ring_words, self.nr_lanes, self.lane_entries,
         self.nr_slots, _) = head[15:21]
        (self.down_rings, self.down_tails, self.up_rings, self.up_slots,
         self.up_lanes, self.lane_stride, self.ring_stride) = head[21:28]

    def words(self):
        """Stock words that the agent granted."""
        at = self.down_rings + 64
        return [w for w in struct.unpack_from(
            "<%dQ" % self.ring_words, self.down, at) if w]

    def punch(self, which, offset, length):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate64.argtypes = [ctypes.c_int, ctypes.c_int,
                                     ctypes.c_int64, ctypes.c_int64]
        return libc.fallocate64(self.fds[which], 3, offset, length)

    def close(self):
        self.up.close()
        self.down.close()
        self.pool.close()
        for fd in self.fds:
            os.close(fd)
        self.line.close()


def lie(guest, rng):
    """One round of nonsense in up and pool, some of it almost right."""
    words = guest.words()
    for _ in range(rng.randrange(1, 6)):
        lane = guest.up_lanes + rng.randrange(guest.nr_lanes) * \
            guest.lane_stride
        head, = struct.unpack_from("<Q", guest.up, lane)
        nr = rng.randrange(1, 20)
        for i in range(nr):
            word = rng.choice(words) if words and rng.random() < 0.9 else \
                rng.getrandbits(64)
            committed = rng.choice((64, 65, 200, 32768, 0, 1, 0xfffffff,
                                    rng.getrandbits(32)))
            entry = struct.pack(
                "<QQIIIHBB", 0, rng.randrange(0, 4), word & 0xffffffff,
                committed & 0xffffffff, rng.randrange(4), rng.randrange(9),
                rng.choice((1, 1, 2, 2, 3, 4, 5, 6, 7, 255)),
                rng.randrange(40))
            at = lane + 64 + (head + i) % guest.lane_entries * 32
            guest.up[at:at + 32] = entry
        struct.pack_into("<Q", guest.up, lane, head + nr)
    for _ in range(10):
        slot = guest.up_slots + rng.randrange(guest.nr_slots) * 64
        word = rng.choice(words) if words else rng.getrandbits(64)
        struct.pack_into("<IIQQQIIQ", guest.up, slot, rng.randrange(1, 8),
                         rng.randrange(4), 0, rng.randrange(4), word,
                         rng.randrange(5), rng.randrange(2), 1)
        at = (word & 0xffffffff) * 256
        if at + 64 <= guest.sizes[2]:
            struct.pack_into("<IHHQQQIIIIIIQ", guest.pool, at, 0x42534848, 1,
                             64, word, 0, rng.randrange(4), guest.process,
                             rng.randrange(4), rng.randrange(4),
                             rng.choice((0, 64, 300, 0xffffffff)),
                             rng.getrandbits(32), 0, rng.getrandbits(64))
            guest.pool[at + 64:at + 264] = rng.randbytes(200)


def memory():
    """A guest that lies in shared memory and punches holes into it."""
    rng = random.Random(11)
    with Fabric(1) as fabric:
        app = fabric.app(0, "svc")
        pids = pids_of(fabric)
        for round_ in range(30):
            def attach():
                return Guest(fabric.path("app-0.sock"))
            guest = wait_for("an attachment", attach)
            for _ in range(rng.randrange(1, 15)):
                lie(guest, rng)
                which = rng.choice((1, 2))
                size = guest.sizes[which]
                at = rng.randrange(0, size, 4096)
                guest.punch(which, at, min(size - at, 4096 *
                                           rng.randrange(1, 200)))
                if rng.random() < 0.3:
                    struct.pack_into("<Q", guest.up, guest.up_lanes,
                                     rng.getrandbits(64))
                if rng.random() < 0.3:
                    struct.pack_into("<Q", guest.up, guest.up_rings,
                                     rng.getrandbits(64))
            if round_ % 3 == 0:
                guest.up[:] = rng.randbytes(len(guest.up))
            guest.close()
            fabric.hs("trigger", "%032x" % rng.randrange(1, 4))
        same_processes(fabric, pids)
        trace = app.say("begin late")
        app.say("end late")
        # The pool is shared with the liar: a new process gets a good trace.
        one_good(fabric, fabric.app(0, "svc-2"))
        if not trace:
            raise Failure("no trace")


ALL = [wire, agent_wire, control, yaml, files, answers, memory]


def main():
    by_name = {one.__name__: one for one in ALL}
    failed = 0
    for name in sys.argv[1:] or by_name:
        try:
            by_name[name]()
            print("ok   %s" % name, flush=True)
        except Exception:  # pylint: disable=broad-except
            failed += 1
            traceback.print_exc()
            print("FAIL %s" % name, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
