// SPDX-License-Identifier: Apache-2.0
//
// weir consume without a group: finds where to start in each partition, then reads on.
#include <stdlib.h>

#include "base/assert.h"
#include "cli/consume.h"
#include "client/offsets.h"
#include "model/ids.h"
#include "model/kerr.h"

enum { KERR_OFFSET_OUT_OF_RANGE = 1, CONSUME_TURN_NS = 100 * 1000 * 1000 };

// ------------------------------------------------------------------------------------------------ reading

static void on_batch(struct consumer *c, struct consumer_partition *p, const struct batch_header *h, struct bytes batch,
                     int64_t from)
{
    struct consume *s = c->config.owner;
    int64_t position;
    consume_batch(s, p->topic->topic, p->index, h, batch, from, &position);
    if (s->stop)
        consumer_stop(c);
}

static void on_progress(struct consumer *c, struct consumer_partition *p)
{
    struct consume *s = c->config.owner;
    if (!s->options->exit_at_end || p->offset < consume_topic_of(s, p->topic->topic)->ends[p->index])
        return;
    consumer_pause(p);
    ASSERT(s->going_on > 0);
    if (--s->going_on == 0)
        consumer_stop(c);
}

static void on_error(struct consumer *c, struct consumer_partition *p, enum rc rc, int16_t code)
{
    struct consume *s = c->config.owner;
    const char *what = code ? kerr_name(code) : rc_text(rc), *topic = p->topic->topic->name;
    if (code == KERR_OFFSET_OUT_OF_RANGE)
        s->code =
            cli_fail(s->cli, "%s partition %d has no offset %lld; 'weir admin topics describe %s' shows what it has",
                     topic, p->index, (long long)p->offset, topic);
    else
        s->code = cli_fail(s->cli, "%s partition %d at offset %lld: %s", topic, p->index, (long long)p->offset, what);
    consumer_stop(c);
}

static int read_on(struct consume *s)
{
    if (s->going_on == 0)
        return CLI_OK;
    while (!s->consumer.stopped && !consume_over(s)) {
        shard_turn(s->cli->shard, CONSUME_TURN_NS);
        if (s->cli->out.n && !cli_flush(s->cli))
            return CLI_FAILED; // nobody reads any more
    }
    return s->code;
}

// ------------------------------------------------------------------------------------------------ where to start

// The partitions asked for, or all, as a list for client_list_offsets().
static int choose_partitions(struct consume *s, const struct client_topic *t, struct client_offset **out,
                             uint32_t *count)
{
    const struct cli_list *asked = &s->options->partitions;
    struct client_offset *list = cli_alloc(s->cli, (size_t)t->partition_count + asked->count, sizeof(*list));
    *out = list;
    *count = 0;
    for (uint32_t i = 0; i < asked->count; i++) {
        int64_t v;
        if (!cli_number_parse(asked->items[i], &v))
            return cli_wrong(s->cli, "--partition wants a number, not '%s'.", asked->items[i]);
        if (v < 0 || v >= t->partition_count)
            return cli_fail(s->cli, "topic '%s' has partitions 0 to %d", t->name, t->partition_count - 1);
        bool twice = false;
        for (uint32_t k = 0; k < *count; k++)
            twice |= list[k].partition == v;
        if (!twice)
            list[(*count)++].partition = (int32_t)v;
    }
    for (int32_t p = 0; asked->count == 0 && p < t->partition_count; p++)
        list[(*count)++].partition = p;
    return CLI_OK;
}

static int ask(struct consume *s, struct client_topic *t, struct client_offset *list, uint32_t count, int64_t timestamp)
{
    for (uint32_t i = 0; i < count; i++)
        list[i].timestamp = timestamp;
    if (client_list_offsets(&s->cli->client, t, list, count, s->options->isolation == 1) != RC_OK)
        return cli_fail(s->cli, "%s", s->cli->client.error);
    for (uint32_t i = 0; i < count; i++)
        if (list[i].error_code)
            return cli_fail(s->cli, "%s partition %d: %s", t->name, list[i].partition, kerr_name(list[i].error_code));
    return CLI_OK;
}

static int64_t start_of(const struct consume_start *start, const struct client_offset *found, int64_t first,
                        int64_t end)
{
    switch (start->kind) {
    case START_END:
        return end;
    case START_BEGINNING:
        return first;
    case START_TIME:
        return found->offset < 0 ? end : found->offset; // nothing that late: what comes
    case START_AT:
        return start->value;
    case START_BEFORE_END:
        return end + start->value > first ? end + start->value : first;
    }
    UNREACHABLE();
}

static int assign(struct consume *s, struct consume_topic *topic, const struct consume_start *start)
{
    struct client_topic *t = topic->topic;
    struct client_offset *list;
    uint32_t count;
    int code = choose_partitions(s, t, &list, &count);
    int64_t *firsts = cli_alloc(s->cli, (size_t)t->partition_count, sizeof(*firsts));
    if (code == CLI_OK && (code = ask(s, t, list, count, OFFSET_SPEC_EARLIEST)) == CLI_OK)
        for (uint32_t i = 0; i < count; i++)
            firsts[list[i].partition] = list[i].offset;
    if (code == CLI_OK && (code = ask(s, t, list, count, OFFSET_SPEC_LATEST)) == CLI_OK)
        for (uint32_t i = 0; i < count; i++)
            topic->ends[list[i].partition] = list[i].offset;
    if (code == CLI_OK && start->kind == START_TIME)
        code = ask(s, t, list, count, start->value);
    for (uint32_t i = 0; i < count && code == CLI_OK; i++) {
        int32_t p = list[i].partition;
        int64_t at = start_of(start, &list[i], firsts[p], topic->ends[p]);
        if (s->options->exit_at_end && at == topic->ends[p])
            continue; // at its end before it began
        if (!consumer_assign(&s->consumer, t, p, at < 0 ? 0 : at))
            return cli_fail(s->cli, "out of memory");
        s->going_on++;
    }
    return code;
}

int consume_assigned(struct consume *s, const struct consume_start *start)
{
    struct consumer_config config = consumer_config_default();
    int code = CLI_OK;
    config.read_committed = s->options->isolation == 1;
    config.batch = on_batch;
    config.progress = on_progress;
    config.error = on_error;
    config.owner = s;
    if (consumer_init(&s->consumer, &s->cli->client, &config) != RC_OK)
        return cli_fail(s->cli, "out of memory");
    for (uint32_t i = 0; i < s->topic_count && code == CLI_OK; i++)
        code = assign(s, &s->topics[i], start);
    return code == CLI_OK ? read_on(s) : code;
}
