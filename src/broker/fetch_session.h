// SPDX-License-Identifier: Apache-2.0
//
// Fetch sessions (KIP-227): what a consumer asked for is remembered, so that its next request names only what changed
// and its answer only what has news. A bounded number a shard; the least recently used idle one makes room. A session
// belongs to the shard that made it: its id names the shard, and a request that comes in on another shard's connection
// is answered FETCH_SESSION_ID_NOT_FOUND, on which clients begin anew.
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/rc.h"
#include "model/ids.h"
#include "wire/messages.h"

enum { FETCH_SESSION_NONE = 0, FETCH_EPOCH_FULL = 0, FETCH_EPOCH_SESSIONLESS = -1, FETCH_SESSION_PARTITIONS_MAX = 100000 };

// One partition of a session (or of a request without one).
struct fetch_partition {
    struct map_node node;
    struct list_node link; // fetch_session.order
    struct uuid topic_id;
    struct bytes topic; // name, behind the struct
    int32_t partition;
    // as asked for
    int64_t fetch_offset;
    int64_t log_start_told; // a replica's own log start
    int32_t bytes_max;
    int32_t current_leader_epoch, last_fetched_epoch;
    // as last answered
    int64_t high_watermark, last_stable_offset, log_start_offset;
    int16_t error_code;
    bool answered; // at least once
    char name[];
};

struct fetch_session {
    struct map_node node; // cache, by id
    struct list_node lru;
    int32_t id, epoch;
    bool by_id;  // topics are named by id (Fetch 13 on); names and ids are never mixed
    bool in_use; // a request is being served
    bool closed; // while in use: goes when that ends
    uint64_t used_ns;
    struct map partitions;
    struct list order; // served in this order; a partition that gave data moves to the end
};

struct fetch_session_cache {
    struct map sessions;
    struct list lru;
    uint32_t sessions_max;
    struct prng *prng;
    uint64_t partitions; // cached, all sessions together
};

void fetch_session_cache_init(struct fetch_session_cache *c, uint32_t sessions_max, struct prng *prng);
void fetch_session_cache_deinit(struct fetch_session_cache *c);

// What a request is to the cache.
struct fetch_context {
    enum rc rc;                    // RC_OK, or the top-level error of the answer
    struct fetch_session *session; // NULL: sessionless
    bool full;                     // every partition is answered, news or not
    int32_t session_id;            // for the answer
};

// Applies the session part of a request (version 7 on; earlier ones are sessionless): finds, makes, updates or closes
// its session. With a session, its partitions in `order` are what is fetched; without, those in the request.
// context->session is in use until fetch_session_done(). Errors in context->rc: RC_FETCH_SESSION_ID_NOT_FOUND,
// RC_INVALID_FETCH_SESSION_EPOCH, RC_FETCH_SESSION_TOPIC_ID_ERROR.
void fetch_session_begin(struct fetch_session_cache *c, const struct fetch_request *request, int16_t version,
                         uint64_t now_ns, struct fetch_context *context);
void fetch_session_done(struct fetch_session_cache *c, struct fetch_context *context);
// Notes what is answered for p; true when that is news for the client: data, an error, or moved offsets.
bool fetch_session_note(struct fetch_session *s, struct fetch_partition *p, int16_t error_code, size_t bytes,
                        int64_t high_watermark, int64_t last_stable_offset, int64_t log_start_offset);
