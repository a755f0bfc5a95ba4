// SPDX-License-Identifier: Apache-2.0
//
// Boot: identity of the folders, formatting of a new cluster of one, start and end. [boot]
#include "engine/quorum_core.h"

#include <stdio.h>
#include <stdlib.h>

#define METADATA_FOLDER "__cluster_metadata"
// Stands while a node is being formatted: what a crash leaves half done is done again, and nothing else is.
#define FORMATTING_FOLDER "__cluster_metadata.formatting"

static enum rc say(char *text, size_t text_bytes, enum rc rc, const char *what, const char *path)
{
    snprintf(text, text_bytes, "%s %s: %s", what, path, rc_text(rc));
    return rc;
}

void quorum_draw_cluster_id(struct quorum *q, char out[CLUSTER_ID_CHARS + 1])
{
    struct uuid u;
    do {
        io_random(q->shard->io, u.b, sizeof(u.b));
        // A version 4 UUID, as Kafka draws them; one that begins with '-' is trouble on command lines.
        u.b[6] = (uint8_t)((u.b[6] & 0x0f) | 0x40);
        u.b[8] = (uint8_t)((u.b[8] & 0x3f) | 0x80);
        uuid_format(u, out);
    } while (out[0] == '-' || uuid_is_reserved(u));
}

static struct log_dir *dir_at(const struct quorum *q, uint32_t i)
{
    return i < q->config.log_dir_count ? q->config.log_dirs[i] : q->config.metadata_dir;
}

// The metadata folder may stand apart from the log folders, or be one of them.
static uint32_t dir_count(const struct quorum *q)
{
    for (uint32_t i = 0; i < q->config.log_dir_count; i++)
        if (q->config.log_dirs[i] == q->config.metadata_dir)
            return q->config.log_dir_count;
    return q->config.log_dir_count + 1;
}

// Every formatted folder is of one cluster and of this node. *formatted: how many are.
// `any`: their formatting was interrupted before a cluster began, so the cluster they name is none.
static enum rc check_dirs(struct quorum *q, bool any, uint32_t *formatted, char *text, size_t text_bytes)
{
    *formatted = 0;
    for (uint32_t i = 0; i < dir_count(q); i++) {
        const struct log_dir *d = dir_at(q, i);
        if (!d->identity.formatted)
            continue;
        if ((*formatted)++ == 0)
            snprintf(q->identity.cluster_id, sizeof(q->identity.cluster_id), "%.*s", CLUSTER_ID_CHARS,
                     d->identity.cluster_id);
        enum rc rc = log_dir_check(d, any ? d->identity.cluster_id : q->identity.cluster_id, q->config.node_id, text,
                                   text_bytes);
        if (rc != RC_OK)
            return rc;
    }
    if (*formatted && !any && q->config.cluster_id.n && !bytes_eq(q->config.cluster_id, bytes_str(q->identity.cluster_id))) {
        snprintf(text, text_bytes, "%s belongs to cluster %s, not to %.*s", q->config.metadata_dir->path,
                 q->identity.cluster_id, (int)q->config.cluster_id.n, (const char *)q->config.cluster_id.p);
        return RC_INCONSISTENT_CLUSTER_ID;
    }
    return RC_OK;
}

// voters NULL: an observer, whose log begins with what the leader sends. A single one is this node, which needs nobody's
// vote but its own: cast here, it makes it the leader of the first term (raft_form_alone).
static enum rc format_journal(struct quorum *q, const struct raft_voters *voters, char *text, size_t text_bytes)
{
    uint8_t bytes[RAFT_VOTERS_BYTES_MAX];
    size_t n = voters ? raft_voters_encode(voters, bytes) : 0;
    struct journal_hard hard = {.term = voters ? 1 : 0, .vote_node = NODE_ID_NONE};
    if (voters && voters->count == 1) {
        hard.vote_node = voters->ids[0].node;
        hard.vote_directory = voters->ids[0].directory;
    }
    struct journal_entry first = {.index = 1, .term = 1, .type = RAFT_ENTRY_VOTERS, .payload = bytes_of(bytes, n)};
    enum rc rc = journal_format(q->shard->io, q->path, &hard, &first, voters ? 1 : 0);
    return rc == RC_OK ? rc : say(text, text_bytes, rc, "cannot format", q->path);
}

// A folder that looks formatted may owe its names to the page cache of a process that died: they are synced, so that no
// power cut brings back what was before them, above all the marker. Only the metadata's folder is worth a start.
// `formatting`: the names in the metadata's folder are synced when the journal is there, too.
static enum rc prepare_dir(struct quorum *q, struct log_dir *d, bool formatting, char *text, size_t text_bytes)
{
    enum rc rc = RC_OK;
    bool late = formatting && d == q->config.metadata_dir;
    if (!d->identity.formatted || strcmp(d->identity.cluster_id, q->identity.cluster_id) != 0) {
        struct uuid id = d->identity.formatted           ? d->identity.directory_id
                         : d == q->config.metadata_dir ? q->identity.directory
                                                       : log_dir_draw_id(d);
        rc = log_dir_format(d, q->identity.cluster_id, q->config.node_id, id);
        if (rc == RC_OK && !late)
            rc = log_dir_sync_names(d);
        return rc == RC_OK ? rc : say(text, text_bytes, rc, "cannot format", d->path);
    }
    if (!late)
        rc = log_dir_sync_names(d);
    if (rc != RC_OK && d == q->config.metadata_dir)
        return say(text, text_bytes, rc, "cannot sync", d->path);
    if (rc != RC_OK)
        log_dir_fail(d, q->shard->io, rc, "syncing", d->path);
    return RC_OK;
}

static enum rc marker_path(const struct quorum *q, char out[IO_PATH_BYTES_MAX], char *text, size_t text_bytes)
{
    const char *home = q->config.metadata_dir->path;
    int n = snprintf(out, IO_PATH_BYTES_MAX, "%s/%s", home, FORMATTING_FOLDER);
    return n < IO_PATH_BYTES_MAX ? RC_OK : say(text, text_bytes, RC_INVALID, "path too long:", home);
}

enum rc quorum_format(struct quorum *q, const struct raft_voters *voters, bool begin, char *text, size_t text_bytes)
{
    struct io *io = q->shard->io;
    char marker[IO_PATH_BYTES_MAX];
    enum rc rc = marker_path(q, marker, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    rc = io_make_dir(io, marker);
    if (rc == RC_OK || rc == RC_EXISTS)
        rc = io_sync_dir_now(io, q->config.metadata_dir->path);
    if (rc != RC_OK)
        return say(text, text_bytes, rc, "cannot format", q->config.metadata_dir->path);
    for (uint32_t i = 0; i < dir_count(q); i++) {
        rc = prepare_dir(q, dir_at(q, i), true, text, text_bytes);
        if (rc != RC_OK)
            return rc;
    }
    rc = format_journal(q, voters, text, text_bytes);
    if (rc == RC_OK) {
        rc = log_dir_sync_names(q->config.metadata_dir);
        if (rc != RC_OK)
            return say(text, text_bytes, rc, "cannot format", q->config.metadata_dir->path);
    }
    return rc == RC_OK && begin ? quorum_format_end(q, text, text_bytes) : rc;
}

// The marker goes: from here on this is a folder of a cluster.
enum rc quorum_format_end(struct quorum *q, char *text, size_t text_bytes)
{
    struct io *io = q->shard->io;
    char marker[IO_PATH_BYTES_MAX];
    enum rc rc = marker_path(q, marker, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    rc = io_remove_now(io, marker);
    if (rc == RC_OK) // a marker that came back would format once more
        rc = log_dir_sync_names(q->config.metadata_dir);
    q->identity.formatted = true;
    return rc == RC_OK ? rc : say(text, text_bytes, rc, "cannot format", q->config.metadata_dir->path);
}

// A cluster of one, at once.
static enum rc format_alone(struct quorum *q, char *text, size_t text_bytes)
{
    if (q->identity.cluster_id[0] == 0 && q->config.cluster_id.n == CLUSTER_ID_CHARS)
        memcpy(q->identity.cluster_id, q->config.cluster_id.p, CLUSTER_ID_CHARS);
    else if (q->identity.cluster_id[0] == 0)
        quorum_draw_cluster_id(q, q->identity.cluster_id);
    struct raft_voters voters = {.count = 1,
                                 .ids = {{.node = q->config.node_id, .directory = q->identity.directory}}};
    enum rc rc = quorum_format(q, &voters, true, text, text_bytes);
    q->formed_alone = rc == RC_OK;
    return rc;
}

// ---- what a start finds prepared ----

static enum rc prepared_snapshot(void *context, const struct journal_mark *mark)
{
    (void)context, (void)mark;
    return RC_INVALID;
}

static enum rc prepared_piece(void *context, const struct journal_mark *mark, struct bytes piece)
{
    (void)context, (void)mark, (void)piece;
    return RC_INVALID;
}

static enum rc prepared_entry(void *context, const struct journal_entry *e)
{
    struct raft_voters *voters = context;
    return e->index == 1 && e->type == RAFT_ENTRY_VOTERS ? raft_voters_decode(e->payload, voters) : RC_INVALID;
}

// The proposal that this node made durable before it ended; false: it had not come so far, and nobody was told it had.
static bool read_prepared(struct quorum *q)
{
    char why[256];
    struct journal j = {0};
    struct journal_visitor v = {.context = &q->form.voters,
                                .snapshot = prepared_snapshot,
                                .piece = prepared_piece,
                                .entry = prepared_entry};
    bool formatted = true;
    for (uint32_t i = 0; i < dir_count(q); i++)
        formatted = formatted && dir_at(q, i)->identity.formatted &&
                    strcmp(dir_at(q, i)->identity.cluster_id, q->config.metadata_dir->identity.cluster_id) == 0;
    if (!formatted || !journal_exists(q->shard->io, q->path) ||
        journal_open(&j, q->shard->io, q->config.trace, q->path, &v, why, sizeof(why)) != RC_OK)
        return false;
    journal_close(&j);
    if (q->form.voters.count == 0)
        return false; // an observer on its way: it asks again
    snprintf(q->form.cluster_id, sizeof(q->form.cluster_id), "%.*s", CLUSTER_ID_CHARS,
             q->config.metadata_dir->identity.cluster_id);
    return true;
}

// Formats what has to be: a new cluster, one whose formatting was interrupted, or a folder added to this node.
static enum rc identify(struct quorum *q, char *text, size_t text_bytes)
{
    struct io *io = q->shard->io;
    char marker[IO_PATH_BYTES_MAX];
    const char *home = q->config.metadata_dir->path;
    int n = snprintf(q->path, sizeof(q->path), "%s/%s", home, METADATA_FOLDER);
    if (n >= IO_PATH_BYTES_MAX)
        return say(text, text_bytes, RC_INVALID, "path too long:", home);
    enum rc rc = marker_path(q, marker, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    bool marked = io_exists(io, marker), many = q->config.peer_count > 1;
    uint32_t formatted;
    rc = check_dirs(q, marked && many, &formatted, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    struct log_dir *d = q->config.metadata_dir;
    q->identity.directory = d->identity.formatted ? d->identity.directory_id : log_dir_draw_id(d);
    bool journal = journal_exists(io, q->path);
    if (marked || (formatted == 0 && !journal)) {
        if (!many && marked && read_prepared(q) && q->form.voters.count > 1) {
            // The others may have begun it; one of its own would be a second one.
            snprintf(text, text_bytes,
                     "node %d was about to form cluster %s with %u others: start it with --peers, which names them",
                     q->config.node_id, q->form.cluster_id, q->form.voters.count - 1);
            return RC_INVALID;
        }
        if (!many)
            return format_alone(q, text, text_bytes);
        q->forming = q->identity.forming = true;
        q->form.prepared = marked && read_prepared(q);
        q->identity.cluster_id[0] = 0;
        return RC_OK;
    }
    if (!journal || !d->identity.formatted) {
        snprintf(text, text_bytes,
                 "the folders of node %d are of cluster %s, but its metadata is not in %s: give the folder it was in "
                 "(metadata.log.dir, or the first of log.dirs), or restore it",
                 q->config.node_id, q->identity.cluster_id, q->path);
        return RC_CORRUPT;
    }
    for (uint32_t i = 0; rc == RC_OK && i < dir_count(q); i++)
        rc = prepare_dir(q, dir_at(q, i), false, text, text_bytes);
    return rc;
}

static void configure(struct quorum *q)
{
    struct config_layers l = {.properties = q->config.properties};
    if (!q->config.snapshot_log_bytes)
        q->config.snapshot_log_bytes =
            (uint64_t)config_broker_int(&l, "metadata.log.max.record.bytes.between.snapshots", 20 << 20);
    if (!q->config.election_timeout_ms)
        q->config.election_timeout_ms = (uint32_t)config_broker_int(&l, "controller.quorum.election.timeout.ms", 1000);
    if (!q->config.heartbeat_ms)
        q->config.heartbeat_ms = q->config.election_timeout_ms / 4 + 1;
    quorum_tend_init(q, &l);
    q->session_ns = (uint64_t)config_broker_int(&l, "broker.session.timeout.ms", 9000) * QUORUM_NS_PER_MS;
    q->beat_every_ns = (uint64_t)config_broker_int(&l, "broker.heartbeat.interval.ms", 2000) * QUORUM_NS_PER_MS;
    if (q->beat_every_ns > q->session_ns / 4)
        q->beat_every_ns = q->session_ns / 4; // two may be lost within a lease's half session
    struct list *lists[] = {&q->queue,   &q->flying,   &q->landed,  &q->away,
                            &q->changes, &q->confirms, &q->readers, &q->remotes};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        list_init(lists[i]);
    arena_init(&q->format_arena, 1 << 16, NULL, 0);
    for (int i = 0; i < QUORUM_TRANSFERS_MAX; i++)
        q->transfers[i].to = raft_id_none();
    q->leader = NODE_ID_NONE;
}

enum rc quorum_create(struct quorum **out, const struct quorum_config *config, char *text, size_t text_bytes)
{
    ASSERT(config->log_dir_count > 0 && config->metadata_dir != NULL);
    *out = NULL;
    struct quorum *q = calloc(1, sizeof(*q));
    if (!q)
        return say(text, text_bytes, RC_NOMEM, "cannot start", "the quorum");
    q->config = *config;
    q->shard = config->shard;
    configure(q);
    q->identity.node_id = config->node_id;
    io_random(q->shard->io, q->identity.incarnation.b, sizeof(q->identity.incarnation.b));
    enum rc rc = identify(q, text, text_bytes);
    if (rc == RC_OK && config->peer_count > 0) {
        q->held = true;
        rc = quorum_peers_open(q, text, text_bytes);
    }
    if (rc != RC_OK) {
        if (q->peers && q->peers->listening)
            peers_close(q->peers);
        free(q->peers);
        arena_deinit(&q->tend.arena);
        arena_deinit(&q->format_arena);
        free(q);
        return rc;
    }
    *out = q;
    return RC_OK;
}

// No cluster yet: a core that is nobody's, and an empty image.
static enum rc start_forming(struct quorum *q, char *text, size_t text_bytes)
{
    struct raft_config c = {.self = {.node = q->config.node_id, .directory = q->identity.directory},
                            .election_timeout_ms = q->config.election_timeout_ms,
                            .heartbeat_ms = q->config.heartbeat_ms};
    q->image = image_create();
    enum rc rc = q->image ? raft_init(&q->raft, &c, &(struct raft_hard_state){.vote = raft_id_none()},
                                      &(struct raft_snapshot){0})
                          : RC_NOMEM;
    return rc == RC_OK ? rc : say(text, text_bytes, rc, "cannot start", "the quorum");
}

// Without peers nobody else is heard, and what a quorum has to decide would wait for ever.
static enum rc check_alone(const struct quorum *q, char *text, size_t text_bytes)
{
    const struct raft_voters *v = raft_voters(&q->raft);
    if (v->count == 1 && raft_id_eq(v->ids[0], q->raft.config.self))
        return RC_OK;
    snprintf(text, text_bytes,
             "node %d is one of several of cluster %s: start it with --peers, which names it and where others are",
             q->config.node_id, q->identity.cluster_id);
    return RC_INVALID;
}

enum rc quorum_start(struct quorum *q, char *text, size_t text_bytes)
{
    ASSERT(!q->started);
    enum rc rc = q->forming ? start_forming(q, text, text_bytes) : quorum_log_open(q, q->formed_alone, text, text_bytes);
    if (rc == RC_OK && !q->peers)
        rc = check_alone(q, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    quorum_first_images(q);
    q->started = true;
    if (q->peers)
        peers_start(q->peers);
    if (q->formed_alone)
        raft_form_alone(&q->raft);
    if (q->forming) {
        quorum_form_begin(q);
        quorum_wake(q);
        return RC_OK;
    }
    if (q->image->index > q->raft.applied)
        quorum_feed(q, &(struct raft_event){.kind = RAFT_APPLIED, .index = q->image->index});
    quorum_feed(q, &(struct raft_event){.kind = RAFT_TICK});
    return RC_OK;
}

static void abandon(struct list *l)
{
    while (!list_empty(l)) {
        struct quorum_op *op = container_of(list_pop_front(l), struct quorum_op, link);
        op->done(op, RC_NOT_CONTROLLER);
    }
}

// Nothing new begins, and what is in flight ends.
static void quiesce(struct quorum *q)
{
    if (q->started) {
        shard_timer_cancel(q->shard, &q->timer);
        shard_timer_cancel(q->shard, &q->form.timer);
        shard_defer_cancel(q->shard, &q->work);
    }
    q->started = false;
    q->dead = true;
    if (q->peers)
        peers_close(q->peers);
    if (q->journal_open && journal_stands_still(&q->journal))
        journal_give_up(&q->journal);
    while (q->journal_open && journal_busy(&q->journal))
        io_poll(q->shard->io, -1);
    if (q->snapshot.running)
        shard_job_cancel(q->shard, &q->snapshot.job);
    while (q->snapshot.running && io_op_busy(&q->snapshot.file.op))
        io_poll(q->shard->io, -1);
    if (q->snapshot.running)
        journal_snapshot_abandon(&q->snapshot.file);
    quorum_transfer_end_all(q);
}

void quorum_destroy(struct quorum *q)
{
    if (!q)
        return;
    quiesce(q);
    quorum_apply_drop(q);
    quorum_draft_drop(q);
    struct list *lists[] = {&q->queue, &q->flying, &q->landed, &q->away, &q->changes, &q->confirms};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        abandon(lists[i]);
    while (!list_empty(&q->readers))
        quorum_detach(q, container_of(q->readers.head.next, struct quorum_reader, link));
    image_unref(q->snapshot.image);
    buf_deinit(&q->snapshot.piece);
    image_unref(q->image);
    if (q->journal_open) {
        while (io_op_busy(&q->journal.remove_op))
            io_poll(q->shard->io, -1);
        journal_close(&q->journal);
    }
    raft_deinit(&q->raft);
    quorum_brokers_free(q);
    if (q->self.registration)
        arena_deinit(&q->self.registration->arena);
    if (q->self.leave_asked)
        arena_deinit(&q->self.leave_arena);
    free(q->peers);
    arena_deinit(&q->tend.arena);
    arena_deinit(&q->format_arena);
    free(q);
}
