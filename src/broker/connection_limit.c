// SPDX-License-Identifier: Apache-2.0
//
// See connection_limit.h.
#include "broker/connection_limit.h"

#include <ctype.h>

#include "broker/broker.h"

_Static_assert((int)CONNECTION_LISTENERS_MAX == (int)BROKER_LISTENERS_MAX, "a place for each");

static const char most_key[] = "max.connections", rate_key[] = "max.connection.creation.rate";

// A number of the listener; INT64_MAX: as many as come.
static int64_t listener_int(const struct broker_shard *bs, const struct config_layers *layers, unsigned listener,
                            const char *key)
{
    char name[BROKER_NAME_BYTES];
    const char *from = bs->broker->config.listeners[listener].name;
    size_t n = 0;
    for (; from[n] && n < sizeof(name) - 1; n++)
        name[n] = (char)tolower((unsigned char)from[n]);
    name[n] = 0;
    return config_listener_int(layers, name, key);
}

void connection_limit_init(struct broker *b)
{
    struct config_layers layers = {.properties = b->engine->config.properties};
    int64_t count = config_broker_int(&layers, "quota.window.num", 11);
    int64_t seconds = config_broker_int(&layers, "quota.window.size.seconds", 1);
    for (unsigned i = 0; i < 1 + CONNECTION_LISTENERS_MAX; i++) {
        b->connections.open[i] = 0;
        repl_throttle_init(&b->connections.rates[i], count, seconds);
    }
}

// ------------------------------------------------------------------------------------------------ how many

// Takes a place where there are fewer than `most`; *open: how many there were.
static bool place_take(uint32_t *places, uint32_t most, uint32_t *open)
{
    *open = __atomic_load_n(places, __ATOMIC_RELAXED);
    while (*open < most)
        if (__atomic_compare_exchange_n(places, open, *open + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return true;
    return false;
}

static uint32_t at_most(int64_t asked, uint32_t most)
{
    return asked < most ? (uint32_t)asked : most;
}

bool connection_limit_enter(struct broker_shard *bs, unsigned listener, struct connection_refusal *refusal)
{
    struct connection_limit *c = &bs->broker->connections;
    struct config_layers layers = engine_layers(bs->engine, NULL);
    *refusal = (struct connection_refusal){
        .most = at_most(config_broker_int(&layers, most_key, INT32_MAX), bs->broker->config.connections_max)};
    if (!place_take(&c->open[0], refusal->most, &refusal->open))
        return false;
    *refusal = (struct connection_refusal){.by_listener = true,
                                           .most = at_most(listener_int(bs, &layers, listener, most_key), UINT32_MAX)};
    if (place_take(&c->open[1 + listener], refusal->most, &refusal->open))
        return true;
    __atomic_fetch_sub(&c->open[0], 1, __ATOMIC_RELAXED);
    return false;
}

void connection_limit_leave(struct broker_shard *bs, unsigned listener)
{
    struct connection_limit *c = &bs->broker->connections;
    __atomic_fetch_sub(&c->open[0], 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&c->open[1 + listener], 1, __ATOMIC_RELAXED);
}

// ------------------------------------------------------------------------------------------------ how fast

static void rates_configure(const struct broker_shard *bs)
{
    struct connection_limit *c = &bs->broker->connections;
    struct config_layers layers = engine_layers(bs->engine, NULL);
    int64_t rate = config_broker_int(&layers, rate_key, INT32_MAX);
    repl_throttle_limit(&c->rates[0], rate < INT32_MAX ? rate : INT64_MAX);
    for (unsigned l = 0; l < bs->broker->config.listener_count; l++) {
        rate = listener_int(bs, &layers, l, rate_key);
        repl_throttle_limit(&c->rates[1 + l], rate < INT32_MAX ? rate : INT64_MAX);
    }
}

static void rest_over(struct shard_timer *t);

// Lets each listener rest or go on, as the rates say, and looks again when one of them may have fallen.
static void rests_decide(struct broker_shard *bs)
{
    const struct connection_limit *c = &bs->broker->connections;
    uint64_t now = shard_now_ns(bs->shard), least = UINT64_MAX;
    uint64_t node_wait = repl_throttle_wait_ns(&c->rates[0], now);
    for (unsigned l = 0; l < bs->broker->config.listener_count; l++) {
        uint64_t wait = repl_throttle_wait_ns(&c->rates[1 + l], now);
        wait = wait > node_wait ? wait : node_wait;
        least = wait && wait < least ? wait : least;
        if (bs->rest.rests[l] == (wait > 0) || !bs->listeners[l].io)
            continue;
        bs->rest.rests[l] = wait > 0;
        if (wait)
            io_listener_pause(&bs->listeners[l]);
        else
            io_listener_resume(&bs->listeners[l]);
    }
    if (least != UINT64_MAX)
        shard_timer_set(bs->shard, &bs->rest.timer, now + least, rest_over);
}

static void rest_over(struct shard_timer *t)
{
    struct broker_shard *bs = container_of(t, struct broker_shard, rest.timer);
    rates_configure(bs);
    rests_decide(bs);
}

void connection_limit_came(struct broker_shard *bs, unsigned listener)
{
    struct connection_limit *c = &bs->broker->connections;
    uint64_t now = shard_now_ns(bs->shard);
    repl_throttle_count(&c->rates[0], 1, now);
    repl_throttle_count(&c->rates[1 + listener], 1, now);
    rates_configure(bs);
    rests_decide(bs);
}

void connection_limit_stop(struct broker_shard *bs)
{
    shard_timer_cancel(bs->shard, &bs->rest.timer);
    for (unsigned l = 0; l < CONNECTION_LISTENERS_MAX; l++)
        bs->rest.rests[l] = false;
}
