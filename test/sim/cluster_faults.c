// SPDX-License-Identifier: Apache-2.0
//
// What goes wrong in the cluster scenario: the table of actions, who dies how, and when who died comes back.
#include "cluster_world.h"

#include <string.h>

#include "base/assert.h"

void cluster_restart_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_node *n = container_of(e, struct cluster_node, restart);
    struct cluster_world *w = n->w;
    if (n->process.running || n->down)
        return;
    sim_node_power_on(n->machine);
    if (w->faults_left && !w->draining && sim_chance(sim, 1, 8)) { // in the middle of its start
        w->faults_left--;
        sim_node_die_in(n->machine, sim_between(sim, 1, 200), SIM_DEATH_KILL);
    }
    w->groups.lives[n->index] = (uint16_t)(n->machine->processes + 1);
    sim_process_start(&n->process, n->machine, &cluster_node_calls, w->shard_count);
}

static void count_disk_errors(struct cluster_node *n)
{
    struct sim_disk_faults *f = &n->machine->faults;
    uint64_t taken = f->taken_read_errors + f->taken_write_errors + f->taken_sync_errors + f->space_errors;
    cluster_count(n->w, CLUSTER_DISK_ERRORS, taken - n->disk_errors);
    n->disk_errors = f->taken_sync_errors || taken ? taken : 0;
}

// Who lost what it had not synced comes back while producers pause, and not at once to everybody: what its earlier life had
// fetched must not count for it.
static void hush(struct cluster_world *w, const struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    if (w->synced || w->draining || w->node_count < 3 || !sim_chance(sim, 1, 2))
        return;
    w->hushed_until_ns = sim->now_ns + 3 * SIM_S;
    const struct cluster_node *other = &w->nodes[sim_between(sim, 0, w->node_count - 1)];
    if (other == n)
        return;
    uint64_t until = sim->now_ns + sim_between(sim, 500 * SIM_MS, 3 * SIM_S);
    sim_net_cut(sim, n->machine, other->machine, until);
    sim_net_cut(sim, other->machine, n->machine, until);
}

void cluster_node_died(struct cluster_node *n, enum sim_death how)
{
    struct cluster_world *w = n->w;
    struct sim_disk_faults *f = &n->machine->faults;
    // After a failed sync Linux calls pages clean that were never written, and may take them back: until the machine
    // starts anew a node whose disk failed a write or a sync counts as one that lost its page cache. Of a failure that no
    // process lived to note nobody can know: there the machine is started anew.
    bool cache_lost = f->taken_sync_errors + f->taken_write_errors + f->space_errors > 0;
    n->ready = n->wants_restart = n->stopping = false;
    if (how == SIM_DEATH_KILL && n->machine->sync_error_lost) {
        how = SIM_DEATH_POWER;
        sim_node_power_off(n->machine);
    }
    count_disk_errors(n);
    for (uint32_t k = 0; k < CLUSTER_PARTITIONS_MAX; k++)
        cluster_count(w, CLUSTER_MOVED_DECIDING, n->deciding[k]);
    memset(n->deciding, 0, sizeof(n->deciding));
    if (how == SIM_DEATH_POWER) {
        w->result->power_cuts++;
        n->machine->faults = (struct sim_disk_faults){0};
        hush(w, n);
    } else {
        w->result->kills++;
    }
    if (how == SIM_DEATH_POWER || cache_lost) {
        cluster_count(w, CLUSTER_LOST_PAGES, 1);
        cluster_node_lost(n, false);
    }
    uint64_t most = sim_chance(&w->sim, 1, 4) ? 3 * SIM_S : SIM_S;
    if (sim_chance(&w->sim, 1, 6))
        most = 20 * SIM_MS; // back before anybody noticed
    sim_schedule_in(&w->sim, &n->restart, sim_between(&w->sim, SIM_MS, most), cluster_restart_run);
}

// The answer to an ISR change is lost with the controller that gave it, and who joined falls behind: nothing may count as
// committed that it lacks.
static void lose_answer(struct cluster_world *w)
{
    uint32_t leader, joiner, controller;
    if (w->node_count < 4 || w->draining || !w->faults_left || !cluster_joining(w, &leader, &joiner, &controller) ||
        !sim_chance(&w->sim, 1, 2))
        return;
    struct sim_node *a = w->nodes[leader].machine, *b = w->nodes[joiner].machine;
    uint64_t until = w->sim.now_ns + sim_between(&w->sim, 100 * SIM_MS, 2 * SIM_S);
    w->faults_left--;
    w->result->other_faults++;
    sim_note(&w->sim, SIM_NOTE_FAULT, w->nodes[controller].machine, 100, leader);
    sim_net_cut(&w->sim, a, b, until);
    sim_net_cut(&w->sim, b, a, until);
    sim_process_end(&w->nodes[controller].process, SIM_DEATH_KILL);
}

static bool dir_offline(const struct cluster_node *c)
{
    const struct node *n = c->process.program;
    for (unsigned k = 0; n && k < n->dir_count; k++)
        if (log_dir_is_offline(&n->dirs[k]))
            return true;
    return false;
}

static void destroy_inside(void *argument)
{
    node_destroy(argument);
}

// It has come to its clean stop in the middle of the run, and gives everything back.
static void stopped(struct cluster_node *c)
{
    struct node *n = c->process.program;
    if (!n->quiet) { // the process ends as it is, as by a kill
        sim_process_end(&c->process, SIM_DEATH_KILL);
        return;
    }
    if (!sim_process_call(&c->process, destroy_inside, n))
        return; // it died on the way
    c->process.shards = NULL;
    c->process.program = NULL;
    size_t left = sim_process_exit(&c->process);
    if (left)
        sim_fail(&c->w->sim, "node %u still holds %zu bytes after a clean stop", c->index + 1, left);
}

// An operator: starts a process again that gave up or lost its folder, and looks at everybody.
void cluster_watch_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_world *w = container_of(e, struct cluster_world, watch);
    sim_schedule_in(sim, e, sim_between(sim, 5, 30) * SIM_MS, cluster_watch_run);
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct cluster_node *n = &w->nodes[i];
        if (n->process.running && n->machine->memory.bytes > w->shard_count * CLUSTER_MEMORY_BYTES + (UINT64_C(16) << 20))
            sim_fail(sim, "node %u holds %zu bytes, its budget is %llu", i + 1, n->machine->memory.bytes,
                     (unsigned long long)(w->shard_count * CLUSTER_MEMORY_BYTES));
        if (n->process.running && n->stopping && node_stopped(n->process.program))
            stopped(n);
        if (n->process.running && (n->wants_restart || dir_offline(n)))
            sim_process_end(&n->process, SIM_DEATH_KILL);
    }
    cluster_refills(w);
    lose_answer(w);
}

// ------------------------------------------------------------------------------------------------ faults

static struct sim_node *any_machine(struct cluster_world *w)
{
    uint32_t i = (uint32_t)sim_between(&w->sim, 0, w->node_count);
    return i == w->node_count ? w->machine : w->nodes[i].machine;
}

static void cut_both(struct sim *sim, const struct sim_node *a, const struct sim_node *b, uint64_t until)
{
    sim_net_cut(sim, a, b, until);
    sim_net_cut(sim, b, a, until);
}

// One machine from a random part of the others, in one direction or both; or everybody into two sides.
static void part_sides(struct cluster_world *w, const struct sim_node *one, uint64_t until)
{
    struct sim *sim = &w->sim;
    uint32_t sides = (uint32_t)sim_between(sim, 0, (1u << (w->node_count + 1)) - 1);
    uint64_t ways = sim_between(sim, 1, 3);
    bool all = sim_chance(sim, 1, 3);
    for (uint32_t i = 0; i <= w->node_count; i++)
        for (uint32_t j = 0; j <= w->node_count; j++) {
            const struct sim_node *a = i == w->node_count ? w->machine : w->nodes[i].machine;
            const struct sim_node *b = j == w->node_count ? w->machine : w->nodes[j].machine;
            bool parted = all ? (sides >> i & 1) && !(sides >> j & 1) : a == one && b != one && (sides >> j & 1);
            if (parted && (ways & 1))
                sim_net_cut(sim, a, b, until);
            if (parted && (ways & 2))
                sim_net_cut(sim, b, a, until);
        }
}

static bool part_network(struct cluster_world *w, struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    uint64_t until = sim->now_ns + sim_between(sim, SIM_MS, sim_chance(sim, 1, 3) ? 3 * SIM_S : 300 * SIM_MS);
    struct sim_node *a = any_machine(w), *b = any_machine(w);
    (void)n;
    w->result->other_faults++;
    switch (sim_between(sim, 0, 4)) {
    case 0: // one machine from all the others
        for (uint32_t i = 0; i < w->node_count; i++)
            if (w->nodes[i].machine != a)
                cut_both(sim, a, w->nodes[i].machine, until);
        break;
    case 1:
        if (a != b)
            sim_net_cut(sim, a, b, until);
        break;
    case 2:
        if (a != b)
            cut_both(sim, a, b, until);
        break;
    case 3:
        part_sides(w, a, until);
        break;
    default:
        sim_net_reset_one(sim, a);
    }
    return true;
}

static bool end_process(struct cluster_world *w, struct cluster_node *n)
{
    sim_process_end(&n->process, sim_chance(&w->sim, 1, 3) ? SIM_DEATH_POWER : SIM_DEATH_KILL);
    return true;
}

static bool end_soon(struct cluster_world *w, struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    sim_node_die_in(n->machine, sim_between(sim, 1, sim_chance(sim, 1, 2) ? 8 : 300),
                    sim_chance(sim, 1, 3) ? SIM_DEATH_POWER : SIM_DEATH_KILL);
    return true;
}

// Of all machines, or of some; those without a process lose their page cache, too.
static bool cut_power(struct cluster_world *w, struct cluster_node *n)
{
    bool all = sim_chance(&w->sim, 1, 2);
    (void)n;
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct cluster_node *c = &w->nodes[i];
        if (!all && sim_chance(&w->sim, 1, 2))
            continue;
        if (c->process.running) {
            sim_process_end(&c->process, SIM_DEATH_POWER);
        } else if (c->machine->powered) {
            sim_node_power_off(c->machine);
            c->machine->faults = (struct sim_disk_faults){0};
            cluster_count(w, CLUSTER_LOST_PAGES, 1);
            cluster_node_lost(c, false);
        }
    }
    return true;
}

static bool pause_process(struct cluster_world *w, struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    w->result->other_faults++;
    cluster_count(w, CLUSTER_PAUSES, 1);
    sim_process_pause(&n->process, sim->now_ns + sim_between(sim, 10 * SIM_MS, sim_chance(sim, 1, 2) ? 4 * SIM_S : 600 * SIM_MS));
    return true;
}

static void stop_inside(void *argument)
{
    node_stop(argument);
}

static bool stop_cleanly(struct cluster_world *w, struct cluster_node *n)
{
    (void)w;
    if (!n->ready || n->stopping || n->wants_restart || n->process.paused_until_ns > w->sim.now_ns)
        return false;
    n->stopping = true;
    sim_process_call(&n->process, stop_inside, n->process.program);
    return true;
}

static bool fail_disk(struct cluster_world *w, struct cluster_node *n)
{
    struct sim_disk_faults *f = &n->machine->faults;
    uint64_t dice = sim_between(&w->sim, 0, 3);
    w->result->other_faults++;
    f->read_errors += dice == 0;
    f->write_errors += dice == 1;
    f->sync_errors += dice == 2;
    f->stalls += dice == 3;
    return true;
}

static void space_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_node *n = container_of(e, struct cluster_node, space);
    (void)sim;
    n->machine->disk.capacity_bytes = CLUSTER_DISK_BYTES;
}

static bool fill_disk(struct cluster_world *w, struct cluster_node *n)
{
    struct sim *sim = &w->sim;
    w->result->other_faults++;
    n->machine->disk.capacity_bytes = n->machine->disk.used_bytes + sim_between(sim, 0, 100 << 10);
    sim_schedule_in(sim, &n->space, sim_between(sim, 10 * SIM_MS, 2 * SIM_S), space_run);
    return true;
}

// A new disk is put in. Of the voters fewer than half may be without their vote at any time, or there is no cluster.
static bool empty_disk(struct cluster_world *w, struct cluster_node *n)
{
    uint32_t voters = w->node_count < CLUSTER_VOTERS ? w->node_count : CLUSTER_VOTERS, without = 0;
    for (uint32_t i = 0; i < voters; i++)
        without += w->nodes[i].vote != CLUSTER_VOTE_KEPT;
    bool votes = n->index < voters;
    if (!w->formed || uuid_is_zero(n->directory) || n->vote != CLUSTER_VOTE_KEPT ||
        (votes && 2 * (without + 1) >= voters))
        return false;
    sim_process_end(&n->process, SIM_DEATH_KILL);
    sim_disk_empty(&n->machine->disk);
    cluster_node_lost(n, true);
    cluster_count(w, CLUSTER_EMPTIED, 1);
    n->lost_directory = n->directory;
    n->directory = (struct uuid){0};
    n->vote = votes ? CLUSTER_VOTE_LOST : CLUSTER_VOTE_KEPT;
    return true;
}

static bool move_clock(struct cluster_world *w, struct cluster_node *n)
{
    w->result->other_faults++;
    n->machine->wall_skew_ms = (int64_t)sim_between(&w->sim, 0, 600000) - 300000;
    return true;
}

static bool evict(struct cluster_world *w, struct cluster_node *n)
{
    w->result->other_faults++;
    sim_node_evict(n->machine);
    return true;
}

static const struct cluster_action
    kill_now = {"a process or its machine dies", 24, end_process},
    kill_soon = {"a process or its machine dies in the middle of a turn", 22, end_soon},
    power = {"the power fails", 4, cut_power},
    clean = {"a node is stopped cleanly", 6, stop_cleanly},
    paused = {"a process is stopped and continued", 7, pause_process},
    cut = {"the network parts", 30, part_network},
    disk = {"an operation of a disk fails or takes 10 s", 8, fail_disk},
    full = {"a disk is full", 3, fill_disk},
    empty = {"a disk is emptied", 4, empty_disk},
    clock = {"a clock jumps", 4, move_clock},
    evicted = {"the page cache drops clean pages", 4, evict};

// Another one is a line here, and where it is more than a few lines a file of its own.
static const struct cluster_action *const actions[] = {
    &kill_now, &kill_soon, &power, &clean, &paused, &cut, &disk, &full, &empty, &clock, &evicted,
};

void cluster_fault_run(struct sim *sim, struct sim_event *e)
{
    struct cluster_world *w = container_of(e, struct cluster_world, fault);
    uint32_t total = 0, at = 0;
    if (w->draining || !w->faults_left)
        return;
    sim_fault_again(sim, e, w->options, 300 * SIM_US, cluster_fault_run);
    struct cluster_node *n = &w->nodes[sim_between(sim, 0, w->node_count - 1)];
    if (!n->process.running)
        return;
    for (size_t k = 0; k < ARRAY_COUNT(actions); k++)
        total += actions[k]->weight;
    uint64_t dice = sim_between(sim, 0, total - 1);
    while (dice >= actions[at]->weight)
        dice -= actions[at++]->weight;
    sim_note(sim, SIM_NOTE_FAULT, n->machine, at, n->index);
    sim_say(sim, n->machine, "%s", actions[at]->name);
    if (actions[at]->act(w, n))
        w->faults_left--;
}
