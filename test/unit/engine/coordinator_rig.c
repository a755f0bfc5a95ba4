// SPDX-License-Identifier: Apache-2.0
#include "coordinator_rig.h"

#include <criterion/criterion.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/kerr.h"
#include "quorum_ask.h"
#include "wire/messages.h"

struct rig rig;

static void on_line(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct rig *g = container_of(sink, struct rig, trace);
    if (level >= TRACE_WARN)
        snprintf(g->line, sizeof(g->line), "%.*s", (int)n, line);
}

void rig_turn_until(const bool *done)
{
    for (int i = 0; i < 20000 && !*done; i++)
        for (uint32_t s = 0; s < rig.shard_count; s++)
            shard_turn(&rig.group.shards[s], 200000);
    cr_assert(*done, "it takes too long");
}

void rig_turn_some(int turns)
{
    for (int i = 0; i < turns; i++)
        for (uint32_t s = 0; s < rig.shard_count; s++)
            shard_turn(&rig.group.shards[s], 0);
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

void rig_boot(void)
{
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    rig.trace = (struct trace_sink){.level_min = TRACE_INFO, .write = on_line};
    for (uint32_t i = 0; i < rig.shard_count; i++)
        cr_assert_eq(io_create(&rig.ios[i], &c), RC_OK);
    cr_assert_eq(shard_group_create(&rig.group, rig.ios, rig.shard_count, 64, NULL), RC_OK);
    cr_assert_eq(log_dir_open(&rig.dir, rig.ios[0], &rig.trace, rig.data, rig.text, sizeof(rig.text)), RC_OK, "%s", rig.text);
    rig.dirs[0] = &rig.dir;
    struct engine_config ec = {.shards = &rig.group,
                               .trace = &rig.trace,
                               .node_id = 1,
                               .log_dirs = rig.dirs,
                               .log_dir_count = 1,
                               .metadata_dir = &rig.dir,
                               .files_max = 256,
                               .producer_expiry_ms = 86400000,
                               .producers_max = 1000,
                               .retention_check_ms = 300000};
    cr_assert_eq(engine_create(&rig.e, &ec, rig.text, sizeof(rig.text)), RC_OK, "%s", rig.text);
}

void rig_register(void)
{
    rig.e->owner = &rig;
    rig.e->registration_done = on_registered;
    rig.listener = (struct image_listener){.name = "PLAINTEXT", .host = "127.0.0.1", .port = 9092};
    rig.registered = false;
    engine_register(rig.e, &rig.listener, 1, bytes_of(NULL, 0));
    rig_turn_until(&rig.registered);
}

void rig_start(void)
{
    rig_boot();
    rig_register();
}

void rig_close(void)
{
    engine_close(rig.e);
    shard_group_destroy(&rig.group);
    for (uint32_t i = 0; i < rig.shard_count; i++)
        io_destroy(rig.ios[i]);
}

void rig_stop(void)
{
    rig.settled = false;
    cr_assert_eq(engine_settle(rig.e, on_settled), RC_OK);
    rig_turn_until(&rig.settled);
    for (uint32_t i = 0; i < rig.shard_count; i++)
        cr_assert(coordinators_settled(&rig.e->shards[i]));
    rig_close();
}

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

void rig_forget(void)
{
    nftw(rig.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// ------------------------------------------------------------------------------------------------ topics

static void decide(enum controller_kind kind, const void *request, void *answer)
{
    struct ask a;
    ask_begin(&a, rig.e->quorum, rig.e->shards[0].shard, kind, request, answer);
    rig_turn_until(&a.done);
    cr_assert_eq(a.rc, RC_OK);
    arena_deinit(&a.arena);
}

void rig_create_topic(const char *name, int32_t partitions, const char *compression)
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

void rig_delete_topic(const char *name)
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
    memset(&rig, 0, sizeof(rig));
    rig.shard_count = shards;
    strcpy(rig.folder, "/tmp/weir-coordinator-XXXXXX");
    cr_assert_not_null(mkdtemp(rig.folder));
    snprintf(rig.data, sizeof(rig.data), "%s/data", rig.folder);
    rig_start();
    rig_create_topic("__consumer_offsets", OFFSETS_PARTITIONS, compression);
    rig_create_topic("t", 2, "producer");
}

void rig_setup(void)
{
    setup_with(SHARDS_OF_RIG, "producer");
}

void rig_setup_one(void)
{
    setup_with(1, "producer");
}

void rig_setup_lz4(void)
{
    setup_with(1, "lz4");
}

void rig_teardown(void)
{
    rig_stop();
    rig_forget();
}

// ------------------------------------------------------------------------------------------------ calls

static void on_called(struct coordinator_call *c)
{
    container_of(c, struct rig_call, c)->done = true;
}

void rig_call_begin(struct rig_call *t, enum group_call_kind kind, int16_t version, struct bytes group_id,
                       const void *request)
{
    memset(t, 0, sizeof(*t));
    cr_assert(coordinator_partition(engine_image(&rig.e->shards[0]), group_id, &t->c.id));
    t->c.group.kind = kind;
    t->c.group.version = version;
    t->c.group.group_id = group_id;
    t->c.group.request = request;
    t->c.done = on_called;
    coordinator_call_start(&t->c, &rig.e->shards[0]);
}

// One offset of partition 0 of t; returns the code of the partition.
int16_t rig_commit_with(const char *group, int64_t offset, const char *metadata)
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
    struct rig_call t;
    rig_call_begin(&t, GROUP_COMMIT, 8, in.group_id, &in);
    rig_turn_until(&t.done);
    const struct offset_commit_response *out = t.c.group.response;
    cr_assert_not_null(out);
    int16_t code = out->topics[0].partitions[0].error_code;
    group_call_deinit(&t.c.group);
    return code;
}

// As a client does it: tried again while the coordinator reads its log.
int16_t rig_commit(const char *group, int64_t offset)
{
    int16_t code = rig_commit_with(group, offset, "m");
    for (int i = 0; i < 2000 && code == kerr_of(RC_COORDINATOR_LOAD_IN_PROGRESS); i++) {
        rig_turn_some(1);
        code = rig_commit_with(group, offset, "m");
    }
    return code;
}

// Its offset, -1: none; minus the code of the answer less 1000: an error.
int64_t rig_fetch_once(const char *group)
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
    struct rig_call t;
    rig_call_begin(&t, GROUP_FETCH, 8, g.group_id, &in);
    rig_turn_until(&t.done);
    const struct offset_fetch_response_group *out = t.c.group.response;
    cr_assert_not_null(out);
    int64_t offset = out->error_code ? -1000 - out->error_code : out->topics[0].partitions[0].committed_offset;
    group_call_deinit(&t.c.group);
    return offset;
}

int64_t rig_fetch(const char *group)
{
    int64_t offset = rig_fetch_once(group);
    for (int i = 0; i < 2000 && offset == -1000 - kerr_of(RC_COORDINATOR_LOAD_IN_PROGRESS); i++) {
        rig_turn_some(1);
        offset = rig_fetch_once(group);
    }
    return offset;
}

const char *rig_group(int i)
{
    static char name[32];
    snprintf(name, sizeof(name), "group-%d", i);
    return name;
}

void rig_commit_all(int64_t base)
{
    for (int i = 0; i < GROUPS; i++)
        cr_assert_eq(rig_commit(rig_group(i), base + i), 0);
}

void rig_expect_all(int64_t base)
{
    for (int i = 0; i < GROUPS; i++)
        cr_assert_eq(rig_fetch(rig_group(i)), base + i, "group %d", i);
}

struct coordinator_counters rig_counters(void)
{
    struct coordinator_counters sum = {0};
    for (uint32_t i = 0; i < rig.shard_count; i++) {
        const struct coordinator_counters *c = coordinator_counters(&rig.e->shards[i]);
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

const char *rig_snapshot_file(int partition)
{
    static char path[160];
    snprintf(path, sizeof(path), "%s/__consumer_offsets-%d/coordinator-state", rig.data, partition);
    return path;
}

void rig_flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    cr_assert_not_null(f, "%s", path);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    fputc(c ^ 0x40, f);
    fclose(f);
}
