// SPDX-License-Identifier: Apache-2.0
//
// What the files of a session share: its life (session.c), reading (session_read.c), writing (session_write.c). Private
// to session*.c and request.c.
#pragma once

#include "broker/session.h"

enum {
    SESSION_COLD_BYTES = 1 << 20, // read ahead of a consumer that reads from the disk
    PRESSED_SWEEP_MS = 200,       // between two looks at who holds memory that others wait for
};

#define MS INT64_C(1000000)

static inline uint64_t session_now(const struct session *s)
{
    return shard_now_ns(s->bs->shard);
}

// Reads and starts as much as order, memory and the share of this turn allow.
void session_pump(struct session *s);
// The socket's callback.
void session_ready(struct io_sock *sock, unsigned events);
// Gives back what was read and not started, and its share.
void session_forget_input(struct session *s);
// A sweep by then, if none is due earlier.
void session_sweep_by(struct broker_shard *bs, uint64_t due_ns);


// Sends what is ready, in order, within this turn's share. s may be gone afterwards.
void session_write(struct session *s);
// Drops slow readers while queued answers are past the shard's bound.
void session_relieve(struct shard_task *t);
// Too many answers wait for a slow reader: start nothing more.
static inline bool session_answers_full(const struct session *s)
{
    return s->answers_queued >= SESSION_ANSWERS_QUEUED_MAX || s->answer_bytes_queued >= SESSION_ANSWER_BYTES_MAX;
}
// Marks the session as being in the middle of something that the peer must move on, or not.
void session_stalled(struct session *s, bool stalled);
// The same for answers: the clock starts anew only when something moved.
void session_stalled_update(struct session *s, bool stalled, bool moved);
// The last queued answer of a closing session has been sent.
void session_drain_begin(struct session *s);
// Something moved on the connection: it is not idle.
void session_touch(struct session *s);
// More to do than this turn's share.
void session_next_turn(struct session *s);
// A request went back to its pool.
void session_request_freed(struct broker_shard *bs);
void session_slab_unref(struct broker_shard *bs, struct rx_slab *slab);
