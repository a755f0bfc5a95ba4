// SPDX-License-Identifier: Apache-2.0
//
// One Metadata request at a time, about every topic in the cache; who needs newer knowledge asks for a refresh and
// hears of it through a watch.
#include "client/metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

enum { KERR_UNKNOWN_TOPIC = 3, KERR_LEADER_NOT_AVAILABLE = 5 };

// ------------------------------------------------------------------------------------------------ taking an answer

static void copy_text(char *to, size_t n, struct bytes from)
{
    snprintf(to, n, "%.*s", (int)(from.n < n ? from.n : n - 1), from.p ? (const char *)from.p : "");
}

static enum rc take_broker(struct client *c, const struct metadata_response_broker *b)
{
    char host[IO_HOST_BYTES_MAX];
    copy_text(host, sizeof(host), b->host);
    bool known = false;
    for (struct client_node *n = c->nodes; n; n = n->next) {
        if (n->id != b->node_id)
            continue;
        // One that moved is gone: what is on the old connection ends there. It may come back.
        n->gone = strcmp(n->connection.host, host) != 0 || n->connection.port != (uint16_t)b->port;
        known |= !n->gone;
    }
    if (known)
        return RC_OK;
    return client_node_add(c, b->node_id, host, (uint16_t)b->port) ? RC_OK : RC_NOMEM;
}

static void drop_missing_brokers(struct client *c, const struct metadata_response *answer)
{
    for (struct client_node *n = c->nodes; n; n = n->next) {
        bool there = n->id < 0;
        for (uint32_t i = 0; i < answer->brokers_count; i++)
            there |= answer->brokers[i].node_id == n->id;
        n->gone |= !there;
    }
}

static bool name_eq(const struct map_node *n, const void *key)
{
    const struct client_topic *t = container_of(n, struct client_topic, map_node);
    return bytes_eq(bytes_str(t->name), *(const struct bytes *)key);
}

static struct client_topic *find_topic(const struct client *c, struct bytes name)
{
    struct map_node *n = map_find(&c->topics, map_hash_bytes(name), name_eq, &name);
    return n ? container_of(n, struct client_topic, map_node) : NULL;
}

static enum rc take_topic(struct client *c, const struct metadata_response_topic *from)
{
    struct client_topic *t = find_topic(c, from->name);
    if (!t)
        return RC_OK;
    t->known = true;
    t->error_code = from->error_code;
    if (!uuid_is_zero(from->topic_id))
        t->id = from->topic_id;
    int32_t count = 0;
    for (uint32_t i = 0; i < from->partitions_count; i++)
        if (from->partitions[i].partition_index >= count && from->partitions[i].partition_index < INT32_MAX)
            count = from->partitions[i].partition_index + 1;
    if (count > PARTITIONS_PER_TOPIC_MAX)
        return RC_MALFORMED;
    if (count > t->partition_count) {
        struct client_partition *p = realloc(t->partitions, (size_t)count * sizeof(*p));
        if (!p)
            return RC_NOMEM;
        for (int32_t i = t->partition_count; i < count; i++)
            p[i] = (struct client_partition){.leader_id = -1, .leader_epoch = -1};
        t->partitions = p;
        t->partition_count = count;
    }
    for (uint32_t i = 0; i < from->partitions_count; i++) {
        const struct metadata_response_partition *p = &from->partitions[i];
        if (p->partition_index >= 0)
            t->partitions[p->partition_index] = (struct client_partition){
                .leader_id = p->leader_id, .leader_epoch = p->leader_epoch, .error_code = p->error_code};
    }
    return RC_OK;
}

enum rc metadata_take(struct client *c, const struct metadata_response *answer)
{
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < answer->brokers_count && rc == RC_OK; i++)
        rc = take_broker(c, &answer->brokers[i]);
    if (rc != RC_OK)
        return rc;
    if (answer->brokers_count > 0) // a node that is only starting knows none
        drop_missing_brokers(c, answer);
    c->controller_id = answer->controller_id;
    if (answer->cluster_id.n)
        copy_text(c->cluster_id, sizeof(c->cluster_id), answer->cluster_id);
    for (uint32_t i = 0; i < answer->topics_count && rc == RC_OK; i++)
        rc = take_topic(c, &answer->topics[i]);
    return rc;
}

// ------------------------------------------------------------------------------------------------ topics

struct client_topic *client_topic(struct client *c, const char *name)
{
    struct bytes key = bytes_str(name);
    struct client_topic *t = find_topic(c, key);
    if (t || key.n > TOPIC_NAME_BYTES_MAX)
        return t;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    memcpy(t->name, name, key.n);
    if (map_insert(&c->topics, &t->map_node, map_hash_bytes(key)) != RC_OK) {
        free(t);
        return NULL;
    }
    return t;
}

static void tell_watches(struct client *c, enum rc rc)
{
    for (struct list_node *n = list_first(&c->watches), *next; n; n = next) {
        next = list_next(&c->watches, n);
        struct client_watch *w = list_entry(n, struct client_watch, link);
        w->changed(w, rc);
    }
}

void client_watch(struct client *c, struct client_watch *w, client_watch_fn changed)
{
    w->changed = changed;
    list_push_back(&c->watches, &w->link);
}

void client_unwatch(struct client *c, struct client_watch *w)
{
    list_remove(&c->watches, &w->link);
}

// ------------------------------------------------------------------------------------------------ refreshing

static void refresh_now(struct client *c);

static void on_refresh_timer(struct shard_timer *t)
{
    struct client *c = container_of(t, struct client, refresh_timer);
    if (c->refresh_again && !c->refresh.busy)
        refresh_now(c);
}

static void on_refreshed(struct client_request *r, enum rc rc, struct bytes body)
{
    struct client *c = container_of(r, struct client, refresh);
    struct arena a;
    struct metadata_response answer;
    if (rc == RC_CLOSED)
        return;
    arena_init(&a, 256 << 20, NULL, 0);
    if (rc == RC_OK) {
        struct dec d = dec_of(body);
        rc = metadata_response_decode(&d, r->version, &a, &answer);
    }
    if (rc == RC_OK)
        rc = metadata_take(c, &answer);
    arena_deinit(&a);
    c->refresh_again |= rc != RC_OK;
    shard_timer_set(c->shard, &c->refresh_timer, shard_now_ns(c->shard) + c->config.refresh_ms * UINT64_C(1000000),
                    on_refresh_timer);
    tell_watches(c, rc);
}

static void refresh_now(struct client *c)
{
    struct client_node *n = client_node_any(c);
    uint32_t count = 0;
    c->refresh_again = false;
    free(c->refresh_topics);
    c->refresh_topics = calloc(c->topics.count + 1, sizeof(*c->refresh_topics));
    if (!n || !c->refresh_topics)
        return;
    metadata_request_init(&c->refresh_in);
    for (struct map_node *m = map_first(&c->topics); m; m = map_next(&c->topics, m))
        c->refresh_topics[count++].name = bytes_str(container_of(m, struct client_topic, map_node)->name);
    c->refresh_in.topics = c->refresh_topics;
    c->refresh_in.topics_count = count;
    c->refresh_in.allow_auto_topic_creation = c->create_topics;
    c->refresh.in = &c->refresh_in;
    c->refresh.done = on_refreshed;
    client_connection_submit(&n->connection, &c->refresh);
}

void client_refresh(struct client *c)
{
    c->refresh_again = true;
    if (!c->refresh.busy && !shard_timer_is_set(&c->refresh_timer))
        refresh_now(c);
}

struct topic_wait {
    struct client_watch watch;
    enum rc rc;
    bool changed;
};

static void on_wait_changed(struct client_watch *w, enum rc rc)
{
    struct topic_wait *wait = container_of(w, struct topic_wait, watch);
    wait->rc = rc;
    wait->changed = true;
}

static bool topic_ready(const struct client_topic *t)
{
    if (!t->known || t->error_code || t->partition_count == 0)
        return false;
    for (int32_t i = 0; i < t->partition_count; i++)
        if (t->partitions[i].leader_id < 0)
            return false;
    return true;
}

// Whether asking again cannot help; fills in c->error and *rc.
static bool topic_hopeless(struct client *c, const struct client_topic *t, bool create, enum rc *rc)
{
    if (!t->known || t->error_code == 0 || t->error_code == KERR_LEADER_NOT_AVAILABLE)
        return false;
    if (t->error_code == KERR_UNKNOWN_TOPIC && create)
        return false;
    *rc = t->error_code == KERR_UNKNOWN_TOPIC ? RC_UNKNOWN_TOPIC_OR_PARTITION : RC_INVALID_TOPIC;
    if (t->error_code == KERR_UNKNOWN_TOPIC)
        client_explain(c, "topic '%s' does not exist; 'weir admin topics list' shows what does", t->name);
    else
        client_explain(c, "topic '%s': %s", t->name, kerr_name(t->error_code));
    return true;
}

enum rc client_topic_wait(struct client *c, struct client_topic *t, bool create)
{
    struct topic_wait wait = {0};
    uint64_t deadline = io_clock_ns(c->shard->io) + (uint64_t)c->config.timeout_ms * 1000000;
    enum rc rc = RC_OK;
    c->create_topics |= create;
    client_watch(c, &wait.watch, on_wait_changed);
    client_refresh(c);
    for (;;) {
        shard_turn(c->shard, 100 * 1000 * 1000);
        if (topic_ready(t) || topic_hopeless(c, t, create, &rc))
            break;
        if (shard_now_ns(c->shard) >= deadline) {
            rc = RC_TIMED_OUT;
            client_explain(c, "topic '%s' has partitions without a leader or could not be looked up (%s)", t->name,
                           wait.rc == RC_OK ? kerr_name(t->error_code) : rc_text(wait.rc));
            break;
        }
        if (wait.changed)
            client_refresh(c);
        wait.changed = false;
    }
    client_unwatch(c, &wait.watch);
    return rc;
}

void metadata_deinit(struct client *c)
{
    shard_timer_cancel(c->shard, &c->refresh_timer);
    client_request_deinit(&c->refresh);
    free(c->refresh_topics);
    for (struct map_node *m = map_first(&c->topics), *next; m; m = next) {
        next = map_next(&c->topics, m);
        struct client_topic *t = container_of(m, struct client_topic, map_node);
        map_remove(&c->topics, m);
        free(t->partitions);
        free(t);
    }
    map_deinit(&c->topics);
}
