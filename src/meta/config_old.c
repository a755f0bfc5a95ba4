// SPDX-License-Identifier: Apache-2.0
//
// Names that people's files contain and that are no keys: older spellings that are read on, and those that are refused
// with what replaced them. In the order of their names; a name ending in * stands for every name that begins so, one
// ending in # for every name that goes on with a number.
#include "meta/config.h"
#include "meta/config_rows.h"

#include "base/assert.h"

#define ZOOKEEPER(n, i, t)                                                                                             \
    {                                                                                                                  \
        n, CONFIG_OLD_ZOOKEEPER, i, t                                                                                  \
    }
#define REMOVED(n, i, t)                                                                                               \
    {                                                                                                                  \
        n, CONFIG_OLD_REMOVED, i, t                                                                                    \
    }
#define MISSPELT(n, i)                                                                                                 \
    {                                                                                                                  \
        n, CONFIG_OLD_MISSPELT, i, "no such key"                                                                       \
    }
#define CLIENT(n, t)                                                                                                   \
    {                                                                                                                  \
        n, CONFIG_OLD_CLIENT, NULL, t                                                                                  \
    }
#define JVM "a Java class cannot be loaded here; remove the line"
#define ENSEMBLE "a ZooKeeper setting; there is no ZooKeeper here, the quorum is part of every node (--peers)"
#define GONE "removed from Kafka; remove the line"

static const struct config_old old_rows[] = {
    CLIENT("acks", "a setting of producers"),
    REMOVED("advertised.host", "advertised.listeners", "use advertised.listeners=PLAINTEXT://HOST:PORT"),
    {"advertised.host.name", CONFIG_OLD_MAPPED, "advertised.listeners",
     "use advertised.listeners=PLAINTEXT://HOST:PORT"},
    {"advertised.port", CONFIG_OLD_MAPPED, "advertised.listeners", "use advertised.listeners=PLAINTEXT://HOST:PORT"},
    REMOVED("alter.config.policy.class.name", NULL, JVM),
    CLIENT("auto.offset.reset", "a setting of consumers"),
    MISSPELT("boostrap.servers", "bootstrap.servers"),
    CLIENT("bootstrap.servers",
           "a setting of clients; for the cluster's own addresses use controller.quorum.voters or --peers"),
    {"broker.id", CONFIG_OLD_ALIAS, "node.id", "renamed to node.id"},
    REMOVED("client.quota.callback.class", NULL, JVM),
    ZOOKEEPER("clientPort", NULL, ENSEMBLE),
    REMOVED("control.plane.listener.name", NULL, "only existed with ZooKeeper; remove the line"),
    REMOVED("controller.message.queue.size", NULL, GONE),
    REMOVED("create.topic.policy.class.name", NULL, JVM),
    ZOOKEEPER("dataDir", "log.dirs", "a ZooKeeper setting; metadata is kept under log.dirs (or metadata.log.dir)"),
    REMOVED("eligible.leader.replicas.enable", NULL, "eligible leader replicas are always on"),
    CLIENT("group.id", "a setting of consumers"),
    REMOVED("group.coordinator.new.enable", NULL, "there is one coordinator, it serves both protocols"),
    {"host.name", CONFIG_OLD_MAPPED, "listeners", "use listeners=PLAINTEXT://HOST:PORT"},
    ZOOKEEPER("initLimit", NULL, ENSEMBLE),
    REMOVED("inter.broker.protocol.version", NULL, "replaced by metadata.version; see weir admin features"),
    REMOVED("kafka.metrics.polling.interval.secs", NULL, JVM),
    REMOVED("kafka.metrics.reporters", NULL, JVM),
    {"log.cleaner.enabled", CONFIG_OLD_MISSPELT, "log.cleaner.enable", "no such key"},
    MISSPELT("log.clenup.policy", "log.cleanup.policy"),
    {"log.dir", CONFIG_OLD_ALIAS, "log.dirs", "read as log.dirs"},
    {"log.delete.delay.ms", CONFIG_OLD_ALIAS, "log.segment.delete.delay.ms", "renamed to log.segment.delete.delay.ms"},
    REMOVED("log.message.downconversion.enable", NULL, "removed from Kafka 4.0; old message formats are not written"),
    REMOVED("log.message.format.version", NULL, "removed from Kafka 4.0; logs are always in format 2"),
    REMOVED("log.message.timestamp.difference.max.ms", "log.message.timestamp.before.max.ms",
            "split into log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms"),
    MISSPELT("log.segment.ms", "log.roll.ms"),
    REMOVED("max.message.size", "message.max.bytes", "the key is message.max.bytes"),
    REMOVED("message.downconversion.enable", NULL, "removed from Kafka 4.0; old message formats are not written"),
    REMOVED("message.format.version", NULL, "removed from Kafka 4.0; logs are always in format 2"),
    REMOVED("message.timestamp.difference.max.ms", "message.timestamp.before.max.ms",
            "split into message.timestamp.before.max.ms and message.timestamp.after.max.ms"),
    CLIENT("metadata.broker.list", "a setting of clients"),
    CLIENT("metadata.max.age.ms", "a setting of clients"),
    {"port", CONFIG_OLD_MAPPED, "listeners", "use listeners=PLAINTEXT://HOST:PORT"},
    REMOVED("principal.builder.class", NULL, JVM),
    MISSPELT("receie.buffer.bytes", "socket.receive.buffer.bytes"),
    REMOVED("replica.lag.max.messages", "replica.lag.time.max.ms",
            "removed; lag is measured in time (replica.lag.time.max.ms)"),
    REMOVED("replication.factor", "default.replication.factor",
            "not a setting: give it when the topic is created, or set default.replication.factor"),
    REMOVED("sasl.kerberos.kinit.cmd", NULL, JVM),
    REMOVED("sasl.kerberos.principal.to.local.rules", NULL, "Kerberos is not offered; use SCRAM"),
    REMOVED("sasl.login.callback.handler.class", NULL, JVM),
    REMOVED("sasl.login.class", NULL, JVM),
    REMOVED("sasl.server.callback.handler.class", NULL, JVM),
    MISSPELT("segment.byte", "segment.bytes"),
    ZOOKEEPER("server.#", "controller.quorum.voters",
              "a ZooKeeper ensemble member; name the nodes with --peers ID@HOST:PORT,..."),
    REMOVED("ssl.engine.factory.class", NULL, JVM),
    REMOVED("ssl.keymanager.algorithm", NULL, JVM),
    REMOVED("ssl.provider", NULL, JVM),
    REMOVED("ssl.secure.random.implementation", NULL, JVM),
    REMOVED("ssl.trustmanager.algorithm", NULL, JVM),
    ZOOKEEPER("syncLimit", NULL, ENSEMBLE),
    ZOOKEEPER("tickTime", NULL, ENSEMBLE),
    REMOVED("unstable.api.versions.enable", NULL, "every version that is offered works"),
    REMOVED("unstable.feature.versions.enable", NULL, "every feature level that is offered works"),
    ZOOKEEPER("zookeeper.connect", "controller.quorum.voters",
              "there is no ZooKeeper: name the nodes of the cluster with --peers ID@HOST:PORT,... "
              "(controller.quorum.voters), "
              "or nothing for a single node"),
    ZOOKEEPER("zookeeper.connection.timeout.ms", NULL, ENSEMBLE),
    ZOOKEEPER("zookeeper.metadata.migration.enable", NULL, "there is no ZooKeeper to migrate from"),
    ZOOKEEPER("zookeeper.session.timeout.ms", "broker.session.timeout.ms",
              "there is no ZooKeeper: the time until a silent broker is fenced is broker.session.timeout.ms"),
    ZOOKEEPER("zookeeper.sync.time.ms", NULL, ENSEMBLE),
    ZOOKEEPER("zookeeper.*", NULL, ENSEMBLE),
};

const struct config_old *config_old_rows(size_t *count)
{
    *count = ARRAY_COUNT(old_rows);
    return old_rows;
}
