// SPDX-License-Identifier: Apache-2.0
//
// The consumer against a broker that forgets its sessions, moves and cuts: every record once, in order, and the right
// partitions in each request.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/consumer.h"
#include "fake_broker.h"

enum { PARTITIONS = 3, LOG_RECORDS = 400, BATCH_RECORDS = 7, BATCHES_AN_ANSWER = 3 };

static struct fake_broker fake;
static struct client client;
static struct client_topic *topic;
static struct consumer consumer;

static struct {
    char script[64]; // a letter a fetch: 'o' answer, 'n' no such session, 'l' NOT_LEADER, 'c' cut, 'r' out of range
    int32_t fetches, full, incremental, forgotten;
    int32_t session_id;
    int64_t offsets[PARTITIONS]; // what the session knows; -1: not in it
    bool corrupt;
} broker;

static struct {
    int64_t next[PARTITIONS];
    int64_t until;
    int16_t error_code;
    enum rc error;
    int errors;
} seen;

// Whole batches from the one that holds offset on.
static void log_from(int32_t partition, int64_t offset, struct buf *out)
{
    struct batch_options options = batch_options_default();
    int64_t first = offset / BATCH_RECORDS * BATCH_RECORDS;
    for (int k = 0; k < BATCHES_AN_ANSWER && first < LOG_RECORDS; k++, first += BATCH_RECORDS) {
        struct batch_builder b;
        options.base_offset = first;
        batch_builder_init(&b, &options, 1 << 16);
        for (int64_t i = first; i < first + BATCH_RECORDS && i < LOG_RECORDS; i++) {
            char text[32];
            int n = snprintf(text, sizeof(text), "%d-%lld", partition, (long long)i);
            cr_assert_eq(batch_builder_add(&b, 1, bytes_of(NULL, 0), bytes_of(text, (size_t)n), NULL, 0), RC_OK);
        }
        cr_assert_eq(batch_builder_finish(&b, out), RC_OK);
        batch_builder_deinit(&b);
    }
}

static void note_request(const struct fetch_request *in)
{
    bool full = in->session_epoch == 0;
    broker.full += full;
    broker.incremental += !full;
    if (full) {
        broker.session_id++;
        for (int p = 0; p < PARTITIONS; p++)
            broker.offsets[p] = -1;
    } else {
        cr_assert_eq(in->session_id, broker.session_id);
    }
    for (uint32_t i = 0; i < in->topics_count; i++)
        for (uint32_t k = 0; k < in->topics[i].partitions_count; k++)
            broker.offsets[in->topics[i].partitions[k].partition] = in->topics[i].partitions[k].fetch_offset;
    for (uint32_t i = 0; i < in->forgotten_topics_data_count; i++) {
        cr_assert(uuid_eq(in->forgotten_topics_data[i].topic_id, topic->id));
        for (uint32_t k = 0; k < in->forgotten_topics_data[i].partitions_count; k++) {
            broker.offsets[in->forgotten_topics_data[i].partitions[k]] = -1;
            broker.forgotten++;
        }
    }
}

static void answer_fetch(struct fake_broker *f, const struct fake_request *r, char what)
{
    static struct fetch_response_partition partitions[PARTITIONS];
    static struct buf logs[PARTITIONS];
    struct fetch_response answer;
    struct fetch_response_response out;
    fetch_response_init(&answer);
    fetch_response_response_init(&out);
    out.topic_id = topic->id;
    out.topic = bytes_str("t");
    out.partitions = partitions;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        struct fetch_response_partition *a = &partitions[out.partitions_count];
        if (broker.offsets[p] < 0 || broker.offsets[p] >= LOG_RECORDS)
            continue;
        fetch_response_partition_init(a);
        buf_deinit(&logs[p]);
        buf_init(&logs[p], 1 << 20);
        log_from(p, broker.offsets[p], &logs[p]);
        if (broker.corrupt)
            logs[p].p[logs[p].n - 1] ^= 1;
        a->partition_index = p;
        a->high_watermark = LOG_RECORDS;
        a->error_code = what == 'l' ? 6 : what == 'r' ? 1 : 0;
        a->records = a->error_code ? records_empty() : records_of(buf_bytes(&logs[p]));
        out.partitions_count++;
    }
    answer.session_id = broker.session_id;
    answer.responses = &out;
    answer.responses_count = out.partitions_count > 0;
    fake_broker_answer(f, r, &fetch_response_message, &answer);
}

static void on_request(struct fake_broker *f, const struct fake_request *r)
{
    struct arena a;
    struct dec d = dec_of(r->body);
    struct fetch_request in;
    if (r->key != 1)
        return;
    arena_init(&a, 1 << 20, NULL, 0);
    cr_assert_eq(fetch_request_decode(&d, r->version, &a, &in), RC_OK);
    char what = broker.fetches < (int32_t)strlen(broker.script) ? broker.script[broker.fetches] : 'o';
    broker.fetches++;
    if (what == 'c') {
        fake_broker_cut(f);
    } else if (what == 'n') {
        struct fetch_response answer;
        fetch_response_init(&answer);
        answer.error_code = 70;
        fake_broker_answer(f, r, &fetch_response_message, &answer);
    } else {
        note_request(&in);
        answer_fetch(f, r, what);
    }
    arena_deinit(&a);
}

static void on_batch(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct batch_iter it;
    struct record r;
    (void)c;
    batch_iter_init(&it, h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    while (batch_iter_next(&it, &r)) {
        char text[32];
        if (r.offset < from)
            continue;
        cr_assert_eq(r.offset, seen.next[p->index], "every record once, in order");
        int n = snprintf(text, sizeof(text), "%d-%lld", p->index, (long long)r.offset);
        cr_assert(bytes_eq(r.value, bytes_of(text, (size_t)n)));
        seen.next[p->index]++;
    }
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    (void)c;
    (void)p;
    seen.error = rc;
    seen.error_code = code;
    seen.errors++;
}

static void run(const char *script, int64_t from)
{
    struct consumer_config config = consumer_config_default();
    memset(&broker, 0, sizeof(broker));
    memset(&seen, 0, sizeof(seen));
    snprintf(broker.script, sizeof(broker.script), "%s", script);
    config.batch = on_batch;
    config.error = on_error;
    fake_broker_open(&fake);
    fake.partition_count = PARTITIONS;
    fake.handler = on_request;
    fake_broker_client(&fake, &client, &topic);
    cr_assert_eq(consumer_init(&consumer, &client, &config), RC_OK);
    for (int32_t p = 0; p < PARTITIONS; p++) {
        seen.next[p] = from;
        cr_assert_not_null(consumer_assign(&consumer, topic, p, from));
    }
}

static bool all_read(void)
{
    for (int p = 0; p < PARTITIONS; p++)
        if (seen.next[p] < LOG_RECORDS)
            return false;
    return true;
}

static void read_all(void)
{
    uint64_t until = io_clock_ns(fake.io) + UINT64_C(5000000000);
    while (!all_read() && seen.errors < PARTITIONS && io_clock_ns(fake.io) < until)
        shard_turn(fake.shard, 10 * 1000 * 1000);
}

static void close_all(void)
{
    client_close(&client);
    consumer_deinit(&consumer);
    client_deinit(&client);
    fake_broker_close(&fake);
}

Test(consumer, reads_everything_in_one_session)
{
    run("", 0);
    read_all();
    cr_assert(all_read());
    cr_assert_eq(broker.full, 1, "one session, then only what changed");
    cr_assert_gt(broker.incremental, 10);
    close_all();
}

Test(consumer, begins_inside_a_batch)
{
    run("", 10); // in the second batch of seven
    read_all();
    cr_assert(all_read());
    close_all();
}

Test(consumer, a_lost_session_is_opened_anew)
{
    run("oonon", 0);
    read_all();
    cr_assert(all_read());
    cr_assert_eq(broker.full, 3);
    close_all();
}

Test(consumer, goes_on_after_cuts_and_moves)
{
    run("ocolo", 0);
    read_all();
    cr_assert(all_read());
    cr_assert_eq(seen.errors, 0);
    close_all();
}

Test(consumer, an_offset_out_of_range_stops_the_partition)
{
    run("r", 0);
    read_all();
    cr_assert_eq(seen.errors, PARTITIONS);
    cr_assert_eq(seen.error_code, 1);
    close_all();
}

Test(consumer, a_damaged_batch_is_never_handed_on)
{
    run("", 0);
    broker.corrupt = true;
    read_all();
    cr_assert_eq(seen.errors, PARTITIONS);
    cr_assert_eq(seen.error, RC_CORRUPT);
    close_all();
}

// The next fetch is under way when records are handed on: what it brings begins elsewhere and must not be taken for what
// was sought, nor move the offset past it.
Test(consumer, a_seek_drops_the_answer_to_the_older_question)
{
    run("", 0);
    for (int round = 0; round < 5; round++) {
        while (seen.next[0] < 100 + round)
            shard_turn(fake.shard, 10 * 1000 * 1000);
        for (struct consumer_partition *p = consumer.partitions; p; p = p->next)
            if (p->index == 0)
                consumer_seek(&consumer, p, round);
        seen.next[0] = round;
    }
    read_all();
    cr_assert(all_read());
    close_all();
}

Test(consumer, a_partition_that_was_given_up_can_be_assigned_again_elsewhere)
{
    run("", 0);
    while (seen.next[0] < 100)
        shard_turn(fake.shard, 10 * 1000 * 1000);
    for (struct consumer_partition *p = consumer.partitions, *next; p; p = next) {
        next = p->next;
        if (p->index == 0)
            consumer_unassign(&consumer, p);
    }
    seen.next[0] = 3;
    cr_assert_not_null(consumer_assign(&consumer, topic, 0, 3));
    read_all();
    cr_assert(all_read());
    close_all();
}

Test(consumer, a_session_forgets_who_pauses_and_takes_him_back)
{
    run("", 0);
    struct consumer_partition *first = consumer.partitions;
    while (first->index != 0)
        first = first->next;
    while (seen.next[0] < 50)
        shard_turn(fake.shard, 10 * 1000 * 1000);
    int64_t paused_at = seen.next[0];
    consumer_pause(first);
    while (seen.next[1] < LOG_RECORDS || seen.next[2] < LOG_RECORDS)
        shard_turn(fake.shard, 10 * 1000 * 1000);
    cr_assert_eq(seen.next[0], paused_at);
    cr_assert_eq(broker.forgotten, 1);
    cr_assert_eq(broker.offsets[0], -1);
    cr_assert_eq(broker.full, 1, "nobody else is named again for it");
    consumer_seek(&consumer, first, paused_at);
    read_all();
    cr_assert(all_read());
    close_all();
}
