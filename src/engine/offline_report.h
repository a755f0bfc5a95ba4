// SPDX-License-Identifier: Apache-2.0
//
// Tells the controller of replicas whose log folder has failed on this node, so that others lead what others can lead
// (KIP-112, KIP-858). What is to be told follows from the image and the health of the folders alone, never from what was
// told before: an answer that is lost, another controller, an ISR that took the replica in again cost another report.
#pragma once

struct engine_shard;

// Looks at the partitions of this shard and reports those that have to go, if a folder has failed; when one just did, and
// after each image. Costs one atomic read where none has.
void offline_report(struct engine_shard *es);
// The shard goes: nothing is sent any more, what is under way is forgotten.
void offline_report_end(struct engine_shard *es);
