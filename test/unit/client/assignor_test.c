// SPDX-License-Identifier: Apache-2.0
//
// The splits that Kafka documents, and what must hold of every sticky one: even, complete, nobody has what another
// still reads, and nothing moves without need.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/prng.h"
#include "client/assignor.h"

enum { TOPICS_MAX = 8, MEMBERS_MAX = 12, PARTITIONS_MAX = 40 };

static struct arena arena;
static struct client_assignor_topic topics[TOPICS_MAX];
static struct client_assignor_member members[MEMBERS_MAX];
static uint32_t subscriptions[MEMBERS_MAX][TOPICS_MAX];
static char names[TOPICS_MAX + MEMBERS_MAX][24];
static struct client_assignment a;

static void setup(void)
{
    arena_init(&arena, 16 << 20, NULL, 0);
    memset(members, 0, sizeof(members));
    a = (struct client_assignment){.topics = topics, .members = members, .arena = &arena};
}

static void add_topic(const char *name, int32_t partitions)
{
    snprintf(names[a.topic_count], sizeof(names[0]), "%s", name);
    topics[a.topic_count] =
        (struct client_assignor_topic){.name = bytes_str(names[a.topic_count]), .partition_count = partitions};
    a.topic_count++;
}

// topic_bits: which of the topics it subscribes to
static void add_member(const char *id, uint32_t topic_bits)
{
    struct client_assignor_member *m = &members[a.member_count];
    char *name = names[TOPICS_MAX + a.member_count];
    snprintf(name, sizeof(names[0]), "%s", id);
    *m = (struct client_assignor_member){.id = bytes_str(name), .topics = subscriptions[a.member_count]};
    for (uint32_t t = 0; t < a.topic_count; t++)
        if (topic_bits & 1u << t)
            subscriptions[a.member_count][m->topic_count++] = t;
    a.member_count++;
}

// "C0: t0p0 t0p2; C1: t0p1": what everybody got.
static const char *text(void)
{
    static char out[4096];
    size_t n = 0;
    out[0] = 0;
    for (uint32_t m = 0; m < a.member_count; m++) {
        n +=
            (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s:", m ? "; " : "", (int)members[m].id.n, members[m].id.p);
        for (uint32_t i = 0; i < members[m].assigned_count; i++)
            n +=
                (size_t)snprintf(out + n, sizeof(out) - n, " %.*sp%d", (int)topics[members[m].assigned[i].topic].name.n,
                                 topics[members[m].assigned[i].topic].name.p, members[m].assigned[i].index);
    }
    return out;
}

TestSuite(assignor, .init = setup);

Test(assignor, range_gives_each_topic_in_ranges_the_first_ones_longer)
{
    add_topic("t0", 3);
    add_topic("t1", 3);
    add_member("C1", 3);
    add_member("C0", 3);
    cr_assert_eq(client_assign_range(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0 t0p1 t1p0 t1p1; C1: t0p2 t1p2");
}

Test(assignor, range_leaves_members_beyond_the_partitions_without_any)
{
    add_topic("t0", 2);
    add_member("C0", 1);
    add_member("C1", 1);
    add_member("C2", 1);
    cr_assert_eq(client_assign_range(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0; C1: t0p1; C2:");
}

Test(assignor, range_spreads_ten_over_four)
{
    add_topic("t0", 10);
    add_member("C0", 1);
    add_member("C1", 1);
    add_member("C2", 1);
    add_member("C3", 1);
    cr_assert_eq(client_assign_range(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0 t0p1 t0p2; C1: t0p3 t0p4 t0p5; C2: t0p6 t0p7; C3: t0p8 t0p9");
}

Test(assignor, roundrobin_takes_turns_over_all_topics)
{
    add_topic("t0", 3);
    add_topic("t1", 3);
    add_member("C0", 3);
    add_member("C1", 3);
    cr_assert_eq(client_assign_roundrobin(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0 t0p2 t1p1; C1: t0p1 t1p0 t1p2");
}

Test(assignor, roundrobin_skips_who_does_not_subscribe)
{
    add_topic("t0", 1);
    add_topic("t1", 2);
    add_topic("t2", 3);
    add_member("C0", 1);
    add_member("C1", 3);
    add_member("C2", 7);
    cr_assert_eq(client_assign_roundrobin(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0; C1: t1p0; C2: t1p1 t2p0 t2p1 t2p2");
}

Test(assignor, static_members_come_first_by_their_instance_id)
{
    add_topic("t0", 3);
    add_member("a", 1);
    add_member("b", 1);
    add_member("c", 1);
    members[1].instance_id = bytes_str("2");
    members[2].instance_id = bytes_str("1");
    cr_assert_eq(client_assign_range(&a), RC_OK);
    cr_assert_str_eq(text(), "c: t0p0; b: t0p1; a: t0p2");
}

Test(assignor, names_are_kafkas)
{
    cr_assert_str_eq(client_assignor_find("org.apache.kafka.clients.consumer.RangeAssignor")->name, "range");
    cr_assert(client_assignor_find("cooperative-sticky")->cooperative);
    cr_assert_not(client_assignor_find("roundrobin")->cooperative);
    cr_assert_null(client_assignor_find("sticky"));
}

Test(assignor, sticky_moves_only_what_a_new_member_needs_and_waits_for_its_owner)
{
    static const struct client_assignor_partition owned[] = {{0, 0}, {0, 1}, {0, 2}, {0, 3}};
    add_topic("t0", 4);
    add_member("C0", 1);
    add_member("C1", 1);
    members[0].owned = owned;
    members[0].owned_count = 4;
    cr_assert_eq(client_assign_sticky(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0 t0p1; C1:", "what moves is given up first");
    members[0].owned_count = 2;
    cr_assert_eq(client_assign_sticky(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p0 t0p1; C1: t0p2 t0p3");
}

Test(assignor, sticky_believes_the_later_generation)
{
    static const struct client_assignor_partition owned[] = {{0, 0}, {0, 1}};
    add_topic("t0", 2);
    add_member("C0", 1);
    add_member("C1", 1);
    members[0].owned = members[1].owned = owned;
    members[0].owned_count = 2;
    members[0].generation = 3; // a zombie: it has missed a round
    members[1].owned_count = 1;
    members[1].generation = 4;
    cr_assert_eq(client_assign_sticky(&a), RC_OK);
    cr_assert_str_eq(text(), "C0: t0p1; C1: t0p0");
}

// ------------------------------------------------------------------------------------------------ many rounds

static struct client_assignor_partition owned[MEMBERS_MAX][TOPICS_MAX * PARTITIONS_MAX];

static void check_complete(bool settled)
{
    static int holders[TOPICS_MAX][PARTITIONS_MAX];
    uint32_t least = UINT32_MAX, most = 0;
    memset(holders, 0, sizeof(holders));
    for (uint32_t m = 0; m < a.member_count; m++) {
        least = members[m].assigned_count < least ? members[m].assigned_count : least;
        most = members[m].assigned_count > most ? members[m].assigned_count : most;
        for (uint32_t i = 0; i < members[m].assigned_count; i++)
            holders[members[m].assigned[i].topic][members[m].assigned[i].index]++;
    }
    for (uint32_t t = 0; t < a.topic_count; t++)
        for (int32_t p = 0; p < topics[t].partition_count; p++)
            cr_assert(holders[t][p] == 1 || (!settled && holders[t][p] == 0), "t%u p%d: %d", t, p, holders[t][p]);
    if (settled)
        cr_assert_leq(most - least, 1, "everybody subscribes to everything");
}

// Everybody owns what the last round gave them. Returns how many partitions changed hands or were taken away.
static uint32_t next_round(void)
{
    uint32_t moved = 0;
    for (uint32_t m = 0; m < a.member_count; m++)
        moved += members[m].owned_count;
    cr_assert_eq(client_assign_sticky(&a), RC_OK);
    for (uint32_t m = 0; m < a.member_count; m++) {
        for (uint32_t i = 0; i < members[m].assigned_count; i++)
            for (uint32_t k = 0; k < members[m].owned_count; k++)
                moved -= memcmp(&members[m].assigned[i], &members[m].owned[k],
                                sizeof(struct client_assignor_partition)) == 0;
    }
    static struct client_assignor_partition next[MEMBERS_MAX][TOPICS_MAX * PARTITIONS_MAX];
    for (uint32_t m = 0; m < a.member_count; m++)
        memcpy(next[m], members[m].assigned, members[m].assigned_count * sizeof(next[m][0]));
    memcpy(owned, next, sizeof(owned));
    for (uint32_t m = 0; m < a.member_count; m++) {
        members[m].owned = owned[m];
        members[m].owned_count = members[m].assigned_count;
        members[m].generation++;
    }
    return moved;
}

Test(assignor, sticky_settles_in_two_rounds_after_any_change)
{
    struct prng random;
    prng_init(&random, 3);
    for (int trial = 0; trial < 50; trial++) {
        char name[24];
        setup();
        uint32_t topic_count = 1 + (uint32_t)prng_below(&random, 4), total = 0;
        for (uint32_t t = 0; t < topic_count; t++) {
            snprintf(name, sizeof(name), "t%u", t);
            add_topic(name, 1 + (int32_t)prng_below(&random, PARTITIONS_MAX));
            total += (uint32_t)topics[t].partition_count;
        }
        uint32_t member_count = 1 + (uint32_t)prng_below(&random, MEMBERS_MAX - 1);
        for (uint32_t m = 0; m < member_count; m++) {
            snprintf(name, sizeof(name), "C%02u", m);
            add_member(name, ~0u);
        }
        cr_assert_eq(next_round(), 0);
        check_complete(true);
        cr_assert_eq(next_round(), 0, "nothing moves when nothing changed");
        snprintf(name, sizeof(name), "C%02u", member_count);
        add_member(name, ~0u);
        uint32_t moved = next_round();
        check_complete(false);
        cr_assert_leq(moved, total / a.member_count + 1, "only what the new one is due");
        cr_assert_eq(next_round(), 0, "what was given up is handed out");
        check_complete(true);
        arena_deinit(&arena);
    }
}
