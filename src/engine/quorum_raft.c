// SPDX-License-Identifier: Apache-2.0
//
// Raft messages on the wire. Appends keep their order, with entries or without; everything else overtakes them. What
// cannot be sent is lost, which Raft lives with.
#include "engine/quorum_core.h"

enum { ARENA_BYTES_MAX = 32 << 20 };

static enum rc entries_encode(struct quorum *q, const struct raft_message *m, struct arena *a,
                              struct raft_message_request *out)
{
    out->entries = arena_array(a, m->entry_count, sizeof(*out->entries));
    for (uint32_t i = 0; out->entries && i < m->entry_count; i++) {
        struct raft_entry e;
        if (!raft_entry_get(&q->raft, m->first_entry + i, &e))
            return RC_NOT_FOUND; // out of the window since: as good as lost
        out->entries[out->entries_count++] = (struct raft_message_request_entry){
            .term = (int64_t)e.term, .type = (int8_t)e.type, .payload = e.payload};
    }
    return out->entries ? RC_OK : RC_NOMEM;
}

void quorum_raft_send(struct quorum *q, const struct raft_message *m)
{
    if (!q->peers || !peers_up(q->peers, m->to.node))
        return;
    struct raft_message_request out = {
        .kind = (int8_t)m->kind,
        .from_node = m->from.node,
        .from_directory = m->from.directory,
        .to_node = m->to.node,
        .to_directory = m->to.directory,
        .term = (int64_t)m->term,
        .log_index = (int64_t)m->log_index,
        .log_term = (int64_t)m->log_term,
        .commit = (int64_t)m->commit,
        .round = (int64_t)m->round,
        .match = (int64_t)m->match,
        .hint_term = (int64_t)m->hint_term,
        .hint_index = (int64_t)m->hint_index,
        .granted = m->granted,
        .transfer = m->transfer,
    };
    struct arena a;
    arena_init(&a, ARENA_BYTES_MAX, NULL, 0);
    enum rc rc = m->kind == RAFT_APPEND ? entries_encode(q, m, &a, &out) : RC_OK;
    if (rc == RC_OK)
        (void)peers_send(q->peers, m->to.node, &raft_message_request_message, 0, &out,
                         m->kind == RAFT_APPEND ? PEER_BULK : PEER_URGENT);
    arena_deinit(&a);
}

// Nothing that a wire can hold may reach an assert of the core.
static enum rc decode(const struct peer_inlet *in, const struct raft_message_request *r, struct raft_message *m,
                      struct raft_entry *entries)
{
    const int64_t numbers[] = {r->term,  r->log_index, r->log_term,  r->commit,
                               r->round, r->match,     r->hint_term, r->hint_index};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (numbers[i] < 0 || numbers[i] > INT64_MAX / 2)
            return RC_MALFORMED;
    if (r->kind < 0 || r->kind >= RAFT_MESSAGE_KINDS || r->from_node != in->hello.node ||
        !uuid_eq(r->from_directory, in->hello.directory) || (r->entries_count > 0 && r->kind != RAFT_APPEND))
        return RC_MALFORMED;
    *m = (struct raft_message){
        .kind = (enum raft_message_kind)r->kind,
        .from = {.node = r->from_node, .directory = r->from_directory},
        .to = {.node = r->to_node, .directory = r->to_directory},
        .term = (uint64_t)r->term,
        .log_index = (uint64_t)r->log_index,
        .log_term = (uint64_t)r->log_term,
        .commit = (uint64_t)r->commit,
        .round = (uint64_t)r->round,
        .match = (uint64_t)r->match,
        .hint_term = (uint64_t)r->hint_term,
        .hint_index = (uint64_t)r->hint_index,
        .granted = r->granted,
        .transfer = r->transfer,
        .first_entry = (uint64_t)r->log_index + 1,
        .entry_count = r->entries_count,
        .entries = entries,
    };
    for (uint32_t i = 0; i < r->entries_count; i++) {
        const struct raft_message_request_entry *e = &r->entries[i];
        if (e->term <= 0 || e->type < RAFT_ENTRY_EMPTY || e->type > RAFT_ENTRY_VOTERS ||
            e->payload.n > METADATA_ENTRY_BYTES_MAX)
            return RC_MALFORMED;
        entries[i] = (struct raft_entry){.index = m->first_entry + i,
                                         .term = (uint64_t)e->term,
                                         .type = (enum raft_entry_type)e->type,
                                         .payload = e->payload};
    }
    return RC_OK;
}

// A process leads whose word the core has taken for its leader's: one that starts anew leads in a later term.
static void note_leader(struct quorum *q, const struct raft_message *m, struct uuid incarnation)
{
    bool leads = m->kind == RAFT_APPEND || m->kind == RAFT_HEARTBEAT;
    if (leads && m->term == q->raft.hard.term && raft_id_eq(m->from, q->raft.leader))
        q->leader_incarnation = incarnation;
}

void quorum_raft_receive(struct quorum *q, struct peer_inlet *in, const struct peer_frame *f)
{
    if (q->forming || q->dead || !quorum_cluster_of(q, &in->hello))
        return; // from before it knew the cluster
    struct raft_message_request r;
    struct raft_message m;
    struct arena a;
    arena_init(&a, ARENA_BYTES_MAX, NULL, 0);
    struct dec d = dec_of(f->body);
    enum rc rc = raft_message_request_decode(&d, f->version, &a, &r);
    struct raft_entry *entries = NULL;
    if (rc == RC_OK && r.entries_count <= RAFT_APPEND_ENTRIES_MAX)
        entries = arena_array(&a, r.entries_count, sizeof(*entries));
    if (rc == RC_OK)
        rc = entries ? decode(in, &r, &m, entries) : RC_MALFORMED;
    const struct uuid incarnation = in->hello.incarnation;
    if (rc == RC_OK) {
        quorum_feed(q, &(struct raft_event){.kind = RAFT_RECEIVE, .message = &m});
        note_leader(q, &m, incarnation);
    } else if (rc != RC_NOMEM)
        peers_refuse(q->peers, in, RC_INVALID_REQUEST, "a Raft message that cannot be");
    arena_deinit(&a);
}
