// SPDX-License-Identifier: Apache-2.0
//
// What clients of every scenario do with an answer.
#pragma once

#include "client/request.h"
#include "sim.h"

// Decodes the answer to r into out; one that cannot be read, or with bytes left, fails the run. The arena is the caller's.
bool client_answer_decode(struct sim *sim, const struct client_request *r, struct bytes body, struct arena *a, void *out);
