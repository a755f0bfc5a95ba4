// SPDX-License-Identifier: Apache-2.0
//
// Points in time as text, in UTC (ISO 8601). Pure arithmetic: no clock, no time zone database.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DATE_TEXT_BYTES = 32 };

// "2026-11-21T10:00:00.250Z".
void date_format(int64_t unix_ms, char out[DATE_TEXT_BYTES]);
// 2026-11-21, 2026-11-21T10:00, 2026-11-21 10:00:00.25, with nothing, Z, or +hh:mm behind it.
bool date_parse(const char *text, int64_t *unix_ms);
