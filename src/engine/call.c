// SPDX-License-Identifier: Apache-2.0
//
// Calls between shards; see call.h.
#include "engine/call.h"

#include "engine/engine.h"

static void engine_call_arrived(struct shard *on, struct shard_message *m)
{
    struct engine_call *c = container_of(m, struct engine_call, message);
    ASSERT(c->target->shard == on);
    c->run(c);
}

static void engine_call_answered(struct shard *on, struct shard_message *m)
{
    struct engine_call *c = container_of(m, struct engine_call, message);
    ASSERT(c->origin->shard == on);
    c->done(c);
}

static void engine_call_retry(struct shard_task *t)
{
    struct engine_call_queue *q = container_of(t, struct engine_call_queue, task);
    for (struct list_node *n; (n = list_first(&q->waiting));) {
        struct engine_call *c = list_entry(n, struct engine_call, link);
        if (shard_send(q->origin->shard, q->target, &c->message) == RC_FULL) {
            shard_mailbox_wait(q->origin->shard, q->target, &q->task, engine_call_retry);
            return;
        }
        list_remove(&q->waiting, n);
    }
}

void engine_call_queue_init(struct engine_call_queue *q, struct engine_shard *origin, uint32_t target)
{
    *q = (struct engine_call_queue){.origin = origin, .target = target};
    list_init(&q->waiting);
}

void engine_call_start(struct engine_call *c, struct engine_shard *origin, struct engine_shard *target)
{
    c->origin = origin;
    c->target = target;
    if (origin == target) {
        c->run(c);
        return;
    }
    c->message.run = engine_call_arrived;
    c->message.answered = engine_call_answered;
    struct engine_call_queue *q = &origin->calls[target->shard->id];
    if (list_empty(&q->waiting) && shard_send(origin->shard, target->shard->id, &c->message) == RC_OK)
        return;
    if (list_empty(&q->waiting))
        shard_mailbox_wait(origin->shard, target->shard->id, &q->task, engine_call_retry);
    list_push_back(&q->waiting, &c->link);
}

void engine_call_finish(struct engine_call *c)
{
    if (c->origin == c->target)
        c->done(c);
    else
        shard_answer(c->target->shard, &c->message);
}
