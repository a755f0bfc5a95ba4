// SPDX-License-Identifier: Apache-2.0
//
// What the wire costs on one core: checksums, messages there and back, and the judgement of produced batches per codec.
// Everything is hot and in one thread; times are CPU times of the process. Usage: wire_bench
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "wire/batch_check.h"
#include "wire/crc32c.h"
#include "wire/frame.h"
#include "wire/messages.h"

enum { BENCH_NS = 300000000 };

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Runs a piece of work again and again; nanoseconds of one run.
static double measure(void (*work)(void *), void *context)
{
    uint64_t runs = 0, begin = cpu_ns(), took = 0;
    for (uint64_t batch = 1; took < BENCH_NS; batch *= 2) {
        for (uint64_t i = 0; i < batch; i++)
            work(context);
        runs += batch;
        took = cpu_ns() - begin;
    }
    return (double)took / (double)runs;
}

static volatile uint32_t sink;

static void work_crc(void *context)
{
    struct bytes *b = context;
    sink = crc32c(sink, b->p, b->n);
}

static void bench_crc(void)
{
    static const size_t sizes[] = {128, 1024, 16384, 65536, 1 << 20};
    uint8_t *p = malloc(1 << 20);
    memset(p, 7, 1 << 20);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct bytes b = bytes_of(p, sizes[i]);
        double ns = measure(work_crc, &b);
        printf("crc32c %8zu bytes %8.0f ns %6.1f GB/s\n", sizes[i], ns, (double)sizes[i] / ns);
    }
    free(p);
}

struct message_bench {
    const struct schema_message *m;
    int16_t version;
    void *in, *out;
    struct buf buf;
    struct arena arena;
};

static void work_encode(void *context)
{
    struct message_bench *x = context;
    struct enc e;
    x->buf.n = 0;
    enc_init(&e, &x->buf, NULL, 0);
    schema_encode(x->m, &e, x->version, x->in);
    ASSERT(enc_ok(&e));
}

static void work_decode(void *context)
{
    struct message_bench *x = context;
    struct dec d = dec_of(buf_bytes(&x->buf));
    arena_reset(&x->arena);
    enum rc rc = schema_decode(x->m, &d, x->version, &x->arena, x->out);
    ASSERT(rc == RC_OK);
}

static void bench_message(const char *what, const struct schema_message *m, void *in)
{
    static uint8_t first[65536] __attribute__((aligned(16)));
    struct message_bench x = {.m = m, .version = m->version_max, .in = in, .out = malloc(schema_size(m))};
    buf_init(&x.buf, 1 << 24);
    arena_init(&x.arena, 1 << 24, first, sizeof(first));
    double encode_ns = measure(work_encode, &x), decode_ns = measure(work_decode, &x);
    printf("%-40s %7zu bytes  encode %8.0f ns  decode %8.0f ns\n", what, x.buf.n, encode_ns, decode_ns);
    arena_deinit(&x.arena);
    buf_deinit(&x.buf);
    free(x.out);
}

static void bench_messages(void)
{
    static uint8_t value[1024];
    struct produce_request_partition_data pd = {.records = records_of(bytes_of(value, sizeof(value)))};
    struct produce_request_topic_data td = {
        .name = bytes_str("topic"), .partition_data = &pd, .partition_data_count = 1};
    struct produce_request produce;
    produce_request_init(&produce);
    produce.topic_data = &td;
    produce.topic_data_count = 1;
    bench_message("Produce request, one partition", &produce_request_message, &produce);

    struct produce_response_partition_response pr = {.base_offset = 5, .current_leader = {-1, -1}};
    struct produce_response_response rr = {
        .name = bytes_str("topic"), .partition_responses = &pr, .partition_responses_count = 1};
    struct produce_response done;
    produce_response_init(&done);
    done.responses = &rr;
    done.responses_count = 1;
    bench_message("Produce response, one partition", &produce_response_message, &done);

    static struct fetch_request_partition fp[1000];
    struct fetch_request_topic ft = {.partitions = fp, .partitions_count = 1};
    struct fetch_request fetch;
    fetch_request_init(&fetch);
    fetch.topics = &ft;
    fetch.topics_count = 1;
    bench_message("Fetch request, one partition", &fetch_request_message, &fetch);
    ft.partitions_count = 1000;
    bench_message("Fetch request, 1000 partitions", &fetch_request_message, &fetch);

    static struct metadata_response_partition mp[1000];
    static int32_t replicas[3] = {1, 2, 3};
    for (size_t i = 0; i < ARRAY_COUNT(mp); i++)
        mp[i] = (struct metadata_response_partition){.partition_index = (int32_t)i,
                                                     .replica_nodes = replicas,
                                                     .replica_nodes_count = 3,
                                                     .isr_nodes = replicas,
                                                     .isr_nodes_count = 3};
    struct metadata_response_topic mt = {.name = bytes_str("topic"), .partitions = mp, .partitions_count = 1000};
    struct metadata_response metadata;
    metadata_response_init(&metadata);
    metadata.topics = &mt;
    metadata.topics_count = 1;
    bench_message("Metadata response, 1000 partitions", &metadata_response_message, &metadata);
}

struct check_bench {
    struct buf batch;
    struct batch_rules rules;
    void *workspace;
    bool again;
    uint64_t inflated;
};

static void work_check(void *context)
{
    static struct batch_check c;
    struct check_bench *x = context;
    enum rc rc = (x->again ? batch_check_again : batch_check_start)(&c, x->batch.p, x->batch.n, &x->rules, x->workspace,
                                                                    2 * (size_t)CODEC_WORKSPACE_BYTES);
    while (rc == RC_AGAIN)
        rc = batch_check_step(&c, UINT16_MAX);
    x->again = true; // as a partition does
    ASSERT(rc == RC_OK);
    x->inflated = c.inflated_bytes;
}

static void work_build(void *context)
{
    struct batch_builder *b = context;
    static struct buf out;
    static uint8_t noise[1 << 20];
    if (!noise[1])
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = (uint8_t) "abcdefghijklmnop"[(i * 2654435761u >> 20) & 15];
    if (!out.size_max)
        buf_init(&out, 8 << 20);
    out.n = 0;
    b->options.base_offset = 0;
    for (size_t at = 0; at + 1000 < sizeof(noise); at += 1000)
        if (batch_builder_add(b, 1000, bytes_str("key"), bytes_of(noise + at, 1000), NULL, 0) != RC_OK)
            break;
    enum rc rc = batch_builder_finish(b, &out);
    ASSERT(rc == RC_OK);
}

// A batch of 1000 records of `value_bytes`.
static void bench_check(enum codec codec, int records, size_t value_bytes)
{
    struct check_bench x = {.rules = batch_rules_default()};
    struct batch_options o = batch_options_default();
    struct batch_builder b;
    uint8_t *value = malloc(value_bytes);
    o.codec = codec;
    x.rules.batch_bytes_max = 64 << 20;
    x.workspace = aligned_alloc(16, 2 * (size_t)CODEC_WORKSPACE_BYTES);
    buf_init(&x.batch, 64 << 20);
    batch_builder_init(&b, &o, 64 << 20);
    for (int i = 0; i < records; i++) {
        for (size_t k = 0; k < value_bytes; k++)
            value[k] = (uint8_t) "abcdefghijklmnop"[((k + (size_t)i) * 2654435761u >> 20) & 15];
        batch_builder_add(&b, 1000 + i, bytes_str("key"), bytes_of(value, value_bytes), NULL, 0);
    }
    batch_builder_finish(&b, &x.batch);
    double ns = measure(work_check, &x);
    printf("check %-6s %5d x %5zu bytes: %8zu sent, %9lu inside, %9.1f us, %5.2f GB/s inside, %4.0f ns a record\n",
           codec_name(codec), records, value_bytes, x.batch.n, (unsigned long)x.inflated, ns / 1000,
           (double)x.inflated / ns, ns / records);
    batch_builder_deinit(&b);
    buf_deinit(&x.batch);
    free(x.workspace);
    free(value);
}

static void bench_build(enum codec codec)
{
    struct batch_options o = batch_options_default();
    struct batch_builder b;
    o.codec = codec;
    batch_builder_init(&b, &o, 2 << 20);
    double ns = measure(work_build, &b);
    printf("build %-6s 1 MiB of 1000-byte records: %9.1f us, %5.2f GB/s\n", codec_name(codec), ns / 1000,
           (double)(1 << 20) / ns);
    batch_builder_deinit(&b);
}

int main(void)
{
    bench_crc();
    bench_messages();
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        bench_check(codec, 1, 1000);
        bench_check(codec, 1000, 100);
        bench_check(codec, 1000, 1000);
    }
    for (enum codec codec = CODEC_NONE; codec < CODEC_COUNT; codec++)
        bench_build(codec);
    return 0;
}
