// SPDX-License-Identifier: Apache-2.0
//
// The metadata of three to seven nodes: they form a cluster, or join one that grows, and go on through kills, power cuts,
// cut networks, stalled disks, wrong lists of peers and an emptied disk. See quorum_checks.c for what must hold.
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "quorum_world.h"

static void cut(struct qw_world *w)
{
    struct sim *sim = &w->sim;
    const struct sim_node *a = w->members[sim_between(sim, 0, w->node_count - 1)].node;
    uint64_t until = sim->now_ns + sim_between(sim, 10 * SIM_MS, 6 * SIM_S);
    bool one_way = sim_chance(sim, 1, 3), whole = sim_chance(sim, 1, 2);
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct sim_node *b = w->members[i].node;
        if (b == a || (!whole && sim_chance(sim, 1, 2)))
            continue;
        sim_net_cut(sim, a, b, until);
        if (!one_way)
            sim_net_cut(sim, b, a, until);
    }
}

static void harm(struct qw_world *w, struct qw_member *m)
{
    struct sim *sim = &w->sim;
    uint64_t dice = sim_between(sim, 0, 99);
    enum sim_death how = sim_chance(sim, 1, 2) ? SIM_DEATH_KILL : SIM_DEATH_POWER;
    sim_note(sim, SIM_NOTE_FAULT, m->node, dice, 0);
    w->result->other_faults += dice >= 55;
    if (dice < 25)
        qw_member_end(m, how);
    else if (dice < 50) // in the middle of a write
        sim_node_die_in(m->node, sim_between(sim, 1, 30), how);
    else if (dice < 55) // all at once
        for (uint32_t i = 0; i < w->node_count; i++)
            qw_member_end(&w->members[i], how);
    else if (dice < 80)
        cut(w);
    else if (dice < 85)
        sim_net_reset_one(sim, m->node);
    else if (dice < 90)
        m->node->faults.sync_errors++;
    else if (dice < 94)
        m->node->faults.write_errors++;
    else
        m->node->faults.stalls++;
}

static void fault_run(struct sim *sim, struct sim_event *e)
{
    struct qw_world *w = container_of(e, struct qw_world, fault);
    if (w->draining || !w->faults_left)
        return;
    sim_schedule_in(sim, e, sim_between(sim, 50 * SIM_MS, 3 * SIM_S), fault_run);
    struct qw_member *m = &w->members[sim_between(sim, 0, w->node_count - 1)];
    if (!m->process.running)
        return;
    w->faults_left--;
    harm(w, m);
}

// ---- the end: faults stop, and all is well within a bound ----

static void heal(struct qw_world *w)
{
    w->draining = true;
    memset(w->sim.cut_until_ns, 0, sizeof(w->sim.cut_until_ns));
    for (uint32_t i = 0; i < w->node_count; i++) {
        w->members[i].node->die_in_calls = 0;
        w->members[i].node->faults = (struct sim_disk_faults){0};
    }
    if (w->founders < w->node_count)
        qw_member_end(&w->members[0], SIM_DEATH_KILL);
}

// Who may not go on exits, and is started anew.
static void end_failed(struct qw_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct qw_program *g = w->members[i].process.running ? w->members[i].process.program : NULL;
        if (g && g->failed)
            qw_member_end(&w->members[i], SIM_DEATH_KILL);
    }
}

static bool quiet(struct qw_world *w)
{
    uint64_t index = 0;
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct qw_member *m = &w->members[i];
        struct qw_program *g = m->process.running ? m->process.program : NULL;
        if (!g || g->failed || !g->serves || !qw_client_idle(g))
            return false;
        // A node's return takes the controller several entries: nobody may be between two of them.
        struct quorum_status status;
        quorum_status(g->q, &status);
        if (status.queued || status.last_index != status.applied_index)
            return false;
        const struct image_node *n = image_node(g->reader.image, m->id);
        if (!n || n->fenced || (index && g->reader.image->index != index))
            return false;
        index = g->reader.image->index;
    }
    const struct qw_program *first = w->members[0].process.program;
    return qw_all_led(w, first->reader.image); // a new controller elects in pieces, with rests between them
}

// Who is not there, for the message of a failure.
static void say_state(struct qw_world *w, char *text, size_t text_bytes)
{
    size_t used = 0;
    for (uint32_t i = 0; i < w->node_count && used < text_bytes; i++) {
        struct qw_member *m = &w->members[i];
        struct qw_program *g = m->process.running ? m->process.program : NULL;
        const struct image_node *n = g ? image_node(quorum_image(g->q), m->id) : NULL;
        used += (size_t)snprintf(text + used, text_bytes - used, "; node %d:%s%s%s%s index %llu, leader %d", m->id,
                                 !g ? " away" : g->failed ? " failed" : "", g && g->serves ? " serves" : "",
                                 n ? n->fenced ? " fenced" : "" : " unregistered",
                                 g && !qw_client_idle(g) ? " busy" : "",
                                 g ? (unsigned long long)quorum_image(g->q)->index : 0,
                                 g ? quorum_raft(g->q)->leader.node : -1);
    }
    const struct qw_program *first = w->members[0].process.running ? w->members[0].process.program : NULL;
    if (first && used < text_bytes && !qw_all_led(w, quorum_image(first->q)))
        snprintf(text + used, text_bytes - used, "; partitions without a leader that one may lead");
}

static void settle(struct qw_world *w)
{
    char text[640];
    heal(w);
    uint64_t until = w->sim.now_ns + 60 * SIM_S;
    bool all = false;
    while (!w->sim.failed && w->sim.now_ns < until && !all) {
        sim_run_until(&w->sim, w->sim.now_ns + 20 * SIM_MS);
        end_failed(w);
        all = quiet(w);
    }
    if (!w->sim.failed && !all) {
        say_state(w, text, sizeof(text));
        sim_fail(&w->sim, "60 s after the last fault all is not well%s", text);
    }
    if (!w->sim.failed)
        qw_check_end(w);
}

static void worlds_begin(struct qw_world *w)
{
    static struct qw_member members[QW_NODES_MAX];
    struct sim *sim = &w->sim;
    memset(members, 0, sizeof(members));
    w->members = members;
    bool grows = sim_chance(sim, 1, 3);
    w->node_count = grows ? (uint32_t)sim_between(sim, 2, QW_NODES_MAX) : sim_chance(sim, 2, 3) ? 3 : 5;
    w->founders = !grows ? w->node_count : w->node_count > 3 && sim_chance(sim, 1, 2) ? 3 : 1;
    if (grows)
        w->emptied = w->node_count; // how many disks it can do without changes all the time
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct qw_member *m = &members[i];
        char name[16];
        snprintf(name, sizeof(name), "node%u", i + 1);
        *m = (struct qw_member){.w = w, .id = (int32_t)i + 1, .emptied = i >= w->founders};
        m->node = sim_node_create(sim, name, UINT64_C(1) << 30);
        m->process.user = m;
        w->peers[i].node = m->id;
        snprintf(w->peers[i].host, sizeof(w->peers[i].host), "%s", name);
        memcpy(w->peers[i].addr.ip, m->node->ip, sizeof(m->node->ip));
        w->peers[i].addr.port = QW_PORT;
    }
}

// Who joins waits for a cluster.
static void start_run(struct sim *sim, struct sim_event *e)
{
    struct qw_member *m = container_of(e, struct qw_member, restart);
    if ((uint32_t)m->id > m->w->founders && !m->w->formed && !m->w->draining)
        sim_schedule_in(sim, e, sim_between(sim, 50 * SIM_MS, 2 * SIM_S), start_run);
    else
        qw_member_start(m);
}

static void sink_write(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct qw_world *w = container_of(sink, struct qw_world, sink);
    w->leaderless_lines += strstr(line, "no controller: ") && strstr(line, "with their own folders");
    w->sim.sink.write(&w->sim.sink, level, line, n);
}

static void run(const struct sim_options *options, struct sim_result *result)
{
    static struct qw_world world; // large; one at a time
    struct qw_world *w = &world;
    memset(w, 0, sizeof(*w));
    w->options = options;
    w->result = result;
    w->faults_left = options->faults;
    struct sim *sim = &w->sim;
    sim_begin(sim, options);
    w->sink = (struct trace_sink){.level_min = TRACE_INFO, .write = sink_write};
    worlds_begin(w);
    for (uint32_t i = 0; i < w->node_count; i++)
        sim_schedule_in(sim, &w->members[i].restart, sim_between(sim, 0, 500 * SIM_MS), start_run);
    sim_schedule_in(sim, &w->client, SIM_MS, qw_client_run);
    if (options->faults)
        sim_schedule_in(sim, &w->fault, sim_between(sim, 0, 2 * SIM_S), fault_run);
    while (!sim->failed && sim->event_count < options->events)
        sim_step(sim);
    if (!sim->failed)
        settle(w);
    for (uint32_t i = 0; i < w->node_count && !sim->failed; i++)
        sim_process_end(&w->members[i].process, SIM_DEATH_POWER);
    if (!sim->failed)
        settle(w); // from what the disks hold
    if (!sim->failed && sim_chance(sim, 1, 4))
        qw_lose_majority(w);
    sim_report(sim, result);
    for (uint32_t i = 0; i < w->node_count; i++)
        qw_member_end(&w->members[i], SIM_DEATH_KILL);
    sim_deinit(sim);
}

const struct sim_scenario scenario_quorum = {
    .name = "quorum",
    .what = "the metadata of up to seven nodes under kills, power cuts, cut networks and emptied disks",
    .run = run,
};
