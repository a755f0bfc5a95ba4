// SPDX-License-Identifier: Apache-2.0
//
// The making of a cluster, of one node and of three, without chance: a node dies at each of its calls in turn, by a kill or
// with the power, or all of them lose the power at each moment of their first milliseconds; another cut may come in what
// follows. Whatever they find at the next start they come to a cluster, and one that has answered stays what it was: the
// same cluster id, producer ids given once, broker epochs that rise, folders that know of the process before.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/quorum.h"
#include "shard_program.h"

enum { NODES_MAX = 3, PORT = 9093, CALLS_MAX = 400, FORMED_S = 20, BLOCKS_MAX = 256 };

struct member {
    struct world *w;
    int32_t id;
    struct sim_node *node;
    struct sim_process process;
    enum sim_death last;
    bool started; // its folder noted the start of a process
    bool serves;
    int64_t broker_epoch;
};

struct world {
    struct sim sim;
    struct trace_sink sink;
    struct member members[NODES_MAX];
    struct peer_address peers[NODES_MAX];
    uint32_t count;
    char cluster_id[CLUSTER_ID_CHARS + 1]; // of the first that answered
    bool ids_given[BLOCKS_MAX];            // blocks of producer ids that belong to somebody
    char said[1024];                       // the last warning or error
};

// A process: what the engine makes of a quorum, without logs.
struct program {
    struct shard_group group; // first: see shard_program.h
    struct member *m;
    struct log_dir dir;
    struct log_dir *dirs[1];
    struct quorum *q;
    struct quorum_reader reader;
    struct quorum_registration registration;
    struct image_listener listener;
    struct quorum_op op;
    struct arena arena;
    struct controller_producer_ids ids;
};

static void sink_write(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    struct world *w = container_of(sink, struct world, sink);
    (void)level;
    snprintf(w->said, sizeof(w->said), "%.*s", (int)n, line);
}

static void on_failed(void *context, enum rc rc, const char *text)
{
    (void)context;
    cr_assert_fail("%s: %s", rc_name(rc), text);
}

static void on_image(struct quorum_reader *r, const struct image *old, const struct image *image)
{
    (void)r, (void)old, (void)image;
}

static void dir_start(struct program *g)
{
    struct member *m = g->m;
    cr_assert_not(m->started && m->last == SIM_DEATH_POWER && g->dir.whole, "node %d takes its folder for whole", m->id);
    cr_assert_eq(log_dir_start(&g->dir), RC_OK);
    m->started = true;
}

static void on_own_registration(void *context)
{
    struct program *g = context;
    dir_start(g);
    quorum_release(g->q);
    quorum_ready(g->q);
}

static void ids_given(struct quorum_op *op, enum rc rc)
{
    struct program *g = container_of(op, struct program, op);
    struct world *w = g->m->w;
    if (rc != RC_OK)
        return; // its controller went, and with it the answer
    cr_assert_eq(g->ids.first % g->ids.count, 0);
    size_t block = (size_t)(g->ids.first / g->ids.count);
    cr_assert_lt(block, BLOCKS_MAX);
    cr_assert_not(w->ids_given[block], "producer id %lld was given before", (long long)g->ids.first);
    w->ids_given[block] = true;
}

static void on_registered(struct quorum_registration *r, enum rc rc)
{
    struct program *g = container_of(r, struct program, registration);
    struct member *m = g->m;
    struct world *w = m->w;
    cr_assert_eq(rc, RC_OK, "node %d: %s", m->id, rc_name(rc));
    cr_assert_gt(r->broker_epoch, m->broker_epoch);
    m->broker_epoch = r->broker_epoch;
    m->serves = true;
    const char *id = quorum_identity(g->q)->cluster_id;
    if (!w->cluster_id[0])
        snprintf(w->cluster_id, sizeof(w->cluster_id), "%s", id);
    cr_assert_str_eq(id, w->cluster_id, "node %d serves another cluster than before", m->id);
    g->ids = (struct controller_producer_ids){.node = m->id, .broker_epoch = r->broker_epoch};
    arena_init(&g->arena, 1 << 16, NULL, 0);
    g->op = (struct quorum_op){
        .kind = CONTROLLER_PRODUCER_IDS, .request = &g->ids, .answer = &g->ids, .arena = &g->arena, .done = ids_given};
    quorum_submit(g->q, &g->group.shards[0], &g->op);
}

static enum rc open_quorum(struct program *g, struct sim_process *p, char *text, size_t text_bytes)
{
    struct world *w = g->m->w;
    enum rc rc = log_dir_open(&g->dir, p->ios[0], &w->sink, "/data", text, text_bytes);
    g->dirs[0] = &g->dir;
    struct quorum_config c = {.shard = &g->group.shards[0],
                              .trace = &w->sink,
                              .node_id = g->m->id,
                              .log_dirs = g->dirs,
                              .log_dir_count = 1,
                              .metadata_dir = &g->dir,
                              .election_timeout_ms = 300,
                              .peers = w->peers,
                              .peer_count = w->count > 1 ? w->count : 0,
                              .peer_listen = w->peers[g->m->id - 1].addr,
                              .registered = on_own_registration,
                              .failed = on_failed,
                              .context = g};
    if (rc == RC_OK)
        rc = quorum_create(&g->q, &c, text, text_bytes);
    if (rc != RC_OK)
        return rc;
    if (w->count == 1)
        dir_start(g);
    g->reader.changed = on_image;
    quorum_attach(g->q, &g->group.shards[0], &g->reader);
    return quorum_start(g->q, text, text_bytes);
}

static void boot(struct sim_process *p)
{
    struct member *m = p->user;
    struct program *g = calloc(1, sizeof(*g));
    char text[1024] = "";
    cr_assert_not_null(g);
    p->program = g;
    p->shards = &g->group;
    g->m = m;
    cr_assert_eq(shard_group_create(&g->group, p->ios, 1, 64, &m->w->sink), RC_OK);
    enum rc rc = open_quorum(g, p, text, sizeof(text));
    cr_assert_eq(rc, RC_OK, "node %d: the start is refused: %s (%s)", m->id, text, rc_name(rc));
    g->listener = (struct image_listener){.name = "PLAINTEXT", .host = m->node->name, .port = 9092};
    g->registration = (struct quorum_registration){.listeners = &g->listener,
                                                   .listener_count = 1,
                                                   .peer_host = m->node->name,
                                                   .peer_port = PORT,
                                                   .logs_whole = true,
                                                   .done = on_registered};
    quorum_register(g->q, &g->registration);
}

static void died(struct sim_process *p, enum sim_death how)
{
    struct member *m = p->user;
    m->last = how;
    m->serves = false;
}

static const struct sim_program program = {.boot = boot, .turn = sim_shard_turn, .died = died};

// ------------------------------------------------------------------------------------------------ the world

static struct world *begin(uint64_t seed, uint32_t count)
{
    struct world *w = calloc(1, sizeof(*w));
    w->sink = (struct trace_sink){.level_min = TRACE_WARN, .write = sink_write};
    w->count = count;
    sim_init(&w->sim, seed);
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = &w->members[i];
        char name[16];
        snprintf(name, sizeof(name), "node%u", i + 1);
        *m = (struct member){.w = w, .id = (int32_t)i + 1, .broker_epoch = -1};
        m->node = sim_node_create(&w->sim, name, 64 << 20);
        m->process.user = m;
        w->peers[i].node = m->id;
        snprintf(w->peers[i].host, sizeof(w->peers[i].host), "%s", name);
        memcpy(w->peers[i].addr.ip, m->node->ip, sizeof(m->node->ip));
        w->peers[i].addr.port = PORT;
    }
    return w;
}

// Those that do not run.
static void start(struct world *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct member *m = &w->members[i];
        if (!m->node->powered)
            sim_node_power_on(m->node);
        if (!m->process.running)
            (void)sim_process_start(&m->process, m->node, &program, 1);
    }
}

static void end_all(struct world *w, enum sim_death how)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (w->members[i].process.running)
            sim_process_end(&w->members[i].process, how);
}

static void settle(struct world *w)
{
    bool all = false;
    start(w);
    for (uint64_t until = w->sim.now_ns + FORMED_S * SIM_S; !all && w->sim.now_ns < until;) {
        sim_run_until(&w->sim, w->sim.now_ns + 10 * SIM_MS);
        all = true;
        for (uint32_t i = 0; i < w->count; i++)
            all = all && w->members[i].serves;
    }
    cr_assert(all, "not everybody serves %d s later; last said: %s", FORMED_S, w->said);
}

// After whatever has happened: all serve, and do so again from what the disks hold.
static void end(struct world *w)
{
    settle(w);
    end_all(w, SIM_DEATH_POWER);
    settle(w);
    end_all(w, SIM_DEATH_KILL);
    sim_deinit(&w->sim);
    free(w);
}

// ------------------------------------------------------------------------------------------------ deaths

// One node dies at that call, and once more at another of its next start. False: it had not that many calls.
static bool die_at(uint32_t count, uint32_t victim, uint64_t call, enum sim_death how, uint64_t next_call)
{
    struct world *w = begin(call * 31 + victim + next_call * 1009, count);
    sim_node_die_in(w->members[victim].node, call, how);
    start(w);
    sim_run_until(&w->sim, w->sim.now_ns + 2 * SIM_S);
    bool died = !w->members[victim].process.running;
    if (next_call && died) {
        if (!w->members[victim].node->powered)
            sim_node_power_on(w->members[victim].node);
        sim_node_die_in(w->members[victim].node, next_call, SIM_DEATH_POWER);
        start(w);
        sim_run_until(&w->sim, w->sim.now_ns + 2 * SIM_S);
    }
    if (w->members[victim].process.running)
        sim_process_end(&w->members[victim].process, how); // what was planned and did not happen is forgotten
    end(w);
    return died;
}

static void die_everywhere(uint32_t count, uint32_t victim, uint64_t next_call)
{
    uint64_t calls = 0;
    for (int how = SIM_DEATH_KILL; how <= SIM_DEATH_POWER; how++)
        for (uint64_t call = 1; call < CALLS_MAX && die_at(count, victim, call, (enum sim_death)how, next_call); call++)
            calls = call;
    cr_assert_gt(calls, 20, "%llu", (unsigned long long)calls);
}

Test(formation, of_one_node_outlives_its_death_at_every_call)
{
    die_everywhere(1, 0, 0);
}

Test(formation, of_one_node_outlives_two_deaths)
{
    for (uint64_t next = 1; next <= 40; next += 3)
        die_everywhere(1, 0, next);
}

Test(formation, of_three_nodes_outlives_the_death_of_any_at_every_call)
{
    for (uint32_t victim = 0; victim < 3; victim++) {
        die_everywhere(3, victim, 0);
        die_everywhere(3, victim, 7 + 6 * victim);
    }
}

// The power of the whole room, at any moment of the first 50 ms of a life, again and again.
static void cut_all(uint32_t count, uint32_t seeds)
{
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        struct world *w = begin(seed, count);
        uint64_t cuts = 1 + seed % 3;
        for (uint64_t i = 0; i < cuts; i++) {
            start(w);
            sim_run_until(&w->sim, w->sim.now_ns + sim_between(&w->sim, 0, i ? 50 * SIM_MS : seed * 50 * SIM_MS / seeds));
            end_all(w, SIM_DEATH_POWER);
        }
        end(w);
    }
}

Test(formation, of_one_node_outlives_power_cuts_in_its_first_milliseconds)
{
    cut_all(1, 300);
}

Test(formation, of_three_nodes_outlives_power_cuts_of_all_in_their_first_milliseconds)
{
    cut_all(3, 300);
}
