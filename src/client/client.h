// SPDX-License-Identifier: Apache-2.0
//
// A cluster as a client sees it: the brokers and one connection to each, the topics somebody asked about and who leads
// their partitions. Refreshes itself when told that what it knows is old. Producer, consumer and the command line stand
// on it. One shard owns a client; what waits here waits by turning that shard.
#pragma once

#include "base/map.h"
#include "client/connection.h"
#include "model/limits.h"

enum { CLIENT_NODE_ANY = -1, CLIENT_NODE_CONTROLLER = -2, CLIENT_ERROR_BYTES = 512, CLIENT_REFRESH_MS = 100 };

struct client_config {
    const char *bootstrap;        // "host:port[,host:port]"; a port left out is 9092
    const char *client_id;        // as brokers log it
    const char *software_version; // for ApiVersions
    uint32_t timeout_ms;          // of one request
    uint32_t refresh_ms;          // least time between two looks at the metadata; 0: CLIENT_REFRESH_MS
};

struct client_node {
    struct client_node *next;
    int32_t id; // negative: a bootstrap address, whose id is not known yet
    bool gone;  // no longer in the metadata, or moved to another address
    struct client_connection connection;
};

struct client_partition {
    int32_t leader_id; // -1: none
    int32_t leader_epoch;
    int16_t error_code;
};

// Lives as long as the client; refreshing changes it in place.
struct client_topic {
    struct map_node map_node;
    char name[TOPIC_NAME_BYTES_MAX + 1];
    struct uuid id;     // zero when the broker is too old to tell
    int16_t error_code; // of the last answer; 3: there is no such topic
    bool known;         // an answer was seen
    int32_t partition_count;
    struct client_partition *partitions;
};

struct client_watch;
// The metadata changed, or a refresh failed (rc).
typedef void (*client_watch_fn)(struct client_watch *w, enum rc rc);

struct client_watch {
    struct list_node link;
    client_watch_fn changed;
};

struct client {
    struct shard *shard;
    struct client_config config;
    struct client_node *nodes;
    struct map topics;
    int32_t controller_id; // -1: not known
    char cluster_id[64];
    char error[CLIENT_ERROR_BYTES]; // what went wrong last, for a person
    // private
    char *bootstrap;
    struct list watches;
    struct client_request refresh;
    struct metadata_request refresh_in;
    struct metadata_request_topic *refresh_topics;
    struct client_node *refresh_node;
    bool refresh_again, create_topics;
    struct shard_timer refresh_timer;
};

// Reads the bootstrap list; opens nothing. RC_INVALID (c->error says what), RC_NOMEM.
enum rc client_init(struct client *c, struct shard *shard, const struct client_config *config);
// Ends every connection; what is under way is given back with RC_CLOSED. Producers and consumers may be taken down
// then.
void client_close(struct client *c);
// client_close() and frees everything.
void client_deinit(struct client *c);

// Connects to the first bootstrap address that answers and learns the brokers. Waits. c->error says why it failed.
enum rc client_connect(struct client *c);

// The connection to a broker by id, to any (one that stands, if there is one), or to the controller (any while that one
// is not known or not among the brokers). NULL: no such broker.
struct client_connection *client_connection_of(struct client *c, int32_t node_id);

// Asks and waits. *out (of answer's type) and what it points to live in the arena. version_max limits the version;
// *version (may be NULL) is the one used. The rc is the transport's; c->error explains. Error codes inside the answer
// are the caller's to look at.
struct client_call {
    int32_t node_id;
    int16_t version_max; // 0 for no limit: INT16_MAX
    uint32_t timeout_ms; // 0 for the client's
    const struct schema_message *request, *answer;
    const void *in;
    void *out;
    struct arena *arena;
    int16_t version; // set: the version that was spoken
};
enum rc client_call(struct client *c, struct client_call *call);
// The same on a connection that is not one of the client's (node_id is not looked at).
enum rc client_call_on(struct client *c, struct client_connection *at, struct client_call *call);

// The topic's place in the cache, made if it is not there; nothing is asked yet. NULL: name too long or no memory.
struct client_topic *client_topic(struct client *c, const char *name);
// Asks about every topic of the cache, soon: at once, or config.refresh_ms after the last answer. Watches hear of it.
void client_refresh(struct client *c);
// client_refresh() and waits until the topic has partitions and each a leader. create: brokers that create topics on
// demand may. RC_UNKNOWN_TOPIC_OR_PARTITION, RC_TIMED_OUT, ...; c->error explains.
enum rc client_topic_wait(struct client *c, struct client_topic *t, bool create);

void client_watch(struct client *c, struct client_watch *w, client_watch_fn changed);
void client_unwatch(struct client *c, struct client_watch *w);

// Lets the shard work for so long.
void client_wait_ms(struct client *c, uint32_t ms);

// Formats c->error.
void client_explain(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
