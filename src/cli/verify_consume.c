// SPDX-License-Identifier: Apache-2.0
//
// weir verify consume: a member of a group that says what it is given, reads and commits. What came in a turn is one
// event, and its offsets are committed behind it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/properties.h"
#include "cli/verify.h"
#include "client/group_offsets.h"
#include "client/reader.h"
#include "model/kerr.h"

enum { VERIFY_TURN_NS = 50 * 1000 * 1000, VERIFY_LEAVE_MS = 5000, VERIFY_PARTITIONS_MAX = 10000 };

struct consumed {
    const struct client_topic *topic;
    int32_t partition;
    int64_t count, least, most;
};

struct verify_consuming {
    struct cli *cli;
    const struct verify_consume_options *options;
    struct reader reader;
    struct consumed *consumed; // since the last event
    uint32_t consumed_count;
    int64_t records, in_event;
    struct buf inflated;
    void *workspace;
    bool stop, failed;
};

// ------------------------------------------------------------------------------------------------ events

static void put_partitions(struct verify_consuming *s, const char *name, const struct membership_set *set)
{
    struct json j;
    verify_event(s->cli, &j, name);
    json_put_key(&j, "partitions");
    json_put_array(&j);
    for (uint32_t i = 0; i < set->count; i++) {
        json_put_object(&j);
        json_put_key_str(&j, "topic", set->items[i].topic->name);
        json_put_key_int(&j, "partition", set->items[i].index);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    s->stop |= !verify_event_end(s->cli, &j);
}

static void on_assigned(struct reader *r, const struct membership_set *set)
{
    put_partitions(r->config.owner, "partitions_assigned", set);
}

static void on_revoked(struct reader *r, const struct membership_set *set, bool lost)
{
    (void)lost;
    put_partitions(r->config.owner, "partitions_revoked", set);
}

static void on_committed(struct reader *r, const struct group_offset *offsets, uint32_t count, enum rc rc)
{
    struct verify_consuming *s = r->config.owner;
    struct json j;
    if (s->options->auto_commit)
        return; // nobody asked
    verify_event(s->cli, &j, "offsets_committed");
    json_put_key(&j, "offsets");
    json_put_array(&j);
    for (uint32_t i = 0; i < count; i++) {
        json_put_object(&j);
        json_put_key_text(&j, "topic", offsets[i].topic);
        json_put_key_int(&j, "partition", offsets[i].partition);
        json_put_key_int(&j, "offset", offsets[i].offset);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    if (rc != RC_OK)
        json_put_key_str(&j, "error", s->cli->client.error);
    json_put_key_bool(&j, "success", rc == RC_OK);
    s->stop |= !verify_event_end(s->cli, &j);
}

static void records_consumed(struct verify_consuming *s)
{
    struct json j;
    verify_event(s->cli, &j, "records_consumed");
    json_put_key_int(&j, "count", s->in_event);
    json_put_key(&j, "partitions");
    json_put_array(&j);
    for (uint32_t i = 0; i < s->consumed_count; i++) {
        json_put_object(&j);
        json_put_key_str(&j, "topic", s->consumed[i].topic->name);
        json_put_key_int(&j, "partition", s->consumed[i].partition);
        json_put_key_int(&j, "count", s->consumed[i].count);
        json_put_key_int(&j, "minOffset", s->consumed[i].least);
        json_put_key_int(&j, "maxOffset", s->consumed[i].most);
        json_put_object_end(&j);
    }
    json_put_array_end(&j);
    s->stop |= !verify_event_end(s->cli, &j);
    s->consumed_count = 0;
    s->in_event = 0;
}

static void record_data(struct verify_consuming *s, const struct reader_partition *p, const struct record *r)
{
    struct json j;
    verify_event(s->cli, &j, "record_data");
    json_put_key_text(&j, "key", r->key);
    json_put_key_text(&j, "value", r->value);
    json_put_key_str(&j, "topic", p->topic->name);
    json_put_key_int(&j, "partition", p->index);
    json_put_key_int(&j, "offset", r->offset);
    s->stop |= !verify_event_end(s->cli, &j);
}

// ------------------------------------------------------------------------------------------------ records

static void note(struct verify_consuming *s, const struct reader_partition *p, int64_t offset)
{
    uint32_t i = 0;
    while (i < s->consumed_count && (s->consumed[i].topic != p->topic || s->consumed[i].partition != p->index))
        i++;
    if (i == s->consumed_count) {
        if (i == VERIFY_PARTITIONS_MAX)
            return;
        s->consumed[s->consumed_count++] = (struct consumed){.topic = p->topic, .partition = p->index, .least = offset};
    }
    s->consumed[i].count++;
    s->consumed[i].most = offset;
}

static void take_records(struct verify_consuming *s, struct reader_partition *p, struct batch_iter *it, int64_t from)
{
    struct record r;
    while (!s->stop && batch_iter_next(it, &r)) {
        if (r.offset < from)
            continue;
        note(s, p, r.offset);
        s->in_event++;
        s->records++;
        p->position = r.offset + 1;
        if (s->options->verbose)
            record_data(s, p, &r);
        s->stop |= s->options->max_messages >= 0 && s->records >= s->options->max_messages;
    }
}

static void on_batch(struct reader *r, struct reader_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct verify_consuming *s = r->config.owner;
    struct batch_iter it;
    struct bytes records;
    if (s->stop)
        return;
    s->inflated.n = 0;
    enum rc rc = batch_inflate(batch, &s->inflated, &records, s->workspace, CODEC_WORKSPACE_BYTES);
    if (rc == RC_OK) {
        batch_iter_init(&it, h, records);
        take_records(s, p, &it, from);
        rc = it.rc;
    }
    if (rc != RC_OK) {
        cli_fail(s->cli, "%s partition %d: the batch at offset %lld cannot be read: %s", p->topic->name, p->index,
                 (long long)h->base_offset, rc_text(rc));
        s->stop = s->failed = true;
    }
    if (s->stop)
        consumer_stop(&r->consumer);
}

// ------------------------------------------------------------------------------------------------ the command

static int configure(struct verify_consuming *s, struct reader_config *config)
{
    const struct verify_consume_options *o = s->options;
    const char *protocol = o->protocol ? o->protocol : "classic", *reset = o->reset ? o->reset : "earliest";
    *config = reader_config_default(o->group);
    config->membership.instance_id = o->instance_id;
    config->membership.server_assignor = o->assignor;
    config->membership.session_timeout_ms = (uint32_t)o->session_timeout_ms;
    if (config->membership.heartbeat_ms > config->membership.session_timeout_ms / 3)
        config->membership.heartbeat_ms = config->membership.session_timeout_ms / 3;
    if (strcasecmp(protocol, "consumer") == 0)
        config->membership.protocol = MEMBERSHIP_CONSUMER;
    else if (strcasecmp(protocol, "classic") != 0)
        return cli_wrong(s->cli, "--group-protocol wants classic or consumer, not '%s'.", protocol);
    if (o->strategy && !(config->membership.assignors[0] = client_assignor_find(o->strategy)))
        return cli_wrong(s->cli, "--assignment-strategy knows range, roundrobin and cooperative-sticky, not '%s'.",
                         o->strategy);
    config->reset = strcmp(reset, "latest") == 0 ? READER_RESET_LATEST
                    : strcmp(reset, "none") == 0 ? READER_RESET_NONE
                                                 : READER_RESET_EARLIEST;
    if (config->reset == READER_RESET_EARLIEST && strcmp(reset, "earliest") != 0)
        return cli_wrong(s->cli, "--reset-policy wants earliest, latest or none, not '%s'.", reset);
    config->auto_commit_ms = o->auto_commit ? 5000 : 0;
    config->batch = on_batch;
    config->assigned = on_assigned;
    config->revoked = on_revoked;
    config->committed = on_committed;
    config->owner = s;
    return CLI_OK;
}

static void settle_event(struct verify_consuming *s)
{
    if (s->in_event == 0)
        return;
    records_consumed(s);
    if (!s->options->auto_commit)
        reader_commit(&s->reader); // what comes of it is an event
}

static int run(struct verify_consuming *s)
{
    struct json j;
    int code = CLI_OK;
    while (!s->stop && code == CLI_OK) {
        shard_turn(s->cli->shard, VERIFY_TURN_NS);
        settle_event(s);
        if (reader_poll(&s->reader) != RC_OK)
            code = cli_fail(s->cli, "%s", s->cli->client.error);
    }
    settle_event(s);
    reader_close(&s->reader, VERIFY_LEAVE_MS);
    verify_event(s->cli, &j, "shutdown_complete");
    verify_event_end(s->cli, &j);
    return s->failed ? CLI_FAILED : code;
}

static void on_signal(void *context, int signal_number)
{
    (void)signal_number;
    ((struct verify_consuming *)context)->stop = true;
}

static int begin(struct verify_consuming *s, const struct reader_config *config)
{
    struct client *c = &s->cli->client;
    struct client_topic *t = client_topic(c, s->options->topic);
    struct json j;
    s->consumed = cli_alloc(s->cli, VERIFY_PARTITIONS_MAX, sizeof(*s->consumed));
    s->workspace = malloc(CODEC_WORKSPACE_BYTES);
    verify_event(s->cli, &j, "startup_complete");
    verify_event_end(s->cli, &j);
    if (!t || client_topic_wait(c, t, false) != RC_OK)
        return cli_fail(s->cli, "%s", t ? c->error : "topic name too long");
    if (!s->workspace || reader_init(&s->reader, c, config, &t, 1) != RC_OK)
        return cli_fail(s->cli, "out of memory");
    return run(s);
}

int verify_consume(struct cli *cli, const struct cli_parsed *parsed)
{
    const struct verify_consume_options *o = parsed->options;
    struct verify_consuming s = {.cli = cli, .options = o};
    struct reader_config config;
    if (!o->topic || !o->group)
        return cli_wrong(cli, "--topic and --group-id are required.");
    int code = configure(&s, &config);
    if (code == CLI_OK && o->properties)
        code = properties_check(cli, o->properties);
    if (code != CLI_OK)
        return code;
    if (!cli_connect(cli, &o->common))
        return CLI_FAILED;
    io_on_signal(cli->io, on_signal, &s);
    buf_init(&s.inflated, INFLATE_BYTES_MAX);
    code = begin(&s, &config);
    client_close(&cli->client);
    reader_deinit(&s.reader);
    free(s.workspace);
    buf_deinit(&s.inflated);
    return code;
}
