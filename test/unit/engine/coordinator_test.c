// SPDX-License-Identifier: Apache-2.0
//
// Coordinators on a whole engine: commits survive stops, deaths and damaged snapshots; epochs, deletions and failures end
// them; calls of another shard come back.
#include <criterion/criterion.h>

#include <stdio.h>
#include <unistd.h>

#include "coordinator_rig.h"
#include "engine/partition_query.h"
#include "model/kerr.h"
#include "wire/messages.h"

Test(coordinator, commits_survive_a_clean_stop_through_snapshots, .init = rig_setup, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_commit_all(200);
    rig_expect_all(200);
    rig_stop();
    rig_start();
    rig_expect_all(200);
    cr_assert_eq(rig_counters().snapshots_used, OFFSETS_PARTITIONS);
    cr_assert_eq(rig_counters().loaded_records, GROUPS, "each offset once, none of the log");
    cr_assert_eq(rig_commit(rig_group(0), 7), 0);
    cr_assert_eq(rig_fetch(rig_group(0)), 7);
}

Test(coordinator, commits_survive_a_death_through_the_log, .init = rig_setup, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_commit_all(200);
    rig_close();
    rig_start();
    rig_expect_all(200);
    cr_assert_eq(rig_counters().snapshots_used, 0);
    cr_assert_eq(rig_counters().loaded_records, 2 * GROUPS);
}

Test(coordinator, without_snapshots_the_same_offsets_are_found, .init = rig_setup, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_stop();
    rig_start();
    rig_commit_all(300);
    rig_stop();
    for (int i = 0; i < OFFSETS_PARTITIONS; i++)
        cr_assert_eq(remove(rig_snapshot_file(i)), 0);
    rig_start();
    rig_expect_all(300);
    cr_assert_eq(rig_counters().snapshots_used, 0);
}

Test(coordinator, a_snapshot_and_what_came_after_it, .init = rig_setup, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_stop();
    rig_start();
    rig_expect_all(100);
    cr_assert_eq(rig_commit(rig_group(3), 42), 0);
    cr_assert_eq(rig_commit("another", 43), 0);
    rig_close(); // it dies: the snapshots stay behind
    rig_start();
    cr_assert_eq(rig_fetch(rig_group(3)), 42);
    cr_assert_eq(rig_fetch("another"), 43);
    cr_assert_eq(rig_fetch(rig_group(4)), 104);
    cr_assert_eq(rig_counters().snapshots_used, OFFSETS_PARTITIONS);
    cr_assert_eq(rig_counters().loaded_records, GROUPS + 2);
}

Test(coordinator, damaged_newer_and_foreign_snapshots_are_ignored, .init = rig_setup, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_stop();
    rig_flip(rig_snapshot_file(0), 30);  // its head
    rig_flip(rig_snapshot_file(1), -13); // its last record
    rig_flip(rig_snapshot_file(2), 70);  // its first one
    char other[160];
    strcpy(other, rig_snapshot_file(0));
    cr_assert_eq(truncate(rig_snapshot_file(3), 100), 0);
    rig_start();
    rig_expect_all(100);
    cr_assert_eq(rig_counters().snapshots_used, 0);
    cr_assert_eq(rig_counters().snapshots_ignored, OFFSETS_PARTITIONS);
    rig_stop();
    cr_assert_eq(rename(rig_snapshot_file(2), other), 0); // another partition's
    rig_start();
    rig_expect_all(100);
    cr_assert_eq(rig_counters().snapshots_ignored, 1);
}

// Without a stop, once enough has been written since the last one; and compaction then keeps what it may lack.
Test(coordinator, snapshots_are_made_while_it_runs, .init = rig_setup_one, .fini = rig_teardown)
{
    static char metadata[4001];
    memset(metadata, 'm', sizeof(metadata) - 1);
    struct topic_partition id;
    cr_assert(coordinator_partition(engine_image(&rig.e->shards[0]), bytes_str("g"), &id));
    struct partition *p = partition_find(&rig.e->shards[0], id);
    cr_assert_eq(p->log.tombstones_needed, INT64_MAX);
    for (int i = 0; i < 300; i++)
        cr_assert_eq(rig_commit_with("g", i, metadata), 0);
    for (int i = 0; i < 20000 && rig_counters().snapshots_written == 0; i++)
        shard_turn(&rig.group.shards[0], 200000);
    cr_assert_eq(rig_counters().snapshots_written, 1);
    int64_t offset = p->log.tombstones_needed;
    cr_assert(offset > 200 && offset <= 300, "%lld", (long long)offset);
    cr_assert_eq(rig_commit("g", 1000), 0);
    rig_close(); // it dies
    rig_start();
    cr_assert_eq(rig_fetch("g"), 1000);
    cr_assert_eq(rig_counters().snapshots_used, 1);
    cr_assert_eq((int64_t)rig_counters().loaded_records, 1 + 301 - offset, "one of the snapshot, the rest of the log");
    p = partition_find(&rig.e->shards[0], id);
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

Test(coordinator, compressed_batches_are_written_and_read, .init = rig_setup_lz4, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_close();
    rig_start();
    rig_expect_all(100);
    cr_assert_eq(rig_counters().loaded_records, GROUPS);
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
    cr_assert(coordinator_partition(engine_image(&rig.e->shards[0]), bytes_str(group), &id));
    struct partition *p = partition_find(&rig.e->shards[0], id);
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
    cr_assert_eq(batch_builder_add(&b, io_wall_ms(rig.ios[0]), buf_bytes(&key), buf_bytes(&value), NULL, 0), RC_OK);
    cr_assert_eq(batch_builder_finish(&b, &out), RC_OK);
    struct raw_append a = {.log = {.batch = out.p,
                                   .bytes = out.n,
                                   .flags = PLOG_APPEND_INTERNAL,
                                   .leader_epoch = p->leader_epoch,
                                   .done = on_appended}};
    cr_assert_eq(partition_open(p), RC_OK);
    cr_assert_eq(plog_append(&p->log, &a.log), RC_OK);
    plog_flush(&p->log);
    rig_turn_until(&a.done);
    partition_advance(p);
    batch_builder_deinit(&b);
    buf_deinit(&key);
    buf_deinit(&value);
    buf_deinit(&out);
}

Test(coordinator, transactional_offsets_wait_for_their_marker, .init = rig_setup_one, .fini = rig_teardown)
{
    struct batch_options o = batch_options_default();
    cr_assert_eq(rig_commit("ga", 1), 0);
    cr_assert_eq(rig_commit("gb", 1), 0);
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
    cr_assert_eq(rig_fetch("plain"), 5);
    cr_assert_eq(rig_fetch("ga"), 2, "committed");
    cr_assert_eq(rig_fetch("gb"), 1, "aborted");
}

Test(coordinator, a_damaged_log_is_not_served, .init = rig_setup_one, .fini = rig_teardown)
{
    cr_assert_eq(rig_commit("g", 1), 0);
    cr_assert_eq(rig_commit("g", 2), 0);
    struct topic_partition id;
    cr_assert(coordinator_partition(engine_image(&rig.e->shards[0]), bytes_str("g"), &id));
    rig_stop();
    char path[200];
    snprintf(path, sizeof(path), "%s/__consumer_offsets-%d/%020d.log", rig.data, id.partition, 0);
    cr_assert_eq(remove(rig_snapshot_file(id.partition)), 0);
    rig_flip(path, -3);
    rig_start();
    cr_assert_eq(rig_fetch("g"), -1000 - kerr_of(RC_NOT_COORDINATOR));
    cr_assert(strstr(rig.line, "cannot be read at offset"), "%s", rig.line);
}

static void on_queried(struct engine_call *c)
{
    (void)c;
}

// A log that was cut, or that a start could not read, ends somewhere else than it says before it is recovered: nobody is
// told by that end.
Test(coordinator, an_unread_log_calls_nothing_out_of_range, .init = rig_setup_one, .fini = rig_forget)
{
    struct partition_client client = {0};
    struct partition_read read = {
        .fetch_offset = 1, .current_leader_epoch = LEADER_EPOCH_NONE, .last_fetched_epoch = LEADER_EPOCH_NONE};
    struct partition_query q = {.current_leader_epoch = LEADER_EPOCH_NONE, .offset.timestamp = OFFSET_SPEC_LATEST};
    struct partition_query *queries[] = {&q};
    struct partition_query_call call = {.question = PARTITION_OFFSET, .queries = queries, .count = 1};
    char path[200], aside[208];
    cr_assert_eq(rig_commit("g", 1), 0);
    cr_assert_eq(rig_commit("g", 2), 0);
    cr_assert(coordinator_partition(engine_image(&rig.e->shards[0]), bytes_str("g"), &read.id));
    struct partition *p = partition_find(&rig.e->shards[0], read.id);
    cr_assert_eq(p->high_watermark, 2);
    for (int i = 0; i < 1000 && !plog_is_idle(&p->log); i++)
        rig_turn_some(1);
    cr_assert_eq(plog_truncate(&p->log, 1), RC_OK);

    snprintf(path, sizeof(path), "%s/__consumer_offsets-%d/%020d.log", rig.data, read.id.partition, 0);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    cr_assert_eq(rename(path, aside), 0);
    cr_assert_eq(symlink(path, path), 0); // what cannot be opened
    cr_assert(partition_read(&rig.e->shards[0], &read, &client, NULL));
    cr_assert_eq(read.rc, RC_STORAGE_ERROR, "%s", rc_text(read.rc));
    q.id = read.id;
    call.call = (struct engine_call){.run = partition_query_run, .done = on_queried};
    engine_call_start(&call.call, &rig.e->shards[0], &rig.e->shards[0]);
    cr_assert_eq(q.rc, RC_STORAGE_ERROR, "%s", rc_text(q.rc));

    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rename(aside, path), 0);
    bool open = false;
    for (int i = 0; i < 20000 && !open; i++) {
        shard_turn(&rig.group.shards[0], 200000);
        open = p->log.state == PLOG_OPEN;
    }
    cr_assert(open, "tried again");
    cr_assert(partition_read(&rig.e->shards[0], &read, &client, NULL));
    cr_assert_eq(read.rc, RC_OK, "%s", rc_text(read.rc));
    cr_assert_eq(read.high_watermark, 1);
    rig_close();
}

Test(coordinator, it_loads_before_it_answers, .init = rig_setup_one, .fini = rig_teardown)
{
    rig_commit_all(100);
    rig_close();
    rig_boot();
    rig_register();
    // The job has not had its turns yet, or not all of them: never an old or an empty answer.
    int64_t offset = rig_fetch_once(rig_group(5));
    cr_assert(offset == 105 || offset == -1000 - kerr_of(RC_COORDINATOR_LOAD_IN_PROGRESS), "%lld", (long long)offset);
    rig_expect_all(100);
}

Test(coordinator, a_deleted_topic_takes_its_coordinators_along, .init = rig_setup, .fini = rig_teardown)
{
    cr_assert_eq(rig_commit("g", 1), 0);
    rig_delete_topic("__consumer_offsets");
    struct topic_partition id;
    cr_assert_not(coordinator_partition(engine_image(&rig.e->shards[0]), bytes_str("g"), &id));
    rig_create_topic("__consumer_offsets", OFFSETS_PARTITIONS, "producer");
    cr_assert_eq(rig_fetch("g"), -1);
    cr_assert_eq(rig_commit("g", 2), 0);
    cr_assert_eq(rig_fetch("g"), 2);
}

Test(coordinator, offsets_of_a_deleted_topic_go, .init = rig_setup, .fini = rig_teardown)
{
    cr_assert_eq(rig_commit("g", 1), 0);
    rig_delete_topic("t");
    for (int i = 0; i < 2000 && rig_fetch("g") != -1; i++)
        rig_turn_some(1);
    cr_assert_eq(rig_fetch("g"), -1);
    rig_create_topic("t", 2, "producer");
    cr_assert_eq(rig_fetch("g"), -1);
}

Test(coordinator, a_full_disk_refuses_commits_and_heals, .init = rig_setup_one, .fini = rig_teardown)
{
    cr_assert_eq(rig_commit("g", 1), 0);
    uint64_t reserve = rig.dir.reserve_bytes;
    rig.dir.reserve_bytes = UINT64_MAX / 2;
    rig.dir.space_checked_ns = 0;
    cr_assert_neq(rig_commit("g", 2), 0);
    cr_assert_eq(rig_fetch("g"), 1);
    cr_assert_gt(rig_counters().appends_failed, 0);
    rig.dir.reserve_bytes = reserve;
    rig.dir.space_checked_ns = 0;
    cr_assert_eq(rig_commit("g", 3), 0);
    cr_assert_eq(rig_fetch("g"), 3);
}

Test(coordinator, a_failed_folder_ends_it, .init = rig_setup_one)
{
    cr_assert_eq(rig_commit("g", 1), 0);
    log_dir_fail(&rig.dir, rig.ios[0], RC_IO, "written", "somewhere");
    cr_assert_eq(rig_commit("g", 2), kerr_of(RC_NOT_COORDINATOR));
    cr_assert_eq(rig_fetch("g"), -1000 - kerr_of(RC_NOT_COORDINATOR));
    rig_close();
    rig_forget();
}

Test(coordinator, a_stopping_node_coordinates_no_more, .init = rig_setup, .fini = rig_forget)
{
    cr_assert_eq(rig_commit("g", 1), 0);
    for (uint32_t i = 0; i < rig.shard_count; i++)
        coordinators_settle(&rig.e->shards[i]);
    cr_assert_eq(rig_commit("g", 2), kerr_of(RC_NOT_COORDINATOR));
    rig_stop();
}

Test(coordinator, abandoned_calls_come_back_once, .init = rig_setup, .fini = rig_teardown)
{
    enum { CALLS = 64 };
    static struct rig_call calls[CALLS];
    static struct group_fetch_request in[CALLS];
    static struct offset_fetch_request_group groups[CALLS];
    static char names[CALLS][16];
    for (int i = 0; i < CALLS; i++) {
        snprintf(names[i], sizeof(names[i]), "g%d", i);
        offset_fetch_request_group_init(&groups[i]);
        groups[i].group_id = bytes_str(names[i]);
        groups[i].topics = NULL;
        in[i].group = &groups[i];
        rig_call_begin(&calls[i], GROUP_FETCH, 8, groups[i].group_id, &in[i]);
        for (int k = 0; k < i % 3; k++)
            rig_turn_some(1);
        coordinator_call_abandon(&calls[i].c);
        coordinator_call_abandon(&calls[i].c);
    }
    for (int i = 0; i < CALLS; i++) {
        rig_turn_until(&calls[i].done);
        cr_assert_not_null(calls[i].c.group.response);
        group_call_deinit(&calls[i].c.group);
    }
}
