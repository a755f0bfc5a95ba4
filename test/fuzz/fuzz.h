// SPDX-License-Identifier: Apache-2.0
//
// The one function of a fuzz target, as libFuzzer calls it. Properties are asserted: a broken one aborts.
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
