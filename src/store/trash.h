// SPDX-License-Identifier: Apache-2.0
//
// Files and folders to remove when their time has come, a few at a time and asynchronously, so that the deletion of ten
// thousand partitions is felt by nobody. What is left at a stop is found again by its name.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

struct store;
struct store_trash;

enum rc trash_create(struct store_trash **out, struct store *s);
// Nothing may be in flight. What waits stays on disk.
void trash_destroy(struct store_trash *t);
bool trash_is_busy(const struct store_trash *t);
// True while a removal is in flight; trash_destroy() must wait for it.
bool trash_is_removing(const struct store_trash *t);
enum rc trash_put(struct store_trash *t, const char *path, bool is_folder, int64_t delay_ms);
// Starts removals that are due until deadline_ns. Returns when the next is due; *more: at once.
uint64_t trash_step(struct store_trash *t, uint64_t now_ns, uint64_t deadline_ns, bool *more);
