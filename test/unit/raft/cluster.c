// SPDX-License-Identifier: Apache-2.0
//
// See cluster.h. Invariants: election safety, log matching, leader completeness, state machine safety, one durable vote
// a term, reads that see what was committed before them; and, once the faults stop, one leader and one log.
#include "cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLIGHTS_MAX = 4096, READS_MAX = 1024 };

struct cluster {
    struct cluster_config config;
    struct cluster_figures *figures;
    struct prng prng;
    uint64_t now_ms;
    struct cluster_node *nodes[CLUSTER_NODES_MAX];
    uint32_t node_count;
    struct cluster_flight flights[FLIGHTS_MAX];
    uint32_t flight_count;
    bool cut[CLUSTER_NODES_MAX][CLUSTER_NODES_MAX];
    bool faults;
    uint64_t next_payload, directories;
    // what must hold for ever
    struct raft_id *leaders; // by term
    uint64_t term_cap;
    struct cluster_log committed;                 // what any node ever applied
    uint64_t *states;                             // state after each index
    struct raft_id *votes[CLUSTER_NODES_MAX * 8]; // by identity and term
    struct raft_id voter_ids[CLUSTER_NODES_MAX * 8];
    uint32_t voter_count;
    uint64_t read_commit[READS_MAX]; // highest commit when the read was asked, by context
    uint32_t read_count;
};

#define CHECK(c, x)                                                                                                    \
    cr_assert(x, "seed %llu at %llu ms: %s", (unsigned long long)(c)->config.seed, (unsigned long long)(c)->now_ms, #x)

// ---- logs ----

static void log_push(struct cluster_log *l, const struct cluster_entry *e)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->p = realloc(l->p, l->cap * sizeof(*l->p));
    }
    l->p[l->count++] = *e;
}

static void log_cut(struct cluster_log *l, uint64_t from)
{
    if (from <= l->base)
        l->count = 0;
    else if (from - l->base - 1 < l->count)
        l->count = from - l->base - 1;
}

static struct cluster_entry entry_copy(const struct raft_entry *e)
{
    struct cluster_entry c = {.term = e->term, .type = e->type, .n = e->payload.n};
    if (e->payload.n)
        memcpy(c.bytes, e->payload.p, e->payload.n);
    return c;
}

static struct raft_entry entry_view(const struct cluster_log *l, uint64_t i)
{
    const struct cluster_entry *e = &l->p[i];
    return (struct raft_entry){
        .index = l->base + 1 + i, .term = e->term, .type = e->type, .payload = bytes_of(e->bytes, e->n)};
}

static bool entry_same(const struct cluster_entry *a, const struct cluster_entry *b)
{
    return a->term == b->term && a->type == b->type && a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

static uint64_t mix(uint64_t state, const struct cluster_entry *e)
{
    uint64_t h = state * 0x9e3779b97f4a7c15u + e->term + (uint64_t)e->type;
    for (size_t i = 0; i < e->n; i++)
        h = (h ^ e->bytes[i]) * 0x100000001b3u;
    return h;
}

// ---- invariants ----

static void check_leader(struct cluster *c, const struct cluster_node *n)
{
    uint64_t term = n->raft.hard.term;
    if (n->raft.role != RAFT_LEADER)
        return;
    if (term >= c->term_cap) {
        uint64_t cap = term * 2 + 64;
        c->leaders = realloc(c->leaders, cap * sizeof(*c->leaders));
        for (uint64_t t = c->term_cap; t < cap; t++)
            c->leaders[t] = raft_id_none();
        c->term_cap = cap;
    }
    if (c->leaders[term].node == NODE_ID_NONE) {
        c->leaders[term] = n->id;
        c->figures->elections++;
        // Leader completeness: whatever was committed in earlier terms is in its log.
        CHECK(c, raft_last_index(&n->raft) >= c->committed.count);
        for (uint64_t i = n->raft.window.prev_index + 1; i <= c->committed.count; i++) {
            struct raft_entry e;
            CHECK(c, raft_entry_get(&n->raft, i, &e));
            struct cluster_entry copy = entry_copy(&e);
            CHECK(c, entry_same(&copy, &c->committed.p[i - 1]));
        }
    }
    CHECK(c, raft_id_eq(c->leaders[term], n->id));
}

static void check_vote(struct cluster *c, const struct raft_message *m)
{
    if (m->kind != RAFT_VOTE_ANSWER || !m->granted)
        return;
    uint32_t v = 0;
    while (v < c->voter_count && !raft_id_eq(c->voter_ids[v], m->from))
        v++;
    CHECK(c, v < CLUSTER_NODES_MAX * 8);
    enum { TERMS = 4096 };
    if (v == c->voter_count) {
        c->voter_ids[c->voter_count++] = m->from;
        c->votes[v] = malloc(TERMS * sizeof(struct raft_id));
        for (int t = 0; t < TERMS; t++)
            c->votes[v][t] = raft_id_none();
    }
    CHECK(c, m->term < TERMS);
    struct raft_id *vote = &c->votes[v][m->term];
    CHECK(c, vote->node == NODE_ID_NONE || raft_id_eq(*vote, m->to));
    *vote = m->to;
}

static void apply(struct cluster *c, struct cluster_node *n, uint64_t commit)
{
    for (uint64_t i = n->applied + 1; i <= commit; i++) {
        struct raft_entry e;
        CHECK(c, raft_entry_get(&n->raft, i, &e));
        struct cluster_entry copy = entry_copy(&e);
        if (i > c->committed.count) {
            CHECK(c, i == c->committed.count + 1);
            log_push(&c->committed, &copy);
            c->states = realloc(c->states, (i + 1) * sizeof(*c->states));
            c->states[i] = mix(i > 1 ? c->states[i - 1] : 0, &copy);
            c->figures->commits++;
        }
        // State machine safety.
        CHECK(c, entry_same(&copy, &c->committed.p[i - 1]));
        n->state = mix(n->state, &copy);
        CHECK(c, n->state == c->states[i]);
    }
    n->applied = commit;
}

// Log matching: where two logs hold the same index and term, everything both hold before it is the same.
static void check_matching(struct cluster *c)
{
    for (uint32_t a = 0; a < c->node_count; a++)
        for (uint32_t b = a + 1; b < c->node_count; b++) {
            struct cluster_node *na = c->nodes[a], *nb = c->nodes[b];
            if (!na->up || !nb->up)
                continue;
            uint64_t last = raft_last_index(&na->raft) < raft_last_index(&nb->raft) ? raft_last_index(&na->raft)
                                                                                    : raft_last_index(&nb->raft);
            bool agreed = false;
            struct raft_entry ea, eb;
            for (uint64_t i = last; raft_entry_get(&na->raft, i, &ea) && raft_entry_get(&nb->raft, i, &eb); i--) {
                agreed |= ea.term == eb.term;
                if (agreed)
                    CHECK(c, ea.term == eb.term && ea.type == eb.type && bytes_eq(ea.payload, eb.payload));
            }
        }
}

// ---- network ----

static uint32_t slot_of(const struct cluster *c, struct raft_id id)
{
    (void)c;
    return (uint32_t)id.node - 1;
}

static void fly(struct cluster *c, struct cluster_flight *f, uint32_t from, uint32_t to)
{
    bool lost = c->cut[from][to] || (c->faults && prng_chance(&c->prng, c->config.drop_percent, 100));
    CHECK(c, c->flight_count < FLIGHTS_MAX);
    if (lost && f->kind == 0) {
        free(f->entries.p);
        return;
    }
    f->lost = lost; // a sender always learns what became of a snapshot
    f->due_ms = c->now_ms + 1 + prng_below(&c->prng, c->faults ? 30 : 3);
    c->flights[c->flight_count++] = *f;
}

static void post(struct cluster *c, struct cluster_node *n, const struct raft_message *m)
{
    check_vote(c, m);
    uint32_t times = c->faults && prng_chance(&c->prng, c->config.repeat_percent, 100) ? 2 : 1;
    for (uint32_t t = 0; t < times; t++) {
        struct cluster_flight f = {.message = *m};
        f.entries.base = m->first_entry ? m->first_entry - 1 : 0;
        for (uint32_t i = 0; i < m->entry_count; i++) {
            struct raft_entry e;
            CHECK(c, raft_entry_get(&n->raft, m->first_entry + i, &e));
            struct cluster_entry copy = entry_copy(&e);
            log_push(&f.entries, &copy);
        }
        fly(c, &f, slot_of(c, n->id), slot_of(c, m->to));
    }
}

static void feed(struct cluster *c, struct cluster_node *n, struct raft_event *ev);

static void ship_snapshots(struct cluster *c, struct cluster_node *n)
{
    for (uint32_t i = 0; i < n->fx.snapshot_to_count; i++) {
        struct cluster_flight f = {.kind = 1};
        f.message = (struct raft_message){.from = n->id, .to = n->fx.snapshot_to[i], .term = n->raft.hard.term};
        f.snapshot.index = n->applied;
        CHECK(c, raft_term_at(&n->raft, n->applied, &f.snapshot.term));
        f.snapshot.voters = *raft_voters_at(&n->raft, n->applied);
        f.state = n->state;
        fly(c, &f, slot_of(c, n->id), slot_of(c, n->fx.snapshot_to[i]));
    }
}

// ---- disk ----

static void write_begin(struct cluster *c, struct cluster_node *n, const struct raft_effects *fx)
{
    CHECK(c, n->write_count < RAFT_TICKETS_MAX);
    struct cluster_write *w = &n->writes[(n->write_head + n->write_count++) % RAFT_TICKETS_MAX];
    *w = (struct cluster_write){.ticket = fx->ticket,
                                .hard = n->raft.hard,
                                .install = fx->install,
                                .installed = fx->installed,
                                .installed_state = n->staged_state,
                                .truncate_from = fx->truncate_from,
                                .due_ms = c->now_ms + 1 + prng_below(&c->prng, c->faults ? 40 : 4)};
    if (fx->truncate_from)
        c->figures->truncations++;
    for (uint32_t i = 0; i < fx->append_count; i++) {
        struct raft_entry e;
        CHECK(c, raft_entry_get(&n->raft, fx->append_first + i, &e));
        struct cluster_entry copy = entry_copy(&e);
        if (i == 0)
            w->entries.base = e.index - 1;
        log_push(&w->entries, &copy);
    }
}

static void write_end(struct cluster *c, struct cluster_node *n, struct cluster_write *w)
{
    n->hard = w->hard;
    if (w->install) {
        n->snapshot = w->installed;
        n->snapshot_state = w->installed_state;
        n->log.base = w->installed.index;
        n->log.base_term = w->installed.term;
        n->log.count = 0;
    }
    if (w->truncate_from)
        log_cut(&n->log, w->truncate_from);
    for (uint64_t i = 0; i < w->entries.count; i++) {
        CHECK(c, w->entries.base + i == n->log.base + n->log.count);
        log_push(&n->log, &w->entries.p[i]);
    }
}

static void write_free(struct cluster_write *w)
{
    free(w->entries.p);
    free(w->sends);
}

static void writes_run(struct cluster *c, struct cluster_node *n)
{
    while (n->up && n->write_count && n->writes[n->write_head].due_ms <= c->now_ms) {
        struct cluster_write w = n->writes[n->write_head];
        n->write_head = (n->write_head + 1) % RAFT_TICKETS_MAX;
        n->write_count--;
        write_end(c, n, &w);
        for (uint32_t i = 0; i < w.send_count; i++)
            post(c, n, &w.sends[i].message);
        feed(c, n, &(struct raft_event){.kind = RAFT_DURABLE, .ticket = w.ticket});
        write_free(&w);
    }
}

static void sends_take(struct cluster *c, struct cluster_node *n, const struct raft_effects *fx)
{
    for (uint32_t i = 0; i < fx->send_count; i++) {
        const struct raft_outgoing *o = &fx->send[i];
        if (o->ticket == 0) {
            post(c, n, &o->message);
            continue;
        }
        struct cluster_write *w = NULL;
        for (uint32_t j = 0; j < n->write_count; j++)
            if (n->writes[(n->write_head + j) % RAFT_TICKETS_MAX].ticket == o->ticket)
                w = &n->writes[(n->write_head + j) % RAFT_TICKETS_MAX];
        CHECK(c, w != NULL); // a message never waits for what is not under way
        CHECK(c, o->message.entry_count == 0);
        w->sends = realloc(w->sends, (w->send_count + 1) * sizeof(*w->sends));
        w->sends[w->send_count++] = *o;
    }
}

// ---- one core ----

static void feed(struct cluster *c, struct cluster_node *n, struct raft_event *ev)
{
    ev->now_ms = c->now_ms;
    ev->random = prng_next(&c->prng);
    struct raft_effects *fx = &n->fx;
    raft_step(&n->raft, ev, fx);
    if (fx->ticket)
        write_begin(c, n, fx);
    if (fx->install) {
        n->applied = fx->installed.index;
        n->state = n->staged_state;
        c->figures->installs++;
    }
    sends_take(c, n, fx);
    for (uint32_t i = 0; i < fx->read_count; i++) {
        CHECK(c, fx->reads[i].index >= c->read_commit[fx->reads[i].context]);
        c->figures->reads++;
    }
    check_leader(c, n);
    ship_snapshots(c, n);
    uint64_t commit = fx->commit_index;
    if (commit > n->applied) {
        apply(c, n, commit);
        feed(c, n, &(struct raft_event){.kind = RAFT_APPLIED, .index = commit});
    }
}

static void node_boot(struct cluster *c, struct cluster_node *n)
{
    struct raft_config config = {.self = n->id,
                                 .election_timeout_ms = 150,
                                 .heartbeat_ms = 30,
                                 .window_bytes_max = 25 * CLUSTER_PAYLOAD_BYTES,
                                 .uncommitted_bytes_max = 1 << 20};
    CHECK(c, raft_init(&n->raft, &config, &n->hard, &n->snapshot) == RC_OK);
    for (uint64_t i = 0; i < n->log.count; i++) {
        struct raft_entry e = entry_view(&n->log, i);
        CHECK(c, raft_restore(&n->raft, &e) == RC_OK);
    }
    raft_start(&n->raft, c->now_ms, prng_next(&c->prng));
    n->applied = n->snapshot.index;
    n->state = n->snapshot_state;
    n->up = true;
    struct raft_id others[CLUSTER_NODES_MAX];
    for (uint32_t i = 0; i < c->node_count; i++)
        others[i] = c->nodes[i]->id;
    feed(c, n, &(struct raft_event){.kind = RAFT_OBSERVERS, .observers = others, .observer_count = c->node_count});
}

static void node_crash(struct cluster *c, struct cluster_node *n)
{
    // Of what was not synced some prefix may have reached the disk all the same.
    uint64_t survives = prng_below(&c->prng, n->write_count + 1);
    for (uint64_t i = 0; n->write_count; i++) {
        struct cluster_write *w = &n->writes[n->write_head];
        if (i < survives)
            write_end(c, n, w);
        write_free(w);
        n->write_head = (n->write_head + 1) % RAFT_TICKETS_MAX;
        n->write_count--;
    }
    raft_deinit(&n->raft);
    n->up = false;
    c->figures->crashes++;
}

// The disk is emptied: another member under the same node id.
static void node_wipe(struct cluster *c, struct cluster_node *n)
{
    if (n->up)
        node_crash(c, n);
    n->hard = (struct raft_hard_state){.vote = raft_id_none()};
    n->snapshot = (struct raft_snapshot){0};
    n->snapshot_state = 0;
    n->log.base = n->log.count = 0;
    n->id.directory.b[0] = (uint8_t)++c->directories;
    c->figures->wipes++;
}

// ---- the run ----

static void deliver(struct cluster *c)
{
    for (uint32_t i = 0; i < c->flight_count;) {
        if (c->flights[i].due_ms > c->now_ms) {
            i++;
            continue;
        }
        struct cluster_flight f = c->flights[i];
        c->flights[i] = c->flights[--c->flight_count];
        struct cluster_node *n = c->nodes[slot_of(c, f.message.to)];
        struct cluster_node *from = c->nodes[slot_of(c, f.message.from)];
        struct raft_entry entries[RAFT_APPEND_ENTRIES_MAX];
        if (n->up && f.kind == 0) {
            for (uint64_t e = 0; e < f.entries.count; e++)
                entries[e] = entry_view(&f.entries, e);
            f.message.entries = entries;
            feed(c, n, &(struct raft_event){.kind = RAFT_RECEIVE, .message = &f.message});
        } else if (n->up && !f.lost && raft_id_eq(n->id, f.message.to)) {
            n->staged_state = f.state;
            feed(c, n,
                 &(struct raft_event){.kind = RAFT_SNAPSHOT_RECEIVED,
                                      .id = f.message.from,
                                      .term = f.message.term,
                                      .snapshot = &f.snapshot});
        }
        if (f.kind == 1 && from->up)
            feed(c, from, &(struct raft_event){.kind = RAFT_SNAPSHOT_SENT, .id = f.message.to, .ok = n->up && !f.lost});
        free(f.entries.p);
    }
}

static struct cluster_node *some_node(struct cluster *c, bool leader)
{
    struct cluster_node *n = c->nodes[prng_below(&c->prng, c->node_count)];
    for (uint32_t i = 0; leader && i < c->node_count && !(n->up && n->raft.role == RAFT_LEADER); i++)
        n = c->nodes[i];
    return n;
}

static void change_members(struct cluster *c)
{
    struct cluster_node *leader = some_node(c, true), *n = some_node(c, false);
    if (!leader->up || leader->raft.role != RAFT_LEADER)
        return;
    const struct raft_voters *v = raft_voters(&leader->raft);
    struct raft_id stale = raft_id_none();
    for (uint32_t i = 0; i < v->count; i++)
        if (v->ids[i].node == n->id.node)
            stale = v->ids[i];
    bool remove = stale.node != NODE_ID_NONE && (!raft_id_eq(stale, n->id) || v->count > 3);
    feed(c, leader,
         &(struct raft_event){.kind = remove ? RAFT_CHANGE_REMOVE : RAFT_CHANGE_ADD, .id = remove ? stale : n->id});
    c->figures->changes += leader->fx.proposed != 0;
}

static void fault(struct cluster *c)
{
    struct cluster_node *n = some_node(c, prng_chance(&c->prng, 1, 3));
    uint64_t what = prng_below(&c->prng, 100);
    if (what < 30 && c->config.crashes && n->up)
        node_crash(c, n);
    else if (what < 60 && !n->up)
        node_boot(c, n);
    else if (what < 75 && c->config.cuts)
        for (uint32_t i = 0; i < c->node_count; i++) // one-way cuts too
            c->cut[prng_below(&c->prng, c->node_count)][slot_of(c, n->id)] = prng_chance(&c->prng, 1, 2);
    else if (what < 85)
        memset(c->cut, 0, sizeof(c->cut));
    else if (what < 95 && c->config.changes)
        change_members(c);
    else if (what == 95 && c->config.wipes)
        node_wipe(c, n);
    else if (what > 97 && n->up && n->raft.role == RAFT_LEADER) {
        feed(c, n, &(struct raft_event){.kind = RAFT_TRANSFER, .id = some_node(c, false)->id});
        c->figures->transfers++;
    } else if (what == 97 && n->up)
        feed(c, n, &(struct raft_event){.kind = RAFT_LEADER_LOST});
}

static void propose(struct cluster *c)
{
    struct cluster_node *n = some_node(c, true);
    if (!n->up)
        return;
    uint8_t payload[CLUSTER_PAYLOAD_BYTES];
    put_be64(payload, ++c->next_payload);
    feed(c, n, &(struct raft_event){.kind = RAFT_PROPOSE, .payload = bytes_of(payload, sizeof(payload))});
    if (prng_chance(&c->prng, 1, 8) && c->read_count < READS_MAX) {
        c->read_commit[c->read_count] = c->committed.count;
        feed(c, n, &(struct raft_event){.kind = RAFT_READ, .context = c->read_count++});
    }
}

static void turn(struct cluster *c)
{
    c->now_ms += prng_below(&c->prng, 4);
    deliver(c);
    for (uint32_t i = 0; i < c->node_count; i++) {
        struct cluster_node *n = c->nodes[i];
        if (!n->up)
            continue;
        writes_run(c, n);
        if (raft_deadline_ms(&n->raft) <= c->now_ms)
            feed(c, n, &(struct raft_event){.kind = RAFT_TICK});
    }
}

// Faults over: everybody up, nothing cut. There must come a leader, and everybody must hold what it holds.
static void settle(struct cluster *c)
{
    c->faults = false;
    memset(c->cut, 0, sizeof(c->cut));
    for (uint32_t i = 0; i < c->node_count; i++)
        if (!c->nodes[i]->up)
            node_boot(c, c->nodes[i]);
    uint64_t target = c->committed.count + 5;
    for (uint32_t t = 0; t < 20000; t++) {
        turn(c);
        if (t % 50 == 0 && c->committed.count < target)
            propose(c);
        bool equal = c->committed.count >= target;
        for (uint32_t i = 0; i < c->node_count; i++)
            equal &= c->nodes[i]->applied == c->committed.count;
        if (equal)
            return;
    }
    bool progress_after_the_faults = false;
    for (uint32_t i = 0; i < c->node_count; i++) {
        const struct raft *r = &c->nodes[i]->raft;
        fprintf(stderr, "node %u: role %d term %llu leader %d commit %llu last %llu durable %llu voters %u%s\n", i + 1,
                (int)r->role, (unsigned long long)r->hard.term, r->leader.node, (unsigned long long)r->commit,
                (unsigned long long)raft_last_index(r), (unsigned long long)r->durable_index, raft_voters(r)->count,
                raft_is_voter(raft_voters(r), c->nodes[i]->id) ? " votes" : "");
        for (uint32_t j = 0; r->role == RAFT_LEADER && j < r->peer_count; j++)
            fprintf(stderr, "  peer %d state %d match %llu next %llu inflight %u paused %d\n", r->peers[j].id.node,
                    (int)r->peers[j].state, (unsigned long long)r->peers[j].match, (unsigned long long)r->peers[j].next,
                    r->peers[j].inflight, r->peers[j].paused);
    }
    CHECK(c, progress_after_the_faults);
}

static void cluster_free(struct cluster *c)
{
    for (uint32_t i = 0; i < c->flight_count; i++)
        free(c->flights[i].entries.p);
    for (uint32_t i = 0; i < c->node_count; i++) {
        if (c->nodes[i]->up)
            node_crash(c, c->nodes[i]);
        free(c->nodes[i]->log.p);
        free(c->nodes[i]);
    }
    for (uint32_t i = 0; i < c->voter_count; i++)
        free(c->votes[i]);
    free(c->leaders);
    free(c->committed.p);
    free(c->states);
    free(c);
}

void cluster_run(const struct cluster_config *config, struct cluster_figures *figures)
{
    struct cluster *c = calloc(1, sizeof(*c));
    c->config = *config;
    c->figures = figures;
    c->faults = true;
    c->now_ms = 1;
    prng_init(&c->prng, config->seed);
    struct raft_voters voters = {0};
    c->node_count = config->voters + config->observers;
    for (uint32_t i = 0; i < c->node_count; i++) {
        c->nodes[i] = calloc(1, sizeof(*c->nodes[i]));
        c->nodes[i]->id = (struct raft_id){.node = (int32_t)i + 1};
        c->nodes[i]->id.directory.b[0] = (uint8_t)++c->directories;
        c->nodes[i]->hard.vote = raft_id_none();
        if (i < config->voters)
            voters.ids[voters.count++] = c->nodes[i]->id;
    }
    struct cluster_entry first = {.term = 1, .type = RAFT_ENTRY_VOTERS};
    first.n = raft_voters_encode(&voters, first.bytes);
    for (uint32_t i = 0; i < config->voters; i++) {
        c->nodes[i]->hard.term = 1;
        log_push(&c->nodes[i]->log, &first);
    }
    for (uint32_t i = 0; i < c->node_count; i++)
        node_boot(c, c->nodes[i]);
    for (uint32_t e = 0; e < config->events; e++) {
        turn(c);
        if (prng_chance(&c->prng, 1, 4))
            propose(c);
        if ((config->crashes || config->cuts) && prng_chance(&c->prng, 1, 60))
            fault(c);
        if (e % 100 == 0)
            check_matching(c);
    }
    if (!config->wipes)
        settle(c);
    check_matching(c);
    cluster_free(c);
}
