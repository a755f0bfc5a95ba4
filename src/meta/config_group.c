// SPDX-License-Identifier: Apache-2.0
//
// The keys of consumer groups (KIP-848), in the order of their names, and what they must be to each other.
#include "meta/config.h"
#include "meta/config_rows.h"

#include <stdio.h>

#include "base/assert.h"

#define KEY(n, v, s, d)                                                                                                \
    {                                                                                                                  \
        .name = n, .type = CONFIG_INT, .value = v, .rule = AT_LEAST(1), .dynamic = CONFIG_CLUSTER_WIDE,                \
        .effect = CONFIG_USED, .synonyms = s, .text = d                                                                \
    }

static const struct config_key group_keys[] = {
    KEY("consumer.heartbeat.interval.ms", "5000", SYN("group.consumer.heartbeat.interval.ms"),
        "How often members of the consumer protocol send heartbeats."),
    KEY("consumer.session.timeout.ms", "45000", SYN("group.consumer.session.timeout.ms"),
        "A member of the consumer protocol that sends no heartbeat for so long is removed."),
};

const struct config_key *config_group_keys(size_t *count)
{
    *count = ARRAY_COUNT(group_keys);
    return group_keys;
}

static int64_t group_int(const struct config_layers *layers, const char *name)
{
    int64_t n = 0;
    struct config_value v = config_resolve(CONFIG_GROUP, config_find(CONFIG_GROUP, name), layers);
    return v.value && config_parse_int(v.value, &n) ? n : 0;
}

void group_config_resolve(const struct config_layers *layers, int32_t *session_timeout_ms,
                          int32_t *heartbeat_interval_ms)
{
    *session_timeout_ms = (int32_t)group_int(layers, "consumer.session.timeout.ms");
    *heartbeat_interval_ms = (int32_t)group_int(layers, "consumer.heartbeat.interval.ms");
}

static bool within(const struct config_layers *layers, const char *name, int64_t n, const char *least, const char *most,
                   char *out, size_t out_bytes)
{
    if (n < config_broker_int(layers, least, 1))
        snprintf(out, out_bytes, "%s must be greater than or equal to %s", name, least);
    else if (n > config_broker_int(layers, most, INT32_MAX))
        snprintf(out, out_bytes, "%s must be less than or equal to %s", name, most);
    else
        return true;
    return false;
}

enum rc group_config_check(const struct config_layers *layers, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < layers->topic.count; i++) {
        const struct config_key *key = config_find(CONFIG_GROUP, layers->topic.pairs[i].name);
        ASSERT(key != NULL);
        enum rc rc = config_check(key, layers->topic.pairs[i].value, out, out_bytes);
        if (rc != RC_OK)
            return rc;
    }
    int32_t session, heartbeat;
    group_config_resolve(layers, &session, &heartbeat);
    if (!within(layers, "consumer.heartbeat.interval.ms", heartbeat, "group.consumer.min.heartbeat.interval.ms",
                "group.consumer.max.heartbeat.interval.ms", out, out_bytes) ||
        !within(layers, "consumer.session.timeout.ms", session, "group.consumer.min.session.timeout.ms",
                "group.consumer.max.session.timeout.ms", out, out_bytes))
        return RC_INVALID_CONFIG;
    if (session <= heartbeat) {
        snprintf(out, out_bytes, "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms");
        return RC_INVALID_CONFIG;
    }
    return RC_OK;
}
