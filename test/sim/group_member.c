// SPDX-License-Identifier: Apache-2.0
//
// What members of both protocols do: find the coordinator, commit, crash, pause, leave and come back.
#include "group_world.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

static void tick(struct shard_timer *t);

struct model_group *member_model(const struct group_member *m)
{
    return &m->w->groups[m->group].model;
}

void member_wake_in(struct group_member *m, uint64_t delay_ns)
{
    struct shard *s = m->groups->shard;
    enum rc rc = shard_timer_set(s, &m->timer, shard_now_ns(s) + delay_ns, tick);
    ASSERT(rc == RC_OK);
}

void member_send(struct group_member *m, const struct schema_message *message, const void *in, int16_t version_max,
                 uint32_t timeout_ms, client_done_fn done)
{
    m->request.message = message;
    m->request.in = in;
    m->request.version_max = version_max;
    m->request.timeout_ms = timeout_ms;
    m->request.done = done;
    m->request_life = m->life;
    m->request_sent = group_now(m->w);
    client_connection_submit(&m->links.to[m->at], &m->request);
}

bool member_is_stale(const struct group_member *m)
{
    return m->request_life != m->life;
}

// It goes on where the group is now. With one broker that is where it was.
void member_lost_coordinator(struct group_member *m)
{
    m->astray = m->w->host_count > 1;
    if (m->astray && m->state == MEMBER_JOIN)
        m->state = MEMBER_FIND;
}

uint32_t member_all_mask(const struct group_world *w)
{
    uint32_t mask = 0;
    for (uint32_t t = 0; t < w->topic_count; t++)
        for (uint32_t p = 0; p < *w->topics[t].partition_count; p++)
            mask |= 1u << (t * MODEL_GROUP_PARTITIONS + p);
    return mask;
}

// How long the coordinator leaves a member alone that it heard of: its session, or the time it has to give partitions
// back, counted from an answer that it may never have got.
uint64_t member_lease_ns(const struct group_member *m)
{
    uint64_t rebalance_ms = m->w->groups[m->group].rebalance_timeout_ms;
    return (rebalance_ms < GROUP_SESSION_MS ? rebalance_ms : GROUP_SESSION_MS) * SIM_MS;
}

struct bytes member_topic_name(const struct group_world *w, uint32_t topic)
{
    return bytes_str(w->topics[topic].name);
}

static void forget(struct group_member *m, bool keep_id)
{
    model_group_hold(member_model(m), m->w->sim, m->index, 0, 0, 0, 0);
    m->owned = m->told = 0;
    m->astray = false;
    m->told_valid = m->stable = false;
    m->generation = m->consumer ? 0 : -1;
    if (keep_id)
        return;
    m->id[0] = '\0';
    // What the former one said is another member's word, except to a coordinator that takes an instance for its member
    // whatever id it has (KIP-345).
    if (!m->fixed || m->w->groups[m->group].protocol == GROUP_PROTOCOL_CONSUMER)
        m->late_count = 0;
}

void member_rejoin(struct group_member *m, bool keep_id)
{
    forget(m, keep_id);
    m->state = MEMBER_FIND;
    member_wake_in(m, sim_latency(m->w->sim, 5 * SIM_MS));
}

void member_let_go(struct group_member *m)
{
    m->owned = 0;
    model_group_hold(member_model(m), m->w->sim, m->index, 0, 0, 0, 0);
}

void member_left(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, request);
    struct group_world *w = m->w;
    (void)rc, (void)body;
    w->requests_answered++;
    if (member_is_stale(m))
        return;
    member_rejoin(m, false);
    m->state = MEMBER_AWAY;
    m->back_ns = w->sim->now_ns + sim_between(w->sim, SIM_MS, 2 * GROUP_SESSION_MS * SIM_MS);
}

void member_assigned(struct group_member *m)
{
    struct group_world *w = m->w;
    m->stable = true;
    w->counts[GROUP_ASSIGNMENTS]++;
    for (uint32_t k = 0; k < w->groups[m->group].member_count; k++) {
        const struct group_member *other = &m->groups->members[m->group][k];
        if (other->state == MEMBER_STABLE && other->stable && other->consumer != m->consumer) {
            w->counts[GROUP_MIXED]++;
            return;
        }
    }
}

// ------------------------------------------------------------------------------------------------ the coordinator

static void find_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, request);
    struct group_world *w = m->w;
    struct arena a;
    struct find_coordinator_response answer;
    arena_init(&a, 16 << 10, NULL, 0);
    if (!member_is_stale(m) && rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer)) {
        bool many = r->version >= 4 && answer.coordinators_count == 1;
        int16_t code = many ? answer.coordinators[0].error_code : answer.error_code;
        int32_t port = many ? answer.coordinators[0].port : answer.port;
        int32_t node = many ? answer.coordinators[0].node_id : answer.node_id;
        if (code == 0 && (port != w->port || node < 1 || node > (int32_t)w->host_count)) {
            sim_fail(w->sim, "the coordinator is said to be node %d at port %d", node, port);
        } else if (code == 0) {
            m->at = (uint32_t)node - 1;
            m->astray = false;
            if (m->state == MEMBER_FIND)
                m->state = MEMBER_JOIN;
        }
        if (code != 0 && code != 14 && code != 15 && code != 16 && code != -1)
            sim_fail(w->sim, "FindCoordinator is answered with error %d", code);
    }
    arena_deinit(&a);
    member_wake_in(m, m->state == MEMBER_JOIN || (m->state == MEMBER_STABLE && !m->astray) ? 0 : 30 * SIM_MS);
}

static void find(struct group_member *m)
{
    find_coordinator_request_init(&m->in.find);
    m->in.find.key = m->find_key = bytes_str(member_model(m)->name);
    m->in.find.coordinator_keys = &m->find_key;
    m->in.find.coordinator_keys_count = 1;
    m->at = (uint32_t)sim_between(m->w->sim, 0, m->w->host_count - 1); // anybody knows
    member_send(m, &find_coordinator_request_message, &m->in.find,
                sim_chance(m->w->sim, 1, 2) ? 3 : INT16_MAX, 3000, find_done);
}

// ------------------------------------------------------------------------------------------------ commits

// Is this code a promise that the commit will never take effect?
static bool surely_refused(int16_t code)
{
    switch (code) {
    case 3:   // UNKNOWN_TOPIC_OR_PARTITION
    case 14:  // COORDINATOR_LOAD_IN_PROGRESS
    case 22:  // ILLEGAL_GENERATION
    case 25:  // UNKNOWN_MEMBER_ID
    case 27:  // REBALANCE_IN_PROGRESS
    case 82:  // FENCED_INSTANCE_ID
    case 110: // FENCED_MEMBER_EPOCH
    case 113: // STALE_MEMBER_EPOCH
        return true;
    default:
        return false;
    }
}

static bool may_pass(int16_t code)
{
    return surely_refused(code) || code == -1 || code == 7 || code == 15 || code == 16;
}

static void commit_judge(struct group_member *m, uint32_t topic, uint32_t partition, int16_t code)
{
    struct group_world *w = m->w;
    struct model_group *g = member_model(m);
    int64_t offset = m->commit_offsets[topic][partition];
    sim_say(w->sim, w->machine, "%s member %u: commit of %lld for topic%u-%u: %s", g->name, m->index, (long long)offset,
            topic, partition, kerr_name(code));
    if (code == 0) {
        w->result->acked++;
        w->counts[GROUP_COMMITS_ACKED]++;
        model_group_commit_acked(g, w->sim, topic, partition, offset, group_now(w), m->commit_era);
    } else if (surely_refused(code) || (code == 69 && model_group_may_be_gone(g, m->told_when))) { // GROUP_ID_NOT_FOUND
        w->counts[GROUP_COMMITS_REFUSED]++;
        model_group_commit_refused(g, w->sim, topic, partition, offset);
    } else {
        w->counts[GROUP_COMMITS_OPEN]++;
        model_group_commit_open(g, topic, partition, offset, group_now(w), true);
        if (!may_pass(code))
            sim_fail(w->sim, "%s: a commit is answered with error %d", g->name, code);
    }
}

static void commit_done(struct client_request *r, enum rc rc, struct bytes body)
{
    struct group_member *m = container_of(r, struct group_member, commit);
    struct group_world *w = m->w;
    struct arena a;
    struct offset_commit_response answer;
    int16_t code = 0;
    arena_init(&a, 64 << 10, NULL, 0);
    if (rc == RC_OK && client_answer_decode(w->sim, r, body, &a, &answer)) {
        for (uint32_t t = 0; t < answer.topics_count; t++)
            for (uint32_t p = 0; p < answer.topics[t].partitions_count; p++) {
                const struct offset_commit_response_partition *q = &answer.topics[t].partitions[p];
                uint32_t topic = 0;
                while (topic < w->topic_count && !bytes_eq(answer.topics[t].name, member_topic_name(w, topic)))
                    topic++;
                if (topic == w->topic_count || q->partition_index < 0 || q->partition_index >= MODEL_GROUP_PARTITIONS ||
                    m->commit_offsets[topic][q->partition_index] < 0) {
                    sim_fail(w->sim, "a commit is answered for a partition it did not hold");
                    break;
                }
                commit_judge(m, topic, (uint32_t)q->partition_index, q->error_code);
                m->commit_offsets[topic][q->partition_index] = -1;
                if (q->error_code)
                    code = q->error_code;
            }
    }
    arena_deinit(&a);
    for (uint32_t t = 0; t < w->topic_count; t++)
        for (uint32_t p = 0; p < MODEL_GROUP_PARTITIONS; p++)
            if (m->commit_offsets[t][p] >= 0) // no word of it
                model_group_commit_open(member_model(m), t, p, m->commit_offsets[t][p], group_now(w), false);
    w->requests_answered++;
    if (m->commit_life == m->life && m->state == MEMBER_STABLE && (code == 15 || code == 16))
        member_lost_coordinator(m);
    if (m->commit_life == m->life && m->state == MEMBER_STABLE && !m->request.busy && code &&
        (code == 25 || code == 82 || code == 110))
        member_rejoin(m, false);
}

// It has lost this partition, though it may not know: a newer generation was handed out, or another member holds it.
static bool is_foreign(const struct group_member *m, uint32_t topic, uint32_t partition)
{
    const struct group_world *w = m->w;
    const struct model_group *g = member_model(m);
    if (!g->lossless)
        return false; // a power cut may have taken the group back to what it was
    if (w->groups[m->group].protocol == GROUP_PROTOCOL_CLASSIC && m->generation < g->stable_generation)
        return true;
    return model_group_held_by_other(g, m->index, topic, partition, w->sim->now_ns);
}

// Commits a new number for some of the partitions it holds.
void member_commit(struct group_member *m)
{
    struct group_world *w = m->w;
    struct sim *sim = w->sim;
    if (m->commit.busy || !m->owned)
        return;
    uint32_t topics = 0;
    memset(m->commit_offsets, 0xff, sizeof(m->commit_offsets));
    for (uint32_t t = 0; t < w->topic_count; t++) {
        uint32_t count = 0;
        for (uint32_t p = 0; p < *w->topics[t].partition_count; p++) {
            if (!(m->owned >> (t * MODEL_GROUP_PARTITIONS + p) & 1) || !sim_chance(sim, 2, 3))
                continue;
            struct offset_commit_request_partition *q = &m->commit_partitions[t][count++];
            offset_commit_request_partition_init(q);
            q->partition_index = (int32_t)p;
            q->committed_offset = m->commit_offsets[t][p] = ++w->commit_numbers;
            q->committed_metadata = bytes_str("sim");
            model_group_commit_sent(member_model(m), t, p, q->committed_offset, group_now(w), m->at, is_foreign(m, t, p));
        }
        if (!count)
            continue;
        struct offset_commit_request_topic *q = &m->commit_topics[topics++];
        offset_commit_request_topic_init(q);
        q->name = member_topic_name(w, t);
        q->partitions = m->commit_partitions[t];
        q->partitions_count = count;
    }
    if (!topics)
        return;
    struct offset_commit_request *in = &m->commit_in;
    offset_commit_request_init(in);
    in->group_id = bytes_str(member_model(m)->name);
    in->generation_id_or_member_epoch = m->generation;
    in->member_id = bytes_str(m->id);
    in->group_instance_id = m->fixed ? bytes_str(m->instance) : bytes_of(NULL, 0);
    in->topics = m->commit_topics;
    in->topics_count = topics;
    m->commit.in = in;
    m->commit.version_max = m->consumer ? INT16_MAX : (int16_t)(sim_chance(sim, 1, 2) ? 9 : sim_between(sim, 1, 8));
    if (m->fixed && m->commit.version_max < 7)
        m->commit.version_max = 7;
    m->commit.done = commit_done;
    m->commit_life = m->life;
    m->commit_era = *w->era;
    client_connection_submit(&m->links.to[m->at], &m->commit);
}

// ------------------------------------------------------------------------------------------------ life

void group_links_init(struct group_links *l, struct group_clients *g, const char *name)
{
    for (uint32_t k = 0; k < g->w->host_count; k++) {
        client_connection_init(&l->to[k], g->shard, g->w->hosts[k], g->w->port, name, "sim");
        l->to[k].connect_timeout_ms = 1000;
    }
}

// A crash: the process is gone, its connection with it; nobody is told.
static void crash(struct group_member *m)
{
    struct sim *sim = m->w->sim;
    sim_say(sim, m->w->machine, "%s member %u crashes", member_model(m)->name, m->index);
    m->life++;
    if (sim_chance(sim, 1, 2)) { // else its machine is gone, and what was on its way arrives
        for (uint32_t k = 0; k < m->w->host_count; k++)
            client_connection_deinit(&m->links.to[k]);
        group_links_init(&m->links, m->groups, "member");
    }
    forget(m, false);
    m->state = MEMBER_AWAY;
    m->back_ns = sim->now_ns + sim_between(sim, SIM_MS, 4 * GROUP_SESSION_MS * SIM_MS);
}

static void misbehave(struct group_member *m)
{
    struct group_world *w = m->w;
    struct sim *sim = w->sim;
    uint64_t dice = sim_between(sim, 0, 999);
    if (m->state == MEMBER_AWAY)
        return;
    if (dice < 6) {
        crash(m);
    } else if (dice < 12 && m->state == MEMBER_STABLE) {
        m->state = MEMBER_LEAVE;
    } else if (dice < 18) {
        m->back_ns = sim->now_ns + sim_between(sim, 10 * SIM_MS, 2 * GROUP_SESSION_MS * SIM_MS);
    }
}

static void come(struct group_member *m)
{
    struct group_world *w = m->w;
    enum group_protocol protocol = w->groups[m->group].protocol;
    for (uint32_t t = 0; t < w->topic_count; t++)
        if (!w->there(w, t))
            return; // members subscribe to all of them from the first moment on
    m->consumer = protocol == GROUP_PROTOCOL_CONSUMER ||
                  (protocol == GROUP_PROTOCOL_MIXED && sim_chance(w->sim, 1, 2));
    forget(m, false);
    m->came_ns = w->sim->now_ns;
    m->state = MEMBER_FIND;
}

static void tick(struct shard_timer *timer)
{
    struct group_member *m = container_of(timer, struct group_member, timer);
    struct group_world *w = m->w;
    struct sim *sim = w->sim;
    if (sim->failed)
        return;
    member_look_late(m);
    if (!*w->draining)
        misbehave(m);
    member_wake_in(m, *w->draining ? sim_between(sim, 5, 15) * SIM_MS : sim_latency(sim, 10 * SIM_MS));
    if (m->request.busy || (m->back_ns > sim->now_ns && !(*w->draining && m->state != MEMBER_AWAY)))
        return;
    switch (m->state) {
    case MEMBER_AWAY:
        come(m);
        break;
    case MEMBER_FIND:
        find(m);
        break;
    case MEMBER_JOIN:
        if (m->consumer)
            consumer_member_beat(m);
        else
            classic_member_join(m);
        break;
    case MEMBER_SYNC:
        break; // it follows its join at once
    case MEMBER_STABLE:
        if (m->astray) {
            find(m);
            break;
        }
        if (sim_chance(sim, 1, 3) && !*w->draining)
            member_commit(m);
        if (sim->now_ns - m->acted_ns < sim_between(sim, GROUP_HEARTBEAT_MS / 4, GROUP_HEARTBEAT_MS) * SIM_MS)
            break;
        m->acted_ns = sim->now_ns;
        if (m->consumer)
            consumer_member_beat(m);
        else
            classic_member_act(m);
        break;
    case MEMBER_LEAVE:
        if (m->consumer)
            consumer_member_leave(m);
        else
            classic_member_leave(m);
        break;
    }
}

static void member_start(struct group_member *m, struct group_clients *g, uint32_t group, uint32_t index)
{
    struct sim *sim = g->w->sim;
    m->w = g->w;
    m->groups = g;
    m->group = (uint8_t)group;
    m->index = (uint8_t)index;
    m->fixed = sim_chance(sim, 1, 4);
    snprintf(m->instance, sizeof(m->instance), "instance-%u", index);
    group_links_init(&m->links, g, "member");
    client_request_init(&m->request, &join_group_request_message, 3000);
    client_request_init(&m->commit, &offset_commit_request_message, 3000);
    m->generation = -1;
    m->back_ns = sim->now_ns + sim_between(sim, 0, SIM_S);
    member_wake_in(m, sim_between(sim, 0, 20 * SIM_MS));
}

void group_accounts_draw(struct group_world *w, bool lossless)
{
    struct sim *sim = w->sim;
    w->group_count = (uint32_t)sim_between(sim, 1, GROUP_GROUPS_MAX);
    for (uint32_t g = 0; g < w->group_count; g++) {
        struct group_account *a = &w->groups[g];
        a->protocol = (enum group_protocol)sim_between(sim, GROUP_PROTOCOL_CLASSIC, GROUP_PROTOCOL_MIXED);
        a->rebalance_timeout_ms = sim_chance(sim, 1, 2) ? GROUP_SESSION_MS * 3 / 5 : GROUP_SESSION_MS * 3 / 2;
        a->member_count = (uint32_t)sim_between(sim, 1, MODEL_GROUP_MEMBERS);
        a->model.lossless = lossless;
        a->model.stable_generation = -1;
        snprintf(a->model.name, sizeof(a->model.name), "group%u", g);
    }
}

void group_clients_start(struct group_clients *g, struct group_world *w, struct shard *shard)
{
    g->w = w;
    g->shard = shard;
    for (uint32_t k = 0; k < w->group_count; k++)
        for (uint32_t m = 0; m < w->groups[k].member_count; m++)
            member_start(&g->members[k][m], g, k, m);
    group_looker_start(&g->looker, g);
}

// ------------------------------------------------------------------------------------------------ the end

bool group_clients_settled(const struct group_clients *clients, char *why, size_t why_bytes)
{
    const struct group_world *w = clients->w;
    for (uint32_t g = 0; g < w->group_count; g++) {
        const struct group_account *account = &w->groups[g];
        uint32_t held = 0;
        int32_t generation = -1;
        for (uint32_t k = 0; k < account->member_count; k++) {
            const struct group_member *m = &clients->members[g][k];
            if (m->state != MEMBER_STABLE || !m->stable) {
                snprintf(why, why_bytes, "%s member %u is in state %d", account->model.name, k, m->state);
                return false;
            }
            if (m->owned & held) {
                snprintf(why, why_bytes, "%s: members share partitions %x", account->model.name, m->owned & held);
                return false;
            }
            held |= m->owned;
            if (account->protocol == GROUP_PROTOCOL_CLASSIC && generation >= 0 && m->generation != generation) {
                snprintf(why, why_bytes, "%s is in generations %d and %d", account->model.name, generation, m->generation);
                return false;
            }
            generation = m->generation;
        }
        if (held != member_all_mask(w)) {
            snprintf(why, why_bytes, "%s holds partitions %x of %x", account->model.name, held, member_all_mask(w));
            return false;
        }
    }
    return true;
}
