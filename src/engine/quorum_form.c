// SPDX-License-Identifier: Apache-2.0
//
// How an empty node with peers comes by a cluster. Either it finds one and follows it as an observer, or every node of
// its list says that it is empty too and names the same list; then the lowest id proposes, and nothing begins before all
// of its voters have made the proposal durable. Anything else is waited for, and said.
//
//     empty ----------- a peer belongs to a cluster ------------------------------> observer of it
//       |                                                                              ^
//       +-- proposal of the lowest id --> prepared --- it, or any peer, has begun it --> voter
//                                            |  ^
//                                            +--+ another proposal: nobody has begun the one before
//
// A prepared node keeps a marker beside its metadata; after a restart it is prepared still. Whoever begins has heard
// from every voter that it is prepared, so a voter of a cluster that has begun has lost nothing by being late.
#include "engine/quorum_core.h"

#include <stdio.h>

#include "model/kerr.h"

enum { LOOK_AGAIN_MS = 500, SAY_AGAIN_MS = 10000 };

static const struct peer *peer_at(const struct quorum *q, int32_t node)
{
    return peers_find(q->peers, node);
}

static void dead(struct quorum *q, enum rc rc, const char *text)
{
    trace_error(q->config.trace, "%s", text);
    quorum_dead(q, rc, "the cluster cannot be joined");
}

// ---- waiting ----

static void say_waiting(struct quorum *q, const char *text)
{
    uint64_t now = shard_now_ns(q->shard);
    if (q->form.said_ns && now - q->form.said_ns < SAY_AGAIN_MS * QUORUM_NS_PER_MS)
        return;
    q->form.said_ns = now;
    trace_info(q->config.trace, "this node is empty and waits: %s", text);
}

static void on_timer(struct shard_timer *t)
{
    struct quorum *q = container_of(t, struct quorum, form.timer);
    if (q->forming && !q->dead)
        quorum_form_consider(q);
}

static bool same_list(const struct quorum *q, const struct peer_hello *h)
{
    bool same = h->peer_count == q->config.peer_count;
    for (uint32_t i = 0; same && i < h->peer_count; i++)
        same = h->peers[i] == q->config.peers[i].node;
    return same;
}

// Whether every node of the list has answered, is without a cluster and names the same list; else says what is missing.
// Lists may differ where a cluster grows: only when nobody is left who could belong to one, this is a first start.
static bool all_agree(struct quorum *q)
{
    char missing[160] = "", text[256];
    size_t used = 0;
    int32_t another = NODE_ID_NONE;
    for (uint32_t i = 0; i < q->config.peer_count; i++) {
        int32_t node = q->config.peers[i].node;
        const struct peer *p = peer_at(q, node);
        if (node == q->config.node_id)
            continue;
        if (p->state == PEER_UP && !same_list(q, &p->hello))
            another = node;
        if (p->state != PEER_UP && used < sizeof(missing) - 24)
            used += (size_t)snprintf(missing + used, sizeof(missing) - used, "%s%d", used ? ", " : "", node);
    }
    if (used == 0 && another == NODE_ID_NONE)
        return true;
    if (used == 0) {
        snprintf(text, sizeof(text),
                 "node %d was started with another --peers list than this node; at the first start all must name the same "
                 "nodes",
                 another);
        dead(q, RC_INVALID, text);
        return false;
    }
    snprintf(text, sizeof(text), "no answer from node%s %s yet; a cluster is formed when all of --peers have answered",
             strchr(missing, ',') ? "s" : "", missing);
    say_waiting(q, text);
    return false;
}

// ---- beginning ----

// The folders and the log are of the cluster: Raft begins. `first`: this node need not wait for others to stand.
static void begin(struct quorum *q, bool first)
{
    char text[512] = "";
    enum rc rc = quorum_log_open(q, false, text, sizeof(text));
    if (rc != RC_OK) {
        dead(q, rc, text);
        return;
    }
    q->forming = q->identity.forming = false;
    peers_formed(q->peers);
    q->form.prepared = false;
    shard_timer_cancel(q->shard, &q->form.timer);
    trace_info(q->config.trace, "node %d is %s of cluster %s", q->config.node_id,
               raft_is_voter(raft_voters(&q->raft), q->raft.config.self) ? "a voter" : "an observer",
               q->identity.cluster_id);
    peers_greet_again(q->peers);
    if (first)
        raft_stand_at_once(&q->raft);
    quorum_feed(q, &(struct raft_event){.kind = RAFT_TICK});
    quorum_observers(q);
}

// What was prepared has begun elsewhere, or begins here.
static void begin_prepared(struct quorum *q, bool first)
{
    char text[512] = "";
    memcpy(q->identity.cluster_id, q->form.cluster_id, sizeof(q->identity.cluster_id)); // it may be of an earlier process
    enum rc rc = quorum_format_end(q, text, sizeof(text));
    if (rc == RC_OK)
        begin(q, first);
    else
        dead(q, rc, text);
}

static void join(struct quorum *q, const struct peer_hello *h)
{
    char text[512] = "";
    if (q->config.cluster_id.n && !bytes_eq(q->config.cluster_id, bytes_str(h->cluster_id))) {
        snprintf(text, sizeof(text), "node %d belongs to cluster %.40s, not to %.*s", h->node, h->cluster_id,
                 (int)q->config.cluster_id.n, (const char *)q->config.cluster_id.p);
        dead(q, RC_INCONSISTENT_CLUSTER_ID, text);
        return;
    }
    if (strlen(h->cluster_id) != CLUSTER_ID_CHARS)
        return;
    trace_info(q->config.trace, "node %d belongs to cluster %s: this node joins it without a vote (weir admin quorum "
                                "add gives it one)",
               h->node, h->cluster_id);
    memcpy(q->identity.cluster_id, h->cluster_id, CLUSTER_ID_CHARS + 1);
    enum rc rc = quorum_format(q, NULL, true, text, sizeof(text));
    if (rc == RC_OK)
        begin(q, false);
    else
        dead(q, rc, text);
}

// ---- preparing ----

static enum rc prepare(struct quorum *q, const char *cluster_id, const struct raft_voters *voters)
{
    char text[512] = "";
    bool same = q->form.prepared && strcmp(q->form.cluster_id, cluster_id) == 0 &&
                memcmp(&q->form.voters, voters, sizeof(*voters)) == 0;
    if (same)
        return RC_OK;
    q->form.prepared = false;
    memcpy(q->identity.cluster_id, cluster_id, CLUSTER_ID_CHARS + 1);
    enum rc rc = quorum_format(q, voters, false, text, sizeof(text));
    if (rc != RC_OK) {
        dead(q, rc, text);
        return rc;
    }
    q->form.prepared = true;
    q->form.voters = *voters;
    memcpy(q->form.cluster_id, cluster_id, CLUSTER_ID_CHARS + 1);
    return RC_OK;
}

// ---- the proposer ----

static void voters_wanted(const struct quorum *q, struct raft_voters *out)
{
    *out = (struct raft_voters){0};
    for (uint32_t i = 0; i < q->config.peer_count && out->count < QUORUM_VOTERS_FORMED; i++) {
        int32_t node = q->config.peers[i].node;
        struct uuid directory =
            node == q->config.node_id ? q->identity.directory : peer_at(q, node)->hello.directory;
        out->ids[out->count++] = (struct raft_id){.node = node, .directory = directory};
    }
}

static void propose_to(struct quorum *q, const struct raft_id *to)
{
    struct form_propose_request_voter voters[RAFT_VOTERS_MAX];
    struct form_propose_request m = {
        .cluster_id = bytes_str(q->form.cluster_id), .voters = voters, .voters_count = q->form.voters.count};
    for (uint32_t i = 0; i < q->form.voters.count; i++)
        voters[i] = (struct form_propose_request_voter){.node = q->form.voters.ids[i].node,
                                                        .directory = q->form.voters.ids[i].directory};
    (void)peers_send(q->peers, to->node, &form_propose_request_message, 0, &m, PEER_URGENT);
}

static void draw(struct quorum *q)
{
    if (q->config.cluster_id.n == CLUSTER_ID_CHARS) {
        memcpy(q->form.cluster_id, q->config.cluster_id.p, CLUSTER_ID_CHARS);
        q->form.cluster_id[CLUSTER_ID_CHARS] = 0;
    } else {
        quorum_draw_cluster_id(q, q->form.cluster_id);
    }
}

static void propose(struct quorum *q)
{
    struct raft_voters wanted;
    voters_wanted(q, &wanted);
    bool known = (q->form.proposed || q->form.prepared) && memcmp(&wanted, &q->form.voters, sizeof(wanted)) == 0;
    if (!known) {
        // Some voter is another than before, so nobody can have begun: a new cluster.
        char id[CLUSTER_ID_CHARS + 1];
        draw(q);
        memcpy(id, q->form.cluster_id, sizeof(id));
        memset(q->form.answered, 0, sizeof(q->form.answered));
        if (prepare(q, id, &wanted) != RC_OK)
            return;
    }
    q->form.proposed = true;
    bool all = true;
    for (uint32_t i = 0; i < wanted.count; i++) {
        if (wanted.ids[i].node == q->config.node_id)
            q->form.answered[i] = true;
        else if (!q->form.answered[i])
            propose_to(q, &wanted.ids[i]);
        all = all && q->form.answered[i];
    }
    if (!all)
        return;
    q->identity.formatted = true;
    begin_prepared(q, true);
    struct form_begin_request m = {.cluster_id = bytes_str(q->identity.cluster_id)};
    for (uint32_t i = 0; i < wanted.count && !q->dead; i++)
        if (wanted.ids[i].node != q->config.node_id)
            (void)peers_send(q->peers, wanted.ids[i].node, &form_begin_request_message, 0, &m, PEER_URGENT);
}

// ---- deciding ----

// A peer that belongs to a cluster. What others say they have prepared is no cluster yet.
static const struct peer_hello *cluster_found(const struct quorum *q)
{
    const struct peer_hello *found = NULL;
    for (uint32_t i = 0; i < q->peers->count; i++) {
        const struct peer *p = &q->peers->table[i];
        if (p->state != PEER_UP || p->hello.standing != PEER_FORMED)
            continue;
        if (found && strcmp(found->cluster_id, p->hello.cluster_id) != 0)
            return NULL; // two of them: nobody can tell which
        found = &p->hello;
    }
    return found;
}

void quorum_form_consider(struct quorum *q)
{
    ASSERT(q->forming);
    const struct peer_hello *found = cluster_found(q);
    if (found && q->form.prepared && strcmp(found->cluster_id, q->form.cluster_id) == 0) {
        begin_prepared(q, false);
        return;
    }
    if (found) {
        struct peer_hello h = *found;
        join(q, &h);
        return;
    }
    bool agree = all_agree(q);
    if (agree && q->config.peers[0].node == q->config.node_id)
        propose(q);
    else if (agree)
        say_waiting(q, "all of --peers have answered; the lowest id proposes the cluster");
    if (q->forming && !q->dead)
        shard_timer_set(q->shard, &q->form.timer, shard_now_ns(q->shard) + LOOK_AGAIN_MS * QUORUM_NS_PER_MS, on_timer);
}

void quorum_form_begin(struct quorum *q)
{
    q->form.said_ns = 0;
    shard_timer_set(q->shard, &q->form.timer, shard_now_ns(q->shard) + LOOK_AGAIN_MS * QUORUM_NS_PER_MS, on_timer);
}

// ---- messages ----

static bool cluster_id_take(struct bytes in, char out[CLUSTER_ID_CHARS + 1])
{
    if (in.n != CLUSTER_ID_CHARS || memchr(in.p, 0, in.n))
        return false;
    memcpy(out, in.p, CLUSTER_ID_CHARS);
    out[CLUSTER_ID_CHARS] = 0;
    return true;
}

// Only of the lowest id of the own list, only for the folder this node has, and only while it has no cluster.
static enum rc proposal_judge(struct quorum *q, const struct peer_inlet *in, const struct form_propose_request *m,
                              struct raft_voters *voters)
{
    *voters = (struct raft_voters){0};
    bool own = false;
    if (!q->forming || in->hello.node != q->config.peers[0].node || m->voters_count > QUORUM_VOTERS_FORMED ||
        m->voters_count > q->config.peer_count)
        return RC_INVALID_REQUEST;
    for (uint32_t i = 0; i < m->voters_count; i++) {
        if (m->voters[i].node != q->config.peers[i].node)
            return RC_INVALID_REQUEST;
        voters->ids[voters->count++] = (struct raft_id){.node = m->voters[i].node, .directory = m->voters[i].directory};
        own |= raft_id_eq(voters->ids[i], (struct raft_id){.node = q->config.node_id, .directory = q->identity.directory});
    }
    return own ? RC_OK : RC_INVALID_VOTER_KEY;
}

static void on_propose(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f,
                       struct arena *a)
{
    struct form_propose_request m;
    struct raft_voters voters;
    char id[CLUSTER_ID_CHARS + 1];
    struct dec d = dec_of(f->body);
    if (form_propose_request_decode(&d, f->version, a, &m) != RC_OK || !cluster_id_take(m.cluster_id, id))
        return;
    enum rc rc = proposal_judge(q, in, &m, &voters);
    if (rc == RC_OK)
        rc = prepare(q, id, &voters);
    struct form_answer_request answer = {.cluster_id = bytes_str(id), .error_code = kerr_of(rc)};
    if (!q->dead)
        (void)peers_answer(q->peers, from, &form_answer_request_message, f->correlation, &answer);
}

static void on_answer(struct quorum *q, int32_t node, const struct peer_frame *f, struct arena *a)
{
    struct form_answer_request m;
    struct dec d = dec_of(f->body);
    if (form_answer_request_decode(&d, f->version, a, &m) != RC_OK || !q->forming || !q->form.proposed ||
        !bytes_eq(m.cluster_id, bytes_str(q->form.cluster_id)))
        return;
    for (uint32_t i = 0; i < q->form.voters.count; i++)
        if (q->form.voters.ids[i].node == node)
            q->form.answered[i] = m.error_code == 0;
    quorum_form_consider(q);
}

static void on_begin(struct quorum *q, const struct peer_inlet *in, const struct peer_frame *f, struct arena *a)
{
    struct form_begin_request m;
    struct dec d = dec_of(f->body);
    if (form_begin_request_decode(&d, f->version, a, &m) != RC_OK || !q->forming || !q->form.prepared ||
        in->hello.node != q->config.peers[0].node || !bytes_eq(m.cluster_id, bytes_str(q->form.cluster_id)))
        return;
    q->identity.formatted = true;
    begin_prepared(q, false);
}

void quorum_form_message(struct quorum *q, struct peer_inlet *in, struct peer_route from, const struct peer_frame *f)
{
    struct arena a;
    arena_init(&a, 1 << 16, NULL, 0);
    if (f->key == PEER_FORM_PROPOSE && in)
        on_propose(q, in, from, f, &a);
    else if (f->key == PEER_FORM_BEGIN && in)
        on_begin(q, in, f, &a);
    else if (f->key == PEER_FORM_ANSWER && !in)
        on_answer(q, from.node, f, &a);
    arena_deinit(&a);
}
