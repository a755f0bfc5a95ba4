// SPDX-License-Identifier: Apache-2.0
//
// See producer_ids.h.
#include "broker/producer_ids.h"

#define FETCH_WAIT_NS UINT64_C(10000000000)
#define PREPARE_WAIT_NS UINT64_C(1000000000) // nobody waits for it, and a stop does

enum { ARENA_BYTES_MAX = 64 << 10 };

void producer_ids_init(struct producer_ids *ids, struct engine_shard *es)
{
    *ids = (struct producer_ids){.es = es};
    list_init(&ids->waiters);
    arena_init(&ids->arena, ARENA_BYTES_MAX, NULL, 0);
}

void producer_ids_deinit(struct producer_ids *ids)
{
    arena_deinit(&ids->arena);
}

static void ids_fetch(struct producer_ids *ids, uint64_t wait_ns);

// Serves who waits, as far as the block goes; who is left asks for the next one.
static void ids_serve(struct producer_ids *ids, enum rc rc)
{
    while (!list_empty(&ids->waiters) && (rc != RC_OK || ids->next < ids->end)) {
        struct producer_ids_waiter *w = list_entry(list_pop_front(&ids->waiters), struct producer_ids_waiter, link);
        w->producer_id = rc == RC_OK ? ids->next++ : PRODUCER_ID_NONE;
        w->done(w, rc);
    }
    if (!list_empty(&ids->waiters) && !ids->fetching)
        ids_fetch(ids, FETCH_WAIT_NS);
}

static void ids_fetched(struct quorum_op *op, enum rc rc)
{
    struct producer_ids *ids = container_of(op, struct producer_ids, op);
    ids->fetching = false;
    if (rc == RC_OK) {
        ids->next = ids->block.first;
        ids->end = ids->block.first + ids->block.count;
    }
    arena_reset(&ids->arena);
    ids_serve(ids, rc);
}

static void ids_fetch(struct producer_ids *ids, uint64_t wait_ns)
{
    const struct engine *e = ids->es->engine;
    const struct image_node *self = image_node(engine_image(ids->es), e->config.node_id);
    if (!self) {
        ids_serve(ids, RC_BROKER_ID_NOT_REGISTERED);
        return;
    }
    ids->fetching = true;
    ids->block = (struct controller_producer_ids){.node = self->id, .broker_epoch = self->broker_epoch};
    ids->op = (struct quorum_op){
        .kind = CONTROLLER_PRODUCER_IDS,
        .request = &ids->block,
        .answer = &ids->block,
        .arena = &ids->arena,
        .deadline_ns = shard_now_ns(ids->es->shard) + wait_ns,
        .done = ids_fetched,
    };
    quorum_submit(e->quorum, ids->es->shard, &ids->op);
}

void producer_ids_take(struct producer_ids *ids, struct producer_ids_waiter *w)
{
    list_push_back(&ids->waiters, &w->link);
    if (!ids->fetching)
        ids_serve(ids, RC_OK);
}

void producer_ids_prepare(struct producer_ids *ids)
{
    if (!ids->fetching && ids->next == ids->end)
        ids_fetch(ids, PREPARE_WAIT_NS);
}
