// SPDX-License-Identifier: Apache-2.0
//
// Fetch sessions (KIP-227): what a consumer or a replica asked for is remembered, so that its next request names only
// what changed and its answer only what has news. A bounded number a shard; an idle one that was not used for long makes
// room for another, and one of a consumer for one of a replica at any time.
// A session belongs to the shard that made it: its id names the shard, and a request that comes in on another shard's
// connection is answered FETCH_SESSION_ID_NOT_FOUND, on which clients begin anew.
//
// A session hears of its partitions' news by itself: each is watched on its shard from its first read on, and one that has
// news, or more than what was read of it, stands in line there (fetch_share). A request reads who stands in line or is
// named in it, and nobody else: a thousand partitions at rest cost nothing. An incremental answer to a consumer that is
// full ends the reading; who was not reached is first in the next.
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "base/rc.h"
#include "engine/partition.h"
#include "model/ids.h"
#include "wire/messages.h"

enum { FETCH_SESSION_NONE = 0, FETCH_EPOCH_FULL = 0, FETCH_EPOCH_SESSIONLESS = -1, FETCH_SESSION_PARTITIONS_MAX = 100000 };

struct fetch_share;
struct fetch_leg;

// One partition as a session or a request wants it. Between requests `watch` and `line_link` are its shard's, the rest is
// its owner's; while a leg works there, all of it is the shard's.
struct fetch_item {
    struct partition_read read; // what is asked for, and after a read what was found
    struct partition_watch watch;
    struct list_node line_link; // share->line; without a share fetch_session.unplaced
    struct list_node link;      // passed on: session.named, share->named or ->leaving, leg->read or ->left, op.judged
    struct fetch_share *share;  // NULL: none yet, or the last read failed; the image says where it is
    struct bytes topic;         // as the request named it
    struct uuid asked_id;       // or so
    uint32_t bytes_max;
    size_t bytes_sent; // in the last answer: others come first in the next
    bool by_id, answered;
};

// What a session or a request wants of the partitions of one shard.
struct fetch_share {
    struct engine_shard *shard;
    bool lasting;    // a session's: watches stay from request to request
    uint32_t placed; // items that live here; the origin's
    struct list named;   // to be read next, whatever they had before; filled by the origin between calls
    struct list leaving; // to be let go at the next call; as above
    struct list line;    // to be read next, in this order; the shard's
    size_t looked_at;    // so many from its head at most were read for the last answer
    struct fetch_leg *waiting; // whose request wants to be woken; the shard's
    struct engine_call close_call;
    struct fetch_session *session; // NULL: of one request
};

// One partition of a session.
struct fetch_partition {
    struct map_node node;
    struct list_node link; // fetch_session.order
    struct fetch_item item;
    // as last answered
    int64_t high_watermark, last_stable_offset, log_start_offset;
    int16_t error_code;
    bool answered; // at least once
    char name[];
};

struct fetch_session {
    struct map_node node; // cache, by id
    struct list_node lru;
    struct fetch_session_cache *cache;
    int32_t id, epoch;
    bool by_id;  // topics are named by id (Fetch 13 on); names and ids are never mixed
    bool in_use; // a request is being served
    bool of_replica; // it may take the place of a consumer's
    bool closed; // while in use: goes when that ends
    uint64_t used_ns;
    struct map partitions;
    struct list order;    // in the order they came
    struct list named;    // struct fetch_item: by the request at hand
    struct list unplaced; // struct fetch_item: whose last read failed, or who were never on a shard
    struct engine_shard *home;
    struct fetch_share *shares; // by shard; NULL: nothing was read yet
    uint32_t share_count, shares_closing;
};

struct fetch_session_cache {
    struct map sessions;
    struct list lru;
    uint32_t sessions_max;
    struct prng *prng;
    uint64_t partitions; // cached, all sessions together
};

void fetch_session_cache_init(struct fetch_session_cache *c, uint32_t sessions_max, struct prng *prng);
// At the end, when no shard runs any more.
void fetch_session_cache_deinit(struct fetch_session_cache *c);

// What a request is to the cache.
struct fetch_context {
    enum rc rc;                    // RC_OK, or the top-level error of the answer
    struct fetch_session *session; // NULL: sessionless
    bool full;                     // every partition is answered, news or not
    int32_t session_id;            // for the answer
};

// Applies the session part of a request (version 7 on; earlier ones are sessionless): finds, makes, updates or closes
// its session. With a session, its partitions are what is fetched, and `named` those of the request; without, those in
// the request. context->session is in use until fetch_session_done(). Errors in context->rc:
// RC_FETCH_SESSION_ID_NOT_FOUND, RC_INVALID_FETCH_SESSION_EPOCH, RC_FETCH_SESSION_TOPIC_ID_ERROR.
void fetch_session_begin(struct fetch_session_cache *c, const struct fetch_request *request, int16_t version,
                         uint64_t now_ns, struct fetch_context *context);
void fetch_session_done(struct fetch_session_cache *c, struct fetch_context *context);
// The session ends; after its user, if a request is being served.
void fetch_session_close(struct fetch_session_cache *c, struct fetch_session *s);
// Notes what is answered for p; true when that is news for the client: data, an error, or moved offsets.
bool fetch_session_note(struct fetch_partition *p, int16_t error_code, size_t bytes, int64_t high_watermark,
                        int64_t last_stable_offset, int64_t log_start_offset);
// The next answer is news, whatever it says. Who is told to cut its log takes over nothing else of that answer, and would
// never hear of a watermark or a log start that stand still.
void fetch_session_tell_again(struct fetch_partition *p);
// Frees p, which was forgotten and is in nobody's hands any more.
void fetch_partition_free(struct fetch_partition *p);
// Takes the memory of s, of which every shard has let go (fetch_share.c).
void fetch_session_free(struct fetch_session *s);

// ------------------------------------------------------------------------------------------------ shares (fetch_share.c)

// One a shard, for s or (NULL) for one request.
void fetch_shares_init(struct fetch_share *shares, struct engine *engine, struct fetch_session *s);
// Gives s its shares. RC_NOMEM.
enum rc fetch_shares_make(struct fetch_session *s, struct engine_shard *home);
// Lets go of a session's partitions on every shard, then frees it.
void fetch_shares_close(struct fetch_session *s);
// On the share's shard: item is told of news from here on, if its partition is there.
void fetch_share_watch(struct fetch_share *share, struct fetch_item *item);
// The same: no more.
void fetch_share_drop(struct fetch_share *share, struct fetch_item *item);
