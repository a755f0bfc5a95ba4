// SPDX-License-Identifier: Apache-2.0
//
// The metadata of one node under kills, power cuts and failing syncs: quorum, journal, snapshots and controller as they
// run in the product. Every request that was answered is there after every start, with the same topic id; no producer
// id is given twice; a start is refused never.
#include "scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/quorum.h"
#include "shard_program.h"
#include "wire/messages.h"

struct meta_program;

enum { TOPICS_MAX = 4096, OPS_MAX = 6 };

// What is known of a topic: what was asked for, and what was answered.
enum fate { FATE_NONE, FATE_ASKED, FATE_THERE, FATE_DELETING, FATE_GONE };

struct model_topic {
    enum fate fate;
    struct uuid id;
    int64_t retention_ms, retention_asked; // 0: none; asked: the newest one sent
    int32_t leader_epoch;
};

struct meta_world {
    struct sim sim;
    const struct sim_options *options;
    struct sim_result *result;
    struct sim_node *node;
    struct sim_process process;
    struct sim_event restart, client, fault;
    struct model_topic topics[TOPICS_MAX];
    uint32_t topic_count;
    int64_t producer_ids_given; // ids below this were answered
    int64_t broker_epoch;
    uint64_t faults_left;
    bool draining;
};

struct meta_op {
    struct meta_program *g;
    struct quorum_op op;
    struct arena arena;
    bool busy;
    uint32_t topic;
    char name[24];
    struct bytes text;
    union {
        struct create_topics_request create;
        struct delete_topics_request delete;
        struct incremental_alter_configs_request alter;
        struct controller_producer_ids ids;
    } in;
    union {
        struct create_topics_response create;
        struct delete_topics_response delete;
        struct incremental_alter_configs_response alter;
    } out;
    struct create_topics_request_topic topic_in;
    struct incremental_alter_configs_request_resource resource;
    struct incremental_alter_configs_request_config config;
    char value[24];
};

struct meta_program {
    struct shard_group group; // first: see shard_program.h
    struct meta_world *w;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct quorum *q;
    struct quorum_reader reader;
    struct quorum_registration registration;
    struct image_listener listener;
    struct meta_op ops[OPS_MAX];
    bool serves, failed;
};

// ------------------------------------------------------------------------------------------------ checks

static void check_topic(struct meta_world *w, const struct image *i, uint32_t number)
{
    struct model_topic *m = &w->topics[number];
    char name[24];
    snprintf(name, sizeof(name), "t%u", number);
    const struct image_topic *t = image_topic_by_name(i, bytes_str(name));
    w->result->checks++;
    if (m->fate == FATE_ASKED && t) { // it was committed though nobody was told
        m->fate = FATE_THERE;
        m->id = t->id;
    } else if (m->fate == FATE_ASKED) {
        m->fate = FATE_GONE;
    } else if (m->fate == FATE_DELETING) {
        m->fate = t ? FATE_THERE : FATE_GONE;
    }
    if ((m->fate == FATE_THERE) != (t != NULL))
        sim_fail(&w->sim, "topic %s %s", name, t ? "is back after its deletion" : "was acknowledged and is gone");
    if (!t || m->fate != FATE_THERE)
        return;
    if (!uuid_eq(t->id, m->id))
        sim_fail(&w->sim, "topic %s has another id", name);
    bool found;
    const char *value = config_layer_get(image_topic_configs(t), "retention.ms", &found);
    int64_t retention = 0;
    if (found && !config_parse_int(value, &retention))
        sim_fail(&w->sim, "topic %s: retention.ms is %s", name, value);
    if (retention < m->retention_ms || retention > m->retention_asked)
        sim_fail(&w->sim, "topic %s: retention.ms %lld, acknowledged %lld, asked %lld", name, (long long)retention,
                 (long long)m->retention_ms, (long long)m->retention_asked);
    m->retention_ms = retention;
    m->retention_asked = retention;
    const struct image_partition *p = image_partition(t, 0);
    if (!p || p->leader != 1 || p->leader_epoch < m->leader_epoch)
        sim_fail(&w->sim, "topic %s: leader epoch %d after %d", name, p ? p->leader_epoch : -1, m->leader_epoch);
    else
        m->leader_epoch = p->leader_epoch;
}

static void check_image(struct meta_program *g)
{
    struct meta_world *w = g->w;
    const struct image *i = g->reader.image;
    for (uint32_t k = 0; k < w->topic_count && !w->sim.failed; k++)
        check_topic(w, i, k);
    if (i->next_producer_id < w->producer_ids_given)
        sim_fail(&w->sim, "producer ids from %lld on would be given again, %lld are gone",
                 (long long)i->next_producer_id, (long long)w->producer_ids_given);
}

// ------------------------------------------------------------------------------------------------ the program

static void on_failed(void *context, enum rc rc, const char *text)
{
    struct meta_program *g = context;
    (void)rc, (void)text;
    g->failed = true;
}

static void on_registered(struct quorum_registration *r, enum rc rc)
{
    struct meta_program *g = container_of(r, struct meta_program, registration);
    if (rc != RC_OK)
        return;
    if (r->broker_epoch <= g->w->broker_epoch)
        sim_fail(&g->w->sim, "broker epoch %lld after %lld", (long long)r->broker_epoch, (long long)g->w->broker_epoch);
    g->w->broker_epoch = r->broker_epoch;
    g->serves = true;
}

static void boot(struct sim_process *p)
{
    struct meta_world *w = p->user;
    struct meta_program *g = calloc(1, sizeof(*g));
    char text[1024] = "";
    ASSERT(g);
    p->program = g;
    p->shards = &g->group;
    g->w = w;
    enum rc rc = shard_group_create(&g->group, p->ios, 1, 64, &w->sim.sink);
    ASSERT(rc == RC_OK);
    rc = log_dir_open(&g->dir, p->ios[0], &w->sim.sink, "/data", text, sizeof(text));
    g->dirs[0] = &g->dir;
    struct quorum_config c = {.shard = &g->group.shards[0],
                              .trace = &w->sim.sink,
                              .node_id = 1,
                              .log_dirs = g->dirs,
                              .log_dir_count = 1,
                              .metadata_dir = &g->dir,
                              .snapshot_log_bytes = sim_between(&w->sim, 2000, 100000),
                              .failed = on_failed,
                              .context = g};
    if (rc == RC_OK)
        rc = quorum_create(&g->q, &c, text, sizeof(text));
    if (rc == RC_OK) {
        quorum_attach(g->q, &g->group.shards[0], &g->reader);
        rc = quorum_start(g->q, text, sizeof(text));
    }
    if (rc != RC_OK) {
        if (w->node->faults.taken_write_errors + w->node->faults.taken_sync_errors == 0)
            sim_fail(&w->sim, "the start is refused: %s (%s)", text, rc_name(rc));
        p->boot_failed = true;
        return;
    }
    check_image(g);
    g->listener = (struct image_listener){.name = "PLAINTEXT", .host = "node", .port = 9092};
    g->registration = (struct quorum_registration){
        .listeners = &g->listener, .listener_count = 1, .logs_whole = true, .done = on_registered};
    quorum_register(g->q, &g->registration);
}

// ------------------------------------------------------------------------------------------------ the client

static void settle_answer(struct meta_program *g, struct meta_op *o)
{
    struct meta_world *w = g->w;
    struct model_topic *m = &w->topics[o->topic < TOPICS_MAX ? o->topic : 0];
    if (o->op.kind == CONTROLLER_CREATE_TOPICS) {
        if (o->out.create.topics[0].error_code)
            sim_fail(&w->sim, "topic %s refused: %d", o->name, o->out.create.topics[0].error_code);
        m->fate = FATE_THERE;
        m->id = o->out.create.topics[0].topic_id;
    } else if (o->op.kind == CONTROLLER_DELETE_TOPICS) {
        if (o->out.delete.responses[0].error_code)
            sim_fail(&w->sim, "deletion of %s refused: %d", o->name, o->out.delete.responses[0].error_code);
        m->fate = FATE_GONE;
    } else if (o->op.kind == CONTROLLER_INCREMENTAL_ALTER_CONFIGS) {
        if (o->out.alter.responses[0].error_code)
            sim_fail(&w->sim, "change of %s refused: %d", o->name, o->out.alter.responses[0].error_code);
        m->retention_ms = m->retention_asked;
    } else {
        if (o->in.ids.first < w->producer_ids_given)
            sim_fail(&w->sim, "producer id %lld is given twice", (long long)o->in.ids.first);
        w->producer_ids_given = o->in.ids.first + o->in.ids.count;
    }
}

static void on_answer(struct quorum_op *op, enum rc rc)
{
    struct meta_op *o = container_of(op, struct meta_op, op);
    o->busy = false;
    if (rc == RC_OK) {
        o->g->w->result->acked++;
        settle_answer(o->g, o);
    }
    arena_deinit(&o->arena); // anything else is an unknown outcome: the next start tells
}

static void ask_create(struct meta_world *w, struct meta_op *o)
{
    o->topic = w->topic_count++;
    w->topics[o->topic] = (struct model_topic){.fate = FATE_ASKED};
    create_topics_request_init(&o->in.create);
    create_topics_request_topic_init(&o->topic_in);
    o->topic_in.name = o->text;
    o->topic_in.num_partitions = (int32_t)sim_between(&w->sim, 1, sim_chance(&w->sim, 1, 20) ? 2000 : 4);
    o->topic_in.replication_factor = 1;
    o->in.create.topics = &o->topic_in;
    o->in.create.topics_count = 1;
    o->op.kind = CONTROLLER_CREATE_TOPICS;
}

static void ask_alter(struct meta_world *w, struct meta_op *o)
{
    struct model_topic *m = &w->topics[o->topic];
    m->retention_asked++;
    snprintf(o->value, sizeof(o->value), "%lld", (long long)m->retention_asked);
    incremental_alter_configs_request_init(&o->in.alter);
    o->config = (struct incremental_alter_configs_request_config){.name = bytes_str("retention.ms"),
                                                                  .value = bytes_str(o->value)};
    o->resource = (struct incremental_alter_configs_request_resource){
        .resource_type = CONFIG_RESOURCE_TOPIC, .resource_name = o->text, .configs = &o->config, .configs_count = 1};
    o->in.alter.resources = &o->resource;
    o->in.alter.resources_count = 1;
    o->op.kind = CONTROLLER_INCREMENTAL_ALTER_CONFIGS;
}

static void ask_delete(struct meta_world *w, struct meta_op *o)
{
    w->topics[o->topic].fate = FATE_DELETING;
    delete_topics_request_init(&o->in.delete);
    o->in.delete.topic_names = &o->text;
    o->in.delete.topic_names_count = 1;
    o->op.kind = CONTROLLER_DELETE_TOPICS;
}

static bool topic_busy(const struct meta_program *g, uint32_t topic)
{
    for (int k = 0; k < OPS_MAX; k++)
        if (g->ops[k].busy && g->ops[k].topic == topic)
            return true;
    return false;
}

static void act(void *argument)
{
    struct meta_program *g = argument;
    struct meta_world *w = g->w;
    struct meta_op *o = &g->ops[sim_between(&w->sim, 0, OPS_MAX - 1)];
    if (o->busy || !g->serves)
        return;
    *o = (struct meta_op){.g = g};
    uint64_t dice = sim_between(&w->sim, 0, 9);
    o->topic = w->topic_count ? (uint32_t)sim_between(&w->sim, 0, w->topic_count - 1) : 0;
    bool old = w->topic_count && w->topics[o->topic].fate == FATE_THERE && !topic_busy(g, o->topic);
    bool fresh = (dice < 4 || !old) && w->topic_count < TOPICS_MAX;
    if (!fresh && !old)
        return;
    snprintf(o->name, sizeof(o->name), "t%u", fresh ? w->topic_count : o->topic);
    o->text = bytes_str(o->name);
    if (dice == 9) {
        o->topic = TOPICS_MAX;
        o->in.ids = (struct controller_producer_ids){.node = 1, .broker_epoch = w->broker_epoch};
        o->op.kind = CONTROLLER_PRODUCER_IDS;
    } else if (fresh) {
        ask_create(w, o);
    } else if (dice < 7) {
        ask_alter(w, o);
    } else {
        ask_delete(w, o);
    }
    arena_init(&o->arena, 64 << 20, NULL, 0);
    o->op.request = &o->in;
    o->op.answer = o->op.kind == CONTROLLER_PRODUCER_IDS ? (void *)&o->in : (void *)&o->out;
    o->op.arena = &o->arena;
    o->op.done = on_answer;
    o->busy = true;
    quorum_submit(g->q, &g->group.shards[0], &o->op);
}

// ------------------------------------------------------------------------------------------------ events

static const struct sim_program program;

static void restart_run(struct sim *sim, struct sim_event *e)
{
    struct meta_world *w = container_of(e, struct meta_world, restart);
    sim_node_power_on(w->node);
    w->node->faults = (struct sim_disk_faults){0};
    if (!w->draining)
        sim_fault_at_start(sim, w->node, w->options, &w->faults_left, 100);
    sim_process_start(&w->process, w->node, &program, 1);
}

static void died(struct sim_process *p, enum sim_death how)
{
    struct meta_world *w = p->user;
    w->result->power_cuts += how == SIM_DEATH_POWER;
    w->result->kills += how != SIM_DEATH_POWER;
    sim_schedule_in(&w->sim, &w->restart, sim_between(&w->sim, SIM_MS, 200 * SIM_MS), restart_run);
}

static const struct sim_program program = {.boot = boot, .turn = sim_shard_turn, .died = died};

static void client_run(struct sim *sim, struct sim_event *e)
{
    struct meta_world *w = container_of(e, struct meta_world, client);
    if (w->draining)
        return;
    sim_schedule_in(sim, e, sim_latency(sim, 300 * SIM_US), client_run);
    if (!w->process.running)
        return;
    struct meta_program *g = w->process.program;
    if (g->failed) // as the server does: it may not go on
        sim_process_end(&w->process, SIM_DEATH_KILL);
    else
        sim_process_call(&w->process, act, g);
}

static void fault_run(struct sim *sim, struct sim_event *e)
{
    struct meta_world *w = container_of(e, struct meta_world, fault);
    if (w->draining || !w->faults_left)
        return;
    sim_fault_again(sim, e, w->options, 100 * SIM_US, fault_run);
    if (!w->process.running)
        return;
    w->faults_left--;
    uint64_t dice = sim_fault_draw(sim, &w->process, 25, 85, 100, w->result);
    if (dice < 85)
        return;
    if (dice < 90)
        w->node->faults.sync_errors++;
    else if (dice < 95)
        w->node->faults.write_errors++;
    else
        w->node->faults.stalls++;
}

// Faults are over: the node serves, and everything asked for is answered.
static void settle(struct meta_world *w)
{
    w->draining = true;
    w->node->die_in_calls = 0;
    w->node->faults = (struct sim_disk_faults){0};
    uint64_t until = w->sim.now_ns + 30 * SIM_S;
    bool quiet = false;
    while (!w->sim.failed && w->sim.now_ns < until && !quiet) {
        sim_run_until(&w->sim, w->sim.now_ns + 10 * SIM_MS);
        const struct meta_program *g = w->process.program;
        quiet = w->process.running && g->serves && !g->failed;
        for (int k = 0; quiet && k < OPS_MAX; k++)
            quiet = !g->ops[k].busy;
        if (w->process.running && g->failed)
            sim_process_end(&w->process, SIM_DEATH_KILL);
    }
    if (!w->sim.failed && !quiet)
        sim_fail(&w->sim, "30 s after the last fault something is still waited for");
}

static void run(const struct sim_options *options, struct sim_result *result)
{
    static struct meta_world world; // large; one at a time
    struct meta_world *w = &world;
    *w = (struct meta_world){.options = options, .result = result, .faults_left = options->faults};
    struct sim *sim = &w->sim;
    sim_begin(sim, options);
    w->node = sim_node_create(sim, "node", UINT64_C(1) << 30);
    w->process.user = w;
    sim_schedule_in(sim, &w->restart, 0, restart_run);
    sim_schedule_in(sim, &w->client, SIM_MS, client_run);
    if (options->faults)
        sim_schedule_in(sim, &w->fault, 10 * SIM_MS, fault_run);
    while (!sim->failed && sim->event_count < options->events)
        sim_step(sim);
    static const enum sim_death deaths[] = {SIM_DEATH_KILL, SIM_DEATH_POWER};
    for (size_t k = 0; k < ARRAY_COUNT(deaths) && !sim->failed; k++) {
        settle(w);
        if (!sim->failed)
            sim_process_end(&w->process, deaths[k]);
    }
    if (!sim->failed)
        settle(w);
    sim_report(sim, result);
    if (w->process.running)
        sim_process_end(&w->process, SIM_DEATH_KILL);
    sim_deinit(sim);
}

const struct sim_scenario scenario_meta = {
    .name = "meta",
    .what = "the metadata of one node under kills, power cuts and failing syncs",
    .run = run,
};
