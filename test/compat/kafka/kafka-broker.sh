#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs one Apache Kafka node (KRaft, broker and controller in one process) in the foreground, as the reference that the
# compatibility suite and the benches stand beside. Its jars come from Maven Central through ../install.sh kafka.
#
#   kafka-broker.sh VERSION PORT DATA [KEY=VALUE]...
#
# Listens on 127.0.0.1:PORT, keeps its controller on PORT+1, its data in DATA (formatted when empty). Every KEY=VALUE
# is written to the broker's properties. End it with SIGTERM to this process (it is replaced by java).
set -eu
[ $# -ge 3 ] || { sed -n '4,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
version=$1 port=$2 data=$3
shift 3
cache=${WEIR_CLIENT_CACHE:-${HOME:-/root}/.cache/weir-clients}
class_path_file=$cache/kafka-$version.classpath
[ -s "$class_path_file" ] || { echo "no $class_path_file: run test/compat/install.sh kafka-$version" >&2; exit 1; }
class_path=$(cat "$class_path_file")

mkdir -p "$data/log"
controller=$((port + 1))
{
    echo "process.roles=broker,controller"
    echo "node.id=1"
    echo "controller.quorum.voters=1@127.0.0.1:$controller"
    echo "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller"
    echo "advertised.listeners=PLAINTEXT://127.0.0.1:$port"
    echo "controller.listener.names=CONTROLLER"
    echo "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    echo "log.dirs=$data/log"
    echo "offsets.topic.replication.factor=1"
    echo "offsets.topic.num.partitions=4"
    echo "transaction.state.log.replication.factor=1"
    echo "transaction.state.log.min.isr=1"
    echo "transaction.state.log.num.partitions=4"
    echo "share.coordinator.state.topic.replication.factor=1"
    echo "share.coordinator.state.topic.min.isr=1"
    echo "group.initial.rebalance.delay.ms=0"
    for setting; do echo "$setting"; done
} > "$data/server.properties"

java_options="-Xms${KAFKA_HEAP:-512m} -Xmx${KAFKA_HEAP:-512m} -XX:+UseG1GC -XX:TieredStopAtLevel=${KAFKA_JIT_LEVEL:-4}
    -Dorg.slf4j.simpleLogger.defaultLogLevel=${KAFKA_LOG_LEVEL:-warn}"
if [ ! -e "$data/log/meta.properties" ]; then
    # The cluster id is fixed, so that recorded bytes do not differ between runs for no reason.
    java $java_options -cp "$class_path" kafka.tools.StorageTool format --ignore-formatted \
        --cluster-id "${KAFKA_CLUSTER_ID:-d2VpcmNvbXBhdHN1aXRlMQ}" --config "$data/server.properties" >&2
fi
exec java $java_options -cp "$class_path" kafka.Kafka "$data/server.properties"
