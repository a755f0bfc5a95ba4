// SPDX-License-Identifier: Apache-2.0
//
// Private to replica*.c.
#pragma once

#include "engine/fetcher.h"
#include "engine/replica.h"

// ---- replica_lead.c
// The high watermark is hw now: readers are told, waits end.
void replica_watermark(struct partition *p, int64_t hw);
// Asks for a change of the ISR if one is due, or sets the timer at which one may be.
void replica_lead_more(struct replica *r);
// The change on its way, if any, concerns r no more.
void replica_change_forget(struct replica *r);
// Appends that wait for the watermark are answered with rc.
void replica_fail_waiting(struct partition *p, enum rc rc);

// ---- replica_start.c
// Who waits for a log start to be everywhere is answered with rc.
void replica_starts_fail(struct partition *p, enum rc rc);

// ---- replica_follow.c
// A new beginning of the log that was asked of a follower and not done yet is done. RC_AGAIN: it is on its way, or readers
// hold what is to go.
enum rc replica_restart_finish(struct replica *r);
// Frees r once nothing of it is in flight.
void replica_free_when_idle(struct replica *r);
// The image says that p's leader was elected uncleanly and that nobody has joined it since.
bool replica_recovering(const struct partition *p);
