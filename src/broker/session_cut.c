// SPDX-License-Identifier: Apache-2.0
//
// A follower cuts its log: what was promised of it to clients and not sent yet can be sent no more, and the cut waits until
// nobody holds it. So these connections end, on whichever shard they are.
#include "broker/fetch_op.h"
#include "broker/session_core.h"

static bool holds(const struct session *s, const struct topic_partition *id)
{
    for (const struct list_node *n = list_first(&s->requests); n; n = list_next(&s->requests, n))
        if (fetch_holds(list_entry(n, struct request, link), id))
            return true;
    return false;
}

static void cut_run(struct engine_call *c)
{
    const struct session_cut *cut = container_of(c, struct session_cut, call);
    struct broker_shard *bs = c->target->owner;
    for (struct list_node *n = list_first(&bs->sessions); n;) {
        struct session *s = list_entry(n, struct session, link);
        n = list_next(&bs->sessions, n);
        if (holds(s, &cut->id))
            session_drop(s, BROKER_CLOSE_CUT, "it has not taken records that are cut off this replica's log");
    }
    engine_call_finish(c);
}

static void cut_next(struct engine_call *c)
{
    struct session_cut *cut = container_of(c, struct session_cut, call);
    const struct broker_shard *bs = c->origin->owner;
    if (cut->next == bs->broker->shard_count) {
        cut->next = 0;
        return;
    }
    cut->call.run = cut_run;
    cut->call.done = cut_next;
    engine_call_start(&cut->call, c->origin, bs->broker->shards[cut->next++].engine);
}

void session_cut_readers(struct engine_shard *es, const struct topic_partition *id)
{
    struct broker_shard *bs = es->owner;
    if (!bs || bs->cut.next)
        return;
    bs->cut.id = *id;
    bs->cut.call.origin = es;
    cut_next(&bs->cut.call);
}
