// SPDX-License-Identifier: Apache-2.0
//
// Kafka's error codes as numbers on the wire, and the one mapping from enum rc to them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

// The Kafka error code that says rc. Total: plumbing words map to the code a client should act on.
int16_t kerr_of(enum rc rc);
// Kafka's name of a code ("OFFSET_OUT_OF_RANGE"), or "UNKNOWN_ERROR_CODE". Static strings.
const char *kerr_name(int16_t code);
// True when Kafka's clients may retry as it is.
bool kerr_retriable(int16_t code);
