# SPDX-License-Identifier: Apache-2.0
"""What the comparisons share: the product called by a tool's name beside the real tool on the same broker. What they print
must be the same, to the space, and so must the exit codes.

    HOST:PORT PREFIX NAME WEIR CLASS_PATH_FILE ...      the arguments of each program

Lines are compared sorted, because Kafka prints partitions in the order of a hash map. What differs by nature is made equal
first: times, and the rates of tool_data."""

import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
import cases                                                                        # noqa: E402

bootstrap, prefix, name, weir, class_path_file = sys.argv[1:6]
class_path = open(class_path_file).read().strip()
report = cases.Report(name)
folder = tempfile.mkdtemp(prefix='weir-tools-')
TOOLS = {
    'kafka-broker-api-versions': 'org.apache.kafka.tools.BrokerApiVersionsCommand',
    'kafka-cluster': 'org.apache.kafka.tools.ClusterTool',
    'kafka-consumer-perf-test': 'org.apache.kafka.tools.ConsumerPerformance',
    'kafka-delete-records': 'org.apache.kafka.tools.DeleteRecordsCommand',
    'kafka-dump-log': 'kafka.tools.DumpLogSegments',
    'kafka-features': 'org.apache.kafka.tools.FeatureCommand',
    'kafka-leader-election': 'org.apache.kafka.tools.LeaderElectionCommand',
    'kafka-log-dirs': 'org.apache.kafka.tools.LogDirsCommand',
    'kafka-producer-perf-test': 'org.apache.kafka.tools.ProducerPerformance',
    'kafka-reassign-partitions': 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand',
    'kafka-metadata-quorum': 'org.apache.kafka.tools.MetadataQuorumCommand',
    'kafka-configs': 'kafka.admin.ConfigCommand',
    'kafka-storage': 'kafka.tools.StorageTool',
    'kafka-topics': 'org.apache.kafka.tools.TopicCommand',
    'kafka-consumer-groups': 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
    'kafka-get-offsets': 'org.apache.kafka.tools.GetOffsetShell',
    'kafka-groups': 'org.apache.kafka.tools.GroupsCommand',
    'kafka-console-consumer': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
    'kafka-console-producer': 'org.apache.kafka.tools.ConsoleProducer',
    'kafka-verifiable-producer': 'org.apache.kafka.tools.VerifiableProducer',
    'kafka-verifiable-consumer': 'org.apache.kafka.tools.VerifiableConsumer',
}
SCRIPTS = ['kafka-server-start', 'kafka-server-stop']       # which are no Java


def run(command, stdin=''):
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def words_of(which, arguments, server):
    return (['--bootstrap-server', bootstrap] if server else []) + [str(a) for a in arguments]


def ours(which, *arguments, stdin='', server=True):
    return run([os.path.join(folder, which)] + words_of(which, arguments, server), stdin)


def theirs(which, *arguments, stdin='', server=True):
    return run(['java', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto', '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
                '-cp', class_path, TOOLS[which]] + words_of(which, arguments, server), stdin)


def equal(text):
    """What differs by nature made equal, lines sorted."""
    text = re.sub(r'"timestamp":\d+', '"timestamp":0', text)
    text = re.sub(r'"avg_throughput":[\d.E]+', '"avg_throughput":0', text)
    return sorted(text.splitlines())


def same(which, *arguments, stdin='', server=True, errors=False):
    """Runs both; their output without what a stack trace adds. errors: compare the first line of standard error too."""
    want, got = theirs(which, *arguments, stdin=stdin, server=server), ours(which, *arguments, stdin=stdin, server=server)
    assert got[0] == want[0], '%s %s: exit code %d, not %d: %s' % (which, arguments, got[0], want[0], got[2][:300])
    assert equal(got[1]) == equal(want[1]), '%s %s:\n%s\nand not\n%s' % (which, arguments, got[1], want[1])
    if errors:
        first = want[2].strip().splitlines()[:1]
        assert got[2].strip().splitlines()[:1] == first, '%s %s: %r, not %r' % (which, arguments, got[2][:200], first)
    return got[1]


def install():
    """The links to the product."""
    done = run([weir, 'tools', 'install', folder])
    assert done[0] == 0, done[2]
