// SPDX-License-Identifier: Apache-2.0
//
// See partition_ask.h.
#include "broker/partition_ask.h"

#include <stdlib.h>

uint32_t partition_ask_count(const void *topics, uint32_t topic_count)
{
    const struct partition_ask_topic *t = topics;
    uint32_t count = 0; // of elements that all lie in one frame
    for (uint32_t i = 0; i < topic_count; i++)
        count += t[i].count;
    return count;
}

enum rc partition_ask_init(struct partition_ask *ask, struct request *rq, enum partition_question question,
                           uint32_t count, partition_ask_fn done)
{
    *ask = (struct partition_ask){.rq = rq, .question = question, .done = done};
    ask->queries = arena_array(&rq->arena, count, sizeof(*ask->queries));
    return ask->queries ? RC_OK : RC_NOMEM;
}

struct partition_query *partition_ask_add(struct partition_ask *ask, const struct image *image, struct bytes name,
                                          int32_t index, int32_t current_leader_epoch)
{
    struct partition_query *q = &ask->queries[ask->count++];
    const struct image_topic *t = image_topic_by_name(image, name);
    bool known = t && image_partition(t, index);
    *q = (struct partition_query){.rc = known ? RC_OK : RC_UNKNOWN_TOPIC_OR_PARTITION,
                                  .current_leader_epoch = current_leader_epoch};
    if (known)
        q->id = (struct topic_partition){.topic_id = t->id, .partition = index};
    return q;
}

static int ask_order(const void *a, const void *b)
{
    const struct partition_query *x = *(struct partition_query *const *)a, *y = *(struct partition_query *const *)b;
    int c = memcmp(x->id.topic_id.b, y->id.topic_id.b, sizeof(x->id.topic_id.b));
    return c ? c : (x->id.partition > y->id.partition) - (x->id.partition < y->id.partition);
}

enum rc partition_ask_refuse_twice(struct partition_ask *ask, enum rc rc)
{
    struct partition_query **sorted = arena_array(&ask->rq->arena, ask->count, sizeof(struct partition_query *));
    if (!sorted)
        return RC_NOMEM;
    uint32_t n = 0;
    for (uint32_t i = 0; i < ask->count; i++)
        if (ask->queries[i].rc == RC_OK)
            sorted[n++] = &ask->queries[i];
    qsort(sorted, n, sizeof(*sorted), ask_order);
    for (uint32_t i = 1; i < n; i++)
        if (topic_partition_eq(sorted[i]->id, sorted[i - 1]->id))
            sorted[i]->rc = sorted[i - 1]->rc = rc;
    return RC_OK;
}

static void ask_done(struct engine_call *c)
{
    struct partition_query_call *call = container_of(c, struct partition_query_call, call);
    struct partition_ask *ask = call->owner;
    if (--ask->pending == 0)
        ask->done(ask);
}

// Counts, then fills: each call's queries lie together.
enum rc partition_ask_start(struct partition_ask *ask)
{
    struct request *rq = ask->rq;
    struct engine *e = rq->bs->engine->engine;
    ask->calls = arena_array(&rq->arena, e->shard_count, sizeof(*ask->calls));
    struct partition_query **list = arena_array(&rq->arena, ask->count, sizeof(struct partition_query *));
    if (!ask->calls || !list)
        return RC_NOMEM;
    for (uint32_t i = 0; i < ask->count; i++)
        if (ask->queries[i].rc == RC_OK)
            ask->calls[engine_shard_id(e, ask->queries[i].id)].count++;
    ask->pending = 1; // ourselves: no answer ends it while calls are being sent
    for (uint32_t s = 0; s < e->shard_count; s++) {
        struct partition_query_call *c = &ask->calls[s];
        c->queries = list;
        list += c->count;
        ask->pending += c->count > 0;
        c->count = 0;
        c->owner = ask;
        c->question = ask->question;
        c->call.run = partition_query_run;
        c->call.done = ask_done;
    }
    for (uint32_t i = 0; i < ask->count; i++) {
        if (ask->queries[i].rc != RC_OK)
            continue;
        struct partition_query_call *c = &ask->calls[engine_shard_id(e, ask->queries[i].id)];
        c->queries[c->count++] = &ask->queries[i];
    }
    for (uint32_t s = 0; s < e->shard_count; s++)
        if (ask->calls[s].count > 0)
            engine_call_start(&ask->calls[s].call, rq->bs->engine, &e->shards[s]);
    if (--ask->pending == 0)
        ask->done(ask);
    return RC_OK;
}

void *partition_ask_topics(const struct partition_ask *ask, const void *topics, uint32_t topic_count,
                           size_t asked_bytes, size_t answer_bytes, partition_ask_fill fill)
{
    const struct partition_ask_topic *in = topics;
    struct partition_ask_topic *out = arena_array(&ask->rq->arena, topic_count, sizeof(*out));
    const struct partition_query *q = ask->queries;
    for (uint32_t i = 0; out && i < topic_count; i++) {
        const uint8_t *asked = in[i].partitions;
        uint8_t *answer = arena_array(&ask->rq->arena, in[i].count, answer_bytes);
        out[i] = (struct partition_ask_topic){.name = in[i].name, .partitions = answer, .count = in[i].count};
        if (!answer)
            return NULL;
        for (uint32_t j = 0; j < in[i].count; j++, q++, asked += asked_bytes, answer += answer_bytes)
            if (!fill(ask->rq, q, asked, answer))
                return NULL;
    }
    ASSERT(!out || q == ask->queries + ask->count);
    return out;
}
