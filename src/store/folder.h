// SPDX-License-Identifier: Apache-2.0
//
// Folders whose names must outlive a power cut: a folder's entry lies in its parent, and only a sync of the parent
// makes it last. [boot]
#ifndef WEIR_STORE_FOLDER_H
#define WEIR_STORE_FOLDER_H

#include "base/rc.h"
#include "io/io.h"

// Makes the folder and those above it that are missing, as `mkdir -p` does. Each folder made on the way has its entry
// synced; that of the folder itself is left to folder_sync_entry(), which the owner calls when it matters.
// Errors: RC_EXISTS (it was there), RC_PERMISSION, RC_INVALID (path too long), what making a folder answers.
enum rc folder_make(struct io *io, const char *path);
// Syncs the parent of path, which need not be there as a folder of this process.
enum rc folder_sync_entry(struct io *io, const char *path);

#endif
