// SPDX-License-Identifier: Apache-2.0
//
// What the Java program needs beside its cases: the records every client of the suite writes (the table in ../README.md), the
// comparison of what comes back, and the report, one JSON line a case.

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

final class Cases {
    static final int PARTITIONS = 3;
    static final int RECORDS = 60;
    static final int LARGE_VALUE_BYTES = 1048400; // with batch and record headers just under message.max.bytes
    static final int TOO_LARGE_VALUE_BYTES = 1100000;
    static final int FROM_OFFSET = 7;
    static final int FROM_RECORD = 30; // the timestamp case starts at this record's time
    static final long BASE_MS = (System.currentTimeMillis() / 1000 - 3600) * 1000;

    private final String client;

    Cases(String client) {
        this.client = client;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static List<ProducerRecord<byte[], byte[]>> data(String topic) {
        List<ProducerRecord<byte[], byte[]>> out = new ArrayList<>();
        for (int i = 0; i < RECORDS; i++) {
            byte[] key = i % 5 == 0 ? null : i % 11 == 1 ? new byte[0] : bytes("key-" + i);
            byte[] value = i % 7 == 3 && key != null ? null
                : i % 13 == 2 ? new byte[0] : bytes("value-" + i + " " + "abcdefghij".repeat(20));
            List<Header> headers = new ArrayList<>();
            if (i % 4 == 0) {
                headers.add(new RecordHeader("kind", bytes("compat")));
                headers.add(new RecordHeader("number", bytes("" + i)));
                headers.add(new RecordHeader("kind", bytes("again")));
                headers.add(new RecordHeader("empty", new byte[0]));
                headers.add(new RecordHeader("bytes", new byte[] {0, (byte) 0xff, (byte) 0x80}));
                if (i % 8 == 0) {
                    headers.add(new RecordHeader("null", (byte[]) null));
                }
            }
            out.add(new ProducerRecord<>(topic, i % PARTITIONS, BASE_MS + i * 1000L, key, value, headers));
        }
        return out;
    }

    static byte[] largeValue(int size) {
        ByteBuffer out = ByteBuffer.allocate(size + 8).order(ByteOrder.LITTLE_ENDIAN);
        long x = 88172645463325252L;
        while (out.position() < size) {
            x ^= x << 13;
            x ^= x >>> 7;
            x ^= x << 17;
            out.putLong(x);
        }
        return Arrays.copyOf(out.array(), size);
    }

    static String compare(List<ProducerRecord<byte[], byte[]>> want, List<ConsumerRecord<byte[], byte[]>> got) {
        for (int p = 0; p < PARTITIONS; p++) {
            final int partition = p;
            var w = want.stream().filter(r -> r.partition() == partition).toList();
            var g = got.stream().filter(r -> r.partition() == partition).toList();
            for (int i = 0; i < Math.min(w.size(), g.size()); i++) {
                var a = w.get(i);
                var b = g.get(i);
                check(Arrays.equals(a.key(), b.key()) && Arrays.equals(a.value(), b.value())
                    && a.timestamp() == b.timestamp() && Arrays.equals(a.headers().toArray(), b.headers().toArray()),
                    "partition " + p + " record " + i + ": wrote " + a + ", read " + b);
            }
            check(w.size() == g.size(), "partition " + p + ": wrote " + w.size() + " records, read " + g.size());
        }
        return want.size() + " records";
    }

    static void check(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what);
        }
    }

    static void eventually(Callable<Boolean> question, String what) throws Exception {
        for (long end = System.nanoTime() + 10_000_000_000L; !question.call(); Thread.sleep(100)) {
            check(System.nanoTime() < end, what);
        }
    }

    void run(String name, Callable<Object> body) {
        run(name, body, "");
    }

    void runCodec(String codec, String topic, Callable<Object> body) {
        run("produce-" + codec, body, ",\"topic\":\"" + topic + "\",\"codec\":\"" + codec + "\"");
    }

    private void run(String name, Callable<Object> body, String more) {
        String result = "ok";
        Object detail;
        long begin = System.nanoTime();
        try {
            detail = body.call();
        } catch (Throwable error) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            result = "failed";
            detail = cause.toString() + " at " + (cause.getStackTrace().length == 0 ? "" : cause.getStackTrace()[0]);
            more = "";
        }
        System.out.println("{\"client\":\"" + client + "\",\"case\":\"" + name + "\",\"result\":\"" + result + "\",\"detail\":\""
            + escape(detail == null ? "" : detail.toString()) + "\",\"ms\":" + (System.nanoTime() - begin) / 1_000_000 + more + "}");
    }

    private static String escape(String text) {
        StringBuilder out = new StringBuilder();
        for (char c : text.substring(0, Math.min(text.length(), 600)).toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }
}
