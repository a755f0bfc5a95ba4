// SPDX-License-Identifier: Apache-2.0
//
// Private to peers*.c.
#pragma once

#include "base/assert.h"
#include "engine/peers.h"

uint64_t peers_now_ns(const struct peers *p);
// That node said something on any connection.
void peers_heard(struct peers *p, int32_t node);
// It said Hello on one it made: what is open to an earlier process of it is given up, for a machine that lost its power
// resets nothing, and who only waits would not notice.
void peers_met_anew(struct peers *p, const struct peer_hello *h);

// peers_accept.c
void peers_on_accept(struct io_listener *l, int fd, const struct io_addr *from);
void peers_inlets_free(struct peers *p);
void peers_greet_task(struct shard_task *t);
// peers.c: whether the others are to hear of peer, which says h now: it has become a member, and not all have named it.
bool peers_introduces(const struct peer *peer, const struct peer_hello *h);
enum rc peers_say_hello(struct peers *p, struct peer_link *l);
// The error code of a Refusal, -1 where it cannot be read; then the reason is left as it is.
int16_t peers_refusal(const struct peer_frame *f, char *why, size_t why_bytes);
