#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three processes as a cluster on loopback: they form it, any of them takes requests, any may die, one may lose its disk.

    test/faults/cluster.py --weir build/weir [--port 21440]     ends with 'N passed, N failed'
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time


class Cluster:
    def __init__(self, weir, port):
        self.weir, self.port = os.path.abspath(weir), port
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="weir-cluster-"))
        self.processes = {}

    def peers(self, ids=(1, 2, 3)):
        return ",".join(f"{i}@127.0.0.1:{self.port + i}" for i in ids)

    def command(self, node, peers=None, data=None):
        return [self.weir, "server", "--id", str(node), "--peers", peers or self.peers(), "--data",
                str(data or self.home / f"d{node}"), "--listen", f"127.0.0.1:{self.port + 10 + node}", "--shards",
                str(1 + node % 2), "--memory", "128MiB"]

    def start(self, *nodes):
        for node in nodes:
            log = open(self.home / f"n{node}.log", "ab")
            self.processes[node] = subprocess.Popen(self.command(node), stdout=log, stderr=subprocess.STDOUT,
                                                    cwd=self.home)

    def end(self, node, how=signal.SIGKILL):
        process = self.processes.pop(node)
        process.send_signal(how)
        return process.wait(timeout=30)

    def stop(self):
        for node in list(self.processes):
            self.end(node)
        shutil.rmtree(self.home, ignore_errors=True)

    def admin(self, node, *words, seconds=10):
        run = subprocess.run([self.weir, "admin", *words, "-b", f"127.0.0.1:{self.port + 10 + node}", "--timeout",
                              f"{seconds}s"], capture_output=True, text=True, timeout=seconds + 5)
        return run.returncode, run.stdout + run.stderr

    def quorum(self, node):
        code, text = self.admin(node, "quorum", "status", "--json", seconds=2)
        return json.loads(text) if code == 0 else None

    def brokers(self, node):
        code, text = self.admin(node, "brokers", "list", "--json", seconds=2)
        return sorted(b["id"] for b in json.loads(text)["brokers"] if b["state"] != "fenced") if code == 0 else None

    def topics(self, node):
        code, text = self.admin(node, "topics", "list", "--json", seconds=3)
        return text if code == 0 else ""

    def in_sync(self, node, topic):
        code, text = self.admin(node, "topics", "describe", topic, "--json", seconds=3)
        return [len(p["in_sync"]) for p in json.loads(text)[0]["partitions"]] if code == 0 else None

    def log(self, node):
        return (self.home / f"n{node}.log").read_text(errors="replace")


def until(seconds, condition):
    """Seconds it took, or None."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if condition():
            return time.monotonic() - begun
        time.sleep(0.02)
    return None


class Checks:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, name, ok, note=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
        print(f"{'ok    ' if ok else 'FAIL  '} {name}{'  ' + str(note) if note else ''}", flush=True)
        return bool(ok)


def refusals(c, t):
    cases = {
        "own id missing": (9, c.peers(), "does not name node 9"),
        "an id twice": (1, "1@127.0.0.1:1,1@127.0.0.1:2", "twice"),
        "an address twice": (1, "1@127.0.0.1:1,2@127.0.0.1:1", "same address"),
        "no address": (1, "1@nowhere", "not ID@HOST:PORT"),
    }
    for name, (node, peers, word) in cases.items():
        run = subprocess.run([*c.command(node, peers, c.home / "none")], capture_output=True, text=True, timeout=20)
        t.check(f"refused: {name}", run.returncode == 1 and word in run.stderr, run.stderr.strip()[:120])


def disagreement(c, t):
    """At the first start all must name the same nodes."""
    base = Cluster(c.weir, c.port + 30)
    lists = {1: base.peers((1, 2)), 2: base.peers((1, 2, 3))}
    for node, peers in lists.items():
        log = open(base.home / f"n{node}.log", "ab")
        base.processes[node] = subprocess.Popen(base.command(node, peers), stdout=log, stderr=subprocess.STDOUT)
    took = until(15, lambda: any("another --peers list" in base.log(n) for n in lists))
    t.check("lists that disagree are refused at the first start", took is not None)
    base.stop()


def form(c, t):
    begun = time.monotonic()
    c.start(1, 2)
    time.sleep(0.5)
    t.check("two of three wait and say for whom", "no answer from node 3" in c.log(1) and not c.quorum(1))
    begun = time.monotonic()
    c.start(3)
    took = until(10, lambda: all(c.brokers(n) == [1, 2, 3] for n in (1, 2, 3)))
    t.check("three processes are a cluster within 2 s of the last", took is not None and took < 2,
            f"{time.monotonic() - begun:.2f} s")
    for node in (1, 2, 3):
        code, text = c.admin(node, "topics", "create", f"from-{node}", "--partitions", "3")
        t.check(f"a topic made through node {node}", code == 0, text.strip())
    seen = [all(f"from-{n}" in c.topics(m) for n in (1, 2, 3)) for m in (1, 2, 3)]
    t.check("answered means known to every broker", all(seen), seen)
    code, text = c.admin(2, "topics", "create", "copies", "--partitions", "3", "--replication-factor", "3")
    t.check("a topic of three replicas", code == 0 and until(5, lambda: c.in_sync(1, "copies") == [3, 3, 3]) is not None,
            text.strip())


def controller_dies(c, t):
    leader = c.quorum(1)["leader"]
    others = [n for n in (1, 2, 3) if n != leader]
    c.end(leader)
    took = until(5, lambda: (c.quorum(others[0]) or {"leader": leader})["leader"] != leader)
    t.check("kill -9 of the controller: another within 1 s", took is not None and took < 1,
            f"{took:.2f} s" if took else "")
    t.check("and the dead broker is gone from metadata", until(3, lambda: c.brokers(others[1]) == others) is not None)
    code, text = c.admin(others[1], "topics", "create", "meanwhile", "--partitions", "2")
    t.check("topics can be made meanwhile", code == 0, text.strip())
    t.check("every partition of three replicas is led by a living one",
            until(5, lambda: c.in_sync(others[0], "copies") == [2, 2, 2]) is not None)
    c.start(leader)
    took = until(10, lambda: c.brokers(leader) == [1, 2, 3] and "meanwhile" in c.topics(leader))
    t.check("it comes back and knows what was made meanwhile", took is not None, f"{took:.2f} s" if took else "")


def disk_is_lost(c, t):
    leader = c.quorum(1)["leader"]
    victim = leader % 3 + 1
    other = victim % 3 + 1
    c.end(victim)
    shutil.rmtree(c.home / f"d{victim}")
    c.start(victim)
    took = until(10, lambda: c.brokers(victim) == [1, 2, 3])
    t.check("an emptied disk rejoins", took is not None, f"{took:.2f} s" if took else "")
    roles = [(r["id"], r["role"]) for r in c.quorum(other)["replicas"]]
    t.check("without a vote", (victim, "observer") in roles, roles)
    code, text = c.admin(other, "quorum", "replace", str(victim), seconds=20)
    t.check("quorum replace gives the vote back", code == 0, text.strip())
    voters = [r["role"] for r in c.quorum(other)["replicas"]]
    t.check("three voters, no observer", len(voters) == 3 and "observer" not in voters, voters)
    target = next(n for n in (1, 2, 3) if n != c.quorum(1)["leader"])
    code, text = c.admin(1, "quorum", "transfer", str(target))
    took = until(3, lambda: (c.quorum(target) or {"leader": 0})["leader"] == target)
    t.check("quorum transfer", code == 0 and took is not None, text.strip())


def all_restart(c, t):
    for node in (1, 2, 3):
        c.processes[node].send_signal(signal.SIGTERM)
    codes = [c.processes.pop(node).wait(timeout=30) for node in (1, 2, 3)]
    t.check("all stop cleanly", codes == [0, 0, 0], codes)
    c.start(1, 2, 3)
    took = until(15, lambda: all(c.brokers(n) == [1, 2, 3] for n in (1, 2, 3)))
    t.check("all start again", took is not None, f"{took:.2f} s" if took else "")
    t.check("everything is still there", all("meanwhile" in c.topics(n) and "from-2" in c.topics(n) for n in (1, 2, 3)))
    c.end(1)
    c.end(2)
    code, text = c.admin(3, "topics", "create", "alone", seconds=3)
    t.check("one of three changes nothing", code != 0, text.strip()[:100])


def two_disks_are_lost(c, t):
    for node in list(c.processes):
        c.end(node)
    for node in (1, 2):
        shutil.rmtree(c.home / f"d{node}")
    c.start(1, 2, 3)
    said = until(15, lambda: "1 of 3 voters are there and 2 are needed" in c.log(3))
    t.check("two of three disks are lost: nothing is elected, and the third says what to do", said is not None,
            [line for line in c.log(3).splitlines() if "no controller" in line][-1:])
    t.check("no second cluster forms", all("is an observer of cluster" in c.log(n) for n in (1, 2)) and
            c.brokers(1) is None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--port", type=int, default=21440)
    args = parser.parse_args()
    t, c = Checks(), Cluster(args.weir, args.port)
    try:
        for step in (refusals, disagreement, form, controller_dies, disk_is_lost, all_restart, two_disks_are_lost):
            step(c, t)
    except Exception as problem:  # the rest cannot be tried
        t.check(f"{step.__name__} ends without an accident", False, repr(problem))
    finally:
        if t.failed:
            for node in (1, 2, 3):
                print(f"--- node {node}\n" + "\n".join(c.log(node).splitlines()[-12:]) if
                      (c.home / f"n{node}.log").exists() else "")
        c.stop()
    print(f"{t.passed} passed, {t.failed} failed")
    sys.exit(1 if t.failed else 0)


if __name__ == "__main__":
    main()
