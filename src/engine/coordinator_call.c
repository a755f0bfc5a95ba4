// SPDX-License-Identifier: Apache-2.0
//
// Calls about groups: which partition's coordinator they go to, there and back between shards, and given up half way.
#include "engine/coordinator_core.h"

bool coordinator_partition(const struct image *image, struct bytes group_id, struct topic_partition *out)
{
    const struct image_topic *t = image_topic_by_name(image, COORDINATOR_TOPIC);
    if (!t || t->partition_count == 0)
        return false;
    *out = (struct topic_partition){.topic_id = t->id, .partition = group_partition(group_id, t->partition_count)};
    return true;
}

// The coordinator that may take c now.
static enum rc coordinator_find(struct engine_shard *es, const struct coordinator_call *c, struct coordinator **out)
{
    if (es->coordinators->settling)
        return RC_NOT_COORDINATOR;
    // A list must not bring partitions into being that never had a group.
    struct partition *p = c->group.kind == GROUP_LIST ? partition_peek(es, c->id) : partition_find(es, c->id);
    if (!p)
        return c->group.kind == GROUP_LIST ? RC_NOT_FOUND : RC_NOT_COORDINATOR;
    if (!p->leads)
        return RC_NOT_COORDINATOR;
    if (!p->coordinator)
        coordinator_follow(p); // memory was short when it should have begun
    struct coordinator *co = p->coordinator;
    if (!co)
        return RC_COORDINATOR_NOT_AVAILABLE;
    if (co->state == COORDINATOR_LOADING)
        return RC_COORDINATOR_LOAD_IN_PROGRESS;
    if (co->state != COORDINATOR_ACTIVE || coordinator_is_lost(co))
        return RC_NOT_COORDINATOR;
    *out = co;
    return RC_OK;
}

static void coordinator_call_run(struct engine_call *call)
{
    struct coordinator_call *c = container_of(call, struct coordinator_call, call);
    struct coordinators *cs = call->target->coordinators;
    struct coordinator *co = NULL;
    c->rc = coordinator_find(call->target, c, &co);
    if (c->rc != RC_OK) {
        cs->counters.refused++;
        if (c->group.kind != GROUP_LIST)
            group_call_refuse(&c->group, c->rc);
        engine_call_finish(call);
        return;
    }
    cs->counters.calls++;
    c->coordinator = co;
    groups_call(&co->groups, &c->group, coordinator_now(co));
    coordinator_wake(co);
}

static void coordinator_call_over(struct coordinator_call *c)
{
    if (--c->pending == 0)
        c->done(c);
}

static void coordinator_call_returned(struct engine_call *call)
{
    coordinator_call_over(container_of(call, struct coordinator_call, call));
}

static void coordinator_abandon_returned(struct engine_call *call)
{
    coordinator_call_over(container_of(call, struct coordinator_call, abandon));
}

void coordinator_call_start(struct coordinator_call *c, struct engine_shard *origin)
{
    ASSERT(c->pending == 0 && c->done);
    c->pending = 1;
    c->call.run = coordinator_call_run;
    c->call.done = coordinator_call_returned;
    engine_call_start(&c->call, origin, engine_shard_of(origin->engine, c->id));
}

// Calls to one target arrive in order: it comes after the call itself, maybe after its answer.
static void coordinator_abandon_run(struct engine_call *call)
{
    struct coordinator_call *c = container_of(call, struct coordinator_call, abandon);
    struct coordinator *co = c->coordinator;
    if (co) {
        c->rc = RC_NOT_COORDINATOR;
        groups_call_abandon(&co->groups, &c->group, coordinator_now(co));
        coordinator_wake(co);
    }
    engine_call_finish(call);
}

void coordinator_call_abandon(struct coordinator_call *c)
{
    if (c->abandoned || c->pending == 0)
        return;
    c->abandoned = true;
    c->pending++;
    c->abandon.run = coordinator_abandon_run;
    c->abandon.done = coordinator_abandon_returned;
    engine_call_start(&c->abandon, c->call.origin, c->call.target);
}
