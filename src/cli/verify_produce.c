// SPDX-License-Identifier: Apache-2.0
//
// weir verify produce: increasing numbers as values, an event for each answer. Records of a partition are answered in
// the order they were sent, so a queue of numbers a partition is all there is to remember.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/properties.h"
#include "cli/verify.h"
#include "client/partitioner.h"
#include "client/producer.h"
#include "model/kerr.h"

enum { VERIFY_TURN_NS = 20 * 1000 * 1000, VERIFY_STICKY_RECORDS = 16, VERIFY_IN_FLIGHT_MAX = 100000 };

// Numbers sent and not answered, oldest first: a ring.
struct queue {
    int64_t *numbers;
    uint32_t first, count, cap;
};

struct verify_producing {
    struct cli *cli;
    const struct verify_produce_options *options;
    struct producer producer;
    struct producer_topic *topic;
    struct queue *queues;            // by partition
    int32_t sticky, partition_count; // as it was at the start
    uint32_t sticky_count;
    int64_t sent, acked, in_flight;
    uint64_t started_ns;
    bool stop, failed;
};

static bool queue_push(struct queue *q, int64_t number)
{
    if (q->count == q->cap) {
        uint32_t cap = q->cap ? q->cap * 2 : 64;
        int64_t *grown = malloc(cap * sizeof(*grown));
        if (!grown)
            return false;
        for (uint32_t i = 0; i < q->count; i++)
            grown[i] = q->numbers[(q->first + i) % q->cap];
        free(q->numbers);
        *q = (struct queue){.numbers = grown, .count = q->count, .cap = cap};
    }
    q->numbers[(q->first + q->count++) % q->cap] = number;
    return true;
}

static int64_t queue_pop(struct queue *q)
{
    ASSERT(q->count > 0);
    int64_t number = q->numbers[q->first];
    q->first = (q->first + 1) % q->cap;
    q->count--;
    return number;
}

// ------------------------------------------------------------------------------------------------ records

static struct bytes value_of(const struct verify_producing *s, int64_t number, char *text, size_t n)
{
    const char *prefix = s->options->value_prefix;
    int written =
        prefix ? snprintf(text, n, "%s.%lld", prefix, (long long)number) : snprintf(text, n, "%lld", (long long)number);
    return bytes_of(text, (size_t)written < n ? (size_t)written : n - 1);
}

static struct bytes key_of(const struct verify_producing *s, int64_t number, char *text, size_t n)
{
    if (s->options->repeating_keys <= 0)
        return bytes_of(NULL, 0);
    int written = snprintf(text, n, "%lld", (long long)(number % s->options->repeating_keys));
    return bytes_of(text, (size_t)written);
}

static int32_t partition_of(struct verify_producing *s, struct bytes key)
{
    int32_t count = s->partition_count;
    if (key.p)
        return partitioner_of_key(key, count);
    if (s->sticky_count++ % VERIFY_STICKY_RECORDS == 0 || s->sticky >= count)
        s->sticky = (int32_t)prng_below(&s->cli->shard->prng, (uint64_t)count);
    return s->sticky;
}

// ------------------------------------------------------------------------------------------------ events

static void put_record(struct verify_producing *s, struct json *j, int64_t number)
{
    char key[32], value[512];
    json_put_key_text(j, "key", key_of(s, number, key, sizeof(key)));
    json_put_key_text(j, "value", value_of(s, number, value, sizeof(value)));
}

static void on_report(struct producer *p, const struct producer_delivery *d)
{
    struct verify_producing *s = p->config.owner;
    for (int32_t i = 0; i < d->record_count; i++) {
        int64_t number = queue_pop(&s->queues[d->partition]);
        struct json j;
        s->in_flight--;
        s->acked += d->rc == RC_OK;
        verify_event(s->cli, &j, d->rc == RC_OK ? "producer_send_success" : "producer_send_error");
        if (d->rc == RC_OK) {
            put_record(s, &j, number);
            json_put_key_int(&j, "offset", d->base_offset < 0 ? -1 : d->base_offset + i);
            json_put_key_str(&j, "topic", d->topic->name);
            json_put_key_int(&j, "partition", d->partition);
        } else {
            json_put_key_str(&j, "topic", d->topic->name);
            put_record(s, &j, number);
            json_put_key_str(&j, "exception", d->error_code ? kerr_name(d->error_code) : rc_text(d->rc));
            json_put_key_text(&j, "message", d->message.n ? d->message : bytes_str(s->cli->client.error));
        }
        s->stop |= !verify_event_end(s->cli, &j);
    }
}

static void tool_data(struct verify_producing *s)
{
    struct json j;
    double seconds = (double)(io_clock_ns(s->cli->io) - s->started_ns) / 1e9;
    verify_event(s->cli, &j, "shutdown_complete");
    verify_event_end(s->cli, &j);
    verify_event(s->cli, &j, "tool_data");
    json_put_key_int(&j, "sent", s->sent);
    json_put_key_int(&j, "acked", s->acked);
    json_put_key_int(&j, "target_throughput", s->options->throughput);
    json_put_key(&j, "avg_throughput");
    json_put_real(&j, seconds > 0 ? (double)s->acked / seconds : 0, 6);
    verify_event_end(s->cli, &j);
}

// ------------------------------------------------------------------------------------------------ sending

static int send_one(struct verify_producing *s)
{
    char key[32], value[512];
    struct producer_record r = {.key = key_of(s, s->sent, key, sizeof(key)),
                                .value = value_of(s, s->sent, value, sizeof(value))};
    r.timestamp = s->options->create_time >= 0 ? s->options->create_time + s->sent : io_wall_ms(s->cli->io);
    r.partition = partition_of(s, r.key);
    if (!queue_push(&s->queues[r.partition], s->sent))
        return cli_fail(s->cli, "out of memory");
    enum rc rc = producer_send(&s->producer, s->topic, &r);
    if (rc != RC_OK)
        return cli_fail(s->cli, "%s", rc_text(rc));
    s->sent++;
    s->in_flight++;
    return CLI_OK;
}

// How many may go now.
static int64_t due(const struct verify_producing *s)
{
    const struct verify_produce_options *o = s->options;
    int64_t room = VERIFY_IN_FLIGHT_MAX - s->in_flight;
    int64_t left = o->max_messages >= 0 ? o->max_messages - s->sent : INT64_MAX;
    int64_t budget = left < room ? left : room;
    if (o->throughput < 0)
        return budget < 1000 ? budget : 1000; // a turn between, so that answers are heard
    double seconds = (double)(io_clock_ns(s->cli->io) - s->started_ns) / 1e9;
    int64_t by_now = 1 + (int64_t)(seconds * (double)o->throughput) - s->sent;
    return by_now < budget ? by_now : budget;
}

static int run(struct verify_producing *s)
{
    const struct verify_produce_options *o = s->options;
    while (!s->stop && (o->max_messages < 0 || s->sent < o->max_messages) && !s->producer.stopped) {
        int64_t n = due(s);
        for (int64_t i = 0; i < n; i++)
            if (send_one(s) != CLI_OK)
                return CLI_FAILED;
        shard_turn(s->cli->shard, n > 0 ? 0 : o->throughput > 0 ? 1000 * 1000 : VERIFY_TURN_NS);
    }
    producer_flush(&s->producer);
    tool_data(s);
    return CLI_OK; // records that were not written have their events
}

static void on_signal(void *context, int signal_number)
{
    (void)signal_number;
    ((struct verify_producing *)context)->stop = true;
}

static int open_producer(struct verify_producing *s)
{
    const struct verify_produce_options *o = s->options;
    struct client *c = &s->cli->client;
    struct producer_config config = producer_config_default();
    struct client_topic *t = client_topic(c, o->topic);
    config.acks = (int16_t)o->acks;
    config.idempotent = o->acks == -1;
    config.linger_ms = 5;
    config.report = on_report;
    config.owner = s;
    if (!t || client_topic_wait(c, t, true) != RC_OK)
        return cli_fail(s->cli, "%s", t ? c->error : "topic name too long");
    if (producer_init(&s->producer, c, &config) != RC_OK)
        return cli_fail(s->cli, "%s", c->error);
    s->topic = producer_topic_open(&s->producer, t);
    s->partition_count = t->partition_count;
    s->queues = cli_alloc(s->cli, (size_t)t->partition_count, sizeof(*s->queues));
    return s->topic ? CLI_OK : cli_fail(s->cli, "out of memory");
}

int verify_produce(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct verify_produce_options *o = parsed->options;
    struct verify_producing s = {.cli = cli, .options = o};
    struct json j;
    if (!o->topic)
        return cli_wrong(cli, "--topic is required.");
    if (o->acks < -1 || o->acks > 1)
        return cli_wrong(cli, "--acks wants -1, 0 or 1.");
    if (o->properties && properties_check(cli, o->properties) != CLI_OK)
        return CLI_FAILED;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    io_on_signal(cli->io, on_signal, &s);
    int code = open_producer(&s);
    if (code == CLI_OK) {
        verify_event(cli, &j, "startup_complete");
        verify_event_end(cli, &j);
        s.started_ns = io_clock_ns(cli->io);
        code = run(&s);
    }
    client_close(&cli->client);
    if (s.producer.client)
        producer_deinit(&s.producer);
    for (int32_t i = 0; s.queues && i < s.partition_count; i++)
        free(s.queues[i].numbers);
    return code;
}
