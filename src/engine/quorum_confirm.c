// SPDX-License-Identifier: Apache-2.0
//
// Whether those to whom clients are about to be sent are still there. A client whose connection to a leader broke may ask
// before this node's own connection to that leader has broken, too: a process that dies leaves its sockets one after the
// other, in no order. What is answered to an echo that was asked for later than the client asked was answered by a
// process that lived then.
#include "engine/quorum_core.h"

void quorum_confirm_take(struct quorum *q, struct quorum_op *op)
{
    struct quorum_confirm *c = op->answer;
    for (uint32_t i = 0; i < c->count; i++)
        c->echoes[i] = q->peers && !q->dead ? peers_ask_echo(q->peers, c->nodes[i]) : 0;
    list_push_back(&q->confirms, &op->link);
}

static bool confirmed(struct quorum *q, const struct quorum_confirm *c)
{
    for (uint32_t i = 0; i < c->count && !q->dead; i++)
        if (c->echoes[i] && !peers_echo_settled(q->peers, c->nodes[i], c->echoes[i]))
            return false;
    return true;
}

void quorum_confirm_work(struct quorum *q)
{
    for (struct list_node *n = q->confirms.head.next; n != &q->confirms.head;) {
        struct quorum_op *op = container_of(n, struct quorum_op, link);
        n = n->next;
        if (!confirmed(q, op->answer))
            continue;
        list_remove(&q->confirms, &op->link);
        quorum_finish(q, op, RC_OK);
        n = q->confirms.head.next; // done() may have changed the list
    }
}
