// SPDX-License-Identifier: Apache-2.0
//
// What the files of the engine share. Private to engine*.c.
#pragma once

#include "engine/engine.h"

// Puts aside what lies in the log folders and belongs to no topic of the image. At boot, before any log is attached.
void engine_judge_folders(struct engine *e, const struct image *image);
// The folder's callbacks (store/log.h): it failed; the name of a topic; an operation for it on a shard that may not be its
// owner.
void engine_dir_failed(struct log_dir *d, enum rc rc);
bool engine_dir_topic_name(struct log_dir *d, struct uuid topic_id, struct bytes *name);
void engine_dir_forward(struct log_dir *d, struct log_dir_op *op);

// Boot, shared by engine.c and engine_join.c.
enum rc engine_start_dirs(struct engine *e, char *text, size_t text_bytes);
void engine_forward_dirs(struct engine *e);
void engine_start_background(struct engine_shard *es);

// engine_join.c: quorum_config.registered
void engine_join(void *context);
void engine_join_cancel(struct engine *e);
