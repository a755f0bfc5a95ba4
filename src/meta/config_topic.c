// SPDX-License-Identifier: Apache-2.0
//
// The topic keys, in the order of their names (a unit test holds the order), and their resolution to numbers.
#include "meta/config.h"
#include "meta/config_rows.h"

#include <stdio.h>

#include "base/assert.h"

static const char *const cleanup_policies[] = {"compact", "delete", NULL};
static const char *const compression_types[] = {"uncompressed", "zstd", "lz4", "snappy", "gzip", "producer", NULL};
static const char *const timestamp_types[] = {"CreateTime", "LogAppendTime", NULL};

// A topic key: synonyms are the broker keys that give its default.
#define KEY(n, t, v, r, e, s, d)                                                                                       \
    {                                                                                                                  \
        .name = n, .type = t, .value = v, .rule = r, .dynamic = CONFIG_CLUSTER_WIDE, .effect = e, .synonyms = s,       \
        .text = d                                                                                                      \
    }

static const struct config_key topic_keys[] = {
    KEY("cleanup.policy", CONFIG_LIST, "delete", LIST_OF(cleanup_policies), CONFIG_USED, SYN("log.cleanup.policy"),
        "What happens to old segments: delete drops them by age and size, compact keeps the last value of each key; "
        "both may be given."),
    KEY("compression.gzip.level", CONFIG_INT, "-1", LEVEL(1, 9), CONFIG_USED, SYN("compression.gzip.level"),
        "Level used when the broker writes gzip; -1 is the library's default."),
    KEY("compression.lz4.level", CONFIG_INT, "9", BETWEEN(1, 17), CONFIG_USED, SYN("compression.lz4.level"),
        "Level used when the broker writes lz4."),
    KEY("compression.type", CONFIG_STRING, "producer", ONE_OF(compression_types), CONFIG_USED, SYN("compression.type"),
        "Codec in which batches are stored; producer keeps the one the producer chose."),
    KEY("compression.zstd.level", CONFIG_INT, "3", BETWEEN(-131072, 22), CONFIG_USED, SYN("compression.zstd.level"),
        "Level used when the broker writes zstd."),
    KEY("delete.retention.ms", CONFIG_LONG, "86400000", AT_LEAST(0), CONFIG_USED,
        SYN("log.cleaner.delete.retention.ms"),
        "How long a compacted topic keeps the marker of a deleted key, so that readers see the deletion."),
    KEY("file.delete.delay.ms", CONFIG_LONG, "60000", AT_LEAST(0), CONFIG_USED, SYN("log.segment.delete.delay.ms"),
        "Time between taking a segment out of the log and removing its file."),
    KEY("flush.messages", CONFIG_LONG, "9223372036854775807", AT_LEAST(1), CONFIG_USED,
        SYN("log.flush.interval.messages"),
        "Sync to disk before the append that brings the unsynced records to this number is acknowledged; 1 syncs every "
        "append."),
    KEY("flush.ms", CONFIG_LONG, "9223372036854775807", AT_LEAST(0), CONFIG_USED,
        SYN2("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
        "Longest time data stays unsynced; syncs in the background."),
    KEY("follower.replication.throttled.replicas", CONFIG_LIST, "", THROTTLE, CONFIG_USED, NO_SYN,
        "Replicas whose fetching as followers is throttled: partition:broker,... or *."),
    KEY("index.interval.bytes", CONFIG_INT, "4096", AT_LEAST(0), CONFIG_USED, SYN("log.index.interval.bytes"),
        "Bytes of log between two entries of the offset index."),
    KEY("leader.replication.throttled.replicas", CONFIG_LIST, "", THROTTLE, CONFIG_USED, NO_SYN,
        "Replicas whose serving as leaders is throttled: partition:broker,... or *."),
    KEY("local.retention.bytes", CONFIG_LONG, "-2", AT_LEAST(-2), CONFIG_LATER, SYN("log.local.retention.bytes"),
        "Bytes kept on the local disk of a tiered topic; -2 means retention.bytes."),
    KEY("local.retention.ms", CONFIG_LONG, "-2", AT_LEAST(-2), CONFIG_LATER, SYN("log.local.retention.ms"),
        "Time data of a tiered topic stays on the local disk; -2 means retention.ms."),
    KEY("max.compaction.lag.ms", CONFIG_LONG, "9223372036854775807", AT_LEAST(1), CONFIG_USED,
        SYN("log.cleaner.max.compaction.lag.ms"), "Longest time a record may stay out of reach of compaction."),
    KEY("max.message.bytes", CONFIG_INT, "1048588", AT_LEAST(0), CONFIG_USED, SYN("message.max.bytes"),
        "Largest record batch, as stored, that is accepted."),
    KEY("message.timestamp.after.max.ms", CONFIG_LONG, "3600000", AT_LEAST(0), CONFIG_USED,
        SYN("log.message.timestamp.after.max.ms"),
        "How far a record's timestamp may lie after the broker's clock; not used with LogAppendTime."),
    KEY("message.timestamp.before.max.ms", CONFIG_LONG, "9223372036854775807", AT_LEAST(0), CONFIG_USED,
        SYN("log.message.timestamp.before.max.ms"),
        "How far a record's timestamp may lie before the broker's clock; not used with LogAppendTime."),
    KEY("message.timestamp.type", CONFIG_STRING, "CreateTime", ONE_OF(timestamp_types), CONFIG_USED,
        SYN("log.message.timestamp.type"), "Who sets a record's timestamp: the producer or the broker at append."),
    KEY("min.cleanable.dirty.ratio", CONFIG_DOUBLE, "0.5", BETWEEN(0, 1), CONFIG_USED,
        SYN("log.cleaner.min.cleanable.ratio"), "Share of a log that must be uncompacted before compaction starts."),
    KEY("min.compaction.lag.ms", CONFIG_LONG, "0", AT_LEAST(0), CONFIG_USED, SYN("log.cleaner.min.compaction.lag.ms"),
        "Time during which a record is never compacted."),
    KEY("min.insync.replicas", CONFIG_INT, "1", AT_LEAST(1), CONFIG_USED, SYN("min.insync.replicas"),
        "Replicas that must be in sync for a produce with acks=all to be accepted."),
    KEY("preallocate", CONFIG_BOOLEAN, "false", ANY, CONFIG_USED, SYN("log.preallocate"),
        "Reserve a segment's whole size when it is created."),
    KEY("remote.log.copy.disable", CONFIG_BOOLEAN, "false", ANY, CONFIG_LATER, NO_SYN,
        "Stop copying a tiered topic to remote storage."),
    KEY("remote.log.delete.on.disable", CONFIG_BOOLEAN, "false", ANY, CONFIG_LATER, NO_SYN,
        "Delete remote data when tiering is switched off."),
    KEY("remote.storage.enable", CONFIG_BOOLEAN, "false", ANY, CONFIG_LATER, NO_SYN,
        "Keep old segments in remote storage."),
    KEY("retention.bytes", CONFIG_LONG, "-1", ANY, CONFIG_USED, SYN("log.retention.bytes"),
        "Size a partition may reach before old segments are deleted; -1 is without limit."),
    KEY("retention.ms", CONFIG_LONG, "604800000", AT_LEAST(-1), CONFIG_USED,
        SYN_MINUTES("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
        "Time records are kept before their segment may be deleted; -1 is for ever."),
    KEY("segment.bytes", CONFIG_INT, "1073741824", AT_LEAST(1048576), CONFIG_USED, SYN("log.segment.bytes"),
        "Size at which a new segment is begun."),
    KEY("segment.index.bytes", CONFIG_INT, "10485760", AT_LEAST(4), CONFIG_USED, SYN("log.index.size.max.bytes"),
        "Size of a segment's offset index at which a new segment is begun."),
    KEY("segment.jitter.ms", CONFIG_LONG, "0", AT_LEAST(0), CONFIG_USED,
        SYN_HOURS("log.roll.jitter.ms", "log.roll.jitter.hours"),
        "Random time taken off segment.ms, so that segments do not roll together."),
    KEY("segment.ms", CONFIG_LONG, "604800000", AT_LEAST(1), CONFIG_USED, SYN_HOURS("log.roll.ms", "log.roll.hours"),
        "Age at which a segment is closed even if it is not full."),
    KEY("unclean.leader.election.enable", CONFIG_BOOLEAN, "false", ANY, CONFIG_USED,
        SYN("unclean.leader.election.enable"),
        "Let a replica that is not in sync become leader when there is no other; records may be lost."),
};

const struct config_key *config_topic_keys(size_t *count)
{
    *count = ARRAY_COUNT(topic_keys);
    return topic_keys;
}

// ---- resolution ----

static struct config_value value_of(const struct config_layers *layers, const char *name)
{
    const struct config_key *key = config_find(CONFIG_TOPIC, name);
    ASSERT(key != NULL);
    return config_resolve(CONFIG_TOPIC, key, layers);
}

static int64_t int_of(const struct config_layers *layers, const char *name)
{
    int64_t n;
    struct config_value v = value_of(layers, name);
    if (v.value && config_parse_int(v.value, &n))
        return config_scale(n, v.scale);
    bool ok = config_parse_int(config_find(CONFIG_TOPIC, name)->value, &n);
    ASSERT(ok);
    return n;
}

static int32_t int32_of(const struct config_layers *layers, const char *name)
{
    int64_t n = int_of(layers, name);
    return n > INT32_MAX ? INT32_MAX : n < INT32_MIN ? INT32_MIN : (int32_t)n;
}

static bool bool_of(const struct config_layers *layers, const char *name)
{
    bool b = false;
    struct config_value v = value_of(layers, name);
    return v.value && config_parse_bool(v.value, &b) && b;
}

static enum config_compression compression_of(const char *text)
{
    static const struct {
        const char *name;
        enum config_compression value;
    } names[] = {
        {"uncompressed", CONFIG_COMPRESSION_NONE}, {"gzip", CONFIG_COMPRESSION_GZIP},
        {"snappy", CONFIG_COMPRESSION_SNAPPY},     {"lz4", CONFIG_COMPRESSION_LZ4},
        {"zstd", CONFIG_COMPRESSION_ZSTD},
    };
    for (size_t i = 0; text && i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i].name) == 0)
            return names[i].value;
    return CONFIG_COMPRESSION_PRODUCER;
}

static void resolve_policies(struct topic_config *out, const struct config_layers *layers)
{
    out->cleanup_delete = out->cleanup_compact = false;
    const char *rest = value_of(layers, "cleanup.policy").value;
    struct bytes word;
    while (rest && config_list_next(&rest, &word)) {
        out->cleanup_delete |= bytes_eq(word, bytes_str("delete"));
        out->cleanup_compact |= bytes_eq(word, bytes_str("compact"));
    }
    const char *stamp = value_of(layers, "message.timestamp.type").value;
    out->log_append_time = stamp && strcmp(stamp, "LogAppendTime") == 0;
    out->compression = compression_of(value_of(layers, "compression.type").value);
    double ratio = 0.5;
    const char *text = value_of(layers, "min.cleanable.dirty.ratio").value;
    if (!text || !config_parse_double(text, &ratio))
        ratio = 0.5;
    out->min_cleanable_dirty_ratio = ratio;
}

void topic_config_resolve(struct topic_config *out, const struct config_layers *layers)
{
    *out = (struct topic_config){
        .retention_ms = int_of(layers, "retention.ms"),
        .retention_bytes = int_of(layers, "retention.bytes"),
        .segment_ms = int_of(layers, "segment.ms"),
        .segment_jitter_ms = int_of(layers, "segment.jitter.ms"),
        .flush_messages = int_of(layers, "flush.messages"),
        .flush_ms = int_of(layers, "flush.ms"),
        .file_delete_delay_ms = int_of(layers, "file.delete.delay.ms"),
        .delete_retention_ms = int_of(layers, "delete.retention.ms"),
        .min_compaction_lag_ms = int_of(layers, "min.compaction.lag.ms"),
        .max_compaction_lag_ms = int_of(layers, "max.compaction.lag.ms"),
        .timestamp_before_max_ms = int_of(layers, "message.timestamp.before.max.ms"),
        .timestamp_after_max_ms = int_of(layers, "message.timestamp.after.max.ms"),
        .segment_bytes = int32_of(layers, "segment.bytes"),
        .segment_index_bytes = int32_of(layers, "segment.index.bytes"),
        .index_interval_bytes = int32_of(layers, "index.interval.bytes"),
        .max_message_bytes = int32_of(layers, "max.message.bytes"),
        .min_insync_replicas = int32_of(layers, "min.insync.replicas"),
        .gzip_level = int32_of(layers, "compression.gzip.level"),
        .lz4_level = int32_of(layers, "compression.lz4.level"),
        .zstd_level = int32_of(layers, "compression.zstd.level"),
        .preallocate = bool_of(layers, "preallocate"),
        .unclean_leader_election = bool_of(layers, "unclean.leader.election.enable"),
    };
    resolve_policies(out, layers);
}

enum rc topic_config_check(struct config_layer overrides, char *out, size_t out_bytes)
{
    for (size_t i = 0; i < overrides.count; i++) {
        const struct config_pair *pair = &overrides.pairs[i];
        const struct config_key *key = config_find(CONFIG_TOPIC, pair->name);
        if (!key) {
            config_explain_unknown(CONFIG_TOPIC, pair->name, out, out_bytes);
            return RC_INVALID_CONFIG;
        }
        enum rc rc = config_check(key, pair->value, out, out_bytes);
        if (rc != RC_OK)
            return rc;
        // The default may be written out, so that copies of Kafka topics work; anything else would be a promise.
        if (key->effect == CONFIG_LATER && strcmp(pair->value ? pair->value : "", key->value) != 0) {
            snprintf(out, out_bytes, "%s: tiered storage is not supported by this version", pair->name);
            return RC_INVALID_CONFIG;
        }
    }
    struct topic_config c;
    topic_config_resolve(&c, &(struct config_layers){.topic = overrides});
    if (c.min_compaction_lag_ms > c.max_compaction_lag_ms) {
        snprintf(out, out_bytes,
                 "conflict topic config setting min.compaction.lag.ms (%lld) > max.compaction.lag.ms (%lld)",
                 (long long)c.min_compaction_lag_ms, (long long)c.max_compaction_lag_ms);
        return RC_INVALID_CONFIG;
    }
    return RC_OK;
}
