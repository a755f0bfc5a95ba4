// SPDX-License-Identifier: Apache-2.0
//
// DescribeTopicPartitions: pages and cursors.
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/api_topic_partitions.h"
#include "fixture.h"
#include "model/kerr.h"

static struct fixture f;
static struct cluster_view view;

static int32_t limit_max; // max.request.partition.size.limit

static void setup(void)
{
    fixture_open(&f);
    fixture_node(&f, 1, NULL);
    fixture_create(&f, "a", 3, 1);
    fixture_create(&f, "b", 3, 1);
    fixture_create(&f, "c", 1, 1);
    limit_max = 2000;
    view = (struct cluster_view){.image = f.image, .listener = bytes_str("PLAINTEXT"), .controller = 1};
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(topic_partitions, .init = setup, .fini = teardown);

static struct describe_topic_partitions_response ask(const struct describe_topic_partitions_request *in)
{
    struct describe_topic_partitions_response out;
    cr_assert_eq(topic_partitions_build(&view, in, limit_max, &f.arena, &out), RC_OK);
    return out;
}

// Reads page after page; returns "a0 a1 ..." of all partitions.
static const char *read_all(struct describe_topic_partitions_request in)
{
    static char seen[256];
    seen[0] = 0;
    struct describe_topic_partitions_request_cursor cursor;
    for (int pages = 0; pages < 20; pages++) {
        struct describe_topic_partitions_response out = ask(&in);
        for (uint32_t i = 0; i < out.topics_count; i++)
            for (uint32_t j = 0; j < out.topics[i].partitions_count; j++)
                snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s%d ", (int)out.topics[i].name.n,
                         (const char *)out.topics[i].name.p, out.topics[i].partitions[j].partition_index);
        if (!out.next_cursor)
            return seen;
        cursor = (struct describe_topic_partitions_request_cursor){.topic_name = out.next_cursor->topic_name,
                                                                   .partition_index = out.next_cursor->partition_index};
        in.cursor = &cursor;
    }
    return "no end";
}

Test(topic_partitions, pages_of_any_size_give_everything_once)
{
    struct describe_topic_partitions_request_topic names[2] = {{.name = bytes_str("b")}, {.name = bytes_str("a")}};
    for (int32_t limit = 1; limit < 9; limit++) {
        struct describe_topic_partitions_request in = {.response_partition_limit = limit};
        cr_assert_str_eq(read_all(in), "a0 a1 a2 b0 b1 b2 c0 ", "all, limit %d", limit);
        in.topics = names;
        in.topics_count = 2;
        cr_assert_str_eq(read_all(in), "a0 a1 a2 b0 b1 b2 ", "named, limit %d", limit);
    }
}

Test(topic_partitions, the_broker_bounds_a_page)
{
    struct describe_topic_partitions_request in = {.response_partition_limit = 100};
    limit_max = 3;
    struct describe_topic_partitions_response out = ask(&in);
    cr_assert(out.topics_count == 1 && out.topics[0].partitions_count == 3);
    cr_assert(out.next_cursor && bytes_eq(out.next_cursor->topic_name, bytes_str("b")));
    cr_assert_str_eq(read_all(in), "a0 a1 a2 b0 b1 b2 c0 ");
}

Test(topic_partitions, a_cursor_whose_topic_is_gone_goes_on_at_the_next)
{
    struct describe_topic_partitions_request_cursor cursor = {.topic_name = bytes_str("aa"), .partition_index = 2};
    struct describe_topic_partitions_request in = {.response_partition_limit = 100, .cursor = &cursor};
    cr_assert_str_eq(read_all(in), "b0 b1 b2 c0 ");
}

Test(topic_partitions, a_cursor_must_name_a_partition)
{
    struct describe_topic_partitions_request_cursor cursor = {.topic_name = bytes_str("a"), .partition_index = -1};
    struct describe_topic_partitions_request in = {.response_partition_limit = 100, .cursor = &cursor};
    struct describe_topic_partitions_response out;
    cr_assert_eq(topic_partitions_build(&view, &in, 2000, &f.arena, &out), RC_INVALID_REQUEST);
}

Test(topic_partitions, unknown_names_have_an_error)
{
    struct describe_topic_partitions_request_topic names[3] = {
        {.name = bytes_str("no good")}, {.name = bytes_str("zz")}, {.name = bytes_str("c")}};
    struct describe_topic_partitions_request in = {.topics = names, .topics_count = 3, .response_partition_limit = 10};
    struct describe_topic_partitions_response out = ask(&in);
    cr_assert_eq(out.topics_count, 3);
    cr_assert_eq(out.topics[0].error_code, 0);
    cr_assert_eq(out.topics[1].error_code, kerr_of(RC_INVALID_TOPIC));
    cr_assert_eq(out.topics[2].error_code, kerr_of(RC_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert_not_null(out.topics[0].partitions[0].eligible_leader_replicas, "none, but not unknown");
}
