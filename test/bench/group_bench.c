// SPDX-License-Identifier: Apache-2.0
//
// What the group coordinator's core costs: commits, heartbeats, fetches; loading 10,000 groups.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "group/core.h"

enum { GROUPS = 10000, OFFSETS = 5, ROUNDS = 300000 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct group_time now = {.now_ns = 1000000000, .wall_ms = 1700000000000, .settled_ms = 1700000000000};

static void finish(struct groups *g, struct buf *log)
{
    struct group_append *a;
    while ((a = groups_next_append(g)) != NULL) {
        if (log)
            buf_append(log, a->batch.p, a->batch.n);
        groups_append_done(g, a, RC_OK, now);
    }
}

static void drain(struct groups *g)
{
    struct group_call *c;
    while ((c = groups_next_answer(g)) != NULL)
        group_call_deinit(c);
}

static void join(struct groups *g, struct buf *log, const char *group)
{
    static const uint8_t metadata[60] = {0, 1, 0, 0, 0, 1, 0, 6, 'o', 'r', 'd', 'e', 'r', 's', 255, 255, 255, 255};
    struct join_group_request_protocol p[2] = {{.name = bytes_str("range"), .metadata = bytes_of(metadata, 18)},
                                               {.name = bytes_str("cooperative-sticky"), .metadata = bytes_of(metadata, 60)}};
    struct join_group_request in;
    join_group_request_init(&in);
    in.session_timeout_ms = 1800000;
    in.rebalance_timeout_ms = 60000;
    in.protocol_type = bytes_str("consumer");
    in.group_instance_id = bytes_str("instance");
    in.protocols = p;
    in.protocols_count = 2;
    struct group_call c = {.kind = GROUP_JOIN, .version = 9, .group_id = bytes_str(group), .request = &in,
                           .client_id = bytes_str("consumer-application-1"), .client_host = "/127.0.0.1"};
    groups_call(g, &c, now);
    now.now_ns += 2000000;
    groups_tick(g, now);
    struct group_call *back = groups_next_answer(g);
    struct sync_group_request_assignment share = {.assignment = bytes_of(metadata, 60)};
    struct sync_group_request sync;
    sync_group_request_init(&sync);
    sync.generation_id = 1;
    sync.member_id = share.member_id = ((struct join_group_response *)back->response)->member_id;
    sync.assignments = &share;
    sync.assignments_count = 1;
    struct group_call s = {.kind = GROUP_SYNC, .version = 5, .group_id = c.group_id, .request = &sync};
    groups_call(g, &s, now);
    finish(g, log);
    drain(g);
    group_call_deinit(back);
}

static void commit(struct groups *g, struct buf *log, const char *group, int64_t offset)
{
    struct offset_commit_request_partition p[OFFSETS];
    for (int i = 0; i < OFFSETS; i++) {
        offset_commit_request_partition_init(&p[i]);
        p[i].partition_index = i;
        p[i].committed_offset = offset;
        p[i].committed_metadata = bytes_str("");
    }
    struct offset_commit_request_topic t = {.name = bytes_str("orders"), .partitions = p, .partitions_count = OFFSETS};
    struct offset_commit_request in;
    offset_commit_request_init(&in);
    in.member_id = bytes_str("");
    in.topics = &t;
    in.topics_count = 1;
    struct group_call c = {.kind = GROUP_COMMIT, .version = 8, .group_id = bytes_str(group), .request = &in};
    groups_call(g, &c, now);
    finish(g, log);
    drain(g);
}

// One group of many members: everybody joins, the leader assigns, everybody gets a share.
static void large(struct groups *g, uint32_t members)
{
    static const uint8_t metadata[60] = {0, 1, 0, 0, 0, 1, 0, 6, 'o', 'r', 'd', 'e', 'r', 's', 255, 255, 255, 255};
    struct join_group_request_protocol p[2] = {{.name = bytes_str("range"), .metadata = bytes_of(metadata, 18)},
                                               {.name = bytes_str("cooperative-sticky"), .metadata = bytes_of(metadata, 60)}};
    struct join_group_request in;
    join_group_request_init(&in);
    in.session_timeout_ms = 1800000;
    in.rebalance_timeout_ms = 60000;
    in.protocol_type = bytes_str("consumer");
    in.protocols = p;
    in.protocols_count = 2;
    struct group_call *joins = calloc(members, sizeof(*joins)), *syncs = calloc(members, sizeof(*syncs));
    struct sync_group_request *requests = calloc(members, sizeof(*requests));
    struct sync_group_request_assignment *shares = calloc(members, sizeof(*shares));
    if (!joins || !syncs || !requests || !shares)
        abort();
    double at = seconds();
    for (uint32_t i = 0; i < members; i++) {
        joins[i] = (struct group_call){.kind = GROUP_JOIN, .version = 3, .group_id = bytes_str("large"), .request = &in,
                                       .client_id = bytes_str("consumer-application-1"), .client_host = "/127.0.0.1"};
        groups_call(g, &joins[i], now);
    }
    now.now_ns += 2000000;
    groups_tick(g, now);
    now.now_ns += 2000000;
    groups_tick(g, now);
    while (groups_next_answer(g))
        ;
    for (uint32_t i = 0; i < members; i++)
        shares[i] = (struct sync_group_request_assignment){
            .member_id = ((struct join_group_response *)joins[i].response)->member_id, .assignment = bytes_of(metadata, 60)};
    for (uint32_t i = members; i-- > 0;) {
        sync_group_request_init(&requests[i]);
        requests[i].generation_id = 1;
        requests[i].member_id = shares[i].member_id;
        requests[i].assignments = i ? NULL : shares;
        requests[i].assignments_count = i ? 0 : members;
        syncs[i] = (struct group_call){.kind = GROUP_SYNC, .version = 5, .group_id = bytes_str("large"), .request = &requests[i]};
        groups_call(g, &syncs[i], now);
    }
    finish(g, NULL);
    while (groups_next_answer(g))
        ;
    for (uint32_t i = 0; i < members; i++) {
        if (((struct sync_group_response *)syncs[i].response)->assignment.n != 60)
            abort();
        group_call_deinit(&joins[i]);
        group_call_deinit(&syncs[i]);
    }
    printf("a group of %u members formed: %.1f ms\n", members, (seconds() - at) * 1e3);
    free(joins);
    free(syncs);
    free(requests);
    free(shares);
}

static uint64_t load(struct groups *g, struct bytes log)
{
    uint64_t records = 0;
    while (log.n) {
        struct batch_header h;
        struct batch_iter it;
        struct record r;
        if (batch_header_read(log, &h) != RC_OK)
            abort();
        batch_iter_init(&it, &h, bytes_of(log.p + BATCH_HEADER_BYTES, batch_bytes(&h) - BATCH_HEADER_BYTES));
        for (; batch_iter_next(&it, &r); records++)
            if (groups_apply(g, PRODUCER_ID_NONE, -1, r.key, r.value) != RC_OK)
                abort();
        log = bytes_of(log.p + batch_bytes(&h), log.n - batch_bytes(&h));
    }
    groups_loaded(g, now);
    return records;
}

static void end(struct groups *g)
{
    groups_stop(g, RC_NOT_COORDINATOR);
    drain(g);
    groups_deinit(g);
}

int main(void)
{
    struct groups_config config;
    struct groups_host host = {0};
    struct groups g;
    struct buf log;
    char name[32];
    groups_config_default(&config);
    config.initial_rebalance_delay_ms = 0;
    buf_init(&log, INT32_MAX);
    if (groups_init(&g, &config, &host, 1) != RC_OK)
        return 1;
    groups_loaded(&g, now);
    double at = seconds();
    for (int i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof(name), "application-%05d", i);
        join(&g, &log, name);
    }
    printf("%d groups formed: %.2f us each\n", GROUPS, (seconds() - at) * 1e6 / GROUPS);
    for (int i = 0; i < GROUPS; i++) {
        snprintf(name, sizeof(name), "simple-%05d", i);
        commit(&g, &log, name, i);
    }
    at = seconds();
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof(name), "simple-%05d", i % GROUPS);
        commit(&g, NULL, name, i);
    }
    printf("commit of %d partitions, decided, applied, answered: %.2f us\n", OFFSETS, (seconds() - at) * 1e6 / ROUNDS);
    end(&g);
    if (groups_init(&g, &config, &host, 1) != RC_OK)
        return 1;
    at = seconds();
    uint64_t records = load(&g, buf_bytes(&log));
    double took = seconds() - at;
    printf("load: %llu records of %d groups in %.1f ms, %.2f us each\n", (unsigned long long)records, 2 * GROUPS, took * 1e3,
           took * 1e6 / (double)records);
    large(&g, 2000);
    end(&g);
    buf_deinit(&log);
    return 0;
}
