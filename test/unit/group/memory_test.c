// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "heap.h"
#include "rig.h"

// An application's consumer: two assignors, one topic, a client id, a handful of partitions committed.
static void one_group(struct rig *r, int number)
{
    static const char *const protocols[] = {"range", "cooperative-sticky"};
    char group[40], id[128];
    snprintf(group, sizeof(group), "application-%05d", number);
    struct rig_call *c = rig_join_as(r, group, "", NULL, 3, protocols, 2, "orders");
    rig_advance(r, 3000);
    cr_assert(c->back);
    snprintf(id, sizeof(id), "%s", rig_text(rig_joined(c)->member_id));
    rig_call_free(c);
    const char *assigned[] = {id, "0123456789012345678901234567890123456789012345678901234567890123"};
    rig_call_free(rig_sync(r, group, id, 1, assigned, 2));
    for (int p = 0; p < 4; p++)
        cr_assert_eq(rig_commit_error(rig_commit(r, group, id, 1, "orders", p, 100 + p)), 0);
}

static int64_t log_cost(const struct rig *r)
{
    int64_t bytes = (int64_t)(r->log.cap * sizeof(*r->log.p));
    for (size_t i = 0; i < r->log.count; i++) {
        int64_t n = ((int64_t)r->log.p[i].n + 8 + 15) & ~15;
        bytes += n < 32 ? 32 : n;
    }
    return bytes;
}

Test(memory, an_idle_group_costs_less_than_2_kib)
{
    static struct rig r;
    r = (struct rig){.config.batch_bytes_max = 0};
    groups_config_default(&r.config);
    r.config.session_timeout_min_ms = 1;
    r.config.initial_rebalance_delay_ms = 0;
    rig_begin(&r);
    enum { COUNT = 200 };
    int64_t before = heap_bytes;
    for (int i = 0; i < COUNT; i++) {
        one_group(&r, i);
        r.now.settled_ms = ++r.now.wall_ms;
    }
    int64_t each = (heap_bytes - before - log_cost(&r)) / COUNT;
    fprintf(stderr, "an idle group of one member with four offsets: %lld bytes\n", (long long)each);
    cr_assert_lt(each, 2048);
    rig_reload(&r);
    int64_t loaded = (heap_bytes - before - log_cost(&r)) / COUNT;
    fprintf(stderr, "the same after a reload: %lld bytes\n", (long long)loaded);
    cr_assert_lt(loaded, 2048);
    rig_end(&r);
}

// ------------------------------------------------------------------------------------------------ failing

static void give_back(struct rig *r, struct rig_call *c)
{
    for (int i = 0; i < 100 && !c->back; i++)
        rig_advance(r, 10000);
    cr_assert(c->back);
    rig_call_free(c);
}

// A little of everything; answers may be errors or missing, but every call must come back.
static void scenario(struct rig *r)
{
    static const char *const protocols[] = {"range", "sticky"};
    char id[128] = "";
    struct rig_call *a = rig_join_as(r, "g", "", NULL, 3, protocols, 2, "orders");
    struct rig_call *b = rig_join_as(r, "g", "", "one", 9, protocols, 2, "orders");
    rig_advance(r, 6000); // the initial delay, twice
    int32_t generation = 1;
    if (a->back && a->call.response && rig_joined(a)->error_code == 0) {
        snprintf(id, sizeof(id), "%s", rig_text(rig_joined(a)->member_id));
        generation = rig_joined(a)->generation_id;
    }
    give_back(r, a);
    give_back(r, b);
    const char *assigned[] = {id, "all"};
    give_back(r, rig_sync(r, "g", id, generation, assigned, 2));
    struct rig_call *c = rig_commit(r, "g", id, generation, "orders", 1, 10);
    give_back(r, c);
    give_back(r, rig_commit(r, "s", "", -1, "clicks", 1, 10));
    give_back(r, rig_join_as(r, "g", "", "one", 9, protocols, 2, "orders")); // replaced
    c = rig_call_new(GROUP_FETCH, 8, "g");
    c->fetch_group = (struct offset_fetch_request_group){.member_epoch = -1};
    c->fetch.group = &c->fetch_group;
    c->call.request = &c->fetch;
    rig_send(r, c);
    give_back(r, c);
    c = rig_call_new(GROUP_DESCRIBE, 5, "g");
    c->call.include_events = true;
    rig_send(r, c);
    give_back(r, c);
    c = rig_call_new(GROUP_LIST, 5, "");
    list_groups_request_init(&c->list);
    c->call.request = &c->list;
    rig_send(r, c);
    give_back(r, c);
    c = rig_delete_made("s", "clicks", 1);
    rig_send(r, c);
    give_back(r, c);
    rig_advance(r, 20000); // sessions end
    c = rig_call_new(GROUP_DELETE, 2, "g");
    rig_send(r, c);
    give_back(r, c);
}

static void check_replay(struct rig *r)
{
    struct groups g;
    cr_assert_eq(groups_init(&g, &r->config, &r->host, 1), RC_OK);
    for (size_t i = 0; i < r->log.count; i++)
        rig_apply_batch(&g, r->log.p[i]);
    char *live = rig_state_text(&r->g), *other = rig_state_text(&g);
    cr_assert_str_eq(live, other);
    free(live);
    free(other);
    groups_stop(&g, RC_NOT_COORDINATOR);
    groups_deinit(&g);
}

static bool one_failure(uint64_t n, uint64_t each)
{
    static struct rig r;
    r = (struct rig){.seed = 7};
    rig_begin(&r);
    heap_fail(n, each);
    scenario(&r);
    bool failed = heap_failed(), broken = r.g.broken;
    heap_fail(0, 0);
    if (broken)
        rig_reload(&r);
    check_replay(&r);
    const char *id = rig_stable(&r, "after"); // and it goes on
    cr_assert_eq(rig_commit_error(rig_commit(&r, "after", id, 1, "orders", 0, 1)), 0);
    rig_end(&r);
    return failed;
}

static void cr_assert_whole(struct bytes b)
{
    cr_assert(b.p || b.n == 0, "%zu bytes of nothing", b.n);
}

// A description of 40 members does not fit one block of memory: whichever is missing, nothing of it is told.
Test(memory, an_answer_is_whole_or_none)
{
    enum { MEMBERS = 40 };
    static const char *const protocols[] = {"range", "sticky"};
    static struct rig r;
    r = (struct rig){.seed = 7};
    rig_begin(&r);
    struct rig_call *joins[MEMBERS];
    const char *ids[MEMBERS];
    char texts[MEMBERS][128];
    for (int i = 0; i < MEMBERS; i++)
        joins[i] = rig_join_as(&r, "g", "", NULL, 3, protocols, 2, "orders");
    rig_advance(&r, 6000);
    for (int i = 0; i < MEMBERS; i++) {
        cr_assert(joins[i]->back);
        snprintf(texts[i], sizeof(texts[i]), "%s", rig_text(rig_joined(joins[i])->member_id));
        ids[i] = texts[i];
    }
    const char *leader = rig_text(rig_joined(joins[0])->leader);
    const char *assigned[2 * MEMBERS];
    for (int i = 0; i < MEMBERS; i++) {
        assigned[2 * i] = ids[i];
        assigned[2 * i + 1] = "what this member is to read from now on";
    }
    rig_call_free(rig_sync(&r, "g", leader, 1, assigned, 2 * MEMBERS));
    uint64_t n = 1;
    for (bool failed = true; failed; n++) {
        struct rig_call *c = rig_call_new(GROUP_DESCRIBE, 5, "g");
        heap_fail(n, 0);
        rig_send(&r, c);
        failed = heap_failed();
        heap_fail(0, 0);
        cr_assert(c->back);
        const struct describe_groups_response_group *out = c->call.response;
        cr_assert(out || failed);
        cr_assert(!out || out->members_count == MEMBERS);
        for (int i = 0; out && i < MEMBERS; i++) {
            const struct describe_groups_response_member *m = &out->members[i];
            const struct bytes all[] = {m->member_id,   m->group_instance_id, m->client_id,
                                        m->client_host, m->member_metadata,   m->member_assignment};
            for (size_t k = 0; k < ARRAY_COUNT(all); k++)
                cr_assert_whole(all[k]);
            cr_assert_gt(m->member_assignment.n, 0);
        }
        rig_call_free(c);
    }
    cr_assert_gt(n, 4);
    for (int i = 0; i < MEMBERS; i++)
        rig_call_free(joins[i]);
    rig_end(&r);
}

Test(memory, every_allocation_may_fail)
{
    uint64_t n = 1;
    while (one_failure(n, 0))
        n++;
    fprintf(stderr, "%llu allocations failed, one by one\n", (unsigned long long)n - 1);
    cr_assert_gt(n, 60);
}

Test(memory, many_allocations_fail)
{
    for (uint64_t each = 2; each < 40; each++)
        for (uint64_t first = 1; first <= each; first++)
            one_failure(first, each);
}

Test(memory, loading_may_fail)
{
    static struct rig r;
    r = (struct rig){.seed = 7};
    rig_begin(&r);
    const char *id = rig_stable(&r, "g");
    cr_assert_eq(rig_commit_error(rig_commit(&r, "g", id, 1, "orders", 0, 1)), 0);
    for (uint64_t n = 1;; n++) {
        struct groups g;
        heap_fail(n, 0);
        heap_enter();
        enum rc rc = groups_init(&g, &r.config, &r.host, 1);
        if (rc == RC_OK) {
            for (size_t i = 0; rc == RC_OK && i < r.log.count; i++) {
                struct batch_header h;
                struct batch_iter it;
                struct record rec;
                batch_header_read(r.log.p[i], &h);
                batch_iter_init(&it, &h, bytes_of(r.log.p[i].p + BATCH_HEADER_BYTES, r.log.p[i].n - BATCH_HEADER_BYTES));
                while (rc == RC_OK && batch_iter_next(&it, &rec))
                    rc = groups_apply(&g, PRODUCER_ID_NONE, -1, rec.key, rec.value);
            }
            if (rc == RC_OK)
                groups_loaded(&g, r.now);
            heap_leave();
            groups_stop(&g, RC_NOT_COORDINATOR);
            groups_deinit(&g);
        }
        heap_leave();
        bool failed = heap_failed();
        heap_fail(0, 0);
        cr_assert(rc == (failed ? RC_NOMEM : RC_OK));
        if (!failed)
            break;
    }
    rig_end(&r);
}
