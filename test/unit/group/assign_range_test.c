// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "base/assert.h"
#include "group/assign.h"

static const uint32_t both[] = {0, 1}, second[] = {1};

static struct assign_member member(const char *id, const char *instance, const uint32_t *topics, uint32_t count)
{
    return (struct assign_member){.id = bytes_str(id),
                                  .instance_id = instance ? bytes_str(instance) : (struct bytes){0},
                                  .topics = topics,
                                  .topic_count = count,
                                  .rack = -1};
}

static void expect(const struct assign_input *in, const char *wanted)
{
    uint32_t owners[16];
    char got[17] = "";
    memset(owners, 0x55, sizeof(owners));
    cr_assert_eq(assign_range(in, owners), RC_OK);
    for (uint32_t p = 0; p < in->partition_count; p++)
        got[p] = owners[p] == ASSIGN_NONE ? '-' : (char)('a' + owners[p]);
    cr_assert_str_eq(got, wanted);
}

Test(assign_range, topics_with_as_many_partitions_are_cut_alike)
{
    const struct assign_topic topics[] = {{0, 5}, {5, 5}};
    struct assign_member members[] = {member("m1", NULL, both, 2), member("m0", NULL, both, 2)};
    struct assign_input in = {topics, members, 2, 2, 10, NULL};
    expect(&in, "bbbaabbbaa");
}

Test(assign_range, static_members_come_first_whatever_their_member_id)
{
    const struct assign_topic topics[] = {{0, 4}, {4, 4}};
    struct assign_member members[] = {member("m0", NULL, both, 2), member("m9", "i2", both, 2),
                                      member("m8", "i1", both, 2)};
    struct assign_input in = {topics, members, 2, 3, 8, NULL};
    expect(&in, "ccbaccba");
    members[1].id = bytes_str("m1"); // i2 restarted: the same ranges
    expect(&in, "ccbaccba");
}

Test(assign_range, only_subscribers_share_a_topic)
{
    const struct assign_topic topics[] = {{0, 3}, {3, 3}};
    struct assign_member members[] = {member("m0", NULL, both, 2), member("m1", NULL, second, 1)};
    struct assign_input in = {topics, members, 2, 2, 6, NULL};
    expect(&in, "aaaaab");
    in.member_count = 1;
    in.members = &members[1];
    expect(&in, "---aaa");
    in.member_count = 0;
    expect(&in, "------");
}

Test(assign_range, more_members_than_partitions_leave_some_without)
{
    const struct assign_topic topics[] = {{0, 2}};
    struct assign_member members[] = {member("m2", NULL, both, 1), member("m1", NULL, both, 1),
                                      member("m0", NULL, both, 1)};
    struct assign_input in = {topics, members, 1, 3, 2, NULL};
    expect(&in, "cb");
}
