// SPDX-License-Identifier: Apache-2.0
//
// The Raft log over deaths, without chance: the process dies at each of its calls of the disk in turn, by a kill or
// with the power; what starts again writes a little and loses the power; and whatever was acknowledged, or seen by a
// start, must be there.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shard_program.h"
#include "store/journal.h"

#define FOLDER "/journal"

enum { WRITES_MAX = 14, WRITES_A_SNAPSHOT = 4, ENTRY_BYTES = 700, LARGE_ENTRY_BYTES = 200000, ROOMY_BYTES = 64 << 20 };

struct journal_world {
    struct sim sim;
    struct sim_node *node;
    struct sim_process process;
    uint64_t promised, asked; // highest index acknowledged or seen; highest ever given to a write
    uint32_t writes_left;     // of the process that runs or comes next
    size_t entry_bytes;
    bool snapshots;
    char why[1024];
};

struct writer {
    struct shard_group group; // first: see shard_program.h
    struct journal_world *w;
    struct journal j;
    struct journal_snapshot snapshot;
    uint64_t seen;
    uint32_t writes;
};

static uint8_t filling(uint64_t index)
{
    return (uint8_t)(index * 7 + 1);
}

// ------------------------------------------------------------------------------------------------ reading

static enum rc on_snapshot(void *context, const struct journal_mark *mark)
{
    ((struct writer *)context)->seen = mark->index;
    return RC_OK;
}

static enum rc on_piece(void *context, const struct journal_mark *mark, struct bytes piece)
{
    (void)context;
    cr_assert_eq(piece.n, 8);
    cr_assert_eq(be64(piece.p), mark->index);
    return RC_OK;
}

static enum rc on_entry(void *context, const struct journal_entry *e)
{
    struct writer *g = context;
    cr_assert_eq(e->index, ++g->seen);
    cr_assert_eq(e->payload.n, g->w->entry_bytes);
    cr_assert_eq(e->payload.p[e->payload.n - 1], filling(e->index));
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ writing

static void write_next(struct writer *g);

static void snapshot_done(struct journal_snapshot *s, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    write_next(s->owner);
}

static void snapshot_put_done(struct journal_snapshot *s, enum rc rc)
{
    cr_assert_eq(rc, RC_OK);
    journal_snapshot_finish(s, snapshot_done);
}

static void snapshot_make(struct writer *g)
{
    struct journal_mark mark = {.index = g->j.last_index, .term = 1};
    uint8_t piece[8];
    put_be64(piece, mark.index);
    g->snapshot.owner = g;
    cr_assert_eq(journal_snapshot_begin(&g->j, &g->snapshot, &mark), RC_OK);
    enum rc rc = journal_snapshot_put(&g->snapshot, bytes_of(piece, sizeof(piece)), snapshot_put_done);
    if (rc != RC_AGAIN)
        snapshot_put_done(&g->snapshot, rc);
}

static void written(struct journal *j, enum rc rc)
{
    struct writer *g = container_of(j, struct writer, j);
    cr_assert_eq(rc, RC_OK);
    g->w->promised = j->durable_index;
    journal_drop_covered(j);
    if (g->writes % WRITES_A_SNAPSHOT == 0 && g->w->snapshots)
        snapshot_make(g);
    else
        write_next(g);
}

static void write_next(struct writer *g)
{
    struct journal_hard hard = {.term = 1, .vote_node = NODE_ID_NONE};
    static uint8_t payload[LARGE_ENTRY_BYTES];
    if (g->w->writes_left == 0)
        return;
    g->w->writes_left--;
    if (g->writes++ % WRITES_A_SNAPSHOT == 2)
        journal_roll(&g->j); // the snapshot two writes on covers the segment that ends here
    journal_begin(&g->j, &hard);
    g->w->asked = g->j.last_index + 1;
    memset(payload, filling(g->w->asked), g->w->entry_bytes);
    struct journal_entry e = {.index = g->w->asked, .term = 1, .payload = bytes_of(payload, g->w->entry_bytes)};
    cr_assert(journal_put(&g->j, &e));
    journal_commit(&g->j, written);
}

// ------------------------------------------------------------------------------------------------ the process

static void boot(struct sim_process *p)
{
    struct journal_world *w = p->user;
    struct writer *g = calloc(1, sizeof(*g));
    struct journal_hard hard = {.term = 1, .vote_node = NODE_ID_NONE};
    cr_assert_not_null(g);
    g->w = w;
    p->program = g;
    p->shards = &g->group;
    cr_assert_eq(shard_group_create(&g->group, p->ios, 1, 16, &w->sim.sink), RC_OK);
    if (w->asked == 0) {
        cr_assert_eq(journal_format(p->ios[0], FOLDER, &hard, NULL, 0), RC_OK);
        cr_assert_eq(io_sync_dir_now(p->ios[0], "/"), RC_OK);
    }
    struct journal_visitor v = {.context = g, .snapshot = on_snapshot, .piece = on_piece, .entry = on_entry};
    enum rc rc = journal_open(&g->j, p->ios[0], &w->sim.sink, FOLDER, &v, w->why, sizeof(w->why));
    cr_assert_eq(rc, RC_OK, "%s: %s", rc_name(rc), w->why);
    cr_assert_eq(g->seen, g->j.last_index);
    cr_assert(g->seen >= w->promised && g->seen <= w->asked, "%llu entries are there, %llu were promised, %llu asked",
              (unsigned long long)g->seen, (unsigned long long)w->promised, (unsigned long long)w->asked);
    w->promised = w->asked = g->seen;
    write_next(g);
}

static const struct sim_program program = {.boot = boot, .turn = sim_shard_turn};

// The process runs until its writes are done, or until it dies as planned. True: it died.
static bool run(struct journal_world *w, uint32_t writes)
{
    w->writes_left = writes;
    sim_process_start(&w->process, w->node, &program, 1);
    sim_run_until(&w->sim, w->sim.now_ns + SIM_S);
    return !w->process.running;
}

static void end(struct journal_world *w, enum sim_death how)
{
    if (w->process.running)
        sim_process_end(&w->process, how);
    if (!w->node->powered)
        sim_node_power_on(w->node);
}

static struct journal_world *begin(uint64_t seed, size_t entry_bytes, bool snapshots)
{
    struct journal_world *w = calloc(1, sizeof(*w));
    sim_init(&w->sim, seed);
    w->node = sim_node_create(&w->sim, "node", ROOMY_BYTES);
    w->process.user = w;
    w->entry_bytes = entry_bytes;
    w->snapshots = snapshots;
    cr_assert_not(run(w, 1)); // formats
    end(w, SIM_DEATH_KILL);
    return w;
}

// Dies at the call-th call, writes `writes` times more, and loses the power. False: it had not that many calls.
static bool die_at(uint64_t call, enum sim_death how, uint32_t writes)
{
    struct journal_world *w = begin(call * 31 + writes, ENTRY_BYTES, true);
    sim_node_die_in(w->node, call, how);
    bool died = run(w, WRITES_MAX);
    end(w, how);
    cr_assert_not(run(w, writes));
    end(w, SIM_DEATH_POWER);
    cr_assert_not(run(w, 1));
    end(w, SIM_DEATH_POWER);
    cr_assert_not(run(w, 0));
    end(w, SIM_DEATH_KILL);
    sim_deinit(&w->sim);
    free(w);
    return died;
}

static void die_everywhere(enum sim_death how)
{
    for (uint32_t writes = 0; writes <= 3; writes++) {
        uint64_t call = 1;
        while (die_at(call, how, writes))
            call++;
        cr_assert_gt(call, 3 * (uint64_t)WRITES_MAX); // segments were made and removed, snapshots renamed
    }
}

Test(journal, outlives_a_kill_at_every_call_and_a_power_cut_later)
{
    die_everywhere(SIM_DEATH_KILL);
}

Test(journal, outlives_a_power_cut_at_every_call_and_another_later)
{
    die_everywhere(SIM_DEATH_POWER);
}

// ------------------------------------------------------------------------------------------------ a full disk

// It goes on when there is room. False: it died before that, as planned.
static bool stand_still_and_go_on(struct journal_world *w)
{
    struct writer *g = w->process.program;
    cr_assert(journal_stands_still(&g->j) && journal_busy(&g->j));
    cr_assert_lt(w->promised, w->asked);
    for (int i = 0; i < 3; i++) { // still none
        journal_again(&g->j);
        sim_run_until(&w->sim, w->sim.now_ns + SIM_S);
        if (!w->process.running)
            return false;
        cr_assert(journal_stands_still(&g->j));
    }
    w->node->disk.capacity_bytes = ROOMY_BYTES;
    journal_again(&g->j);
    sim_run_until(&w->sim, w->sim.now_ns + SIM_S);
    if (!w->process.running)
        return false;
    cr_assert(!journal_stands_still(&g->j) && !journal_busy(&g->j));
    cr_assert_eq(w->writes_left, 0);
    cr_assert_eq(w->promised, w->asked);
    cr_assert_gt(g->j.segment_count, 1); // a later roll found room
    return true;
}

// Dies at the call-th call since the disk has so much room only; starts while it is full, and again when it is not.
static bool full_and_die_at(uint64_t room, uint64_t call, enum sim_death how)
{
    struct journal_world *w = begin(call * 31 + room, LARGE_ENTRY_BYTES, false);
    w->node->disk.capacity_bytes = w->node->disk.used_bytes + room;
    sim_node_die_in(w->node, call, how);
    bool died = run(w, WRITES_MAX) || !stand_still_and_go_on(w);
    end(w, how);
    cr_assert_not(run(w, 0));
    end(w, SIM_DEATH_KILL);
    w->node->disk.capacity_bytes = ROOMY_BYTES;
    cr_assert_not(run(w, 4));
    cr_assert_eq(w->promised, w->asked);
    end(w, SIM_DEATH_POWER);
    cr_assert_not(run(w, 0));
    end(w, SIM_DEATH_KILL);
    sim_deinit(&w->sim);
    free(w);
    return died;
}

Test(journal, waits_for_room_on_a_full_disk)
{
    static const uint64_t rooms[] = {0, 4096, 300000, (1 << 20) + 8192};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++)
        for (int how = SIM_DEATH_KILL; how <= SIM_DEATH_POWER; how++) {
            uint64_t call = 1;
            while (full_and_die_at(rooms[i], call, (enum sim_death)how))
                call++;
            cr_assert_gt(call, 8);
        }
}
