// SPDX-License-Identifier: Apache-2.0
//
// Leaders and ISRs: what a node's coming and going means for partitions, elections that are asked for, and changes of
// ISRs by their leaders. A member that leaves an ISR below min.insync.replicas becomes eligible (KIP-966): it holds all
// that was committed. Looking for a node's partitions walks over all of them, in memory; records are made only for
// those that change.
#include "meta/controller_core.h"

#include "model/kerr.h"
#include "wire/peer_messages.h"

// ---- a node goes ----

// Whoever was in sync last has lost its disk, and nobody else is: the other replicas may lack records, but it has none.
// Those that live or come back first may lead (DESIGN section 3: beyond the guarantee, never silent).
static void fall_back(struct decision_change *c, const struct image_partition *p, int32_t node)
{
    for (uint32_t r = 0; r < p->replica_count; r++)
        if (image_replicas(p)[r] != node)
            c->elr[c->elr_count++] = image_replicas(p)[r];
    c->recovery = IMAGE_RECOVERING;
}

static bool leaves(struct decision *d, const struct image_topic *t, const struct image_partition *p, int32_t node,
                   enum decide_leave how, struct decision_change *c)
{
    decide_change_begin(c, p);
    bool lost = how == DECIDE_LEAVE_NOT_WHOLE || how == DECIDE_LEAVE_OFFLINE || how == DECIDE_LEAVE_EMPTIED;
    bool was_in = decide_list_drop(c->isr, &c->isr_count, node);
    bool was_eligible = lost && decide_list_drop(c->elr, &c->elr_count, node);
    if (!was_in && !was_eligible && p->leader != node)
        return false;
    bool keeps = how != DECIDE_LEAVE_DEAD;
    if (keeps && c->isr_count == 0 && c->elr_count == 0) {
        d->progress->alone += lost;
        // Nobody else knows more: it stays. Not whole, that may be a loss; emptied, it knows nothing.
        if (how != DECIDE_LEAVE_EMPTIED || p->replica_count == 1)
            return false;
        fall_back(c, p, node);
        decide_change_elect(c, d->view, p);
        return true;
    }
    if (was_in && !lost && c->isr_count < decide_min_isr(d, t, p) && c->elr_count < UINT8_MAX)
        c->elr[c->elr_count++] = node;
    if (p->leader == node && how == DECIDE_LEAVE_DEAD)
        decide_elect(d, t, p, c, false);
    else if (p->leader == node)
        decide_change_elect(c, d->view, p);
    if (c->leader == NODE_ID_NONE && keeps && !lost)
        return false; // nobody could take over now: better led by who goes than by nobody
    return true;
}

// What a node's coming or going makes of one partition. False: nothing.
typedef bool (*partition_fn)(struct decision *d, const struct image_topic *t, const struct image_partition *p,
                             int32_t node, enum decide_leave how, struct decision_change *c);

// Of all of them, from where the decision before stopped. False: there is more, or memory ran out.
static bool walk(struct decision *d, int32_t node, enum decide_leave how, partition_fn becomes)
{
    struct controller_progress *at = d->progress;
    const struct image_topic *t = image_topic_next(d->view, at->topic, at->topic.n > 0);
    int32_t n = t && bytes_eq(image_topic_name(t), at->topic) ? at->partition : 0;
    uint32_t changed = 0;
    for (; t && d->rc == RC_OK; t = image_topic_next(d->view, image_topic_name(t), false), n = 0) {
        struct uuid id = t->id;
        for (; n < t->partition_count && d->rc == RC_OK; n++) {
            const struct image_partition *p = image_partition(t, n);
            struct decision_change c;
            bool never;
            if (!becomes(d, t, p, node, how, &c))
                continue;
            if (!decision_fits(d, changed++ % CHANGES_PER_WORK == 0, CHANGE_BYTES + (size_t)p->replica_count * 8, &never)) {
                at->topic = bytes_str(decision_string(d, image_topic_name(t)));
                at->partition = n;
                return false;
            }
            decide_change_add(d, id, n, p, &c);
            t = image_topic_by_id(d->view, id); // it may have been copied
        }
    }
    return d->rc == RC_OK;
}

bool decide_leave(struct decision *d, int32_t node, enum decide_leave how)
{
    return walk(d, node, how, leaves);
}

// ---- a folder of a node fails ----

// KIP-112, KIP-858. Where nobody else could lead, the node stays and says KAFKA_STORAGE_ERROR: its next start may read
// again what it held, and there is nobody to lose it to.
void decide_replicas_offline(struct decision *d, const struct replicas_offline *in)
{
    uint32_t at = 0, changed = 0;
    for (uint32_t i = 0; i < in->topics_count; i++) {
        for (uint32_t k = 0; k < in->topics[i].partitions_count && d->rc == RC_OK; k++) {
            if (at++ < d->progress->done)
                continue;
            int32_t n = in->topics[i].partitions[k];
            const struct image_topic *t = image_topic_by_id(d->view, in->topics[i].topic_id);
            const struct image_partition *p = t && n >= 0 ? image_partition(t, n) : NULL;
            struct decision_change c;
            bool never;
            if (p && image_has_replica(p, in->node) && leaves(d, t, p, in->node, DECIDE_LEAVE_OFFLINE, &c)) {
                if (!decision_fits(d, changed++ % CHANGES_PER_WORK == 0, CHANGE_BYTES + (size_t)p->replica_count * 8,
                                   &never))
                    return;
                decide_change_add(d, t->id, n, p, &c);
            }
            d->progress->done = at;
        }
    }
}

// ---- a node comes ----

static bool returns(struct decision *d, const struct image_topic *t, const struct image_partition *p, int32_t node,
                    enum decide_leave how, struct decision_change *c)
{
    (void)how;
    if (p->leader != NODE_ID_NONE || !image_has_replica(p, node))
        return false;
    decide_change_begin(c, p);
    decide_elect(d, t, p, c, false);
    return c->leader != NODE_ID_NONE;
}

bool decide_return(struct decision *d, int32_t node)
{
    return walk(d, node, DECIDE_LEAVE_DEAD, returns);
}

// ---- ElectLeaders ----

enum { ELECTION_PREFERRED = 0, ELECTION_UNCLEAN = 1 };

static enum rc elect(struct decision *d, const struct image_topic *t, int32_t partition, int8_t type)
{
    const struct image_partition *p = t && partition >= 0 ? image_partition(t, partition) : NULL;
    if (!p)
        return RC_UNKNOWN_TOPIC_OR_PARTITION;
    struct decision_change c;
    decide_change_begin(&c, p);
    if (type == ELECTION_PREFERRED) {
        int32_t wanted = image_replicas(p)[0];
        if (p->leader == wanted)
            return RC_ELECTION_NOT_NEEDED;
        if (!decide_list_has(c.isr, c.isr_count, wanted) || !decide_may_lead(d->view, wanted))
            return RC_PREFERRED_LEADER_NOT_AVAILABLE;
        c.leader = wanted;
    } else {
        if (p->leader != NODE_ID_NONE && decide_may_lead(d->view, p->leader))
            return RC_ELECTION_NOT_NEEDED;
        decide_elect(d, t, p, &c, true);
        if (c.leader == NODE_ID_NONE)
            return RC_ELIGIBLE_LEADERS_NOT_AVAILABLE;
    }
    decide_change_add(d, t->id, partition, p, &c);
    return RC_OK;
}

static void elect_result(struct decision *d, struct elect_leaders_response_replica_election_result *out,
                         int32_t partition, enum rc rc)
{
    (void)d;
    struct elect_leaders_response_partition_result *r = &out->partition_result[out->partition_result_count++];
    elect_leaders_response_partition_result_init(r);
    r->partition_id = partition;
    r->error_code = kerr_of(rc);
    if (rc != RC_OK)
        r->error_message = bytes_str(rc_text(rc));
}

static void elect_topic(struct decision *d, struct bytes name, const int32_t *partitions, uint32_t count, int8_t type,
                        bool all, struct elect_leaders_response *out)
{
    struct elect_leaders_response_replica_election_result *r =
        &out->replica_election_results[out->replica_election_results_count];
    elect_leaders_response_replica_election_result_init(r);
    r->topic = name;
    r->partition_result = decision_array(d, count, sizeof(*r->partition_result));
    for (uint32_t i = 0; r->partition_result && i < count && d->rc == RC_OK; i++) {
        int32_t n = partitions ? partitions[i] : (int32_t)i;
        enum rc rc = elect(d, image_topic_by_name(d->view, name), n, type);
        if (!all || rc != RC_ELECTION_NOT_NEEDED)
            elect_result(d, r, n, rc);
    }
    if (!all || r->partition_result_count > 0)
        out->replica_election_results_count++;
}

void decide_elect_leaders(struct decision *d, const struct elect_leaders_request *in, struct elect_leaders_response *out)
{
    elect_leaders_response_init(out);
    if (in->election_type != ELECTION_PREFERRED && in->election_type != ELECTION_UNCLEAN) {
        out->error_code = kerr_of(RC_INVALID_REQUEST);
        return;
    }
    bool all = !in->topic_partitions;
    uint32_t topics = all ? d->view->topic_count : in->topic_partitions_count;
    out->replica_election_results = decision_array(d, topics, sizeof(*out->replica_election_results));
    for (uint32_t i = 0; !all && i < topics && d->rc == RC_OK; i++)
        elect_topic(d, in->topic_partitions[i].topic, in->topic_partitions[i].partitions,
                    in->topic_partitions[i].partitions_count, in->election_type, false, out);
    const struct image_topic *t = all ? image_topic_next(d->view, (struct bytes){0}, false) : NULL;
    for (; t && d->rc == RC_OK; t = image_topic_next(d->view, image_topic_name(t), false)) {
        struct uuid id = t->id;
        struct bytes name = bytes_str(decision_string(d, image_topic_name(t)));
        elect_topic(d, name, NULL, (uint32_t)t->partition_count, in->election_type, true, out);
        t = image_topic_by_id(d->view, id);
    }
}

// ---- ISR changes ----

// The broker epochs are checked here once more: a member that registered anew since it fetched may have lost its log.
static enum rc isr_judge(const struct decision *d, int32_t node, const struct image_partition *p,
                         const struct alter_isr_partition *in)
{
    if (p->leader != node || in->leader_epoch > p->leader_epoch)
        return in->leader_epoch < p->leader_epoch ? RC_FENCED_LEADER_EPOCH : RC_NOT_CONTROLLER;
    if (in->leader_epoch < p->leader_epoch)
        return RC_FENCED_LEADER_EPOCH;
    if (in->partition_epoch > p->epoch)
        return RC_NOT_CONTROLLER; // it knows more than this controller
    if (in->partition_epoch < p->epoch)
        return RC_INVALID_UPDATE_VERSION;
    if (in->isr_count == 0 || in->isr_count > p->replica_count)
        return RC_INVALID_REQUEST;
    bool leader = false;
    for (uint32_t i = 0; i < in->isr_count; i++) {
        const struct image_node *n = image_node(d->view, in->isr[i].node);
        for (uint32_t k = 0; k < i; k++)
            if (in->isr[k].node == in->isr[i].node)
                return RC_INVALID_REQUEST;
        if (!image_has_replica(p, in->isr[i].node))
            return RC_INVALID_REQUEST;
        leader |= in->isr[i].node == node;
        bool stays = image_in_isr(p, in->isr[i].node);
        if (!n || (!stays && (n->fenced || n->in_shutdown)) ||
            (in->isr[i].broker_epoch != -1 && n->broker_epoch != in->isr[i].broker_epoch))
            return RC_INELIGIBLE_REPLICA;
    }
    // A leader that is still recovering stands alone; one that has recovered does not begin again (KIP-704).
    if (!leader || (in->recovery != IMAGE_RECOVERED && (in->isr_count > 1 || p->recovery == IMAGE_RECOVERED)))
        return RC_INVALID_REQUEST;
    return RC_OK;
}

static enum rc isr_change(struct decision *d, int32_t node, struct uuid topic_id, const struct alter_isr_partition *in)
{
    const struct image_topic *t = image_topic_by_id(d->view, topic_id);
    const struct image_partition *p = t && in->partition >= 0 ? image_partition(t, in->partition) : NULL;
    if (!t)
        return RC_UNKNOWN_TOPIC_ID;
    if (!p)
        return RC_UNKNOWN_TOPIC_OR_PARTITION;
    enum rc rc = isr_judge(d, node, p, in);
    if (rc != RC_OK)
        return rc;
    struct decision_change c;
    decide_change_begin(&c, p);
    c.isr_count = 0;
    for (uint32_t i = 0; i < in->isr_count; i++)
        c.isr[c.isr_count++] = in->isr[i].node;
    if (c.isr_count >= decide_min_isr(d, t, p)) {
        c.elr_count = 0;
    } else {
        for (uint32_t i = 0; i < p->isr_count; i++)
            if (!decide_list_has(c.isr, c.isr_count, image_isr(p)[i]) &&
                !decide_list_has(c.elr, c.elr_count, image_isr(p)[i]))
                c.elr[c.elr_count++] = image_isr(p)[i];
        for (uint32_t i = 0; i < c.isr_count; i++)
            decide_list_drop(c.elr, &c.elr_count, c.isr[i]);
    }
    if (in->recovery == IMAGE_RECOVERED && p->recovery != IMAGE_RECOVERED)
        c.recovery = IMAGE_RECOVERED;
    decide_change_add(d, topic_id, in->partition, p, &c);
    return RC_OK;
}

static void isr_answer(struct decision *d, struct uuid topic_id, int32_t partition, enum rc rc,
                       struct alter_isr_answer_partition *out)
{
    alter_isr_answer_partition_init(out);
    out->partition = partition;
    out->error_code = kerr_of(rc);
    const struct image_topic *t = rc == RC_OK ? image_topic_by_id(d->view, topic_id) : NULL;
    const struct image_partition *p = t ? image_partition(t, partition) : NULL;
    if (!p)
        return;
    out->leader = p->leader;
    out->leader_epoch = p->leader_epoch;
    out->partition_epoch = p->epoch;
    out->recovery = (int8_t)p->recovery;
    out->isr = decision_array(d, p->isr_count, sizeof(*out->isr));
    if (!out->isr)
        return;
    out->isr_count = p->isr_count;
    memcpy(out->isr, image_isr(p), p->isr_count * sizeof(int32_t));
}

void decide_alter_isr(struct decision *d, const struct alter_isr *in, struct alter_isr_answer *out)
{
    alter_isr_answer_init(out);
    out->topics = decision_array(d, in->topics_count, sizeof(*out->topics));
    for (uint32_t i = 0; out->topics && i < in->topics_count && d->rc == RC_OK; i++) {
        const struct alter_isr_topic *t = &in->topics[i];
        struct alter_isr_answer_topic *o = &out->topics[out->topics_count++];
        alter_isr_answer_topic_init(o);
        o->topic_id = t->topic_id;
        o->partitions = decision_array(d, t->partitions_count, sizeof(*o->partitions));
        for (uint32_t k = 0; o->partitions && k < t->partitions_count && d->rc == RC_OK; k++) {
            enum rc rc = isr_change(d, in->node, t->topic_id, &t->partitions[k]);
            isr_answer(d, t->topic_id, t->partitions[k].partition, rc, &o->partitions[o->partitions_count++]);
        }
    }
}
