// SPDX-License-Identifier: Apache-2.0
//
// One node of the quorum scenario: boot as the engine does it, turns, death and restart.
#include "quorum_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static void on_failed(void *context, enum rc rc, const char *text)
{
    struct qw_program *g = context;
    (void)rc, (void)text;
    g->failed = true;
}

static void on_image(struct quorum_reader *r, const struct image *old, const struct image *image)
{
    (void)old;
    qw_check_image(container_of(r, struct qw_program, reader), image);
}

// The engine attaches its logs here; there are none.
static void on_own_registration(void *context)
{
    struct qw_program *g = context;
    quorum_release(g->q);
    quorum_ready(g->q);
}

static void on_registered(struct quorum_registration *r, enum rc rc)
{
    struct qw_program *g = container_of(r, struct qw_program, registration);
    struct qw_member *m = g->m;
    if (rc != RC_OK) {
        g->failed = true;
        return;
    }
    if (r->broker_epoch <= m->broker_epoch)
        sim_fail(&m->w->sim, "node %d: broker epoch %lld after %lld", m->id, (long long)r->broker_epoch,
                 (long long)m->broker_epoch);
    m->broker_epoch = r->broker_epoch;
    g->serves = true;
}

static const struct config_pair properties[] = {{"broker.heartbeat.interval.ms", "500"},
                                                {"broker.session.timeout.ms", "3000"}};

static void list_add(struct qw_program *g, uint32_t i, bool wrong)
{
    struct peer_address *a = &g->peers[g->peer_count++];
    *a = g->m->w->peers[i];
    a->addr.port = (uint16_t)(a->addr.port + wrong);
}

// --peers of this start. At the first all founders name each other, and who comes later names them. From then on a list may
// be short or wrong: it only has to lead to node 1 somehow, for its own to lead to somebody.
static void list_peers(struct qw_program *g)
{
    struct qw_member *m = g->m;
    struct qw_world *w = m->w;
    bool careless = w->formed && sim_chance(&w->sim, 1, 2);
    uint32_t self = (uint32_t)m->id - 1;
    uint32_t sure = self == 0 ? 1 : 0; // is named, rightly
    g->peer_count = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        bool founder = i < w->founders;
        if (i == self || (i == sure && founder))
            list_add(g, i, false);
        else if (self == 0 && w->draining) // else who was not added to the voters would never be let in
            list_add(g, i, false);
        else if (careless ? sim_chance(&w->sim, 1, 2) : founder)
            list_add(g, i, careless && sim_chance(&w->sim, 1, 3));
    }
}

static enum rc open_quorum(struct qw_program *g, struct sim_process *p, char *text, size_t text_bytes)
{
    struct qw_world *w = g->m->w;
    list_peers(g);
    enum rc rc = log_dir_open(&g->dir, p->ios[0], &w->sink, "/data", text, text_bytes);
    g->dirs[0] = &g->dir;
    struct quorum_config c = {.shard = &g->group.shards[0],
                              .trace = &w->sink,
                              .node_id = g->m->id,
                              .log_dirs = g->dirs,
                              .log_dir_count = 1,
                              .metadata_dir = &g->dir,
                              .properties = {properties, ARRAY_COUNT(properties)},
                              .election_timeout_ms = 300,
                              .snapshot_log_bytes = sim_between(&w->sim, 2000, 60000),
                              .peers = g->peers,
                              .peer_count = g->peer_count,
                              .peer_listen = w->peers[g->m->id - 1].addr,
                              .registered = on_own_registration,
                              .failed = on_failed,
                              .context = g};
    if (rc == RC_OK)
        rc = quorum_create(&g->q, &c, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    g->reader.changed = on_image;
    quorum_attach(g->q, &g->group.shards[0], &g->reader);
    return quorum_start(g->q, text, text_bytes);
}

static void boot(struct sim_process *p)
{
    struct qw_member *m = p->user;
    struct qw_program *g = calloc(1, sizeof(*g));
    char text[1024] = "";
    ASSERT(g);
    p->program = g;
    p->shards = &g->group;
    g->m = m;
    enum rc rc = shard_group_create(&g->group, p->ios, 1, 64, &m->w->sim.sink);
    ASSERT(rc == RC_OK);
    rc = open_quorum(g, p, text, sizeof(text));
    if (rc != RC_OK) {
        if (m->node->faults.taken_write_errors + m->node->faults.taken_sync_errors == 0)
            sim_fail(&m->w->sim, "node %d: the start is refused: %s (%s)", m->id, text, rc_name(rc));
        p->boot_failed = true;
        return;
    }
    g->listener = (struct image_listener){.name = "PLAINTEXT", .host = "node", .port = 9092};
    g->registration = (struct quorum_registration){.listeners = &g->listener,
                                                   .listener_count = 1,
                                                   .peer_host = m->node->name,
                                                   .peer_port = QW_PORT,
                                                   .logs_whole = true,
                                                   .done = on_registered};
    quorum_register(g->q, &g->registration);
}

static bool turn(struct sim_process *p, uint32_t lane, uint64_t *next_ns)
{
    bool again = sim_shard_turn(p, lane, next_ns);
    qw_check_core(p->program);
    return again;
}

static void restart_run(struct sim *sim, struct sim_event *e);

static void died(struct sim_process *p, enum sim_death how)
{
    struct qw_member *m = p->user;
    struct qw_world *w = m->w;
    w->result->power_cuts += how == SIM_DEATH_POWER;
    w->result->kills += how != SIM_DEATH_POWER;
    uint64_t away = sim_chance(&w->sim, 1, 4) ? sim_between(&w->sim, SIM_S, 8 * SIM_S) : 300 * SIM_MS;
    sim_schedule_in(&w->sim, &m->restart, w->draining ? SIM_MS : sim_between(&w->sim, SIM_MS, away), restart_run);
}

static const struct sim_program program = {.boot = boot, .turn = turn, .died = died};

// A disk may be gone when its node comes back: the cluster must never have needed it.
static void maybe_empty(struct qw_member *m)
{
    struct qw_world *w = m->w;
    if (!w->formed || w->draining || w->emptied >= (w->node_count - 1) / 2 || !sim_chance(&w->sim, 1, 6))
        return;
    w->emptied++;
    w->result->other_faults++;
    sim_note(&w->sim, SIM_NOTE_FAULT, m->node, 1000, 0);
    sim_disk_empty(&m->node->disk);
    m->emptied = true;
    m->directory = (struct uuid){0};
}

void qw_member_start(struct qw_member *m)
{
    struct qw_world *w = m->w;
    sim_node_power_on(m->node);
    m->node->faults = (struct sim_disk_faults){0};
    if (w->faults_left && !w->draining && sim_chance(&w->sim, 1, 6)) {
        w->faults_left--;
        sim_node_die_in(m->node, sim_between(&w->sim, 1, 100),
                        sim_chance(&w->sim, 1, 2) ? SIM_DEATH_KILL : SIM_DEATH_POWER);
    }
    sim_process_start(&m->process, m->node, &program, 1);
}

static void restart_run(struct sim *sim, struct sim_event *e)
{
    (void)sim;
    struct qw_member *m = container_of(e, struct qw_member, restart);
    maybe_empty(m);
    qw_member_start(m);
}

void qw_member_end(struct qw_member *m, enum sim_death how)
{
    if (m->process.running)
        sim_process_end(&m->process, how);
}
