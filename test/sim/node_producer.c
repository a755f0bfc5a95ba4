// SPDX-License-Identifier: Apache-2.0
//
// A producer of the node scenario: acks 0, 1 or all; with idempotence it keeps five batches in flight and repeats them
// in order after a reset or a timeout, without it one at a time.
#include "node_world.h"

#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"
#include "wire/batch.h"

static void tick(struct shard_timer *t);
static void produce_done(struct client_request *r, enum rc rc, struct bytes body);

static void wake_in(struct node_producer *p, uint64_t delay_ns)
{
    struct shard *s = p->all->shard;
    enum rc rc = shard_timer_set(s, &p->timer, shard_now_ns(s) + delay_ns, tick);
    ASSERT(rc == RC_OK);
}

bool node_producer_idle(const struct node_producer *p)
{
    for (int k = 0; k < PRODUCER_QUEUE; k++)
        if (p->batches[k].used)
            return false;
    return !p->init.busy;
}

// ------------------------------------------------------------------------------------------------ batches

static struct batch_out *oldest_of(struct node_producer *p, uint8_t topic, uint8_t partition)
{
    struct batch_out *found = NULL;
    for (int k = 0; k < PRODUCER_QUEUE; k++) {
        struct batch_out *b = &p->batches[k];
        if (b->used && b->topic == topic && b->partition == partition && (!found || b->order < found->order))
            found = b;
    }
    return found;
}

static void batch_drop(struct batch_out *b)
{
    struct node_topic *t = &b->producer->all->w->topics[b->topic];
    if (t->generation == b->generation)
        t->users--;
    b->used = false;
}

// A new producer id: what was sent under the old one is given up, its outcome unknown.
static void new_session(struct node_producer *p)
{
    for (int k = 0; k < PRODUCER_QUEUE; k++)
        if (p->batches[k].used && !p->batches[k].flying)
            batch_drop(&p->batches[k]);
    p->producer_id = p->idempotent ? -1 : 0;
    p->session = ++p->all->w->sessions;
    memset(p->counters, 0, sizeof(p->counters));
    memset(p->sequences, 0, sizeof(p->sequences));
}

static void batch_fill(struct node_producer *p, struct batch_out *b, uint8_t topic, uint8_t partition)
{
    struct node_world *w = p->all->w;
    struct sim *sim = &w->sim;
    struct node_topic *t = &w->topics[topic];
    uint32_t *counter = &p->counters[topic][partition];
    b->used = true;
    b->topic = topic;
    b->partition = partition;
    b->generation = t->generation;
    b->order = p->order_next++;
    b->records = sim_chance(sim, 1, 2) ? 1 : (uint32_t)sim_between(sim, 1, 10);
    b->base_sequence = p->sequences[topic][partition];
    b->first = (struct record_tag){.producer = p->index,
                                   .topic = topic,
                                   .partition = partition,
                                   .idempotent = p->idempotent,
                                   .generation = t->generation,
                                   .session = p->session,
                                   .counter = *counter};
    struct batch_options o = batch_options_default();
    if (p->idempotent) {
        o.producer_id = p->producer_id;
        o.producer_epoch = p->epoch;
        o.base_sequence = b->base_sequence;
        p->sequences[topic][partition] += (int32_t)b->records;
    }
    static const enum codec codecs[] = {CODEC_NONE, CODEC_NONE, CODEC_NONE, CODEC_LZ4, CODEC_ZSTD};
    o.codec = codecs[sim_between(sim, 0, ARRAY_COUNT(codecs) - 1)];
    struct batch_builder builder;
    batch_builder_init(&builder, &o, 256 << 10);
    uint8_t value[4096];
    memset(value, 'v', sizeof(value));
    for (uint32_t k = 0; k < b->records; k++) {
        struct record_tag tag = b->first;
        tag.counter = (*counter)++;
        memcpy(value, &tag, sizeof(tag));
        size_t n = (size_t)sim_between(sim, sizeof(tag), sim_chance(sim, 1, 30) ? sizeof(value) : 200);
        enum rc rc = batch_builder_add(&builder, client_now_ms(p->all), bytes_of(NULL, 0), bytes_of(value, n), NULL, 0);
        ASSERT(rc == RC_OK);
    }
    b->bytes.n = 0;
    enum rc rc = batch_builder_finish(&builder, &b->bytes);
    ASSERT(rc == RC_OK);
    batch_builder_deinit(&builder);
    t->users++;
}

static void batch_send(struct batch_out *b)
{
    struct node_producer *p = b->producer;
    struct node_topic *t = &p->all->w->topics[b->topic];
    struct sim *sim = &p->all->w->sim;
    produce_request_init(&b->in);
    b->in.acks = p->acks;
    b->in.timeout_ms = 5000;
    b->in.topic_data = &b->in_topic;
    b->in.topic_data_count = 1;
    b->in_topic = (struct produce_request_topic_data){
        .name = bytes_str(t->name), .partition_data = &b->in_partition, .partition_data_count = 1};
    b->in_partition = (struct produce_request_partition_data){
        .index = b->partition, .records = {.bytes = {.n = b->bytes.n}, .hole = b->bytes.p}};
    b->request.holes = &b->hole;
    b->request.holes_max = 1;
    b->request.no_answer = p->acks == 0;
    b->request.version_max = sim_chance(sim, 1, 4) ? (int16_t)sim_between(sim, 7, 11) : INT16_MAX;
    b->request.timeout_ms = 3000;
    b->request.done = produce_done;
    b->flying = true;
    b->era = p->all->w->eras.now;
    client_connection_submit(&p->connection, &b->request);
}

// ------------------------------------------------------------------------------------------------ answers

enum verdict { VERDICT_ACKED, VERDICT_RETRY, VERDICT_DROP, VERDICT_NEW_SESSION };

static enum verdict judge(struct batch_out *b, const struct produce_response_partition_response *r)
{
    struct node_producer *p = b->producer;
    struct node_world *w = p->all->w;
    struct model_part *part = &w->topics[b->topic].parts[b->partition];
    bool first = oldest_of(p, b->topic, b->partition) == b;
    sim_say(&w->sim, w->machine, "producer %u: %s records %u.. of session %u: %s at %lld", p->index, part->name,
            b->first.counter, b->first.session, kerr_name(r->error_code), (long long)r->base_offset);
    switch (r->error_code) {
    case 0:
        if (r->base_offset >= 0)
            model_part_acked(part, &w->sim, &w->eras, b->era, b->era, r->base_offset, &b->first, b->records);
        w->result->acked++;
        return VERDICT_ACKED;
    case 46: // DUPLICATE_SEQUENCE_NUMBER: it was appended before
        return VERDICT_ACKED;
    case 45: // OUT_OF_ORDER_SEQUENCE_NUMBER: right behind a batch that failed, and after a loss
        if (!first)
            return VERDICT_RETRY;
        if (part->lossless && !node_disk_failed(w))
            sim_fail(&w->sim, "%s: producer %u session %u: sequence %d is called out of order, and nothing was lost",
                     part->name, p->index, p->session, b->base_sequence);
        return VERDICT_NEW_SESSION;
    case 47: // INVALID_PRODUCER_EPOCH
    case 59: // UNKNOWN_PRODUCER_ID
        return VERDICT_NEW_SESSION;
    case 3:  // UNKNOWN_TOPIC_OR_PARTITION
    case 5:  // LEADER_NOT_AVAILABLE
    case 6:  // NOT_LEADER_OR_FOLLOWER
    case 7:  // REQUEST_TIMED_OUT
    case 19: // NOT_ENOUGH_REPLICAS
    case 20: // NOT_ENOUGH_REPLICAS_AFTER_APPEND
    case 56: // KAFKA_STORAGE_ERROR
    case -1: // UNKNOWN_SERVER_ERROR
        return VERDICT_RETRY;
    default:
        sim_fail(&w->sim, "%s: a produce request is answered with error %d", part->name, r->error_code);
        return VERDICT_DROP;
    }
}

static enum verdict read_answer(struct batch_out *b, struct bytes body)
{
    struct node_world *w = b->producer->all->w;
    struct arena a;
    struct produce_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    enum verdict v = VERDICT_RETRY;
    if (client_answer_decode(&w->sim, &b->request, body, &a, &answer)) {
        if (answer.responses_count != 1 || answer.responses[0].partition_responses_count != 1 ||
            answer.responses[0].partition_responses[0].index != b->partition)
            sim_fail(&w->sim, "a produce request for one partition is answered for others");
        else
            v = judge(b, &answer.responses[0].partition_responses[0]);
    }
    arena_deinit(&a);
    return v;
}

static void produce_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct batch_out *b = container_of(r, struct batch_out, request);
    struct node_producer *p = b->producer;
    struct node_world *w = p->all->w;
    enum verdict v = VERDICT_RETRY;
    b->flying = false;
    if (p->acks == 0)
        v = VERDICT_DROP; // sent or not: nobody knows
    else if (w->topics[b->topic].generation != b->generation || b->first.session != p->session)
        v = VERDICT_DROP; // given up meanwhile
    else if (rc == RC_OK)
        v = read_answer(b, body);
    w->requests_answered++;
    if (v == VERDICT_RETRY && (w->topics[b->topic].state != TOPIC_THERE))
        v = VERDICT_DROP; // the topic goes away
    if (v != VERDICT_RETRY)
        batch_drop(b);
    if (v == VERDICT_NEW_SESSION)
        new_session(p);
    else if (v == VERDICT_DROP && p->idempotent && !w->sim.failed && p->session == b->first.session)
        new_session(p); // a sequence was given up: nothing can follow it
    wake_in(p, v == VERDICT_RETRY ? 20 * SIM_MS : 50 * SIM_US);
}

// ------------------------------------------------------------------------------------------------ the loop

static void init_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_producer *p = container_of(r, struct node_producer, init);
    struct node_world *w = p->all->w;
    struct arena a;
    struct init_producer_id_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    bool fine = rc == RC_OK && client_answer_decode(&w->sim, r, body, &a, &answer);
    if (fine)
        sim_say(&w->sim, w->machine, "producer %u: id %lld: %s", p->index, (long long)answer.producer_id,
                kerr_name(answer.error_code));
    if (fine && answer.error_code == 0) {
        uint64_t id = (uint64_t)answer.producer_id;
        if (id >= NODE_PRODUCER_IDS_MAX)
            sim_fail(&w->sim, "producer id %lld is given: that many were never asked for", (long long)id);
        else if (w->producer_ids[id / 8] >> (id % 8) & 1)
            sim_fail(&w->sim, "producer id %lld is given a second time", (long long)id);
        else
            w->producer_ids[id / 8] |= (uint8_t)(1u << (id % 8));
        p->producer_id = answer.producer_id;
        p->epoch = answer.producer_epoch;
    }
    arena_deinit(&a);
    wake_in(p, p->producer_id >= 0 ? 0 : 50 * SIM_MS);
}

// Sends what waits, in order, as far as the partition's earlier batches are on their way.
static void send_waiting(struct node_producer *p)
{
    unsigned flying = 0;
    for (int k = 0; k < PRODUCER_QUEUE; k++)
        flying += p->batches[k].used && p->batches[k].flying;
    unsigned most = p->idempotent ? PRODUCER_BATCHES_OUT : p->acks == 0 ? 3 : 1;
    while (flying < most) {
        struct batch_out *next = NULL;
        for (int k = 0; k < PRODUCER_QUEUE; k++) {
            struct batch_out *b = &p->batches[k];
            if (b->used && !b->flying && (!next || b->order < next->order))
                next = b;
        }
        if (!next)
            return;
        // A repeat goes only when nothing newer of its partition is on its way: order is the producer's promise.
        for (int k = 0; k < PRODUCER_QUEUE; k++) {
            const struct batch_out *b = &p->batches[k];
            if (b->used && b->flying && b->topic == next->topic && b->partition == next->partition &&
                b->order > next->order)
                return;
        }
        batch_send(next);
        flying++;
    }
}

static void make_work(struct node_producer *p)
{
    struct node_world *w = p->all->w;
    for (int k = 0; k < PRODUCER_QUEUE; k++) {
        struct batch_out *b = &p->batches[k];
        uint8_t topic = (uint8_t)sim_between(&w->sim, 0, w->topic_count - 1);
        struct node_topic *t = &w->topics[topic];
        if (b->used || t->state != TOPIC_THERE || !sim_chance(&w->sim, 1, 3))
            continue;
        if (p->generations[topic] != t->generation) {
            p->generations[topic] = t->generation;
            memset(p->counters[topic], 0, sizeof(p->counters[topic]));
            memset(p->sequences[topic], 0, sizeof(p->sequences[topic]));
        }
        batch_fill(p, b, topic, (uint8_t)sim_between(&w->sim, 0, t->partition_count - 1));
    }
}

static void tick(struct shard_timer *t)
{
    struct node_producer *p = container_of(t, struct node_producer, timer);
    struct node_world *w = p->all->w;
    if (p->idempotent && p->producer_id < 0) {
        if (!p->init.busy) {
            init_producer_id_request_init(&p->init_in);
            p->init_in.transactional_id = bytes_of(NULL, 0);
            p->init.done = init_done;
            client_connection_submit(&p->connection, &p->init);
        }
        return;
    }
    if (!w->draining)
        make_work(p);
    send_waiting(p);
    wake_in(p, sim_latency(&w->sim, 2 * SIM_MS));
}

void node_producer_start(struct node_producer *p, struct node_clients *all, uint8_t index)
{
    struct sim *sim = &all->w->sim;
    p->all = all;
    p->index = index;
    p->idempotent = index == 0 || sim_chance(sim, 1, 2);
    p->acks = p->idempotent ? -1 : (int16_t)((int64_t)sim_between(sim, 0, 2) - 1);
    client_connection_init(&p->connection, all->shard, all->host, NODE_PORT, "producer", "sim");
    p->connection.connect_timeout_ms = 2000;
    client_request_init(&p->init, &init_producer_id_request_message, 3000);
    p->init.in = &p->init_in;
    for (int k = 0; k < PRODUCER_QUEUE; k++) {
        struct batch_out *b = &p->batches[k];
        b->producer = p;
        client_request_init(&b->request, &produce_request_message, 3000);
        b->request.in = &b->in;
        buf_init(&b->bytes, 512 << 10);
    }
    new_session(p);
    wake_in(p, sim_between(sim, 0, 5 * SIM_MS));
}
