// SPDX-License-Identifier: Apache-2.0
#include "engine/throttle.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

// One element "partition:broker". False: it is none.
static bool element_read(struct bytes word, int64_t *partition, int64_t *node)
{
    char text[32];
    const char *colon = memchr(word.p, ':', word.n);
    if (!colon || word.n >= sizeof(text))
        return false;
    memcpy(text, word.p, word.n);
    text[word.n] = 0;
    text[colon - (const char *)word.p] = 0;
    return config_parse_int(text, partition) && config_parse_int(text + (colon - (const char *)word.p) + 1, node);
}

static enum rc bit_set(struct throttle_list *l, uint32_t n)
{
    if (n >= l->count) {
        uint32_t bytes = (n / 8 + 1) * 2;
        uint8_t *next = realloc(l->bits, bytes);
        if (!next)
            return RC_NOMEM;
        memset(next + l->count / 8, 0, bytes - l->count / 8);
        l->bits = next;
        l->count = bytes * 8;
    }
    l->bits[n / 8] |= (uint8_t)(1u << n % 8);
    return RC_OK;
}

enum rc throttle_list_read(struct throttle_list *l, const char *value, int32_t node)
{
    const char *rest = value ? value : "";
    struct bytes word;
    *l = (struct throttle_list){0};
    while (config_list_next(&rest, &word)) {
        int64_t partition, replica;
        if (bytes_eq(word, bytes_str("*")))
            l->all = true;
        else if (element_read(word, &partition, &replica) && replica == node && partition >= 0 &&
                 partition < PARTITIONS_PER_TOPIC_MAX && bit_set(l, (uint32_t)partition) != RC_OK) {
            throttle_list_free(l);
            return RC_NOMEM;
        }
    }
    return RC_OK;
}

void throttle_list_free(struct throttle_list *l)
{
    free(l->bits);
    *l = (struct throttle_list){0};
}

void throttles_init(struct engine *e)
{
    struct config_layers l = {.properties = e->config.properties};
    int64_t count = config_broker_int(&l, "replication.quota.window.num", 11);
    int64_t seconds = config_broker_int(&l, "replication.quota.window.size.seconds", 1);
    repl_throttle_init(&e->leader_throttle, count, seconds);
    repl_throttle_init(&e->follower_throttle, count, seconds);
    repl_throttle_init(&e->move_throttle, config_broker_int(&l, "alter.log.dirs.replication.quota.window.num", 11),
                       config_broker_int(&l, "alter.log.dirs.replication.quota.window.size.seconds", 1));
}

void throttles_configure(struct engine_shard *es)
{
    struct config_layers l = engine_layers(es, NULL);
    struct engine *e = es->engine;
    repl_throttle_limit(&e->leader_throttle, config_broker_int(&l, "leader.replication.throttled.rate", INT64_MAX));
    repl_throttle_limit(&e->move_throttle,
                        config_broker_int(&l, "replica.alter.log.dirs.io.max.bytes.per.second", INT64_MAX));
    repl_throttle_limit(&e->follower_throttle, config_broker_int(&l, "follower.replication.throttled.rate", INT64_MAX));
}
