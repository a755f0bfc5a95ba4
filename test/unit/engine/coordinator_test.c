// SPDX-License-Identifier: Apache-2.0
//
// Coordinators on a whole engine: commits survive stops, deaths and damaged snapshots; epochs, deletions and failures end
// them; calls of another shard come back.
#include <criterion/criterion.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/coordinator_core.h"
#include "engine/partition_query.h"
#include "model/kerr.h"
#include "wire/messages.h"

enum { SHARDS_OF_RIG = 2, OFFSETS_PARTITIONS = 4 };

struct rig {
    char folder[64], data[80], text[1024];
    struct io *ios[SHARDS_OF_RIG];
    struct shard_group group;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct engine *e;
    struct image_listener listener;
    struct trace_sink trace;
    char line[512]; // the last warning or error
    bool registered, settled;
    uint32_t shard_count;
};

static struct rig r;

static void on_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct rig *g = container_of(sink, struct rig, trace);
    if (level >= TRACE_WARN)
        snprintf(g->line, sizeof(g->line), "%.*s", (int)n, line);
}

static void turn_until(const bool *done)
{
    for (int i = 0; i < 20000 && !*done; i++)
        for (uint32_t s = 0; s < r.shard_count; s++)
            shard_turn(&r.group.shards[s], 200000);
    cr_assert(*done, "it takes too long");
}

static void turn_some(int turns)
{
    for (int i = 0; i < turns; i++)
        for (uint32_t s = 0; s < r.shard_count; s++)
            shard_turn(&r.group.shards[s], 0);
}

static void on_registered(struct engine *e, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    ((struct rig *)e->owner)->registered = true;
}

static void on_settled(struct engine *e)
{
    ((struct rig *)e->owner)->settled = true;
}

static void rig_boot(void)
{
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    r.trace = (struct trace_sink){.level_min = TRACE_INFO, .write = on_line};
    for (uint32_t i = 0; i < r.shard_count; i++)
        cr_assert_eq(io_create(&r.ios[i], &c), RC_OK);
    cr_assert_eq(shard_group_create(&r.group, r.ios, r.shard_count, 64, NULL), RC_OK);
    cr_assert_eq(log_dir_open(&r.dir, r.ios[0], &r.trace, r.data, r.text, sizeof(r.text)), RC_OK, "%s", r.text);
    r.dirs[0] = &r.dir;
    struct engine_config ec = {.shards = &r.group,
                               .trace = &r.trace,
                               .node_id = 1,
                               .log_dirs = r.dirs,
                               .log_dir_count = 1,
                               .metadata_dir = &r.dir,
                               .files_max = 256,
                               .producer_expiry_ms = 86400000,
                               .producers_max = 1000,
                               .retention_check_ms = 300000};
    cr_assert_eq(engine_create(&r.e, &ec, r.text, sizeof(r.text)), RC_OK, "%s", r.text);
}

static void rig_register(void)
{
    r.e->owner = &r;
    r.e->registration_done = on_registered;
    r.listener = (struct image_listener){.name = "PLAINTEXT", .host = "127.0.0.1", .port = 9092};
    r.registered = false;
    engine_register(r.e, &r.listener, 1, bytes_of(NULL, 0));
    turn_until(&r.registered);
}

static void rig_start(void)
{
    rig_boot();
    rig_register();
}

static void rig_close(void)
{
    engine_close(r.e);
    shard_group_destroy(&r.group);
    for (uint32_t i = 0; i < r.shard_count; i++)
        io_destroy(r.ios[i]);
}

static void rig_stop(void) // cleanly
{
    r.settled = false;
    cr_assert_eq(engine_settle(r.e, on_settled), RC_OK);
    turn_until(&r.settled);
    for (uint32_t i = 0; i < r.shard_count; i++)
        cr_assert(coordinators_settled(&r.e->shards[i]));
    rig_close();
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static void rig_forget(void)
{
    nftw(r.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// ------------------------------------------------------------------------------------------------ topics

struct ask {
    struct quorum_op op;
    struct arena arena;
    bool done;
    enum rc rc;
};

static void asked(struct quorum_op *op, enum rc rc)
{
    struct ask *a = container_of(op, struct ask, op);
    a->rc = rc;
    a->done = true;
}

static void decide(enum controller_kind kind, const void *request, void *answer)
{
    struct ask a = {0};
    arena_init(&a.arena, 64 << 20, NULL, 0);
    a.op = (struct quorum_op){.kind = (int)kind, .request = request, .answer = answer, .arena = &a.arena, .done = asked};
    quorum_submit(r.e->quorum, r.e->shards[0].shard, &a.op);
    turn_until(&a.done);
    cr_assert_eq(a.rc, RC_OK);
    arena_deinit(&a.arena);
}

static void create_topic(const char *name, int32_t partitions, const char *compression)
{
    struct create_topics_request in;
    struct create_topics_response out;
    struct create_topics_request_topic topic;
    struct create_topics_request_config configs[] = {
        {.name = bytes_str("cleanup.policy"), .value = bytes_str("compact")},
        {.name = bytes_str("compression.type"), .value = bytes_str(compression)}};
    create_topics_request_init(&in);
    create_topics_request_topic_init(&topic);
    topic.name = bytes_str(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    topic.configs = configs;
    topic.configs_count = 2;
    in.topics = &topic;
    in.topics_count = 1;
    decide(CONTROLLER_CREATE_TOPICS, &in, &out);
}

static void delete_topic(const char *name)
{
    struct delete_topics_request in;
    struct delete_topics_response out;
    struct bytes names[] = {bytes_str(name)};
    delete_topics_request_init(&in);
    in.topic_names = names;
    in.topic_names_count = 1;
    decide(CONTROLLER_DELETE_TOPICS, &in, &out);
}

static void setup_with(uint32_t shards, const char *compression)
{
    memset(&r, 0, sizeof(r));
    r.shard_count = shards;
    strcpy(r.folder, "/tmp/weir-coordinator-XXXXXX");
    cr_assert_not_null(mkdtemp(r.folder));
    snprintf(r.data, sizeof(r.data), "%s/data", r.folder);
    rig_start();
    create_topic("__consumer_offsets", OFFSETS_PARTITIONS, compression);
    create_topic("t", 2, "producer");
}

static void setup(void)
{
    setup_with(SHARDS_OF_RIG, "producer");
}

static void setup_one(void)
{
    setup_with(1, "producer");
}

static void setup_lz4(void)
{
    setup_with(1, "lz4");
}

static void teardown(void)
{
    rig_stop();
    rig_forget();
}

// ------------------------------------------------------------------------------------------------ calls

struct test_call {
    struct coordinator_call c;
    bool done;
};

static void on_called(struct coordinator_call *c)
{
    container_of(c, struct test_call, c)->done = true;
}

static void call_begin(struct test_call *t, enum group_call_kind kind, int16_t version, struct bytes group_id,
                       const void *request)
{
    memset(t, 0, sizeof(*t));
    cr_assert(coordinator_partition(engine_image(&r.e->shards[0]), group_id, &t->c.id));
    t->c.group.kind = kind;
    t->c.group.version = version;
    t->c.group.group_id = group_id;
    t->c.group.request = request;
    t->c.done = on_called;
    coordinator_call_start(&t->c, &r.e->shards[0]);
}

// One offset of partition 0 of t; returns the code of the partition.
static int16_t commit_with(const char *group, int64_t offset, const char *metadata)
{
    struct offset_commit_request in;
    struct offset_commit_request_topic topic = {.name = bytes_str("t")};
    struct offset_commit_request_partition p = {.committed_offset = offset,
                                                .committed_leader_epoch = -1,
                                                .commit_timestamp = -1,
                                                .committed_metadata = bytes_str(metadata)};
    offset_commit_request_init(&in);
    in.group_id = bytes_str(group);
    in.topics = &topic;
    in.topics_count = 1;
    topic.partitions = &p;
    topic.partitions_count = 1;
    struct test_call t;
    call_begin(&t, GROUP_COMMIT, 8, in.group_id, &in);
    turn_until(&t.done);
    const struct offset_commit_response *out = t.c.group.response;
    cr_assert_not_null(out);
    int16_t code = out->topics[0].partitions[0].error_code;
    group_call_deinit(&t.c.group);
    return code;
}

// As a client does it: tried again while the coordinator reads its log.
static int16_t commit(const char *group, int64_t offset)
{
    int16_t code = commit_with(group, offset, "m");
    for (int i = 0; i < 2000 && code == kerr_of(RC_COORDINATOR_LOAD_IN_PROGRESS); i++) {
        turn_some(1);
        code = commit_with(group, offset, "m");
    }
    return code;
}

// Its offset, -1: none; minus the code of the answer less 1000: an error.
static int64_t fetch_once(const char *group)
{
    int32_t index = 0;
    struct offset_fetch_request_group_topic topic = {
        .name = bytes_str("t"), .partition_indexes = &index, .partition_indexes_count = 1};
    struct offset_fetch_request_group g;
    offset_fetch_request_group_init(&g);
    g.group_id = bytes_str(group);
    g.topics = &topic;
    g.topics_count = 1;
    struct group_fetch_request in = {.group = &g};
    struct test_call t;
    call_begin(&t, GROUP_FETCH, 8, g.group_id, &in);
    turn_until(&t.done);
    const struct offset_fetch_response_group *out = t.c.group.response;
    cr_assert_not_null(out);
    int64_t offset = out->error_code ? -1000 - out->error_code : out->topics[0].partitions[0].committed_offset;
    group_call_deinit(&t.c.group);
    return offset;
}

static int64_t fetch(const char *group)
{
    int64_t offset = fetch_once(group);
    for (int i = 0; i < 2000 && offset == -1000 - kerr_of(RC_COORDINATOR_LOAD_IN_PROGRESS); i++) {
        turn_some(1);
        offset = fetch_once(group);
    }
    return offset;
}

static const char *group_name(int i)
{
    static char name[32];
    snprintf(name, sizeof(name), "group-%d", i);
    return name;
}

enum { GROUPS = 200 };

static void commit_all(int64_t base)
{
    for (int i = 0; i < GROUPS; i++)
        cr_assert_eq(commit(group_name(i), base + i), 0);
}

static void expect_all(int64_t base)
{
    for (int i = 0; i < GROUPS; i++)
        cr_assert_eq(fetch(group_name(i)), base + i, "group %d", i);
}

static struct coordinator_counters counters(void)
{
    struct coordinator_counters sum = {0};
    for (uint32_t i = 0; i < r.shard_count; i++) {
        const struct coordinator_counters *c = coordinator_counters(&r.e->shards[i]);
        sum.loads += c->loads;
        sum.loaded_records += c->loaded_records;
        sum.snapshots_used += c->snapshots_used;
        sum.snapshots_ignored += c->snapshots_ignored;
        sum.snapshots_written += c->snapshots_written;
        sum.appends_failed += c->appends_failed;
        sum.appends_late += c->appends_late;
    }
    return sum;
}

static const char *snapshot_file(int partition)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/__consumer_offsets-%d/coordinator-state", r.data, partition);
    return path;
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    cr_assert_not_null(f, "%s", path);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    fputc(c ^ 0x40, f);
    fclose(f);
}

// ------------------------------------------------------------------------------------------------ tests

Test(coordinator, commits_survive_a_clean_stop_through_snapshots, .init = setup, .fini = teardown)
{
    commit_all(100);
    commit_all(200);
    expect_all(200);
    rig_stop();
    rig_start();
    expect_all(200);
    cr_assert_eq(counters().snapshots_used, OFFSETS_PARTITIONS);
    cr_assert_eq(counters().loaded_records, GROUPS, "each offset once, none of the log");
    cr_assert_eq(commit(group_name(0), 7), 0);
    cr_assert_eq(fetch(group_name(0)), 7);
}

Test(coordinator, commits_survive_a_death_through_the_log, .init = setup, .fini = teardown)
{
    commit_all(100);
    commit_all(200);
    rig_close();
    rig_start();
    expect_all(200);
    cr_assert_eq(counters().snapshots_used, 0);
    cr_assert_eq(counters().loaded_records, 2 * GROUPS);
}

Test(coordinator, without_snapshots_the_same_offsets_are_found, .init = setup, .fini = teardown)
{
    commit_all(100);
    rig_stop();
    rig_start();
    commit_all(300);
    rig_stop();
    for (int i = 0; i < OFFSETS_PARTITIONS; i++)
        cr_assert_eq(remove(snapshot_file(i)), 0);
    rig_start();
    expect_all(300);
    cr_assert_eq(counters().snapshots_used, 0);
}

Test(coordinator, a_snapshot_and_what_came_after_it, .init = setup, .fini = teardown)
{
    commit_all(100);
    rig_stop();
    rig_start();
    expect_all(100);
    cr_assert_eq(commit(group_name(3), 42), 0);
    cr_assert_eq(commit("another", 43), 0);
    rig_close(); // it dies: the snapshots stay behind
    rig_start();
    cr_assert_eq(fetch(group_name(3)), 42);
    cr_assert_eq(fetch("another"), 43);
    cr_assert_eq(fetch(group_name(4)), 104);
    cr_assert_eq(counters().snapshots_used, OFFSETS_PARTITIONS);
    cr_assert_eq(counters().loaded_records, GROUPS + 2);
}

Test(coordinator, damaged_newer_and_foreign_snapshots_are_ignored, .init = setup, .fini = teardown)
{
    commit_all(100);
    rig_stop();
    flip(snapshot_file(0), 30);  // its head
    flip(snapshot_file(1), -13); // its last record
    flip(snapshot_file(2), 70);  // its first one
    char other[160];
    strcpy(other, snapshot_file(0));
    cr_assert_eq(truncate(snapshot_file(3), 100), 0);
    rig_start();
    expect_all(100);
    cr_assert_eq(counters().snapshots_used, 0);
    cr_assert_eq(counters().snapshots_ignored, OFFSETS_PARTITIONS);
    rig_stop();
    cr_assert_eq(rename(snapshot_file(2), other), 0); // another partition's
    rig_start();
    expect_all(100);
    cr_assert_eq(counters().snapshots_ignored, 1);
}

// Without a stop, once enough has been written since the last one; and compaction then keeps what it may lack.
Test(coordinator, snapshots_are_made_while_it_runs, .init = setup_one, .fini = teardown)
{
    static char metadata[4001];
    memset(metadata, 'm', sizeof(metadata) - 1);
    struct topic_partition id;
    cr_assert(coordinator_partition(engine_image(&r.e->shards[0]), bytes_str("g"), &id));
    struct partition *p = partition_find(&r.e->shards[0], id);
    cr_assert_eq(p->log.tombstones_needed, INT64_MAX);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(commit_with("g", i, metadata), 0);
    for (int i = 0; i < 20000 && counters().snapshots_written == 0; i++)
        shard_turn(&r.group.shards[0], 200000);
    cr_assert_eq(counters().snapshots_written, 1);
    int64_t offset = p->log.tombstones_needed;
    cr_assert(offset > 200 && offset <= 300, "%lld", (long long)offset);
    cr_assert_eq(commit("g", 1000), 0);
    rig_close(); // it dies
    rig_start();
    cr_assert_eq(fetch("g"), 1000);
    cr_assert_eq(counters().snapshots_used, 1);
    cr_assert_eq((int64_t)counters().loaded_records, 1 + 301 - offset, "one of the snapshot, the rest of the log");
    p = partition_find(&r.e->shards[0], id);
    cr_assert_eq(p->log.tombstones_needed, offset);
}

Test(coordinator, the_head_of_a_snapshot_is_judged)
{
    uint8_t raw[COORDINATOR_SNAPSHOT_HEAD_BYTES];
    struct coordinator_snapshot_head in = {.id.partition = 7, .offset = 1234567, .leader_epoch = 3}, out;
    memset(in.id.topic_id.b, 0x5a, sizeof(in.id.topic_id.b));
    coordinator_snapshot_head_write(&in, raw);
    cr_assert_eq(coordinator_snapshot_head_read(raw, &out), RC_OK);
    cr_assert(topic_partition_eq(in.id, out.id));
    cr_assert_eq(out.offset, in.offset);
    cr_assert_eq(out.leader_epoch, in.leader_epoch);
    for (size_t i = 0; i < sizeof(raw); i++) {
        raw[i] ^= 1;
        cr_assert_eq(coordinator_snapshot_head_read(raw, &out), RC_CORRUPT, "byte %zu", i);
        raw[i] ^= 1;
    }
}

Test(coordinator, compressed_batches_are_written_and_read, .init = setup_lz4, .fini = teardown)
{
    commit_all(100);
    rig_close();
    rig_start();
    expect_all(100);
    cr_assert_eq(counters().loaded_records, GROUPS);
}

struct raw_append {
    struct plog_append log;
    bool done;
};

static void on_appended(struct plog_append *log, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    container_of(log, struct raw_append, log)->done = true;
}

// A record of an offset as another program wrote it, in a batch of any kind.
static void append_offset(const char *group, int64_t offset, struct batch_options o, bool control, bool commits)
{
    struct topic_partition id;
    cr_assert(coordinator_partition(engine_image(&r.e->shards[0]), bytes_str(group), &id));
    struct partition *p = partition_find(&r.e->shards[0], id);
    struct buf key = {.size_max = 4096}, value = {.size_max = 4096}, out = {.size_max = 65536};
    struct enc e;
    enc_init(&e, &key, NULL, 0);
    if (control) {
        enc_i16(&e, 0);
        enc_i16(&e, commits);
    } else {
        enc_i16(&e, 1);
        struct offset_commit_key k = {.group = bytes_str(group), .topic = bytes_str("t")};
        schema_encode(&offset_commit_key_message, &e, 1, &k);
    }
    enc_init(&e, &value, NULL, 0);
    enc_i16(&e, control ? 0 : 3);
    struct offset_commit_value v = {.offset = offset, .leader_epoch = -1, .metadata = bytes_str(""), .commit_timestamp = 1};
    if (control)
        enc_i32(&e, 0);
    else
        schema_encode(&offset_commit_value_message, &e, 3, &v);
    struct batch_builder b;
    batch_builder_init(&b, &o, 65536);
    cr_assert_eq(batch_builder_add(&b, io_wall_ms(r.ios[0]), buf_bytes(&key), buf_bytes(&value), NULL, 0), RC_OK);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    struct raw_append a = {.log = {.batch = out.p,
                                   .bytes = out.n,
                                   .flags = PLOG_APPEND_INTERNAL,
                                   .leader_epoch = p->leader_epoch,
                                   .done = on_appended}};
    cr_assert_eq(partition_open(p), RC_OK);
    cr_assert_eq(plog_append(&p->log, &a.log), RC_OK);
    plog_flush(&p->log);
    turn_until(&a.done);
    partition_advance(p);
    batch_builder_deinit(&b);
    buf_deinit(&key);
    buf_deinit(&value);
    buf_deinit(&out);
}

Test(coordinator, transactional_offsets_wait_for_their_marker, .init = setup_one, .fini = teardown)
{
    struct batch_options o = batch_options_default();
    cr_assert_eq(commit("ga", 1), 0);
    cr_assert_eq(commit("gb", 1), 0);
    o.codec = CODEC_GZIP;
    append_offset("plain", 5, o, false, false);
    o = batch_options_default();
    o.producer_id = 9;
    o.producer_epoch = 0;
    o.base_sequence = 0;
    o.attributes = BATCH_ATTR_TRANSACTIONAL;
    append_offset("ga", 2, o, false, false);
    o.producer_id = 10;
    append_offset("gb", 2, o, false, false);
    o.base_sequence = -1;
    o.attributes = BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL;
    o.producer_id = 9;
    append_offset("ga", 0, o, true, true);
    o.producer_id = 10;
    append_offset("gb", 0, o, true, false);
    rig_close();
    rig_start();
    cr_assert_eq(fetch("plain"), 5);
    cr_assert_eq(fetch("ga"), 2, "committed");
    cr_assert_eq(fetch("gb"), 1, "aborted");
}

Test(coordinator, a_damaged_log_is_not_served, .init = setup_one, .fini = teardown)
{
    cr_assert_eq(commit("g", 1), 0);
    cr_assert_eq(commit("g", 2), 0);
    struct topic_partition id;
    cr_assert(coordinator_partition(engine_image(&r.e->shards[0]), bytes_str("g"), &id));
    rig_stop();
    char path[200];
    snprintf(path, sizeof(path), "%s/__consumer_offsets-%d/%020d.log", r.data, id.partition, 0);
    cr_assert_eq(remove(snapshot_file(id.partition)), 0);
    flip(path, -3);
    rig_start();
    cr_assert_eq(fetch("g"), -1000 - kerr_of(RC_NOT_COORDINATOR));
    cr_assert(strstr(r.line, "cannot be read at offset"), "%s", r.line);
}

static void on_queried(struct engine_call *c)
{
    (void)c;
}

// A log that was cut, or that a start could not read, ends somewhere else than it says before it is recovered: nobody is
// told by that end.
Test(coordinator, an_unread_log_calls_nothing_out_of_range, .init = setup_one, .fini = rig_forget)
{
    struct partition_client client = {0};
    struct partition_read read = {
        .fetch_offset = 1, .current_leader_epoch = LEADER_EPOCH_NONE, .last_fetched_epoch = LEADER_EPOCH_NONE};
    struct partition_query q = {.current_leader_epoch = LEADER_EPOCH_NONE, .offset.timestamp = OFFSET_SPEC_LATEST};
    struct partition_query *queries[] = {&q};
    struct partition_query_call call = {.question = PARTITION_OFFSET, .queries = queries, .count = 1};
    char path[200], aside[208];
    cr_assert_eq(commit("g", 1), 0);
    cr_assert_eq(commit("g", 2), 0);
    cr_assert(coordinator_partition(engine_image(&r.e->shards[0]), bytes_str("g"), &read.id));
    struct partition *p = partition_find(&r.e->shards[0], read.id);
    cr_assert_eq(p->high_watermark, 2);
    for (int i = 0; i < 1000 && !plog_is_idle(&p->log); i++)
        turn_some(1);
    cr_assert_eq(plog_truncate(&p->log, 1), RC_OK);

    snprintf(path, sizeof(path), "%s/__consumer_offsets-%d/%020d.log", r.data, read.id.partition, 0);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    cr_assert_eq(rename(path, aside), 0);
    cr_assert_eq(symlink(path, path), 0); // what cannot be opened
    cr_assert(partition_read(&r.e->shards[0], &read, &client, NULL));
    cr_assert_eq(read.rc, RC_STORAGE_ERROR, "%s", rc_text(read.rc));
    q.id = read.id;
    call.call = (struct engine_call){.run = partition_query_run, .done = on_queried};
    engine_call_start(&call.call, &r.e->shards[0], &r.e->shards[0]);
    cr_assert_eq(q.rc, RC_STORAGE_ERROR, "%s", rc_text(q.rc));

    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rename(aside, path), 0);
    bool open = false;
    for (int i = 0; i < 20000 && !open; i++) {
        shard_turn(&r.group.shards[0], 200000);
        open = p->log.state == PLOG_OPEN;
    }
    cr_assert(open, "tried again");
    cr_assert(partition_read(&r.e->shards[0], &read, &client, NULL));
    cr_assert_eq(read.rc, RC_OK, "%s", rc_text(read.rc));
    cr_assert_eq(read.high_watermark, 1);
    rig_close();
}

Test(coordinator, it_loads_before_it_answers, .init = setup_one, .fini = teardown)
{
    commit_all(100);
    rig_close();
    rig_boot();
    r.e->owner = &r;
    r.e->registration_done = on_registered;
    rig_register();
    // The job has not had its turns yet, or not all of them: never an old or an empty answer.
    int64_t offset = fetch_once(group_name(5));
    cr_assert(offset == 105 || offset == -1000 - kerr_of(RC_COORDINATOR_LOAD_IN_PROGRESS), "%lld", (long long)offset);
    expect_all(100);
}

Test(coordinator, a_deleted_topic_takes_its_coordinators_along, .init = setup, .fini = teardown)
{
    cr_assert_eq(commit("g", 1), 0);
    delete_topic("__consumer_offsets");
    struct topic_partition id;
    cr_assert_not(coordinator_partition(engine_image(&r.e->shards[0]), bytes_str("g"), &id));
    create_topic("__consumer_offsets", OFFSETS_PARTITIONS, "producer");
    cr_assert_eq(fetch("g"), -1);
    cr_assert_eq(commit("g", 2), 0);
    cr_assert_eq(fetch("g"), 2);
}

Test(coordinator, offsets_of_a_deleted_topic_go, .init = setup, .fini = teardown)
{
    cr_assert_eq(commit("g", 1), 0);
    delete_topic("t");
    for (int i = 0; i < 2000 && fetch("g") != -1; i++)
        turn_some(1);
    cr_assert_eq(fetch("g"), -1);
    create_topic("t", 2, "producer");
    cr_assert_eq(fetch("g"), -1);
}

Test(coordinator, a_full_disk_refuses_commits_and_heals, .init = setup_one, .fini = teardown)
{
    cr_assert_eq(commit("g", 1), 0);
    uint64_t reserve = r.dir.reserve_bytes;
    r.dir.reserve_bytes = UINT64_MAX / 2;
    r.dir.space_checked_ns = 0;
    cr_assert_neq(commit("g", 2), 0);
    cr_assert_eq(fetch("g"), 1);
    cr_assert_gt(counters().appends_failed, 0);
    r.dir.reserve_bytes = reserve;
    r.dir.space_checked_ns = 0;
    cr_assert_eq(commit("g", 3), 0);
    cr_assert_eq(fetch("g"), 3);
}

Test(coordinator, a_failed_folder_ends_it, .init = setup_one)
{
    cr_assert_eq(commit("g", 1), 0);
    log_dir_fail(&r.dir, r.ios[0], RC_IO, "written", "somewhere");
    cr_assert_eq(commit("g", 2), kerr_of(RC_NOT_COORDINATOR));
    cr_assert_eq(fetch("g"), -1000 - kerr_of(RC_NOT_COORDINATOR));
    rig_close();
    rig_forget();
}

Test(coordinator, a_stopping_node_coordinates_no_more, .init = setup, .fini = rig_forget)
{
    cr_assert_eq(commit("g", 1), 0);
    for (uint32_t i = 0; i < r.shard_count; i++)
        coordinators_settle(&r.e->shards[i]);
    cr_assert_eq(commit("g", 2), kerr_of(RC_NOT_COORDINATOR));
    rig_stop();
}

Test(coordinator, abandoned_calls_come_back_once, .init = setup, .fini = teardown)
{
    enum { CALLS = 64 };
    static struct test_call calls[CALLS];
    static struct group_fetch_request in[CALLS];
    static struct offset_fetch_request_group groups[CALLS];
    static char names[CALLS][16];
    for (int i = 0; i < CALLS; i++) {
        snprintf(names[i], sizeof(names[i]), "g%d", i);
        offset_fetch_request_group_init(&groups[i]);
        groups[i].group_id = bytes_str(names[i]);
        groups[i].topics = NULL;
        in[i].group = &groups[i];
        call_begin(&calls[i], GROUP_FETCH, 8, groups[i].group_id, &in[i]);
        for (int k = 0; k < i % 3; k++)
            turn_some(1);
        coordinator_call_abandon(&calls[i].c);
        coordinator_call_abandon(&calls[i].c);
    }
    for (int i = 0; i < CALLS; i++) {
        turn_until(&calls[i].done);
        cr_assert_not_null(calls[i].c.group.response);
        group_call_deinit(&calls[i].c.group);
    }
}
