#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clusters that change their size and place, as processes on loopback: a node begun alone becomes the first of three and of
seven, a cluster moves to other addresses, and nodes that do not belong are refused.

    test/faults/growth.py --weir build/weir [--port 21600] [--only WORD]     ends with 'N passed, N failed'
"""
import argparse
import json
import shutil
import signal
import subprocess
import sys

from cluster import Checks, Cluster, until
from harness import Raw

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

    def spread(self, node, topic, replicas):
        """Asks for those replicas of every partition; the first error code."""
        partitions = [{"partition_index": p["partition"], "replicas": list(replicas)} for p in self.topic(node, topic)["partitions"]]
        with Raw(self.bootstrap(node)) as connection:
            answer = connection.call("AlterPartitionReassignments", 0, {"timeout_ms": 20000, "topics": [
                {"name": topic, "partitions": partitions}]})
        codes = [answer["error_code"]] + [p["error_code"] for t in answer["responses"] for p in t["partitions"]]
        return next((code for code in codes if code), 0)

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
    took = until(20, lambda: c.copies(2, "__consumer_offsets") == [[1, 2, 3]] * 4)
    t.check("__consumer_offsets follows the cluster, and it is said", took is not None and
            any("partitions get 3 replicas, as the cluster has grown" in c.log(n) for n in (1, 2, 3)), c.copies(2, "__consumer_offsets"))
    lines, said = c.consume(3, "kept", "--group", "readers", "--count", "40")
    t.check("the group goes on where it was", len(lines) == 40, (len(lines), said))
    for topic in ("kept", "__consumer_offsets"):
        code = c.spread(1, topic, (2, 3, 1))
        t.check(f"{topic} is raised to three replicas", code == 0 and until(20, lambda: c.copies(2, topic) and all(
            nodes == [1, 2, 3] for nodes in c.copies(2, topic))) is not None, (code, c.copies(2, topic)))
    ok, said = c.produce(3, "kept", range(100, 150), "--acks", "all")
    t.check("records come in", ok, said)
    c.end(1)
    lines, said = c.consume(2, "kept", "--group", "readers", "--count", "50")
    t.check("the first node dies: the group goes on where it was", sorted(map(int, lines)) == list(range(100, 150)), (lines, said))
    ok, said = c.produce(3, "kept", range(150, 200), "--acks", "all")
    lines, more = c.consume(3, "kept", "--from-beginning", "--count", "200")
    t.check("every record is there, and more are taken", ok and sorted(map(int, lines)) == list(range(200)), said + more)
    code, text = c.admin(2, "topics", "create", "after", "--replication-factor", "2")
    t.check("and topics are made", code == 0, text.strip())


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


def segment(c, node, folder):
    """The bytes of a replica's only segment."""
    found = sorted((c.home / f"d{node}" / folder).glob("*.log"))
    return found[0].read_bytes() if len(found) == 1 else b""


def foreign_folders(c, t):
    """What lies in a node's folder and belongs to nobody is put aside, and never taken for another topic's."""
    for node in (1, 2, 3):
        c.begin(node, (1, 2, 3))
    until(10, lambda: c.brokers(1) == [1, 2, 3])
    for topic in ("gone", "again", "stays"):
        c.admin(1, "topics", "create", topic, "--replication-factor", "3")
        in_sync(c, 1, topic, (1, 2, 3))
        c.produce(1, topic, (f"old {i}" for i in range(50)), "--acks", "all")
    until(5, lambda: len(segment(c, 3, "again-0")) == len(segment(c, 1, "again-0")))
    old = segment(c, 3, "again-0")
    for how, name in ((signal.SIGTERM, "a clean stop"), (signal.SIGKILL, "kill -9")):
        c.end(3, how)
        ghost = c.home / "d3" / "ghost-0"
        ghost.mkdir()
        (ghost / f"{0:020}.log").write_bytes(old)
        (ghost / "partition.metadata").write_text("version: 0\ntopic_id: MMMMMMMMMMMMMMMMMMMMMg")
        if how == signal.SIGTERM:
            c.admin(1, "topics", "delete", "gone")
            c.admin(1, "topics", "delete", "again")
            c.admin(1, "topics", "create", "again", "--replication-factor", "2")
            c.admin(1, "topics", "delete", "again")
            until(5, lambda: "again" not in c.topics(1))
            c.admin(1, "topics", "create", "again", "--replication-factor", "3")
            c.produce(1, "again", (f"new {i}" for i in range(80)))
        c.begin(3, (1, 2, 3))
        t.check(f"{name}: the node serves", in_sync(c, 1, "again", (1, 2, 3)) and in_sync(c, 1, "stays", (1, 2, 3)), c.log(3)[-300:])
        def ghosts():
            return [p for p in (c.home / "d3").iterdir() if p.name.startswith("ghost-0.") and p.name.endswith("-stray")]

        until(5, lambda: len(ghosts()) == (1 if how == signal.SIGTERM else 2))
        kept = ghosts()
        t.check(f"{name}: a folder that the metadata do not know is put aside, as it was",
                len(kept) == (1 if how == signal.SIGTERM else 2) and all(segment(c, 3, p.name) == old for p in kept), kept)
        t.check(f"{name}: and said", "ghost-0 belongs to no topic this cluster knows" in c.log(3))
        kept = {p.name.split("-0.")[0]: segment(c, 3, p.name) for p in (c.home / "d3").iterdir() if p.name.endswith("-stray")}
        t.check(f"{name}: so are those of topics deleted meanwhile", kept.get("again") == old and len(kept.get("gone", b"")) > 0, list(kept))
        same = until(5, lambda: segment(c, 3, "again-0") == segment(c, 1, "again-0") != b"")
        t.check(f"{name}: the successor of the same name has its own records", same is not None, segment(c, 3, "again-0")[:200])
        t.check(f"{name}: and its own id", c.topic(1, "again")["id"] in (c.home / "d3" / "again-0" / "partition.metadata").read_text())
        t.check(f"{name}: what stayed, stayed", segment(c, 3, "stays-0") == segment(c, 1, "stays-0") != b"")


def strangers(c, t):
    """Who does not belong is told why, and the cluster goes on."""
    for node in (1, 2, 3):
        c.begin(node, (1, 2, 3))
    until(10, lambda: c.brokers(1) == [1, 2, 3])
    c.admin(1, "topics", "create", "kept", "--replication-factor", "3")
    t.check("a cluster", in_sync(c, 1, "kept", (1, 2, 3)))
    index = c.quorum(1)["committed"]
    # Another process with the id of a live node, from another folder and from a copy of its own.
    c.shift[3] = 24
    twin = c.begin(13, None, ["--id", "3", "--peers", ",".join(c.place(n) for n in (1, 2, 3))])
    said = until(10, lambda: "another process with id 3 is alive" in c.log(13))
    t.check("a second process of a live id is told so", said is not None, c.log(13)[-400:])
    c.shift.clear()
    until(5, lambda: twin.poll() is not None)
    t.check("the first one serves on and stays in sync", c.brokers(1) == [1, 2, 3] and "fenced" not in c.log(1) and
            in_sync(c, 2, "kept", (1, 2, 3)), c.log(1)[-300:])
    c.end(13)
    # A node of another cluster.
    c.begin(14)
    until(10, lambda: "cluster" in c.log(14) and c.brokers(14) is not None)
    c.again(14, (1, 2, 3, 14))
    said = until(10, lambda: "they stay apart" in c.log(14) and "belongs to cluster" in c.log(1))
    t.check("a node of another cluster: both sides say so", said is not None, c.log(14)[-400:])
    t.check("and it is not let in", c.brokers(1) == [1, 2, 3] and c.roles(1) == [(n, "voter") for n in (1, 2, 3)], c.roles(1))
    c.end(14)
    # Of this one, without peers.
    c.end(2, signal.SIGTERM)
    lonely = c.begin(2)
    t.check("a node of several, started without --peers, ends and says what to give", lonely.wait(timeout=15) == 1 and
            "start it with --peers" in c.log(2), c.log(2)[-300:])
    c.begin(2, (1, 2, 3))
    t.check("with them it is back", in_sync(c, 1, "kept", (1, 2, 3)))
    # What the nodes cannot hold.
    code, text = c.admin(1, "topics", "create", "wide", "--replication-factor", "4")
    t.check("a factor above the nodes", code != 0 and "INVALID_REPLICATION_FACTOR" in text, text.strip())
    run = subprocess.run(["kafka-topics.sh", "--bootstrap-server", c.bootstrap(1), "--create", "--topic", "far",
                          "--replica-assignment", "1:2:9"], executable=c.weir, capture_output=True, text=True, timeout=20)
    text = run.stdout + run.stderr
    t.check("an assignment to a node that is not there", run.returncode != 0 and "includes broker 9" in text, text.strip())
    code, text = c.admin(1, "quorum", "add", "9", seconds=20)
    t.check("a vote for a node that is not there", code != 0 and "observer" in text, text.strip()[:200])
    code, text = c.admin(1, "quorum", "remove", "9")
    t.check("taking it away", code != 0 and "VOTER_NOT_FOUND" in text, text.strip())
    t.check("and nothing changed", c.topics(1).count("kept") == 1 and "wide" not in c.topics(1) and "far" not in c.topics(1) and
            c.quorum(1)["committed"] >= index)


def an_empty_disk(c, t):
    """The folder of a node is gone: it comes back under its id, filled again from the leaders, and gets its vote back."""
    for node in (1, 2, 3):
        c.begin(node, (1, 2, 3))
    until(10, lambda: c.brokers(1) == [1, 2, 3])
    c.admin(1, "topics", "create", "kept", "--partitions", "3", "--replication-factor", "3", "--config", "min.insync.replicas=2")
    ok, said = c.produce(1, "kept", range(2000), "--acks", "all")
    t.check("three nodes and 2,000 records", ok and until(10, lambda: c.copies(1, "kept") == [[1, 2, 3]] * 3) is not None, said)
    victim = c.quorum(1)["leader"] % 3 + 1
    other = victim % 3 + 1
    old = next(r["directory_id"] for r in c.quorum(other)["replicas"] if r["id"] == victim)
    c.end(victim)
    shutil.rmtree(c.home / f"d{victim}")
    joins = lambda: sum("join, 0 leave" in line and "kept-" in line for n in (1, 2, 3) for line in c.log(n).splitlines())
    before = joins()
    c.begin(victim, (1, 2, 3))
    joined = until(15, lambda: (victim, "observer") in (c.roles(other) or []))
    t.check("it is an observer", joined is not None, c.roles(other))
    new = next((r["directory_id"] for r in c.quorum(other)["replicas"] if r["id"] == victim and r["role"] == "observer"), None)
    t.check("with another directory id", new not in (None, old), (old, new))
    t.check("it was out of every in-sync set, and came back by fetching", until(15, lambda: joins() >= before + 3) is not None and
            until(15, lambda: c.copies(other, "kept") == [[1, 2, 3]] * 3) is not None, joins() - before)
    same = lambda: [segment(c, victim, f"kept-{p}") == segment(c, other, f"kept-{p}") for p in range(3)]
    held = lambda: sum(len(segment(c, victim, f"kept-{p}")) for p in range(3))
    t.check("its replicas are those of the others, byte for byte", until(5, lambda: all(same())) is not None and held() > 10000,
            (same(), held()))
    code, text = c.admin(other, "quorum", "replace", str(victim), seconds=20)
    t.check("quorum replace", code == 0 and c.roles(other) == [(n, "voter") for n in (1, 2, 3)], (text.strip(), c.roles(other)))
    ids = [r["directory_id"] for r in c.quorum(other)["replicas"] if r["id"] == victim]
    t.check("votes with the new directory id, and the old one is gone", ids == [new], ids)
    third = 6 - victim - other
    c.end(third)
    t.check("and its vote counts: another may die", until(15, lambda: c.brokers(victim) == sorted([victim, other])) is not None)
    ok, said = c.produce(victim, "kept", range(2000, 2100), "--acks", "all")
    lines, more = c.consume(victim, "kept", "--from-beginning", "--count", "2100")
    t.check("every record is there", ok and sorted(map(int, lines)) == list(range(2100)), said + more)


def seven(c, t):
    """Five of seven vote; without a vote a node serves just as well."""
    for node in range(1, 8):
        c.begin(node, range(1, 8))
    everybody = list(range(1, 8))
    t.check("seven nodes", until(20, lambda: all(c.brokers(n) == everybody for n in (1, 4, 7))) is not None, c.brokers(1))
    t.check("the five lowest ids vote", c.roles(7) == [(n, "voter" if n < 6 else "observer") for n in everybody], c.roles(7))
    c.admin(7, "topics", "create", "spread", "--partitions", "7", "--replication-factor", "3")
    spread = lambda: c.topic(7, "spread")["partitions"]
    t.check("every node leads and holds its part", sorted(p["leader"] for p in spread()) == everybody and
            sorted(n for p in spread() for n in p["replicas"]) == sorted(everybody * 3))
    leader = c.quorum(7)["leader"]
    other = leader % 5 + 1
    c.end(leader)
    c.end(other)
    left = [n for n in everybody if n not in (leader, other)]
    t.check("two voters die, the controller among them: the rest goes on", until(20, lambda: c.brokers(7) == left) is not None,
            c.brokers(7))
    ok, said = c.produce(7, "spread", range(100), "--acks", "all")
    t.check("records are taken", ok, said)
    c.begin(leader, everybody)
    c.begin(other, everybody)
    t.check("they are back", until(20, lambda: c.brokers(6) == everybody) is not None)
    t.check("every partition is whole", until(20, lambda: all(len(p["in_sync"]) == 3 for p in spread())) is not None, spread())
    lines, said = c.consume(6, "spread", "--from-beginning", "--count", "100")
    t.check("and every record is there", sorted(map(int, lines)) == list(range(100)), said)
    code, text = c.admin(6, "quorum", "add", "6", seconds=20)
    t.check("an observer may be given a vote", code == 0 and (6, "voter") in c.roles(1), text.strip())


def one_after_the_other(c, t):
    """Nodes that know only node 1 join one at a time, while another leads."""
    c.begin(1, [1])
    until(10, lambda: c.brokers(1) == [1])
    for node in range(2, 8):
        c.begin(node, (1, node))
        t.check(f"node {node} joins", until(15, lambda: c.brokers(node) == list(range(1, node + 1))) is not None,
                (c.brokers(node), c.log(node)[-200:]))
        if node in (2, 3):
            code, text = c.admin(node, "quorum", "add", str(node), seconds=20)
            t.check("and votes", code == 0, text.strip())
        if node == 3:
            c.admin(1, "quorum", "transfer", "3")
            t.check("another leads", until(5, lambda: c.quorum(2)["leader"] == 3) is not None)
    c.admin(2, "topics", "create", "wide", "--partitions", "7", "--replication-factor", "7")
    t.check("a topic of seven replicas", until(15, lambda: c.copies(5, "wide") == [list(range(1, 8))] * 7) is not None,
            c.copies(5, "wide"))
    c.end(1)  # whom all have been told of
    t.check("the first may go", until(15, lambda: c.brokers(6) == list(range(2, 8))) is not None, c.brokers(6))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--port", type=int, default=21600)
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    args = parser.parse_args()
    t = Checks()
    cases = [one_becomes_three, one_after_the_other, seven, moves, strangers, foreign_folders, an_empty_disk]
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
