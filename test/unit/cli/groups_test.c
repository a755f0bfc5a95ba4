// SPDX-License-Identifier: Apache-2.0
//
// What weir admin groups works out without a broker.
#include <criterion/criterion.h>

#include "cli/groups_reset.h"
#include "cli/properties.h"

Test(groups, durations_are_javas_or_ours)
{
    static const struct {
        const char *text;
        int64_t ms; // -1: refused
    } rows[] = {
        {"PT1H", 3600000},
        {"P7D", 604800000},
        {"PT1H30M", 5400000},
        {"P1DT2H3M4.5S", 93784500},
        {"pt90s", 90000},
        {"PT0.001S", 1},
        {"90m", 5400000},
        {"7d", 604800000},
        {"500ms", 500},
        {"P", -1},
        {"PT", -1},
        {"PT1", -1},
        {"P1H", -1},
        {"P1X", -1},
        {"", -1},
        {"PT1Hx", -1},
        {"-5m", -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t ms = 0;
        bool good = groups_duration_parse(rows[i].text, &ms);
        cr_assert_eq(good, rows[i].ms >= 0, "%s", rows[i].text);
        cr_assert(!good || ms == rows[i].ms, "%s: %lld", rows[i].text, (long long)ms);
    }
}

Test(groups, new_offsets_stay_within_the_log)
{
    cr_assert_eq(groups_reset_clamp(5, 0, 10), 5);
    cr_assert_eq(groups_reset_clamp(11, 0, 10), 10);
    cr_assert_eq(groups_reset_clamp(-3, 2, 10), 2);
    cr_assert_eq(groups_reset_clamp(INT64_MAX, 7, 7), 7);
}

Test(groups, who_has_no_members_is_inactive)
{
    struct groups_group g = {0};
    cr_assert(groups_is_inactive(&g), "what does not exist");
    g.exists = true;
    g.state = bytes_str("Empty");
    cr_assert(groups_is_inactive(&g));
    g.state = bytes_str("Stable");
    cr_assert_not(groups_is_inactive(&g));
    g.state = bytes_str("PreparingRebalance");
    cr_assert_not(groups_is_inactive(&g));
}

Test(groups, the_last_of_equal_properties_counts)
{
    const char *items[] = {"a=1", "ab=2", "a=3"};
    struct cli_list list = {items, 3};
    cr_assert_str_eq(properties_find(&list, "a"), "3");
    cr_assert_str_eq(properties_find(&list, "ab"), "2");
    cr_assert_null(properties_find(&list, "b"));
}
