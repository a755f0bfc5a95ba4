// SPDX-License-Identifier: Apache-2.0
//
// One member's way to its target (KIP-848, "Member Assignment Reconciliation").
//
//     STABLE --- newer target ---> next()          next(): keeps what it has and shall have.
//     UNREVOKED -- says it let go --> next()         has what it shall not have ----> UNREVOKED, epoch unchanged
//     UNRELEASED --------------------> next()        shall have what others hold ---> UNRELEASED, target's epoch
//                                                    else --------------------------> STABLE, target's epoch
#include "group/consumer.h"

bool consumer_current_equal(const struct consumer_current *a, const struct consumer_current *b)
{
    return a->epoch == b->epoch && a->previous_epoch == b->previous_epoch && a->state == b->state &&
           partition_set_equal(&a->assigned, &b->assigned) && partition_set_equal(&a->revoking, &b->revoking);
}

// Takes out of wanted what others hold. True: something was.
static bool drop_unreleased(const struct consumer_group *cg, const struct consumer_member *self,
                            struct partition_set *wanted)
{
    bool any = false;
    uint32_t topics = 0;
    for (uint32_t i = 0; i < wanted->count; i++) {
        struct partition_topic *t = &wanted->topics[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < t->count; k++) {
            const struct consumer_member *owner = cg ? consumer_owner(cg, t->topic_id, t->partitions[k]) : NULL;
            if (!owner || owner == self)
                t->partitions[kept++] = t->partitions[k];
            else
                any = true;
        }
        t->count = kept;
        if (kept)
            wanted->topics[topics++] = *t;
    }
    wanted->count = topics;
    return any;
}

static bool next_step(const struct consumer_group *cg, const struct consumer_member *self,
                      const struct consumer_current *now, int32_t epoch, int32_t target_epoch,
                      const struct partition_set *target, const struct partition_set *owned, struct arena *a,
                      struct consumer_current *next)
{
    struct partition_set kept, surplus, same, new, wanted;
    if (!partition_set_split(&now->assigned, target, a, &kept, &surplus) ||
        !partition_set_split(target, &kept, a, &same, &new) || !partition_set_copy(&new, a, &wanted))
        return false;
    *next = (struct consumer_current){.previous_epoch = now->epoch};
    if (surplus.count > 0 && (!owned || partition_set_meets(owned, &surplus))) {
        next->state = CONSUMER_UNREVOKED;
        next->epoch = epoch;
        next->assigned = kept;
        next->revoking = surplus;
        return true;
    }
    next->state = drop_unreleased(cg, self, &wanted) ? CONSUMER_UNRELEASED : CONSUMER_STABLE;
    next->epoch = target_epoch;
    return partition_set_join(&kept, &wanted, a, &next->assigned);
}

bool consumer_reconcile(const struct consumer_group *cg, const struct consumer_member *self,
                        const struct consumer_current *now, int32_t target_epoch, const struct partition_set *target,
                        const struct partition_set *owned, struct arena *a, struct consumer_current *next)
{
    *next = *now;
    switch (now->state) {
    case CONSUMER_STABLE:
        if (now->epoch == target_epoch)
            return true;
        return next_step(cg, self, now, now->epoch, target_epoch, target, owned, a, next);
    case CONSUMER_UNREVOKED:
        if (!owned || partition_set_meets(owned, &now->revoking))
            return true;
        return next_step(cg, self, now, now->epoch + 1, target_epoch, target, owned, a, next);
    case CONSUMER_UNRELEASED:
    default: // a state of a newer broker: the caller has made sure that the member owns nothing
        if (!next_step(cg, self, now, now->epoch, target_epoch, target, owned, a, next))
            return false;
        // Waiting on is no change.
        if (next->epoch == now->epoch && next->state == now->state &&
            partition_set_equal(&next->assigned, &now->assigned) &&
            partition_set_equal(&next->revoking, &now->revoking))
            next->previous_epoch = now->previous_epoch;
        return true;
    }
}
