// SPDX-License-Identifier: Apache-2.0
//
// A member that reads: where it begins, what it commits when partitions go, and that over clean rebalances every record
// comes once.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/reader.h"
#include "fake_group.h"
#include "model/ids.h"

enum { PARTITIONS = 3, LOG_RECORDS = 300, BATCH_RECORDS = 7 };

static struct fake_broker fake;
static struct fake_group group;
static struct client client;
static struct client_topic *topic;
static struct reader reader;

static struct {
    int64_t offsets[PARTITIONS]; // of the fetch session; -1: not in it
    int32_t session_id;
    int64_t log_end;
} broker;

static struct {
    uint32_t times[PARTITIONS][LOG_RECORDS];
    uint32_t assigned, revoked, lost;
    int64_t committed_at_revoke; // of partition 0
} seen;

static void answer_list_offsets(struct fake_broker *f, const struct fake_request *r, struct arena *a)
{
    struct dec d = dec_of(r->body);
    struct list_offsets_request in;
    struct list_offsets_response answer;
    struct list_offsets_response_topic t;
    struct list_offsets_response_partition partitions[PARTITIONS];
    cr_assert_eq(list_offsets_request_decode(&d, r->version, a, &in), RC_OK);
    list_offsets_response_init(&answer);
    list_offsets_response_topic_init(&t);
    t.name = in.topics[0].name;
    t.partitions = partitions;
    t.partitions_count = in.topics[0].partitions_count;
    for (uint32_t i = 0; i < t.partitions_count; i++) {
        list_offsets_response_partition_init(&partitions[i]);
        partitions[i].partition_index = in.topics[0].partitions[i].partition_index;
        int64_t time = in.topics[0].partitions[i].timestamp;
        partitions[i].offset = time == OFFSET_SPEC_EARLIEST ? 0 : time == OFFSET_SPEC_LATEST ? broker.log_end : -1;
    }
    answer.topics = &t;
    answer.topics_count = 1;
    fake_broker_answer(f, r, &list_offsets_response_message, &answer);
}

static void add_batch(int64_t offset, struct buf *out)
{
    struct batch_options options = batch_options_default();
    struct batch_builder b;
    options.base_offset = offset / BATCH_RECORDS * BATCH_RECORDS;
    batch_builder_init(&b, &options, 1 << 16);
    for (int64_t i = 0; i < BATCH_RECORDS; i++)
        cr_assert_eq(batch_builder_add(&b, 1, bytes_of(NULL, 0), bytes_str("v"), NULL, 0), RC_OK);
    cr_assert_eq(batch_builder_finish(&b, out), RC_OK);
    batch_builder_deinit(&b);
}

static void answer_fetch(struct fake_broker *f, const struct fake_request *r, struct arena *a)
{
    static struct fetch_response_partition partitions[PARTITIONS];
    static struct buf logs[PARTITIONS];
    struct dec d = dec_of(r->body);
    struct fetch_request in;
    struct fetch_response answer;
    struct fetch_response_response out;
    cr_assert_eq(fetch_request_decode(&d, r->version, a, &in), RC_OK);
    for (int p = 0; in.session_epoch == 0 && p < PARTITIONS; p++)
        broker.offsets[p] = -1;
    broker.session_id += in.session_epoch == 0;
    for (uint32_t i = 0; i < in.topics_count; i++)
        for (uint32_t k = 0; k < in.topics[i].partitions_count; k++)
            broker.offsets[in.topics[i].partitions[k].partition] = in.topics[i].partitions[k].fetch_offset;
    fetch_response_init(&answer);
    fetch_response_response_init(&out);
    out.topic_id = topic->id;
    out.partitions = partitions;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        if (broker.offsets[p] < 0 || broker.offsets[p] >= broker.log_end)
            continue;
        struct fetch_response_partition *one = &partitions[out.partitions_count++];
        fetch_response_partition_init(one);
        buf_deinit(&logs[p]);
        buf_init(&logs[p], 1 << 20);
        add_batch(broker.offsets[p], &logs[p]);
        one->partition_index = p;
        one->high_watermark = broker.log_end;
        one->records = records_of(buf_bytes(&logs[p]));
    }
    answer.session_id = broker.session_id;
    answer.responses = &out;
    answer.responses_count = out.partitions_count > 0;
    fake_broker_answer(f, r, &fetch_response_message, &answer);
}

static void on_request(struct fake_broker *f, const struct fake_request *r)
{
    struct arena a;
    if (fake_group_request(&group, f, r))
        return;
    arena_init(&a, 1 << 20, NULL, 0);
    if (r->key == 1)
        answer_fetch(f, r, &a);
    else if (r->key == 2)
        answer_list_offsets(f, r, &a);
    arena_deinit(&a);
}

static void on_batch(struct reader *r, struct reader_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct batch_iter it;
    struct record rec;
    (void)r;
    batch_iter_init(&it, h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    while (batch_iter_next(&it, &rec))
        if (rec.offset >= from && rec.offset < LOG_RECORDS)
            seen.times[p->index][rec.offset]++;
}

static void on_assigned(struct reader *r, const struct membership_set *set)
{
    (void)r;
    seen.assigned += set->count;
}

static void on_revoked(struct reader *r, const struct membership_set *set, bool lost)
{
    (void)r;
    *(lost ? &seen.lost : &seen.revoked) += set->count;
    seen.committed_at_revoke = group.committed[0];
}

static struct reader_config prepare(void)
{
    struct reader_config c = reader_config_default("g");
    memset(&seen, 0, sizeof(seen));
    memset(&broker, 0, sizeof(broker));
    broker.log_end = LOG_RECORDS / BATCH_RECORDS * BATCH_RECORDS;
    fake_group_init(&group);
    fake_broker_open(&fake);
    fake.partition_count = PARTITIONS;
    fake.handler = on_request;
    fake_broker_client(&fake, &client, &topic);
    c.membership.heartbeat_ms = 20;
    c.reset = READER_RESET_EARLIEST;
    c.batch = on_batch;
    c.assigned = on_assigned;
    c.revoked = on_revoked;
    c.commit_timeout_ms = 1000;
    return c;
}

static void begin(const struct reader_config *c)
{
    cr_assert_eq(reader_init(&reader, &client, c, &topic, 1), RC_OK);
}

static bool all_at_end(void)
{
    uint32_t n = 0;
    for (struct reader_partition *p = reader.partitions; p; p = p->next)
        n += p->position >= broker.log_end;
    return n == PARTITIONS;
}

static void read_until(uint32_t assigned)
{
    uint64_t until = io_clock_ns(fake.io) + UINT64_C(3000000000);
    while ((!all_at_end() || seen.assigned < assigned) && io_clock_ns(fake.io) < until) {
        shard_turn(fake.shard, 5 * 1000 * 1000);
        if (reader_poll(&reader) != RC_OK)
            return;
    }
}

static void end(void)
{
    client_close(&client);
    reader_deinit(&reader);
    client_deinit(&client);
    fake_broker_close(&fake);
}

static void check_times(int32_t partition, int64_t from)
{
    for (int64_t i = 0; i < broker.log_end; i++)
        cr_assert_eq(seen.times[partition][i], i >= from, "partition %d offset %lld: %u times", partition, (long long)i,
                     seen.times[partition][i]);
}

Test(reader, goes_on_where_the_group_stopped_and_else_by_the_policy)
{
    struct reader_config c = prepare();
    group.committed[1] = 100;
    begin(&c);
    read_until(PARTITIONS);
    check_times(0, 0);
    check_times(1, 100);
    check_times(2, 0);
    cr_assert_eq(reader_close(&reader, 1000), RC_OK);
    cr_assert_eq(group.committed[0], broker.log_end);
    cr_assert_eq(group.committed[1], broker.log_end);
    cr_assert_eq(group.leaves, 1);
    cr_assert_eq(seen.revoked, PARTITIONS);
    end();
}

Test(reader, commits_before_it_gives_up_so_that_a_rebalance_repeats_nothing)
{
    struct reader_config c = prepare();
    group.heartbeat = (struct fake_group_script){.codes = {27, 0, 27}, .count = 3};
    begin(&c);
    read_until(3 * PARTITIONS);
    cr_assert_eq(seen.assigned, 3 * PARTITIONS);
    cr_assert_eq(seen.revoked, 2 * PARTITIONS);
    cr_assert_gt(seen.committed_at_revoke, 0);
    for (int32_t p = 0; p < PARTITIONS; p++)
        check_times(p, 0);
    end();
}

Test(reader, commits_nothing_of_what_it_has_lost)
{
    struct reader_config c = prepare();
    group.committed[0] = 7;
    group.heartbeat = (struct fake_group_script){.codes = {25}, .count = 1};
    begin(&c);
    read_until(2 * PARTITIONS);
    cr_assert_eq(seen.lost, PARTITIONS);
    cr_assert_eq(seen.committed_at_revoke, 7, "as it was");
    end();
}

Test(reader, an_error_that_passes_does_not_cost_a_commit)
{
    struct reader_config c = prepare();
    group.commit = (struct fake_group_script){.codes = {14, 16, 27}, .count = 3}; // loading, moved, rebalancing
    begin(&c);
    read_until(PARTITIONS);
    cr_assert_eq(reader_commit(&reader), RC_OK, "%s", client.error);
    cr_assert_eq(group.commits, 4);
    cr_assert_eq(group.committed[2], broker.log_end);
    end();
}

Test(reader, without_offset_and_policy_it_says_so)
{
    struct reader_config c = prepare();
    c.reset = READER_RESET_NONE;
    begin(&c);
    read_until(PARTITIONS);
    cr_assert(reader.failed);
    cr_assert(strstr(client.error, "no policy"), "%s", client.error);
    end();
}

Test(reader, a_time_no_record_has_means_the_end)
{
    struct reader_config c = prepare();
    c.reset = READER_RESET_TIME;
    c.reset_timestamp = 123;
    begin(&c);
    read_until(PARTITIONS);
    check_times(0, broker.log_end);
    cr_assert_eq(reader.partitions->position, broker.log_end);
    end();
}
