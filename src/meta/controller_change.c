// SPDX-License-Identifier: Apache-2.0
//
// What a decision makes of one partition: replicas, ISR and leader as they will be, and the record that says so. Whatever
// changes an ISR may end a move of replicas: then the record that does so ends it, too (KIP-455).
#include "meta/controller_core.h"

void decide_change_begin(struct decision_change *c, const struct image_partition *p)
{
    *c = (struct decision_change){.replica_count = p->replica_count,
                                  .adding_count = p->adding_count,
                                  .removing_count = p->removing_count,
                                  .isr_count = p->isr_count,
                                  .elr_count = p->elr_count,
                                  .leader = -2,
                                  .recovery = -1};
    memcpy(c->replicas, image_replicas(p), p->replica_count * sizeof(int32_t));
    memcpy(c->adding, image_adding(p), p->adding_count * sizeof(int32_t));
    memcpy(c->removing, image_removing(p), p->removing_count * sizeof(int32_t));
    memcpy(c->isr, image_isr(p), p->isr_count * sizeof(int32_t));
    memcpy(c->elr, image_elr(p), p->elr_count * sizeof(int32_t));
}

// ---- lists ----

bool decide_list_has(const int32_t *list, uint32_t count, int32_t node)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == node)
            return true;
    return false;
}

bool decide_list_drop(int32_t *list, uint32_t *count, int32_t node)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (list[i] != node)
            continue;
        memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof(list[0]));
        (*count)--;
        return true;
    }
    return false;
}

void decide_list_keep(int32_t *list, uint32_t *count, const int32_t *others, uint32_t other_count, bool shared)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (decide_list_has(others, other_count, list[i]) == shared)
            list[n++] = list[i];
    *count = n;
}

static bool list_same(const int32_t *a, uint32_t a_count, const int32_t *b, uint32_t b_count)
{
    return a_count == b_count && memcmp(a, b, a_count * sizeof(*a)) == 0;
}

// ---- leaders ----

bool decide_may_lead(const struct image *i, int32_t node)
{
    const struct image_node *n = image_node(i, node);
    return n && !n->fenced && !n->in_shutdown;
}

void decide_change_elect(struct decision_change *c, const struct image *i, const struct image_partition *p)
{
    for (uint32_t r = 0; r < c->replica_count; r++)
        if (decide_list_has(c->isr, c->isr_count, c->replicas[r]) && decide_may_lead(i, c->replicas[r])) {
            c->leader = c->replicas[r];
            return;
        }
    c->leader = NODE_ID_NONE;
    for (uint32_t r = 0; r < c->replica_count && c->isr_count == 0; r++)
        if (decide_list_has(c->elr, c->elr_count, c->replicas[r]) && decide_may_lead(i, c->replicas[r])) {
            c->leader = c->isr[0] = c->replicas[r];
            c->isr_count = 1;
            decide_list_drop(c->elr, &c->elr_count, c->replicas[r]);
            if (c->recovery == IMAGE_RECOVERING || p->recovery == IMAGE_RECOVERING)
                c->elr_count = 0; // they were candidates for want of better ones (controller_leaders.c, fall_back())
            return;
        }
}

static uint32_t min_isr(const struct decision *d, const struct image_topic *t, uint32_t factor)
{
    // From the image only: every node must come to the same answer.
    struct config_layers l = image_layers(d->view, t, NODE_ID_NONE, (struct config_layer){0});
    const struct config_key *key = config_find(CONFIG_TOPIC, "min.insync.replicas");
    struct config_value v = config_resolve(CONFIG_TOPIC, key, &l);
    char scratch[24];
    int64_t n;
    const char *text = config_value_text(&v, scratch, sizeof(scratch));
    if (!text || !config_parse_int(text, &n) || n < 1)
        n = 1;
    return n < factor ? (uint32_t)n : factor;
}

uint32_t decide_min_isr(const struct decision *d, const struct image_topic *t, const struct image_partition *p)
{
    return min_isr(d, t, image_factor(p));
}

// ---- moves of replicas ----

static uint32_t factor_of(const struct decision_change *c)
{
    uint32_t gone = c->adding_count > c->removing_count ? c->adding_count : c->removing_count;
    return c->replica_count - gone;
}

// Everybody who shall stay or come is in sync: the move is over. False: it is not.
static bool move_ends(struct decision_change *c)
{
    if (c->adding_count == 0 && c->removing_count == 0)
        return false;
    decide_list_keep(c->replicas, &c->replica_count, c->removing, c->removing_count, false);
    for (uint32_t i = 0; i < c->replica_count; i++)
        if (!decide_list_has(c->isr, c->isr_count, c->replicas[i]))
            return false;
    c->adding_count = c->removing_count = 0;
    return c->replica_count > 0;
}

bool decide_change_settle(struct decision *d, const struct image_topic *t, const struct image_partition *p,
                          struct decision_change *c)
{
    struct decision_change n = *c;
    bool ends = move_ends(&n);
    if (!ends)
        n = *c;
    bool moves = !list_same(n.replicas, n.replica_count, image_replicas(p), p->replica_count);
    int32_t leader = n.leader == -2 ? p->leader : n.leader;
    if (moves) {
        decide_list_keep(n.isr, &n.isr_count, n.replicas, n.replica_count, true);
        decide_list_keep(n.elr, &n.elr_count, n.replicas, n.replica_count, true);
    }
    if (leader != NODE_ID_NONE && !decide_list_has(n.isr, n.isr_count, leader)) {
        if (ends)
            decide_change_elect(&n, d->view, p);
        else
            decide_elect(d, t, p, &n, false);
        if (ends && n.leader == NODE_ID_NONE)
            return false; // nobody of those who stay can lead now: it ends when one can
    }
    // Whoever is no replica any more is shut out by a new leader epoch.
    for (uint32_t i = 0; i < p->replica_count && n.leader == -2; i++)
        if (!decide_list_has(n.replicas, n.replica_count, image_replicas(p)[i]))
            n.leader = p->leader;
    *c = n;
    return moves;
}

// ---- the record ----

static void list_into(int32_t *list, uint32_t count, const int32_t *before, uint32_t before_count, int32_t **out,
                      uint32_t *out_count)
{
    if (list_same(list, count, before, before_count))
        return;
    *out = list;
    *out_count = count;
}

// Where the replicas lie: those that stay keep their folder.
static void directories_into(struct decision *d, const struct image_partition *p, const struct decision_change *c,
                             struct partition_change_record *r)
{
    r->directories = decision_array(d, c->replica_count, sizeof(*r->directories));
    for (uint32_t i = 0; r->directories && i < c->replica_count; i++) {
        uint32_t k = 0;
        while (k < p->replica_count && image_replicas(p)[k] != c->replicas[i])
            k++;
        r->directories[r->directories_count++] =
            k < p->replica_count ? image_directory(p, k) : decide_directory(d->view, c->replicas[i]);
    }
}

void decide_change_add(struct decision *d, struct uuid topic_id, int32_t partition, const struct image_partition *p,
                       struct decision_change *c)
{
    struct partition_change_record r;
    partition_change_record_init(&r);
    if (c->adding_count || c->removing_count)
        decide_change_settle(d, image_topic_by_id(d->view, topic_id), p, c);
    r.topic_id = topic_id;
    r.partition = partition;
    if (c->leader == p->leader && c->leader == NODE_ID_NONE)
        c->leader = -2; // none before, none now
    // Eligible are those who left an ISR that was too small. The setting may have changed while nobody led, and with other
    // replicas fewer may be enough; then the watermark moves without them.
    if (c->elr_count && c->isr_count >= min_isr(d, image_topic_by_id(d->view, topic_id), factor_of(c)))
        c->elr_count = 0;
    r.leader = c->leader;
    r.recovery = c->recovery;
    r.isr = c->isr;
    r.isr_count = c->isr_count;
    if (c->elr_count || p->elr_count) {
        r.elr = c->elr;
        r.elr_count = c->elr_count;
    }
    list_into(c->replicas, c->replica_count, image_replicas(p), p->replica_count, &r.replicas, &r.replicas_count);
    list_into(c->adding, c->adding_count, image_adding(p), p->adding_count, &r.adding, &r.adding_count);
    list_into(c->removing, c->removing_count, image_removing(p), p->removing_count, &r.removing, &r.removing_count);
    if (r.replicas)
        directories_into(d, p, c, &r);
    if (d->rc == RC_OK)
        decision_add(d, &partition_change_record_message, &r);
}
