// SPDX-License-Identifier: Apache-2.0
//
// Cluster metadata as of one Raft index. A published image is immutable: any shard may read it for as long as it holds
// a reference, while the quorum's shard builds the next one. The next one shares everything that did not change, so a
// commit costs O(change), whatever the cluster's size. image_apply_some() is the only mutator, replay is recovery.
//
//     image ---> tree by name ---> topic ---> chunk ---> partition
//           ---> tree by id  ----^            (128 pointers each)
//           ---> node...                      everything counted; a reader's reference keeps its whole version alive
//
// Knows no files and no sockets. Everything read through a `const struct image *` borrows from it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"
#include "meta/config.h"
#include "model/ids.h"

enum image_recovery { IMAGE_RECOVERED = 0, IMAGE_RECOVERING = 1 }; // after an unclean election (KIP-704)

// One partition. The numbers behind it are reached by the functions below.
struct image_partition {
    uint32_t refs;        // private
    int32_t leader;       // NODE_ID_NONE: none
    int32_t leader_epoch; // rises with every new leader, and with every new life of the same one
    int32_t epoch;        // partition epoch: rises with every change
    int32_t last_known_leader;
    uint8_t recovery; // enum image_recovery
    // While replicas move (KIP-455) the replicas are those that shall be, followed by those that go. Adding: those that
    // were none before the move; removing: those that will be none after it. One that an abandoned move had begun to add
    // is in both.
    uint8_t replica_count, isr_count, elr_count, adding_count, removing_count;
    uint16_t pad;
    // int32_t nodes[replica + isr + elr + adding + removing], then struct uuid directories[replica_count]
    int32_t nodes[];
};

static inline const int32_t *image_replicas(const struct image_partition *p)
{
    return p->nodes;
}

static inline const int32_t *image_isr(const struct image_partition *p)
{
    return p->nodes + p->replica_count;
}

static inline const int32_t *image_elr(const struct image_partition *p)
{
    return image_isr(p) + p->isr_count;
}

static inline const int32_t *image_adding(const struct image_partition *p)
{
    return image_elr(p) + p->elr_count;
}

static inline const int32_t *image_removing(const struct image_partition *p)
{
    return image_adding(p) + p->adding_count;
}

// The folder of replica i, in the order of image_replicas(); zero: not yet assigned.
static inline struct uuid image_directory(const struct image_partition *p, uint32_t i)
{
    struct uuid u;
    memcpy(&u, (const uint8_t *)(image_removing(p) + p->removing_count) + (size_t)i * sizeof(u), sizeof(u));
    return u;
}

// How many replicas count for min.insync.replicas: while a move is under way the fewer of before and after.
static inline uint32_t image_factor(const struct image_partition *p)
{
    return (uint32_t)(p->replica_count - (p->adding_count > p->removing_count ? p->adding_count : p->removing_count));
}

static inline bool image_is_moving(const struct image_partition *p)
{
    return p->adding_count || p->removing_count;
}

bool image_has_replica(const struct image_partition *p, int32_t node);
bool image_in_isr(const struct image_partition *p, int32_t node);

// Overrides of one resource, sorted by name. Counted; shared between versions.
struct image_configs {
    uint32_t refs; // private
    uint32_t count;
    struct config_pair pairs[];
};

// A consumer group with overrides; it need not exist.
struct image_group {
    uint32_t refs; // private
    uint16_t name_bytes;
    struct image_configs *configs;
    char name[]; // not terminated
};

struct image_groups { // in order of names
    uint32_t refs;    // private
    uint32_t count;
    struct image_group *at[];
};

static inline struct bytes image_group_name(const struct image_group *g)
{
    return bytes_of(g->name, g->name_bytes);
}

enum { IMAGE_CHUNK_PARTITIONS = 128, IMAGE_REPLICAS_MAX = 64 }; // replicas of one partition

struct image_chunk {
    uint32_t refs; // private
    uint32_t count;
    uint64_t version; // private: the working version that may still change it
    struct image_partition *at[];
};

struct image_topic {
    uint32_t refs;    // private
    uint64_t version; // private, as in image_chunk
    struct uuid id;
    int32_t partition_count;
    uint32_t chunk_count;
    struct image_chunk **chunks;
    struct image_configs *configs; // NULL: none
    uint64_t changed_index;        // Raft index of the last change of this topic, its configs or partitions
    uint64_t configs_index;        // and of its configs alone: key for caches of struct topic_config
    uint16_t name_bytes;
    char name[]; // zero-terminated
};

static inline struct bytes image_topic_name(const struct image_topic *t)
{
    return bytes_of(t->name, t->name_bytes);
}

struct image_listener {
    const char *name, *host;
    uint16_t port;
    int16_t protocol; // Kafka's SecurityProtocol
};

struct image_node {
    uint32_t refs; // private
    int32_t id;
    struct uuid incarnation;
    int64_t broker_epoch; // Raft index of the registration
    bool fenced, in_shutdown;
    const char *rack; // NULL: none
    uint32_t listener_count, directory_count, feature_count;
    const struct image_listener *listeners;
    const struct uuid *directories;
    const struct image_feature_range *features;
    const char *peer_host; // NULL: no peer port
    uint16_t peer_port;
};

struct image_feature_range {
    const char *name;
    int16_t min, max;
};

struct image_feature {
    char name[32];
    int16_t level;
};

enum { IMAGE_NODES_MAX = 128, IMAGE_FEATURES_MAX = 16 };

// What partitions make of a node, counted as they change, so that nobody has to walk over them.
struct image_share {
    int32_t node;
    uint32_t replicas;
    uint32_t leads;
    uint32_t preferred; // it is the first replica
    uint32_t away;      // of those: another one leads, or none
};
// Kafka's ConfigResource numbers of what can have dynamic configuration.
enum { CONFIG_RESOURCE_TOPIC = 2, CONFIG_RESOURCE_BROKER = 4, CONFIG_RESOURCE_GROUP = 32 };

// What changed from the version before to this one, for those who keep something derived from it.
enum image_change_kind { IMAGE_TOPIC_CREATED, IMAGE_TOPIC_CHANGED, IMAGE_TOPIC_DELETED };

struct image_change {
    enum image_change_kind kind;
    struct uuid topic_id;
};

struct image_changes {
    bool everything; // look at the whole image: after start, a snapshot, or too many changes to list
    bool nodes, broker_configs, features;
    struct image_change *topics; // a topic may stand here more than once
    uint32_t topic_count, topic_cap;
};

struct image_tree_node;

struct image {
    uint32_t refs;        // private
    uint64_t version;     // private: one more than the base's; what bears it is not shared yet
    uint64_t index, term; // of the last entry applied
    struct image_tree_node *by_name, *by_id;
    uint32_t topic_count;
    uint64_t partition_count;
    uint32_t node_count;
    struct image_node *nodes[IMAGE_NODES_MAX];                 // by id
    struct image_configs *broker_configs[IMAGE_NODES_MAX + 1]; // [0]: of all brokers; [i + 1]: of config_nodes[i]
    int32_t config_nodes[IMAGE_NODES_MAX];
    uint32_t config_node_count;
    uint64_t broker_configs_index; // Raft index of the last change of any of them
    struct image_groups *groups;   // NULL: none has configuration
    int64_t next_producer_id;
    struct image_feature features[IMAGE_FEATURES_MAX];
    uint32_t feature_count;
    struct image_changes changes;
    struct image_share shares[IMAGE_NODES_MAX]; // by node; of those that hold a replica
    uint32_t share_count;
    uint64_t leaderless_count; // partitions
    uint64_t elr_count;        // partitions whose ELR is not empty
    uint64_t unclean_index;    // Raft index of the last change of unclean.leader.election.enable, 0: not known
    uint64_t cost; // of what was applied to this version, about the bytes of records of new partitions
    bool poisoned; // private: memory ran out while applying; may only be given up
};

// ------------------------------------------------------------------------------------------------ life

// An empty image at index 0, one reference. NULL when memory is short.
struct image *image_create(void);
// One reference more or less; any shard.
const struct image *image_ref(const struct image *i);
void image_unref(const struct image *i);

// A version to be changed by its one owner, equal to base (which stays valid), with empty `changes`. NULL when memory
// is short. Publish it by handing it out as const; then it must not be applied to any more.
struct image *image_begin(const struct image *base);

// Applies a whole entry of (index, term): records, each behind its length as a varint.
// RC_UNSUPPORTED, RC_UNSUPPORTED_VERSION: written by a newer program; the node must stop. RC_MALFORMED: no such record
// can have been decided here; the node must stop. RC_NOMEM: give the version up. Never skips.
enum rc image_apply_entry(struct image *w, struct bytes entry, uint64_t index, uint64_t term);
// The same in pieces: applies records of the entry until w->cost has reached cost_max, one at least; rest: in, those
// that are not applied yet; out, what is left. w is to be published only between entries.
enum rc image_apply_some(struct image *w, struct bytes *rest, uint64_t cost_max, uint64_t index, uint64_t term);

// ------------------------------------------------------------------------------------------------ reading

const struct image_topic *image_topic_by_name(const struct image *i, struct bytes name);
const struct image_topic *image_topic_by_id(const struct image *i, struct uuid id);
// The first topic in name order whose name is greater than `after` (or equal too, when inclusive); NULL at the end.
// bytes {NULL, 0} exclusive starts from the beginning. O(log n): for listings and their cursors.
const struct image_topic *image_topic_next(const struct image *i, struct bytes after, bool inclusive);
// A topic whose name would share metric names with name ('.' against '_'), or NULL. O(topics) only if name has more
// than eight of them.
const struct image_topic *image_topic_colliding(const struct image *i, struct bytes name);
// NULL when p is outside the topic.
const struct image_partition *image_partition(const struct image_topic *t, int32_t p);
const struct image_node *image_node(const struct image *i, int32_t id);
// The listener of that name of a node, or NULL.
const struct image_listener *image_listener(const struct image_node *n, struct bytes name);
// Nodes that are not fenced.
uint32_t image_live_count(const struct image *i);
// All zero for a node that holds no replica.
struct image_share image_share_of(const struct image *i, int32_t node);
// Level of a feature ("metadata.version"), 0 when not set.
int16_t image_feature_level(const struct image *i, const char *name);

struct config_layer image_topic_configs(const struct image_topic *t);
// Dynamic configuration of one broker, and (NODE_ID_NONE) of all.
struct config_layer image_broker_configs(const struct image *i, int32_t node);
struct config_layer image_group_configs(const struct image *i, struct bytes group);
// The layers for node's view of topic (NULL: only the broker layers) over its static properties.
struct config_layers image_layers(const struct image *i, const struct image_topic *t, int32_t node,
                                  struct config_layer properties);

struct config_layers image_group_layers(const struct image *i, struct bytes group, int32_t node,
                                        struct config_layer properties);

// True when a and b hold the same metadata (index, term and everything applied), compared through their snapshots.
bool image_equal(const struct image *a, const struct image *b);
