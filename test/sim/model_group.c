// SPDX-License-Identifier: Apache-2.0
#include "model_group.h"

#include <string.h>

#include "base/assert.h"
#include "memory.h"

void model_group_deinit(struct model_group *g)
{
    for (int t = 0; t < MODEL_GROUP_TOPICS; t++)
        for (int p = 0; p < MODEL_GROUP_PARTITIONS; p++)
            sim_free(g->offsets[t][p].v);
}

// ------------------------------------------------------------------------------------------------ commits

static struct model_commit *find(struct model_offset *o, int64_t offset)
{
    for (size_t k = o->count; k > 0; k--) // mostly a young one
        if (o->v[k - 1].offset == offset)
            return &o->v[k - 1];
    return NULL;
}

void model_group_commit_sent(struct model_group *g, uint32_t topic, uint32_t partition, int64_t offset,
                             struct model_now now, uint32_t to, bool foreign)
{
    struct model_offset *o = &g->offsets[topic][partition];
    ASSERT(!find(o, offset));
    if (o->count == o->cap) {
        o->cap = o->cap ? 2 * o->cap : 16;
        o->v = sim_realloc(o->v, o->cap * sizeof(o->v[0]));
        ASSERT(o->v);
    }
    struct model_commit *c = &o->v[o->count++];
    *c = (struct model_commit){.offset = offset, .sent_ns = now.ns, .to = (uint8_t)to, .foreign = foreign};
    memcpy(c->sent_lives, now.lives, sizeof(c->sent_lives));
}

void model_group_commit_acked(struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition, int64_t offset,
                              struct model_now now, uint32_t era)
{
    struct model_commit *c = find(&g->offsets[topic][partition], offset);
    ASSERT(c);
    if (c->foreign)
        sim_fail(sim, "%s topic%u-%u: the commit of %lld is acknowledged, by a member that has lost the partition",
                 g->name, topic, partition, (long long)offset);
    if (!c->acked)
        c->done_ns = now.ns;
    c->acked = c->answered = true;
    c->acked_era = era;
}

void model_group_commit_refused(struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition,
                                int64_t offset)
{
    struct model_offset *o = &g->offsets[topic][partition];
    struct model_commit *c = find(o, offset);
    ASSERT(c);
    if (c->acked)
        sim_fail(sim, "%s topic%u-%u: the commit of %lld is refused, and was seen", g->name, topic, partition,
                 (long long)offset);
    size_t at = (size_t)(c - o->v);
    memmove(c, c + 1, (o->count - at - 1) * sizeof(*c));
    o->count--;
}

void model_group_commit_open(struct model_group *g, uint32_t topic, uint32_t partition, int64_t offset,
                             struct model_now now, bool answered)
{
    struct model_commit *c = find(&g->offsets[topic][partition], offset);
    ASSERT(c);
    c->answered = answered;
    c->done_life = now.lives[c->to];
    if (!c->acked)
        c->done_ns = now.ns;
}

// ------------------------------------------------------------------------------------------------ fetches

// Was c over when a was sent?
static bool over_before(const struct model_commit *c, const struct model_commit *a)
{
    if (c->acked || c->answered)
        return c->done_ns < a->sent_ns;
    return c->done_ns && c->done_life < a->sent_lives[c->to];
}

// What was sent before the end of a deletion may be gone with it.
static bool wipe_is_unsure(const struct model_group *g, const uint16_t *since_lives)
{
    for (uint32_t n = 0; n < MODEL_GROUP_NODES; n++)
        if (g->wipe_unsure[n] && since_lives[n] <= g->wipe_unsure[n])
            return true;
    return false;
}

static bool may_be_wiped(const struct model_group *g, const struct model_commit *a)
{
    return g->wipe_out || wipe_is_unsure(g, a->sent_lives) || a->sent_ns < g->wipe_done_ns;
}

static bool shown_is_good(const struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition,
                          int64_t offset, const struct model_commit *shown)
{
    const char *what = NULL;
    if (!shown)
        what = "nobody sent that or it was refused";
    else if (shown->foreign)
        what = "its member had lost the partition when it was sent";
    else if (shown->acked && shown->done_ns < g->wipe_sent_ns && g->lossless)
        what = "the group was deleted after it";
    if (what)
        sim_fail(sim, "%s topic%u-%u: offset %lld is committed, and %s", g->name, topic, partition, (long long)offset,
                 what);
    return !what;
}

void model_group_fetched(struct model_group *g, struct sim *sim, uint32_t topic, uint32_t partition, int64_t offset,
                         struct model_now asked, struct model_now now)
{
    struct model_offset *o = &g->offsets[topic][partition];
    struct model_commit *shown = offset >= 0 ? find(o, offset) : NULL;
    if (offset >= 0 && !shown_is_good(g, sim, topic, partition, offset, shown))
        return;
    for (size_t k = 0; k < o->count; k++) {
        const struct model_commit *a = &o->v[k];
        if (!a->acked || a->done_ns >= asked.ns || a == shown || may_be_wiped(g, a))
            continue;
        if (!g->lossless && a->acked_era != now.era)
            continue; // a power cut may have taken it
        if (!shown || over_before(shown, a)) {
            sim_fail(sim, "%s topic%u-%u: the commit of %lld was acknowledged, now %lld is committed", g->name, topic,
                     partition, (long long)a->offset, (long long)offset);
            return;
        }
    }
    if (shown && !shown->acked && asked.era == now.era) {
        shown->acked = true;
        shown->acked_era = now.era;
        shown->done_ns = now.ns;
    }
}

// ------------------------------------------------------------------------------------------------ deletions

void model_group_wipe_sent(struct model_group *g, struct model_now now)
{
    g->wipe_out = true;
    g->wipe_out_ns = now.ns;
    g->stable_generation = -1; // a new group under the name counts from the start
}

void model_group_wiped(struct model_group *g, enum model_wipe how, struct model_now now, uint32_t by)
{
    g->wipe_out = false;
    g->stable_generation = -1;
    if (how == MODEL_WIPE_UNSURE)
        g->wipe_unsure[by] = now.lives[by];
    if (how != MODEL_WIPE_DONE)
        return;
    g->wipe_sent_ns = g->wipe_out_ns;
    g->wipe_done_ns = now.ns;
}

bool model_group_may_be_gone(const struct model_group *g, struct model_now since)
{
    return !g->lossless || g->wipe_out || wipe_is_unsure(g, since.lives) || since.ns < g->wipe_done_ns;
}

// ------------------------------------------------------------------------------------------------ partitions

static bool holds(const struct model_hold *h, uint64_t now_ns)
{
    return h->held && h->lease_until_ns > now_ns && (!h->late_ns || h->asked_ns > h->late_ns);
}

bool model_group_held_by_other(const struct model_group *g, uint32_t member, uint32_t topic, uint32_t partition,
                               uint64_t now_ns)
{
    for (uint32_t m = 0; m < MODEL_GROUP_MEMBERS; m++)
        if (m != member && holds(&g->holds[m][topic][partition], now_ns))
            return true;
    return false;
}

void model_group_hold(struct model_group *g, struct sim *sim, uint32_t member, uint32_t mask, uint32_t renewed,
                      uint64_t asked_ns, uint64_t lease_ns)
{
    for (uint32_t t = 0; t < MODEL_GROUP_TOPICS; t++)
        for (uint32_t p = 0; p < MODEL_GROUP_PARTITIONS; p++) {
            uint32_t bit = 1u << (t * MODEL_GROUP_PARTITIONS + p);
            struct model_hold *h = &g->holds[member][t][p];
            if ((mask & renewed & bit) || !h->held) {
                h->asked_ns = asked_ns;
                h->lease_until_ns = asked_ns + lease_ns;
            }
            h->held = mask & bit;
            if (g->lossless && holds(h, sim->now_ns) &&
                model_group_held_by_other(g, member, t, p, sim->now_ns))
                sim_fail(sim, "%s: topic%u-%u is given to member %u while another one holds it", g->name, t, p, member);
        }
}

void model_group_late(struct model_group *g, uint32_t member, uint32_t kept, uint64_t now_ns)
{
    for (uint32_t t = 0; t < MODEL_GROUP_TOPICS; t++)
        for (uint32_t p = 0; p < MODEL_GROUP_PARTITIONS; p++)
            if (!(kept >> (t * MODEL_GROUP_PARTITIONS + p) & 1))
                g->holds[member][t][p].late_ns = now_ns;
}

void model_group_stable(struct model_group *g, struct sim *sim, int32_t generation, uint32_t round,
                        struct model_now asked, struct model_now now)
{
    if (g->wipe_out || wipe_is_unsure(g, asked.lives) || asked.ns < g->wipe_done_ns)
        return; // of a group that is no more, perhaps
    if (!g->lossless && asked.era != now.era)
        return;
    bool lost = !g->lossless && g->stable_era != now.era; // a power cut may have taken generations
    if (!lost && generation == g->stable_generation && round != g->stable_round)
        sim_fail(sim, "%s: generation %d has two assignments, of rounds %u and %u", g->name, generation, g->stable_round,
                 round);
    // A late answer of an older generation is no failure: the member finds out with its next request.
    if (lost || generation > g->stable_generation) {
        g->stable_generation = generation;
        g->stable_round = round;
        g->stable_era = now.era;
    }
}
