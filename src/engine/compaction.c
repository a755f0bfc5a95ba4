// SPDX-License-Identifier: Apache-2.0
//
// See compaction.h.
#include "engine/compaction.h"

enum { MEMORY_SHARE = 16 }; // of the node's memory: what the tables of keys may take of it at most

void engine_configure_compaction(struct engine_shard *es)
{
    const struct engine *e = es->engine;
    const struct config_layers layers = engine_layers(es, NULL);
    struct compact_config c = COMPACT_CONFIG_DEFAULT;
    int64_t map_bytes = config_broker_int(&layers, "log.cleaner.dedupe.buffer.size", (int64_t)c.map_bytes_max);
    int64_t io_bytes = config_broker_int(&layers, "log.cleaner.io.buffer.size", c.io_buffer_bytes);
    c.enabled = config_broker_bool(&layers, "log.cleaner.enable");
    c.map_bytes_max = map_bytes > 0 ? (uint64_t)map_bytes : 0;
    if (e->config.memory_bytes && c.map_bytes_max > e->config.memory_bytes / MEMORY_SHARE)
        c.map_bytes_max = e->config.memory_bytes / MEMORY_SHARE;
    c.map_bytes_max /= e->shard_count;
    c.map_load_factor = config_broker_double(&layers, "log.cleaner.io.buffer.load.factor", c.map_load_factor);
    c.io_buffer_bytes = io_bytes < COMPACT_IO_BUFFER_BYTES_MAX ? (uint32_t)io_bytes : COMPACT_IO_BUFFER_BYTES_MAX;
    c.io_bytes_a_second_max =
        config_broker_double(&layers, "log.cleaner.io.max.bytes.per.second", c.io_bytes_a_second_max) / e->shard_count;
    if (!(c.io_bytes_a_second_max >= 1)) // 0 would mean never: Kafka's throttle lets no less through
        c.io_bytes_a_second_max = 1;
    c.backoff_ms = config_broker_int(&layers, "log.cleaner.backoff.ms", c.backoff_ms);
    compactor_configure(es->store.compactor, &c);
}
