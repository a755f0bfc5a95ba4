// SPDX-License-Identifier: Apache-2.0
//
// The store scenario: when the client acts, what goes wrong, what happens after a death, and the end of the run.
#include "store_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

// ------------------------------------------------------------------------------------------------ topics

static void make_compacted(struct sim *sim, struct plog_config *c)
{
    c->compacts = true;
    c->deletes = sim_chance(sim, 1, 3);
    c->segment_bytes = (uint32_t)1 << sim_between(sim, 14, 16);
    c->min_cleanable_dirty_ratio = (double)sim_between(sim, 0, 50) / 100;
    c->delete_retention_ms = sim_chance(sim, 1, 2) ? 0 : (int64_t)sim_between(sim, 0, 3000);
    c->min_compaction_lag_ms = sim_chance(sim, 1, 4) ? (int64_t)sim_between(sim, 0, 500) : 0;
}

void store_world_make_topic(struct store_world *w, uint32_t slot)
{
    struct store_slot *s = &w->slots[slot];
    struct sim *sim = &w->sim;
    model_log_deinit(&s->model);
    model_keys_deinit(&s->keys);
    uint32_t generation = s->generation + 1;
    *s = (struct store_slot){.used = true, .generation = generation};
    snprintf(s->topic, sizeof(s->topic), "topic%u", ++w->topics_made);
    for (size_t k = 0; k < sizeof(s->id.topic_id.b); k++)
        s->id.topic_id.b[k] = (uint8_t)prng_next(&sim->prng);
    s->dir = (uint32_t)sim_between(sim, 0, w->dir_count - 1);
    s->config = PLOG_CONFIG_DEFAULT;
    s->config.segment_bytes = (uint32_t)1 << sim_between(sim, 14, 20);
    s->config.index_interval_bytes = (uint32_t)sim_between(sim, 0, 4096);
    s->config.file_delete_delay_ms = (int64_t)sim_between(sim, 0, 2000);
    static const int64_t flushes[] = {1, 1, 7, INT64_MAX, INT64_MAX};
    s->config.flush_messages = flushes[sim_between(sim, 0, ARRAY_COUNT(flushes) - 1)];
    if (sim_chance(sim, 1, 3))
        s->config.retention_bytes = (int64_t)sim_between(sim, 20 << 10, 1 << 20);
    if (sim_chance(sim, 1, 2))
        make_compacted(sim, &s->config);
    model_log_init(&s->model, s->topic, s->config.flush_messages);
    s->model.retention = s->config.retention_bytes >= 0 && s->config.deletes;
    s->model.tainted = s->model.tainted_ever = w->tainted;
    for (int k = 0; k < STORE_PRODUCERS; k++)
        s->producers[k] = (struct store_producer){.id = (int64_t)(w->topics_made * 10) + k};
}

// ------------------------------------------------------------------------------------------------ lives

static void restart_run(struct sim *sim, struct sim_event *e)
{
    struct store_world *w = container_of(e, struct store_world, restart);
    sim_node_power_on(w->node);
    w->faults_seen = store_faults_taken(w);
    w->swap_hit = false;
    if (!w->draining)
        sim_fault_at_start(sim, w->node, w->options, &w->faults_left, 200);
    sim_process_start(&w->process, w->node, &store_program_calls, 1);
}

void store_world_died(struct store_world *w, enum sim_death how)
{
    if (how == SIM_DEATH_POWER)
        w->result->power_cuts++;
    else
        w->result->kills++;
    // Linux calls pages clean that a failed sync did not write, and may take them back: the process died, and so did a
    // part of the page cache.
    bool cache_lost = w->node->faults.taken_sync_errors > 0;
    // Of a failure that no process lived to note nobody can know: in this boot nothing can be trusted to the disk.
    if (how == SIM_DEATH_KILL && w->node->sync_error_lost)
        w->tainted = true;
    for (uint32_t k = 0; k < w->slot_count; k++) {
        struct model_log *m = &w->slots[k].model;
        enum sim_death since = cache_lost ? SIM_DEATH_POWER : how;
        if (since > w->slots[k].since)
            w->slots[k].since = since;
        if (w->tainted)
            m->tainted = m->tainted_ever = true;
        if (store_disk_failed(w)) // a start that could not be noted was never answered
            m->start_seen = m->start_acked;
    }
    if (how == SIM_DEATH_POWER) {
        w->tainted = false; // the next boot reads what the platter has; each log's own taint ends with its check
        w->node->faults = (struct sim_disk_faults){0};
        w->faults_seen = 0;
    }
    sim_schedule_in(&w->sim, &w->restart, sim_between(&w->sim, SIM_MS, SIM_S), restart_run);
}

// ------------------------------------------------------------------------------------------------ events

static void client_run(struct sim *sim, struct sim_event *e)
{
    struct store_world *w = container_of(e, struct store_world, client);
    if (w->draining)
        return;
    sim_schedule_in(sim, e, sim_latency(sim, 200 * SIM_US), client_run);
    if (!w->process.running)
        return;
    struct store_program *g = store_program_of(&w->process);
    if (g->wants_restart) { // an operator starts it again
        sim_process_end(&w->process, SIM_DEATH_KILL);
        return;
    }
    sim_process_call(&w->process, store_client_act, g);
}

static void space_run(struct sim *sim, struct sim_event *e)
{
    struct store_world *w = container_of(e, struct store_world, space);
    (void)sim;
    w->node->disk.capacity_bytes = w->capacity_bytes;
}

// A bit of some log's file flips, on the platter and in the cache.
static void rot(struct store_world *w)
{
    static const char *const suffixes[] = {".log", ".log", ".index", ".timeindex", ".snapshot"};
    char path[256], folder[48];
    uint64_t offset;
    const char *suffix = suffixes[sim_between(&w->sim, 0, ARRAY_COUNT(suffixes) - 1)];
    if (!sim_disk_rot(&w->node->disk, suffix, path, sizeof(path), &offset))
        return;
    sim_say(&w->sim, w->node, "a bit of %s flips at %llu", path, (unsigned long long)offset);
    for (uint32_t k = 0; k < w->slot_count; k++) {
        snprintf(folder, sizeof(folder), "/%s-", w->slots[k].topic);
        if (strstr(path, folder))
            w->slots[k].model.rotten = w->slots[k].model.tainted_ever = true;
    }
}

static void fault_run(struct sim *sim, struct sim_event *e)
{
    struct store_world *w = container_of(e, struct store_world, fault);
    struct sim_disk_faults *f = &w->node->faults;
    if (w->draining || !w->faults_left)
        return;
    sim_fault_again(sim, e, w->options, 100 * SIM_US, fault_run);
    if (!w->process.running)
        return;
    w->faults_left--;
    uint64_t dice = sim_fault_draw(sim, &w->process, 25, 75, 200, w->result);
    if (dice < 75)
        return;
    if (dice < 79)
        f->write_errors++;
    else if (dice < 83)
        f->sync_errors++;
    else if (dice < 86)
        f->read_errors++;
    else if (dice < 90)
        f->stalls++;
    else if (dice < 92)
        rot(w);
    else if (dice < 96) {
        w->node->disk.capacity_bytes = w->node->disk.used_bytes + sim_between(sim, 0, 200 << 10);
        sim_schedule_in(sim, &w->space, sim_between(sim, 10 * SIM_MS, 4 * SIM_S), space_run);
    } else {
        w->node->wall_skew_ms += (int64_t)sim_between(sim, 0, 7200000) - 3600000;
    }
}

// ------------------------------------------------------------------------------------------------ the end

static bool all_settled(const struct store_world *w)
{
    if (!w->process.running)
        return false;
    const struct store_program *g = w->process.program;
    for (uint32_t k = 0; k < w->slot_count; k++)
        if (w->slots[k].used && (!g->attached[k] || !g->checked[k] || !plog_is_idle(&g->logs[k])))
            return false;
    return g->appends_out == 0 && g->checkpoints_out == 0 && g->starts_out == 0;
}

static void fail_unsettled(struct store_world *w)
{
    const struct store_program *g = w->process.program;
    if (!w->process.running) {
        sim_fail(&w->sim, "30 s after the last fault no process serves");
        return;
    }
    for (uint32_t k = 0; k < w->slot_count; k++)
        if (w->slots[k].used && (!g->attached[k] || !g->checked[k] || !plog_is_idle(&g->logs[k])))
            sim_fail(&w->sim, "30 s after the last fault %s, in state %d, is still %s", w->slots[k].topic,
                     g->logs[k].state, !g->attached[k] ? "not attached" : !g->checked[k] ? "not checked" : "busy");
    sim_fail(&w->sim, "30 s after the last fault %u appends, %u recovery points and %u log starts are waited for",
             g->appends_out, g->checkpoints_out, g->starts_out);
}

// Faults have stopped: everything asked for is answered and every log serves within half a minute.
static void settle(struct store_world *w)
{
    struct sim *sim = &w->sim;
    w->draining = true;
    w->node->disk.capacity_bytes = w->capacity_bytes;
    w->node->die_in_calls = 0;
    w->node->faults.read_errors = w->node->faults.write_errors = w->node->faults.sync_errors = 0;
    w->node->faults.stalls = 0;
    uint64_t until = sim->now_ns + 30 * SIM_S;
    while (!sim->failed && sim->now_ns < until && !all_settled(w)) {
        sim_run_until(sim, sim->now_ns + 10 * SIM_MS);
        if (w->process.running && store_program_of(&w->process)->wants_restart)
            sim_process_end(&w->process, SIM_DEATH_KILL);
    }
    if (!sim->failed && !all_settled(w))
        fail_unsettled(w);
}

static void check_all(void *argument)
{
    struct store_program *g = argument;
    for (uint32_t k = 0; k < g->w->slot_count && !g->w->sim.failed; k++)
        if (g->w->slots[k].used)
            store_program_check(g, k);
}

// One last death of each kind: what was acknowledged is looked for again.
static void last_deaths(struct store_world *w)
{
    static const enum sim_death deaths[] = {SIM_DEATH_KILL, SIM_DEATH_POWER};
    for (size_t k = 0; k < ARRAY_COUNT(deaths) && !w->sim.failed; k++) {
        if (w->process.running)
            sim_process_call(&w->process, check_all, w->process.program);
        if (w->sim.failed)
            return;
        sim_process_end(&w->process, deaths[k]);
        settle(w);
    }
}

static void run(const struct sim_options *options, struct sim_result *result)
{
    static struct store_world world; // large; one at a time
    struct store_world *w = &world;
    *w = (struct store_world){.options = options, .result = result, .faults_left = options->faults};
    struct sim *sim = &w->sim;
    sim_begin(sim, options);
    w->capacity_bytes = UINT64_C(1) << 30;
    w->node = sim_node_create(sim, "node", w->capacity_bytes);
    w->process.user = w;
    w->dir_count = (uint32_t)sim_between(sim, 1, STORE_DIRS_MAX);
    w->slot_count = (uint32_t)sim_between(sim, 1, STORE_LOGS_MAX);
    for (uint32_t k = 0; k < w->slot_count; k++)
        store_world_make_topic(w, k);
    sim_schedule_in(sim, &w->restart, 0, restart_run);
    sim_schedule_in(sim, &w->client, SIM_MS, client_run);
    if (options->faults)
        sim_schedule_in(sim, &w->fault, 10 * SIM_MS, fault_run);
    while (!sim->failed && sim->event_count < options->events)
        sim_step(sim);
    if (!sim->failed)
        settle(w);
    if (!sim->failed)
        last_deaths(w);
    sim_report(sim, result);
    if (w->process.running)
        sim_process_end(&w->process, SIM_DEATH_KILL);
    for (uint32_t k = 0; k < w->slot_count; k++) {
        model_log_deinit(&w->slots[k].model);
        model_keys_deinit(&w->slots[k].keys);
    }
    sim_deinit(sim);
}

const struct sim_scenario scenario_store = {
    .name = "store",
    .what = "partition logs under kills, power cuts, failed and full disks",
    .run = run,
};
