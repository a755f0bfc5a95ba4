// SPDX-License-Identifier: Apache-2.0
//
// Private to the config_*.c files: the words in which the rows of the key tables are written.
#pragma once

#include <float.h>
#include <stdint.h>

#include "meta/config.h"

// Ranges without an upper bound of their own end at the type's, which the parse checks.
// clang-format off
#define ANY                {.kind = CONFIG_RULE_ANY}
#define AT_LEAST(low)      {.kind = CONFIG_RULE_RANGE, .min = low, .max = DBL_MAX}
#define BETWEEN(low, high) {.kind = CONFIG_RULE_RANGE, .min = low, .max = high}
#define LEVEL(low, high)   {.kind = CONFIG_RULE_LEVEL, .min = low, .max = high}
#define ONE_OF(words)      {.kind = CONFIG_RULE_ONE_OF, .choices = words}
#define LIST_OF(words)     {.kind = CONFIG_RULE_LIST_OF, .choices = words}
#define SIZE               {.kind = CONFIG_RULE_SIZE}
#define THROTTLE           {.kind = CONFIG_RULE_THROTTLE}
#define OVERRIDES          {.kind = CONFIG_RULE_OVERRIDES}

#define NO_SYN                       {{NULL, 0}}
#define SYN(a)                       {{a, 1}}
#define SYN2(a, b)                   {{a, 1}, {b, 1}}
#define SYN_HOURS(a, hours)          {{a, 1}, {hours, 3600000}}
#define SYN_MINUTES(a, minutes, hours) {{a, 1}, {minutes, 60000}, {hours, 3600000}}
#define SYN_SCALED(a, x)             {{a, x}}
#define SYN_SCALED2(a, x, b, y)      {{a, x}, {b, y}}
// clang-format on

const struct config_key *config_topic_keys(size_t *count);
const struct config_key *config_broker_keys(size_t *count);
const struct config_key *config_group_keys(size_t *count);
const struct config_old *config_old_rows(size_t *count);

// n times scale, saturating. A negative n keeps its meaning ("without limit") unscaled.
int64_t config_scale(int64_t n, int32_t scale);
