// SPDX-License-Identifier: Apache-2.0
//
// Joins a membership to a consumer. Everything here that waits is called from the owner's loop, never inside a turn:
// the turns it takes meanwhile bring heartbeats, answers and records.
#include "client/reader.h"

#include <stdlib.h>

#include "base/assert.h"
#include "client/group_offsets.h"
#include "client/offsets.h"
#include "model/ids.h"
#include "model/kerr.h"

enum {
    KERR_OFFSET_OUT_OF_RANGE = 1,
    KERR_REBALANCE_IN_PROGRESS = 27,
    READER_TURN_NS = 10 * 1000 * 1000,
    READER_LOOK_MS = 100
};

struct reader_config reader_config_default(const char *group_id)
{
    return (struct reader_config){.membership = membership_config_default(group_id),
                                  .consumer = consumer_config_default(),
                                  .auto_commit_ms = 5000,
                                  .commit_timeout_ms = 30000};
}

static void fail(struct reader *r, int16_t code)
{
    r->failed = true;
    r->code = code;
    consumer_stop(&r->consumer);
}

static struct group_asker asker(struct reader *r)
{
    struct membership *m = &r->membership;
    struct client_connection *at = &m->connection;
    if (m->join.busy || m->sync.busy) // nothing is heard behind those: by the connection others use, if there is one
        at = client_connection_of(r->client, m->coordinator_id);
    return (struct group_asker){.client = r->client,
                                .at = at ? at : &m->connection,
                                .group_id = m->config.group_id,
                                .member_id = m->member_id,
                                .instance_id = m->config.instance_id,
                                .generation = m->generation,
                                .new_protocol = m->config.protocol == MEMBERSHIP_CONSUMER,
                                .timeout_ms = r->config.commit_timeout_ms};
}

static uint64_t now_ns(const struct reader *r)
{
    return io_clock_ns(r->client->shard->io);
}

// Turns until the coordinator can be asked. False: not before the deadline, or never.
static bool wait_coordinator(struct reader *r, uint64_t deadline)
{
    struct membership *m = &r->membership;
    while (!m->found || !m->connection_open || now_ns(r) < m->retry_ns) {
        if (m->state == MEMBERSHIP_ENDED || now_ns(r) >= deadline)
            return false;
        shard_turn(r->client->shard, READER_TURN_NS);
    }
    return m->state != MEMBERSHIP_ENDED;
}

// ------------------------------------------------------------------------------------------------ records

static void on_batch(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct reader *r = c->config.owner;
    struct reader_partition *rp = p->owner;
    r->config.batch(r, rp, h, batch, from > rp->position ? from : rp->position);
}

static void on_progress(struct consumer *c, struct consumer_partition *p)
{
    struct reader *r = c->config.owner;
    struct reader_partition *rp = p->owner;
    if (r->config.progress)
        r->config.progress(r, rp);
    if (!c->stopped && p->offset > rp->position)
        rp->position = p->offset;
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    struct reader *r = c->config.owner;
    struct reader_partition *rp = p->owner;
    if (code == KERR_OFFSET_OUT_OF_RANGE && r->config.reset != READER_RESET_NONE) {
        rp->reset = true;
        return;
    }
    client_explain(r->client, "%s partition %d at offset %lld: %s", rp->topic->name, rp->index, (long long)p->offset,
                   code ? kerr_name(code) : rc_text(rc));
    fail(r, code ? code : -1);
}

// ------------------------------------------------------------------------------------------------ commits

static bool is_in(const struct membership_set *set, const struct reader_partition *p)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].topic == p->topic && set->items[i].index == p->index)
            return true;
    return false;
}

// What is to be committed of `only`, or of all, topic by topic.
static uint32_t gather(struct reader *r, const struct membership_set *only, struct group_offset *list,
                       struct reader_partition **from)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->membership.topic_count; i++) {
        for (struct reader_partition *p = r->partitions; p; p = p->next) {
            if (p->topic != r->membership.topics[i] || !p->reading || p->position == p->committed || p->position < 0)
                continue;
            if (only && !is_in(only, p))
                continue;
            from[n] = p;
            list[n++] = (struct group_offset){
                .topic = bytes_str(p->topic->name), .partition = p->index, .offset = p->position, .leader_epoch = -1};
        }
    }
    return n;
}

static int16_t first_error(const struct group_offset *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].error_code)
            return list[i].error_code;
    return 0;
}

static enum rc commit_list(struct reader *r, struct group_offset *list, uint32_t count)
{
    uint64_t deadline = now_ns(r) + r->config.commit_timeout_ms * UINT64_C(1000000);
    for (;;) {
        if (r->membership.generation < 0 || !wait_coordinator(r, deadline)) {
            client_explain(r->client,
                           "offsets of group '%s' could not be committed: no coordinator, or no member any more",
                           r->membership.config.group_id);
            return RC_TIMED_OUT;
        }
        struct group_asker who = asker(r);
        enum rc rc = group_offsets_commit(&who, list, count);
        int16_t code = rc == RC_OK ? first_error(list, count) : 0;
        if (rc == RC_OK && code == 0)
            return RC_OK;
        // A rebalance under way ends with a generation in which the offsets are welcome.
        bool again = membership_heard(&r->membership, who.generation, rc, code) || code == KERR_REBALANCE_IN_PROGRESS;
        if (!again || now_ns(r) >= deadline) {
            if (rc == RC_OK)
                client_explain(r->client, "offsets of group '%s' could not be committed: %s",
                               r->membership.config.group_id, kerr_name(code));
            return rc == RC_OK ? RC_INVALID_REQUEST : rc;
        }
        client_wait_ms(r->client, READER_LOOK_MS);
    }
}

static enum rc commit(struct reader *r, const struct membership_set *only)
{
    uint32_t most = 0;
    for (struct reader_partition *p = r->partitions; p; p = p->next)
        most++;
    struct group_offset *list = calloc((size_t)most + 1, sizeof(*list));
    struct reader_partition **from = calloc((size_t)most + 1, sizeof(struct reader_partition *));
    uint32_t n = list && from ? gather(r, only, list, from) : 0;
    enum rc rc = list && from ? RC_OK : RC_NOMEM;
    if (n > 0) {
        rc = commit_list(r, list, n);
        for (uint32_t i = 0; i < n && rc == RC_OK; i++)
            from[i]->committed = list[i].offset;
        if (r->config.committed)
            r->config.committed(r, list, n, rc);
    }
    free(list);
    free(from);
    return rc;
}

enum rc reader_commit(struct reader *r)
{
    return commit(r, NULL);
}

// ------------------------------------------------------------------------------------------------ where to begin

static void begin_at(struct reader *r, struct reader_partition *p, int64_t offset)
{
    p->position = offset;
    p->reset = false;
    if (p->reading) {
        consumer_seek(&r->consumer, p->reading, offset);
        return;
    }
    p->reading = consumer_assign(&r->consumer, p->topic, p->index, offset);
    if (!p->reading)
        fail(r, -1);
    else
        p->reading->owner = p;
}

static int64_t reset_timestamp(const struct reader *r, const struct reader_partition *p)
{
    if (p->to_end)
        return OFFSET_SPEC_LATEST;
    switch (r->config.reset) {
    case READER_RESET_EARLIEST:
        return OFFSET_SPEC_EARLIEST;
    case READER_RESET_TIME:
        return r->config.reset_timestamp;
    case READER_RESET_LATEST:
    case READER_RESET_NONE:
        return OFFSET_SPEC_LATEST;
    }
    UNREACHABLE();
}

// Asks the log of one topic where those that have to be reset begin.
static void reset_topic(struct reader *r, struct client_topic *t)
{
    struct client_offset list[64];
    uint32_t n = 0;
    for (struct reader_partition *p = r->partitions; p && n < ARRAY_COUNT(list); p = p->next)
        if (p->topic == t && p->reset)
            list[n++] = (struct client_offset){.partition = p->index, .timestamp = reset_timestamp(r, p)};
    if (n == 0)
        return;
    if (client_list_offsets(r->client, t, list, n, r->config.consumer.read_committed) != RC_OK)
        return; // the next poll tries again
    for (struct reader_partition *p = r->partitions; p; p = p->next) {
        for (uint32_t i = 0; i < n; i++) {
            if (p->topic != t || !p->reset || list[i].partition != p->index || list[i].error_code)
                continue;
            if (list[i].offset >= 0)
                begin_at(r, p, list[i].offset);
            p->to_end = list[i].offset < 0; // nothing that late: the next poll asks for the end
        }
    }
}

// One topic a poll: where its leaders are away this waits, and the group may have something to say meanwhile.
static void reset_some(struct reader *r)
{
    struct reader_partition *p = r->partitions;
    while (p && !p->reset)
        p = p->next;
    if (!p)
        return;
    if (r->config.reset != READER_RESET_NONE) {
        reset_topic(r, p->topic);
        return;
    }
    client_explain(r->client, "group '%s' has no offset for %s partition %d, and no policy says where to begin",
                   r->membership.config.group_id, p->topic->name, p->index);
    fail(r, -1);
}

static uint32_t gather_unknown(struct reader *r, struct group_offset *list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->membership.topic_count; i++)
        for (struct reader_partition *p = r->partitions; p; p = p->next)
            if (p->topic == r->membership.topics[i] && !p->reading && !p->reset && p->position < 0)
                list[n++] = (struct group_offset){.topic = bytes_str(p->topic->name), .partition = p->index};
    return n;
}

static void take_committed(struct reader *r, const struct group_offset *list, uint32_t count)
{
    for (struct reader_partition *p = r->partitions; p; p = p->next) {
        for (uint32_t i = 0; i < count; i++) {
            if (list[i].partition != p->index || list[i].error_code || p->reading ||
                !bytes_eq(list[i].topic, bytes_str(p->topic->name)))
                continue;
            p->committed = list[i].offset;
            if (list[i].offset >= 0)
                begin_at(r, p, list[i].offset);
            else
                p->reset = true;
        }
    }
}

// Asks for the offsets of what was assigned and does not read yet.
static void fetch_committed(struct reader *r)
{
    uint32_t most = 0;
    for (struct reader_partition *p = r->partitions; p; p = p->next)
        most += !p->reading && !p->reset && p->position < 0;
    if (most == 0 || now_ns(r) < r->look_due_ns || !wait_coordinator(r, now_ns(r)))
        return;
    struct group_offset *list = calloc(most, sizeof(*list));
    struct arena a;
    if (!list)
        return;
    arena_init(&a, 256 << 20, NULL, 0);
    uint32_t n = gather_unknown(r, list);
    struct group_asker who = asker(r);
    int16_t code = 0;
    enum rc rc = group_offsets_fetch(&who, list, n, true, &a, &code);
    if (rc == RC_OK && code == 0) {
        take_committed(r, list, n);
        code = first_error(list, n);
    }
    if (rc != RC_OK || code) {
        r->look_due_ns = now_ns(r) + READER_LOOK_MS * UINT64_C(1000000);
        bool again = membership_heard(&r->membership, who.generation, rc, code);
        if (!again && r->membership.state == MEMBERSHIP_STABLE && rc == RC_OK && !kerr_retriable(code)) {
            client_explain(r->client, "the offsets of group '%s' cannot be read: %s", r->membership.config.group_id,
                           kerr_name(code));
            fail(r, code);
        }
    }
    arena_deinit(&a);
    free(list);
}

// ------------------------------------------------------------------------------------------------ partitions

static void take_on(struct reader *r, const struct membership_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct reader_partition *p = calloc(1, sizeof(*p));
        if (!p) {
            client_explain(r->client, "out of memory");
            fail(r, -1);
            return;
        }
        *p = (struct reader_partition){.next = r->partitions,
                                       .reader = r,
                                       .topic = set->items[i].topic,
                                       .index = set->items[i].index,
                                       .position = -1,
                                       .committed = -1};
        r->partitions = p;
    }
    if (r->config.assigned)
        r->config.assigned(r, set);
}

static void give_up(struct reader *r, const struct membership_set *set)
{
    for (struct reader_partition **at = &r->partitions; *at;) {
        struct reader_partition *p = *at;
        if (!is_in(set, p)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        if (p->reading)
            consumer_unassign(&r->consumer, p->reading);
        free(p);
    }
}

static void pause_all(struct reader *r, const struct membership_set *set)
{
    for (struct reader_partition *p = r->partitions; p; p = p->next)
        if (p->reading && is_in(set, p))
            consumer_pause(p->reading);
}

// Copies: while a commit waits, the membership may change its mind about what is affected.
static struct membership_set copy_set(const struct membership_set *from)
{
    struct membership_set to = {.items = calloc((size_t)from->count + 1, sizeof(*to.items))};
    for (uint32_t i = 0; to.items && i < from->count; i++)
        to.items[to.count++] = from->items[i];
    return to;
}

static void on_revoked(struct reader *r, bool lost)
{
    struct membership_set set = copy_set(&r->membership.affected);
    pause_all(r, &set);
    if (!lost && r->config.auto_commit_ms)
        commit(r, &set); // what fails is read again by whoever comes next
    if (r->config.revoked)
        r->config.revoked(r, &set, lost);
    give_up(r, &set);
    free(set.items);
}

static void handle_event(struct reader *r)
{
    enum membership_event event = r->membership.event;
    switch (event) {
    case MEMBERSHIP_NOTHING:
        return;
    case MEMBERSHIP_REVOKED:
    case MEMBERSHIP_LOST:
        on_revoked(r, event == MEMBERSHIP_LOST);
        break;
    case MEMBERSHIP_ASSIGNED:
        take_on(r, &r->membership.affected);
        break;
    case MEMBERSHIP_FAILED:
        fail(r, r->membership.code);
        return;
    }
    // During a commit the group may have found us gone: then LOST stands there now, for the rest.
    if (r->membership.event == event)
        membership_event_done(&r->membership);
}

enum rc reader_poll(struct reader *r)
{
    while (r->membership.event != MEMBERSHIP_NOTHING && !r->failed)
        handle_event(r);
    if (!r->failed)
        fetch_committed(r);
    if (!r->failed)
        reset_some(r);
    uint64_t now = now_ns(r);
    if (!r->failed && r->config.auto_commit_ms && now >= r->commit_due_ns && r->membership.state == MEMBERSHIP_STABLE &&
        r->membership.event == MEMBERSHIP_NOTHING) {
        r->commit_due_ns = now + r->config.auto_commit_ms * UINT64_C(1000000);
        commit(r, NULL);
    }
    return r->failed ? RC_CLOSED : RC_OK;
}

// ------------------------------------------------------------------------------------------------ life

enum rc reader_init(struct reader *r, struct client *c, const struct reader_config *config,
                    struct client_topic *const *topics, uint32_t topic_count)
{
    *r = (struct reader){.client = c, .config = *config};
    ASSERT(config->batch);
    enum rc rc = membership_init(&r->membership, c, &config->membership, topics, topic_count);
    if (rc != RC_OK)
        return rc;
    r->open = true;
    struct consumer_config consumer = config->consumer;
    consumer.batch = on_batch;
    consumer.progress = on_progress;
    consumer.error = on_error;
    consumer.owner = r;
    rc = consumer_init(&r->consumer, c, &consumer);
    r->commit_due_ns = now_ns(r) + config->auto_commit_ms * UINT64_C(1000000);
    if (rc == RC_OK)
        membership_start(&r->membership);
    return rc;
}

enum rc reader_close(struct reader *r, uint32_t wait_ms)
{
    enum rc rc = RC_OK;
    consumer_stop(&r->consumer);
    if (r->config.commit_timeout_ms > wait_ms)
        r->config.commit_timeout_ms = wait_ms;
    if (r->config.auto_commit_ms && r->membership.state != MEMBERSHIP_ENDED)
        rc = commit(r, NULL);
    struct membership_set set = copy_set(&r->membership.owned);
    if (set.count > 0 && r->config.revoked)
        r->config.revoked(r, &set, r->membership.generation < 0);
    free(set.items);
    membership_leave(&r->membership, wait_ms);
    return rc;
}

void reader_deinit(struct reader *r)
{
    if (!r->open)
        return;
    consumer_deinit(&r->consumer);
    membership_deinit(&r->membership);
    for (struct reader_partition *p = r->partitions, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    r->open = false;
}
