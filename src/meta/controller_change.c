// SPDX-License-Identifier: Apache-2.0
//
// What a decision makes of one partition: its ISR and leader as they will be, and the record that says so.
#include "meta/controller_core.h"

void decide_change_begin(struct decision_change *c, const struct image_partition *p)
{
    c->isr_count = p->isr_count;
    c->elr_count = p->elr_count;
    c->leader = -2;
    c->recovery = -1;
    memcpy(c->isr, image_isr(p), p->isr_count * sizeof(int32_t));
    memcpy(c->elr, image_elr(p), p->elr_count * sizeof(int32_t));
}

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

bool decide_may_lead(const struct image *i, int32_t node)
{
    const struct image_node *n = image_node(i, node);
    return n && !n->fenced && !n->in_shutdown;
}

void decide_change_elect(struct decision_change *c, const struct image *i, const struct image_partition *p)
{
    const int32_t *replicas = image_replicas(p);
    for (uint32_t r = 0; r < p->replica_count; r++)
        if (decide_list_has(c->isr, c->isr_count, replicas[r]) && decide_may_lead(i, replicas[r])) {
            c->leader = replicas[r];
            return;
        }
    c->leader = NODE_ID_NONE;
    for (uint32_t r = 0; r < p->replica_count && c->isr_count == 0; r++)
        if (decide_list_has(c->elr, c->elr_count, replicas[r]) && decide_may_lead(i, replicas[r])) {
            c->leader = c->isr[0] = replicas[r];
            c->isr_count = 1;
            decide_list_drop(c->elr, &c->elr_count, replicas[r]);
            if (c->recovery == IMAGE_RECOVERING || p->recovery == IMAGE_RECOVERING)
                c->elr_count = 0; // they were candidates for want of better ones (controller_leaders.c, fall_back())
            return;
        }
}

void decide_change_add(struct decision *d, struct uuid topic_id, int32_t partition, const struct image_partition *p,
                       struct decision_change *c)
{
    struct partition_change_record r;
    partition_change_record_init(&r);
    r.topic_id = topic_id;
    r.partition = partition;
    if (c->leader == p->leader && c->leader == NODE_ID_NONE)
        c->leader = -2; // none before, none now
    // Eligible are those who left an ISR that was too small. The setting may have changed while nobody led.
    if (c->elr_count && c->isr_count >= decide_min_isr(d, image_topic_by_id(d->view, topic_id), p))
        c->elr_count = 0;
    r.leader = c->leader;
    r.recovery = c->recovery;
    r.isr = c->isr;
    r.isr_count = c->isr_count;
    if (c->elr_count || p->elr_count) {
        r.elr = c->elr;
        r.elr_count = c->elr_count;
    }
    decision_add(d, &partition_change_record_message, &r);
}

uint32_t decide_min_isr(const struct decision *d, const struct image_topic *t, const struct image_partition *p)
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
    return n < p->replica_count ? (uint32_t)n : p->replica_count;
}
