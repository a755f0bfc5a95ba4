// SPDX-License-Identifier: Apache-2.0
//
// The clients of the cluster scenario: an administrator that creates the topics and asks who leads, idempotent producers
// with acks=all that repeat a batch until somebody acknowledges it, and readers that follow the leaders. The last reader
// reads everything from start to end when it is told to.
#include "cluster_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"
#include "wire/batch.h"
#include "wire/frame.h"

struct cluster_clients;

struct links { // one client's connections to every node
    struct client_connection to[CLUSTER_NODES_MAX];
};

struct cluster_batch { // the one a producer has on its way to a partition
    struct client_request request;
    struct cluster_producer *producer;
    uint8_t topic, partition;
    bool used;
    struct record_tag first;
    uint32_t records, tries, session, node;
    struct buf bytes;
    struct produce_request in;
    struct produce_request_topic_data in_topic;
    struct produce_request_partition_data in_partition;
    struct enc_hole hole;
};

struct cluster_producer {
    struct cluster_clients *all;
    uint8_t index;
    struct links links;
    struct shard_timer timer;
    struct client_request init;
    struct init_producer_id_request init_in;
    int64_t producer_id;
    int16_t epoch;
    uint32_t session;
    uint32_t counters[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
    struct cluster_batch batches[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];
};

struct cluster_reader {
    struct cluster_clients *all;
    uint8_t index, topic, partition;
    uint32_t node; // asked
    bool verifies; // passes over all partitions, one after the other
    uint32_t passes;
    struct links links;
    struct shard_timer timer;
    struct client_request request;
    struct fetch_request in;
    struct fetch_request_topic in_topic;
    struct fetch_request_partition in_partition;
    int64_t position, end; // end: of the pass
};

struct cluster_admin {
    struct cluster_clients *all;
    struct links links;
    struct shard_timer timer;
    struct client_request request;
    struct create_topics_request create;
    struct create_topics_request_topic create_topic;
    struct create_topics_request_config configs[2];
    struct metadata_request metadata;
    uint32_t topic;
    uint64_t asked_ns;
};

struct cluster_clients {
    struct shard_group group;
    struct shard *shard;
    struct cluster_world *w;
    struct cluster_admin admin;
    struct cluster_producer producers[CLUSTER_PRODUCERS];
    struct cluster_reader readers[CLUSTER_READERS];
};

bool cluster_decode(struct cluster_world *w, const struct client_request *r, struct bytes body, struct arena *a, void *out)
{
    struct dec d = dec_of(body);
    const struct schema_message *message = wire_response_find(r->message->key);
    ASSERT(message);
    enum rc rc = schema_decode(message, &d, r->version, a, out);
    if (rc == RC_OK && dec_left(&d) == 0)
        return true;
    sim_fail(&w->sim, "the answer to %s version %d cannot be read: %s, %zu bytes left", r->message->name, r->version,
             rc_name(rc), dec_left(&d));
    return false;
}

static void links_init(struct links *l, struct cluster_clients *all, const char *name)
{
    for (uint32_t i = 0; i < all->w->node_count; i++) {
        client_connection_init(&l->to[i], all->shard, all->w->nodes[i].machine->name, CLUSTER_PORT, name, "sim");
        l->to[i].connect_timeout_ms = 500;
    }
}

static void wake_in(struct cluster_clients *all, struct shard_timer *t, uint64_t delay_ns, shard_timer_fn fn)
{
    enum rc rc = shard_timer_set(all->shard, t, shard_now_ns(all->shard) + delay_ns, fn);
    ASSERT(rc == RC_OK);
}

// Who is asked: the node said to lead, now and then anybody.
static uint32_t choose_node(struct cluster_world *w, int32_t leader)
{
    if (leader >= 0 && !sim_chance(&w->sim, 1, 16))
        return (uint32_t)leader;
    return (uint32_t)sim_between(&w->sim, 0, w->node_count - 1);
}

// ------------------------------------------------------------------------------------------------ the administrator

static void admin_tick(struct shard_timer *t);

static void create_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_admin *a = container_of(r, struct cluster_admin, request);
    struct cluster_world *w = a->all->w;
    struct arena arena;
    struct create_topics_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    if (rc == RC_OK && cluster_decode(w, r, body, &arena, &answer) && answer.topics_count == 1) {
        int16_t code = answer.topics[0].error_code;
        sim_say(&w->sim, w->machine, "admin: creating topic%u: %s", a->topic, kerr_name(code));
        if (code == 0 || code == 36) // TOPIC_ALREADY_EXISTS: an earlier try got through
            w->topics[a->topic].there = true;
        else if (!kerr_retriable(code) && code != 38 && code != -1 && code != 41) // 38: not enough nodes are there yet
            sim_fail(&w->sim, "creating a topic is answered with error %d", code);
    }
    arena_deinit(&arena);
    w->requests_answered++;
    wake_in(a->all, &a->timer, 50 * SIM_MS, admin_tick);
}

static void create(struct cluster_admin *a)
{
    struct cluster_world *w = a->all->w;
    struct cluster_topic *t = &w->topics[a->topic];
    create_topics_request_init(&a->create);
    create_topics_request_topic_init(&a->create_topic);
    a->create.topics = &a->create_topic;
    a->create.topics_count = 1;
    a->create.timeout_ms = 3000;
    a->create_topic.name = bytes_str(t->name);
    a->create_topic.num_partitions = (int32_t)t->partition_count;
    a->create_topic.replication_factor = (int16_t)cluster_replicas(w);
    a->create_topic.configs = a->configs;
    a->configs[a->create_topic.configs_count++] = (struct create_topics_request_config){
        .name = bytes_str("min.insync.replicas"), .value = bytes_str(cluster_replicas(w) == 3 ? "2" : "1")};
    if (w->synced)
        a->configs[a->create_topic.configs_count++] =
            (struct create_topics_request_config){.name = bytes_str("flush.messages"), .value = bytes_str("1")};
    a->request.message = &create_topics_request_message;
    a->request.in = &a->create;
    a->request.done = create_done;
    client_connection_submit(&a->links.to[choose_node(w, -1)], &a->request);
}

static void metadata_read(struct cluster_admin *a, const struct metadata_response *in)
{
    struct cluster_world *w = a->all->w;
    bool whole = true;
    for (uint32_t k = 0; k < in->topics_count; k++) {
        const struct metadata_response_topic *it = &in->topics[k];
        for (uint32_t t = 0; t < w->topic_count; t++) {
            if (it->error_code || !bytes_eq(it->name, bytes_str(w->topics[t].name)))
                continue;
            w->topics[t].id = it->topic_id;
            for (uint32_t j = 0; j < it->partitions_count; j++) {
                const struct metadata_response_partition *ip = &it->partitions[j];
                struct cluster_part *p = &w->topics[t].parts[ip->partition_index];
                p->leader = ip->leader_id > 0 && ip->leader_id <= (int32_t)w->node_count ? ip->leader_id - 1 : -1;
                if (p->isr_count != ip->isr_nodes_count)
                    w->isr_changes++;
                p->isr_count = ip->isr_nodes_count;
            }
        }
    }
    for (uint32_t t = 0; t < w->topic_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count; k++)
            whole = whole && w->topics[t].there && w->topics[t].parts[k].isr_count == (uint32_t)cluster_replicas(w) &&
                    w->topics[t].parts[k].leader >= 0;
    w->whole = whole;
    w->whole_asked_ns = a->asked_ns;
}

static void metadata_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_admin *a = container_of(r, struct cluster_admin, request);
    struct cluster_world *w = a->all->w;
    struct arena arena;
    struct metadata_response answer;
    arena_init(&arena, 256 << 10, NULL, 0);
    if (rc == RC_OK && cluster_decode(w, r, body, &arena, &answer))
        metadata_read(a, &answer);
    arena_deinit(&arena);
    wake_in(a->all, &a->timer, 20 * SIM_MS, admin_tick);
}

static void admin_tick(struct shard_timer *t)
{
    struct cluster_admin *a = container_of(t, struct cluster_admin, timer);
    struct cluster_world *w = a->all->w;
    if (w->sim.failed || a->request.busy)
        return;
    for (a->topic = 0; a->topic < w->topic_count; a->topic++)
        if (!w->topics[a->topic].there) {
            create(a);
            return;
        }
    metadata_request_init(&a->metadata);
    a->metadata.topics = NULL;
    a->request.message = &metadata_request_message;
    a->request.in = &a->metadata;
    a->request.done = metadata_done;
    a->asked_ns = w->sim.now_ns;
    client_connection_submit(&a->links.to[choose_node(w, -1)], &a->request);
}

// ------------------------------------------------------------------------------------------------ producers

static void producer_tick(struct shard_timer *t);

static void batch_fill(struct cluster_batch *b)
{
    struct cluster_producer *p = b->producer;
    struct cluster_world *w = p->all->w;
    uint32_t *counter = &p->counters[b->topic][b->partition];
    b->used = true;
    b->tries = 0;
    b->session = p->session;
    b->records = (uint32_t)sim_between(&w->sim, 1, 4);
    b->first = (struct record_tag){.producer = p->index,
                                   .topic = b->topic,
                                   .partition = b->partition,
                                   .idempotent = true,
                                   .generation = 1,
                                   .session = p->session,
                                   .counter = *counter};
    struct batch_options o = batch_options_default();
    o.producer_id = p->producer_id;
    o.producer_epoch = p->epoch;
    o.base_sequence = (int32_t)*counter;
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

// Nobody is known to lead in a later epoch than this node did.
static bool is_leader_now(const struct cluster_part *part, uint32_t node)
{
    for (int e = CLUSTER_EPOCHS_MAX - 1; e >= 0; e--)
        if (part->leader_of_epoch[e])
            return part->leader_of_epoch[e] == (int32_t)node + 1;
    return false;
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
        model_part_acked(&part->model, &w->sim, &w->eras, w->eras.now, in->base_offset, &b->first, b->records);
        w->result->acked++;
        b->used = false;
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
        if (!is_leader_now(part, b->node)) {
            part->leader = -1; // a leader that was cut off does not know what its successor has taken
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
    else if (cluster_decode(w, r, body, &a, &answer) && answer.responses_count == 1 &&
             answer.responses[0].partition_responses_count == 1)
        produce_judge(b, &answer.responses[0].partition_responses[0]);
    arena_deinit(&a);
}

static void batch_send(struct cluster_batch *b)
{
    struct cluster_producer *p = b->producer;
    struct cluster_world *w = p->all->w;
    produce_request_init(&b->in);
    b->in.acks = -1;
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
    b->tries++;
    b->node = choose_node(w, w->topics[b->topic].parts[b->partition].leader);
    client_connection_submit(&p->links.to[b->node], &b->request);
}

static void init_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_producer *p = container_of(r, struct cluster_producer, init);
    struct cluster_world *w = p->all->w;
    struct arena a;
    struct init_producer_id_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    if (rc == RC_OK && cluster_decode(w, r, body, &a, &answer) && answer.error_code == 0) {
        p->producer_id = answer.producer_id;
        p->epoch = answer.producer_epoch;
        p->session = ++w->sessions;
    }
    arena_deinit(&a);
}

static void producer_tick(struct shard_timer *t)
{
    struct cluster_producer *p = container_of(t, struct cluster_producer, timer);
    struct cluster_world *w = p->all->w;
    if (w->sim.failed)
        return;
    wake_in(p->all, &p->timer, sim_latency(&w->sim, 5 * SIM_MS), producer_tick);
    if (p->producer_id < 0) {
        if (!p->init.busy) {
            init_producer_id_request_init(&p->init_in);
            p->init_in.transactional_id = bytes_of(NULL, 0);
            client_connection_submit(&p->links.to[choose_node(w, -1)], &p->init);
        }
        return;
    }
    for (uint8_t topic = 0; topic < w->topic_count; topic++)
        for (uint8_t k = 0; k < w->topics[topic].partition_count; k++) {
            struct cluster_batch *b = &p->batches[topic][k];
            if (b->request.busy || !w->topics[topic].there)
                continue;
            bool begins = !w->draining && w->sim.now_ns >= w->hushed_until_ns;
            if (!b->used && begins && sim_chance(&w->sim, 1, 3))
                batch_fill(b);
            if (b->used && (b->tries == 0 || sim_chance(&w->sim, 1, 4)))
                batch_send(b);
        }
}

static void producer_start(struct cluster_producer *p, struct cluster_clients *all, uint8_t index)
{
    p->all = all;
    p->index = index;
    p->producer_id = -1;
    links_init(&p->links, all, "producer");
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
    wake_in(all, &p->timer, sim_between(&all->w->sim, 0, 50 * SIM_MS), producer_tick);
}

// ------------------------------------------------------------------------------------------------ readers

static void reader_tick(struct shard_timer *t);

static struct cluster_part *read_part(const struct cluster_reader *c)
{
    return &c->all->w->topics[c->topic].parts[c->partition];
}

static void take_records(struct cluster_reader *c, struct bytes records)
{
    struct cluster_world *w = c->all->w;
    struct model_part *part = &read_part(c)->model;
    while (records.n && !w->sim.failed) {
        struct batch_header h;
        struct batch_iter it;
        struct record record;
        if (batch_header_read(records, &h) != RC_OK)
            return; // the last batch may be cut
        struct bytes batch = bytes_of(records.p, batch_bytes(&h));
        if (!batch_crc_ok(batch))
            sim_fail(&w->sim, "%s: the batch at offset %lld has a bad checksum", part->name, (long long)h.base_offset);
        batch_iter_init(&it, &h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
        while (batch_iter_next(&it, &record) && !w->sim.failed) {
            struct record_tag tag;
            if (record.offset < c->position)
                continue;
            if (record.offset > c->position || record.value.n < sizeof(tag)) {
                sim_fail(&w->sim, "%s: offset %lld follows %lld", part->name, (long long)record.offset,
                         (long long)c->position - 1);
                return;
            }
            memcpy(&tag, record.value.p, sizeof(tag));
            model_part_seen(part, &w->sim, &w->eras, w->eras.now, record.offset, &tag);
            c->position++;
        }
        records = bytes_of(records.p + batch.n, records.n - batch.n);
    }
}

static void take_answer(struct cluster_reader *c, const struct fetch_response *in)
{
    struct cluster_world *w = c->all->w;
    if (in->error_code || in->responses_count != 1 || in->responses[0].partitions_count != 1)
        return;
    const struct fetch_response_partition *p = &in->responses[0].partitions[0];
    switch (p->error_code) {
    case 0:
        take_records(c, p->records.bytes);
        if (p->records.bytes.n && c->position > p->high_watermark)
            sim_fail(&w->sim, "%s: offset %lld is served, the high watermark is %lld", read_part(c)->model.name,
                     (long long)c->position - 1, (long long)p->high_watermark);
        c->end = p->high_watermark;
        return;
    case 1: // OFFSET_OUT_OF_RANGE
        if (is_leader_now(read_part(c), c->node))
            sim_fail(&w->sim, "%s: offset %lld was read up to, and is out of range", read_part(c)->model.name,
                 (long long)c->position);
        return;
    default:
        read_part(c)->leader = -1;
    }
}

static void read_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_reader *c = container_of(r, struct cluster_reader, request);
    struct cluster_world *w = c->all->w;
    struct arena a;
    struct fetch_response answer;
    arena_init(&a, 256 << 10, NULL, 0);
    c->end = OFFSET_NONE;
    if (rc != RC_OK)
        read_part(c)->leader = -1;
    else if (cluster_decode(w, r, body, &a, &answer))
        take_answer(c, &answer);
    arena_deinit(&a);
    wake_in(c->all, &c->timer, rc == RC_OK ? SIM_MS : 20 * SIM_MS, reader_tick);
}

static void read_on(struct cluster_reader *c)
{
    struct cluster_world *w = c->all->w;
    fetch_request_init(&c->in);
    c->in.max_wait_ms = (int32_t)sim_between(&w->sim, 1, 200);
    c->in.min_bytes = 1;
    c->in.max_bytes = 1 << 20;
    c->in.session_epoch = -1;
    c->in.topics = &c->in_topic;
    c->in.topics_count = 1;
    fetch_request_topic_init(&c->in_topic);
    fetch_request_partition_init(&c->in_partition);
    c->in_topic.topic = bytes_str(w->topics[c->topic].name);
    c->in_topic.partitions = &c->in_partition;
    c->in_topic.partitions_count = 1;
    c->in_partition.partition = c->partition;
    c->in_partition.fetch_offset = c->position;
    c->in_partition.partition_max_bytes = (int32_t)sim_between(&w->sim, 500, 100000);
    c->node = choose_node(w, read_part(c)->leader);
    client_connection_submit(&c->links.to[c->node], &c->request);
}

static void reader_turn_to(struct cluster_reader *c, uint8_t topic, uint8_t partition)
{
    c->topic = topic;
    c->partition = partition;
    c->position = 0;
    c->end = OFFSET_NONE;
    if (c->verifies)
        model_part_pass_begin(&read_part(c)->model);
}

// The verifier has come to the end of its partition: everything acknowledged must have been there.
static void pass_over(struct cluster_reader *c)
{
    struct cluster_world *w = c->all->w;
    model_part_pass_end(&read_part(c)->model, &w->sim, &w->eras, 0, c->position);
    w->result->checks++;
    c->passes++;
    if ((uint32_t)c->partition + 1 < w->topics[c->topic].partition_count)
        reader_turn_to(c, c->topic, (uint8_t)(c->partition + 1));
    else if ((uint32_t)c->topic + 1 < w->topic_count)
        reader_turn_to(c, (uint8_t)(c->topic + 1), 0);
    else
        w->verifying = false;
}

static void reader_tick(struct shard_timer *t)
{
    struct cluster_reader *c = container_of(t, struct cluster_reader, timer);
    struct cluster_world *w = c->all->w;
    if (w->sim.failed || c->request.busy)
        return;
    wake_in(c->all, &c->timer, 20 * SIM_MS, reader_tick);
    if (c->verifies && !w->verifying)
        return;
    // A new leader may know a lower watermark at first: that is no end.
    if (c->verifies && c->end != OFFSET_NONE && c->position >= c->end && c->position >= read_part(c)->model.end_seen) {
        pass_over(c);
        return;
    }
    if (!c->verifies && w->draining)
        return;
    if (!c->verifies && sim_chance(&w->sim, 1, 40)) {
        uint8_t topic = (uint8_t)sim_between(&w->sim, 0, w->topic_count - 1);
        reader_turn_to(c, topic, (uint8_t)sim_between(&w->sim, 0, w->topics[topic].partition_count - 1));
    }
    if (w->topics[c->topic].there)
        read_on(c);
}

static void reader_start(struct cluster_reader *c, struct cluster_clients *all, uint8_t index)
{
    c->all = all;
    c->index = index;
    c->verifies = index == CLUSTER_READERS - 1;
    c->end = OFFSET_NONE;
    links_init(&c->links, all, "reader");
    client_request_init(&c->request, &fetch_request_message, 2000);
    c->request.in = &c->in;
    c->request.version_max = 12; // by name
    c->request.done = read_done;
    wake_in(all, &c->timer, sim_between(&all->w->sim, 0, 50 * SIM_MS), reader_tick);
}

// ------------------------------------------------------------------------------------------------ together

static void boot(struct sim_process *p)
{
    struct cluster_world *w = p->user;
    struct cluster_clients *all = calloc(1, sizeof(*all));
    ASSERT(all);
    p->program = all;
    all->w = w;
    p->shards = &all->group;
    enum rc rc = shard_group_create(&all->group, p->ios, 1, 64, &w->sim.sink);
    ASSERT(rc == RC_OK);
    all->shard = &all->group.shards[0];
    all->admin.all = all;
    links_init(&all->admin.links, all, "admin");
    client_request_init(&all->admin.request, &create_topics_request_message, 4000);
    all->admin.request.version_max = INT16_MAX;
    wake_in(all, &all->admin.timer, 10 * SIM_MS, admin_tick);
    for (uint8_t k = 0; k < CLUSTER_PRODUCERS; k++)
        producer_start(&all->producers[k], all, k);
    for (uint8_t k = 0; k < CLUSTER_READERS; k++)
        reader_start(&all->readers[k], all, k);
}

const struct sim_program cluster_clients_calls = {.boot = boot, .turn = sim_shard_turn};

bool cluster_clients_idle(const struct cluster_world *w)
{
    const struct cluster_clients *all = w->clients.program;
    for (int p = 0; p < CLUSTER_PRODUCERS; p++)
        for (int t = 0; t < CLUSTER_TOPICS_MAX; t++)
            for (int k = 0; k < CLUSTER_PARTITIONS_MAX; k++)
                if (all->producers[p].batches[t][k].used)
                    return false;
    return true;
}

void cluster_clients_verify(void *argument)
{
    struct cluster_clients *all = argument;
    struct cluster_reader *c = &all->readers[CLUSTER_READERS - 1];
    reader_turn_to(c, 0, 0);
    all->w->verifying = true;
}

bool cluster_clients_verified(const struct cluster_world *w)
{
    return !w->verifying;
}
