// SPDX-License-Identifier: Apache-2.0
//
// The producer against a broker that refuses, forgets and cuts: batching, order, sequence numbers.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/producer.h"
#include "fake_broker.h"

enum { RECORDS_MAX = 4096 };

static struct fake_broker fake;
static struct client client;
static struct client_topic *topic;
static struct producer producer;
static struct producer_topic *to;

// What the fake broker holds, and what it does with the next produce requests.
static struct {
    int32_t requests, batches;
    char script[64]; // a letter a request: 'o' take, 'l' NOT_LEADER, 'c' cut, 'd' take and cut, 'x' INVALID_RECORD
    char records[RECORDS_MAX][16];
    int32_t record_count;
    int32_t next_sequence[64];
    bool check_sequences;
} held;

static int16_t take_batch(int32_t partition, struct bytes batch)
{
    struct batch_header h;
    struct batch_iter it;
    struct record r;
    cr_assert_eq(batch_header_read(batch, &h), RC_OK);
    cr_assert(batch_crc_ok(batch));
    if (held.check_sequences && h.base_sequence < held.next_sequence[partition])
        return 46;
    if (held.check_sequences && h.base_sequence > held.next_sequence[partition])
        return 45;
    held.next_sequence[partition] += h.record_count;
    held.batches++;
    batch_iter_init(&it, &h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    while (batch_iter_next(&it, &r)) {
        cr_assert_lt(held.record_count, RECORDS_MAX);
        snprintf(held.records[held.record_count++], sizeof(held.records[0]), "%.*s", (int)r.value.n, r.value.p);
    }
    cr_assert_eq(it.rc, RC_OK);
    return 0;
}

static void answer_produce(struct fake_broker *f, const struct fake_request *r, const struct produce_request *in,
                           char what)
{
    static struct produce_response_partition_response partitions[64];
    struct produce_response answer;
    struct produce_response_response out;
    produce_response_init(&answer);
    produce_response_response_init(&out);
    cr_assert_eq(in->topic_data_count, 1);
    out.name = in->topic_data[0].name;
    out.partition_responses = partitions;
    out.partition_responses_count = in->topic_data[0].partition_data_count;
    for (uint32_t i = 0; i < out.partition_responses_count; i++) {
        const struct produce_request_partition_data *p = &in->topic_data[0].partition_data[i];
        produce_response_partition_response_init(&partitions[i]);
        partitions[i].index = p->index;
        partitions[i].error_code = what == 'l' ? 6 : what == 'x' ? 87 : take_batch(p->index, p->records.bytes);
    }
    answer.responses = &out;
    answer.responses_count = 1;
    fake_broker_answer(f, r, &produce_response_message, &answer);
}

static void on_request(struct fake_broker *f, const struct fake_request *r)
{
    struct arena a;
    struct dec d = dec_of(r->body);
    arena_init(&a, 1 << 20, NULL, 0);
    if (r->key == 22) {
        struct init_producer_id_response answer;
        init_producer_id_response_init(&answer);
        answer.producer_id = 1000;
        fake_broker_answer(f, r, &init_producer_id_response_message, &answer);
    } else if (r->key == 0) {
        struct produce_request in;
        char what = held.requests < (int32_t)strlen(held.script) ? held.script[held.requests] : 'o';
        held.requests++;
        cr_assert_eq(produce_request_decode(&d, r->version, &a, &in), RC_OK);
        if (what == 'd')
            for (uint32_t i = 0; i < in.topic_data[0].partition_data_count; i++)
                take_batch(in.topic_data[0].partition_data[i].index, in.topic_data[0].partition_data[i].records.bytes);
        if (what == 'c' || what == 'd')
            fake_broker_cut(f);
        else
            answer_produce(f, r, &in, what);
    }
    arena_deinit(&a);
}

static void open_all(const struct producer_config *config, const char *script)
{
    memset(&held, 0, sizeof(held));
    snprintf(held.script, sizeof(held.script), "%s", script);
    held.check_sequences = config->idempotent;
    fake_broker_open(&fake);
    fake.handler = on_request;
    fake_broker_client(&fake, &client, &topic);
    cr_assert_eq(producer_init(&producer, &client, config), RC_OK, "%s", client.error);
    to = producer_topic_open(&producer, topic);
    cr_assert_not_null(to);
}

static void close_all(void)
{
    client_close(&client);
    producer_deinit(&producer);
    client_deinit(&client);
    fake_broker_close(&fake);
}

static void send_numbers(int count, int32_t partition)
{
    for (int i = 0; i < count; i++) {
        char text[16];
        int n = snprintf(text, sizeof(text), "%d", i);
        struct producer_record r = {.value = bytes_of(text, (size_t)n), .partition = partition, .timestamp = 1};
        enum rc rc;
        while ((rc = producer_send(&producer, to, &r)) == RC_FULL)
            shard_turn(fake.shard, -1);
        cr_assert_eq(rc, RC_OK);
    }
}

static void expect_numbers(int count)
{
    cr_assert_eq(held.record_count, count);
    for (int i = 0; i < count; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        cr_assert_str_eq(held.records[i], text);
    }
}

// Small batches, so that many are in flight at once.
static struct producer_config small_batches(bool idempotent)
{
    struct producer_config config = producer_config_default();
    config.batch_bytes = 256;
    config.idempotent = idempotent;
    return config;
}

Test(producer, lingering_records_share_a_batch)
{
    struct producer_config config = producer_config_default();
    open_all(&config, "");
    send_numbers(100, 0);
    cr_assert_eq(producer_flush(&producer), RC_OK);
    expect_numbers(100);
    cr_assert_eq(held.batches, 1);
    cr_assert_eq(producer.records_sent, 100);
    cr_assert_eq(producer.buffered_bytes, 0);
    close_all();
}

Test(producer, a_batch_leaves_when_it_has_lingered)
{
    struct producer_config config = producer_config_default();
    open_all(&config, "");
    send_numbers(1, 0);
    for (int i = 0; i < 100 && held.record_count == 0; i++)
        shard_turn(fake.shard, 10 * 1000 * 1000);
    cr_assert_eq(held.record_count, 1);
    cr_assert_eq(producer_flush(&producer), RC_OK);
    close_all();
}

Test(producer, a_full_batch_does_not_wait)
{
    struct producer_config config = small_batches(true);
    config.linger_ms = 60000;
    open_all(&config, "");
    send_numbers(500, 0);
    for (int i = 0; i < 50; i++)
        shard_turn(fake.shard, 1000 * 1000);
    cr_assert_gt(held.batches, 5);
    cr_assert_eq(producer_flush(&producer), RC_OK);
    expect_numbers(500);
    close_all();
}

Test(producer, keyless_records_move_on_to_another_partition_batch_by_batch)
{
    struct producer_config config = small_batches(true);
    open_all(&config, "");
    send_numbers(2000, -1);
    cr_assert_eq(producer_flush(&producer), RC_OK);
    cr_assert_eq(held.record_count, 2000);
    for (int p = 0; p < 3; p++)
        cr_assert_gt(held.next_sequence[p], 0, "partition %d got nothing", p);
    close_all();
}

Test(producer, order_is_kept_when_a_leader_is_lost)
{
    for (int idempotent = 0; idempotent < 2; idempotent++) {
        struct producer_config config = small_batches(idempotent);
        open_all(&config, "olooll");
        send_numbers(1000, 0);
        cr_assert_eq(producer_flush(&producer), RC_OK, "%s", client.error);
        expect_numbers(1000);
        cr_assert_gt(producer.retries, 0);
        close_all();
    }
}

Test(producer, nothing_is_written_twice_when_answers_are_lost)
{
    struct producer_config config = small_batches(true);
    open_all(&config, "odocodd");
    send_numbers(1000, 0);
    cr_assert_eq(producer_flush(&producer), RC_OK, "%s", client.error);
    expect_numbers(1000);
    close_all();
}

Test(producer, a_refused_batch_leaves_no_hole_in_the_sequence)
{
    struct producer_config config = small_batches(true);
    open_all(&config, "oox");
    send_numbers(1000, 0);
    cr_assert_eq(producer_flush(&producer), RC_CLOSED);
    cr_assert_gt(producer.records_failed, 0);
    cr_assert_eq(producer.records_failed + producer.records_sent, 1000);
    cr_assert_eq(held.record_count, (int32_t)producer.records_sent, "what came after the refused batch was written");
    cr_assert_not_null(strstr(client.error, "INVALID_RECORD"));
    close_all();
}

Test(producer, a_long_record_travels_alone_up_to_its_limit)
{
    static uint8_t large[3000];
    struct producer_config config = small_batches(true);
    memset(large, 'x', sizeof(large));
    config.record_bytes_max = 2000;
    open_all(&config, "");
    struct producer_record r = {.value = bytes_of(large, 3000), .partition = 0, .timestamp = 1};
    cr_assert_eq(producer_send(&producer, to, &r), RC_RECORD_LIST_TOO_LARGE);
    r.value.n = 10;
    cr_assert_eq(producer_send(&producer, to, &r), RC_OK);
    r.value.n = 1500;
    cr_assert_eq(producer_send(&producer, to, &r), RC_OK);
    r.value.n = 10;
    cr_assert_eq(producer_send(&producer, to, &r), RC_OK);
    cr_assert_eq(producer_flush(&producer), RC_OK, "%s", client.error);
    cr_assert_eq(held.record_count, 3);
    cr_assert_eq(held.batches, 3);
    close_all();
}

Test(producer, memory_is_bounded_and_partitions_are_checked)
{
    static uint8_t value[100];
    struct producer_config config = small_batches(true);
    config.memory_bytes = 4096;
    open_all(&config, "");
    struct producer_record r = {.value = bytes_of(value, sizeof(value)), .partition = 0};
    int sent = 0;
    while (producer_send(&producer, to, &r) == RC_OK)
        sent++;
    cr_assert(sent > 20 && sent < 60, "%d", sent);
    r.partition = 3;
    producer_flush(&producer);
    cr_assert_eq(producer_send(&producer, to, &r), RC_INVALID, "there are partitions 0 to 2");
    close_all();
}
