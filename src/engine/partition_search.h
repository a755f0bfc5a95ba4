// SPDX-License-Identifier: Apache-2.0
//
// One search of a partition by time, from the question to the record: the time index finds the batch, the batch is read
// and its records are walked. Resumable: it waits for the disk, and long walks are cut into steps. Part of
// partition_query.c's work.
#pragma once

#include "engine/partition.h"

struct partition_search;

// Looks for the first record at or past timestamp_ms (or, OFFSET_SPEC_MAX_TIMESTAMP, for the first with the greatest
// timestamp) below bound. job is woken when a read has come back. NULL: memory is short.
struct partition_search *partition_search_create(struct engine_shard *es, int64_t timestamp_ms, int64_t bound,
                                                 struct shard_job *job);
// Frees it; not while it waits.
void partition_search_destroy(struct partition_search *s);
// Works for about budget_ns on p, which is the same partition each time. RC_AGAIN: call again (when it is waiting,
// after the job was woken). RC_OK: finished. Else the search failed.
enum rc partition_search_step(struct partition_search *s, struct partition *p, uint64_t budget_ns);
bool partition_search_is_waiting(const struct partition_search *s);
// After RC_OK: whether there is such a record.
bool partition_search_found(const struct partition_search *s, int64_t *offset, int64_t *timestamp);
