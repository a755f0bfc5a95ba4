// SPDX-License-Identifier: Apache-2.0
//
// One request to the controller, as the engine makes it, and its answer's arena.
#pragma once

#include "engine/quorum.h"

struct ask {
    struct quorum_op op;
    struct arena arena; // the answer lies in it: the test's, from ask_begin() on
    bool done;
    enum rc rc; // once it is done
};

// On its way from shard s; request and answer live until it is done. Turns are the test's.
void ask_begin(struct ask *a, struct quorum *q, struct shard *s, enum controller_kind kind, const void *request, void *answer);
// The op's done() of such a request, for one that is put together by hand.
void ask_done(struct quorum_op *op, enum rc rc);
