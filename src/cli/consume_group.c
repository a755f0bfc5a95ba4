// SPDX-License-Identifier: Apache-2.0
//
// weir consume --group: what a member of a group prints, commits and says at its end. What was printed is written out
// before it counts as dealt with, so that a commit never covers what nobody saw.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/consume.h"
#include "client/offsets.h"
#include "model/ids.h"

enum { CONSUME_TURN_NS = 50 * 1000 * 1000, EMPTY_HEARTBEATS = 3 };

static void on_batch(struct reader *r, struct reader_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct consume *s = r->config.owner;
    consume_batch(s, p->topic, p->index, h, batch, from, &p->position);
    if (s->stop)
        consumer_stop(&r->consumer);
}

static void on_progress(struct reader *r, struct reader_partition *p)
{
    struct consume *s = r->config.owner;
    (void)p;
    if (s->cli->out.n && !cli_flush(s->cli)) {
        s->code = CLI_FAILED;
        s->stop = true;
        consumer_stop(&r->consumer);
    }
}

// ------------------------------------------------------------------------------------------------ --exit-at-end

// Notes where the partitions of a topic that came end now: all of them with one question, because an answer comes
// behind the fetch that waits on the same connection.
static void look_up_ends(struct consume *s, struct consume_topic *t)
{
    int32_t count = t->topic->partition_count;
    struct client_offset *list = calloc((size_t)count + 1, sizeof(*list));
    uint32_t n = 0;
    for (struct reader_partition *p = list ? s->reader.partitions : NULL; p; p = p->next)
        if (p->topic == t->topic && p->index < t->end_count && p->index < count && t->ends[p->index] < 0)
            list[n++] = (struct client_offset){.partition = p->index, .timestamp = OFFSET_SPEC_LATEST};
    if (n > 0 && client_list_offsets(&s->cli->client, t->topic, list, n, s->options->isolation == 1) == RC_OK)
        for (uint32_t i = 0; i < n; i++)
            if (list[i].error_code == 0)
                t->ends[list[i].partition] = list[i].offset;
    free(list);
}

// Under KIP-848 a member may be stable with nothing, because what it is to get is still being revoked from others: it
// comes with one of the next heartbeats, or the member is one too many. The classic protocol gives all at once.
static bool may_still_get_some(struct consume *s)
{
    const struct membership *m = &s->reader.membership;
    if (s->reader.partitions || m->config.protocol != MEMBERSHIP_CONSUMER)
        return false;
    uint64_t now = shard_now_ns(s->cli->shard);
    if (s->empty_since_ns == 0)
        s->empty_since_ns = now;
    return now - s->empty_since_ns < EMPTY_HEARTBEATS * m->heartbeat_ms * UINT64_C(1000000);
}

static bool at_the_end(struct consume *s)
{
    const struct membership *m = &s->reader.membership;
    if (m->state != MEMBERSHIP_STABLE || m->event != MEMBERSHIP_NOTHING) {
        s->empty_since_ns = 0;
        return false;
    }
    if (may_still_get_some(s))
        return false;
    for (struct reader_partition *p = s->reader.partitions; p; p = p->next) {
        const struct consume_topic *t = consume_topic_of(s, p->topic);
        int64_t end = p->index < t->end_count ? t->ends[p->index] : 0; // one that has come since: nothing to wait for
        if (end < 0 || p->position < end)
            return false;
    }
    return true;
}

// ------------------------------------------------------------------------------------------------ the command

static int choose_assignors(struct consume *s, struct membership_config *m)
{
    const char *rest = s->options->strategy;
    if (m->protocol == MEMBERSHIP_CONSUMER) {
        m->server_assignor = rest;
        return CLI_OK;
    }
    for (m->assignor_count = 0; rest; rest = *rest == ',' ? rest + 1 : NULL) {
        char name[96];
        size_t n = strcspn(rest, ",");
        snprintf(name, sizeof(name), "%.*s", (int)n, rest);
        const struct client_assignor *a = client_assignor_find(name);
        if (!a || m->assignor_count == MEMBERSHIP_ASSIGNORS_MAX)
            return cli_wrong(
                s->cli, "--partition-assignment-strategy knows range, roundrobin and cooperative-sticky, not '%s'.",
                name);
        m->assignors[m->assignor_count++] = a;
        rest += n;
    }
    return CLI_OK;
}

static enum reader_reset reset_of(const struct consume_start *start)
{
    return start->kind == START_BEGINNING ? READER_RESET_EARLIEST
           : start->kind == START_TIME    ? READER_RESET_TIME
                                          : READER_RESET_LATEST;
}

static int configure(struct consume *s, const struct consume_start *start, struct reader_config *config)
{
    const struct consume_options *o = s->options;
    *config = reader_config_default(o->group);
    config->membership.instance_id = o->instance_id;
    config->membership.protocol = o->protocol ? MEMBERSHIP_CONSUMER : MEMBERSHIP_CLASSIC;
    config->membership.session_timeout_ms = (uint32_t)o->session_timeout_ms;
    if (config->membership.heartbeat_ms > config->membership.session_timeout_ms / 3)
        config->membership.heartbeat_ms = config->membership.session_timeout_ms / 3;
    config->consumer.read_committed = o->isolation == 1;
    config->reset = reset_of(start);
    config->reset_timestamp = start->value;
    config->auto_commit_ms = o->no_commit ? 0 : (uint32_t)o->commit_interval_ms;
    config->batch = on_batch;
    config->progress = on_progress;
    config->owner = s;
    return o->strategy ? choose_assignors(s, &config->membership) : CLI_OK;
}

static int read_on(struct consume *s)
{
    struct reader *r = &s->reader;
    while (!consume_over(s) && !r->consumer.stopped) {
        shard_turn(s->cli->shard, CONSUME_TURN_NS);
        if (reader_poll(r) != RC_OK)
            return cli_fail(s->cli, "%s", s->cli->client.error);
        if (!s->options->exit_at_end)
            continue;
        for (uint32_t i = 0; i < s->topic_count; i++)
            look_up_ends(s, &s->topics[i]);
        if (at_the_end(s))
            return s->code;
    }
    return s->code;
}

int consume_group(struct consume *s, const struct consume_start *start)
{
    struct reader_config config;
    struct client_topic **topics = cli_alloc(s->cli, s->topic_count, sizeof(struct client_topic *));
    int code = configure(s, start, &config);
    for (uint32_t i = 0; i < s->topic_count; i++)
        topics[i] = s->topics[i].topic;
    if (code != CLI_OK)
        return code;
    if (reader_init(&s->reader, &s->cli->client, &config, topics, s->topic_count) != RC_OK)
        return cli_fail(s->cli, "out of memory");
    code = read_on(s);
    if (!cli_flush(s->cli))
        code = CLI_FAILED;
    else if (reader_close(&s->reader, CONSUME_LEAVE_MS) != RC_OK && code == CLI_OK)
        code = cli_fail(s->cli, "%s; they will be read again", s->cli->client.error);
    return code;
}
