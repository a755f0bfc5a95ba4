// SPDX-License-Identifier: Apache-2.0
//
// Random messages of any kind, for tests: walks the same tables as the codecs.
#pragma once

#include "base/arena.h"
#include "base/prng.h"
#include "wire/schema.h"

// Fills *out with values that this version can carry; memory from a. Records never have holes.
void fill_message(const struct schema_message *m, int16_t version, struct prng *random, struct arena *a, void *out);
