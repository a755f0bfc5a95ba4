// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "rig.h"

enum { GROUPS = 3, ACTORS = 12, PARTITIONS = 3, OFFSETS_MAX = 400000, GENERATIONS_MAX = 40000 };

enum actor_state { OUT, JOINING, SYNCING, MEMBER, GONE };
enum verdict { SENT, ACKNOWLEDGED, REFUSED };

struct actor {
    int group, number;
    enum actor_state state;
    char id[160], instance[16]; // instance empty: dynamic
    int16_t version;
    int32_t generation;
    bool leads, skip;
    uint64_t paused_until_ns;
    struct rig_call *call; // the one it waits for, or NULL
    char assignments[ACTORS * 2][200];
    const char *assigned[ACTORS * 2];
    uint32_t assigned_count;
};

struct sent_commit { // by offset value
    uint8_t verdict, group, partition;
    bool stale; // was of an older generation when it was sent
};

struct model {
    const struct model_config *config;
    struct model_figures *figures;
    struct rig rig;
    struct prng prng;
    struct actor actors[ACTORS];
    struct sent_commit commits[OFFSETS_MAX];
    int64_t next_offset;
    int64_t floor[GROUPS][PARTITIONS];                  // the newest acknowledged offset
    uint64_t nonce[GROUPS][GENERATIONS_MAX];            // of the assignment of a generation; 0: none yet
    int32_t generation[GROUPS];                         // the newest handed out by this core
    uint64_t next_nonce;
    struct rig_call *loose[64]; // calls of nobody: commits, deletes, calls of the dead
    uint32_t loose_count;
    bool faults;
};

static const char *const group_names[GROUPS] = {"alpha", "beta", "gamma"};

#define CHECK(m, x) cr_assert((x), "seed %llu: %s", (unsigned long long)(m)->config->seed, #x)

static uint64_t below(struct model *m, uint64_t n)
{
    return prng_below(&m->prng, n);
}

static bool chance(struct model *m, uint64_t percent)
{
    return prng_below(&m->prng, 100) < percent;
}

static int32_t generation_of(struct model *m, int group)
{
    struct group *gr = group_find(&m->rig.g, bytes_str(group_names[group]));
    return gr && gr->type == GROUP_CLASSIC ? gr->classic->generation : -1;
}

// ------------------------------------------------------------------------------------------------ answers

static void group_began_anew(struct model *m, int group)
{
    memset(m->nonce[group], 0, sizeof(m->nonce[group]));
    m->generation[group] = 0;
}

static void on_generation(struct model *m, struct actor *a, int32_t generation)
{
    CHECK(m, generation > 0 && generation < GENERATIONS_MAX);
    if (!m->config->deletes)
        CHECK(m, generation >= m->generation[a->group]);
    if (generation > m->generation[a->group])
        m->generation[a->group] = generation;
}

static void lose_membership(struct actor *a)
{
    a->id[0] = 0;
    a->state = OUT;
}

static void on_error(struct model *m, struct actor *a, int16_t code)
{
    if (code == kerr_of(RC_UNKNOWN_MEMBER_ID) || code == kerr_of(RC_ILLEGAL_GENERATION)) {
        lose_membership(a);
    } else if (code == kerr_of(RC_FENCED_INSTANCE_ID)) {
        m->figures->fenced++;
        lose_membership(a);
        a->state = GONE;
    } else {
        a->state = OUT; // joins again with its id
    }
}

static void on_join(struct model *m, struct actor *a, const struct join_group_response *in)
{
    m->figures->joins++;
    if (in->error_code == kerr_of(RC_MEMBER_ID_REQUIRED)) {
        CHECK(m, a->id[0] == 0 && in->member_id.n > 0);
        snprintf(a->id, sizeof(a->id), "%s", rig_text(in->member_id));
        a->state = OUT;
        return;
    }
    if (in->error_code != 0) {
        on_error(m, a, in->error_code);
        return;
    }
    on_generation(m, a, in->generation_id);
    snprintf(a->id, sizeof(a->id), "%s", rig_text(in->member_id));
    a->generation = in->generation_id;
    a->leads = bytes_eq(in->leader, in->member_id);
    a->skip = in->skip_assignment;
    a->assigned_count = 0;
    uint64_t nonce = ++m->next_nonce;
    for (uint32_t i = 0; a->leads && !a->skip && i < in->members_count; i++) {
        CHECK(m, i < ACTORS);
        snprintf(a->assignments[2 * i], sizeof(a->assignments[0]), "%s", rig_text(in->members[i].member_id));
        snprintf(a->assignments[2 * i + 1], sizeof(a->assignments[0]), "%llu %s", (unsigned long long)nonce,
                 rig_text(in->members[i].member_id));
        a->assigned[2 * i] = a->assignments[2 * i];
        a->assigned[2 * i + 1] = a->assignments[2 * i + 1];
        a->assigned_count += 2;
    }
    a->state = SYNCING;
}

static void on_sync(struct model *m, struct actor *a, const struct sync_group_response *in)
{
    if (in->error_code != 0) {
        on_error(m, a, in->error_code);
        return;
    }
    a->state = MEMBER;
    m->figures->stable++;
    char *end;
    char text[256];
    snprintf(text, sizeof(text), "%s", rig_text(in->assignment));
    if (!text[0])
        return; // it came after the leader had its list; the next rebalance gives it a share
    uint64_t nonce = strtoull(text, &end, 10);
    CHECK(m, *end == ' ');
    if (!a->instance[0])
        CHECK(m, strcmp(end + 1, a->id) == 0);
    uint64_t *known = &m->nonce[a->group][a->generation];
    CHECK(m, *known == 0 || *known == nonce);
    *known = nonce;
}

static void commit_outcome(struct model *m, struct rig_call *c)
{
    const struct offset_commit_request *in = c->call.request;
    const struct offset_commit_response *out = c->call.response;
    CHECK(m, out != NULL);
    struct sent_commit *s = &m->commits[in->topics->partitions->committed_offset];
    int16_t code = out->topics->partitions->error_code;
    if (code == 0) {
        CHECK(m, s->verdict == SENT && !s->stale);
        s->verdict = ACKNOWLEDGED;
        m->figures->commits++;
        if (in->topics->partitions->committed_offset > m->floor[s->group][s->partition])
            m->floor[s->group][s->partition] = in->topics->partitions->committed_offset;
    } else if (code != kerr_of(RC_NOT_COORDINATOR) && code != kerr_of(RC_COORDINATOR_NOT_AVAILABLE) &&
               code != kerr_of(RC_REQUEST_TIMED_OUT)) {
        s->verdict = REFUSED;
        m->figures->refused++;
    }
}

static void actor_answer(struct model *m, struct actor *a, struct rig_call *c)
{
    CHECK(m, c->call.response != NULL);
    if (c->call.kind == GROUP_JOIN) {
        on_join(m, a, c->call.response);
    } else if (c->call.kind == GROUP_SYNC) {
        on_sync(m, a, c->call.response);
    } else if (c->call.kind == GROUP_HEARTBEAT) {
        int16_t code = ((struct heartbeat_response *)c->call.response)->error_code;
        if (code != 0 && code != kerr_of(RC_NOT_COORDINATOR) && code != kerr_of(RC_COORDINATOR_NOT_AVAILABLE))
            on_error(m, a, code);
    } else if (c->call.kind == GROUP_COMMIT) {
        int16_t code = ((struct offset_commit_response *)c->call.response)->topics->partitions->error_code;
        if (code == kerr_of(RC_UNKNOWN_MEMBER_ID) || code == kerr_of(RC_ILLEGAL_GENERATION) ||
            code == kerr_of(RC_FENCED_INSTANCE_ID) || code == kerr_of(RC_REBALANCE_IN_PROGRESS))
            on_error(m, a, code);
    } else if (c->call.kind == GROUP_LEAVE) {
        lose_membership(a);
    }
}

// A deletion is over, or may be: what was acknowledged before it is gone, or may be. Commits behind it waited for it.
static void loose_answer(struct model *m, struct rig_call *c)
{
    int group = 0;
    while (!bytes_eq(c->call.group_id, bytes_str(group_names[group])))
        group++;
    if (c->call.kind == GROUP_DELETE) {
        int16_t code = ((struct delete_groups_response_result *)c->call.response)->error_code;
        if (code == kerr_of(RC_NON_EMPTY_GROUP) || code == kerr_of(RC_GROUP_ID_NOT_FOUND))
            return;
        group_began_anew(m, group);
        for (int p = 0; p < PARTITIONS; p++)
            m->floor[group][p] = -1;
    } else if (c->call.kind == GROUP_OFFSET_DELETE) {
        m->floor[group][c->delete.topics->partitions->partition_index] = -1;
    }
}

static void answers(struct model *m)
{
    for (struct group_call *call; (call = groups_next_answer(&m->rig.g)) != NULL;) {
        struct rig_call *c = (struct rig_call *)call;
        CHECK(m, !c->back);
        c->back = true;
        if (call->kind == GROUP_COMMIT && call->response)
            commit_outcome(m, c);
        struct actor *owner = NULL;
        for (int i = 0; i < ACTORS; i++)
            if (m->actors[i].call == c)
                owner = &m->actors[i];
        if (owner) {
            owner->call = NULL;
            actor_answer(m, owner, c);
        } else {
            loose_answer(m, c);
            for (uint32_t i = 0; i < m->loose_count; i++)
                if (m->loose[i] == c)
                    m->loose[i] = m->loose[--m->loose_count];
        }
        rig_call_free(c);
    }
}

static void let_loose(struct model *m, struct rig_call *c)
{
    CHECK(m, m->loose_count < ARRAY_COUNT(m->loose));
    m->loose[m->loose_count++] = c;
}

// ------------------------------------------------------------------------------------------------ the log

static void log_ends(struct model *m, struct group_append *a, enum rc rc)
{
    if (rc == RC_OK)
        rig_log_keep(&m->rig.log, buf_bytes(&a->batch));
    groups_append_done(&m->rig.g, a, rc, m->rig.now);
    answers(m);
}

static void log_step(struct model *m)
{
    while (groups_next_append(&m->rig.g))
        ;
    struct list_node *n = list_first(&m->rig.g.in_flight);
    if (!n)
        return;
    struct group_append *a = list_entry(n, struct group_append, link);
    bool log_faults = m->faults && m->config->log_faults;
    if (log_faults && chance(m, 8)) {
        static const enum rc why[] = {RC_NOT_ENOUGH_REPLICAS, RC_MESSAGE_TOO_LARGE, RC_NO_SPACE};
        m->figures->failed++;
        log_ends(m, a, why[below(m, ARRAY_COUNT(why))]);
    } else if (log_faults && !a->told && chance(m, 10)) {
        m->figures->late++;
        groups_append_late(&m->rig.g, a, m->rig.now);
        answers(m);
    } else {
        log_ends(m, a, RC_OK);
    }
}

static void compare_states(struct model *m, const struct groups *g, const char *what)
{
    char *live = rig_state_text(&m->rig.g), *other = rig_state_text(g);
    cr_assert_str_eq(live, other, "seed %llu: %s differs", (unsigned long long)m->config->seed, what);
    free(live);
    free(other);
}

static void core_end(struct groups *g)
{
    groups_stop(g, RC_NOT_COORDINATOR);
    groups_deinit(g);
}

static void apply_snapshot(struct groups *g, struct bytes in)
{
    uint64_t n;
    while (in.n) {
        cr_assert(varint_get(&in, VARINT_BYTES_MAX, &n) && n <= in.n);
        struct bytes key = bytes_of(in.p, n);
        in = bytes_of(in.p + n, in.n - n);
        cr_assert(varint_get(&in, VARINT_BYTES_MAX, &n) && n <= in.n);
        cr_assert_eq(groups_apply(g, PRODUCER_ID_NONE, -1, key, bytes_of(in.p, n)), RC_OK);
        in = bytes_of(in.p + n, in.n - n);
    }
}

// Live state is what the log says, read from its beginning or from a snapshot made in its middle.
static void check_replay(struct model *m)
{
    struct groups g, middle;
    struct rig *r = &m->rig;
    m->figures->replays++;
    size_t cut = r->log.count ? below(m, r->log.count) : 0;
    cr_assert_eq(groups_init(&middle, &r->config, &r->host, 1), RC_OK);
    for (size_t i = 0; i < cut; i++)
        rig_apply_batch(&middle, r->log.p[i]);
    struct buf snapshot;
    struct groups_cursor cursor = {0};
    enum rc rc;
    buf_init(&snapshot, INT32_MAX);
    while ((rc = groups_snapshot(&middle, &cursor, 1, &snapshot)) == RC_AGAIN)
        ;
    cr_assert_eq(rc, RC_OK);
    cr_assert_eq(groups_init(&g, &r->config, &r->host, 1), RC_OK);
    apply_snapshot(&g, buf_bytes(&snapshot));
    for (size_t i = cut; i < r->log.count; i++) {
        rig_apply_batch(&middle, r->log.p[i]);
        rig_apply_batch(&g, r->log.p[i]);
    }
    compare_states(m, &middle, "replay");
    compare_states(m, &g, "snapshot and tail");
    buf_deinit(&snapshot);
    core_end(&middle);
    core_end(&g);
}

// The coordinator ends: of what is in flight a prefix is in the log, nobody knows which.
static void reload(struct model *m)
{
    struct rig *r = &m->rig;
    struct group_append *held[256];
    size_t count = 0, kept;
    m->figures->reloads++;
    while (groups_next_append(&r->g))
        ;
    for (struct list_node *n = list_first(&r->g.in_flight); n; n = list_next(&r->g.in_flight, n)) {
        CHECK(m, count < ARRAY_COUNT(held));
        held[count++] = list_entry(n, struct group_append, link);
    }
    kept = below(m, count + 1);
    groups_stop(&r->g, RC_NOT_COORDINATOR);
    answers(m);
    for (int i = 0; i < ACTORS; i++)
        CHECK(m, m->actors[i].call == NULL);
    CHECK(m, m->loose_count == 0);
    m->figures->rebalances += r->g.rebalances;
    groups_deinit(&r->g);
    for (size_t i = 0; i < count; i++) {
        if (i < kept)
            rig_log_keep(&r->log, buf_bytes(&held[i]->batch));
        groups_append_orphan(held[i]);
    }
    memset(m->generation, 0, sizeof(m->generation));
    rig_begin(r);
}

// ------------------------------------------------------------------------------------------------ actors

static void actor_sends(struct model *m, struct actor *a, struct rig_call *c)
{
    a->call = c;
    groups_call(&m->rig.g, &c->call, m->rig.now);
    answers(m);
}

static void actor_joins(struct model *m, struct actor *a)
{
    static const char *const protocols[] = {"range", "sticky"};
    struct rig_call *c = rig_join_made(group_names[a->group], a->id, a->instance[0] ? a->instance : NULL, a->version,
                                       protocols, 1 + (uint32_t)chance(m, 70), "orders");
    c->join.session_timeout_ms = 6000 + 1000 * (int32_t)below(m, 5);
    c->join.rebalance_timeout_ms = 5000 + 1000 * (int32_t)below(m, 20);
    if (m->faults && chance(m, 3))
        c->join.rebalance_timeout_ms = 0;
    a->state = JOINING;
    actor_sends(m, a, c);
}

static void actor_syncs(struct model *m, struct actor *a)
{
    struct rig_call *c = rig_sync_made(group_names[a->group], a->id, a->generation, a->assigned,
                                       a->leads && !a->skip ? a->assigned_count : 0);
    if (a->instance[0])
        c->sync.group_instance_id = bytes_str(a->instance);
    actor_sends(m, a, c);
}

static struct rig_call *commit_made(struct model *m, struct actor *a, bool simple)
{
    int partition = (int)below(m, PARTITIONS);
    int64_t offset = m->next_offset++;
    CHECK(m, offset < OFFSETS_MAX);
    struct rig_call *c = rig_commit_made(group_names[a->group], simple ? "" : a->id, simple ? -1 : a->generation,
                                         "orders", partition, offset);
    if (!simple && a->instance[0])
        c->commit.group_instance_id = bytes_str(a->instance);
    m->commits[offset] = (struct sent_commit){.group = (uint8_t)a->group, .partition = (uint8_t)partition};
    m->commits[offset].stale = !simple && a->generation < generation_of(m, a->group);
    return c;
}

static void actor_commits(struct model *m, struct actor *a)
{
    actor_sends(m, a, commit_made(m, a, false));
}

static void actor_heartbeats(struct model *m, struct actor *a)
{
    struct rig_call *c = rig_call_new(GROUP_HEARTBEAT, 4, group_names[a->group]);
    heartbeat_request_init(&c->heartbeat);
    c->call.request = &c->heartbeat;
    c->heartbeat.member_id = rig_copied(c, a->id);
    c->heartbeat.generation_id = a->generation;
    if (a->instance[0])
        c->heartbeat.group_instance_id = bytes_str(a->instance);
    actor_sends(m, a, c);
}

static void actor_leaves(struct model *m, struct actor *a)
{
    struct rig_call *c = rig_call_new(GROUP_LEAVE, 5, group_names[a->group]);
    leave_group_request_init(&c->leave);
    c->call.request = &c->leave;
    c->leave.members = arena_alloc(&c->arena, sizeof(*c->leave.members));
    c->leave.members_count = 1;
    c->leave.members->member_id = rig_copied(c, a->id);
    actor_sends(m, a, c);
}

// Its process is gone; what it waits for is abandoned or runs to its end for nobody.
static void actor_crashes(struct model *m, struct actor *a)
{
    struct rig_call *c = a->call;
    a->call = NULL;
    lose_membership(a);
    if (!c)
        return;
    let_loose(m, c);
    if (chance(m, 80)) {
        groups_call_abandon(&m->rig.g, &c->call, m->rig.now);
        answers(m);
    }
}

static void actor_step(struct model *m, struct actor *a)
{
    if (a->paused_until_ns > m->rig.now.now_ns)
        return;
    if (m->faults && chance(m, 2)) {
        a->paused_until_ns = m->rig.now.now_ns + below(m, 20) * 1000000000;
        return;
    }
    if (m->faults && chance(m, 2)) {
        actor_crashes(m, a);
        if (a->instance[0] && chance(m, 70))
            m->figures->replaced++;
        else
            a->state = GONE;
        return;
    }
    if (a->call)
        return;
    if (a->state == GONE) {
        if (!m->faults || chance(m, 10))
            a->state = OUT;
    } else if (a->state == OUT) {
        actor_joins(m, a);
    } else if (a->state == SYNCING) {
        actor_syncs(m, a);
    } else if (a->state == MEMBER && m->faults && chance(m, 3)) {
        actor_leaves(m, a);
    } else if (a->state == MEMBER && chance(m, 40)) {
        actor_commits(m, a);
    } else if (a->state == MEMBER) {
        actor_heartbeats(m, a);
    }
}

static void admin_step(struct model *m)
{
    struct actor who = {.group = (int)below(m, GROUPS)};
    struct rig_call *c;
    if (m->loose_count > 40)
        return;
    if (!m->config->deletes || chance(m, 60)) {
        c = commit_made(m, &who, true);
    } else if (chance(m, 50)) {
        c = rig_call_new(GROUP_DELETE, 2, group_names[who.group]);
    } else {
        c = rig_delete_made(group_names[who.group], "orders", (int)below(m, PARTITIONS));
    }
    let_loose(m, c);
    groups_call(&m->rig.g, &c->call, m->rig.now);
    answers(m);
}

// ------------------------------------------------------------------------------------------------ the run

static void time_passes(struct model *m, uint64_t ms)
{
    m->rig.now.now_ns += ms * 1000000;
    m->rig.now.wall_ms += (int64_t)ms;
    m->rig.now.settled_ms = m->rig.now.wall_ms;
    groups_tick(&m->rig.g, m->rig.now);
    answers(m);
}

static void check_offsets(struct model *m)
{
    for (int i = 0; i < GROUPS; i++) {
        struct group *gr = group_find(&m->rig.g, bytes_str(group_names[i]));
        for (int p = 0; p < PARTITIONS; p++) {
            struct group_offset *o = gr ? offsets_find(gr, bytes_str("orders"), p) : NULL;
            int64_t offset = o ? o->offset : -1;
            bool deleting = m->config->deletes && m->loose_count > 0;
            CHECK(m, offset >= m->floor[i][p] || deleting);
            CHECK(m, offset < 0 || m->commits[offset].verdict != REFUSED);
        }
    }
}

static void step(struct model *m)
{
    uint64_t dice = below(m, 100);
    if (dice < 55)
        actor_step(m, &m->actors[below(m, ACTORS)]);
    else if (dice < 80)
        log_step(m);
    else if (dice < 96)
        time_passes(m, below(m, 400));
    else if (dice < 98)
        admin_step(m);
    else if (dice < 99 && m->faults && chance(m, 20))
        time_passes(m, below(m, 30000));
    else if (m->config->reloads && m->faults && chance(m, 20))
        reload(m);
    // A group that never got as far as the log and lost its members is forgotten, its generation with it.
    for (int i = 0; i < GROUPS; i++)
        if (!group_find(&m->rig.g, bytes_str(group_names[i])))
            m->generation[i] = 0;
    if (chance(m, 10))
        check_offsets(m);
}

static void settle(struct model *m)
{
    m->faults = false;
    bool done = false;
    for (int i = 0; i < ACTORS; i++)
        m->actors[i].paused_until_ns = 0;
    for (int round = 0; round < 4000 && !done; round++) {
        for (int i = 0; i < ACTORS; i++)
            actor_step(m, &m->actors[i]);
        while (!list_empty(&m->rig.g.appends) || !list_empty(&m->rig.g.in_flight))
            log_step(m);
        time_passes(m, 500);
        done = round > 400;
        for (int i = 0; i < ACTORS && done; i++)
            done = m->actors[i].state == MEMBER && m->actors[i].generation == generation_of(m, m->actors[i].group);
        for (int i = 0; i < GROUPS && done; i++)
            done = strcmp(rig_state_of(&m->rig, group_names[i]), "Stable") == 0;
    }
    CHECK(m, done);
    for (int i = 0; i < GROUPS; i++) {
        struct group *gr = group_find(&m->rig.g, bytes_str(group_names[i]));
        uint32_t members = 0;
        for (int k = 0; k < ACTORS; k++)
            members += m->actors[k].group == i;
        CHECK(m, classic_member_count(gr) == members && list_empty(&gr->queue));
    }
    CHECK(m, m->loose_count == 0);
}

void model_run(const struct model_config *config, struct model_figures *figures)
{
    struct model *m = calloc(1, sizeof(*m));
    cr_assert_not_null(m);
    m->config = config;
    m->figures = figures;
    m->faults = true;
    m->rig.hold = true;
    m->rig.seed = config->seed;
    prng_init(&m->prng, config->seed);
    memset(m->floor, 0xff, sizeof(m->floor));
    for (int i = 0; i < ACTORS; i++) {
        struct actor *a = &m->actors[i];
        *a = (struct actor){.group = i % GROUPS, .number = i, .version = (int16_t)(5 + below(m, 5))};
        if (config->statics && below(m, 2))
            snprintf(a->instance, sizeof(a->instance), "s%d", i);
        else
            a->version = (int16_t)(2 + below(m, 8));
    }
    rig_begin(&m->rig);
    for (uint32_t i = 0; i < config->steps; i++) {
        step(m);
        if (i % (config->steps / 6) == 0)
            check_replay(m);
    }
    settle(m);
    check_offsets(m);
    check_replay(m);
    figures->rebalances += m->rig.g.rebalances;
    for (int i = 0; i < ACTORS; i++)
        if (m->actors[i].call)
            let_loose(m, m->actors[i].call), m->actors[i].call = NULL;
    groups_stop(&m->rig.g, RC_NOT_COORDINATOR);
    answers(m);
    CHECK(m, m->loose_count == 0);
    rig_stopped_end(&m->rig);
    free(m);
}
