#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clusters that change their size and place, as processes on loopback: a node begun alone becomes the first of three and of
seven, a cluster moves to other addresses, and nodes that do not belong are refused.

    test/faults/growth.py --weir build/weir [--port 21600] [--only WORD]     ends with 'N passed, N failed'
"""
import argparse
import json
import signal
import subprocess
import sys

from cluster import Checks, Cluster, until

SHORT = ["--set", "broker.session.timeout.ms=3000", "--set", "broker.heartbeat.interval.ms=500",
         "--set", "group.initial.rebalance.delay.ms=0", "--set", "offsets.topic.num.partitions=4"]


class Growing(Cluster):
    """Nodes of which each has a list of its own. host[n] is where node n is."""

    def __init__(self, weir, port):
        super().__init__(weir, port)
        self.host, self.shift = {}, {}

    def place(self, node):
        return f"{node}@{self.host.get(node, '127.0.0.1')}:{self.port + node + self.shift.get(node, 0)}"

    def begin(self, node, ids=None, extra=(), listen=None):
        """Starts it with those nodes in --peers; None: without --peers."""
        host = listen or self.host.get(node, "127.0.0.1")
        command = [self.weir, "server", "--id", str(node), "--data", str(self.home / f"d{node}"), "--listen",
                   f"{host}:{self.port + 10 + node}", "--memory", "96MiB", *SHORT, *extra]
        if ids:
            command += ["--peers", ",".join(self.place(i) for i in ids)]
        log = open(self.home / f"n{node}.log", "ab")
        self.processes[node] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.home)
        return self.processes[node]

    def again(self, node, ids, **options):
        code = self.end(node, signal.SIGTERM)
        self.begin(node, ids, **options)
        return code

    def bootstrap(self, node):
        return f"{self.host.get(node, '127.0.0.1')}:{self.port + 10 + node}"

    def admin(self, node, *words, seconds=10):
        run = subprocess.run([self.weir, "admin", *words, "-b", self.bootstrap(node), "--timeout", f"{seconds}s"],
                             capture_output=True, text=True, timeout=seconds + 10)
        return run.returncode, run.stdout + run.stderr

    def roles(self, node):
        quorum = self.quorum(node)
        return sorted((r["id"], "voter" if r["role"] == "leader" else r["role"]) for r in quorum["replicas"]) if quorum else None

    def produce(self, node, topic, lines, *options):
        text = "".join(f"{line}\n" for line in lines)
        run = subprocess.run([self.weir, "produce", topic, "-b", self.bootstrap(node), "--timeout", "15s", *options],
                             input=text, capture_output=True, text=True, timeout=40)
        return run.returncode == 0, run.stderr

    def consume(self, node, topic, *options):
        run = subprocess.run([self.weir, "consume", topic, "-b", self.bootstrap(node), "--timeout", "15s", *options],
                             capture_output=True, text=True, timeout=40)
        return run.stdout.split(), run.stderr

    def topic(self, node, topic):
        code, text = self.admin(node, "topics", "describe", topic, "--json", seconds=3)
        return json.loads(text)[0] if code == 0 else None

    def copies(self, node, topic):
        found = self.topic(node, topic)
        return [sorted(p["in_sync"]) for p in found["partitions"]] if found else None


def one_becomes_three(c, t):
    """A node begun without --peers; the data never move."""
    c.begin(1)
    t.check("one node, no peers", until(10, lambda: c.brokers(1) == [1]) is not None, c.log(1)[-200:])
    c.admin(1, "topics", "create", "kept", "--partitions", "2")
    ok, said = c.produce(1, "kept", range(100))
    t.check("it takes records", ok, said)
    lines, said = c.consume(1, "kept", "--group", "readers", "--from-beginning", "--count", "60")
    t.check("and commits", len(lines) == 60, said)
    code, text = c.admin(1, "quorum", "add", "2", seconds=4)
    t.check("nobody can join a node without a port, and it says how", code != 0 and "--peers" in text, text.strip()[:200])
    began = c.quorum(1)
    t.check("it ends cleanly and starts with itself in --peers", c.again(1, [1]) == 0 and
            until(10, lambda: c.brokers(1) == [1]) is not None, c.log(1)[-200:])
    t.check("the same voter", began["replicas"][0]["directory_id"] == c.quorum(1)["replicas"][0]["directory_id"])
    for node in (2, 3):
        c.begin(node, range(1, node + 1))
        t.check(f"node {node} joins without a vote", until(10, lambda: (node, "observer") in (c.roles(1) or [])) is not None,
                c.log(node)[-300:])
        code, text = c.admin(node, "quorum", "add", str(node), seconds=20)
        t.check("and is given one", code == 0, text.strip())
    t.check("three voters", c.roles(2) == [(1, "voter"), (2, "voter"), (3, "voter")], c.roles(2))
    t.check("three brokers, seen by each", until(10, lambda: all(c.brokers(n) == [1, 2, 3] for n in (1, 2, 3))) is not None)
    t.check("node 1 was told of none of them, and warns", "another --peers list (nodes 1,2) than this node (1)" in c.log(1))
    lines, said = c.consume(3, "kept", "--group", "readers", "--count", "40")
    t.check("the group goes on where it was", len(lines) == 40, (len(lines), said))


def in_sync(c, asked, topic, nodes):
    return until(15, lambda: c.copies(asked, topic) == [sorted(nodes)]) is not None


def moves(c, t):
    """Three nodes change their peer addresses one at a time, then all at once, then start with lists that are all wrong."""
    all_three = (1, 2, 3)
    for node in all_three:
        c.begin(node, all_three)
    until(10, lambda: c.brokers(1) == [1, 2, 3])
    c.admin(1, "topics", "create", "kept", "--replication-factor", "3")
    t.check("three nodes", in_sync(c, 1, "kept", all_three), c.copies(1, "kept"))
    for node in all_three:
        c.shift[node] = 20
        code = c.again(node, all_three)  # its list has the new places of those before it, the old ones of those behind
        asked = node % 3 + 1
        t.check(f"node {node} is found at its new address", code == 0 and in_sync(c, asked, "kept", all_three),
                (code, c.copies(asked, "kept")))
    ok, said = c.produce(2, "kept", range(10), "--acks", "all")
    t.check("records are taken", ok, said)
    for node in all_three:
        c.processes[node].send_signal(signal.SIGTERM)
    for node in all_three:
        c.processes.pop(node).wait(timeout=30)
        c.shift[node] = 24
    for node in all_three:
        c.begin(node, all_three)
    t.check("all move at once", in_sync(c, 3, "kept", all_three), c.copies(3, "kept"))
    for node in all_three:
        c.end(node)
    for node in all_three:
        new, c.shift = dict(c.shift), {n: 24 for n in (node, 2)}
        c.begin(node, all_three)  # names only itself and node 2 where they are
        c.shift = new
    t.check("one that is found is enough to find the others", in_sync(c, 1, "kept", all_three), c.copies(1, "kept"))
    lines, said = c.consume(1, "kept", "--from-beginning", "--count", "10")
    t.check("and every record is there", lines == [str(i) for i in range(10)], said)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--port", type=int, default=21600)
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    args = parser.parse_args()
    t = Checks()
    cases = [one_becomes_three, moves]
    for number, case in enumerate(case for case in cases if args.only in case.__name__):
        print(f"-- {case.__name__}", flush=True)
        c, failed = Growing(args.weir, args.port + 40 * number), t.failed
        try:
            case(c, t)
        except Exception as problem:  # pylint: disable=broad-except
            t.check(f"{case.__name__} ends without an accident", False, repr(problem))
        finally:
            for log in sorted(c.home.glob("n*.log")) if t.failed > failed else []:
                print(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-14:]))
            c.stop()
    print(f"{t.passed} passed, {t.failed} failed")
    sys.exit(1 if t.failed else 0)


if __name__ == "__main__":
    main()
