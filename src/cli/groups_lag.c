// SPDX-License-Identifier: Apache-2.0
//
// Lag in time: how old the next record is that a group has to read. No request tells that; the record is read.
#include <stdlib.h>

#include "cli/groups.h"
#include "client/consumer.h"

enum { LAG_PARTITION_BYTES = 4096, LAG_WAIT_MS = 100, LAG_TURN_NS = 20 * 1000 * 1000 };

struct lag {
    struct cli *cli;
    struct consumer consumer;
    struct buf inflated;
    void *workspace;
    uint32_t going_on;
    int64_t now_ms;
};

static void finish(struct lag *s, struct consumer_partition *p)
{
    consumer_pause(p);
    s->going_on--;
}

// The timestamp of the first record from `from` on; -1: not in this batch, or it cannot be read.
static int64_t first_timestamp(struct lag *s, const struct batch_header *h, struct bytes batch, int64_t from)
{
    struct batch_iter it;
    struct bytes records;
    struct record r;
    s->inflated.n = 0;
    if (h->attributes & BATCH_ATTR_LOG_APPEND_TIME)
        return h->max_timestamp;
    if (batch_inflate(batch, &s->inflated, &records, s->workspace, CODEC_WORKSPACE_BYTES) != RC_OK)
        return h->max_timestamp;
    batch_iter_init(&it, h, records);
    while (batch_iter_next(&it, &r))
        if (r.offset >= from)
            return r.timestamp;
    return -1;
}

static void on_batch(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct lag *s = c->config.owner;
    struct groups_row *row = p->owner;
    int64_t t = first_timestamp(s, h, batch, from);
    if (t < 0)
        return; // compacted away: the next batch has it
    row->lag_ms = s->now_ms > t ? s->now_ms - t : 0;
    finish(s, p);
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    (void)rc;
    (void)code;
    finish(c->config.owner, p); // nobody can tell
}

// Reads on where something is to be read. An offset below the log's start means its first record.
static bool assign(struct lag *s, struct groups_row *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct groups_row *r = &rows[i];
        if (r->lag == 0)
            r->lag_ms = 0;
        if (r->lag <= 0)
            continue;
        struct client_topic *t = client_topic(&s->cli->client, groups_text(s->cli, r->topic));
        int64_t at = r->offset > r->log_start ? r->offset : r->log_start;
        struct consumer_partition *p = t ? consumer_assign(&s->consumer, t, r->partition, at) : NULL;
        if (!p)
            return false;
        p->owner = r;
        s->going_on++;
    }
    return true;
}

bool groups_gather_times(struct cli *cli, struct groups_row *rows, uint32_t count)
{
    struct lag s = {.cli = cli, .now_ms = io_wall_ms(cli->io)};
    struct consumer_config config = consumer_config_default();
    config.partition_bytes = LAG_PARTITION_BYTES;
    config.max_wait_ms = LAG_WAIT_MS;
    config.batch = on_batch;
    config.error = on_error;
    config.owner = &s;
    s.workspace = malloc(CODEC_WORKSPACE_BYTES);
    buf_init(&s.inflated, INFLATE_BYTES_MAX);
    bool good = consumer_init(&s.consumer, &cli->client, &config) == RC_OK && s.workspace && assign(&s, rows, count);
    uint64_t deadline = io_clock_ns(cli->io) + (uint64_t)cli->client.config.timeout_ms * 1000000;
    while (good && s.going_on > 0 && io_clock_ns(cli->io) < deadline)
        shard_turn(cli->shard, LAG_TURN_NS);
    consumer_stop(&s.consumer);
    consumer_settle(&s.consumer);
    consumer_deinit(&s.consumer);
    buf_deinit(&s.inflated);
    free(s.workspace);
    if (!good)
        cli_fail(cli, "out of memory");
    return good;
}
