#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the real clients that run.py drives: install.sh [NAME]...   (no name: all of them)
#
# Everything goes below $WEIR_CLIENT_CACHE (default ~/.cache/weir-clients), never into the repository; what is there already is left
# alone and needs no network. A client that cannot be installed leaves <name>.missing with the reason, which run.py prints as a skipped
# case. Versions are pinned here, so that a run means the same on every machine.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cache=${WEIR_CLIENT_CACHE:-${HOME:-/root}/.cache/weir-clients}
mkdir -p "$cache/bin"

all="kcat confluent kafka-python-2.0.2 kafka-python java java-3.9 java-tools franz-go sarama kafka-go kafka-go-0.4.47 kafkajs platformatic"
confluent_version=2.16.1
kafka_python_version=3.0.12
java_version=4.4.0
java_old_version=3.9.1
broker_version=4.1.1
codecs="python-snappy==0.7.3 lz4==4.4.5 zstandard==0.25.0 crc32c==2.9.post0"
maven="mvn -q -B -ntp org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath -DincludeScope=runtime"

# stamp FILE TEXT: true when FILE holds exactly TEXT, that is when the thing it stands for is installed.
stamp() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# python NAME PACKAGE...: a virtual environment with those packages.
python() {
    local name=$1
    shift
    stamp "$cache/$name/installed" "$*" && return 0
    local interpreter=/usr/bin/python3
    [ -x $interpreter ] || interpreter=python3
    rm -rf "${cache:?}/$name"
    $interpreter -m venv "$cache/$name" && "$cache/$name/bin/pip" -q --disable-pip-version-check install "$@" || return 1
    echo "$*" > "$cache/$name/installed"
}

# class_path NAME POM VERSION: resolves the artifacts of a POM and writes their class path.
class_path() {
    local file=$cache/$1.classpath
    [ -s "$file" ] && ! tr ':' '\n' < "$file" | while read -r jar; do [ -f "$jar" ] || echo missing; done | grep -q missing && return 0
    $maven -f "$2" -Dkafka.version="$3" -Dmdep.outputFile="$file"
}

# java_client NAME VERSION: the Java program compiled against one release of kafka-clients.
java_client() {
    class_path "kafka-clients-$2" "$here/java/pom.xml" "$2" || return 1
    local sum
    sum=$(cat "$here"/java/*.java | sha256sum)
    stamp "$cache/$1/installed" "$sum" && return 0
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1"
    javac -Xlint:all,-removal,-deprecation -d "$cache/$1" -cp "$(cat "$cache/kafka-clients-$2.classpath")" "$here"/java/*.java || return 1
    echo "$sum" > "$cache/$1/installed"
}

# go_client NAME FOLDER MOD_FILE: one Go program, built once for its sources.
go_client() {
    command -v go > /dev/null || { echo "no go compiler"; return 1; }
    local sum
    sum=$(cat "$here/go/$2"/*.go "$here"/go/cases/*.go "$here/go/$3" | sha256sum)
    stamp "$cache/bin/$1.installed" "$sum" && return 0
    (cd "$here/go" && go build -mod=readonly -modfile="$3" -o "$cache/bin/$1" "./$2") || return 1
    echo "$sum" > "$cache/bin/$1.installed"
}

# node_client NAME: the packages of the client's package.json.
node_client() {
    command -v npm > /dev/null || { echo "no npm"; return 1; }
    local sum
    sum=$(sha256sum < "$here/$1/package.json")
    stamp "$cache/node-$1/installed" "$sum" && return 0
    rm -rf "${cache:?}/node-$1"
    mkdir -p "$cache/node-$1"
    cp "$here/$1/package.json" "$cache/node-$1/" && (cd "$cache/node-$1" && npm install --silent --no-audit --no-fund) || return 1
    echo "$sum" > "$cache/node-$1/installed"
}

install() {
    case $1 in
    kcat) command -v kcat || { echo "not installed: apt-get install kcat"; return 1; } ;;
    confluent) python py-confluent confluent-kafka==$confluent_version ;;
    kafka-python-2.0.2) python py-kafka-python-2.0.2 kafka-python==2.0.2 six==1.17.0 $codecs ;;
    kafka-python) python py-kafka-python kafka-python==$kafka_python_version $codecs ;;
    java) java_client java $java_version ;;
    java-3.9) java_client java-3.9 $java_old_version ;;
    java-tools | kafka-$broker_version) class_path kafka-$broker_version "$here/kafka/pom.xml" $broker_version ;;
    kafka-go-0.4.47) go_client "$1" kafka-go go-0.4.47.mod ;;
    kafka-[0-9]*) class_path "$1" "$here/kafka/pom.xml" "${1#kafka-}" ;;
    franz-go | sarama | kafka-go) go_client "$1" "$1" go.mod ;;
    kafkajs | platformatic) node_client "$1" ;;
    *) echo "no such client; known: $all kafka-VERSION (a broker)"; return 1 ;;
    esac
}

failed=0
for name in ${*:-$all}; do
    if out=$(install "$name" 2>&1); then
        rm -f "$cache/$name.missing"
    else
        echo "$out" | grep -v '^ *$' | tail -1 > "$cache/$name.missing"
        echo "$name: cannot be installed: $(cat "$cache/$name.missing")" >&2
        failed=1
    fi
done
exit $failed
