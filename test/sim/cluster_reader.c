// SPDX-License-Identifier: Apache-2.0
//
// The readers of the cluster scenario follow the leaders, or go where those send them: some name a rack. The last one
// reads everything from start to end when it is told to, of leaders alone: who follows may not know how far it goes.
#include "cluster_clients.h"

#include <string.h>

#include "base/assert.h"
#include "wire/batch.h"
#include "wire/frame.h"

struct cluster_reader {
    struct cluster_clients *all;
    uint8_t index, topic, partition;
    uint32_t node; // asked
    const char *rack; // NULL: none
    int32_t near;     // the node the leader sent it to, -1: none
    uint32_t era, process; // then; the process there
    uint32_t risks; // of the partition, when it was turned to
    bool verifies; // passes over all partitions, one after the other, when it is told to
    bool verifying;
    uint32_t passes;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request request;
    struct fetch_request in;
    struct fetch_request_topic in_topic;
    struct fetch_request_partition in_partition;
    // Where the log begins, for who is told that its position is out of range while records are deleted.
    struct client_request start_request;
    struct cluster_ends start_in;
    bool wants_start;
    uint64_t start_asked_ns;
    int64_t start_least; // that the answer may be
    int64_t began;       // the pass reads everything from here on
    int64_t position, end; // end: of the pass
    int64_t end_then;      // how far the partition was known to go when it asked
};

static void reader_tick(struct shard_timer *t);
static void reader_turn_to(struct cluster_reader *c, uint8_t topic, uint8_t partition);

static struct cluster_part *read_part(const struct cluster_reader *c)
{
    return &c->all->w->topics[c->topic].parts[c->partition];
}

static bool still_has(const struct cluster_reader *c)
{
    const struct cluster_world *w = c->all->w;
    const struct node *n = cluster_serving(&w->nodes[c->node]);
    return n && cluster_partition(n, w->topics[c->topic].id, (int32_t)c->partition);
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
        if (!cluster_fact_holds(&read_part(c)->facts, h.leader_epoch, h.base_offset, h.crc))
            sim_fail(&w->sim, "%s: the batch of epoch %d at offset %lld is served as another one than it is", part->name,
                     h.leader_epoch, (long long)h.base_offset);
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
            if (cluster_stands(w, read_part(c), record.offset, h.leader_epoch))
                model_part_seen(part, &w->sim, &w->eras, c->era, record.offset, &tag);
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
    if (p->error_code)
        c->near = -1;
    else if (p->preferred_read_replica >= 0)
        c->near = p->preferred_read_replica - 1;
    if (c->near >= (int32_t)w->node_count || (p->preferred_read_replica >= 0 && (p->records.bytes.n || !c->rack)))
        sim_fail(&w->sim, "%s: sent to node %d", read_part(c)->model.name, p->preferred_read_replica);
    switch (p->error_code) {
    case 0:
        if (c->verifies && read_part(c)->leader < 0)
            read_part(c)->leader = (int32_t)c->node; // a follower does not answer it
        take_records(c, p->records.bytes);
        if (p->records.bytes.n && c->position > p->high_watermark)
            sim_fail(&w->sim, "%s: offset %lld is served, the high watermark is %lld", read_part(c)->model.name,
                     (long long)c->position - 1, (long long)p->high_watermark);
        // Of one that died in the turn it answered in, or gave its replica up, nobody knows how far it was; a follower may
        // have heard of it, and who has read there asks the next leader from there on.
        if (p->records.bytes.n && !read_part(c)->risks && c->position > read_part(c)->watermark &&
            w->nodes[c->node].process.running && cluster_leads_now(read_part(c), c->node) &&
            w->nodes[c->node].machine->processes == c->process && still_has(c))
            sim_fail(&w->sim, "%s: offset %lld is served, no leader's high watermark was above %lld", read_part(c)->model.name,
                     (long long)c->position - 1, (long long)read_part(c)->watermark);
        c->end = p->high_watermark;
        return;
    case 1: // OFFSET_OUT_OF_RANGE
        if (c->position < read_part(c)->model.start_asked)
            c->wants_start = true;
        else if (read_part(c)->risks != c->risks || c->position > c->end_then)
            reader_turn_to(c, c->topic, c->partition); // the log may be shorter now
        else if (cluster_leads_now(read_part(c), c->node))
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
        c->near = read_part(c)->leader = -1;
    else if (client_answer_decode(&w->sim, r, body, &a, &answer))
        take_answer(c, &answer);
    arena_deinit(&a);
    cluster_wake_in(c->all, &c->timer, rc == RC_OK ? SIM_MS : 20 * SIM_MS, reader_tick);
}

// ------------------------------------------------------------------------------------------------ deleted records

static void start_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct cluster_reader *c = container_of(r, struct cluster_reader, start_request);
    struct cluster_world *w = c->all->w;
    struct cluster_part *part = read_part(c);
    int16_t error = 0;
    int64_t start;
    bool read = rc == RC_OK && cluster_ends_read(w, r, body, &error, &start);
    c->wants_start = false;
    sim_say(&w->sim, w->machine, "reader %u: %s begins at %lld (%d, %s), it is at %lld", c->index, part->model.name,
            read ? (long long)start : -1, error, rc_name(rc), (long long)c->position);
    cluster_wake_in(c->all, &c->timer, read ? SIM_MS : 20 * SIM_MS, reader_tick);
    if (!read || error) {
        part->leader = -1;
        return;
    }
    if (c->era > part->model.risk_era && !cluster_may_not_know(part, c->node, c->start_asked_ns))
        cluster_start_judge(w, part, c->start_least, start);
    if (start > c->position)
        c->position = c->began = start;
    else if (part->risks != c->risks)
        reader_turn_to(c, c->topic, c->partition); // the log may be shorter now
}

static void ask_start(struct cluster_reader *c)
{
    struct cluster_world *w = c->all->w;
    cluster_ends_fill(&c->start_in, w, c->topic, c->partition, CLUSTER_EARLIEST);
    c->era = w->eras.now;
    c->start_asked_ns = w->sim.now_ns;
    c->start_least = read_part(c)->model.start_acked;
    c->node = cluster_choose(w, read_part(c)->leader);
    client_connection_submit(&c->links.to[c->node], &c->start_request);
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
    c->era = w->eras.now;
    c->end_then = read_part(c)->model.end_seen;
    if (c->rack)
        c->in.rack_id = bytes_str(c->rack);
    if (sim_chance(&w->sim, 1, 50))
        c->near = -1; // once in a while it asks the leader again
    // Who verifies has a minute, and a node that is away costs it most of a second.
    bool known = c->verifies && read_part(c)->leader >= 0;
    c->node = known ? (uint32_t)read_part(c)->leader : cluster_choose(w, c->near >= 0 ? c->near : read_part(c)->leader);
    c->process = w->nodes[c->node].machine->processes;
    client_connection_submit(&c->links.to[c->node], &c->request);
}

static void reader_turn_to(struct cluster_reader *c, uint8_t topic, uint8_t partition)
{
    c->topic = topic;
    c->partition = partition;
    c->position = c->began = 0;
    c->near = -1;
    c->wants_start = false;
    c->risks = read_part(c)->risks;
    c->end = OFFSET_NONE;
    if (c->verifies)
        model_part_pass_begin(&read_part(c)->model);
}

// What acks=1 acknowledged is there, or somebody else has led since, or it was deleted.
static void check_alone(struct cluster_world *w, struct cluster_part *part)
{
    for (size_t k = 0; k < part->alone_count; k++) {
        const struct cluster_alone *a = &part->alone[k];
        const struct model_entry *e = a->offset < (int64_t)part->model.count ? &part->model.v[a->offset] : NULL;
        if (a->offset < part->model.start_asked || (e && e->present && memcmp(&e->seen, &a->tag, sizeof(a->tag)) == 0))
            continue;
        if (part->epoch_max <= a->epoch)
            sim_fail(&w->sim, "%s: offset %lld, acknowledged with acks=1 in epoch %d, is gone, and nobody has led since",
                     part->model.name, (long long)a->offset, a->epoch);
        cluster_count(w, CLUSTER_ALONE_LOST, 1);
    }
    part->alone_count = 0; // counted once
}

// How far the log goes if what only its leader has acknowledged is still on its way to the others.
static int64_t alone_end(const struct cluster_part *part)
{
    int64_t end = 0;
    for (size_t k = 0; k < part->alone_count; k++)
        if (part->alone[k].epoch >= part->epoch_max && part->alone[k].offset >= end)
            end = part->alone[k].offset + 1;
    return end;
}

// The verifier has come to the end of its partition: everything acknowledged must have been there.
static void pass_over(struct cluster_reader *c)
{
    struct cluster_world *w = c->all->w;
    model_part_pass_end(&read_part(c)->model, &w->sim, &w->eras, c->began, c->position);
    check_alone(w, read_part(c));
    w->result->checks++;
    c->passes++;
    if ((uint32_t)c->partition + 1 < w->topics[c->topic].partition_count)
        reader_turn_to(c, c->topic, (uint8_t)(c->partition + 1));
    else if ((uint32_t)c->topic + 1 < w->topic_count)
        reader_turn_to(c, (uint8_t)(c->topic + 1), 0);
    else
        c->verifying = false;
}

static void reader_tick(struct shard_timer *t)
{
    struct cluster_reader *c = container_of(t, struct cluster_reader, timer);
    struct cluster_world *w = c->all->w;
    if (w->sim.failed || c->request.busy || c->start_request.busy)
        return;
    cluster_wake_in(c->all, &c->timer, 20 * SIM_MS, reader_tick);
    if (c->verifies && !c->verifying)
        return;
    // A new leader may know a lower watermark at first: that is no end.
    if (c->verifies && c->end != OFFSET_NONE && c->position >= c->end && c->position >= read_part(c)->model.end_seen &&
        c->position >= alone_end(read_part(c))) {
        pass_over(c);
        return;
    }
    if (!c->verifies && w->draining)
        return;
    if (!c->verifies && sim_chance(&w->sim, 1, 40)) {
        uint8_t topic = (uint8_t)sim_between(&w->sim, 0, w->topic_count - 1);
        reader_turn_to(c, topic, (uint8_t)sim_between(&w->sim, 0, w->topics[topic].partition_count - 1));
    }
    if (c->wants_start)
        ask_start(c);
    else if (w->topics[c->topic].there)
        read_on(c);
}

static void reader_start(struct cluster_reader *c, struct cluster_clients *all, uint8_t index)
{
    c->all = all;
    c->index = index;
    c->verifies = index == CLUSTER_READERS - 1;
    c->end = OFFSET_NONE;
    cluster_links_init(&c->links, all, "reader");
    client_request_init(&c->request, &fetch_request_message, 2000);
    c->request.in = &c->in;
    c->request.version_max = c->verifies ? 10 : 12; // by name; from 11 on followers answer, too
    c->near = -1;
    c->rack = c->verifies ? NULL : cluster_rack(index);
    c->request.done = read_done;
    client_request_init(&c->start_request, &list_offsets_request_message, 2000);
    c->start_request.version_max = INT16_MAX;
    c->start_request.in = &c->start_in.in;
    c->start_request.done = start_done;
    cluster_wake_in(all, &c->timer, sim_between(&all->w->sim, 0, 50 * SIM_MS), reader_tick);
}

struct cluster_readers {
    struct cluster_reader each[CLUSTER_READERS];
};

static void *start(struct cluster_clients *all)
{
    struct cluster_readers *r = cluster_allocate(sizeof(*r));
    for (uint8_t k = 0; k < CLUSTER_READERS; k++)
        reader_start(&r->each[k], all, k);
    return r;
}

static void verify(void *actor)
{
    struct cluster_readers *r = actor;
    struct cluster_reader *c = &r->each[CLUSTER_READERS - 1];
    c->verifying = true;
    reader_turn_to(c, 0, 0);
}

static bool verified(const void *actor)
{
    const struct cluster_readers *r = actor;
    return !r->each[CLUSTER_READERS - 1].verifying;
}

const struct cluster_actor cluster_readers = {.name = "readers", .start = start, .verify = verify, .verified = verified};
