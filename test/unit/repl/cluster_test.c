// SPDX-License-Identifier: Apache-2.0
//
// Leaders and followers of one partition under one seed, with a controller that elects from the ISR, loses answers and
// applies changes late, and replicas that die and come back. What a leader's high watermark has passed must be held,
// batch by batch, by every member of the committed ISR, for ever.
#include <criterion/criterion.h>

#include <string.h>

#include "base/prng.h"
#include "repl/follower.h"
#include "repl/leader.h"

enum { NODES = 4, LOG_MAX = 4096, STEPS = 4000, SEEDS = 300, LAG_MS = 50 };
#define MS UINT64_C(1000000)

struct cell {
    int32_t epoch;
    uint32_t value;
};

struct replica {
    bool up;
    int64_t broker_epoch;
    int64_t end, high_watermark;
    struct cell log[LOG_MAX];
    struct repl_leader leader;
    bool leads;
    struct repl_follower follower;
    int32_t image_epoch; // partition epoch of the image it has seen
};

struct world {
    struct prng prng;
    uint64_t now_ns;
    struct replica r[NODES];
    // the committed image
    bool isr[NODES];
    bool fenced[NODES];
    int32_t leader, leader_epoch, partition_epoch;
    int64_t next_broker_epoch;
    // a change on its way to the controller
    bool flying;
    int32_t flying_from;
    struct repl_change change;
    // what counted as committed
    struct cell committed[LOG_MAX];
    int64_t committed_end;
    uint32_t values;
    unsigned elections, truncations, joins, shrinks;
};

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void check(struct world *w)
{
    for (int n = 0; n < NODES; n++) {
        struct replica *r = &w->r[n];
        if (r->leads && r->up && r->leader.high_watermark > w->committed_end && w->leader_epoch == r->leader.leader_epoch) {
            for (int64_t k = w->committed_end; k < r->leader.high_watermark; k++)
                w->committed[k] = r->log[k];
            w->committed_end = r->leader.high_watermark;
        }
        if (!w->isr[n])
            continue;
        cr_assert_geq(r->end, w->committed_end, "node %d of the ISR lacks committed records", n);
        cr_assert(memcmp(r->log, w->committed, (size_t)w->committed_end * sizeof(struct cell)) == 0,
                  "node %d of the ISR has other records than were committed", n);
    }
}

static void epoch_end(void *context, int32_t epoch, int32_t *found, int64_t *end)
{
    const struct replica *r = context;
    *found = LEADER_EPOCH_NONE;
    *end = OFFSET_NONE;
    for (int64_t k = 0; k < r->end && r->log[k].epoch <= epoch; k++) {
        *found = r->log[k].epoch;
        *end = k + 1;
    }
}

static struct repl_log log_of(struct replica *r)
{
    return (struct repl_log){.end = r->end,
                             .durable = r->end,
                             .high_watermark = r->high_watermark,
                             .latest_epoch = r->end ? r->log[r->end - 1].epoch : LEADER_EPOCH_NONE,
                             .epoch_end = epoch_end,
                             .context = r};
}

static struct repl_view view_of(const struct world *w, struct repl_member members[NODES])
{
    for (int n = 0; n < NODES; n++)
        members[n] = (struct repl_member){
            .node = n, .in_isr = w->isr[n], .ready = !w->fenced[n], .broker_epoch = w->r[n].broker_epoch};
    return (struct repl_view){.leader_epoch = w->leader_epoch,
                              .partition_epoch = w->partition_epoch,
                              .min_insync_replicas = 2,
                              .factor = NODES,
                              .member_count = NODES,
                              .members = members};
}

// Node n learns the newest image.
static void see_image(struct world *w, int n)
{
    struct replica *r = &w->r[n];
    struct repl_member members[NODES];
    struct repl_view view = view_of(w, members);
    r->image_epoch = w->partition_epoch;
    if (w->leader == n && r->leads && r->leader.leader_epoch == w->leader_epoch) {
        bool moved;
        cr_assert_eq(repl_leader_view(&r->leader, &view, w->now_ns, &moved), RC_OK);
        return;
    }
    if (r->leads) {
        r->high_watermark = r->leader.high_watermark;
        repl_leader_deinit(&r->leader);
        r->leads = false;
    }
    if (w->leader == n) {
        cr_assert_eq(repl_leader_begin(&r->leader, n, &view, r->end, r->end, min64(r->high_watermark, r->end), LAG_MS * MS, w->now_ns),
                     RC_OK);
        r->leads = true;
    } else {
        if (r->follower.leader == n)
            r->follower.leader = NODE_ID_NONE;
        repl_follower_follow(&r->follower, w->leader, w->leader_epoch, w->isr[n]);
    }
}

static void elect(struct world *w)
{
    w->leader = NODE_ID_NONE;
    uint32_t first = (uint32_t)prng_below(&w->prng, NODES);
    for (uint32_t k = 0; k < NODES; k++) {
        int n = (int)((first + k) % NODES);
        if (w->isr[n] && !w->fenced[n]) {
            w->leader = n;
            break;
        }
    }
    w->leader_epoch++;
    w->partition_epoch++;
    w->elections++;
}

// The controller fences a dead node: out of the ISR unless it is the last, a new leader if it led.
static void fence(struct world *w, int n)
{
    unsigned count = 0;
    for (int k = 0; k < NODES; k++)
        count += w->isr[k];
    w->fenced[n] = true;
    if (w->isr[n] && count > 1)
        w->isr[n] = false;
    w->partition_epoch++;
    if (w->leader == n)
        elect(w);
}

static void start(struct world *w, int n)
{
    struct replica *r = &w->r[n];
    r->up = true;
    r->broker_epoch = ++w->next_broker_epoch;
    w->fenced[n] = false;
    w->partition_epoch++;
    r->follower = (struct repl_follower){.leader = NODE_ID_NONE};
    if (w->leader == NODE_ID_NONE || w->leader == n)
        elect(w);
    see_image(w, n);
}

static void stop(struct world *w, int n)
{
    struct replica *r = &w->r[n];
    if (r->leads) {
        r->high_watermark = r->leader.high_watermark;
        repl_leader_deinit(&r->leader);
        r->leads = false;
    }
    r->up = false;
}

static void fetch(struct world *w, int n)
{
    struct replica *f = &w->r[n];
    struct repl_log log = log_of(f);
    struct repl_ask ask;
    if (!f->up || f->leads || !repl_follower_ask(&f->follower, &log, w->now_ns, &ask))
        return;
    struct replica *l = &w->r[f->follower.leader];
    struct repl_answer a = {.leader_epoch = ask.leader_epoch, .asked_offset = ask.offset, .high_watermark = OFFSET_NONE,
                            .log_start = 0, .diverging_epoch = LEADER_EPOCH_NONE, .diverging_end = OFFSET_NONE};
    struct cell carried[8];
    uint32_t count = 0;
    if (!l->up || !l->leads) {
        repl_follower_failed(&f->follower, w->now_ns);
        return;
    }
    if (l->leader.leader_epoch != ask.leader_epoch) {
        a.rc = l->leader.leader_epoch > ask.leader_epoch ? RC_FENCED_LEADER_EPOCH : RC_UNKNOWN_LEADER_EPOCH;
    } else {
        int32_t found = LEADER_EPOCH_NONE;
        int64_t end = OFFSET_NONE;
        epoch_end(l, ask.last_fetched_epoch, &found, &end);
        if (ask.last_fetched_epoch != LEADER_EPOCH_NONE && found == LEADER_EPOCH_NONE) {
            a.rc = RC_OFFSET_OUT_OF_RANGE;
        } else if (ask.last_fetched_epoch != LEADER_EPOCH_NONE && (found < ask.last_fetched_epoch || end < ask.offset)) {
            a.diverging_epoch = found;
            a.diverging_end = end;
        } else {
            bool known;
            struct repl_fetch in = {.node = n, .broker_epoch = f->broker_epoch, .offset = ask.offset};
            repl_leader_fetched(&l->leader, &in, w->now_ns, &known);
            while (count < 8 && ask.offset + count < l->end) {
                carried[count] = l->log[ask.offset + count];
                count++;
            }
            a.records = count > 0;
            a.high_watermark = l->leader.high_watermark;
        }
    }
    if (prng_chance(&w->prng, 1, 20))
        return; // the answer is lost
    struct repl_verdict v;
    repl_follower_answer(&f->follower, &log, &a, w->now_ns, &v);
    switch (v.action) {
    case REPL_APPEND:
        memcpy(&f->log[f->end], carried, count * sizeof(carried[0]));
        f->end += count;
        // fall through
    case REPL_NOTHING:
        if (v.high_watermark != OFFSET_NONE && min64(v.high_watermark, f->end) > f->high_watermark)
            f->high_watermark = min64(v.high_watermark, f->end);
        break;
    case REPL_TRUNCATE:
        cr_assert(v.offset < f->end);
        f->end = v.offset;
        f->high_watermark = min64(f->high_watermark, f->end);
        w->truncations++;
        break;
    case REPL_RESTART:
        f->end = f->high_watermark = 0;
        break;
    case REPL_FIND:
        if (prng_chance(&w->prng, 1, 2))
            see_image(w, n);
        break;
    case REPL_STOP:
        cr_assert_fail("a member of the ISR is told to cut committed records");
    }
}

static void propose(struct world *w, int n)
{
    struct replica *r = &w->r[n];
    if (!r->up || !r->leads || w->flying)
        return;
    if (!repl_leader_pending(&r->leader, &w->change) &&
        !repl_leader_change(&r->leader, w->now_ns, false, &w->change))
        return;
    w->flying = true;
    w->flying_from = n;
}

// The controller judges the change on its way; its answer may be lost.
static void decide(struct world *w)
{
    struct repl_change *c = &w->change;
    struct replica *from = &w->r[w->flying_from];
    enum repl_outcome outcome = REPL_APPLIED;
    w->flying = false;
    if (prng_chance(&w->prng, 1, 5)) { // lost before it arrived
        outcome = REPL_UNKNOWN;
    } else if (w->leader != w->flying_from || c->leader_epoch != w->leader_epoch || c->partition_epoch != w->partition_epoch) {
        outcome = REPL_UNKNOWN; // this one or an earlier sending of it: the image will tell
    } else {
        for (uint32_t k = 1; k < c->count; k++)
            if (w->fenced[c->isr[k].node] || w->r[c->isr[k].node].broker_epoch != c->isr[k].broker_epoch)
                outcome = REPL_REFUSED;
        if (outcome == REPL_APPLIED) {
            memset(w->isr, 0, sizeof(w->isr));
            for (uint32_t k = 0; k < c->count; k++)
                w->isr[c->isr[k].node] = true;
            w->partition_epoch++;
            w->joins += (unsigned)c->added;
            w->shrinks += (unsigned)c->removed;
            if (prng_chance(&w->prng, 1, 4))
                outcome = REPL_UNKNOWN; // applied, and the answer lost
        }
    }
    if (from->up && from->leads && from->leader.leader_epoch == c->leader_epoch)
        repl_leader_answered(&from->leader, c->partition_epoch, outcome, w->now_ns);
}

static void append(struct world *w, int n)
{
    struct replica *r = &w->r[n];
    if (!r->up || !r->leads || r->end >= LOG_MAX - 8)
        return;
    r->log[r->end] = (struct cell){.epoch = r->leader.leader_epoch, .value = ++w->values};
    r->end++;
    repl_leader_appended(&r->leader, r->end, w->now_ns);
}

static void step(struct world *w)
{
    int n = (int)prng_below(&w->prng, NODES);
    w->now_ns += prng_below(&w->prng, 4) * MS;
    uint64_t dice = prng_below(&w->prng, 1000);
    if (dice < 250)
        append(w, n);
    else if (dice < 700)
        fetch(w, n);
    else if (dice < 800 && w->r[n].up)
        see_image(w, n);
    else if (dice < 900)
        propose(w, n);
    else if (dice < 960 && w->flying)
        decide(w);
    else if (dice < 975 && !w->r[n].up)
        start(w, n);
    else if (dice < 985 && w->r[n].up)
        stop(w, n);
    else if (dice < 1000 && !w->r[n].up && !w->fenced[n])
        fence(w, n);
}

static void run_seed(uint64_t seed, struct world *w)
{
    memset(w, 0, sizeof(*w));
    prng_init(&w->prng, seed);
    w->now_ns = 1000 * MS;
    for (int n = 0; n < NODES; n++) {
        w->isr[n] = true;
        w->r[n].follower.leader = NODE_ID_NONE;
    }
    w->leader = NODE_ID_NONE;
    for (int n = 0; n < NODES; n++)
        start(w, n);
    for (int k = 0; k < STEPS; k++) {
        step(w);
        check(w);
    }
    for (int n = 0; n < NODES; n++)
        stop(w, n);
}

Test(repl_cluster, what_is_committed_stays_in_the_isr, .timeout = 120)
{
    static struct world w;
    unsigned elections = 0, truncations = 0, joins = 0, shrinks = 0;
    int64_t committed = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(seed, &w);
        elections += w.elections;
        truncations += w.truncations;
        joins += w.joins;
        shrinks += w.shrinks;
        committed += w.committed_end;
    }
    // The run went where it had to go.
    cr_assert(elections > 20 * SEEDS, "%u", elections);
    cr_assert(truncations > SEEDS / 2, "%u", truncations);
    cr_assert(joins > SEEDS && shrinks > SEEDS / 2, "%u %u", joins, shrinks);
    cr_assert(committed > 50 * SEEDS, "%lld", (long long)committed);
}
