// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/quorum.h"
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

static void ask_begin(struct node *n, struct ask *a, enum controller_kind kind, const void *request, void *answer)
{
    *a = (struct ask){0};
    arena_init(&a->arena, 64 << 20, NULL, 0);
    a->op = (struct quorum_op){.kind = kind, .request = request, .answer = answer, .arena = &a->arena, .done = asked};
    quorum_submit(n->q, &n->group.shards[0], &a->op);
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
    ask_begin(n, &a, CONTROLLER_CREATE_TOPICS, &in, &out);
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
        ask_begin(&n, &asks[i], CONTROLLER_PRODUCER_IDS, &ids[i], &ids[i]);
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
    ask_begin(&n, &a, CONTROLLER_PRODUCER_IDS, &stale, &stale);
    turns(&n, &a.done);
    cr_assert_eq(a.rc, RC_STALE_BROKER_EPOCH);
    node_close(&n);
    // Ids are given once in a cluster's life.
    node_start(&n);
    stale.broker_epoch = n.registration.broker_epoch;
    ask_begin(&n, &a, CONTROLLER_PRODUCER_IDS, &stale, &stale);
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
