// SPDX-License-Identifier: Apache-2.0
//
// The one table of configuration keys, for topics, brokers and groups: type, default, range, synonyms, whether it may
// change at run time, what weir does with it, and its documentation. The file loader, `--check`, DescribeConfigs,
// AlterConfigs and the controller's checks all read this table and nothing else. Names, types, defaults and ranges are
// Kafka 4's.
//
// Pure data and pure functions: any shard, no allocation except where a buf or arena is given.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"

// Numbers are those of DescribeConfigs (ConfigType).
enum config_type {
    CONFIG_BOOLEAN = 1,
    CONFIG_STRING = 2,
    CONFIG_INT = 3,
    CONFIG_SHORT = 4,
    CONFIG_LONG = 5,
    CONFIG_DOUBLE = 6,
    CONFIG_LIST = 7,
    CONFIG_CLASS = 8,
    CONFIG_PASSWORD = 9, // sensitive: its value is never shown or sent
};

enum config_scope { CONFIG_TOPIC, CONFIG_BROKER, CONFIG_GROUP };

// Numbers are those of DescribeConfigs (ConfigSource).
enum config_source {
    CONFIG_SOURCE_TOPIC = 1,
    CONFIG_SOURCE_BROKER = 2,          // dynamic, of one broker
    CONFIG_SOURCE_BROKERS_DEFAULT = 3, // dynamic, of all brokers
    CONFIG_SOURCE_PROPERTIES = 4,      // file, environment, --set
    CONFIG_SOURCE_DEFAULT = 5,
    CONFIG_SOURCE_GROUP = 8,
};

// Who may change a broker key while the broker runs. Topic keys are always dynamic.
enum config_dynamic {
    CONFIG_READ_ONLY,
    CONFIG_PER_BROKER,   // for one broker only
    CONFIG_CLUSTER_WIDE, // for one broker or for all
};

enum config_effect {
    CONFIG_USED,     // changes what weir does
    CONFIG_ACCEPTED, // nothing here corresponds to it: checked, shown, without effect; --check and the start say so
    CONFIG_LATER,    // of a feature this version does not have: setting it is refused by name
};

enum config_rule_kind {
    CONFIG_RULE_ANY,
    CONFIG_RULE_RANGE,    // number in [min, max]
    CONFIG_RULE_LEVEL,    // number in [min, max], or -1 (compression.gzip.level)
    CONFIG_RULE_ONE_OF,   // text is one of choices
    CONFIG_RULE_LIST_OF,  // every element is one of choices, at least one, none twice
    CONFIG_RULE_SIZE,     // a number of bytes, KiB, MiB or GiB (config_parse_size), or empty
    CONFIG_RULE_THROTTLE, // [partition]:[broker],... or *
    CONFIG_RULE_OVERRIDES, // ADDRESS:COUNT,... or nothing (config_override_next)
};

struct config_rule {
    enum config_rule_kind kind;
    double min, max;
    const char *const *choices; // ends with NULL
};

// A broker key that supplies a topic key's default (or an older unit of the same broker key): first set one wins.
// The topic's value is the synonym's times scale.
struct config_synonym {
    const char *name;
    int32_t scale;
};

enum { CONFIG_SYNONYMS_MAX = 3, CONFIG_VALUE_BYTES_MAX = 32768 };

struct config_key {
    const char *name;
    enum config_type type;
    const char *value; // the default as text; NULL is null
    struct config_rule rule;
    enum config_dynamic dynamic;
    enum config_effect effect;
    struct config_synonym synonyms[CONFIG_SYNONYMS_MAX]; // ends at a NULL name
    const char *text;                                    // documentation, one or two sentences
};

// The key called name, or NULL. Aliases are not found here (see config_old_find).
const struct config_key *config_find(enum config_scope scope, const char *name);
// The key that rules the setting of one listener, listener.name.NAME.KEY with NAME in small letters, and which it is; NULL:
// no such setting, or none in which listeners may differ. Settings are named so, each with its own value.
const struct config_key *config_find_listener(const char *name, struct bytes *listener);
// The key that rules a setting of that name, a listener's too, or NULL.
const struct config_key *config_find_setting(enum config_scope scope, const char *name);
// All keys of scope in the order of their names.
const struct config_key *config_keys(enum config_scope scope, size_t *count);

static inline bool config_sensitive(const struct config_key *key)
{
    return key->type == CONFIG_PASSWORD;
}

// Names that are no keys (any more), with what to do about them.
enum config_old_kind {
    CONFIG_OLD_ALIAS,     // read as `instead`; say so once
    CONFIG_OLD_MAPPED,    // the loader builds `instead` from it (port, host.name, ...); say so once
    CONFIG_OLD_ZOOKEEPER, // there is no ZooKeeper: refuse, text names the replacement
    CONFIG_OLD_REMOVED,   // removed from Kafka, or a class of the JVM: refuse, text says why
    CONFIG_OLD_MISSPELT,  // refuse, `instead` is what was meant
    CONFIG_OLD_CLIENT,    // a setting of clients, not of brokers: refuse
};

struct config_old {
    const char *name; // a trailing '*' matches any rest, a trailing '#' a number
    enum config_old_kind kind;
    const char *instead; // a key, or NULL
    const char *text;
};

const struct config_old *config_old_find(const char *name);

// Writes one sentence about a name that is not a key of scope: what replaced it, or the nearest name there is. Cuts at
// out_bytes. Returns out.
const char *config_explain_unknown(enum config_scope scope, const char *name, char *out, size_t out_bytes);
// The key of scope nearest to name by edit distance, or NULL when none is near.
const struct config_key *config_nearest(enum config_scope scope, const char *name);

// Checks value (zero-terminated; NULL is null) against key. RC_OK, or RC_INVALID_CONFIG with Kafka's sentence in out:
// "Invalid value X for configuration K: ...". Sensitive values are not repeated.
enum rc config_check(const struct config_key *key, const char *value, char *out, size_t out_bytes);

// Numbers out of checked text. Surrounding blanks are ignored. False when text is not of that form.
bool config_parse_int(const char *text, int64_t *out);
bool config_parse_double(const char *text, double *out);
bool config_parse_bool(const char *text, bool *out);
// "1048576", "64MiB", "1g", "512 KB" (powers of 1024 whatever the spelling).
bool config_parse_size(const char *text, int64_t *out);
// Takes the next element of a comma-separated list off *rest, blanks trimmed; false at the end. Empty text has none.
bool config_list_next(const char **rest, struct bytes *element);
bool config_list_has(const char *list, const char *word);
// The next ADDRESS:COUNT of a list: an IPv4 or IPv6 address (as it stands there, without brackets) and how many; count
// -1: it is none such. False at the end.
bool config_override_next(const char **rest, struct bytes *address, int64_t *count);
bool config_overrides_valid(const char *value);

// ---- layers: what is set where ----

struct config_pair {
    const char *name;
    const char *value; // NULL is null
};

// Pairs in the order of their names (strcmp), no name twice. Borrowed from the image or from the loader.
struct config_layer {
    const struct config_pair *pairs;
    size_t count;
};

// Everything that decides the values one broker sees. Empty layers are {0}.
struct config_layers {
    struct config_layer topic;           // of the topic (or group) in question
    struct config_layer broker;          // dynamic, this broker's
    struct config_layer brokers_default; // dynamic, for all brokers
    struct config_layer properties;      // static
};

// The value of name in layer; *found says whether it is set at all.
const char *config_layer_get(struct config_layer layer, const char *name, bool *found);

struct config_value {
    const char *name;  // whose value this is: the key's or a synonym's
    const char *value; // as set there, without scale; NULL is null
    int32_t scale;
    enum config_source source;
};

// The value in force for key: topic layer, then for the key's name and each synonym the broker layers (an older unit
// counts only where the newer is nowhere set), then the default.
struct config_value config_resolve(enum config_scope scope, const struct config_key *key,
                                   const struct config_layers *layers);

// DescribeConfigs' synonyms: every place that has a value, the one in force first, the default last.
enum { CONFIG_VALUES_MAX = 1 + (1 + CONFIG_SYNONYMS_MAX) * 4 };
size_t config_resolve_all(enum config_scope scope, const struct config_key *key, const struct config_layers *layers,
                          struct config_value out[CONFIG_VALUES_MAX]);
// The text to show for v: v.value, or the scaled number formatted into scratch (at least 24 bytes).
const char *config_value_text(const struct config_value *v, char *scratch, size_t scratch_bytes);

// Values of broker keys as plain numbers and text; name must be a key (asserted). Null or a broken number gives the
// default, and for null without default `otherwise`. Scaled synonyms (log.retention.hours for log.retention.ms) count.
int64_t config_broker_int(const struct config_layers *layers, const char *name, int64_t otherwise);
double config_broker_double(const struct config_layers *layers, const char *name, double otherwise);
bool config_broker_bool(const struct config_layers *layers, const char *name);
const char *config_broker_text(const struct config_layers *layers, const char *name);
// A number of one listener, in small letters; its key's default where nobody set it.
enum { CONFIG_LISTENER_NAME_MAX = 96 };
int64_t config_listener_int(const struct config_layers *layers, const char *listener, const char *name);

// ---- topics ----

enum config_compression {
    CONFIG_COMPRESSION_NONE, // numbers 0 to 4 are the batch attribute's codec
    CONFIG_COMPRESSION_GZIP,
    CONFIG_COMPRESSION_SNAPPY,
    CONFIG_COMPRESSION_LZ4,
    CONFIG_COMPRESSION_ZSTD,
    CONFIG_COMPRESSION_PRODUCER, // keep what the producer sent
};

// A topic's settings in force, as numbers. INT64_MAX is "never"; retention -1 is "without limit".
struct topic_config {
    int64_t retention_ms;
    int64_t retention_bytes;
    int64_t segment_ms;
    int64_t segment_jitter_ms;
    int64_t flush_messages;
    int64_t flush_ms;
    int64_t file_delete_delay_ms;
    int64_t delete_retention_ms;
    int64_t min_compaction_lag_ms;
    int64_t max_compaction_lag_ms;
    int64_t timestamp_before_max_ms;
    int64_t timestamp_after_max_ms;
    double min_cleanable_dirty_ratio;
    int32_t segment_bytes;
    int32_t segment_index_bytes;
    int32_t index_interval_bytes;
    int32_t max_message_bytes;
    int32_t min_insync_replicas;
    int32_t gzip_level, lz4_level, zstd_level;
    enum config_compression compression;
    bool cleanup_delete, cleanup_compact;
    bool log_append_time;
    bool preallocate;
    bool unclean_leader_election;
};

// Fills out from layers. Values were checked when they were set; one that is broken all the same counts as unset.
void topic_config_resolve(struct topic_config *out, const struct config_layers *layers);

// Checks a whole set of topic overrides as they would be in force: every name known, every value valid, and the values
// among each other. RC_INVALID_CONFIG with the sentence in out.
enum rc topic_config_check(struct config_layer overrides, char *out, size_t out_bytes);

// ---- groups ----

// A group's timeouts in force; layers.topic holds its own.
void group_config_resolve(const struct config_layers *layers, int32_t *session_timeout_ms,
                          int32_t *heartbeat_interval_ms);
// Checks a group's overrides as they would be in force: each value, the broker's bounds, one against the other. Names
// are keys (asserted). RC_INVALID_CONFIG with Kafka's sentence in out.
enum rc group_config_check(const struct config_layers *layers, char *out, size_t out_bytes);
