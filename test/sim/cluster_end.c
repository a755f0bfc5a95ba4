// SPDX-License-Identifier: Apache-2.0
//
// The end of the cluster scenario: faults have stopped, everything is in sync again and was there, whoever is away, and
// every node comes to a clean stop.
#include "cluster_world.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"

// Everybody who is up has applied the metadata up to index: none of them says what was.
static bool all_know(const struct cluster_world *w, uint64_t index)
{
    for (uint32_t i = 0; i < w->node_count; i++)
        if (!w->nodes[i].down && w->nodes[i].image_index < index)
            return false;
    return true;
}

static bool all_settled(const struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count; i++) {
        const struct node *n = cluster_serving(&w->nodes[i]);
        if (!w->nodes[i].down && (!n || !w->nodes[i].ready || n->failed || n->engine->metadata_dir_failed || w->nodes[i].stopping ||
                                  w->nodes[i].vote != CLUSTER_VOTE_KEPT))
            return false;
    }
    bool some_down = false;
    for (uint32_t i = 0; i < w->node_count; i++)
        some_down |= w->nodes[i].down;
    return !cluster_clients_waiting(w) && (some_down || w->whole) && all_know(w, w->newest_index) &&
           cluster_elections_settled(w) && cluster_starts_settled(w);
}

static void why_not(const struct cluster_world *w, char *out, size_t n)
{
    const char *waiting = cluster_clients_waiting(w);
    int at = snprintf(out, n, "%s, %s%s;", waiting ? waiting : "clients idle", w->whole ? "whole" : "not whole",
                      cluster_starts_settled(w) ? "" : ", deleted records are back");
    for (uint32_t i = 0; i < w->node_count && at > 0 && (size_t)at < n; i++)
        at += snprintf(out + at, n - (size_t)at, " %u%s", i + 1,
                       w->nodes[i].down                ? " off"
                       : !w->nodes[i].process.running ? " dead"
                       : w->nodes[i].vote              ? " without its vote"
                       : w->nodes[i].ready             ? ""
                                                       : " not ready");
    for (uint32_t t = 0; t < w->account_count; t++)
        for (uint32_t k = 0; k < w->topics[t].partition_count && at > 0 && (size_t)at < n; k++)
            at += snprintf(out + at, n - (size_t)at, " %u-%u:%d/%u", t, k, w->topics[t].parts[k].leader + 1,
                           w->topics[t].parts[k].isr_count);
}

// Faults have stopped: in a minute everybody is back, everything is in sync and every request answered.
void cluster_settle(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    char why[300];
    w->draining = true;
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct sim_disk_faults *f = &w->nodes[i].machine->faults;
        w->nodes[i].machine->die_in_calls = 0;
        f->stalls = f->read_errors = f->write_errors = f->sync_errors = 0;
    }
    // A connection that its peer has forgotten may hold a cut for a minute.
    uint64_t newest = w->newest_index, began = sim->now_ns, until = began + 90 * SIM_S;
    while (!sim->failed && sim->now_ns < until && !all_know(w, newest))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    began = sim->now_ns;
    w->whole = false;
    while (!sim->failed && sim->now_ns < until && (!all_settled(w) || w->whole_asked_ns < began))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    cluster_refills(w); // or what is read from now on would count for less for a moment
    why_not(w, why, sizeof(why));
    if (!sim->failed && !all_settled(w))
        sim_fail(sim, "90 s after the last fault the cluster has not settled: %s", why);
}

void cluster_verify(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    sim_process_call(&w->clients, cluster_clients_verify, w->clients.program);
    uint64_t until = sim->now_ns + 60 * SIM_S;
    while (!sim->failed && sim->now_ns < until && cluster_clients_verifying(w))
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
    const char *who = cluster_clients_verifying(w);
    if (!sim->failed && who)
        sim_fail(sim, "what was acknowledged cannot be read within a minute: the %s are not through", who);
}

// Each node in turn is away; what the others hold is the same.
void cluster_each_away(struct cluster_world *w)
{
    for (uint32_t i = 0; i < w->node_count && !w->sim.failed && w->node_count >= 3; i++) {
        struct cluster_node *n = &w->nodes[i];
        n->down = true;
        sim_process_end(&n->process, SIM_DEATH_KILL);
        cluster_settle(w);
        if (!w->sim.failed)
            cluster_verify(w);
        n->down = false;
        sim_cancel(&w->sim, &n->restart);
        sim_schedule_in(&w->sim, &n->restart, SIM_MS, cluster_restart_run);
        cluster_settle(w);
    }
}

static void stop_inside(void *argument)
{
    node_stop(argument);
}

static void destroy_inside(void *argument)
{
    node_destroy(argument);
}

// A clean stop, one after the other, gives everything back that the process ever took.
void cluster_clean_stops(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    for (uint32_t i = 0; i < w->node_count && !sim->failed; i++) {
        struct cluster_node *c = &w->nodes[i];
        struct node *n = c->process.program;
        c->down = true;
        sim_process_call(&c->process, stop_inside, n);
        uint64_t until = sim->now_ns + 30 * SIM_S;
        while (!sim->failed && sim->now_ns < until && !node_stopped(n))
            sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
        if (sim->failed)
            return;
        if (!node_stopped(n)) {
            sim_fail(sim, "node %u does not come to a stop within 30 s", i + 1);
            return;
        }
        c->ready = false;
        sim_process_call(&c->process, destroy_inside, n);
        c->process.shards = NULL;
        size_t left = sim_process_exit(&c->process);
        if (left)
            sim_fail(sim, "node %u still holds %zu bytes after a clean stop", i + 1, left);
    }
}

// ------------------------------------------------------------------------------------------------ two of three emptied

static void hash_log(void *context, const char *path, struct sim_inode *i)
{
    uint64_t *hash = context;
    size_t n = strlen(path);
    if (i->sync_errors)
        return; // the page cache may forget what such a sync left behind
    if (!i->is_dir && strstr(path, "topic") && n > 4 && strcmp(path + n - 4, ".log") == 0)
        *hash = *hash * 31 + map_hash_bytes(bytes_of(i->p, i->bytes));
}

static uint64_t logs_hash(struct cluster_node *n)
{
    uint64_t hash = 1;
    sim_disk_walk(&n->machine->disk, hash_log, &hash);
    return hash;
}

// Two of three voters have lost their disks: nobody is elected, no second cluster forms, the third node's logs stay.
void cluster_two_emptied(struct cluster_world *w)
{
    struct sim *sim = &w->sim;
    if (sim->failed || w->node_count != 3 || !sim_chance(sim, 1, 6))
        return;
    uint32_t kept = (uint32_t)sim_between(sim, 0, 2);
    for (uint32_t i = 0; i < 3; i++) {
        sim_process_end(&w->nodes[i].process, SIM_DEATH_KILL);
        if (i == kept)
            continue;
        sim_disk_empty(&w->nodes[i].machine->disk);
        w->nodes[i].vote = CLUSTER_VOTE_LOST; // and nobody gives it back: there is no controller to do it
        w->nodes[i].directory = (struct uuid){0};
    }
    sim_run_until(sim, sim->now_ns + 100 * SIM_MS); // writes that the disk already had are over
    uint64_t hash = logs_hash(&w->nodes[kept]), elections = w->raft.elections;
    sim_run_until(sim, sim->now_ns + 20 * SIM_S);
    for (uint32_t i = 0; i < 3 && !sim->failed; i++) {
        const struct node *n = w->nodes[i].process.running ? w->nodes[i].process.program : NULL;
        if (n && n->engine && n->engine->quorum && raft_leads(quorum_raft(n->engine->quorum)))
            sim_fail(sim, "two of three voters lost their disks, and node %u leads", i + 1);
        if (w->nodes[i].ready)
            sim_fail(sim, "two of three voters lost their disks, and node %u serves", i + 1);
    }
    if (!sim->failed && w->raft.elections != elections)
        sim_fail(sim, "two of three voters lost their disks, and somebody was elected");
    if (!sim->failed && logs_hash(&w->nodes[kept]) != hash)
        sim_fail(sim, "two of three voters lost their disks, and the logs of node %u have changed", kept + 1);
    cluster_count(w, CLUSTER_TWO_EMPTIED, 1);
}
