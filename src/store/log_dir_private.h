// SPDX-License-Identifier: Apache-2.0
//
// What the files of log_dir share and nobody else sees.
#pragma once

#include "store/log_dir.h"

// "<folder>/<name>". RC_INVALID: longer than a path may be.
enum rc log_dir_path(const struct log_dir *d, char out[IO_PATH_BYTES_MAX], const char *name);
// "<folder>.<32 hexadecimal digits><suffix>", at most 255 characters, for `-delete` and `-stray`.
void log_dir_moved_name(struct io *io, char out[IO_PATH_BYTES_MAX], const char *folder, const char *suffix);
// Writes a small file beside and renames it into place. durable: synced before and after. [boot when durable]
enum rc log_dir_write_file(struct io *io, const char *path, struct bytes content, bool durable);
// Writes a small file in place: for content that says itself whether it is whole, or can be had again.
enum rc log_dir_write_fresh(struct io *io, const char *path, struct bytes content, bool durable);
// Reads a small file whole into out (at most size_max of it). RC_NOT_FOUND; RC_FULL: longer.
enum rc log_dir_read_file(struct io *io, const char *path, struct buf *out);
// The value of "key=" in a properties text; false when there is none.
bool log_dir_property_find(struct bytes text, const char *key, struct bytes *value);
// meta.properties; false: it lacks something or is malformed.
bool log_dir_identity_parse(struct log_dir_identity *id, struct bytes text);
enum rc log_dir_identity_read(struct log_dir *d, char *why, size_t why_bytes);
// The word about a failure: room for it is made; it is read, d->suspect is set; d leaves the ring of its process.
enum rc log_dir_failed_prepare(struct log_dir *d);
void log_dir_failed_read(struct log_dir *d);
void log_dir_leave(struct log_dir *d);
// Kafka's text checkpoints.
enum rc log_dir_write_texts(struct log_dir *d);

// Takes one record into the entries (a checkpoint_open() callback, and after each append). context: struct log_dir.
enum rc log_dir_entry_apply(void *context, const struct checkpoint_record *r);
// An entry that knows nothing.
struct log_dir_entry log_dir_entry_none(struct topic_partition id);
// All records are in: drops what is only true for another boot.
void log_dir_entries_loaded(struct log_dir *d);
void log_dir_entries_free(struct log_dir *d);
bool log_dir_entries_worth_replacing(const struct log_dir *d);
// Begins to replace the checkpoint by the live entries.
enum rc log_dir_entries_replace(struct log_dir *d);
