// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "heap.h"
#include "rig.h"

static bool topic_by_name(void *context, struct bytes name, struct group_topic *out)
{
    struct rig *r = context;
    for (uint32_t i = 0; i < r->topic_count; i++) {
        if (bytes_eq(r->topics[i].name, name)) {
            *out = r->topics[i];
            return true;
        }
    }
    return false;
}

static bool topic_by_id(void *context, struct uuid id, struct group_topic *out)
{
    struct rig *r = context;
    for (uint32_t i = 0; i < r->topic_count; i++) {
        if (uuid_eq(r->topics[i].id, id)) {
            *out = r->topics[i];
            return true;
        }
    }
    return false;
}

static bool topic_next(void *context, struct bytes after, struct group_topic *out)
{
    struct rig *r = context;
    bool found = false;
    for (uint32_t i = 0; i < r->topic_count; i++) {
        struct bytes name = r->topics[i].name;
        if ((after.p && bytes_cmp(name, after) <= 0) || (found && bytes_cmp(name, out->name) >= 0))
            continue;
        *out = r->topics[i];
        found = true;
    }
    return found;
}

static void keep_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct rig *r = container_of(sink, struct rig, sink);
    (void)level;
    snprintf(r->lines[r->line_count++ % RIG_LINES_MAX], sizeof(r->lines[0]), "%.*s", (int)n, line);
}

void rig_topic(struct rig *r, const char *name, int32_t partitions)
{
    cr_assert_lt(r->topic_count, RIG_TOPICS_MAX);
    struct group_topic *t = &r->topics[r->topic_count++];
    *t = (struct group_topic){.name = bytes_str(name), .partition_count = partitions};
    t->id.b[0] = 0xee;
    t->id.b[15] = (uint8_t)r->topic_count;
}

void rig_host(struct rig *r)
{
    if (r->config.batch_bytes_max == 0)
        groups_config_default(&r->config);
    r->sink = (struct trace_sink){.level_min = TRACE_DEBUG, .write = keep_line};
    r->host = (struct groups_host){.topic_by_name = topic_by_name,
                                   .topic_by_id = topic_by_id,
                                   .topic_next = topic_next,
                                   .context = r,
                                   .trace = &r->sink};
    if (r->topic_count == 0) {
        rig_topic(r, "orders", 12);
        rig_topic(r, "clicks", 3);
    }
    if (r->now.now_ns == 0)
        r->now = (struct group_time){.now_ns = 1000000000, .wall_ms = 1700000000000, .settled_ms = 1700000000000};
}

void rig_begin(struct rig *r)
{
    rig_host(r);
    cr_assert_eq(groups_init(&r->g, &r->config, &r->host, ++r->seed), RC_OK);
    for (size_t i = 0; i < r->log.count; i++)
        rig_apply_batch(&r->g, r->log.p[i]);
    groups_loaded(&r->g, r->now);
}

void rig_apply_batch(struct groups *g, struct bytes batch)
{
    struct batch_header h;
    struct batch_iter it;
    struct record rec;
    cr_assert_eq(batch_header_read(batch, &h), RC_OK);
    batch_iter_init(&it, &h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    while (batch_iter_next(&it, &rec))
        cr_assert_eq(groups_apply(g, h.producer_id, h.producer_epoch, rec.key, rec.value), RC_OK);
    cr_assert_eq(it.rc, RC_OK);
}

static void take_answers(struct rig *r)
{
    struct group_call *call;
    while ((call = groups_next_answer(&r->g)) != NULL)
        ((struct rig_call *)call)->back = true;
}

static void stop(struct rig *r)
{
    struct list orphans;
    list_init(&orphans);
    struct group_append *held[1024];
    size_t count = 0;
    while (groups_next_append(&r->g))
        ;
    for (struct list_node *n = list_first(&r->g.in_flight); n; n = list_next(&r->g.in_flight, n)) {
        cr_assert_lt(count, ARRAY_COUNT(held));
        held[count++] = list_entry(n, struct group_append, link);
    }
    groups_stop(&r->g, RC_NOT_COORDINATOR);
    take_answers(r);
    for (size_t i = 0; i < count; i++)
        groups_append_orphan(held[i]);
    groups_deinit(&r->g);
}

static void log_end(struct rig *r)
{
    for (size_t i = 0; i < r->log.count; i++)
        free((void *)r->log.p[i].p);
    free(r->log.p);
    r->log = (struct rig_log){0};
}

void rig_end(struct rig *r)
{
    stop(r);
    log_end(r);
}

void rig_stopped_end(struct rig *r)
{
    groups_deinit(&r->g);
    log_end(r);
}

void rig_reload(struct rig *r)
{
    stop(r);
    rig_begin(r);
}

void rig_log_keep(struct rig_log *l, struct bytes batch)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 64;
        l->p = realloc(l->p, l->cap * sizeof(*l->p));
        cr_assert_not_null(l->p);
    }
    uint8_t *copy = malloc(batch.n);
    cr_assert_not_null(copy);
    memcpy(copy, batch.p, batch.n);
    l->p[l->count++] = bytes_of(copy, batch.n);
}

void rig_finish(struct rig *r, enum rc rc)
{
    while (groups_next_append(&r->g))
        r->appends++;
    size_t count = r->g.in_flight.count;
    while (count-- > 0) {
        struct group_append *a = list_entry(list_first(&r->g.in_flight), struct group_append, link);
        if (rc == RC_OK)
            rig_log_keep(&r->log, buf_bytes(&a->batch));
        heap_enter();
        groups_append_done(&r->g, a, rc, r->now);
        heap_leave();
        while (groups_next_append(&r->g))
            r->appends++;
    }
    take_answers(r);
}

void rig_run(struct rig *r)
{
    take_answers(r);
    while (!r->hold && (!list_empty(&r->g.appends) || !list_empty(&r->g.in_flight)))
        rig_finish(r, r->fail);
    take_answers(r);
}

void rig_advance(struct rig *r, uint64_t ms)
{
    uint64_t until = r->now.now_ns + ms * 1000000;
    for (;;) {
        uint64_t next = groups_deadline_ns(&r->g);
        uint64_t at = next < until ? (next > r->now.now_ns ? next : r->now.now_ns) : until;
        r->now.wall_ms += (int64_t)((at - r->now.now_ns) / 1000000);
        r->now.settled_ms = r->now.wall_ms;
        r->now.now_ns = at;
        heap_enter();
        groups_tick(&r->g, r->now);
        heap_leave();
        rig_run(r);
        if (next > until)
            return;
    }
}

uint32_t rig_records(const struct rig *r, int16_t key_version, struct bytes *last_value)
{
    uint32_t count = 0;
    for (size_t i = 0; i < r->log.count; i++) {
        struct batch_header h;
        struct batch_iter it;
        struct record rec;
        batch_header_read(r->log.p[i], &h);
        batch_iter_init(&it, &h, bytes_of(r->log.p[i].p + BATCH_HEADER_BYTES, r->log.p[i].n - BATCH_HEADER_BYTES));
        while (batch_iter_next(&it, &rec)) {
            if ((int16_t)be16(rec.key.p) != key_version)
                continue;
            count++;
            if (last_value)
                *last_value = rec.value;
        }
    }
    return count;
}

bool rig_logged(const struct rig *r, const char *part)
{
    for (uint32_t i = 0; i < r->line_count && i < RIG_LINES_MAX; i++)
        if (strstr(r->lines[i], part))
            return true;
    return false;
}

// ------------------------------------------------------------------------------------------------ calls

struct rig_call *rig_call_new(enum group_call_kind kind, int16_t version, const char *group)
{
    struct rig_call *c = calloc(1, sizeof(*c));
    cr_assert_not_null(c);
    arena_init(&c->arena, 1 << 24, NULL, 0);
    c->call.kind = kind;
    c->call.version = version;
    c->call.group_id = bytes_str(group);
    c->call.client_id = bytes_str("client");
    snprintf(c->call.client_host, sizeof(c->call.client_host), "/127.0.0.1");
    return c;
}

void rig_send(struct rig *r, struct rig_call *c)
{
    heap_enter();
    groups_call(&r->g, &c->call, r->now);
    heap_leave();
    rig_run(r);
}

void rig_call_free(struct rig_call *c)
{
    cr_assert(c->back);
    group_call_deinit(&c->call);
    arena_deinit(&c->arena);
    free(c);
}

struct bytes rig_copied(struct rig_call *c, const char *s)
{
    return s ? bytes_of(arena_copy(&c->arena, s, strlen(s)), strlen(s)) : bytes_of(NULL, 0);
}

struct bytes rig_subscription(struct arena *a, const char *topic)
{
    size_t n = strlen(topic);
    uint8_t *p = arena_alloc(a, 2 + 4 + 2 + n + 4);
    put_be16(p, 0);
    put_be32(p + 2, 1);
    put_be16(p + 6, (uint16_t)n);
    memcpy(p + 8, topic, n);
    put_be32(p + 8 + n, UINT32_MAX);
    return bytes_of(p, 12 + n);
}

struct rig_call *rig_join_made(const char *group, const char *member, const char *instance, int16_t version,
                               const char *const *protocols, uint32_t count, const char *topic)
{
    struct rig_call *c = rig_call_new(GROUP_JOIN, version, group);
    join_group_request_init(&c->join);
    c->call.request = &c->join;
    c->join.member_id = rig_copied(c, member);
    c->join.group_instance_id = rig_copied(c, instance);
    c->join.session_timeout_ms = 10000;
    c->join.rebalance_timeout_ms = 60000;
    c->join.protocol_type = bytes_str("consumer");
    c->join.protocols = arena_array(&c->arena, count, sizeof(*c->join.protocols));
    c->join.protocols_count = count;
    for (uint32_t i = 0; i < count; i++)
        c->join.protocols[i] = (struct join_group_request_protocol){.name = bytes_str(protocols[i]),
                                                                    .metadata = rig_subscription(&c->arena, topic)};
    return c;
}

struct rig_call *rig_join_as(struct rig *r, const char *group, const char *member, const char *instance,
                             int16_t version, const char *const *protocols, uint32_t count, const char *topic)
{
    struct rig_call *c = rig_join_made(group, member, instance, version, protocols, count, topic);
    rig_send(r, c);
    return c;
}

struct rig_call *rig_join(struct rig *r, const char *group, const char *member, const char *instance, int16_t version)
{
    static const char *const range[] = {"range"};
    return rig_join_as(r, group, member, instance, version, range, 1, "orders");
}

struct rig_call *rig_sync_made(const char *group, const char *member, int32_t generation, const char *const *assigned,
                               uint32_t count)
{
    struct rig_call *c = rig_call_new(GROUP_SYNC, 5, group);
    sync_group_request_init(&c->sync);
    c->call.request = &c->sync;
    c->sync.member_id = rig_copied(c, member);
    c->sync.generation_id = generation;
    c->sync.assignments = arena_array(&c->arena, count / 2, sizeof(*c->sync.assignments));
    c->sync.assignments_count = count / 2;
    for (uint32_t i = 0; i + 1 < count; i += 2)
        c->sync.assignments[i / 2] = (struct sync_group_request_assignment){.member_id = rig_copied(c, assigned[i]),
                                                                            .assignment = rig_copied(c, assigned[i + 1])};
    return c;
}

struct rig_call *rig_sync(struct rig *r, const char *group, const char *member, int32_t generation,
                          const char *const *assigned, uint32_t count)
{
    struct rig_call *c = rig_sync_made(group, member, generation, assigned, count);
    rig_send(r, c);
    return c;
}

struct rig_call *rig_commit_made(const char *group, const char *member, int32_t generation, const char *topic,
                                 int32_t partition, int64_t offset)
{
    struct rig_call *c = rig_call_new(GROUP_COMMIT, 8, group);
    offset_commit_request_init(&c->commit);
    c->call.request = &c->commit;
    c->commit.member_id = rig_copied(c, member);
    c->commit.generation_id_or_member_epoch = generation;
    c->commit.topics = arena_alloc(&c->arena, sizeof(*c->commit.topics));
    c->commit.topics_count = 1;
    c->commit.topics->name = rig_copied(c, topic);
    c->commit.topics->partitions = arena_alloc(&c->arena, sizeof(*c->commit.topics->partitions));
    c->commit.topics->partitions_count = 1;
    offset_commit_request_partition_init(c->commit.topics->partitions);
    c->commit.topics->partitions->partition_index = partition;
    c->commit.topics->partitions->committed_offset = offset;
    c->commit.topics->partitions->committed_metadata = bytes_str("");
    return c;
}

struct rig_call *rig_commit(struct rig *r, const char *group, const char *member, int32_t generation, const char *topic,
                            int32_t partition, int64_t offset)
{
    struct rig_call *c = rig_commit_made(group, member, generation, topic, partition, offset);
    rig_send(r, c);
    return c;
}

struct rig_call *rig_delete_made(const char *group, const char *topic, int32_t partition)
{
    struct rig_call *c = rig_call_new(GROUP_OFFSET_DELETE, 0, group);
    offset_delete_request_init(&c->delete);
    c->call.request = &c->delete;
    c->delete.topics = arena_alloc(&c->arena, sizeof(*c->delete.topics));
    c->delete.topics_count = 1;
    c->delete.topics->name = rig_copied(c, topic);
    c->delete.topics->partitions = arena_alloc(&c->arena, sizeof(*c->delete.topics->partitions));
    c->delete.topics->partitions_count = 1;
    c->delete.topics->partitions->partition_index = partition;
    return c;
}

const char *rig_state_of(struct rig *r, const char *group)
{
    const struct group *gr = group_find(&r->g, bytes_str(group));
    return !gr ? "" : gr->type == GROUP_CLASSIC ? classic_state_name(gr) : "Empty";
}

int16_t rig_commit_error(struct rig_call *c)
{
    cr_assert(c->back && c->call.response);
    int16_t code = ((struct offset_commit_response *)c->call.response)->topics->partitions->error_code;
    rig_call_free(c);
    return code;
}

int16_t rig_heartbeat(struct rig *r, const char *group, const char *member, int32_t generation)
{
    struct rig_call *c = rig_call_new(GROUP_HEARTBEAT, 4, group);
    heartbeat_request_init(&c->heartbeat);
    c->call.request = &c->heartbeat;
    c->heartbeat.member_id = rig_copied(c, member);
    c->heartbeat.generation_id = generation;
    rig_send(r, c);
    cr_assert(c->back);
    int16_t code = ((struct heartbeat_response *)c->call.response)->error_code;
    rig_call_free(c);
    return code;
}

int64_t rig_committed(struct rig *r, const char *group, const char *topic, int32_t partition)
{
    struct rig_call *c = rig_call_new(GROUP_FETCH, 8, group);
    struct offset_fetch_request_group_topic t = {
        .name = bytes_str(topic), .partition_indexes = &partition, .partition_indexes_count = 1};
    c->fetch_group = (struct offset_fetch_request_group){.topics = &t, .topics_count = 1, .member_epoch = -1};
    c->fetch.group = &c->fetch_group;
    c->call.request = &c->fetch;
    rig_send(r, c);
    cr_assert(c->back);
    struct offset_fetch_response_group *out = c->call.response;
    cr_assert_eq(out->error_code, 0);
    int64_t offset = out->topics->partitions->committed_offset;
    rig_call_free(c);
    return offset;
}

int16_t rig_delete(struct rig *r, const char *group)
{
    struct rig_call *c = rig_call_new(GROUP_DELETE, 2, group);
    rig_send(r, c);
    cr_assert(c->back);
    int16_t code = ((struct delete_groups_response_result *)c->call.response)->error_code;
    rig_call_free(c);
    return code;
}

const char *rig_text(struct bytes b)
{
    static char text[8][256];
    static unsigned at;
    char *out = text[at++ % 8];
    snprintf(out, sizeof(text[0]), "%.*s", (int)b.n, (const char *)b.p);
    return out;
}

const char *rig_state(struct rig *r, const char *group)
{
    struct rig_call *c = rig_call_new(GROUP_DESCRIBE, 5, group);
    rig_send(r, c);
    cr_assert(c->back);
    const char *state = rig_text(((struct describe_groups_response_group *)c->call.response)->group_state);
    rig_call_free(c);
    return state;
}

const char *rig_stable(struct rig *r, const char *group)
{
    static char ids[16][128];
    static unsigned at;
    char *id = ids[at++ % 16];
    struct rig_call *c = rig_join(r, group, "", NULL, 9);
    cr_assert(c->back);
    cr_assert_eq(rig_joined(c)->error_code, kerr_of(RC_MEMBER_ID_REQUIRED));
    snprintf(id, sizeof(ids[0]), "%s", rig_text(rig_joined(c)->member_id));
    rig_call_free(c);
    c = rig_join(r, group, id, NULL, 9);
    cr_assert_not(c->back);
    rig_advance(r, 3000);
    cr_assert(c->back);
    cr_assert_eq(rig_joined(c)->error_code, 0);
    int32_t generation = rig_joined(c)->generation_id;
    rig_call_free(c);
    const char *assigned[] = {id, "all"};
    c = rig_sync(r, group, id, generation, assigned, 2);
    cr_assert(c->back);
    cr_assert_eq(rig_synced(c)->error_code, 0);
    rig_call_free(c);
    return id;
}

// ------------------------------------------------------------------------------------------------ states

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool take(struct bytes *in, struct bytes *out)
{
    uint64_t n;
    if (!varint_get(in, VARINT_BYTES_MAX, &n) || n > in->n)
        return false;
    *out = bytes_of(in->p, n);
    in->p += n;
    in->n -= n;
    return true;
}

// Every record as a line of hexadecimal, sorted.
char *rig_state_text(const struct groups *g)
{
    struct buf out;
    struct groups_cursor cursor = {0};
    enum rc rc;
    buf_init(&out, INT32_MAX);
    while ((rc = groups_snapshot(g, &cursor, 100, &out)) == RC_AGAIN)
        ;
    cr_assert_eq(rc, RC_OK);
    struct bytes in = buf_bytes(&out), key, value;
    size_t count = 0, total = 1;
    char **lines = NULL;
    while (take(&in, &key) && take(&in, &value)) {
        lines = realloc(lines, (count + 1) * sizeof(*lines));
        char *line = malloc(2 * (key.n + value.n) + 3), *at = line;
        const struct bytes parts[] = {key, value};
        for (size_t i = 0; i < 2; i++) {
            for (size_t k = 0; k < parts[i].n; k++)
                at += sprintf(at, "%02x", parts[i].p[k]);
            at += sprintf(at, "%s", i ? "\n" : " ");
        }
        total += strlen(line);
        lines[count++] = line;
    }
    cr_assert_eq(in.n, 0);
    if (count)
        qsort(lines, count, sizeof(*lines), compare_text);
    char *text = calloc(1, total), *end = text;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(lines[i]);
        memcpy(end, lines[i], n);
        end += n;
        free(lines[i]);
    }
    free(lines);
    buf_deinit(&out);
    return text;
}
