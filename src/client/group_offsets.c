// SPDX-License-Identifier: Apache-2.0
//
// OffsetCommit, OffsetFetch and FindCoordinator as calls. OffsetFetch names one group in two ways, by version.
#include "client/group_offsets.h"

#include <stdlib.h>

#include "model/kerr.h"

enum {
    OFFSET_FETCH_VERSION_GROUPS = 8,
    FIND_COORDINATOR_VERSION_KEYS = 4,
    GROUP_OFFSETS_ARENA_BYTES = 256 << 20,
    GROUP_OFFSETS_WAIT_MS = 100,
    GROUP_OFFSETS_UNANSWERED = INT16_MIN,
};

static struct bytes text_or_null(const char *text)
{
    return text ? bytes_str(text) : bytes_of(NULL, 0);
}

static struct bytes text_or_empty(const char *text)
{
    return bytes_str(text ? text : "");
}

// How many from the first on are of its topic.
static uint32_t run_of_topic(const struct group_offset *list, uint32_t count)
{
    uint32_t n = 1;
    while (n < count && bytes_eq(list[n].topic, list[0].topic))
        n++;
    return n;
}

static void answer(struct group_offset *list, uint32_t count, struct bytes topic, int32_t partition,
                   const struct group_offset *what)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].partition != partition || !bytes_eq(list[i].topic, topic))
            continue;
        struct group_offset got = *what;
        got.topic = list[i].topic;
        got.partition = partition;
        list[i] = got;
        return;
    }
}

static void expect_answers(struct group_offset *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        list[i].error_code = GROUP_OFFSETS_UNANSWERED;
}

static void settle_unanswered(struct group_offset *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].error_code == GROUP_OFFSETS_UNANSWERED)
            list[i].error_code = -1;
}

// ------------------------------------------------------------------------------------------------ OffsetCommit

static bool write_commit(const struct group_asker *who, const struct group_offset *list, uint32_t count,
                         struct arena *a, struct offset_commit_request *in)
{
    offset_commit_request_init(in);
    in->group_id = bytes_str(who->group_id);
    in->generation_id_or_member_epoch = who->generation;
    in->member_id = text_or_empty(who->member_id);
    in->group_instance_id = text_or_null(who->instance_id);
    in->topics = arena_array(a, (size_t)count + 1, sizeof(*in->topics));
    struct offset_commit_request_partition *partitions = arena_array(a, (size_t)count + 1, sizeof(*partitions));
    if (!in->topics || !partitions)
        return false;
    for (uint32_t i = 0; i < count;) {
        uint32_t n = run_of_topic(list + i, count - i);
        struct offset_commit_request_topic *t = &in->topics[in->topics_count++];
        t->name = list[i].topic;
        t->partitions = &partitions[i];
        t->partitions_count = n;
        for (uint32_t end = i + n; i < end; i++) {
            offset_commit_request_partition_init(&partitions[i]);
            partitions[i].partition_index = list[i].partition;
            partitions[i].committed_offset = list[i].offset;
            partitions[i].committed_leader_epoch = list[i].leader_epoch;
            partitions[i].committed_metadata = list[i].metadata.p ? list[i].metadata : bytes_str("");
        }
    }
    return true;
}

enum rc group_offsets_commit(const struct group_asker *who, struct group_offset *list, uint32_t count)
{
    struct arena a;
    struct offset_commit_request in;
    struct offset_commit_response out;
    arena_init(&a, GROUP_OFFSETS_ARENA_BYTES, NULL, 0);
    enum rc rc = write_commit(who, list, count, &a, &in) ? RC_OK : RC_NOMEM;
    struct client_call call = {.request = &offset_commit_request_message,
                               .answer = &offset_commit_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &a,
                               .timeout_ms = who->timeout_ms,
                               .version_max = 9}; // later ones name topics by id
    if (rc == RC_OK)
        rc = client_call_on(who->client, who->at, &call);
    expect_answers(list, count);
    for (uint32_t i = 0; rc == RC_OK && i < out.topics_count; i++) {
        for (uint32_t k = 0; k < out.topics[i].partitions_count; k++) {
            const struct offset_commit_response_partition *p = &out.topics[i].partitions[k];
            for (uint32_t o = 0; o < count; o++)
                if (list[o].partition == p->partition_index && bytes_eq(list[o].topic, out.topics[i].name))
                    list[o].error_code = p->error_code;
        }
    }
    settle_unanswered(list, count);
    arena_deinit(&a);
    return rc;
}

// ------------------------------------------------------------------------------------------------ OffsetFetch

struct fetching {
    struct offset_fetch_request in;
    struct offset_fetch_request_group group;
    struct offset_fetch_response out;
    int16_t version;
};

// list NULL: everything. The topics are written in the form of either version.
static bool write_fetch(const struct group_asker *who, const struct group_offset *list, uint32_t count,
                        bool require_stable, struct arena *a, struct fetching *f)
{
    offset_fetch_request_init(&f->in);
    offset_fetch_request_group_init(&f->group);
    f->in.group_id = f->group.group_id = bytes_str(who->group_id);
    f->group.member_id = who->new_protocol ? text_or_null(who->member_id) : bytes_of(NULL, 0);
    f->group.member_epoch = who->new_protocol ? who->generation : -1;
    f->in.groups = &f->group;
    f->in.groups_count = 1;
    f->in.require_stable = require_stable;
    f->in.topics = NULL;
    f->group.topics = NULL;
    if (!list)
        return true;
    f->in.topics = arena_array(a, (size_t)count + 1, sizeof(*f->in.topics));
    f->group.topics = arena_array(a, (size_t)count + 1, sizeof(*f->group.topics));
    int32_t *numbers = arena_array(a, (size_t)count + 1, sizeof(*numbers));
    if (!f->in.topics || !f->group.topics || !numbers)
        return false;
    for (uint32_t i = 0, t = 0; i < count; t++) {
        uint32_t n = run_of_topic(list + i, count - i);
        f->in.topics[t].name = f->group.topics[t].name = list[i].topic;
        f->in.topics[t].partition_indexes = f->group.topics[t].partition_indexes = &numbers[i];
        f->in.topics[t].partition_indexes_count = f->group.topics[t].partition_indexes_count = n;
        f->in.topics_count = f->group.topics_count = t + 1;
        for (uint32_t end = i + n; i < end; i++)
            numbers[i] = list[i].partition;
    }
    return true;
}

static enum rc call_fetch(const struct group_asker *who, struct fetching *f, struct arena *a, int16_t *code)
{
    struct client_call call = {.request = &offset_fetch_request_message,
                               .answer = &offset_fetch_response_message,
                               .in = &f->in,
                               .out = &f->out,
                               .arena = a,
                               .timeout_ms = who->timeout_ms,
                               .version_max = 9};
    enum rc rc = client_call_on(who->client, who->at, &call);
    f->version = call.version;
    if (rc != RC_OK)
        return rc;
    if (call.version < OFFSET_FETCH_VERSION_GROUPS)
        *code = f->out.error_code;
    else
        *code = f->out.groups_count == 1 ? f->out.groups[0].error_code : -1;
    return RC_OK;
}

typedef void (*each_fn)(void *context, const struct group_offset *o);

// One loop over both forms of the answer.
static void each_answer(const struct fetching *f, each_fn each, void *context)
{
    bool groups = f->version >= OFFSET_FETCH_VERSION_GROUPS;
    uint32_t topics = groups ? f->out.groups[0].topics_count : f->out.topics_count;
    for (uint32_t t = 0; t < topics; t++) {
        const struct offset_fetch_response_group_topic *g = groups ? &f->out.groups[0].topics[t] : NULL;
        const struct offset_fetch_response_topic *o = groups ? NULL : &f->out.topics[t];
        uint32_t count = g ? g->partitions_count : o->partitions_count;
        for (uint32_t i = 0; i < count; i++) {
            struct group_offset got;
            if (g)
                got = (struct group_offset){g->name,
                                            g->partitions[i].partition_index,
                                            g->partitions[i].committed_offset,
                                            g->partitions[i].committed_leader_epoch,
                                            g->partitions[i].metadata,
                                            g->partitions[i].error_code};
            else
                got = (struct group_offset){o->name,
                                            o->partitions[i].partition_index,
                                            o->partitions[i].committed_offset,
                                            o->partitions[i].committed_leader_epoch,
                                            o->partitions[i].metadata,
                                            o->partitions[i].error_code};
            each(context, &got);
        }
    }
}

struct taking {
    struct group_offset *list;
    uint32_t count;
};

static void take_one(void *context, const struct group_offset *o)
{
    struct taking *t = context;
    answer(t->list, t->count, o->topic, o->partition, o);
}

enum rc group_offsets_fetch(const struct group_asker *who, struct group_offset *list, uint32_t count,
                            bool require_stable, struct arena *arena, int16_t *code)
{
    struct fetching f = {0};
    if (!write_fetch(who, list, count, require_stable, arena, &f))
        return RC_NOMEM;
    enum rc rc = call_fetch(who, &f, arena, code);
    expect_answers(list, count);
    if (rc == RC_OK && *code == 0)
        each_answer(&f, take_one, &(struct taking){list, count});
    settle_unanswered(list, count);
    return rc;
}

static void count_one(void *context, const struct group_offset *o)
{
    (void)o;
    ++*(uint32_t *)context;
}

static void append_one(void *context, const struct group_offset *o)
{
    struct taking *t = context;
    t->list[t->count++] = *o;
}

static int compare_offsets(const void *left, const void *right)
{
    const struct group_offset *a = left, *b = right;
    int c = bytes_cmp(a->topic, b->topic);
    return c ? c : (a->partition > b->partition) - (a->partition < b->partition);
}

enum rc group_offsets_fetch_all(const struct group_asker *who, struct arena *arena, struct group_offset **list,
                                uint32_t *count, int16_t *code)
{
    struct fetching f = {0};
    uint32_t most = 0;
    *list = NULL;
    *count = 0;
    write_fetch(who, NULL, 0, false, arena, &f);
    enum rc rc = call_fetch(who, &f, arena, code);
    if (rc != RC_OK || *code)
        return rc;
    each_answer(&f, count_one, &most);
    struct taking t = {.list = arena_array(arena, (size_t)most + 1, sizeof(*t.list))};
    if (!t.list)
        return RC_NOMEM;
    each_answer(&f, append_one, &t);
    if (t.count > 1)
        qsort(t.list, t.count, sizeof(*t.list), compare_offsets);
    *list = t.list;
    *count = t.count;
    return RC_OK;
}

// ------------------------------------------------------------------------------------------------ FindCoordinator

static enum rc ask_coordinator(struct client *c, const char *group_id, int32_t *node_id, int16_t *code)
{
    struct find_coordinator_request in;
    struct find_coordinator_response out;
    struct bytes key = bytes_str(group_id);
    struct arena a;
    find_coordinator_request_init(&in);
    in.key = key;
    in.coordinator_keys = &key;
    in.coordinator_keys_count = 1;
    arena_init(&a, 1 << 20, NULL, 0);
    struct client_call call = {.node_id = CLIENT_NODE_ANY,
                               .request = &find_coordinator_request_message,
                               .answer = &find_coordinator_response_message,
                               .in = &in,
                               .out = &out,
                               .arena = &a};
    enum rc rc = client_call(c, &call);
    if (rc == RC_OK && call.version < FIND_COORDINATOR_VERSION_KEYS) {
        *code = out.error_code;
        *node_id = out.node_id;
    } else if (rc == RC_OK) {
        *code = out.coordinators_count == 1 ? out.coordinators[0].error_code : -1;
        *node_id = out.coordinators_count == 1 ? out.coordinators[0].node_id : -1;
    }
    arena_deinit(&a);
    return rc;
}

enum rc client_coordinator(struct client *c, const char *group_id, int32_t *node_id, int16_t *code)
{
    uint64_t deadline = io_clock_ns(c->shard->io) + (uint64_t)c->config.timeout_ms * 1000000;
    for (;;) {
        *code = 0;
        enum rc rc = ask_coordinator(c, group_id, node_id, code);
        if (rc != RC_OK || *code == 0)
            return rc;
        if (!kerr_retriable(*code) || io_clock_ns(c->shard->io) >= deadline) {
            client_explain(c, "no coordinator for group '%s': %s", group_id, kerr_name(*code));
            return RC_NOT_FOUND;
        }
        client_wait_ms(c, GROUP_OFFSETS_WAIT_MS);
    }
}
