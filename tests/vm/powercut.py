#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A collector's node whose power is cut in mid-write, again and again.

  powercut.py [--cuts 3] [--others 2] [--dies N] [--limit 300] [--seed N]
              [--planted]

In a guest an hs-collector stores what two agents and a coordinator of the
test send (cut_feed.c), on an ext4 disk with a volatile cache; every slice and
manifest that it acknowledges is printed to this side at once. QEMU is killed
at a random moment. What the disk then holds is made from the record of its
writes: all up to the last flush, and of those behind it any subset, torn
ones among them. The next guest mounts that, opens the store as a collector
does, and compares (cut_check.c): no acknowledged slice or manifest may be
missing, no byte wrong, and index and segments have to agree. So it does with
--others more disks of the same cut, other subsets and earlier moments. Then it
goes on storing, on the first disk, until the next cut, which now and then
comes while it mends. A disk is used for ten cuts.

An emulator that dies of a signal by itself is to the guest a power cut as well:
what it wrote until then is in the files. The disk is made and checked as behind
any cut, a line says so, and it is counted apart: it is none of --cuts. More than
DEATHS_MAX of them are a failure, and so is a guest that goes down, stops or does
not come up by itself; then the end of its console is shown.

--dies: so often SIGSEGV takes the emulator amid a life, to try just that.
--limit: seconds that a guest has, from its boot to its end.

--planted: the collector's syncs do nothing, and the test passes only if what
it acknowledged is missed.

Exit 77 where there is no guest to be had.
"""
import argparse
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import cutlog

HERE = os.path.dirname(os.path.realpath(__file__))
SKIPPED = 77
DISK_BYTES = 256 << 20
CUTS_A_DISK = 10
OTHERS_MAX = 4
ACKS = (50, 1000)       # before a cut
SPAN_S = (0, .3)        # and then
MEND_SPAN_S = (0, 3)    # of mounting and mending, before a cut
MENDING_SHARE = .2
DEATHS_MAX = 5          # of emulators, by themselves


class Failure(Exception):
    pass


class Ended(Exception):
    """The guest's output came to its end where more was expected."""


class Guest:
    """One life of the guest, from its boot to the cut or its end."""

    def __init__(self, scratch, build, args):
        self.scratch, self.build, self.args = scratch, build, args
        self.log = os.path.join(scratch, "log")
        self.pidfile = os.path.join(scratch, "pid")
        self.acks = []      # (line, length of the log when it was read)
        self.lines = []     # all else
        self.rest = b""
        self.patience = 2 * args.limit  # another guest may have to end first
        self.dead = None    # signal that took the emulator, without us

    def drive(self, name, path):
        return ("-blockdev driver=file,filename=%s,node-name=%s,"
                "cache.no-flush=on,discard=ignore " % (path, name))

    def device(self, name):
        return ("-device virtio-blk-pci,drive=%s,write-cache=on,discard=off,"
                "write-zeroes=off " % name)

    def qemu(self, disk, others):
        out = self.drive("disk", disk) + self.drive("record", self.log)
        out += ("-blockdev driver=blklogwrites,node-name=logged,file=disk,"
                "log=record,log-sector-size=512 ") + self.device("logged")
        for i, other in enumerate(others):
            out += self.drive("other%d" % i, other)
            out += self.device("other%d" % i)
        return out

    def start(self, disk, others, first):
        with open(self.log, "wb"):
            pass
        if os.path.exists(self.pidfile):
            os.unlink(self.pidfile)
        level = self.args.random.choice(("-1", "3"))
        interval = self.args.random.choice(("2ms", "20ms", "100ms"))
        self.errors = open(os.path.join(self.scratch, "errors"), "wb")
        preload = os.path.join(self.build, "tests/vm/nosync.so")
        self.child = subprocess.Popen(
            [os.path.join(HERE, "guest.sh"), "-t", str(self.args.limit),
             "-n", "0",
             "-M", "crc32c_generic virtio_blk ext4", "-p", self.pidfile,
             "-x", self.qemu(disk, others), "--",
             os.path.join(HERE, "powercut.sh"), self.build, self.scratch,
             str(first), level, interval] + ([preload] if self.args.planted else []),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=self.errors, cwd=self.build)

    def read(self, until):
        """Take what comes up to a moment. False: it has ended."""
        wait = max(0, until - time.monotonic())
        if not select.select([self.child.stdout], [], [], wait)[0]:
            return True
        data = os.read(self.child.stdout.fileno(), 1 << 16)
        if not data:
            return False
        # What is told is on the disk: within what the log has by now.
        size = os.stat(self.log).st_size
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in (raw.decode(errors="replace") for raw in lines):
            if line[:2] in ("A ", "M "):
                self.acks.append((line, size))
            else:
                self.lines.append(line)
        return True

    def wait_for(self, what):
        """A line, or a number of acknowledgements."""
        until = time.monotonic() + self.patience
        while (len(self.acks) < what if isinstance(what, int)
               else what not in self.lines):
            if not self.read(until):
                raise Ended()
            if time.monotonic() > until:
                raise Failure("the guest did not come to '%s':\n%s"
                              % (what, "\n".join(self.lines[-20:])))

    def wait_span(self, span):
        until = time.monotonic() + span
        while time.monotonic() < until:
            if not self.read(until):
                raise Ended()

    def cut(self, how=signal.SIGKILL):
        """Return: whether it was there to be cut; died_of() may say of what
        it went, and QEMU that ends in order takes its number along."""
        there = True
        try:
            with open(self.pidfile) as f:
                os.kill(int(f.read()), how)
        except (ProcessLookupError, FileNotFoundError):
            there = False
        self.drain()
        return there

    def died_of(self):
        """The signal that the emulator died of without us, or None."""
        with open(self.errors.name, errors="replace") as f:
            found = re.search("^guest: the emulator died of signal ([0-9]+)$",
                              f.read(), re.MULTILINE)
        return int(found.group(1)) if found else None

    def give_up(self):
        if self.child.poll() is None:
            if os.path.exists(self.pidfile):
                self.cut()
            self.child.kill()
        with open(self.errors.name, errors="replace") as f:
            print(f.read()[-2000:])

    def drain(self):
        until = time.monotonic() + self.patience
        while self.read(until):
            if time.monotonic() > until:
                raise Failure("the guest did not end")
        self.child.wait()
        self.errors.close()


class Totals:
    def __init__(self):
        self.cuts = self.mending = self.deaths = self.disks = 0
        self.checked = self.acked = self.lost = self.wrong = 0
        self.behind = self.gone = self.recovered = self.torn = 0


class Test:
    def __init__(self, args, build, scratch):
        self.args, self.build, self.scratch = args, build, scratch
        self.totals = Totals()
        self.acked = []     # lines, of the disk that is used now
        self.first = 1
        self.bad = []

    def path(self, name):
        return os.path.join(self.scratch, name)

    def disk_new(self):
        self.acked = []
        with open(self.path("base"), "wb") as f:
            f.truncate(DISK_BYTES)
        subprocess.run(
            ["mkfs.ext4", "-q", "-F", "-b", "4096", "-E",
             "lazy_itable_init=0,lazy_journal_init=0", self.path("base")],
            check=True)
        self.tell("vda", [])

    def tell(self, disk, lines):
        with open(self.path("acks." + disk), "w") as f:
            f.writelines(line + "\n" for line in lines)

    def life(self, others, feed):
        """A guest on a copy of the base. Return: it, cut, dead or ended."""
        guest = Guest(self.scratch, self.build, self.args)
        cutlog.copy(self.path("base"), self.path("live"))
        guest.start(self.path("live"), others, self.first if feed else 0)
        try:
            try:
                self.live(guest, feed)
            except Ended:
                guest.drain()
                if guest.died_of() is None:
                    raise Failure("the guest ended by itself:\n%s"
                                  % "\n".join(guest.lines[-20:]))
            guest.dead = guest.died_of()
            if guest.dead is not None:
                self.death(guest)
        except Failure:
            guest.give_up()
            raise
        return guest

    def live(self, guest, feed):
        """All of a life, up to its cut if it is one that stores."""
        rng = self.args.random
        if not feed:
            guest.drain()
            return
        mending = self.acked and rng.random() < MENDING_SHARE
        if mending:
            guest.wait_for("OPENING")
            guest.wait_span(rng.uniform(*MEND_SPAN_S))
        else:
            guest.wait_for(rng.randint(*ACKS))
            guest.wait_span(rng.uniform(*SPAN_S))
        dies = self.totals.deaths < self.args.dies
        there = guest.cut(signal.SIGSEGV if dies else signal.SIGKILL)
        if guest.died_of() is None:
            if not there:
                raise Ended()
            self.totals.cuts += 1
            self.totals.mending += bool(mending)

    def death(self, guest):
        self.totals.deaths += 1
        print("the emulator died of signal %d by itself, behind cut %d and %d "
              "acknowledged: the disk is checked as behind a cut, and this is "
              "none of them" % (guest.dead, self.totals.cuts,
                                len(guest.acks)), flush=True)
        if self.totals.deaths > DEATHS_MAX + self.args.dies:
            raise Failure("the emulator died %d times by itself: more than "
                          "%d are no accident" % (self.totals.deaths,
                                                  DEATHS_MAX))

    def check(self, others):
        """A last life that only looks, again if the emulator did not last."""
        ended = False
        while not ended:
            guest = self.life(others, False)
            ended = guest.dead is None
            self.results(guest, ended)

    def results(self, guest, last):
        """What the guest found; the cut may have come before it did."""
        for line in guest.lines:
            if line.startswith("CHECKED "):
                self.count(dict(w.split("=") for w in line.split()[2:]))
            elif line.startswith("RESULT "):
                _, what, rc = line.split()
                if rc != "0":
                    self.bad.append("%s: %s" % (what, rc))
            elif line not in ("OPENING", "up"):
                print("  " + line, flush=True)
        if last and "RESULT check 0" not in guest.lines:
            self.bad.append("the last guest did not check all")
            guest.give_up()

    def count(self, found):
        totals = self.totals
        totals.checked += 1
        totals.acked += int(found["acked"]) + int(found["manifests"])
        totals.lost += int(found["lost"])
        totals.wrong += int(found["corrupt"]) + int(found["astray"])
        totals.recovered += int(found["recovered"])
        totals.torn += int(found["torn"])

    def disks_make(self, guest):
        """The disk that goes on, in the base's place, and others beside."""
        log = cutlog.Log(guest.log)
        rng = self.args.random
        others = []
        for i in range(self.args.others):
            name = "vd" + "bcde"[i]
            nr = len(log.entries)
            if i:       # the cut came earlier, amid as many as may be
                nr = max((rng.randrange(nr // 2, nr + 1) for _ in range(4)),
                         key=log.unflushed)
            self.disk_make(guest, log, nr, name)
            others.append(self.path(name))
        told = self.disk_make(guest, log, len(log.entries), "vda")
        os.replace(self.path("vda"), self.path("base"))
        self.acked = told
        numbers = [int(line[2:]) // (2 if line[0] == "A" else 1)
                   for line in told]
        self.first = max(numbers + [self.first]) + 1000
        return others

    def disk_make(self, guest, log, nr, name):
        rng = self.args.random
        end = log.entries[nr - 1].end if nr else 0
        told = self.acked + [li for li, size in guest.acks if size <= end]
        policy = rng.choice(cutlog.POLICIES)
        behind, gone = cutlog.make(self.path("base"), log, nr, policy, rng,
                                   self.path(name))
        self.totals.disks += 1
        self.totals.behind += behind
        self.totals.gone += gone
        self.tell(name, told)
        return told

    def run(self):
        others = []
        lives = 0
        while self.totals.cuts < self.args.cuts:
            if lives % CUTS_A_DISK == 0:
                if lives:
                    self.check(others)
                    others = []
                self.disk_new()
            guest = self.life(others, True)
            lives += 1
            self.results(guest, False)
            if self.bad and not self.args.planted:
                return      # with the disks as they were found
            others = self.disks_make(guest)
            print("%s %d: %d acknowledged, %d writes in the record"
                  % ("cut" if guest.dead is None else "dead behind cut",
                     self.totals.cuts, len(self.acked),
                     len(cutlog.Log(guest.log).entries)), flush=True)
        self.check(others)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cuts", type=int, default=3)
    parser.add_argument("--others", type=int, default=2,
                        choices=range(OTHERS_MAX + 1))
    parser.add_argument("--dies", type=int, default=0,
                        choices=range(DEATHS_MAX + 1))
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--seed", type=int,
                        default=random.SystemRandom().getrandbits(32))
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--keep", action="store_true",
                        help="leave disks and records behind")
    args = parser.parse_args()
    args.random = random.Random(args.seed)
    return args


def skip_reason():
    ready = subprocess.run([os.path.join(HERE, "guest.sh"), "-b"],
                           stdout=subprocess.DEVNULL)
    if ready.returncode:
        return ready.returncode, "there is no guest"
    if not shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/usr/sbin"):
        return SKIPPED, "there is no mkfs.ext4 (package e2fsprogs)"
    return 0, ""


def say(test):
    t = test.totals
    print("%d cuts, %d of them while it mended; the emulator died %d times by "
          "itself; %d disks made, %d unflushed writes, %d of them lost or torn; "
          "%d checks of %d acknowledged: %d lost, %d corrupt or astray; "
          "%d records found again, %d torn bytes cut off" %
          (t.cuts, t.mending, t.deaths, t.disks, t.behind, t.gone, t.checked,
           t.acked, t.lost, t.wrong, t.recovered, t.torn))


def verdict(test):
    t = test.totals
    say(test)
    for line in test.bad:
        print("failed: " + line)
    if test.args.planted:
        print("planted: %s" % ("missed, as it has to be" if t.lost
                               else "nothing was missed"))
        return 0 if t.lost else 1
    return 1 if test.bad or not t.acked else 0


def main():
    args = arguments()
    rc, why = skip_reason()
    if rc:
        print("powercut: SKIPPED, " + why)
        return rc
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    build = os.path.realpath(os.environ.get("HS_BUILD", "build"))
    scratch = tempfile.mkdtemp(prefix="powercut-",
                               dir=os.path.join(build, "tests/vm"))
    print("powercut: seed %d" % args.seed, flush=True)
    test = Test(args, build, scratch)
    try:
        test.run()
        rc = verdict(test)
    except Failure as failure:
        print("powercut: %s" % failure)
        say(test)
        rc = 1
    if rc and args.keep:
        print("powercut: kept in " + scratch)
    else:
        shutil.rmtree(scratch)
    return rc


if __name__ == "__main__":
    sys.exit(main())
