// SPDX-License-Identifier: Apache-2.0
//
// One broker's fetch session. A request names what changed since the last and what is not wanted any more; after any doubt
// it names everything and the broker opens a new session.
#include "client/consumer_node.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "model/kerr.h"

enum {
    FETCH_KEY = 1,
    FETCH_VERSION_SESSIONS = 7,
    FETCH_VERSION_TOPIC_IDS = 13,
    FETCH_VERSION_MAX = 17,
    KERR_OFFSET_OUT_OF_RANGE = 1,
    KERR_SESSION_NOT_FOUND = 70,
    KERR_SESSION_EPOCH = 71,
    CONSUMER_RETRY_MS = 100,
    CONSUMER_TIMEOUT_SLACK_MS = 10000,
    CONSUMER_PARTITION_BYTES_MAX = 1 << 30,
};

struct consumer_node *consumer_node_of(struct consumer *c, int32_t id)
{
    struct consumer_node *n = c->nodes;
    while (n && n->id != id)
        n = n->next;
    if (n)
        return n;
    n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->consumer = c;
    n->id = id;
    n->full = true;
    client_request_init(&n->request, &fetch_request_message, c->config.max_wait_ms + CONSUMER_TIMEOUT_SLACK_MS);
    n->next = c->nodes;
    c->nodes = n;
    return n;
}

void consumer_node_free(struct consumer_node *n)
{
    client_request_deinit(&n->request);
    free(n->topics);
    free(n->partitions);
    free(n->left_topics);
    free(n->left);
    free(n);
}

static void retry_later(struct consumer *c, struct consumer_partition *p)
{
    p->retry_ns = shard_now_ns(c->client->shard) + CONSUMER_RETRY_MS * UINT64_C(1000000);
    client_refresh(c->client);
    consumer_pump_later(c);
}

static void reset_session(struct consumer_node *n)
{
    n->session_id = 0;
    n->epoch = 0;
    n->full = true;
}

// ------------------------------------------------------------------------------------------------ what an answer
// brings

// Aborted transactions that cover a partition's answer; a producer leaves the list at its abort marker.
struct aborted {
    struct fetch_response_aborted_transaction *items;
    uint32_t count;
};

static bool is_aborted(const struct aborted *a, const struct batch_header *h)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (a->items[i].producer_id == h->producer_id && a->items[i].first_offset <= h->base_offset)
            return true;
    return false;
}

// A control record's key: version i16, type i16; type 0 is an abort.
static void note_marker(struct aborted *a, const struct batch_header *h, struct bytes batch)
{
    struct batch_iter it;
    struct record r;
    batch_iter_init(&it, h, bytes_of(batch.p + BATCH_HEADER_BYTES, batch.n - BATCH_HEADER_BYTES));
    if (!batch_iter_next(&it, &r) || r.key.n < 4 || be16(r.key.p + 2) != 0)
        return;
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->items[i].producer_id == h->producer_id && a->items[i].first_offset <= h->base_offset) {
            a->items[i] = a->items[--a->count];
            return;
        }
    }
}

// Whole batches of `records` one by one.
static bool next_batch(struct bytes *records, struct batch_header *h, struct bytes *batch)
{
    if (batch_header_read(*records, h) != RC_OK)
        return false;
    *batch = bytes_of(records->p, batch_bytes(h));
    *records = bytes_of(records->p + batch->n, records->n - batch->n);
    return true;
}

// Where reading goes on after these records.
static int64_t offset_behind(struct bytes records, int64_t offset)
{
    struct batch_header h;
    struct bytes batch;
    while (next_batch(&records, &h, &batch))
        if (batch_last_offset(&h) >= offset)
            offset = batch_last_offset(&h) + 1;
    return offset;
}

static void hand_on(struct consumer *c, struct consumer_partition *p, const struct fetch_response_partition *answer,
                    int64_t from)
{
    struct bytes records = answer->records.bytes, batch;
    struct aborted aborted = {.items = answer->aborted_transactions, .count = answer->aborted_transactions_count};
    struct batch_header h;
    while (!c->stopped && !p->stopped && next_batch(&records, &h, &batch)) {
        if (batch_last_offset(&h) < from)
            continue;
        if (c->config.check_crc && !batch_crc_ok(batch)) {
            p->offset = h.base_offset > from ? h.base_offset : from;
            consumer_pause(p);
            c->config.error(c, p, RC_CORRUPT, 0);
            return;
        }
        if (h.attributes & BATCH_ATTR_CONTROL)
            note_marker(&aborted, &h, batch);
        else if (!c->config.read_committed || !(h.attributes & BATCH_ATTR_TRANSACTIONAL) || !is_aborted(&aborted, &h))
            c->config.batch(c, p, &h, batch, from);
    }
}

// ------------------------------------------------------------------------------------------------ answers

static struct consumer_partition *find_partition(struct consumer_node *n, const struct fetch_response_response *t,
                                                 int32_t index)
{
    for (struct consumer_topic *k = n->consumer->topics; k; k = k->next) {
        bool same = n->request.version >= FETCH_VERSION_TOPIC_IDS ? uuid_eq(k->topic->id, t->topic_id)
                                                                  : bytes_eq(bytes_str(k->topic->name), t->topic);
        if (same)
            return index >= 0 && index < k->count ? k->partitions[index] : NULL;
    }
    return NULL;
}

// Errors of one partition. True when it has none.
static bool check_partition(struct consumer_node *n, struct consumer_partition *p,
                            const struct fetch_response_partition *answer)
{
    struct consumer *c = n->consumer;
    if (answer->error_code == 0)
        return true;
    if (answer->error_code != KERR_OFFSET_OUT_OF_RANGE && kerr_retriable(answer->error_code)) {
        p->node = NULL;
        n->full = true;
        retry_later(c, p);
        return false;
    }
    consumer_pause(p);
    c->config.error(c, p, RC_OK, answer->error_code);
    return false;
}

struct taken {
    struct consumer_partition *p;
    const struct fetch_response_partition *answer;
    int64_t from;
};

// First half: offsets move, so that the next fetch can leave. Returns how many partitions brought something to hand on.
static uint32_t take_offsets(struct consumer_node *n, const struct fetch_response *answer, struct taken *taken)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < answer->responses_count; i++) {
        for (uint32_t k = 0; k < answer->responses[i].partitions_count; k++) {
            const struct fetch_response_partition *a = &answer->responses[i].partitions[k];
            struct consumer_partition *p = find_partition(n, &answer->responses[i], a->partition_index);
            // Sought or assigned anew since it was asked for: the answer is to an older question.
            if (!p || p->stopped || p->node != n || p->session_offset != p->offset || !check_partition(n, p, a))
                continue;
            p->high_watermark = a->high_watermark;
            p->log_start = a->log_start_offset;
            int64_t behind = offset_behind(a->records.bytes, p->offset);
            n->consumer->bytes += a->records.bytes.n;
            // A batch that does not fit even alone: ask for more at a time.
            if (behind == p->offset && a->records.bytes.n > 0 && p->bytes_max < CONSUMER_PARTITION_BYTES_MAX)
                p->bytes_max *= 2;
            taken[count++] = (struct taken){.p = p, .answer = a, .from = p->offset};
            p->offset = behind;
        }
    }
    return count;
}

static void take_answer(struct consumer_node *n, const struct fetch_response *answer, struct arena *a)
{
    struct consumer *c = n->consumer;
    size_t most = 0;
    for (uint32_t i = 0; i < answer->responses_count; i++)
        most += answer->responses[i].partitions_count;
    struct taken *taken = arena_array(a, most + 1, sizeof(*taken));
    if (!taken) {
        reset_session(n);
        return;
    }
    n->session_id = answer->session_id;
    n->epoch = answer->session_id ? (n->epoch == INT32_MAX ? 1 : n->epoch + 1) : 0;
    if (!answer->session_id)
        n->full = true;
    uint32_t count = take_offsets(n, answer, taken);
    n->busy = false;
    consumer_node_pump(n);
    struct client_connection *at = client_connection_of(c->client, n->id);
    if (at)
        client_connection_push(at);
    for (uint32_t i = 0; i < count && !c->stopped; i++) {
        if (taken[i].p->stopped)
            continue;
        hand_on(c, taken[i].p, taken[i].answer, taken[i].from);
        if (c->config.progress && !taken[i].p->stopped)
            c->config.progress(c, taken[i].p);
    }
}

static void on_answer(struct client_request *r, enum rc rc, struct bytes body)
{
    struct consumer_node *n = container_of(r, struct consumer_node, request);
    struct consumer *c = n->consumer;
    struct fetch_response answer;
    _Alignas(16) uint8_t scratch[8192];
    struct arena a;
    if (rc == RC_CLOSED)
        return;
    arena_init(&a, 64 << 20, scratch, sizeof(scratch));
    if (rc == RC_OK) {
        struct dec d = dec_of(body);
        rc = fetch_response_decode(&d, r->version, &a, &answer);
    }
    c->fetches++;
    if (rc == RC_OK && answer.error_code == 0) {
        take_answer(n, &answer, &a);
    } else {
        n->busy = false;
        reset_session(n);
        bool session =
            rc == RC_OK && (answer.error_code == KERR_SESSION_NOT_FOUND || answer.error_code == KERR_SESSION_EPOCH);
        for (struct consumer_partition *p = c->partitions; p && !session; p = p->next)
            if (p->node == n)
                retry_later(c, p);
        if (session)
            consumer_pump_later(c);
    }
    arena_deinit(&a);
}

// ------------------------------------------------------------------------------------------------ requests

static bool make_room(struct consumer_node *n, uint32_t count)
{
    if (count <= n->cap)
        return true;
    struct fetch_request_partition *p = realloc(n->partitions, count * sizeof(*p));
    if (p)
        n->partitions = p;
    struct fetch_request_topic *t = realloc(n->topics, count * sizeof(*t));
    if (t)
        n->topics = t;
    struct fetch_request_forgotten_topics_data *l = realloc(n->left_topics, count * sizeof(*l));
    if (l)
        n->left_topics = l;
    int32_t *i = realloc(n->left, count * sizeof(*i));
    if (i)
        n->left = i;
    if (!p || !t || !l || !i)
        return false;
    n->cap = count;
    return true;
}

// Partitions of one topic that belong into this request, written behind each other from `at` on.
static uint32_t add_topic(struct consumer_node *n, struct consumer_topic *t, bool full, uint32_t at)
{
    uint32_t count = 0;
    uint64_t now = shard_now_ns(n->consumer->client->shard);
    for (int32_t i = 0; i < t->count; i++) {
        struct consumer_partition *p = t->partitions[i];
        if (!p || p->stopped || p->node != n || p->retry_ns > now || (!full && p->session_offset == p->offset))
            continue;
        struct fetch_request_partition *r = &n->partitions[at + count++];
        fetch_request_partition_init(r);
        r->partition = i;
        r->fetch_offset = p->session_offset = p->offset;
        r->partition_max_bytes = (int32_t)p->bytes_max;
        r->current_leader_epoch = t->topic->partitions[i].leader_epoch;
    }
    return count;
}

// The same of those that the session is to forget.
static uint32_t add_left(struct consumer_node *n, const struct consumer_topic *t, uint32_t at)
{
    uint32_t count = 0;
    for (int32_t i = 0; i < t->count; i++) {
        struct consumer_partition *p = t->partitions[i];
        if (!p || p->left != n)
            continue;
        p->left = NULL;
        n->left[at + count++] = i;
    }
    return count;
}

static void build_left(struct consumer_node *n, bool full)
{
    uint32_t left = 0;
    for (struct consumer_topic *t = n->consumer->topics; t; t = t->next) {
        uint32_t count = add_left(n, t, left);
        if (count == 0 || full)
            continue; // who is not named in a full request is forgotten
        struct fetch_request_forgotten_topics_data *out = &n->left_topics[n->in.forgotten_topics_data_count++];
        fetch_request_forgotten_topics_data_init(out);
        out->topic = bytes_str(t->topic->name);
        out->topic_id = t->topic->id;
        out->partitions = &n->left[left];
        out->partitions_count = count;
        left += count;
    }
    n->in.forgotten_topics_data = n->left_topics;
}

// Fills n->in. False when there is nothing to ask for.
static bool build(struct consumer_node *n, bool full)
{
    struct consumer *c = n->consumer;
    uint32_t topics = 0, partitions = 0;
    for (struct consumer_topic *t = c->topics; t; t = t->next) {
        uint32_t count = add_topic(n, t, full, partitions);
        if (count == 0)
            continue;
        fetch_request_topic_init(&n->topics[topics]);
        n->topics[topics].topic = bytes_str(t->topic->name);
        n->topics[topics].topic_id = t->topic->id;
        n->topics[topics].partitions = &n->partitions[partitions];
        n->topics[topics++].partitions_count = count;
        partitions += count;
        if (uuid_is_zero(t->topic->id))
            n->request.version_max = FETCH_VERSION_TOPIC_IDS - 1;
    }
    fetch_request_init(&n->in);
    n->in.replica_id = -1;
    n->in.max_wait_ms = (int32_t)c->config.max_wait_ms;
    n->in.min_bytes = (int32_t)c->config.min_bytes;
    n->in.max_bytes = (int32_t)c->config.max_bytes;
    n->in.isolation_level = c->config.read_committed;
    n->in.session_id = n->session_id;
    n->in.session_epoch = full ? 0 : n->epoch; // with an id: closes that session and opens a new one
    n->in.topics = n->topics;
    n->in.topics_count = topics;
    build_left(n, full);
    return topics > 0 || !full;
}

void consumer_node_pump(struct consumer_node *n)
{
    struct consumer *c = n->consumer;
    struct client_connection *at = client_connection_of(c->client, n->id);
    uint32_t members = 0, left = 0;
    uint64_t now = shard_now_ns(c->client->shard);
    if (n->busy || c->stopped || !at)
        return;
    for (struct consumer_partition *p = c->partitions; p; p = p->next) {
        members += p->node == n && !p->stopped && p->retry_ns <= now;
        left += p->left == n;
    }
    if (members == 0 || !make_room(n, members > left ? members : left))
        return;
    // Brokers older than sessions want everything every time.
    int16_t version = at->versions[FETCH_KEY].max;
    bool full = n->full || n->session_id == 0 || (version >= 0 && version < FETCH_VERSION_SESSIONS);
    n->request.version_max = FETCH_VERSION_MAX;
    if (!build(n, full))
        return;
    if (full) {
        n->full = false;
        n->epoch = 0;
    }
    n->busy = true;
    n->request.in = &n->in;
    n->request.done = on_answer;
    client_connection_submit(at, &n->request);
}
