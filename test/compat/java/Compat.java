// SPDX-License-Identifier: Apache-2.0
//
// The compatibility cases with the Java client. Runs with 3.9 and with the newest release.
//
//   java -cp ... Compat HOST:PORT PREFIX NAME [--groups] [--transactions]

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Compat {
    private static String bootstrap;
    private static String prefix;
    private static Cases cases;
    private static Admin admin;

    interface Seek {
        void seek(KafkaConsumer<byte[], byte[]> consumer, Collection<TopicPartition> assigned);
    }

    static String create(String topic, int partitions, Map<String, String> config) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, Optional.of(partitions), Optional.empty()).configs(config))).all().get();
        return topic;
    }

    static List<RecordMetadata> produce(List<ProducerRecord<byte[], byte[]>> records, Map<String, Object> options) throws Exception {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "linger.ms", 20,
            "enable.idempotence", false, "delivery.timeout.ms", 20000, "request.timeout.ms", 10000, "max.block.ms", 20000));
        config.putAll(options);
        List<RecordMetadata> done = new ArrayList<>();
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (var r : records) {
                sent.add(producer.send(r));
            }
            producer.flush();
            for (var f : sent) {
                done.add(f.get());
            }
        }
        return done;
    }

    static KafkaConsumer<byte[], byte[]> consumer(Map<String, Object> options) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", bootstrap, "enable.auto.commit", false,
            "auto.offset.reset", "earliest", "max.partition.fetch.bytes", 2 << 20));
        config.putAll(options);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
        for (long end = System.nanoTime() + 15_000_000_000L; got.size() < count && System.nanoTime() < end;) {
            consumer.poll(Duration.ofMillis(300)).forEach(got::add);
        }
        return got;
    }

    static List<ConsumerRecord<byte[], byte[]>> consume(String topic, int count, int[] partitions, Seek seek, Map<String, Object> options) {
        try (var consumer = consumer(options)) {
            var assigned = IntStream.of(partitions).mapToObj(p -> new TopicPartition(topic, p)).collect(Collectors.toList());
            consumer.assign(assigned);
            seek.seek(consumer, assigned);
            return read(consumer, count);
        }
    }

    static List<ConsumerRecord<byte[], byte[]>> consume(String topic, int count) {
        return consume(topic, count, new int[] {0, 1, 2}, KafkaConsumer::seekToBeginning, Map.of());
    }

    static Object roundTrip(String topic, Map<String, Object> options) throws Exception {
        var data = Cases.data(create(topic, Cases.PARTITIONS, Map.of()));
        produce(data, options);
        return Cases.compare(data, consume(topic, data.size()));
    }

    static void produceCases() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = prefix + "-codec-" + codec;
            cases.runCodec(codec, topic, () -> roundTrip(topic, Map.of("compression.type", codec)));
        }
        cases.run("large-message", () -> {
            String topic = create(prefix + "-large", 1, Map.of());
            var one = List.of(new ProducerRecord<>(topic, 0, Cases.BASE_MS, Cases.bytes("large"), Cases.largeValue(Cases.LARGE_VALUE_BYTES)));
            produce(one, Map.of("max.request.size", 2 << 20));
            return Cases.compare(one, consume(topic, 1, new int[] {0}, KafkaConsumer::seekToBeginning, Map.of()));
        });
        cases.run("too-large-message", () -> {
            try {
                produce(List.of(new ProducerRecord<>(prefix + "-large", 0, Cases.BASE_MS, null, Cases.largeValue(Cases.TOO_LARGE_VALUE_BYTES))),
                    Map.of("max.request.size", 4 << 20));
            } catch (ExecutionException error) {
                Cases.check(error.getCause() instanceof RecordTooLargeException, error.toString());
                return "RecordTooLargeException";
            }
            throw new AssertionError("accepted");
        });
        cases.run("null-key-and-value", () -> {
            String topic = create(prefix + "-null", 1, Map.of());
            var one = List.of(new ProducerRecord<byte[], byte[]>(topic, 0, Cases.BASE_MS, null, null));
            produce(one, Map.of());
            return Cases.compare(one, consume(topic, 1, new int[] {0}, KafkaConsumer::seekToBeginning, Map.of()));
        });
        cases.run("auto-create", () -> {
            String topic = prefix + "-auto";
            var one = List.of(new ProducerRecord<>(topic, 0, Cases.BASE_MS, Cases.bytes("k"), Cases.bytes("auto")));
            produce(one, Map.of());
            return Cases.compare(one, consume(topic, 1, new int[] {0}, KafkaConsumer::seekToBeginning, Map.of()));
        });
        cases.run("idempotent", () -> roundTrip(prefix + "-idempotent", Map.of("enable.idempotence", true)));
        for (String acks : List.of("0", "1", "all")) {
            cases.run("acks-" + acks, () -> roundTrip(prefix + "-acks-" + acks, Map.of("acks", acks)));
        }
        cases.run("log-append-time", () -> {
            String topic = create(prefix + "-append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
            long before = System.currentTimeMillis();
            var sent = produce(List.of(new ProducerRecord<>(topic, 0, 1000L, null, Cases.bytes("v"))), Map.of("compression.type", "gzip"));
            long at = consume(topic, 1, new int[] {0}, KafkaConsumer::seekToBeginning, Map.of()).get(0).timestamp();
            Cases.check(Math.abs(at - before) < 5000 && sent.get(0).timestamp() == at, "read " + at + ", told " + sent.get(0).timestamp());
            return "";
        });
    }

    static void consumeCases() {
        String topic = prefix + "-codec-none";
        var data = Cases.data(topic);
        cases.run("consume-from-offset", () -> {
            var want = data.stream().filter(r -> r.partition() == 1).skip(Cases.FROM_OFFSET).toList();
            return Cases.compare(want, consume(topic, want.size(), new int[] {1},
                (c, a) -> c.seek(a.iterator().next(), Cases.FROM_OFFSET), Map.of()));
        });
        cases.run("consume-from-timestamp", () -> {
            long at = Cases.BASE_MS + Cases.FROM_RECORD * 1000L;
            var want = data.subList(Cases.FROM_RECORD, data.size());
            return Cases.compare(want, consume(topic, want.size(), new int[] {0, 1, 2}, (c, a) ->
                c.offsetsForTimes(a.stream().collect(Collectors.toMap(tp -> tp, tp -> at)))
                    .forEach((tp, found) -> c.seek(tp, found.offset())), Map.of()));
        });
        cases.run("consume-read-committed", () -> Cases.compare(data, consume(topic, data.size(), new int[] {0, 1, 2},
            KafkaConsumer::seekToBeginning, Map.of("isolation.level", "read_committed"))));
        cases.run("consume-sessions", () -> {
            // Small answers make the same fetch session go on over many requests.
            return Cases.compare(data, consume(topic, data.size(), new int[] {0, 1, 2}, KafkaConsumer::seekToBeginning,
                Map.of("max.partition.fetch.bytes", 500, "max.poll.records", 3)));
        });
    }

    static String configValue(ConfigResource resource, String key) throws Exception {
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(key).value();
    }

    static long offset(String topic, OffsetSpec spec) throws Exception {
        TopicPartition tp = new TopicPartition(topic, 0);
        return admin.listOffsets(Map.of(tp, spec)).all().get().get(tp).offset();
    }

    static void adminCases() {
        String main = prefix + "-main";
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, main);
        cases.run("admin-list-topics", () -> {
            Cases.check(admin.listTopics().names().get().contains(main), "not listed");
            return "";
        });
        cases.run("admin-describe-topic", () -> {
            var topic = admin.describeTopics(List.of(main)).allTopicNames().get().get(main);
            Cases.check(topic.partitions().size() == 3 && topic.partitions().get(0).leader() != null, topic.toString());
            return "topic id " + topic.topicId();
        });
        cases.run("admin-describe-cluster", () -> {
            var cluster = admin.describeCluster();
            Cases.check(List.of(1, 3).contains(cluster.nodes().get().size()) && cluster.controller().get() != null, "no node");
            return "cluster id " + cluster.clusterId().get();
        });
        cases.run("admin-describe-configs", () -> {
            Cases.check("86400000".equals(configValue(resource, "retention.ms")), configValue(resource, "retention.ms"));
            String node = admin.describeCluster().nodes().get().iterator().next().idString();
            return "broker message.max.bytes=" + configValue(new ConfigResource(ConfigResource.Type.BROKER, node), "message.max.bytes");
        });
        cases.run("admin-incremental-alter-configs", () -> {
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("segment.bytes", "10485760"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("retention.ms", null), AlterConfigOp.OpType.DELETE),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND)))).all().get();
            Cases.eventually(() -> "10485760".equals(configValue(resource, "segment.bytes")), "segment.bytes did not change");
            Cases.check("604800000".equals(configValue(resource, "retention.ms")), "retention.ms is not its default again");
            return "cleanup.policy=" + configValue(resource, "cleanup.policy");
        });
        cases.run("admin-create-partitions", () -> {
            admin.createPartitions(Map.of(main, NewPartitions.increaseTo(5))).all().get();
            Cases.eventually(() -> admin.describeTopics(List.of(main)).allTopicNames().get().get(main).partitions().size() == 5, "not 5");
            return "";
        });
        cases.run("admin-delete-records", () -> {
            TopicPartition tp = new TopicPartition(prefix + "-acks-all", 0);
            long low = admin.deleteRecords(Map.of(tp, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(tp).get().lowWatermark();
            Cases.check(low == 5 && offset(tp.topic(), OffsetSpec.earliest()) == 5, "low watermark " + low);
            return "";
        });
        cases.run("admin-list-offsets", () -> {
            String topic = prefix + "-codec-none";
            Cases.check(offset(topic, OffsetSpec.earliest()) == 0, "earliest");
            Cases.check(offset(topic, OffsetSpec.latest()) == 20, "latest");
            Cases.check(offset(topic, OffsetSpec.maxTimestamp()) == 19, "max timestamp");
            Cases.check(offset(topic, OffsetSpec.forTimestamp(Cases.BASE_MS + 3000)) == 1, "for timestamp");
            return "earliest, latest, max timestamp, timestamp";
        });
        cases.run("admin-describe-log-dirs", () -> {
            int node = admin.describeCluster().nodes().get().iterator().next().id();
            var dirs = admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values();
            var tp = new TopicPartition(prefix + "-codec-none", 0);
            long size = dirs.stream().filter(d -> d.replicaInfos().containsKey(tp)).mapToLong(d -> d.replicaInfos().get(tp).size()).sum();
            Cases.check(size > 0, "size " + size);
            return size + " bytes";
        });
        cases.run("admin-describe-producers", () -> {
            TopicPartition tp = new TopicPartition(prefix + "-idempotent", 0);
            var producers = admin.describeProducers(List.of(tp)).all().get().get(tp).activeProducers();
            Cases.check(producers.size() == 1, "producers: " + producers);
            return producers.get(0).toString();
        });
        cases.run("admin-describe-quorum", () -> admin.describeMetadataQuorum().quorumInfo().get());
        cases.run("admin-describe-features", () -> admin.describeFeatures().featureMetadata().get().finalizedFeatures());
        cases.run("admin-delete-topic", () -> {
            String topic = create(prefix + "-delete", 3, Map.of());
            admin.deleteTopics(List.of(topic)).all().get();
            Cases.eventually(() -> !admin.listTopics().names().get().contains(topic), "still listed");
            return "";
        });
    }

    @SuppressWarnings({"deprecation", "removal"}) // listConsumerGroups is what 3.9 has
    static void groupCases() {
        String topic = prefix + "-codec-none";
        String group = prefix + "-group";
        cases.run("group-consume", () -> {
            List<ConsumerRecord<byte[], byte[]>> got = new ArrayList<>();
            for (int round = 0; round < 2; round++) { // the second member goes on where the first one committed
                try (var consumer = consumer(Map.of("group.id", group, "max.poll.records", 30))) {
                    consumer.subscribe(List.of(topic));
                    got.addAll(read(consumer, round == 0 ? 1 : Cases.RECORDS - got.size()));
                    consumer.commitSync();
                }
            }
            return Cases.compare(Cases.data(topic), got);
        });
        cases.run("group-admin", () -> {
            Cases.check(admin.listConsumerGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group)), "not listed");
            var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
            long sum = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
                .mapToLong(o -> o.offset()).sum();
            Cases.check(sum == Cases.RECORDS, "committed " + sum);
            admin.deleteConsumerGroups(List.of(group)).all().get();
            return described.toString();
        });
    }

    static void transactionCases() {
        cases.run("transaction", () -> {
            String name = create(prefix + "-transaction", 1, Map.of());
            Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "transactional.id", prefix);
            try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
                producer.initTransactions();
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(name, null, Cases.bytes("aborted")));
                producer.abortTransaction();
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(name, null, Cases.bytes("committed")));
                producer.commitTransaction();
            }
            var got = consume(name, 1, new int[] {0}, KafkaConsumer::seekToBeginning, Map.of("isolation.level", "read_committed"));
            Cases.check(got.size() == 1 && new String(got.get(0).value()).equals("committed"), got.toString());
            return "";
        });
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        prefix = arguments[1];
        cases = new Cases(arguments[2]);
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", 20000, "request.timeout.ms", 10000));
        cases.run("create-topic", () -> create(prefix + "-main", Cases.PARTITIONS, Map.of("retention.ms", "86400000")));
        produceCases();
        consumeCases();
        adminCases();
        if (List.of(arguments).contains("--groups")) {
            groupCases();
        }
        if (List.of(arguments).contains("--transactions")) {
            transactionCases();
        }
        admin.close();
    }
}
