// SPDX-License-Identifier: Apache-2.0
//
// The producers of the cluster scenario: idempotent ones and a plain one with acks=all, and one with acks=1; each repeats a
// batch until somebody acknowledges it. What acks=1 acknowledges may go when a leadership moves, and only then.
#include "cluster_clients.h"

#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"
#include "wire/batch.h"

struct cluster_batch { // the one a producer has on its way to a partition
    struct client_request request;
    struct cluster_producer *producer;
    uint8_t topic, partition;
    bool used;
    struct record_tag first;
    uint32_t records, tries, session, node;
    uint32_t first_era, era, risks; // when it was sent first; last; when its session began
    int32_t epoch;       // the newest that this node led in
    int64_t end_then;    // how far the log was known to go when it was sent last
    struct buf bytes;
    struct produce_request in;
    struct produce_request_topic_data in_topic;
    struct produce_request_partition_data in_partition;
    struct enc_hole hole;
};

struct cluster_producer {
    struct cluster_clients *all;
    uint8_t index;
    bool idempotent;
    int16_t acks;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request init;
    struct init_producer_id_request init_in;
    int64_t producer_id;
    int16_t epoch;
    uint32_t session;
    bool renews; // wants another producer id: the old one's sequence is lost
    uint32_t risks[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; // of each partition, when the session began
    uint32_t counters[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    struct cluster_batch batches[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
};

static void producer_tick(struct shard_timer *t);

// What a leader acknowledged that did not ask the others: kept as long as nobody else leads.
static void acked_alone(struct cluster_part *part, int64_t offset, const struct record_tag *first, uint32_t records,
                                int32_t epoch)
{
    for (uint32_t k = 0; k < records; k++) {
        if (part->alone_count == part->alone_cap) {
            part->alone_cap = part->alone_cap ? 2 * part->alone_cap : 64;
            part->alone = sim_realloc(part->alone, part->alone_cap * sizeof(*part->alone));
        }
        part->alone[part->alone_count] = (struct cluster_alone){.offset = offset + k, .tag = *first, .epoch = epoch};
        part->alone[part->alone_count++].tag.counter += k;
    }
}

static void batch_fill(struct cluster_batch *b)
{
    struct cluster_producer *p = b->producer;
    struct cluster_world *w = p->all->w;
    uint32_t *counter = &p->counters[b->topic][b->partition];
    b->used = true;
    b->tries = 0;
    b->session = p->session;
    b->risks = p->risks[b->topic][b->partition];
    b->records = (uint32_t)sim_between(&w->sim, 1, 4);
    b->first = (struct record_tag){.producer = p->index,
                                   .topic = b->topic,
                                   .partition = b->partition,
                                   .idempotent = p->idempotent,
                                   .generation = 1,
                                   .session = p->session,
                                   .counter = *counter};
    struct batch_options o = batch_options_default();
    if (p->idempotent) {
        o.producer_id = p->producer_id;
        o.producer_epoch = p->epoch;
        o.base_sequence = (int32_t)*counter;
    }
    struct batch_builder builder;
    batch_builder_init(&builder, &o, 64 << 10);
    uint8_t value[512];
    memset(value, 'v', sizeof(value));
    for (uint32_t k = 0; k < b->records; k++) {
        struct record_tag tag = b->first;
        tag.counter = (*counter)++;
        memcpy(value, &tag, sizeof(tag));
        enum rc rc = batch_builder_add(&builder, io_wall_ms(p->all->shard->io), bytes_of(NULL, 0),
                                       bytes_of(value, (size_t)sim_between(&w->sim, sizeof(tag), sizeof(value))), NULL, 0);
        ASSERT(rc == RC_OK);
    }
    b->bytes.n = 0;
    enum rc rc = batch_builder_finish(&builder, &b->bytes);
    ASSERT(rc == RC_OK);
    batch_builder_deinit(&builder);
}

static void produce_judge(struct cluster_batch *b, const struct produce_response_partition_response *in)
{
    struct cluster_producer *p = b->producer;
    struct cluster_world *w = p->all->w;
    struct cluster_part *part = &w->topics[b->topic].parts[b->partition];
    sim_say(&w->sim, w->machine, "producer %u: %s records %u..: %s at %lld", p->index, part->model.name, b->first.counter,
            kerr_name(in->error_code), (long long)in->base_offset);
    switch (in->error_code) {
    case 0:
        b->used = false;
        w->result->acked++;
        if (p->acks == 1) {
            acked_alone(part, in->base_offset, &b->first, b->records, b->epoch);
            return;
        }
        model_part_acked(&part->model, &w->sim, &w->eras, b->first_era, b->era, in->base_offset, &b->first, b->records);
        cluster_count(w, CLUSTER_DUPLICATES, p->idempotent && b->tries > 1 && in->base_offset < b->end_then);
        return;
    case 6: // NOT_LEADER_OR_FOLLOWER
        part->leader = -1;
        return;
    case 3:
    case 5:
    case 7:
    case 19:
    case 20:
    case 56:
    case -1:
        return;
    case 45: // OUT_OF_ORDER_SEQUENCE_NUMBER: one batch is on its way at a time, so nothing is
        cluster_check(w);
        if (!cluster_leads_now(part, b->node)) {
            part->leader = -1; // a leader that was cut off or replaced a moment ago does not know what its successor has taken
            return;
        }
        if (part->risks != b->risks) {
            p->renews = true; // what it follows is gone, and was not covered
            return;
        }
        // fall through
    default:
        sim_fail(&w->sim, "%s: producer %u, session %u, sequence %u: a produce request is answered with %s",
                 part->model.name, p->index, p->session, b->first.counter, kerr_name(in->error_code));
    }
}

static void produce_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_batch *b = container_of(r, struct cluster_batch, request);
    struct cluster_world *w = b->producer->all->w;
    struct arena a;
    struct produce_response answer;
    arena_init(&a, 64 << 10, NULL, 0);
    w->requests_answered++;
    if (rc != RC_OK)
        w->topics[b->topic].parts[b->partition].leader = -1;
    else if (client_answer_decode(&w->sim, r, body, &a, &answer) && answer.responses_count == 1 &&
             answer.responses[0].partition_responses_count == 1)
        produce_judge(b, &answer.responses[0].partition_responses[0]);
    arena_deinit(&a);
}

static int32_t epoch_led_by(const struct cluster_part *part, uint32_t node)
{
    int32_t e = part->epoch_max;
    while (e >= 0 && part->leader_of_epoch[e] != (int32_t)node + 1)
        e--;
    return e;
}

static void batch_send(struct cluster_batch *b)
{
    struct cluster_producer *p = b->producer;
    struct cluster_world *w = p->all->w;
    produce_request_init(&b->in);
    b->in.acks = p->acks;
    b->in.timeout_ms = 1000;
    b->in.topic_data = &b->in_topic;
    b->in.topic_data_count = 1;
    b->in_topic = (struct produce_request_topic_data){
        .name = bytes_str(w->topics[b->topic].name), .partition_data = &b->in_partition, .partition_data_count = 1};
    b->in_partition = (struct produce_request_partition_data){
        .index = b->partition, .records = {.bytes = {.n = b->bytes.n}, .hole = b->bytes.p}};
    b->request.holes = &b->hole;
    b->request.holes_max = 1;
    b->request.done = produce_done;
    b->era = w->eras.now;
    if (b->tries++ == 0)
        b->first_era = b->era;
    b->end_then = w->topics[b->topic].parts[b->partition].watermark;
    b->node = cluster_choose(w, w->topics[b->topic].parts[b->partition].leader);
    b->epoch = epoch_led_by(&w->topics[b->topic].parts[b->partition], b->node);
    client_connection_submit(&p->links.to[b->node], &b->request);
}

static void init_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_producer *p = container_of(r, struct cluster_producer, init);
    struct cluster_world *w = p->all->w;
    struct arena a;
    struct init_producer_id_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &a, &answer) && answer.error_code == 0) {
        p->producer_id = answer.producer_id;
        uint8_t *given = &w->producer_ids[answer.producer_id % CLUSTER_PRODUCER_IDS_MAX / 8];
        if (answer.producer_id < 0 || answer.producer_id >= CLUSTER_PRODUCER_IDS_MAX ||
            (*given >> (answer.producer_id % 8) & 1))
            sim_fail(&w->sim, "producer id %lld cannot be, or is given a second time", (long long)answer.producer_id);
        *given |= (uint8_t)(1u << (answer.producer_id % 8));
        p->epoch = answer.producer_epoch;
        p->session = ++w->sessions;
        memset(p->counters, 0, sizeof(p->counters));
        for (uint32_t t = 0; t < w->topic_count; t++)
            for (uint32_t k = 0; k < w->topics[t].partition_count; k++)
                p->risks[t][k] = w->topics[t].parts[k].risks;
    }
    arena_deinit(&a);
}

// Nothing of the old session is on its way any more: what was not acknowledged is given up.
static bool renewed(struct cluster_producer *p)
{
    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
        for (int k = 0; k < CLUSTER_PARTITIONS_MAX; k++)
            if (p->batches[t][k].request.busy)
                return false;
    for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
        for (int k = 0; k < CLUSTER_PARTITIONS_MAX; k++)
            p->batches[t][k].used = false;
    p->renews = false;
    return true;
}

static void producer_tick(struct shard_timer *t)
{
    struct cluster_producer *p = container_of(t, struct cluster_producer, timer);
    struct cluster_world *w = p->all->w;
    if (w->sim.failed)
        return;
    cluster_wake_in(p->all, &p->timer, sim_latency(&w->sim, 5 * SIM_MS), producer_tick);
    if (p->renews && renewed(p))
        p->producer_id = -1;
    if (p->idempotent && p->producer_id < 0) {
        if (!p->init.busy) {
            init_producer_id_request_init(&p->init_in);
            p->init_in.transactional_id = bytes_of(NULL, 0);
            client_connection_submit(&p->links.to[cluster_choose(w, -1)], &p->init);
        }
        return;
    }
    for (uint8_t topic = 0; topic < w->topic_count; topic++)
        for (uint8_t k = 0; k < w->topics[topic].partition_count; k++) {
            struct cluster_batch *b = &p->batches[topic][k];
            if (b->request.busy || !w->topics[topic].there)
                continue;
            bool begins = !w->draining && !p->renews && w->sim.now_ns >= w->hushed_until_ns;
            if (!b->used && begins && sim_chance(&w->sim, 1, 3))
                batch_fill(b);
            if (b->used && !p->renews && (b->tries == 0 || sim_chance(&w->sim, 1, 4)))
                batch_send(b);
        }
}

static void producer_start(struct cluster_producer *p, struct cluster_clients *all, uint8_t index)
{
    p->all = all;
    p->index = index;
    p->producer_id = -1;
    p->idempotent = index < CLUSTER_PRODUCERS_IDEMPOTENT;
    p->acks = index == CLUSTER_PRODUCERS - 1 ? 1 : -1;
    p->session = p->idempotent ? 0 : ++all->w->sessions;
    cluster_links_init(&p->links, all, "producer");
    client_request_init(&p->init, &init_producer_id_request_message, 3000);
    p->init.in = &p->init_in;
    p->init.done = init_done;
    for (uint8_t t = 0; t < CLUSTER_TOPICS_MAX; t++)
        for (uint8_t k = 0; k < CLUSTER_PARTITIONS_MAX; k++) {
            struct cluster_batch *b = &p->batches[t][k];
            b->producer = p;
            b->topic = t;
            b->partition = k;
            client_request_init(&b->request, &produce_request_message, 2500);
            b->request.in = &b->in;
            b->request.version_max = INT16_MAX;
            buf_init(&b->bytes, 64 << 10);
        }
    cluster_wake_in(all, &p->timer, sim_between(&all->w->sim, 0, 50 * SIM_MS), producer_tick);
}

struct cluster_producers {
    struct cluster_producer each[CLUSTER_PRODUCERS];
};

static void *start(struct cluster_clients *all)
{
    struct cluster_producers *p = cluster_allocate(sizeof(*p));
    for (uint8_t k = 0; k < CLUSTER_PRODUCERS; k++)
        producer_start(&p->each[k], all, k);
    return p;
}

static bool idle(const void *actor)
{
    const struct cluster_producers *p = actor;
    for (int k = 0; k < CLUSTER_PRODUCERS; k++)
        for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
            for (int n = 0; n < CLUSTER_PARTITIONS_MAX; n++)
                if (p->each[k].batches[t][n].used)
                    return false;
    return true;
}

const struct cluster_actor cluster_producers = {.name = "producers", .start = start, .idle = idle};
