// SPDX-License-Identifier: Apache-2.0
//
// What readers may see of a partition, and who waits for more of it.
#include "engine/partition.h"
#include "engine/replica.h"
#include "engine/replica_nearest.h"

// ------------------------------------------------------------------------------------------------ reading

static enum rc check(const struct partition *p, int32_t current_leader_epoch, bool leader_only)
{
    if (p->state == PARTITION_DAMAGED || p->log.state == PLOG_DAMAGED)
        return RC_STORAGE_ERROR;
    if (p->state == PARTITION_OFFLINE || (p->state == PARTITION_ONLINE && log_dir_is_offline(p->log.dir)))
        return RC_STORAGE_ERROR;
    if (p->state == PARTITION_BLOCKED || (!p->leads && (leader_only || !p->replica || !p->replica->begun)))
        return RC_NOT_LEADER_OR_FOLLOWER;
    if (p->replica && shard_now_ns(p->es->shard) > quorum_lease_ns(p->es->engine->quorum))
        return RC_NOT_LEADER_OR_FOLLOWER; // cut off for so long that another one may lead
    if (current_leader_epoch != LEADER_EPOCH_NONE && current_leader_epoch < p->leader_epoch)
        return RC_FENCED_LEADER_EPOCH;
    if (current_leader_epoch != LEADER_EPOCH_NONE && current_leader_epoch > p->leader_epoch)
        return RC_UNKNOWN_LEADER_EPOCH;
    return RC_OK;
}

enum rc partition_check(const struct partition *p, int32_t current_leader_epoch)
{
    return check(p, current_leader_epoch, true);
}

enum rc partition_check_reader(const struct partition *p, const struct partition_read *r,
                               const struct partition_client *client)
{
    return check(p, r->current_leader_epoch, r->by_replica || !client->any_replica);
}

int64_t partition_last_stable_offset(struct partition *p)
{
    int64_t unstable = plog_first_unstable_offset(&p->log);
    return unstable == OFFSET_NONE || unstable > p->high_watermark ? p->high_watermark : unstable;
}

// KIP-320: does the reader's history agree with ours up to where it wants to go on?
static bool partition_diverges(struct partition *p, struct partition_read *r)
{
    // What a follower does not have, its leader may.
    if (r->last_fetched_epoch == LEADER_EPOCH_NONE || r->last_fetched_epoch == p->leader_epoch || !p->leads)
        return false;
    int32_t epoch;
    int64_t end;
    if (plog_epoch_end(&p->log, r->last_fetched_epoch, &epoch, &end) != RC_OK)
        return false;
    if (epoch == LEADER_EPOCH_NONE) {
        // Newer than any record here, and older than this leader: whoever led then wrote what never came here. The log
        // knows of an epoch with its first record, so the largest at or below is the last one there is. An empty one knows
        // of none and cannot tell: what lies past its end goes, and what lies below is no worse than before; a smaller
        // epoch would have cut there, too, records that are committed.
        end = plog_written_end(&p->log);
        epoch = end > plog_start_offset(&p->log) ? plog_epoch_at(&p->log, end - 1) : r->last_fetched_epoch;
        if (epoch == LEADER_EPOCH_NONE || epoch > r->last_fetched_epoch)
            return false;
    }
    if (epoch == r->last_fetched_epoch && r->fetch_offset <= end)
        return false;
    r->diverging_epoch = epoch;
    r->diverging_end = end;
    return true;
}

int64_t partition_bound(struct partition *p, const struct partition_read *r)
{
    if (r->by_replica)
        return plog_written_end(&p->log);
    return r->committed ? partition_last_stable_offset(p) : p->high_watermark;
}

// A consumer asks beyond what there is, or below. Of a follower only who knows that it is one may believe that.
static enum rc out_of_range(const struct partition *p, const struct partition_read *r)
{
    bool knows = p->leads || r->current_leader_epoch != LEADER_EPOCH_NONE;
    return knows ? RC_OFFSET_OUT_OF_RANGE : RC_NOT_LEADER_OR_FOLLOWER;
}

bool partition_read(struct engine_shard *es, struct partition_read *r, const struct partition_client *client,
                    struct plog_wait *wait)
{
    struct partition *p = partition_find(es, r->id);
    r->slice = (struct plog_slice){0};
    r->older_segment = r->counts = r->held_back = false;
    r->high_watermark = r->last_stable_offset = r->log_start_offset = OFFSET_NONE;
    r->diverging_epoch = LEADER_EPOCH_NONE;
    r->preferred = NODE_ID_NONE;
    r->leader_epoch = p ? p->leader_epoch : LEADER_EPOCH_NONE;
    r->rc = p ? partition_check_reader(p, r, client) : RC_NOT_LEADER_OR_FOLLOWER;
    if (r->rc != RC_OK || (r->rc = partition_learn_ends(p)) != RC_OK)
        return true;
    r->high_watermark = p->high_watermark;
    r->last_stable_offset = partition_last_stable_offset(p);
    r->log_start_offset = plog_start_offset(&p->log);
    if (!r->by_replica && client->rack.n && (r->preferred = replica_nearest(p, r->fetch_offset, client)) != NODE_ID_NONE)
        return true;
    if (r->last_fetched_epoch != LEADER_EPOCH_NONE && r->last_fetched_epoch != p->leader_epoch &&
        (r->rc = partition_open(p)) != RC_OK)
        return true;
    if (partition_diverges(p, r))
        return true;
    if (r->fetch_offset < r->log_start_offset || r->fetch_offset > plog_written_end(&p->log)) {
        r->rc = out_of_range(p, r);
        return true;
    }
    if (r->by_replica && (r->rc = replica_fetched(p, r)) != RC_OK)
        return true;
    r->high_watermark = p->high_watermark; // what a replica says may have moved it
    r->last_stable_offset = partition_last_stable_offset(p);
    int64_t bound = r->bound = partition_bound(p, r);
    r->counts = r->by_replica && throttle_list_has(&p->settings->leads, r->id.partition);
    r->held_back = r->counts && !replica_in_sync(p, r->replica) &&
                   repl_throttle_wait_ns(&es->engine->leader_throttle, shard_now_ns(es->shard)) > 0;
    if (r->held_back)
        return true;
    if (r->fetch_offset >= bound || r->bytes_max == 0 || (r->rc = partition_open(p)) != RC_OK)
        return true;
    struct plog_read read = {
        .offset = r->fetch_offset, .bound = bound, .bytes_max = r->bytes_max, .at_least_one = r->at_least_one};
    r->rc = plog_read(&p->log, &read, &r->slice, wait);
    if (r->rc == RC_AGAIN)
        return false;
    r->older_segment = r->rc == RC_OK && plog_is_on_older_segment(&p->log, r->fetch_offset, bound);
    if (r->rc == RC_CORRUPT || r->rc == RC_IO || r->rc == RC_OFFLINE || r->rc == RC_NO_FILES)
        trace_error(es->engine->config.trace, "reading %s-%d at %lld: %s", p->topic->name, p->id.partition,
                    (long long)r->fetch_offset, rc_text(r->rc));
    return true;
}

// ------------------------------------------------------------------------------------------------ waiting

void partition_watch(struct partition *p, struct partition_watch *w)
{
    w->p = p;
    list_push_back(&p->watches, &w->link);
}

void partition_unwatch(struct partition_watch *w)
{
    if (!w->p)
        return;
    list_remove(&w->p->watches, &w->link);
    w->p = NULL;
}

// Tells consumers one thing and replicas another.
static void watches_fire(struct partition *p, enum partition_news consumers, enum partition_news replicas, uint64_t bytes)
{
    for (struct list_node *n = list_first(&p->watches), *next; n; n = next) {
        next = list_next(&p->watches, n); // fire() may take away the watch it is given, no other
        struct partition_watch *w = list_entry(n, struct partition_watch, link);
        w->fire(w, w->by_replica ? replicas : consumers, bytes);
    }
}

// Bytes were appended, which replicas may have.
static void partition_tell_appended(struct partition *p, uint64_t bytes)
{
    for (struct list_node *n = list_first(&p->watches), *next; n; n = next) {
        next = list_next(&p->watches, n);
        struct partition_watch *w = list_entry(n, struct partition_watch, link);
        if (w->by_replica)
            w->fire(w, PARTITION_MORE, bytes);
    }
}

void partition_tell_committed(struct partition *p, uint64_t bytes)
{
    watches_fire(p, PARTITION_MORE, PARTITION_MOVED, bytes);
}

void partition_tell_start(struct partition *p)
{
    for (struct list_node *n = list_first(&p->watches), *next; n; n = next) {
        next = list_next(&p->watches, n);
        struct partition_watch *w = list_entry(n, struct partition_watch, link);
        w->fire(w, w->offset < plog_start_offset(&p->log) ? PARTITION_ANEW : PARTITION_MOVED, 0);
    }
}

void partition_tell_anew(struct partition *p)
{
    watches_fire(p, PARTITION_ANEW, PARTITION_ANEW, 0);
}

void partition_advance(struct partition *p)
{
    int64_t end = plog_offered_end(&p->log);
    if (p->replica) {
        uint64_t appended = p->bytes_added;
        p->bytes_added = 0;
        if (appended && !list_empty(&p->watches))
            partition_tell_appended(p, appended);
        replica_appended(p);
        return;
    }
    // One of several whose role has ended, as in a stop, no more knows what is committed than it did.
    if (end <= p->high_watermark || replica_expected(p)) {
        p->bytes_added = 0;
        return;
    }
    p->high_watermark = end; // one replica: the maximal ISR is the leader
    plog_note_high_watermark(&p->log, end);
    uint64_t bytes = p->bytes_added;
    p->bytes_added = 0;
    if (!list_empty(&p->watches))
        partition_tell_committed(p, bytes);
}
