// SPDX-License-Identifier: Apache-2.0
//
// Whom a quorum's transport lets in, when two processes say that they are the same node.
#include <criterion/criterion.h>

#include "engine/quorum_core.h"

static const struct uuid old_folder = {{1}}, new_folder = {{2}}, old_life = {{3}}, new_life = {{4}};
enum { SELF = 1, LEADER = 2, OTHER = 3, EPOCH = 70 };

// Node 1, whose image has node 3 unfenced with its old folder. It votes with node 2, and has missed that node 3 was given
// its vote back with a new folder.
struct world {
    struct io *io;
    struct shard_group group;
    struct quorum q;
    struct peers peers;
    struct image image;
    struct image_node other;
    struct raft_set set;
};

static void world_open(struct world *w)
{
    memset(w, 0, sizeof(*w));
    struct io_config c = {.engine = IO_ENGINE_AUTO};
    cr_assert_eq(io_create(&w->io, &c), RC_OK);
    cr_assert_eq(shard_group_create(&w->group, &w->io, 1, 64, NULL), RC_OK);
    w->other = (struct image_node){.id = OTHER,
                                   .incarnation = old_life,
                                   .broker_epoch = EPOCH,
                                   .directory_count = 1,
                                   .directories = &old_folder};
    w->image.nodes[0] = &w->other;
    w->image.node_count = 1;
    w->set.voters = (struct raft_voters){.count = 2, .ids = {{.node = SELF}, {.node = LEADER}}};
    w->peers.config.shard = &w->group.shards[0];
    w->q.shard = &w->group.shards[0];
    w->q.image = &w->image;
    w->q.peers = &w->peers;
    w->q.session_ns = 9000 * QUORUM_NS_PER_MS;
    w->q.config.node_id = SELF;
    strcpy(w->q.identity.cluster_id, "cluster");
    w->q.raft.sets = &w->set;
    w->q.raft.set_count = 1;
    w->q.raft.role = RAFT_FOLLOWER;
    w->q.raft.leader = raft_id_none();
}

static void world_close(struct world *w)
{
    shard_group_destroy(&w->group);
    io_destroy(w->io);
}

static enum rc judged(struct world *w, struct uuid folder, struct uuid life, int64_t epoch)
{
    char why[PEER_REASON_BYTES] = "";
    struct peer_hello h = {.cluster_id = "cluster",
                           .node = OTHER,
                           .directory = folder,
                           .incarnation = life,
                           .broker_epoch = epoch,
                           .standing = PEER_FORMED};
    enum rc rc = quorum_peers_judge(&w->q, &h, why, sizeof(why));
    cr_assert_eq(rc == RC_OK, why[0] == 0);
    return rc;
}

static void follow(struct world *w, uint64_t heard_ns_ago)
{
    w->q.raft.leader = (struct raft_id){.node = LEADER};
    w->q.raft.leader_lost = false;
    w->q.raft.leader_heard_ms = (shard_now_ns(w->q.shard) - heard_ns_ago) / QUORUM_NS_PER_MS;
}

static struct peer *dead_peer(struct world *w, int32_t node, struct uuid life)
{
    struct peer *p = &w->peers.table[w->peers.count++];
    *p = (struct peer){.node = node, .in_use = true, .hello = {.node = node, .incarnation = life}};
    return p;
}

// It was started anew, and leads, before this node heard that it had died.
Test(quorum_peers, the_death_of_a_leaders_earlier_life_begins_no_election)
{
    static struct world w;
    world_open(&w);
    const struct peer *p = dead_peer(&w, LEADER, old_life);
    follow(&w, 0);
    w.q.leader_incarnation = old_life;
    cr_assert(quorum_peers_was_leader(&w.q, p));
    w.q.leader_incarnation = new_life;
    cr_assert_not(quorum_peers_was_leader(&w.q, p));
    w.q.leader_incarnation = old_life;
    w.q.raft.role = RAFT_CANDIDATE;
    cr_assert_not(quorum_peers_was_leader(&w.q, p), "this node follows nobody");
    w.q.raft.role = RAFT_FOLLOWER;
    w.q.raft.leader.node = OTHER;
    cr_assert_not(quorum_peers_was_leader(&w.q, p));
    world_close(&w);
}

Test(quorum_peers, a_death_says_nothing_of_who_is_registered_since)
{
    static struct world w;
    world_open(&w);
    const struct peer *p = dead_peer(&w, OTHER, old_life), *stranger = dead_peer(&w, LEADER, old_life);
    cr_assert(quorum_peers_was_registered(&w.q, p));
    cr_assert_not(quorum_peers_was_registered(&w.q, stranger), "the image has no such node");
    w.other.incarnation = new_life;
    cr_assert_not(quorum_peers_was_registered(&w.q, p));
    world_close(&w);
}

// Its vote may be the one that is missing: simulator, cluster, seed 87000034 with 40 faults.
Test(quorum_peers, a_folder_of_its_own_is_let_in_where_no_controller_is_heard)
{
    static struct world w;
    world_open(&w);
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    w.q.raft.role = RAFT_PRE_CANDIDATE;
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    // A leader that has committed nothing may have an image that lacks what its log has.
    w.q.raft.role = RAFT_LEADER;
    w.q.raft.leader = (struct raft_id){.node = SELF};
    w.q.raft.term_first_index = w.q.raft.commit + 1;
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    w.q.raft.role = RAFT_FOLLOWER;
    follow(&w, 0);
    w.q.raft.leader_lost = true;
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    follow(&w, w.q.session_ns); // an observer does not stand, and forgets nobody
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    world_close(&w);
}

Test(quorum_peers, under_a_controller_a_second_process_of_a_live_id_is_refused)
{
    static struct world w;
    world_open(&w);
    follow(&w, 0);
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_DUPLICATE_BROKER_REGISTRATION);
    cr_assert_eq(judged(&w, new_folder, new_life, EPOCH + 1), RC_OK, "the controller knows it");
    cr_assert_eq(judged(&w, old_folder, new_life, -1), RC_OK, "the folder's lock proves the old one dead");
    cr_assert_eq(judged(&w, old_folder, old_life, EPOCH), RC_OK, "it is the one");
    w.other.fenced = true;
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    w.other.fenced = false;
    w.q.raft.role = RAFT_LEADER;
    w.q.raft.leader = (struct raft_id){.node = SELF};
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_DUPLICATE_BROKER_REGISTRATION);
    world_close(&w);
}

Test(quorum_peers, without_a_controller_who_is_connected_keeps_its_id)
{
    static struct world w;
    world_open(&w);
    struct peer *p = &w.peers.table[w.peers.count++];
    *p = (struct peer){.node = OTHER,
                       .in_use = true,
                       .state = PEER_UP,
                       .owner = &w.peers,
                       .heard_ns = shard_now_ns(w.q.shard),
                       .hello = {.node = OTHER, .directory = old_folder, .incarnation = old_life}};
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_DUPLICATE_BROKER_REGISTRATION);
    cr_assert_eq(judged(&w, old_folder, old_life, EPOCH), RC_OK);
    p->state = PEER_DOWN;
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    // Its own earlier life, whose end nobody has noticed.
    p->state = PEER_UP;
    p->hello.directory = new_folder;
    cr_assert_eq(judged(&w, new_folder, new_life, -1), RC_OK);
    world_close(&w);
}

static uint32_t named(const struct world *w, uint64_t since_ns)
{
    int32_t out[2] = {NODE_ID_NONE, NODE_ID_NONE};
    uint32_t n = quorum_fenced_nodes(&w->q, shard_now_ns(w->q.shard), since_ns, out, 2);
    cr_assert(n == 0 || (n == 1 && out[0] == OTHER));
    return n;
}

// The image in which the other node is fenced or not, after the one before.
static void becomes(struct world *w, bool fenced, bool in_shutdown)
{
    struct image_node node = w->other;
    struct image fresh = w->image;
    node.fenced = fenced;
    node.in_shutdown = in_shutdown;
    fresh.nodes[0] = &node;
    quorum_met_nodes(&w->q, &fresh);
    w->other = node;
}

Test(quorum_peers, who_is_fenced_without_a_good_bye_is_named_to_those_who_have_not_heard_since)
{
    static struct world w;
    world_open(&w);
    cr_assert_eq(named(&w, 0), 0);
    becomes(&w, true, false);
    uint64_t gone = shard_now_ns(w.q.shard);
    cr_assert_eq(named(&w, 0), 1);
    cr_assert_eq(named(&w, gone - 1), 1);
    cr_assert_eq(named(&w, gone), 0, "told in the turn in which it was known");
    becomes(&w, false, false);
    cr_assert_eq(named(&w, 0), 0, "it is back");
    // What counts is when it was known here, not when the controller said so.
    quorum_met_lost(&w.q, OTHER, w.q.session_ns);
    cr_assert_eq(named(&w, 0), 0, "nobody says yet that it is fenced");
    uint64_t lost = w.q.met[0].gone_ns;
    cr_assert_neq(lost, 0);
    w.q.met[0].gone_ns = lost - 5;
    becomes(&w, true, false);
    cr_assert_eq(named(&w, lost - 6), 1);
    cr_assert_eq(named(&w, lost - 5), 0);
    w.q.met[0].fenced_ns = 1;
    cr_assert_eq(named(&w, 0), 0, "that was long ago");
    world_close(&w);
}

Test(quorum_peers, who_leaves_in_order_or_was_only_cut_off_is_not_named)
{
    static struct world w;
    world_open(&w);
    becomes(&w, false, true);
    becomes(&w, true, true);
    cr_assert_eq(named(&w, 0), 0, "its partitions had moved before");
    becomes(&w, false, false);
    quorum_met_lost(&w.q, OTHER, w.q.session_ns);
    quorum_met_lost(&w.q, OTHER, 0);
    cr_assert_eq(w.q.met[0].gone_ns, 0, "met again");
    world_close(&w);
}

Test(quorum_peers, an_id_is_given_up_when_it_was_taken_for_longer_than_a_dead_process_could_take_it)
{
    static struct world w;
    world_open(&w);
    struct quorum_self *s = &w.q.self;
    cr_assert(quorum_self_patient(&w.q));
    cr_assert_neq(s->duplicate_ns, 0);
    s->duplicate_ns -= w.q.session_ns;
    cr_assert(quorum_self_patient(&w.q), "its session may just have ended");
    uint64_t since = s->duplicate_ns -= 3000 * QUORUM_NS_PER_MS;
    s->duplicate_last_ns -= 3001 * QUORUM_NS_PER_MS;
    cr_assert(quorum_self_patient(&w.q), "nobody has said so for a while: silence is no answer");
    cr_assert_gt(s->duplicate_ns, since);
    s->duplicate_ns = since;
    cr_assert_not(quorum_self_patient(&w.q));
    world_close(&w);
}
