// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include "model/kerr.h"

Test(kerr, codes_and_names_agree)
{
    cr_assert_eq(kerr_of(RC_OK), 0);
    cr_assert_str_eq(kerr_name(kerr_of(RC_INVALID_RECORD)), "INVALID_RECORD");
    cr_assert_str_eq(kerr_name(kerr_of(RC_OFFSET_OUT_OF_RANGE)), "OFFSET_OUT_OF_RANGE");
    cr_assert_str_eq(kerr_name(-1), "UNKNOWN_SERVER_ERROR");
    cr_assert_str_eq(kerr_name(12345), "UNKNOWN_ERROR_CODE");
    cr_assert(kerr_retriable(kerr_of(RC_NOT_LEADER_OR_FOLLOWER)));
    cr_assert(kerr_retriable(kerr_of(RC_NO_SPACE)), "a full disk is answered with a retriable error");
    cr_assert_not(kerr_retriable(kerr_of(RC_INVALID_RECORD)));
}

Test(kerr, protocol_words_have_their_own_name)
{
    // Words from UNKNOWN_SERVER_ERROR on are Kafka's own, up to a few that are shortened.
    int same = 0;
    for (int i = RC_UNKNOWN_SERVER_ERROR; i < RC_COUNT; i++)
        same += strcmp(rc_name((enum rc)i), kerr_name(kerr_of((enum rc)i))) == 0;
    cr_assert_geq(same, RC_COUNT - RC_UNKNOWN_SERVER_ERROR - 4);
}
