// SPDX-License-Identifier: Apache-2.0
#include "quorum_ask.h"

void ask_done(struct quorum_op *op, enum rc rc)
{
    struct ask *a = container_of(op, struct ask, op);
    a->rc = rc;
    a->done = true;
}

void ask_begin(struct ask *a, struct quorum *q, struct shard *s, enum controller_kind kind, const void *request, void *answer)
{
    *a = (struct ask){0};
    arena_init(&a->arena, 64 << 20, NULL, 0);
    a->op = (struct quorum_op){.kind = (int)kind, .request = request, .answer = answer, .arena = &a->arena, .done = ask_done};
    quorum_submit(q, s, &a->op);
}
