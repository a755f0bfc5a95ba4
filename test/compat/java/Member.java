// SPDX-License-Identifier: Apache-2.0

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a consumer group with kafka-clients, for rebalance.py: Member HOST:PORT TOPIC GROUP NAME [KEY=VALUE]... SIGTERM: it leaves.
 * What it prints: ../confluent/members.py.
 */
final class Member {
    private static String name;
    private static volatile boolean ended;

    private static synchronized void say(String what, Object rest) {
        System.out.println(what + " " + name + " " + rest);
        System.out.flush();
    }

    private static String list(Collection<TopicPartition> partitions) {
        return partitions.stream().map(p -> Integer.toString(p.partition())).collect(Collectors.joining(","));
    }

    private static void commit(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync(Duration.ofSeconds(10));
        } catch (KafkaException error) {
            say("e", error.getClass().getSimpleName());
        }
    }

    private static void read(KafkaConsumer<byte[], byte[]> consumer) {
        long committed = System.nanoTime();
        while (!ended) {
            for (var record : consumer.poll(Duration.ofMillis(200))) {
                say("r", record.partition() + " " + record.offset());
            }
            if (System.nanoTime() - committed > 500_000_000L) {
                commit(consumer);
                committed = System.nanoTime();
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        var settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[2]);
        name = arguments[3];
        settings.put("client.id", name);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        for (String option : List.of(arguments).subList(4, arguments.length)) {
            settings.put(option.split("=", 2)[0], option.split("=", 2)[1]);
        }
        var consumer = new KafkaConsumer<byte[], byte[]>(settings);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            ended = true;
            try {
                main.join(10000);
            } catch (InterruptedException ignored) {
                Thread.currentThread().interrupt();
            }
        }));
        consumer.subscribe(List.of(arguments[1]), new ConsumerRebalanceListener() {
            @Override public void onPartitionsRevoked(Collection<TopicPartition> gone) {
                commit(consumer);
                if (!gone.isEmpty()) {
                    say("-", list(gone));
                }
            }

            @Override public void onPartitionsLost(Collection<TopicPartition> gone) {
                say("-", list(gone));
            }

            @Override public void onPartitionsAssigned(Collection<TopicPartition> come) {
                if (!come.isEmpty()) {
                    say("+", list(come));
                }
            }
        });
        read(consumer);
        commit(consumer);
        consumer.close();
        say(".", "");
    }
}
