// SPDX-License-Identifier: Apache-2.0
//
// An operator of the cluster scenario who gives the vote back to a node that lost its disk, as `weir admin quorum
// replace` does: the old identity is removed, the new one added, each committed.
#include "cluster_clients.h"

#include "base/assert.h"
#include "model/kerr.h"

struct cluster_replacer {
    struct cluster_clients *all;
    struct cluster_links links;
    struct shard_timer timer;
    struct client_request request;
    uint32_t node; // whose vote it is about
    struct remove_raft_voter_request remove;
    struct add_raft_voter_request add;
    struct add_raft_voter_request_listener listener;
};

enum { DUPLICATE_VOTER = 126, VOTER_NOT_FOUND = 127 };

static void tick(struct shard_timer *t);

static void judge(struct cluster_replacer *r, const char *what, int16_t code, bool there)
{
    struct cluster_world *w = r->all->w;
    struct cluster_node *n = &w->nodes[r->node];
    sim_say(&w->sim, n->machine, "%s its voter: %s", what, kerr_name(code));
    if (code == 0 || there)
        n->vote = n->vote == CLUSTER_VOTE_LOST ? CLUSTER_VOTE_REMOVED : CLUSTER_VOTE_KEPT;
    else if (!kerr_retriable(code) && code != -1 && code != 41 && code != 77 &&
             code != 125) // NOT_CONTROLLER; who was asked is replaced; a power cut took the folder that it had made
        sim_fail(&w->sim, "%s the voter of node %u is answered with %s", what, r->node + 1, kerr_name(code));
}

static void removed(struct client_request *q, enum rc rc, struct bytes body)
{
    struct cluster_replacer *r = container_of(q, struct cluster_replacer, request);
    struct arena a;
    struct remove_raft_voter_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&r->all->w->sim, q, body, &a, &answer))
        judge(r, "removing", answer.error_code, answer.error_code == VOTER_NOT_FOUND);
    arena_deinit(&a);
    cluster_wake_in(r->all, &r->timer, 50 * SIM_MS, tick);
}

static void added(struct client_request *q, enum rc rc, struct bytes body)
{
    struct cluster_replacer *r = container_of(q, struct cluster_replacer, request);
    struct arena a;
    struct add_raft_voter_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(&r->all->w->sim, q, body, &a, &answer))
        judge(r, "adding", answer.error_code, answer.error_code == DUPLICATE_VOTER);
    arena_deinit(&a);
    cluster_wake_in(r->all, &r->timer, 50 * SIM_MS, tick);
}

static void replace(struct cluster_replacer *r)
{
    struct cluster_world *w = r->all->w;
    struct cluster_node *n = &w->nodes[r->node];
    if (n->vote == CLUSTER_VOTE_LOST) {
        remove_raft_voter_request_init(&r->remove);
        r->remove.voter_id = (int32_t)r->node + 1;
        r->remove.voter_directory_id = n->lost_directory;
        r->request.message = &remove_raft_voter_request_message;
        r->request.in = &r->remove;
        r->request.done = removed;
    } else {
        add_raft_voter_request_init(&r->add);
        r->add.timeout_ms = 2000;
        r->add.voter_id = (int32_t)r->node + 1;
        r->add.voter_directory_id = n->directory;
        r->listener = (struct add_raft_voter_request_listener){
            .name = bytes_str("PEER"), .host = bytes_str(n->machine->name), .port = CLUSTER_PEER_PORT};
        r->add.listeners = &r->listener;
        r->add.listeners_count = 1;
        r->request.message = &add_raft_voter_request_message;
        r->request.in = &r->add;
        r->request.done = added;
    }
    client_connection_submit(&r->links.to[cluster_choose(w, -1)], &r->request);
}

static void tick(struct shard_timer *t)
{
    struct cluster_replacer *r = container_of(t, struct cluster_replacer, timer);
    struct cluster_world *w = r->all->w;
    if (w->sim.failed || r->request.busy)
        return;
    cluster_wake_in(r->all, &r->timer, 100 * SIM_MS, tick);
    for (r->node = 0; r->node < w->node_count; r->node++)
        if (w->nodes[r->node].vote != CLUSTER_VOTE_KEPT && w->nodes[r->node].ready) {
            replace(r);
            return;
        }
}

static void *start(struct cluster_clients *all)
{
    struct cluster_replacer *r = cluster_allocate(sizeof(*r));
    r->all = all;
    cluster_links_init(&r->links, all, "replacer");
    client_request_init(&r->request, &remove_raft_voter_request_message, 4000);
    r->request.version_max = INT16_MAX;
    cluster_wake_in(all, &r->timer, 100 * SIM_MS, tick);
    return r;
}

const struct cluster_actor cluster_voters = {.name = "voters", .start = start};
