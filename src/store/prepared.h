// SPDX-License-Identifier: Apache-2.0
//
// A folder that was told its cluster's id before any node used it: what `kafka-storage format` leaves. A node draws the
// id of a new cluster itself; where a folder was prepared, it begins, or joins, only a cluster of that id. [boot]
#ifndef WEIR_STORE_PREPARED_H
#define WEIR_STORE_PREPARED_H

#include "store/log_dir.h"

// Makes the folder and notes the id, durably. cluster_id fits into struct log_dir_identity.
enum rc prepared_write(struct io *io, const char *folder, const char *cluster_id);
// What is known of a folder without opening it, for tools and for a node that starts: of one that a node has formatted,
// what its meta.properties says (id->formatted); of a prepared one, the cluster id alone, the rest as for no node.
// Errors: RC_NOT_FOUND (neither), RC_CORRUPT, what reading answers.
enum rc prepared_read(struct io *io, const char *folder, struct log_dir_identity *id);

#endif
