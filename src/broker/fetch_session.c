// SPDX-License-Identifier: Apache-2.0
//
// Fetch sessions; see fetch_session.h.
#include "broker/fetch_session.h"

#include <stdlib.h>

#include "base/assert.h"

struct fetch_key {
    struct uuid topic_id;
    struct bytes topic;
    int32_t partition;
};

// ------------------------------------------------------------------------------------------------ partitions

static uint64_t fetch_key_hash(const struct fetch_key *k)
{
    uint64_t h = k->topic.n ? map_hash_bytes(k->topic) : map_hash_bytes(bytes_of(k->topic_id.b, 16));
    return map_hash_u64(h ^ (uint32_t)k->partition);
}

static bool fetch_key_eq(const struct map_node *n, const void *key)
{
    const struct fetch_item *item = &container_of(n, struct fetch_partition, node)->item;
    const struct fetch_key *k = key;
    return item->read.id.partition == k->partition && bytes_eq(item->topic, k->topic) &&
           uuid_eq(item->asked_id, k->topic_id);
}

static struct fetch_partition *fetch_partition_find(struct fetch_session *s, const struct fetch_key *k)
{
    struct map_node *n = map_find(&s->partitions, fetch_key_hash(k), fetch_key_eq, k);
    return n ? container_of(n, struct fetch_partition, node) : NULL;
}

static void fetch_partition_name(struct fetch_session *s, struct fetch_partition *p,
                                 const struct fetch_request_partition *from)
{
    struct fetch_item *item = &p->item;
    item->read.fetch_offset = from->fetch_offset;
    item->read.replica_log_start = from->log_start_offset;
    item->read.current_leader_epoch = from->current_leader_epoch;
    item->read.last_fetched_epoch = from->last_fetched_epoch;
    item->bytes_max = from->partition_max_bytes > 0 ? (uint32_t)from->partition_max_bytes : 0;
    if (!list_node_linked(&item->link))
        list_push_back(&s->named, &item->link);
}

static bool fetch_partition_add(struct fetch_session_cache *c, struct fetch_session *s, const struct fetch_key *k,
                                const struct fetch_request_partition *from)
{
    if (s->order.count >= FETCH_SESSION_PARTITIONS_MAX)
        return false;
    struct fetch_partition *p = calloc(1, sizeof(*p) + k->topic.n);
    if (!p)
        return false;
    if (k->topic.n > 0)
        memcpy(p->name, k->topic.p, k->topic.n);
    p->item.topic = bytes_of(p->name, k->topic.n);
    p->item.asked_id = k->topic_id;
    p->item.read.id.partition = k->partition;
    if (map_insert(&s->partitions, &p->node, fetch_key_hash(k)) != RC_OK) {
        free(p);
        return false;
    }
    list_push_back(&s->order, &p->link);
    c->partitions++;
    fetch_partition_name(s, p, from);
    return true;
}

void fetch_partition_free(struct fetch_partition *p)
{
    ASSERT(!list_node_linked(&p->item.link) && !list_node_linked(&p->item.line_link) && !p->item.watch.p);
    free(p);
}

// The session asks for p no more. Its shard lets go of it with the request at hand.
static void fetch_partition_forget(struct fetch_session_cache *c, struct fetch_session *s, struct fetch_partition *p)
{
    struct fetch_item *item = &p->item;
    map_remove(&s->partitions, &p->node);
    list_remove(&s->order, &p->link);
    c->partitions--;
    if (list_node_linked(&item->link))
        list_remove(&s->named, &item->link);
    if (item->share) {
        item->share->placed--;
        list_push_back(&item->share->leaving, &item->link);
        return;
    }
    if (list_node_linked(&item->line_link))
        list_remove(&s->unplaced, &item->line_link);
    fetch_partition_free(p);
}

// ------------------------------------------------------------------------------------------------ sessions

static bool fetch_session_eq(const struct map_node *n, const void *key)
{
    return container_of(n, struct fetch_session, node)->id == *(const int32_t *)key;
}

static struct fetch_session *fetch_session_find(struct fetch_session_cache *c, int32_t id)
{
    struct map_node *n = map_find(&c->sessions, map_hash_u64((uint32_t)id), fetch_session_eq, &id);
    return n ? container_of(n, struct fetch_session, node) : NULL;
}

void fetch_session_free(struct fetch_session *s)
{
    for (struct list_node *n; (n = list_pop_front(&s->order));) {
        struct fetch_partition *p = list_entry(n, struct fetch_partition, link);
        map_remove(&s->partitions, &p->node);
        free(p);
    }
    for (uint32_t i = 0; i < s->share_count; i++)
        for (struct list_node *n; (n = list_pop_front(&s->shares[i].leaving));)
            free(container_of(list_entry(n, struct fetch_item, link), struct fetch_partition, item));
    map_deinit(&s->partitions);
    free(s->shares);
    free(s);
}

// Nobody uses it and nobody will.
static void fetch_session_end(struct fetch_session_cache *c, struct fetch_session *s)
{
    c->partitions -= s->order.count;
    if (s->shares)
        fetch_shares_close(s);
    else
        fetch_session_free(s);
}

void fetch_session_close(struct fetch_session_cache *c, struct fetch_session *s)
{
    if (s->closed)
        return;
    s->closed = true;
    map_remove(&c->sessions, &s->node);
    list_remove(&c->lru, &s->lru);
    if (!s->in_use)
        fetch_session_end(c, s);
}

// Whose place a new one may take: the least recently used idle one that was not used for two minutes; that of a replica
// any idle one of a consumer (KIP-227). NULL: there is no room.
static struct fetch_session *fetch_session_evictable(const struct fetch_session_cache *c, bool of_replica, uint64_t now_ns)
{
    for (struct list_node *n = list_first(&c->lru); n; n = list_next(&c->lru, n)) {
        struct fetch_session *s = list_entry(n, struct fetch_session, lru);
        if (!s->in_use && (now_ns - s->used_ns >= UINT64_C(120000000000) || (of_replica && !s->of_replica)))
            return s;
    }
    return NULL;
}

// A new session, in the place of another one if need be; NULL: there is no room.
static struct fetch_session *fetch_session_make(struct fetch_session_cache *c, bool of_replica, uint64_t now_ns)
{
    if (c->sessions_max == 0)
        return NULL;
    if (c->sessions.count >= c->sessions_max) {
        struct fetch_session *old = fetch_session_evictable(c, of_replica, now_ns);
        if (!old)
            return NULL;
        fetch_session_close(c, old);
    }
    struct fetch_session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    do
        s->id = (int32_t)(prng_next(c->prng) & INT32_MAX);
    while (s->id == FETCH_SESSION_NONE || fetch_session_find(c, s->id));
    map_init(&s->partitions);
    list_init(&s->order);
    list_init(&s->named);
    list_init(&s->unplaced);
    if (map_insert(&c->sessions, &s->node, map_hash_u64((uint32_t)s->id)) != RC_OK) {
        free(s);
        return NULL;
    }
    list_push_back(&c->lru, &s->lru);
    s->used_ns = now_ns;
    s->of_replica = of_replica;
    return s;
}

// Adds and updates what the request names. False when memory is short.
static bool fetch_session_update(struct fetch_session_cache *c, struct fetch_session *s, const struct fetch_request *rq)
{
    for (uint32_t i = 0; i < rq->topics_count; i++) {
        const struct fetch_request_topic *t = &rq->topics[i];
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            struct fetch_key k = {.topic_id = t->topic_id, .topic = t->topic, .partition = t->partitions[j].partition};
            struct fetch_partition *p = fetch_partition_find(s, &k);
            if (p)
                fetch_partition_name(s, p, &t->partitions[j]);
            else if (!fetch_partition_add(c, s, &k, &t->partitions[j]))
                return false;
        }
    }
    return true;
}

static void fetch_session_forget(struct fetch_session_cache *c, struct fetch_session *s, const struct fetch_request *rq)
{
    for (uint32_t i = 0; i < rq->forgotten_topics_data_count; i++) {
        const struct fetch_request_forgotten_topics_data *t = &rq->forgotten_topics_data[i];
        for (uint32_t j = 0; j < t->partitions_count; j++) {
            struct fetch_key k = {.topic_id = t->topic_id, .topic = t->topic, .partition = t->partitions[j]};
            struct fetch_partition *p = fetch_partition_find(s, &k);
            if (p)
                fetch_partition_forget(c, s, p);
        }
    }
}

static int32_t fetch_epoch_next(int32_t epoch)
{
    return epoch == INT32_MAX ? 1 : epoch + 1;
}

static void fetch_session_use(struct fetch_session_cache *c, struct fetch_session *s, uint64_t now_ns)
{
    s->in_use = true;
    s->used_ns = now_ns;
    list_remove(&c->lru, &s->lru);
    list_push_back(&c->lru, &s->lru);
}

static void fetch_session_begin_full(struct fetch_session_cache *c, const struct fetch_request *rq, int16_t version,
                                     uint64_t now_ns, struct fetch_context *x)
{
    struct fetch_session *old = rq->session_id != FETCH_SESSION_NONE ? fetch_session_find(c, rq->session_id) : NULL;
    if (old)
        fetch_session_close(c, old);
    x->full = true;
    if (rq->session_epoch == FETCH_EPOCH_SESSIONLESS || rq->topics_count == 0)
        return;
    struct fetch_session *s = fetch_session_make(c, rq->replica_id >= 0 || rq->replica_state.replica_id >= 0, now_ns);
    if (!s)
        return;
    s->by_id = version >= 13;
    if (!fetch_session_update(c, s, rq)) {
        fetch_session_close(c, s);
        return;
    }
    s->epoch = 1;
    fetch_session_use(c, s, now_ns);
    x->session = s;
    x->session_id = s->id;
}

void fetch_session_begin(struct fetch_session_cache *c, const struct fetch_request *rq, int16_t version,
                         uint64_t now_ns, struct fetch_context *x)
{
    *x = (struct fetch_context){.rc = RC_OK, .session_id = FETCH_SESSION_NONE};
    if (version < 7) {
        x->full = true;
        return;
    }
    if (rq->session_epoch == FETCH_EPOCH_FULL || rq->session_epoch == FETCH_EPOCH_SESSIONLESS) {
        fetch_session_begin_full(c, rq, version, now_ns, x);
        return;
    }
    struct fetch_session *s = fetch_session_find(c, rq->session_id);
    if (!s)
        x->rc = RC_FETCH_SESSION_ID_NOT_FOUND;
    else if (s->epoch != rq->session_epoch || s->in_use)
        x->rc = RC_INVALID_FETCH_SESSION_EPOCH;
    else if (s->by_id != (version >= 13))
        x->rc = RC_FETCH_SESSION_TOPIC_ID_ERROR;
    if (x->rc != RC_OK)
        return;
    if (!fetch_session_update(c, s, rq)) {
        fetch_session_close(c, s); // the client begins anew, with what fits
        x->rc = RC_FETCH_SESSION_ID_NOT_FOUND;
        return;
    }
    fetch_session_forget(c, s, rq);
    s->epoch = fetch_epoch_next(s->epoch);
    fetch_session_use(c, s, now_ns);
    x->session = s;
    x->session_id = s->id;
}

void fetch_session_done(struct fetch_session_cache *c, struct fetch_context *x)
{
    struct fetch_session *s = x->session;
    x->session = NULL;
    if (!s)
        return;
    ASSERT(s->in_use);
    s->in_use = false;
    if (s->closed)
        fetch_session_end(c, s);
}

bool fetch_session_note(struct fetch_partition *p, int16_t error_code, size_t bytes, int64_t high_watermark,
                        int64_t last_stable_offset, int64_t log_start_offset)
{
    bool news = !p->answered || bytes > 0 || error_code != 0 || p->error_code != 0 ||
                p->high_watermark != high_watermark || p->last_stable_offset != last_stable_offset ||
                p->log_start_offset != log_start_offset;
    p->answered = error_code == 0; // an error is told again until it is gone
    p->error_code = error_code;
    p->high_watermark = high_watermark;
    p->last_stable_offset = last_stable_offset;
    p->log_start_offset = log_start_offset;
    return news;
}

void fetch_session_tell_again(struct fetch_partition *p)
{
    p->answered = false;
}

void fetch_session_cache_init(struct fetch_session_cache *c, uint32_t sessions_max, struct prng *prng)
{
    *c = (struct fetch_session_cache){.sessions_max = sessions_max, .prng = prng};
    map_init(&c->sessions);
    list_init(&c->lru);
}

void fetch_session_cache_deinit(struct fetch_session_cache *c)
{
    for (struct list_node *n; (n = list_pop_front(&c->lru));) {
        struct fetch_session *s = list_entry(n, struct fetch_session, lru);
        map_remove(&c->sessions, &s->node);
        for (struct list_node *m = list_first(&s->order); m; m = list_next(&s->order, m))
            partition_unwatch(&list_entry(m, struct fetch_partition, link)->item.watch);
        for (uint32_t i = 0; i < s->share_count; i++)
            for (struct list_node *m = list_first(&s->shares[i].leaving); m; m = list_next(&s->shares[i].leaving, m))
                partition_unwatch(&list_entry(m, struct fetch_item, link)->watch);
        fetch_session_free(s);
    }
    map_deinit(&c->sessions);
}
