// SPDX-License-Identifier: Apache-2.0
#include "server/stop_watch.h"

#include <stdio.h>
#include <string.h>

#include "server/node.h"

enum { FIRST_S = 2, TEXT_BYTES = 256 };
#define NS_PER_S UINT64_C(1000000000)

static void due(struct shard_timer *t);

static void next_in(struct stop_watch *w, uint64_t ns)
{
    struct shard *s = w->node->engine->shards[0].shard;
    (void)shard_timer_set(s, &w->timer, shard_now_ns(s) + ns, due); // without memory it is silent
}

static void say(const struct stop_watch *w, const char *text)
{
    uint64_t s = (shard_now_ns(w->node->engine->shards[0].shard) - w->began_ns) / NS_PER_S;
    trace_warn(w->node->config.trace, "stop: after %llu s it waits for %s", (unsigned long long)s, text);
}

// "3 logs to sync", with a comma where something stands before it.
static void add(char text[TEXT_BYTES], uint64_t count, const char *one, const char *many)
{
    size_t n = strlen(text);
    if (count)
        snprintf(text + n, TEXT_BYTES - n, "%s%llu %s", n ? ", " : "", (unsigned long long)count, count == 1 ? one : many);
}

static void asked(struct stop_watch *w)
{
    char text[TEXT_BYTES] = "";
    const struct node *n = w->node;
    add(text, w->requests, "request under way", "requests under way");
    add(text, w->connections, "connection to end", "connections to end");
    add(text, w->engine.deletions, "partition to delete", "partitions to delete");
    add(text, w->engine.fetchers, "fetch from another node", "fetches from other nodes");
    add(text, w->engine.coordinators, "shard's group coordinators", "shards' group coordinators");
    add(text, w->engine.logs, "log to sync", "logs to sync");
    if (!*text && n->engine->settles)
        add(text, n->engine->settles_left, "folder's last checkpoint", "folders' last checkpoints");
    say(w, *text ? text : "the next of its steps");
}

static void run(struct engine_call *c)
{
    struct stop_watch *w = container_of(c, struct stop_watch, call);
    const struct broker_shard *bs = &w->node->broker->shards[c->target->shard->id];
    engine_shard_waits(c->target, &w->engine);
    w->requests += bs->request_pool.count;
    w->connections += bs->sessions.count;
    engine_call_finish(c);
}

static void next(struct engine_call *c)
{
    struct stop_watch *w = container_of(c, struct stop_watch, call);
    struct engine *e = w->node->engine;
    if (w->next == e->shard_count || w->node->resting) {
        w->next = 0;
        if (!w->node->resting)
            asked(w);
        return;
    }
    c->run = run;
    c->done = next;
    engine_call_start(c, &e->shards[0], &e->shards[w->next++]);
}

static void due(struct shard_timer *t)
{
    struct stop_watch *w = container_of(t, struct stop_watch, timer);
    const struct node *n = w->node;
    char text[TEXT_BYTES];
    next_in(w, NS_PER_S);
    if (n->resting)
        say(w, "what is under way between its shards");
    else if (!n->ending)
        say(w, n->registering ? "the answer to its registration" : "others to lead what it leads");
    else if (w->next) {
        snprintf(text, sizeof(text), "shard %u, which does not answer", w->next - 1);
        say(w, text);
    } else {
        w->engine = (struct engine_waits){0};
        w->requests = w->connections = 0;
        next(&w->call);
    }
}

void stop_watch_begin(struct stop_watch *w, struct node *n)
{
    w->node = n;
    w->began_ns = shard_now_ns(n->engine->shards[0].shard);
    next_in(w, FIRST_S * NS_PER_S);
}

void stop_watch_end(struct stop_watch *w)
{
    if (w->node)
        shard_timer_cancel(w->node->engine->shards[0].shard, &w->timer);
}
