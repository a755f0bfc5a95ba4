// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/quorum.h"
#include "quorum_ask.h"
#include "wire/messages.h"

// One node of one shard in a folder of its own.
struct node {
    char folder[64], data[80];
    struct io *io;
    struct shard_group group;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct quorum *q;
    struct quorum_reader reader;
    struct quorum_registration registration;
    struct image_listener listener;
    unsigned images;
    enum rc registered, open_rc;
    bool done;
    char text[1024];
    uint64_t snapshot_log_bytes;
};

static int remove_one(const char *path, const struct stat *s, int flag, struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static void node_make(struct node *n)
{
    memset(n, 0, sizeof(*n));
    strcpy(n->folder, "/tmp/weir-quorum-XXXXXX");
    cr_assert_not_null(mkdtemp(n->folder));
    snprintf(n->data, sizeof(n->data), "%s/data", n->folder);
}

static void node_forget(struct node *n)
{
    nftw(n->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void on_image(struct quorum_reader *r, const struct image *old, const struct image *image)
{
    struct node *n = container_of(r, struct node, reader);
    cr_assert_eq(old == NULL, n->images == 0);
    cr_assert(n->images > 0 || image->changes.everything);
    cr_assert_eq(r->image, image);
    n->images++;
}

static void on_registered(struct quorum_registration *r, enum rc rc)
{
    struct node *n = container_of(r, struct node, registration);
    n->registered = rc;
    n->done = true;
}

static void turns(struct node *n, const bool *until)
{
    for (int i = 0; i < 20000 && !*until; i++)
        shard_turn(&n->group.shards[0], 1000000);
    cr_assert(*until, "it takes too long");
}

static enum rc node_open(struct node *n, int32_t id)
{
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    cr_assert_eq(io_create(&n->io, &c), RC_OK);
    cr_assert_eq(shard_group_create(&n->group, &n->io, 1, 64, NULL), RC_OK);
    cr_assert_eq(log_dir_open(&n->dir, n->io, NULL, n->data, n->text, sizeof(n->text)), RC_OK, "%s", n->text);
    n->dirs[0] = &n->dir;
    struct quorum_config qc = {.shard = &n->group.shards[0],
                               .node_id = id,
                               .log_dirs = n->dirs,
                               .log_dir_count = 1,
                               .metadata_dir = &n->dir,
                               .snapshot_log_bytes = n->snapshot_log_bytes};
    enum rc rc = quorum_create(&n->q, &qc, n->text, sizeof(n->text));
    if (rc == RC_OK) {
        n->reader.changed = on_image;
        n->images = 0;
        quorum_attach(n->q, &n->group.shards[0], &n->reader);
        rc = quorum_start(n->q, n->text, sizeof(n->text));
    }
    return rc;
}

static void node_close(struct node *n)
{
    quorum_destroy(n->q);
    n->q = NULL;
    log_dir_close(&n->dir);
    shard_group_destroy(&n->group);
    io_destroy(n->io);
}

static void node_register(struct node *n)
{
    n->done = false;
    n->listener = (struct image_listener){.name = "PLAINTEXT", .host = "127.0.0.1", .port = 9092};
    n->registration = (struct quorum_registration){
        .listeners = &n->listener, .listener_count = 1, .logs_whole = true, .done = on_registered};
    quorum_register(n->q, &n->registration);
    turns(n, &n->done);
    cr_assert_eq(n->registered, RC_OK);
}

static void node_start(struct node *n)
{
    cr_assert_eq(node_open(n, 1), RC_OK, "%s", n->text);
    node_register(n);
}

static void create_topic(struct node *n, const char *name, int32_t partitions, int16_t expected)
{
    struct create_topics_request in;
    struct create_topics_response out;
    struct create_topics_request_topic topic;
    create_topics_request_init(&in);
    create_topics_request_topic_init(&topic);
    topic.name = bytes_str(name);
    topic.num_partitions = partitions;
    topic.replication_factor = -1;
    in.topics = &topic;
    in.topics_count = 1;
    struct ask a;
    ask_begin(&a, n->q, &n->group.shards[0], CONTROLLER_CREATE_TOPICS, &in, &out);
    turns(n, &a.done);
    cr_assert_eq(a.rc, RC_OK);
    cr_assert_eq(out.topics[0].error_code, expected, "%.*s", (int)out.topics[0].error_message.n,
                 (const char *)out.topics[0].error_message.p);
    if (expected == 0) {
        // Answered means readable here.
        const struct image_topic *t = image_topic_by_name(n->reader.image, bytes_str(name));
        cr_assert_not_null(t);
        cr_assert(uuid_eq(t->id, out.topics[0].topic_id));
        cr_assert_eq(t->partition_count, partitions);
        cr_assert_eq(image_partition(t, 0)->leader, 1);
    }
    arena_deinit(&a.arena);
}

Test(quorum, a_fresh_node_forms_a_cluster_and_remembers_it)
{
    struct node n;
    node_make(&n);
    node_start(&n);
    char cluster[CLUSTER_ID_CHARS + 1];
    strcpy(cluster, quorum_identity(n.q)->cluster_id);
    cr_assert_eq(strlen(cluster), CLUSTER_ID_CHARS);
    cr_assert(quorum_identity(n.q)->formatted);
    cr_assert_eq(image_feature_level(n.reader.image, FEATURE_METADATA_VERSION), METADATA_VERSION_MAX);
    create_topic(&n, "orders", 3, 0);
    create_topic(&n, "orders", 3, 36);
    create_topic(&n, "bad name", 3, 17);
    const struct image_node *node = image_node(n.reader.image, 1);
    int64_t epoch = node->broker_epoch;
    cr_assert_not(node->fenced);
    cr_assert_eq(n.registration.broker_epoch, epoch);
    struct uuid id = image_topic_by_name(n.reader.image, bytes_str("orders"))->id;
    node_close(&n);

    cr_assert_eq(node_open(&n, 1), RC_OK, "%s", n.text);
    cr_assert_str_eq(quorum_identity(n.q)->cluster_id, cluster);
    cr_assert_not(quorum_identity(n.q)->formatted);
    // The first image, inside quorum_start(), is whole.
    const struct image_topic *t = image_topic_by_name(n.reader.image, bytes_str("orders"));
    cr_assert_not_null(t);
    cr_assert(uuid_eq(t->id, id));
    cr_assert_eq(image_partition(t, 2)->leader_epoch, 0);
    node_register(&n);
    // Another life of the same leader: a new broker epoch and new leader epochs.
    cr_assert_gt(image_node(n.reader.image, 1)->broker_epoch, epoch);
    t = image_topic_by_name(n.reader.image, bytes_str("orders"));
    for (int32_t p = 0; p < 3; p++) {
        cr_assert_eq(image_partition(t, p)->leader, 1);
        cr_assert_eq(image_partition(t, p)->leader_epoch, 1);
    }
    node_close(&n);
    node_forget(&n);
}

Test(quorum, another_node_id_is_refused_with_both_named)
{
    struct node n;
    node_make(&n);
    node_start(&n);
    node_close(&n);
    cr_assert_neq(node_open(&n, 7), RC_OK);
    cr_assert(strstr(n.text, "1") && strstr(n.text, "7"), "%s", n.text);
    node_close(&n);
    cr_assert_eq(node_open(&n, 1), RC_OK, "%s", n.text);
    node_close(&n);
    node_forget(&n);
}

Test(quorum, requests_that_wait_are_decided_together_and_in_order)
{
    struct node n;
    node_make(&n);
    node_start(&n);
    uint64_t before = n.reader.image->index;
    enum { COUNT = 50 };
    static struct ask asks[COUNT];
    static struct controller_producer_ids ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        ids[i] = (struct controller_producer_ids){.node = 1, .broker_epoch = n.registration.broker_epoch};
        ask_begin(&asks[i], n.q, &n.group.shards[0], CONTROLLER_PRODUCER_IDS, &ids[i], &ids[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        turns(&n, &asks[i].done);
        cr_assert_eq(asks[i].rc, RC_OK);
        cr_assert_eq(ids[i].first, i * PRODUCER_ID_BLOCK);
        arena_deinit(&asks[i].arena);
    }
    cr_assert_leq(n.reader.image->index, before + 2, "one batch, or two");
    struct controller_producer_ids stale = {.node = 1, .broker_epoch = 1};
    struct ask a;
    ask_begin(&a, n.q, &n.group.shards[0], CONTROLLER_PRODUCER_IDS, &stale, &stale);
    turns(&n, &a.done);
    cr_assert_eq(a.rc, RC_STALE_BROKER_EPOCH);
    node_close(&n);
    // Ids are given once in a cluster's life.
    node_start(&n);
    stale.broker_epoch = n.registration.broker_epoch;
    ask_begin(&a, n.q, &n.group.shards[0], CONTROLLER_PRODUCER_IDS, &stale, &stale);
    turns(&n, &a.done);
    cr_assert_eq(stale.first, COUNT * PRODUCER_ID_BLOCK);
    node_close(&n);
    node_forget(&n);
}

Test(quorum, snapshots_replace_the_log)
{
    struct node n;
    node_make(&n);
    n.snapshot_log_bytes = 20000;
    node_start(&n);
    char name[32];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "topic-%d", i);
        create_topic(&n, name, 4, 0);
    }
    struct quorum_status s;
    quorum_status(n.q, &s);
    cr_assert_gt(s.snapshot_index, 50);
    struct image *last = image_begin(n.reader.image);
    node_close(&n);
    cr_assert_eq(node_open(&n, 1), RC_OK, "%s", n.text);
    cr_assert_lt(quorum_identity(n.q)->replayed_bytes, 3 * n.snapshot_log_bytes);
    cr_assert_gt(quorum_identity(n.q)->snapshot_bytes, 1000);
    cr_assert_eq(n.reader.image->topic_count, 200);
    cr_assert(image_equal(n.reader.image, last), "replay through a snapshot gives the same image");
    node_register(&n);
    create_topic(&n, "one-more", 1, 0);
    image_unref(last);
    node_close(&n);
    node_forget(&n);
}

// ---- several shards, turned by hand in one thread ----

struct pair {
    struct io *ios[2];
    struct shard_group group;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct quorum *q;
    struct quorum_reader readers[2];
    uint64_t told[2];   // newest index a reader was told of
    uint32_t topics[2]; // and the topics it knows from the changes it was told
    bool everything;
};

static void on_pair_image(struct quorum_reader *r, const struct image *old, const struct image *image)
{
    struct pair *p = r->shard->owner;
    size_t s = r->shard->id;
    cr_assert_geq(image->index, p->told[s]);
    cr_assert(old == NULL || old->index <= image->index);
    p->told[s] = image->index;
    if (image->changes.everything) {
        p->topics[s] = image->topic_count;
        p->everything = true;
        return;
    }
    for (uint32_t i = 0; i < image->changes.topic_count; i++)
        p->topics[s] += image->changes.topics[i].kind == IMAGE_TOPIC_CREATED;
    cr_assert_eq(p->topics[s], image->topic_count, "changes tell all there is");
}

static void pair_open(struct pair *p, const char *data)
{
    char text[512];
    memset(p, 0, sizeof(*p));
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    for (int i = 0; i < 2; i++)
        cr_assert_eq(io_create(&p->ios[i], &c), RC_OK);
    cr_assert_eq(shard_group_create(&p->group, p->ios, 2, 16, NULL), RC_OK);
    cr_assert_eq(log_dir_open(&p->dir, p->ios[0], NULL, data, text, sizeof(text)), RC_OK, "%s", text);
    p->dirs[0] = &p->dir;
    struct quorum_config qc = {
        .shard = &p->group.shards[0], .node_id = 1, .log_dirs = p->dirs, .log_dir_count = 1, .metadata_dir = &p->dir};
    cr_assert_eq(quorum_create(&p->q, &qc, text, sizeof(text)), RC_OK, "%s", text);
    for (uint32_t i = 0; i < 2; i++) {
        p->group.shards[i].owner = p;
        p->readers[i].changed = on_pair_image;
        quorum_attach(p->q, &p->group.shards[i], &p->readers[i]);
    }
    cr_assert_eq(quorum_start(p->q, text, sizeof(text)), RC_OK, "%s", text);
}

static void pair_close(struct pair *p)
{
    quorum_destroy(p->q);
    log_dir_close(&p->dir);
    shard_group_destroy(&p->group);
    for (int i = 0; i < 2; i++)
        io_destroy(p->ios[i]);
}

struct pair_ask {
    struct quorum_op op;
    struct pair *pair;
    struct arena arena;
    struct create_topics_request in;
    struct create_topics_request_topic topic;
    struct create_topics_response out;
    char name[16];
    uint64_t seen[2];
    bool done;
    enum rc rc;
};

static void pair_asked(struct quorum_op *op, enum rc rc)
{
    struct pair_ask *a = container_of(op, struct pair_ask, op);
    a->rc = rc;
    a->done = true;
    for (int i = 0; i < 2; i++)
        a->seen[i] = a->pair->readers[i].image->index;
}

static void pair_ask(struct pair *p, struct pair_ask *a, int number, uint32_t from)
{
    *a = (struct pair_ask){.pair = p};
    arena_init(&a->arena, 1 << 20, NULL, 0);
    snprintf(a->name, sizeof(a->name), "t%d", number);
    create_topics_request_init(&a->in);
    create_topics_request_topic_init(&a->topic);
    a->topic.name = bytes_str(a->name);
    a->topic.num_partitions = a->topic.replication_factor = 1;
    a->in.topics = &a->topic;
    a->in.topics_count = 1;
    a->op = (struct quorum_op){
        .kind = CONTROLLER_CREATE_TOPICS, .request = &a->in, .answer = &a->out, .arena = &a->arena, .done = pair_asked};
    quorum_submit(p->q, &p->group.shards[from], &a->op);
}

// Registers a broker, so that topics can be placed, and lets both shards come to rest.
static void pair_register(struct pair *p, struct node *folder)
{
    folder->listener = (struct image_listener){.name = "PLAINTEXT", .host = "127.0.0.1", .port = 9092};
    folder->registration = (struct quorum_registration){
        .listeners = &folder->listener, .listener_count = 1, .logs_whole = true, .done = on_registered};
    quorum_register(p->q, &folder->registration);
    for (int i = 0; i < 20000 && (!folder->done || shard_answers_awaited(&p->group.shards[0])); i++) {
        shard_turn(&p->group.shards[0], 100000);
        shard_turn(&p->group.shards[1], 0);
    }
    cr_assert(folder->done && folder->registered == RC_OK);
}

Test(quorum, answers_leave_when_every_shard_reads_the_change)
{
    struct node folder;
    static struct pair p;
    node_make(&folder);
    pair_open(&p, folder.data);
    pair_register(&p, &folder);
    // More requests from the other shard than its mailbox holds, and that shard slower than the quorum's.
    enum { COUNT = 100 };
    static struct pair_ask asks[COUNT];
    for (int i = 0; i < COUNT; i++)
        pair_ask(&p, &asks[i], i, (uint32_t)(i % 4 != 0));
    int left = COUNT;
    for (int turn = 0; turn < 100000 && left > 0; turn++) {
        shard_turn(&p.group.shards[0], 10000);
        if (turn % 7 == 0)
            shard_turn(&p.group.shards[1], 0);
        left = 0;
        for (int i = 0; i < COUNT; i++)
            left += !asks[i].done;
    }
    cr_assert_eq(left, 0);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(asks[i].rc, RC_OK);
        cr_assert_eq(asks[i].out.topics[0].error_code, 0);
        for (int s = 0; s < 2; s++)
            cr_assert_geq(asks[i].seen[s], asks[i].op.index, "shard %d", s);
        arena_deinit(&asks[i].arena);
    }
    for (int s = 0; s < 2; s++)
        cr_assert(p.readers[s].image->topic_count == COUNT && p.topics[s] == COUNT);
    pair_close(&p);
    node_forget(&folder);
}

Test(quorum, a_shard_that_sleeps_is_told_everything_once)
{
    struct node folder;
    static struct pair p;
    node_make(&folder);
    pair_open(&p, folder.data);
    pair_register(&p, &folder);
    p.everything = false;
    enum { COUNT = 60 };
    static struct pair_ask asks[COUNT];
    for (int i = 0; i < COUNT; i++) {
        pair_ask(&p, &asks[i], i, 0);
        struct quorum_status s;
        uint64_t before = p.readers[0].image->index;
        for (int turn = 0; turn < 20000 && p.readers[0].image->index == before; turn++)
            shard_turn(&p.group.shards[0], 100000);
        quorum_status(p.q, &s);
        cr_assert_gt(s.applied_index, before);
        cr_assert_not(asks[i].done, "the other shard has not seen it");
    }
    for (int turn = 0; turn < 1000; turn++) {
        shard_turn(&p.group.shards[1], 0);
        shard_turn(&p.group.shards[0], 0);
    }
    cr_assert(p.everything);
    cr_assert_eq(p.topics[1], COUNT);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(asks[i].done && asks[i].rc == RC_OK);
        arena_deinit(&asks[i].arena);
    }
    pair_close(&p);
    node_forget(&folder);
}

// Commits a change, of this node or of another one, while the other shard sleeps.
static void pair_change(struct pair *p, struct pair_ask *a, bool remote)
{
    struct quorum_status s;
    const uint64_t before = p->readers[0].image->index;
    pair_ask(p, a, 0, 0);
    a->op.local = remote;
    for (int turn = 0; turn < 20000 && (quorum_status(p->q, &s), s.applied_index == before); turn++)
        shard_turn(&p->group.shards[0], 100000);
    cr_assert_gt(s.applied_index, before);
}

Test(quorum, at_rest_nothing_is_sent_to_other_shards)
{
    struct node folder;
    static struct pair p;
    static struct pair_ask ask;
    node_make(&folder);
    pair_open(&p, folder.data);
    pair_register(&p, &folder);
    cr_assert_eq(shard_answers_awaited(&p.group.shards[0]), 0);
    const uint64_t known = p.told[1];
    quorum_rest(p.q);
    pair_change(&p, &ask, true);
    cr_assert_eq(shard_answers_awaited(&p.group.shards[0]), 0, "an image is under way when the threads end");
    shard_turn(&p.group.shards[1], 0);
    cr_assert_eq(p.told[1], known);
    pair_close(&p);
    arena_deinit(&ask.arena);
    node_forget(&folder);
}

// A node whose stop waited for such an answer ended in an assertion: simulator, cluster, seed 77000213 of its time.
Test(quorum, at_rest_no_shard_is_owed_an_answer)
{
    enum { COMMITTED, COMMITTED_TOO, QUEUED, LATE, COUNT };
    struct node folder;
    static struct pair p;
    static struct pair_ask asks[COUNT];
    struct quorum_status s;
    node_make(&folder);
    pair_open(&p, folder.data);
    pair_register(&p, &folder);
    // Committed, and the other shard, which does not turn, has two images to read; and still to be decided.
    for (int i = 0; i < QUEUED; i++) {
        const uint64_t before = p.readers[0].image->index;
        pair_ask(&p, &asks[i], i, 1);
        for (int turn = 0; turn < 20000 && p.readers[0].image->index == before; turn++)
            shard_turn(&p.group.shards[0], 100000);
    }
    pair_ask(&p, &asks[QUEUED], QUEUED, 1);
    quorum_rest(p.q);
    pair_ask(&p, &asks[LATE], LATE, 1);
    cr_assert_eq(shard_answers_awaited(&p.group.shards[1]), COUNT);
    for (int turn = 0; turn < 3; turn++) {
        shard_turn(&p.group.shards[0], 0);
        shard_turn(&p.group.shards[1], 0);
    }
    quorum_status(p.q, &s);
    cr_assert_eq(s.queued, 0);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert_eq(shard_answers_awaited(&p.group.shards[i]), 0, "of shard %u", i);
    for (int i = 0; i < COUNT; i++) {
        cr_assert(asks[i].done && asks[i].rc == RC_NOT_CONTROLLER, "%d: %s", i, rc_name(asks[i].rc));
        arena_deinit(&asks[i].arena);
    }
    pair_close(&p);
    node_forget(&folder);
}

static void stuffing_back(struct shard *on, struct shard_message *m)
{
    (void)on, (void)m;
}

Test(quorum, an_image_waits_for_room_in_a_full_mailbox)
{
    enum { STUFFING_MAX = 64 };
    struct node folder;
    static struct pair p;
    static struct pair_ask ask;
    static struct shard_message stuffing[STUFFING_MAX];
    int stuffed = 0;
    node_make(&folder);
    pair_open(&p, folder.data);
    pair_register(&p, &folder);
    for (enum rc rc = RC_OK; rc == RC_OK && stuffed < STUFFING_MAX; stuffed += rc == RC_OK) {
        stuffing[stuffed] = (struct shard_message){.run = shard_answer, .answered = stuffing_back};
        rc = shard_send(&p.group.shards[0], 1, &stuffing[stuffed]);
    }
    cr_assert_lt(stuffed, STUFFING_MAX);
    pair_change(&p, &ask, false);
    // Nothing else is committed: the shard hears of it as soon as its mailbox has room.
    for (int turn = 0; turn < 1000 && !ask.done; turn++) {
        shard_turn(&p.group.shards[1], 0);
        shard_turn(&p.group.shards[0], 100000);
    }
    cr_assert(ask.done && ask.rc == RC_OK);
    cr_assert_eq(p.told[1], p.told[0]);
    pair_close(&p);
    arena_deinit(&ask.arena);
    node_forget(&folder);
}

Test(quorum, a_request_past_its_deadline_is_answered)
{
    struct node n;
    node_make(&n);
    node_start(&n);
    node_close(&n);
    cr_assert_eq(node_open(&n, 1), RC_OK, "%s", n.text); // not elected yet
    struct controller_producer_ids ids = {.node = 1};
    struct ask a = {0};
    arena_init(&a.arena, 1 << 16, NULL, 0);
    a.op = (struct quorum_op){.kind = CONTROLLER_PRODUCER_IDS,
                              .request = &ids,
                              .answer = &ids,
                              .arena = &a.arena,
                              .deadline_ns = 1,
                              .done = ask_done};
    quorum_submit(n.q, &n.group.shards[0], &a.op);
    turns(&n, &a.done);
    cr_assert_eq(a.rc, RC_TIMED_OUT);
    node_close(&n);
    node_forget(&n);
}

// Alone it has no connections: nobody is waited for.
Test(quorum, a_sign_of_life_of_who_is_not_there_is_not_waited_for)
{
    struct node n;
    node_make(&n);
    cr_assert_eq(node_open(&n, 1), RC_OK, "%s", n.text);
    int32_t others[2] = {2, 3};
    uint64_t echoes[2] = {9, 9};
    struct quorum_confirm confirm = {.nodes = others, .echoes = echoes, .count = 2};
    struct ask a = {0};
    a.op = (struct quorum_op){.kind = QUORUM_CONFIRM, .answer = &confirm, .done = ask_done};
    quorum_submit(n.q, &n.group.shards[0], &a.op);
    cr_assert_not(a.done, "never inside the call");
    turns(&n, &a.done);
    cr_assert(a.done && a.rc == RC_OK);
    node_close(&n);
    node_forget(&n);
}

Test(quorum, an_interrupted_format_is_done_again)
{
    struct node n;
    char path[128];
    node_make(&n);
    node_start(&n);
    node_close(&n);
    // As a crash leaves it between meta.properties and the journal.
    snprintf(path, sizeof(path), "%s/__cluster_metadata", n.data);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    cr_assert_eq(node_open(&n, 1), RC_CORRUPT);
    cr_assert(strstr(n.text, "metadata is not in"), "%s", n.text);
    node_close(&n);
    snprintf(path, sizeof(path), "%s/__cluster_metadata.formatting", n.data);
    cr_assert_eq(mkdir(path, 0700), 0);
    node_start(&n);
    create_topic(&n, "t", 1, 0);
    cr_assert_neq(access(path, F_OK), 0);
    node_close(&n);
    node_start(&n);
    cr_assert_eq(n.reader.image->topic_count, 1);
    node_close(&n);
    node_forget(&n);
}
