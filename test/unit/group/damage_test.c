// SPDX-License-Identifier: Apache-2.0
//
// A log with damaged records in it: whatever they say, the core loads, goes on, and a snapshot of it is what it is.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "consumer_rig.h"

struct item {
    struct bytes key, value;
};

static uint32_t items_of(const struct rig *r, struct item *out, uint32_t most)
{
    uint32_t count = 0;
    for (size_t i = 0; i < r->log.count; i++) {
        struct batch_header h;
        struct batch_iter it;
        struct record rec;
        cr_assert_eq(batch_header_read(r->log.p[i], &h), RC_OK);
        batch_iter_init(&it, &h, bytes_of(r->log.p[i].p + BATCH_HEADER_BYTES, r->log.p[i].n - BATCH_HEADER_BYTES));
        while (batch_iter_next(&it, &rec) && count < most)
            out[count++] = (struct item){.key = rec.key, .value = rec.value};
    }
    return count;
}

// A copy with some bytes changed, cut or repeated, on the heap, so that a read behind it is seen.
static struct bytes damaged(struct prng *p, struct bytes b, bool keep_kind)
{
    if (!b.p)
        return b;
    size_t n = b.n;
    if (prng_chance(p, 1, 4))
        n = prng_below(p, n + 1);
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, b.p, n);
    for (uint64_t k = prng_below(p, 4); k > 0 && n > 2; k--) {
        size_t at = keep_kind && prng_chance(p, 9, 10) ? 2 + prng_below(p, n - 2) : prng_below(p, n);
        uint8_t flip = (uint8_t)(1u << prng_below(p, 8));
        copy[at] = prng_chance(p, 1, 2) ? copy[at] ^ flip : (uint8_t)prng_below(p, 256);
    }
    return bytes_of(copy, n);
}

static void apply_text(struct rig *r, struct groups *g)
{
    struct buf out;
    struct groups_cursor cursor = {0};
    enum rc rc;
    buf_init(&out, INT32_MAX);
    while ((rc = groups_snapshot(&r->g, &cursor, 50, &out)) == RC_AGAIN)
        ;
    cr_assert_eq(rc, RC_OK);
    struct bytes in = buf_bytes(&out);
    uint64_t n;
    while (in.n) {
        cr_assert(varint_get(&in, VARINT_BYTES_MAX, &n));
        struct bytes key = bytes_of(in.p, n);
        in = bytes_of(in.p + n, in.n - n);
        cr_assert(varint_get(&in, VARINT_BYTES_MAX, &n));
        cr_assert_eq(groups_apply(g, PRODUCER_ID_NONE, -1, key, bytes_of(in.p, n)), RC_OK);
        in = bytes_of(in.p + n, in.n - n);
    }
    buf_deinit(&out);
}

static void check_snapshot(struct rig *r)
{
    struct groups g;
    cr_assert_eq(groups_init(&g, &r->config, &r->host, 1), RC_OK);
    apply_text(r, &g);
    char *live = rig_state_text(&r->g), *other = rig_state_text(&g);
    cr_assert_str_eq(live, other);
    free(live);
    free(other);
    groups_stop(&g, RC_NOT_COORDINATOR);
    groups_deinit(&g);
}

static void use(struct rig *r)
{
    struct rig_call *c = rig_call_new(GROUP_LIST, 5, "");
    list_groups_request_init(&c->list);
    c->call.request = &c->list;
    rig_send(r, c);
    rig_call_free(c);
    const char *groups[] = {"g", "s", "empty"};
    for (size_t i = 0; i < ARRAY_COUNT(groups); i++) {
        rig_state(r, groups[i]);
        rig_committed(r, groups[i], "orders", 0);
        c = rig_join(r, groups[i], "", "one", 9);
        rig_advance(r, 100000);
        cr_assert(c->back);
        rig_call_free(c);
    }
    for (int i = 0; i < 8; i++) {
        beat(r, JOIN("m1", "orders", .group = "c", .instance = "i1"));
        beat(r, JOIN("m9", "clicks", .group = "c"));
        beat(r, BEAT("m2", i, .group = "c", .owned = ""));
    }
    consumer_check(r, "c");
    c = rig_call_new(GROUP_CONSUMER_DESCRIBE, 0, "c");
    rig_send(r, c);
    rig_call_free(c);
    rig_advance(r, UINT64_C(9) * 24 * 3600 * 1000);
}

Test(damage, a_log_with_damaged_records_loads_and_goes_on)
{
    static struct rig source, r;
    struct item items[128];
    source = (struct rig){.seed = 3};
    rig_begin(&source);
    const char *id = rig_stable(&source, "g");
    rig_commit_error(rig_commit(&source, "g", id, 1, "orders", 0, 1));
    rig_commit_error(rig_commit(&source, "s", "", -1, "clicks", 2, 5));
    rig_stable(&source, "empty");
    rig_advance(&source, 20000);
    rig_delete(&source, "empty");
    beat(&source, JOIN("m1", "orders", .group = "c", .instance = "i1", .rack = "r1"));
    beat(&source, JOIN("m2", "orders,clicks", .group = "c", .assignor = "range"));
    beat(&source, JOIN("m3", NULL, .group = "c", .regex = "or.*"));
    rig_advance(&source, 1);
    beat(&source, BEAT("m1", 1, .group = "c", .instance = "i1", .owned = "orders:0-11"));
    beat(&source, BEAT("m2", -1, .group = "c"));
    rig_call_free(rig_join(&source, "c", "x", NULL, 3)); // a classic member in it
    uint32_t count = items_of(&source, items, ARRAY_COUNT(items));
    cr_assert_gt(count, 5);
    for (uint64_t seed = 0; seed < 1500; seed++) {
        struct prng p;
        prng_init(&p, seed);
        r = (struct rig){.seed = seed};
        groups_config_default(&r.config);
        rig_host(&r);
        cr_assert_eq(groups_init(&r.g, &r.config, &r.host, seed), RC_OK);
        for (int k = 0; k < 24; k++) {
            struct item *i = &items[prng_below(&p, count)];
            struct bytes key = damaged(&p, i->key, true), value = damaged(&p, i->value, false);
            cr_assert_eq(groups_apply(&r.g, prng_chance(&p, 1, 20) ? 5 : PRODUCER_ID_NONE, 0, key, value), RC_OK);
            free((void *)key.p);
            free((void *)value.p);
        }
        groups_apply_marker(&r.g, 5, 0, prng_chance(&p, 1, 2));
        groups_loaded(&r.g, r.now);
        check_snapshot(&r);
        use(&r);
        rig_end(&r);
    }
    rig_end(&source);
}
