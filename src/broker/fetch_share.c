// SPDX-License-Identifier: Apache-2.0
//
// What fetches want of the partitions of one shard: who has news stands in line, and the request that waits is woken.
#include "broker/fetch_op.h"

#include <stdlib.h>

void fetch_shares_init(struct fetch_share *shares, struct engine *engine, struct fetch_session *s)
{
    for (uint32_t i = 0; i < engine->shard_count; i++) {
        shares[i] = (struct fetch_share){.shard = &engine->shards[i], .lasting = s != NULL, .session = s};
        list_init(&shares[i].named);
        list_init(&shares[i].leaving);
        list_init(&shares[i].line);
    }
}

enum rc fetch_shares_make(struct fetch_session *s, struct engine_shard *home)
{
    if (s->shares)
        return RC_OK;
    s->shares = calloc(home->engine->shard_count, sizeof(*s->shares));
    if (!s->shares)
        return RC_NOMEM;
    s->share_count = home->engine->shard_count;
    s->home = home;
    fetch_shares_init(s->shares, home->engine, s);
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ news

static void fetch_share_news(struct partition_watch *w, enum partition_news news, uint64_t bytes_added)
{
    struct fetch_item *item = container_of(w, struct fetch_item, watch);
    struct fetch_share *share = item->share;
    if (!list_node_linked(&item->line_link))
        list_push_back(&share->line, &item->line_link);
    if (share->waiting)
        fetch_leg_news(share->waiting, item, news, bytes_added);
    // In line it is read before anything else happens; until then there is nothing more to say. A partition that is not
    // what it was may go.
    if (news == PARTITION_ANEW || !share->waiting)
        partition_unwatch(w);
}

void fetch_share_watch(struct fetch_share *share, struct fetch_item *item)
{
    item->watch.offset = item->read.fetch_offset;
    if (item->watch.p || share->shard->settling)
        return;
    struct partition *p = partition_find(share->shard, item->read.id);
    if (!p)
        return;
    item->watch.by_replica = item->read.by_replica;
    item->watch.fire = fetch_share_news;
    partition_watch(p, &item->watch);
}

void fetch_share_drop(struct fetch_share *share, struct fetch_item *item)
{
    partition_unwatch(&item->watch);
    if (list_node_linked(&item->line_link))
        list_remove(&share->line, &item->line_link);
}

// ------------------------------------------------------------------------------------------------ the end

static void fetch_share_close_run(struct engine_call *c)
{
    struct fetch_share *share = container_of(c, struct fetch_share, close_call);
    struct fetch_session *s = share->session;
    for (struct list_node *n = list_first(&s->order); n; n = list_next(&s->order, n)) {
        struct fetch_item *item = &list_entry(n, struct fetch_partition, link)->item;
        if (item->share == share)
            fetch_share_drop(share, item);
    }
    for (struct list_node *n = list_first(&share->leaving); n; n = list_next(&share->leaving, n))
        fetch_share_drop(share, list_entry(n, struct fetch_item, link));
    engine_call_finish(c);
}

static void fetch_share_close_done(struct engine_call *c)
{
    struct fetch_session *s = container_of(c, struct fetch_share, close_call)->session;
    if (--s->shares_closing == 0)
        fetch_session_free(s);
}

void fetch_shares_close(struct fetch_session *s)
{
    s->shares_closing = s->share_count;
    for (uint32_t i = 0, count = s->share_count; i < count; i++) { // s may be gone after the last
        struct fetch_share *share = &s->shares[i];
        share->close_call.run = fetch_share_close_run;
        share->close_call.done = fetch_share_close_done;
        engine_call_start(&share->close_call, s->home, share->shard);
    }
}
