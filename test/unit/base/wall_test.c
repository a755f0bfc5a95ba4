// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "base/wall.h"

enum { MINUTE_MS = 60 * 1000, DAY_MS = 24 * 60 * MINUTE_MS };

static const int64_t BORN_MS = INT64_C(1700000000000);

// A look after so many minutes of a clock that is off by off_ms.
static int64_t look(struct wall *w, int64_t minutes, int64_t off_ms, int64_t *jump_ms)
{
    return wall_settled_ms(w, (uint64_t)(minutes * MINUTE_MS) * 1000000, BORN_MS + minutes * MINUTE_MS + off_ms, jump_ms);
}

static int64_t truth(int64_t minutes)
{
    return BORN_MS + minutes * MINUTE_MS;
}

Test(wall, a_jump_ahead_is_believed_after_an_hour)
{
    struct wall w = {0};
    int64_t jump;
    cr_assert_eq(look(&w, 1, 0, &jump), truth(1));
    cr_assert_eq(jump, 0);
    cr_assert_eq(look(&w, 6, DAY_MS, &jump), truth(6));
    cr_assert_eq(jump, DAY_MS);
    cr_assert_eq(look(&w, 65, DAY_MS, &jump), truth(65));
    cr_assert_eq(jump, 0);
    cr_assert_eq(look(&w, 66, DAY_MS, &jump), truth(66) + DAY_MS);
    cr_assert_eq(look(&w, 67, DAY_MS, &jump), truth(67) + DAY_MS);
    cr_assert_eq(jump, 0);
}

Test(wall, a_jump_back_makes_nothing_older_and_its_end_neither)
{
    struct wall w = {0};
    int64_t jump;
    look(&w, 1, 0, &jump);
    cr_assert_eq(look(&w, 2, -DAY_MS, &jump), truth(2) - DAY_MS);
    cr_assert_eq(jump, -DAY_MS);
    cr_assert_eq(look(&w, 3, 0, &jump), truth(3));
    cr_assert_eq(jump, DAY_MS);
    look(&w, 4, -DAY_MS, &jump);
    cr_assert_eq(look(&w, 64, -DAY_MS, &jump), truth(64) - DAY_MS, "believed by now");
    cr_assert_eq(look(&w, 65, 0, &jump), truth(65) - DAY_MS, "and so this is the jump");
    cr_assert_eq(jump, DAY_MS);
}

Test(wall, another_jump_is_doubted_for_an_hour_of_its_own)
{
    struct wall w = {0};
    int64_t jump;
    look(&w, 1, 0, &jump);
    look(&w, 2, DAY_MS, &jump);
    cr_assert_eq(look(&w, 50, 2 * DAY_MS, &jump), truth(50));
    cr_assert_eq(jump, DAY_MS);
    cr_assert_eq(look(&w, 100, 2 * DAY_MS, &jump), truth(100));
    cr_assert_eq(look(&w, 110, 2 * DAY_MS, &jump), truth(110) + 2 * DAY_MS);
}

Test(wall, a_clock_that_is_put_right_little_by_little_is_followed)
{
    struct wall w = {0};
    int64_t jump;
    for (int64_t minutes = 0; minutes < 1000; minutes++) {
        cr_assert_eq(look(&w, minutes, minutes * 1000, &jump), truth(minutes) + minutes * 1000);
        cr_assert_eq(jump, 0);
    }
}
