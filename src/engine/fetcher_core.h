// SPDX-License-Identifier: Apache-2.0
//
// Private to fetcher*.c.
#pragma once

#include "engine/fetcher.h"

enum { FETCHER_FETCH_VERSION = 17, FETCHER_HURRY_CORRELATION = -1 };

// ---- fetcher.c
void fetcher_task(struct shard_task *t);
void fetcher_session_begin(struct fetcher *f);
// A whole answer, in an io buffer of buffer_bytes that goes over.
void fetcher_answered(struct fetcher *f, struct bytes frame, uint8_t *buffer_owned, size_t buffer_bytes);

// ---- fetcher_link.c
void fetcher_dial(struct fetcher *f);
// Sends what is in f->out.
void fetcher_send(struct fetcher *f);
// Closes, and dials again after a backoff. The session begins anew.
void fetcher_down(struct fetcher *f, enum rc rc);
void fetcher_close(struct fetcher *f);
// Of this process's registration, -1 when it is not known here.
int64_t fetcher_broker_epoch(const struct fetcher *f);
