// SPDX-License-Identifier: Apache-2.0
//
// A consumer of the node scenario: reads one topic after another with fetch sessions and long polls, checks every
// batch, and reports every record to the account. The verifier reads one topic from its start to its end and says so.
#include "node_world.h"

#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"
#include "wire/batch.h"

static void tick(struct shard_timer *t);

static void wake_in(struct node_consumer *c, uint64_t delay_ns)
{
    struct shard *s = c->all->shard;
    enum rc rc = shard_timer_set(s, &c->timer, shard_now_ns(s) + delay_ns, tick);
    ASSERT(rc == RC_OK);
}

static struct node_topic *topic_of(const struct node_consumer *c)
{
    return &c->all->w->topics[c->topic];
}

static void bind(struct node_consumer *c, uint8_t topic)
{
    c->topic = topic;
    c->generation = topic_of(c)->generation;
    c->bound = true;
    c->session_id = c->session_epoch = 0;
    c->rounds = 0;
    topic_of(c)->users++;
    for (int k = 0; k < NODE_PARTITIONS_MAX; k++)
        c->positions[k] = c->starts[k] = c->ends[k] = OFFSET_NONE;
}

static void unbind(struct node_consumer *c)
{
    ASSERT(c->bound);
    topic_of(c)->users--;
    c->bound = false;
}

void node_consumer_verify(struct node_consumer *c, uint8_t topic)
{
    ASSERT(c->verifier && !c->bound);
    c->verified = false;
    bind(c, topic);
    for (uint32_t k = 0; k < topic_of(c)->partition_count; k++)
        model_part_pass_begin(&topic_of(c)->parts[k]);
    wake_in(c, 0);
}

// ------------------------------------------------------------------------------------------------ where to begin

static void offsets_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_consumer *c = container_of(r, struct node_consumer, offsets);
    struct node_world *w = c->all->w;
    struct arena a;
    struct list_offsets_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &a, &answer) && answer.topics_count == 1) {
        for (uint32_t k = 0; k < answer.topics[0].partitions_count; k++) {
            const struct list_offsets_response_partition *p = &answer.topics[0].partitions[k];
            if (p->error_code || p->partition_index < 0 || p->partition_index >= NODE_PARTITIONS_MAX)
                continue;
            int64_t spec = c->offsets_partitions[0].timestamp;
            sim_say(&w->sim, w->machine, "consumer %u: %s of %s-%d is %lld", c->index,
                    spec == OFFSET_SPEC_EARLIEST ? "earliest" : "latest", topic_of(c)->name, p->partition_index,
                    (long long)p->offset);
            if (spec == OFFSET_SPEC_EARLIEST) {
                struct model_part *part = &topic_of(c)->parts[p->partition_index];
                if (p->offset < c->start_acked_then[p->partition_index])
                    sim_fail(&w->sim, "%s: earliest is %lld, below %lld, which DeleteRecords had answered", part->name,
                             (long long)p->offset, (long long)c->start_acked_then[p->partition_index]);
                c->starts[p->partition_index] = p->offset;
                if (c->positions[p->partition_index] == OFFSET_NONE)
                    c->positions[p->partition_index] = p->offset;
            } else {
                c->ends[p->partition_index] = p->offset;
            }
        }
    }
    arena_deinit(&a);
    wake_in(c, rc == RC_OK ? SIM_MS : 50 * SIM_MS);
}

// Asks for the start of every partition without a position, or for the end of every one without an end.
static bool ask_offsets(struct node_consumer *c, const int64_t *missing, int64_t spec)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < topic_of(c)->partition_count; k++) {
        if (missing[k] != OFFSET_NONE)
            continue;
        struct list_offsets_request_partition *p = &c->offsets_partitions[n++];
        list_offsets_request_partition_init(p);
        p->partition_index = (int32_t)k;
        p->timestamp = spec;
        c->start_acked_then[k] = topic_of(c)->parts[k].start_acked;
    }
    if (!n)
        return false;
    list_offsets_request_init(&c->offsets_in);
    c->offsets_in.replica_id = -1;
    c->offsets_in.topics = &c->offsets_topic;
    c->offsets_in.topics_count = 1;
    c->offsets_topic = (struct list_offsets_request_topic){
        .name = bytes_str(topic_of(c)->name), .partitions = c->offsets_partitions, .partitions_count = n};
    c->offsets.done = offsets_done;
    client_connection_submit(&c->connection, &c->offsets);
    return true;
}

// ------------------------------------------------------------------------------------------------ what was fetched

static void take_batch(struct node_consumer *c, int32_t partition, struct bytes batch, const struct batch_header *h)
{
    struct node_world *w = c->all->w;
    struct model_part *part = &topic_of(c)->parts[partition];
    struct buf scratch;
    struct bytes records;
    struct batch_iter it;
    struct record record;
    if (!batch_crc_ok(batch)) {
        sim_fail(&w->sim, "%s: the batch fetched at offset %lld has a bad checksum", part->name,
                 (long long)h->base_offset);
        return;
    }
    buf_init(&scratch, 4 << 20);
    if (batch_inflate(batch, &scratch, &records, NULL, 0) != RC_OK) {
        sim_fail(&w->sim, "%s: the batch fetched at offset %lld cannot be decompressed", part->name,
                 (long long)h->base_offset);
        buf_deinit(&scratch);
        return;
    }
    batch_iter_init(&it, h, records);
    while (batch_iter_next(&it, &record) && !w->sim.failed) {
        struct record_tag tag;
        if (record.offset < c->positions[partition])
            continue; // the batch began earlier than was asked for
        if (record.offset > c->positions[partition]) {
            sim_fail(&w->sim, "%s: offset %lld follows %lld", part->name, (long long)record.offset,
                     (long long)c->positions[partition] - 1);
            break;
        }
        if (record.value.n < sizeof(tag)) {
            sim_fail(&w->sim, "%s: offset %lld was never sent", part->name, (long long)record.offset);
            break;
        }
        memcpy(&tag, record.value.p, sizeof(tag));
        model_part_seen(part, &w->sim, &w->eras, c->fetch_era, record.offset, &tag);
        c->positions[partition] = record.offset + 1;
    }
    if (it.rc != RC_OK)
        sim_fail(&w->sim, "%s: the batch fetched at offset %lld is damaged", part->name, (long long)h->base_offset);
    buf_deinit(&scratch);
}

static void take_records(struct node_consumer *c, int32_t partition, struct bytes records)
{
    while (records.n && !c->all->w->sim.failed) {
        struct batch_header h;
        if (batch_header_read(records, &h) != RC_OK)
            return; // the last batch may be cut
        size_t n = batch_bytes(&h);
        take_batch(c, partition, bytes_of(records.p, n), &h);
        records = bytes_of(records.p + n, records.n - n);
    }
}

static void take_partition(struct node_consumer *c, const struct fetch_response_partition *p)
{
    struct node_world *w = c->all->w;
    int32_t k = p->partition_index;
    if (k < 0 || (uint32_t)k >= topic_of(c)->partition_count) {
        sim_fail(&w->sim, "partition %d was fetched and never asked for", k);
        return;
    }
    struct model_part *part = &topic_of(c)->parts[k];
    sim_say(&w->sim, w->machine, "consumer %u: fetched %s at %lld: %s, %zu bytes, high watermark %lld", c->index,
            part->name, (long long)c->positions[k], kerr_name(p->error_code), p->records.bytes.n,
            (long long)p->high_watermark);
    switch (p->error_code) {
    case 0:
        if (p->records.bytes.n && c->positions[k] < c->start_acked_then[k])
            sim_fail(&w->sim, "%s: offset %lld is served, DeleteRecords had answered %lld", part->name,
                     (long long)c->positions[k], (long long)c->start_acked_then[k]);
        take_records(c, k, p->records.bytes);
        if (c->positions[k] > p->high_watermark && p->records.bytes.n)
            sim_fail(&w->sim, "%s: offset %lld is served, the high watermark is %lld", part->name,
                     (long long)c->positions[k] - 1, (long long)p->high_watermark);
        return;
    case 1: // OFFSET_OUT_OF_RANGE: records were deleted, or a power cut took the tail
        c->positions[k] = OFFSET_NONE;
        return;
    case 3:
    case 5:
    case 6:
    case 56:
    case 75:  // UNKNOWN_LEADER_EPOCH
    case 78:  // OFFSET_NOT_AVAILABLE
    case 100: // UNKNOWN_TOPIC_ID
    case 103: // INCONSISTENT_TOPIC_ID
    case -1:
        return;
    default:
        sim_fail(&w->sim, "%s: a fetch is answered with error %d", part->name, p->error_code);
    }
}

static void take_answer(struct node_consumer *c, const struct fetch_response *answer)
{
    if (answer->error_code)
        sim_say(&c->all->w->sim, c->all->w->machine, "consumer %u: fetch answered %s", c->index,
                kerr_name(answer->error_code));
    if (answer->error_code) { // the session is gone: the node was started again
        c->session_id = c->session_epoch = 0;
        return;
    }
    if (answer->session_id != c->session_id)
        c->session_epoch = 0;
    c->session_id = answer->session_id;
    c->session_epoch = c->session_id ? c->session_epoch + 1 : 0;
    for (uint32_t k = 0; k < answer->responses_count; k++)
        for (uint32_t j = 0; j < answer->responses[k].partitions_count; j++)
            take_partition(c, &answer->responses[k].partitions[j]);
}

static void fetch_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_consumer *c = container_of(r, struct node_consumer, fetch);
    struct node_world *w = c->all->w;
    struct arena a;
    struct fetch_response answer;
    if (rc == RC_OK && c->generation == topic_of(c)->generation) {
        arena_init(&a, 256 << 10, NULL, 0);
        if (client_answer_decode(&w->sim, r, body, &a, &answer))
            take_answer(c, &answer);
        arena_deinit(&a);
        w->requests_answered++;
    } else {
        c->session_id = c->session_epoch = 0;
    }
    c->rounds++;
    wake_in(c, rc == RC_OK ? 50 * SIM_US : 50 * SIM_MS);
}

// ------------------------------------------------------------------------------------------------ the loop

static void send_fetch(struct node_consumer *c)
{
    struct sim *sim = &c->all->w->sim;
    struct node_topic *t = topic_of(c);
    fetch_request_init(&c->fetch_in);
    c->fetch_in.max_wait_ms = (int32_t)sim_between(sim, 1, 500);
    c->fetch_in.min_bytes = sim_chance(sim, 1, 2) ? 1 : (int32_t)sim_between(sim, 1, 20000);
    c->fetch_in.max_bytes = (int32_t)sim_between(sim, 1000, 1 << 20);
    c->fetch_in.session_id = c->session_id;
    c->fetch_in.session_epoch = c->session_epoch;
    c->fetch_in.topics = &c->fetch_topic;
    c->fetch_in.topics_count = 1;
    fetch_request_topic_init(&c->fetch_topic);
    c->fetch_topic.topic = bytes_str(t->name);
    c->fetch_topic.topic_id = t->id;
    c->fetch_topic.partitions = c->fetch_partitions;
    c->fetch_topic.partitions_count = t->partition_count;
    for (uint32_t k = 0; k < t->partition_count; k++) {
        struct fetch_request_partition *p = &c->fetch_partitions[k];
        fetch_request_partition_init(p);
        p->partition = (int32_t)k;
        p->current_leader_epoch = -1;
        p->fetch_offset = c->positions[k];
        p->partition_max_bytes = (int32_t)sim_between(sim, 500, 300000);
        c->start_acked_then[k] = t->parts[k].start_acked;
    }
    // Names up to 12, ids from 13 on: only when the id is known.
    int16_t most = uuid_is_zero(t->id) ? 12 : INT16_MAX;
    c->fetch.version_max = c->session_id ? c->fetch.version_max : sim_chance(sim, 1, 3) ? 11 : most;
    c->fetch.timeout_ms = 3000;
    c->fetch.done = fetch_done;
    c->fetch_era = c->all->w->eras.now;
    client_connection_submit(&c->connection, &c->fetch);
}

// True when the verifier has read every partition to the end it was told.
static bool pass_is_over(struct node_consumer *c)
{
    for (uint32_t k = 0; k < topic_of(c)->partition_count; k++)
        if (c->ends[k] == OFFSET_NONE || c->positions[k] == OFFSET_NONE || c->positions[k] < c->ends[k])
            return false;
    return true;
}

static void end_pass(struct node_consumer *c)
{
    struct node_world *w = c->all->w;
    for (uint32_t k = 0; k < topic_of(c)->partition_count && !w->sim.failed; k++)
        model_part_pass_end(&topic_of(c)->parts[k], &w->sim, &w->eras, c->starts[k], c->ends[k]);
    w->result->checks++;
    c->verified = true;
    unbind(c);
}

static bool choose_topic(struct node_consumer *c)
{
    struct node_world *w = c->all->w;
    uint8_t topic = (uint8_t)sim_between(&w->sim, 0, w->topic_count - 1);
    if (w->topics[topic].state != TOPIC_THERE || w->draining)
        return false;
    bind(c, topic);
    return true;
}

static void tick(struct shard_timer *t)
{
    struct node_consumer *c = container_of(t, struct node_consumer, timer);
    struct node_world *w = c->all->w;
    if (w->sim.failed || c->fetch.busy || c->offsets.busy)
        return;
    bool over = c->bound && !c->verifier && (c->rounds > 200 || w->draining);
    if (c->bound && (over || topic_of(c)->state != TOPIC_THERE))
        unbind(c);
    if (!c->bound && (c->verifier || !choose_topic(c))) {
        if (!c->verifier)
            wake_in(c, 20 * SIM_MS);
        return;
    }
    if (ask_offsets(c, c->positions, OFFSET_SPEC_EARLIEST))
        return;
    if (c->verifier && ask_offsets(c, c->ends, OFFSET_SPEC_LATEST))
        return;
    if (c->verifier && pass_is_over(c)) {
        end_pass(c);
        return;
    }
    send_fetch(c);
}

void node_consumer_start(struct node_consumer *c, struct node_clients *all, uint8_t index, bool verifier)
{
    c->all = all;
    c->index = index;
    c->verifier = verifier;
    client_connection_init(&c->connection, all->shard, all->host, NODE_PORT, "consumer", "sim");
    c->connection.connect_timeout_ms = 2000;
    client_request_init(&c->fetch, &fetch_request_message, 3000);
    c->fetch.in = &c->fetch_in;
    c->fetch.version_max = INT16_MAX;
    client_request_init(&c->offsets, &list_offsets_request_message, 3000);
    c->offsets.in = &c->offsets_in;
    if (!verifier)
        wake_in(c, sim_between(&all->w->sim, 0, 20 * SIM_MS));
}
