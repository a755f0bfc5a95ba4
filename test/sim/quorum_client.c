// SPDX-License-Identifier: Apache-2.0
//
// The client: asks any node that serves for topics, deletions, producer ids and votes, and keeps account of the answers.
#include "quorum_world.h"

#include <stdio.h>
#include <string.h>

static void settle_answer(struct qw_program *g, struct qw_op *o)
{
    struct qw_world *w = g->m->w;
    struct qw_topic *m = &w->topics[o->topic];
    if (o->op.kind == CONTROLLER_CREATE_TOPICS) {
        const struct create_topics_response_topic *t = &o->out.create.topics[0];
        if (t->error_code) // too few nodes are there for that many replicas
            return;
        m->created = true;
        m->id = t->topic_id;
        w->formed = true;
        const struct image_topic *seen = image_topic_by_name(g->reader.image, o->text);
        if (!m->delete_asked && (!seen || !uuid_eq(seen->id, m->id)))
            sim_fail(&w->sim, "node %d: topic %s is answered and cannot be read there", g->m->id, o->name);
    } else if (o->op.kind == CONTROLLER_DELETE_TOPICS) {
        if (o->out.delete.responses[0].error_code)
            sim_fail(&w->sim, "deletion of %s refused: %d", o->name, o->out.delete.responses[0].error_code);
        m->deleted = true;
    } else if (o->op.kind == CONTROLLER_PRODUCER_IDS) {
        uint64_t block = (uint64_t)o->out.ids.first / PRODUCER_ID_BLOCK;
        if (block < QW_BLOCKS_MAX && w->block_given[block])
            sim_fail(&w->sim, "producer ids from %lld on are given twice", (long long)o->out.ids.first);
        if (block < QW_BLOCKS_MAX)
            w->block_given[block] = true;
    } else if (o->op.kind == QUORUM_CHANGE_VOTER && o->out.voter.change == QUORUM_VOTER_ADD) {
        w->members[o->out.voter.node - 1].emptied = false;
    }
}

static void on_answer(struct quorum_op *op, enum rc rc)
{
    struct qw_op *o = container_of(op, struct qw_op, op);
    o->busy = false;
    if (rc == RC_OK) {
        o->g->m->w->result->acked++;
        settle_answer(o->g, o);
    }
    arena_deinit(&o->arena); // anything else is an unknown outcome
}

static void ask_create(struct qw_world *w, struct qw_op *o)
{
    o->topic = w->topic_count++;
    w->topics[o->topic] = (struct qw_topic){0};
    snprintf(o->name, sizeof(o->name), "t%u", o->topic);
    create_topics_request_init(&o->in.create);
    create_topics_request_topic_init(&o->topic_in);
    o->topic_in.name = o->text = bytes_str(o->name);
    o->topic_in.num_partitions = (int32_t)sim_between(&w->sim, 1, QW_PARTITIONS_MAX);
    o->topic_in.replication_factor = (int16_t)sim_between(&w->sim, 1, 3);
    if (o->topic % 16 == 5) { // so many are decided and applied in several turns; more bytes choke the slowest links for long
        o->topic_in.num_partitions += CONTROLLER_PIECE_PARTITIONS;
        o->topic_in.replication_factor = 1;
    }
    o->in.create.topics = &o->topic_in;
    o->in.create.topics_count = 1;
    o->op.kind = CONTROLLER_CREATE_TOPICS;
}

static bool ask_delete(struct qw_world *w, struct qw_op *o)
{
    o->topic = (uint32_t)sim_between(&w->sim, 0, w->topic_count - 1);
    struct qw_topic *m = &w->topics[o->topic];
    if (!m->created || m->delete_asked)
        return false;
    m->delete_asked = true;
    snprintf(o->name, sizeof(o->name), "t%u", o->topic);
    o->text = bytes_str(o->name);
    delete_topics_request_init(&o->in.delete);
    o->in.delete.topic_names = &o->text;
    o->in.delete.topic_names_count = 1;
    o->op.kind = CONTROLLER_DELETE_TOPICS;
    return true;
}

// What `weir admin quorum replace` does, a step at a time: the old identity goes, the new one gets the vote.
static bool ask_voter(struct qw_world *w, struct qw_op *o)
{
    o->op.kind = QUORUM_CHANGE_VOTER;
    o->in.voter = (struct voter_change){0};
    for (uint32_t i = 0; i < w->node_count; i++)
        if (w->members[i].emptied)
            o->in.voter.node = w->members[i].id;
    if (o->in.voter.node == 0 || sim_chance(&w->sim, 1, 4)) {
        o->in.voter.change = QUORUM_VOTER_LEAD;
        o->in.voter.node = (int32_t)sim_between(&w->sim, 1, w->node_count);
    } else {
        o->in.voter.change = sim_chance(&w->sim, 1, 2) ? QUORUM_VOTER_REMOVE : QUORUM_VOTER_ADD;
        if (w->founders < w->node_count) { // the first time nobody knows where it is
            o->in.voter.host = bytes_str(w->members[o->in.voter.node - 1].node->name);
            o->in.voter.port = QW_PORT;
        }
    }
    return true;
}

// Removing a vote is only right for the identity that is gone.
static bool still_right(const struct qw_program *g, const struct qw_op *o)
{
    if (o->op.kind != QUORUM_CHANGE_VOTER || o->in.voter.change != QUORUM_VOTER_REMOVE)
        return true;
    const struct raft_voters *v = raft_voters(quorum_raft(g->q));
    const struct qw_member *m = &g->m->w->members[o->in.voter.node - 1];
    for (uint32_t i = 0; i < v->count; i++)
        if (v->ids[i].node == m->id)
            return !uuid_is_zero(m->directory) && !uuid_eq(v->ids[i].directory, m->directory);
    return false;
}

static void act(void *argument)
{
    struct qw_program *g = argument;
    struct qw_world *w = g->m->w;
    struct qw_op *o = &g->ops[sim_between(&w->sim, 0, QW_OPS_MAX - 1)];
    if (o->busy || !g->serves || g->failed)
        return;
    *o = (struct qw_op){.g = g};
    uint64_t dice = sim_between(&w->sim, 0, 19);
    bool asks = true;
    if (dice < 2) {
        asks = ask_voter(w, o) && still_right(g, o);
        if (o->in.voter.change == QUORUM_VOTER_REMOVE) // that one and no other
            for (uint32_t i = 0; asks && i < raft_voters(quorum_raft(g->q))->count; i++)
                if (raft_voters(quorum_raft(g->q))->ids[i].node == o->in.voter.node)
                    o->in.voter.directory = raft_voters(quorum_raft(g->q))->ids[i].directory;
    } else if (dice < 5) {
        o->in.ids = (struct controller_producer_ids){.node = g->m->id, .broker_epoch = g->m->broker_epoch};
        o->op.kind = CONTROLLER_PRODUCER_IDS;
    } else if (dice < 6) {
        o->op.kind = QUORUM_DESCRIBE;
    } else if (dice < 9 && w->topic_count) {
        asks = ask_delete(w, o);
    } else if (w->topic_count < QW_TOPICS_MAX) {
        ask_create(w, o);
    } else {
        return;
    }
    if (!asks)
        return;
    arena_init(&o->arena, 64 << 20, NULL, 0);
    o->op.request = &o->in;
    o->op.answer = &o->out;
    o->op.arena = &o->arena;
    o->op.deadline_ns = shard_now_ns(&g->group.shards[0]) + sim_between(&w->sim, 100, 5000) * SIM_MS;
    o->op.done = on_answer;
    o->busy = true;
    quorum_submit(g->q, &g->group.shards[0], &o->op);
}

void qw_client_run(struct sim *sim, struct sim_event *e)
{
    struct qw_world *w = container_of(e, struct qw_world, client);
    if (w->draining)
        return;
    sim_schedule_in(sim, e, sim_latency(sim, 5 * SIM_MS), qw_client_run);
    struct qw_member *m = &w->members[sim_between(sim, 0, w->node_count - 1)];
    if (!m->process.running)
        return;
    struct qw_program *g = m->process.program;
    if (g->failed) // as the server does: it may not go on
        qw_member_end(m, SIM_DEATH_KILL);
    else
        sim_process_call(&m->process, act, g);
}

bool qw_client_idle(const struct qw_program *g)
{
    for (int k = 0; k < QW_OPS_MAX; k++)
        if (g->ops[k].busy)
            return false;
    return true;
}
