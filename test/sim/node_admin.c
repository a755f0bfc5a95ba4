// SPDX-License-Identifier: Apache-2.0
//
// The administrator of the node scenario: creates the topics, deletes records, now and then deletes a topic and creates
// another under its name.
#include "node_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

static void tick(struct shard_timer *t);

static void wake_in(struct node_admin *a, uint64_t delay_ns)
{
    struct shard *s = a->all->shard;
    enum rc rc = shard_timer_set(s, &a->timer, shard_now_ns(s) + delay_ns, tick);
    ASSERT(rc == RC_OK);
}

bool node_admin_idle(const struct node_admin *a)
{
    for (uint32_t k = 0; k < a->all->w->topic_count; k++)
        if (a->all->w->topics[k].state != TOPIC_THERE)
            return false;
    return !a->request.busy;
}

// Errors after which the same request is made again. A node that has not registered itself yet knows of no broker that
// could hold a replica.
static bool passes(const struct node_world *w, int16_t code)
{
    return kerr_retriable(code) || code == -1 || (code == kerr_of(RC_INVALID_REPLICATION_FACTOR) && !w->was_ready);
}

// ------------------------------------------------------------------------------------------------ create

static void choose_form(struct node_world *w, uint8_t topic)
{
    struct node_topic *t = &w->topics[topic];
    struct sim *sim = &w->sim;
    for (uint32_t k = 0; k < NODE_PARTITIONS_MAX; k++)
        model_part_deinit(&t->parts[k]);
    t->generation++;
    snprintf(t->name, sizeof(t->name), "topic%u", topic);
    t->partition_count = (uint32_t)sim_between(sim, 1, NODE_PARTITIONS_MAX);
    t->flush_messages = sim_chance(sim, 2, 3) ? 1 : 0;
    t->index_bytes = 8 * (int64_t)sim_between(sim, 2, 100);
    t->interval_bytes = (int64_t)sim_between(sim, 0, 4096);
    t->delete_delay_ms = (int64_t)sim_between(sim, 0, 2000);
    t->id = (struct uuid){0};
    for (uint32_t k = 0; k < t->partition_count; k++)
        model_part_init(&t->parts[k], topic, k, t->generation, t->flush_messages == 1);
}

static void create_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_admin *a = container_of(r, struct node_admin, request);
    struct node_world *w = a->all->w;
    struct node_topic *t = &w->topics[a->topic];
    struct arena arena;
    struct create_topics_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.topics_count == 1) {
        const struct create_topics_response_topic *c = &answer.topics[0];
        sim_say(&w->sim, w->machine, "admin: creating %s: %s", t->name, kerr_name(c->error_code));
        if (c->error_code == 0 || c->error_code == 36) { // TOPIC_ALREADY_EXISTS: an earlier try got through
            t->state = TOPIC_THERE;
            t->id = c->error_code == 0 ? c->topic_id : (struct uuid){0};
        } else if (!passes(w, c->error_code)) {
            sim_fail(&w->sim, "creating %s is answered with error %d", t->name, c->error_code);
        }
    }
    arena_deinit(&arena);
    wake_in(a, 20 * SIM_MS);
}

static uint32_t config(struct node_admin *a, uint32_t n, const char *name, int64_t value)
{
    snprintf(a->config_values[n], sizeof(a->config_values[n]), "%lld", (long long)value);
    a->create_configs[n].name = bytes_str(name);
    a->create_configs[n].value = bytes_str(a->config_values[n]);
    return 1;
}

static void create(struct node_admin *a)
{
    struct node_world *w = a->all->w;
    w->was_ready = w->ready;
    struct node_topic *t = &w->topics[a->topic];
    uint32_t n = 0;
    create_topics_request_init(&a->create);
    create_topics_request_topic_init(&a->create_topic);
    a->create.topics = &a->create_topic;
    a->create.topics_count = 1;
    a->create.timeout_ms = 3000;
    a->create_topic.name = bytes_str(t->name);
    a->create_topic.num_partitions = (int32_t)t->partition_count;
    a->create_topic.replication_factor = 1;
    a->create_topic.configs = a->create_configs;
    n += config(a, n, "segment.index.bytes", t->index_bytes); // small: segments roll often
    n += config(a, n, "index.interval.bytes", t->interval_bytes);
    n += config(a, n, "file.delete.delay.ms", t->delete_delay_ms);
    if (t->flush_messages)
        n += config(a, n, "flush.messages", t->flush_messages);
    a->create_topic.configs_count = n;
    a->request.message = &create_topics_request_message;
    a->request.in = &a->create;
    a->request.done = create_done;
    client_connection_submit(&a->connection, &a->request);
}

// ------------------------------------------------------------------------------------------------ delete

static void delete_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_admin *a = container_of(r, struct node_admin, request);
    struct node_world *w = a->all->w;
    struct node_topic *t = &w->topics[a->topic];
    struct arena arena;
    struct delete_topics_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.responses_count == 1) {
        int16_t code = answer.responses[0].error_code;
        sim_say(&w->sim, w->machine, "admin: deleting %s: %s", t->name, kerr_name(code));
        if (code == 0 || code == 3) { // UNKNOWN_TOPIC_OR_PARTITION: an earlier try got through
            choose_form(w, a->topic);
            t->state = TOPIC_ABSENT;
        } else if (!passes(w, code)) {
            sim_fail(&w->sim, "deleting %s is answered with error %d", t->name, code);
        }
    }
    arena_deinit(&arena);
    wake_in(a, 20 * SIM_MS);
}

static void delete_topic(struct node_admin *a)
{
    struct node_topic *t = &a->all->w->topics[a->topic];
    delete_topics_request_init(&a->delete);
    delete_topics_request_topic_init(&a->delete_topic);
    a->delete.topics = &a->delete_topic;
    a->delete.topics_count = 1;
    a->delete_topic.name = bytes_str(t->name);
    a->delete_name = bytes_str(t->name);
    a->delete.topic_names = &a->delete_name;
    a->delete.topic_names_count = 1;
    a->delete.timeout_ms = 3000;
    a->request.message = &delete_topics_request_message;
    a->request.in = &a->delete;
    a->request.done = delete_done;
    client_connection_submit(&a->connection, &a->request);
}

// ------------------------------------------------------------------------------------------------ delete records

static void records_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_admin *a = container_of(r, struct node_admin, request);
    struct node_world *w = a->all->w;
    struct node_topic *t = &w->topics[a->topic];
    struct model_part *part = &t->parts[a->partition];
    struct arena arena;
    struct delete_records_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.topics_count == 1 &&
        answer.topics[0].partitions_count == 1) {
        const struct delete_records_response_partition *p = &answer.topics[0].partitions[0];
        sim_say(&w->sim, w->machine, "admin: deleting records of %s below %lld: %s, low watermark %lld", part->name,
                (long long)a->offset, kerr_name(p->error_code), (long long)p->low_watermark);
        if (p->error_code == 0) {
            if (p->low_watermark < a->offset)
                sim_fail(&w->sim, "%s: records were to be deleted below %lld, the answer says %lld", part->name,
                         (long long)a->offset, (long long)p->low_watermark);
            if (p->low_watermark > part->start_acked)
                part->start_acked = p->low_watermark;
        }
    }
    t->users--;
    arena_deinit(&arena);
    wake_in(a, 20 * SIM_MS);
}

static void delete_records(struct node_admin *a)
{
    struct node_world *w = a->all->w;
    struct node_topic *t = &w->topics[a->topic];
    a->partition = (uint8_t)sim_between(&w->sim, 0, t->partition_count - 1);
    struct model_part *part = &t->parts[a->partition];
    if (part->end_seen <= part->start_acked) {
        wake_in(a, 20 * SIM_MS);
        return;
    }
    t->users++;
    a->offset = (int64_t)sim_between(&w->sim, (uint64_t)part->start_acked, (uint64_t)part->end_seen);
    if (a->offset > part->start_asked)
        part->start_asked = a->offset;
    delete_records_request_init(&a->records);
    a->records.topics = &a->records_topic;
    a->records.topics_count = 1;
    a->records.timeout_ms = 3000;
    a->records_topic = (struct delete_records_request_topic){
        .name = bytes_str(t->name), .partitions = &a->records_partition, .partitions_count = 1};
    a->records_partition =
        (struct delete_records_request_partition){.partition_index = a->partition, .offset = a->offset};
    a->request.message = &delete_records_request_message;
    a->request.in = &a->records;
    a->request.done = records_done;
    client_connection_submit(&a->connection, &a->request);
}

// ------------------------------------------------------------------------------------------------ between folders

static void moved(struct client_request *r, enum rc rc, struct bytes body)
{
    struct node_admin *a = container_of(r, struct node_admin, request);
    struct node_world *w = a->all->w;
    struct node_topic *t = &w->topics[a->topic];
    struct arena arena;
    struct alter_replica_log_dirs_response answer;
    arena_init(&arena, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&w->sim, r, body, &arena, &answer) && answer.results_count == 1 &&
        answer.results[0].partitions_count == 1) {
        int16_t code = answer.results[0].partitions[0].error_code;
        sim_say(&w->sim, w->machine, "admin: moving %s-%d to %.*s: %s", t->name, a->partition, (int)a->move_dir.path.n,
                (const char *)a->move_dir.path.p, kerr_name(code));
        w->moves_asked += code == 0;
        if (code != 0 && !passes(w, code) && code != kerr_of(RC_REPLICA_NOT_AVAILABLE) && code != kerr_of(RC_STORAGE_ERROR))
            sim_fail(&w->sim, "moving %s-%d is answered with error %d", t->name, a->partition, code);
    }
    t->users--;
    arena_deinit(&arena);
    wake_in(a, 20 * SIM_MS);
}

// To another folder, back before it is there, or to where it is.
static void move(struct node_admin *a)
{
    struct node_world *w = a->all->w;
    struct node_topic *t = &w->topics[a->topic];
    a->partition = (uint8_t)sim_between(&w->sim, 0, t->partition_count - 1);
    t->users++;
    a->move_partition = a->partition;
    a->move_topic = (struct alter_replica_log_dirs_request_topic){
        .name = bytes_str(t->name), .partitions = &a->move_partition, .partitions_count = 1};
    a->move_dir = (struct alter_replica_log_dirs_request_dir){.path = bytes_str(sim_chance(&w->sim, 1, 2) ? "/data0" : "/data1"),
                                                              .topics = &a->move_topic,
                                                              .topics_count = 1};
    alter_replica_log_dirs_request_init(&a->move);
    a->move.dirs = &a->move_dir;
    a->move.dirs_count = 1;
    a->request.message = &alter_replica_log_dirs_request_message;
    a->request.in = &a->move;
    a->request.done = moved;
    client_connection_submit(&a->connection, &a->request);
}

// ------------------------------------------------------------------------------------------------ the loop

static void tick(struct shard_timer *timer)
{
    struct node_admin *a = container_of(timer, struct node_admin, timer);
    struct node_world *w = a->all->w;
    if (w->sim.failed || a->request.busy)
        return;
    for (uint8_t k = 0; k < w->topic_count; k++) {
        struct node_topic *t = &w->topics[k];
        a->topic = k;
        if (t->state == TOPIC_ABSENT) {
            if (!t->generation)
                choose_form(w, k);
            create(a);
            return;
        }
        // Requests name topics, so one that a cut holds back could reach the topic's successor: let them all arrive.
        if (t->state != TOPIC_DELETING || t->users > 0)
            t->quiet_since_ns = w->sim.now_ns;
        else if (w->sim.now_ns - t->quiet_since_ns > 10 * SIM_S) {
            delete_topic(a);
            return;
        }
    }
    a->topic = (uint8_t)sim_between(&w->sim, 0, w->topic_count - 1);
    struct node_topic *t = &w->topics[a->topic];
    uint64_t dice = sim_between(&w->sim, 0, 99);
    if (!w->draining && t->state == TOPIC_THERE && dice < 12) {
        delete_records(a);
        return;
    }
    if (!w->draining && t->state == TOPIC_THERE && dice >= 14 && dice < 60 && w->dir_count > 1) {
        move(a);
        return;
    }
    if (!w->draining && t->state == TOPIC_THERE && dice < 14 && !w->group_count) // groups' members keep their topics
        t->state = TOPIC_DELETING;
    wake_in(a, sim_latency(&w->sim, 20 * SIM_MS));
}

void node_admin_start(struct node_admin *a, struct node_clients *all)
{
    a->all = all;
    client_connection_init(&a->connection, all->shard, all->host, NODE_PORT, "admin", "sim");
    a->connection.connect_timeout_ms = 2000;
    client_request_init(&a->request, &create_topics_request_message, 5000);
    wake_in(a, SIM_MS);
}
