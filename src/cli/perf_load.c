// SPDX-License-Identifier: Apache-2.0
//
// The produce load: slots hold one request each; a due request takes a free slot of the next client that has one. When
// none is free it waits, and its latency with it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/perf.h"
#include "model/kerr.h"
#include "wire/crc32c.h"

enum {
    BATCH_AT_CRC = 17,
    BATCH_AT_ATTRIBUTES = 21,
    BATCH_AT_PRODUCER_ID = 43,
    BATCH_AT_PRODUCER_EPOCH = 51,
    BATCH_AT_SEQUENCE = 53,
    PERF_STAMP_BYTES = 8,
    PERF_KEY_BYTES = 16,
};

// ------------------------------------------------------------------------------------------------ the batch

// Letters and digits, which compress to about three quarters.
static void fill_text(uint8_t *p, size_t n, struct prng *r)
{
    static const char letters[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)letters[prng_next(r) & 63];
}

// A batch of at most so many records (0: as many as fit).
static enum rc build_batch(struct perf_load *l, int64_t records_max, struct buf *out, int32_t *records)
{
    const struct perf_options *o = l->options;
    struct batch_options options = batch_options_default();
    struct batch_builder b;
    struct prng r;
    int64_t now_ms = io_wall_ms(l->cli->io);
    size_t n = (size_t)o->record_bytes;
    uint8_t *value = malloc(n + 1);
    enum rc rc = value ? RC_OK : RC_NOMEM;
    options.codec = (enum codec)o->codec;
    size_t bytes_max = l->stamped ? n + 256 : (size_t)o->batch_bytes;
    batch_builder_init(&b, &options, bytes_max < n + 256 ? n + 256 : bytes_max);
    prng_init(&r, 1);
    while (rc == RC_OK) {
        fill_text(value, n, &r);
        if (l->stamped)
            memset(value, 0xf5, PERF_STAMP_BYTES); // found again below
        uint8_t key[PERF_KEY_BYTES];
        fill_text(key, sizeof(key), &r);
        rc = batch_builder_add(&b, now_ms, o->keyed ? bytes_of(key, sizeof(key)) : bytes_of(NULL, 0), bytes_of(value, n),
                               NULL, 0);
        if (rc == RC_OK && (l->stamped || b.record_count == records_max))
            rc = RC_FULL; // one record a batch, or the last one wanted
    }
    *records = b.record_count;
    if (rc == RC_FULL)
        rc = batch_builder_finish(&b, out);
    if (rc == RC_OK && l->stamped) {
        memset(value, 0xf5, PERF_STAMP_BYTES);
        const uint8_t *at = memmem(out->p, out->n, value, PERF_STAMP_BYTES);
        l->stamp_at = at ? (size_t)(at - out->p) : 0;
        rc = at ? RC_OK : RC_INVALID;
    }
    batch_builder_deinit(&b);
    free(value);
    return rc;
}

// The batch that is sent over and over, and the last one of a bounded load.
static enum rc build_batches(struct perf_load *l)
{
    const int64_t wanted = l->options->records_max, most = l->options->batch_records;
    enum rc rc = build_batch(l, wanted && (!most || wanted < most) ? wanted : most, &l->batch, &l->records);
    if (rc != RC_OK || wanted == 0)
        return rc;
    l->requests_max = (uint64_t)((wanted + l->records - 1) / l->records);
    return wanted % l->records ? build_batch(l, wanted % l->records, &l->rest, &l->rest_records) : RC_OK;
}

// With keys the records of what would be one batch go to many partitions, each with a batch of its own in the one
// request: to as many as there are records, and as the broker that leads fewest of them leads.
static enum rc spread_keyed(struct perf_load *l, const struct client_topic *t)
{
    int32_t least = t->partition_count, most = l->records < PERF_SPREAD_MAX ? l->records : PERF_SPREAD_MAX;
    for (int32_t p = 0; p < t->partition_count; p++) {
        int32_t led = 0;
        for (int32_t q = 0; q < t->partition_count; q++)
            led += t->partitions[q].leader_id == t->partitions[p].leader_id;
        least = led < least ? led : least;
    }
    l->spread = least < most ? least : most;
    int64_t each = l->records / l->spread;
    l->batch.n = 0;
    return build_batch(l, each, &l->batch, &l->records);
}

static bool is_changed(const struct perf_load *l)
{
    return l->stamped || l->options->idempotent;
}

// ------------------------------------------------------------------------------------------------ opening

struct client_topic *perf_topic(struct cli *cli, struct client *client, const struct perf_options *o, bool create)
{
    enum { KERR_TOPIC_EXISTS = 36 };
    struct client_topic *t = client_topic(client, perf_topic_name(o));
    struct create_topics_request in;
    struct create_topics_response out;
    struct create_topics_request_topic topic;
    if (!t) {
        cli_fail(cli, "topic name '%s' is too long", perf_topic_name(o));
        return NULL;
    }
    if (create && client_topic_wait(client, t, false) == RC_UNKNOWN_TOPIC_OR_PARTITION) {
        create_topics_request_init(&in);
        create_topics_request_topic_init(&topic);
        topic.name = bytes_str(perf_topic_name(o));
        topic.num_partitions = (int32_t)o->partitions;
        topic.replication_factor = -1;
        in.topics = &topic;
        in.topics_count = 1;
        if (!cli_ask(cli, CLIENT_NODE_CONTROLLER, &create_topics_request_message, &in, &create_topics_response_message,
                     &out))
            return NULL;
        if (out.topics_count == 1 && out.topics[0].error_code && out.topics[0].error_code != KERR_TOPIC_EXISTS) {
            cli_fail_code(cli, "cannot create the topic", out.topics[0].error_code, out.topics[0].error_message);
            return NULL;
        }
        client_wait_ms(client, CLIENT_REFRESH_MS);
        t->error_code = 0; // what was heard before it was made
        t->known = false;
    }
    if (client_topic_wait(client, t, create) == RC_OK)
        return t;
    cli_fail(cli, "%s", client->error);
    return NULL;
}

static int ask_producer_id(struct perf_load *l, struct perf_client *c)
{
    struct init_producer_id_request in;
    struct init_producer_id_response out;
    init_producer_id_request_init(&in);
    in.transactional_id = bytes_of(NULL, 0);
    in.transaction_timeout_ms = 60000;
    in.producer_id = -1;
    in.producer_epoch = -1;
    struct client_call call = {.node_id = CLIENT_NODE_ANY,
                               .request = &init_producer_id_request_message,
                               .answer = &init_producer_id_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &l->cli->arena};
    if (client_call(&c->client, &call) != RC_OK)
        return cli_fail(l->cli, "%s", c->client.error);
    if (out.error_code)
        return cli_fail_code(l->cli, "no producer id was given", out.error_code, bytes_of(NULL, 0));
    c->producer_id = out.producer_id;
    c->producer_epoch = out.producer_epoch;
    c->sequences = cli_alloc(l->cli, (size_t)c->topic->partition_count, sizeof(*c->sequences));
    return CLI_OK;
}

static int open_slot(struct perf_load *l, struct perf_client *c, struct perf_slot *s)
{
    s->load = l;
    s->client = c;
    s->batch = l->batch.p;
    s->partitions = cli_alloc(l->cli, (size_t)l->spread, sizeof(*s->partitions));
    s->holes = cli_alloc(l->cli, (size_t)l->spread, sizeof(*s->holes));
    client_request_init(&s->request, &produce_request_message, (uint32_t)l->options->common.timeout_ms);
    if (is_changed(l)) {
        s->batch = cli_alloc(l->cli, l->batch.n, 1);
        memcpy(s->batch, l->batch.p, l->batch.n);
    }
    s->next_free = c->free_slots;
    c->free_slots = s;
    return CLI_OK;
}

int perf_load_open(struct perf_load *l)
{
    const struct perf_options *o = l->options;
    buf_init(&l->batch, 1 << 30);
    buf_init(&l->rest, 1 << 30);
    uint32_t clients = (uint32_t)o->clients, requests = (uint32_t)o->requests;
    const struct client_topic *t = NULL;
    if (!cli_connect(l->cli, &o->common) || !(t = perf_topic(l->cli, &l->cli->client, o, true)))
        return CLI_FAILED;
    l->spread = 1;
    enum rc rc = build_batches(l);
    if (rc == RC_OK && o->keyed)
        rc = spread_keyed(l, t);
    if (rc != RC_OK)
        return cli_fail(l->cli, "cannot build a batch: %s", rc_text(rc));
    l->clients = cli_alloc(l->cli, clients, sizeof(*l->clients));
    l->slots = cli_alloc(l->cli, (size_t)clients * requests, sizeof(*l->slots));
    for (uint32_t i = 0; i < clients; i++) {
        struct perf_client *c = &l->clients[i];
        if (!cli_connect_more(l->cli, &o->common, &c->client))
            return CLI_FAILED;
        if (o->retry_ms)
            c->client.config.refresh_ms = (uint32_t)o->retry_ms;
        c->topic = perf_topic(l->cli, &c->client, o, false);
        if (!c->topic)
            return CLI_FAILED;
        // Clients begin at different partitions, so that few of them do not all meet in one.
        c->next_partition = (int32_t)(i % (uint32_t)c->topic->partition_count);
        if (o->idempotent && ask_producer_id(l, c) != CLI_OK)
            return CLI_FAILED;
        for (uint32_t k = 0; k < requests; k++)
            open_slot(l, c, &l->slots[i * requests + k]);
    }
    l->again_end = &l->again;
    l->interval_ns = o->rate > 0 ? 1e9 * l->records * l->spread / (double)o->rate : 0;
    return CLI_OK;
}

void perf_load_close(struct perf_load *l)
{
    if (!l->clients)
        return;
    shard_timer_cancel(l->cli->shard, &l->timer);
    for (int64_t i = 0; i < l->options->clients; i++)
        if (l->clients[i].client.shard)
            client_deinit(&l->clients[i].client);
    for (int64_t i = 0; i < l->options->clients * l->options->requests; i++)
        if (l->slots[i].load)
            client_request_deinit(&l->slots[i].request);
    buf_deinit(&l->batch);
    buf_deinit(&l->rest);
}

// ------------------------------------------------------------------------------------------------ running

static void on_answer(struct client_request *r, enum rc rc, struct bytes body);

static void stamp(struct perf_load *l, struct perf_slot *s, int32_t partition)
{
    struct perf_client *c = s->client;
    uint8_t *p = s->batch;
    if (l->stamped)
        put_be64(p + l->stamp_at, s->due_ns);
    if (l->options->idempotent) {
        int32_t *sequence = &c->sequences[partition];
        put_be64(p + BATCH_AT_PRODUCER_ID, (uint64_t)c->producer_id);
        put_be16(p + BATCH_AT_PRODUCER_EPOCH, (uint16_t)c->producer_epoch);
        put_be32(p + BATCH_AT_SEQUENCE, (uint32_t)*sequence);
        *sequence = (int32_t)(((uint32_t)*sequence + (uint32_t)l->records) & INT32_MAX);
    }
    if (is_changed(l))
        put_be32(p + BATCH_AT_CRC, crc32c(0, p + BATCH_AT_ATTRIBUTES, l->batch.n - BATCH_AT_ATTRIBUTES));
}

// To the leader, as far as it is known.
static void submit(struct perf_load *l, struct perf_slot *s)
{
    struct client *c = &s->client->client;
    int32_t leader = s->client->topic->partitions[s->partitions[0].index].leader_id;
    struct client_connection *at = leader >= 0 ? client_connection_of(c, leader) : NULL;
    l->in_flight++;
    if (at)
        client_connection_submit(at, &s->request);
    else
        on_answer(&s->request, RC_UNREACHABLE, bytes_of(NULL, 0));
}

// The client's next partition, and those behind it that the same broker leads, up to the spread.
static void choose_partitions(struct perf_load *l, struct perf_slot *s, struct bytes batch)
{
    struct perf_client *c = s->client;
    const struct client_topic *t = c->topic;
    int32_t first = c->next_partition, p = first;
    c->next_partition = first + 1 == t->partition_count ? 0 : first + 1;
    s->count = 0;
    do {
        if (t->partitions[p].leader_id == t->partitions[first].leader_id)
            s->partitions[s->count++] = (struct produce_request_partition_data){
                .index = p, .records = {.bytes = {.n = batch.n}, .hole = batch.p}};
        p = p + 1 == t->partition_count ? 0 : p + 1;
    } while (s->count < l->spread && p != first);
}

static void send(struct perf_load *l, struct perf_client *c, uint64_t due_ns)
{
    static const int16_t acks[] = {-1, 1, 0};
    struct perf_slot *s = c->free_slots;
    c->free_slots = s->next_free;
    s->due_ns = due_ns;
    stamp(l, s, c->next_partition);
    const bool is_rest = l->rest_records && l->due_index == l->requests_max;
    const struct bytes batch = is_rest ? bytes_of(l->rest.p, l->rest.n) : bytes_of(s->batch, l->batch.n);
    choose_partitions(l, s, batch);
    s->records = (is_rest ? l->rest_records : l->records) * s->count;
    produce_request_init(&s->in);
    s->in.acks = acks[l->options->acks];
    s->in.timeout_ms = (int32_t)l->options->common.timeout_ms;
    s->in.topic_data = &s->topic;
    s->in.topic_data_count = 1;
    s->topic = (struct produce_request_topic_data){
        .name = bytes_str(c->topic->name), .partition_data = s->partitions, .partition_data_count = (uint32_t)s->count};
    s->request.in = &s->in;
    s->request.holes = s->holes;
    s->request.holes_max = (uint32_t)s->count;
    s->request.no_answer = s->in.acks == 0;
    s->request.done = on_answer;
    submit(l, s);
}

// The next client, in turn, that has a free slot.
static struct perf_client *free_client(struct perf_load *l)
{
    for (int64_t i = 0; i < l->options->clients; i++) {
        struct perf_client *c = &l->clients[l->client_next];
        l->client_next = l->client_next + 1 == (uint32_t)l->options->clients ? 0 : l->client_next + 1;
        if (c->free_slots)
            return c;
    }
    return NULL;
}

static void on_timer(struct shard_timer *t);

// Everything that failed, in order, once nothing is under way any more and its time has come. True: nothing waits.
static bool sent_again(struct perf_load *l, uint64_t now)
{
    struct perf_slot *s = l->again;
    if (s && l->in_flight == 0 && now >= l->again_ns) {
        l->again = NULL;
        l->again_end = &l->again;
        for (struct perf_slot *next; s; s = next) {
            next = s->next_free;
            submit(l, s);
        }
    } else if (s) {
        shard_timer_set(l->cli->shard, &l->timer, l->again_ns > now ? l->again_ns : now + 1000000, on_timer);
    }
    return !l->again;
}

static void send_due(struct perf_load *l)
{
    uint64_t now = io_clock_ns(l->cli->io);
    struct perf_client *c;
    if (!sent_again(l, now))
        return;
    while (!l->stopping) {
        if (l->requests_max && l->due_index == l->requests_max) {
            l->stopping = true;
            return;
        }
        uint64_t due = l->interval_ns > 0 ? l->begin_ns + (uint64_t)((double)l->due_index * l->interval_ns) : now;
        if (due >= l->end_ns || now >= l->end_ns) {
            l->stopping = true;
            return;
        }
        if (due > now) {
            shard_timer_set(l->cli->shard, &l->timer, due, on_timer);
            return;
        }
        c = free_client(l);
        if (!c)
            return; // an answer goes on from here
        l->due_index++;
        if (due >= l->measure_ns && l->interval_ns > 0)
            histogram_add(&l->lateness, now - due);
        send(l, c, due);
    }
}

static void on_timer(struct shard_timer *t)
{
    send_due(container_of(t, struct perf_load, timer));
}

static void note_error(struct perf_load *l, enum rc rc, int16_t code)
{
    if (l->errors++ == 0)
        snprintf(l->error, sizeof(l->error), "%s", code ? kerr_name(code) : rc_text(rc));
    // A dead broker must not make this loop spin.
    if (rc != RC_OK)
        l->stopping = true;
}

// The first error of its partitions.
static int16_t code_of(const struct perf_slot *s, struct client_request *r, struct bytes body, enum rc *rc)
{
    struct produce_response answer;
    _Alignas(16) uint8_t scratch[1024];
    struct arena a;
    struct dec d = dec_of(body);
    int16_t code = 0;
    arena_init(&a, 64 << 10, scratch, sizeof(scratch));
    *rc = produce_response_decode(&d, r->version, &a, &answer);
    if (*rc == RC_OK && (answer.responses_count != 1 ||
                         answer.responses[0].partition_responses_count != (uint32_t)s->count))
        *rc = RC_MALFORMED;
    for (int32_t i = 0; *rc == RC_OK && code == 0 && i < s->count; i++)
        code = answer.responses[0].partition_responses[i].error_code;
    arena_deinit(&a);
    return code;
}

// With --retry: kept, to be sent once more. False: it is not to be, or there has been no time left for long.
static bool keep(struct perf_load *l, struct perf_slot *s, enum rc rc, int16_t code, uint64_t now)
{
    enum { KERR_OUT_OF_ORDER_SEQUENCE_NUMBER = 45 }; // behind one that failed
    const struct perf_options *o = l->options;
    bool passes = rc != RC_OK ? rc != RC_CLOSED && rc != RC_MALFORMED
                              : kerr_retriable(code) || code == KERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    if (o->retry_ms == 0 || !passes || now > l->end_ns + (uint64_t)o->common.timeout_ms * 1000000)
        return false;
    s->next_free = NULL;
    *l->again_end = s;
    l->again_end = &s->next_free;
    l->again_ns = now + (uint64_t)o->retry_ms * 1000000;
    l->retries++;
    client_refresh(&s->client->client);
    shard_timer_set(l->cli->shard, &l->timer, l->again_ns, on_timer);
    return true;
}

static void on_answer(struct client_request *r, enum rc rc, struct bytes body)
{
    struct perf_slot *s = container_of(r, struct perf_slot, request);
    struct perf_load *l = s->load;
    uint64_t now = io_clock_ns(l->cli->io);
    int16_t code = rc == RC_OK && !r->no_answer ? code_of(s, r, body, &rc) : 0;
    l->in_flight--;
    if ((rc != RC_OK || code) && keep(l, s, rc, code, now))
        return;
    s->next_free = s->client->free_slots;
    s->client->free_slots = s;
    if (rc == RC_CLOSED)
        return;
    if (rc != RC_OK || code) {
        note_error(l, rc, code);
    } else if (s->due_ns >= l->measure_ns) {
        if (l->answered_ns && now - l->answered_ns > l->pause_ns)
            l->pause_ns = now - l->answered_ns;
        l->answered_ns = now;
        l->requests++;
        l->records_sent += (uint64_t)s->records;
        histogram_add(&l->latency, now - s->due_ns);
        if (l->window)
            histogram_add(l->window, now - s->due_ns);
    }
    if (!l->stopping || l->again)
        send_due(l);
}

void perf_load_run(struct perf_load *l)
{
    const struct perf_options *o = l->options;
    struct cli *cli = l->cli;
    bool measuring = false;
    l->begin_ns = io_clock_ns(cli->io);
    l->measure_ns = l->begin_ns + (uint64_t)o->warmup_ms * 1000000;
    l->end_ns = l->measure_ns + (uint64_t)o->duration_ms * 1000000;
    send_due(l);
    while (!l->stopping || l->in_flight > 0 || l->again) {
        shard_turn(cli->shard, 50 * 1000 * 1000);
        uint64_t now = io_clock_ns(cli->io);
        if (!measuring && now >= l->measure_ns) {
            measuring = true;
            l->self_before = perf_usage_of(cli, 0);
            if (o->server_pid)
                l->server_before = perf_usage_of(cli, o->server_pid);
        }
        if (now >= l->end_ns)
            l->stopping = true;
    }
}
