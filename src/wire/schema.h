// SPDX-License-Identifier: Apache-2.0
//
// Messages as tables, and the one pair of functions that reads and writes them all. tools/protogen.py makes the tables
// and a C struct for each message from proto/; typed wrappers (produce_request_decode() and so on) stand in the
// generated headers, and this file is what they call. A table costs 16 bytes a field where a function for every message
// costs about 100; the hot path pays some nanoseconds a field, which 10 us a request hide.
// Pure. Any thread.
#pragma once

#include "base/arena.h"
#include "wire/dec.h"
#include "wire/enc.h"

enum schema_kind {
    SCHEMA_BOOL,
    SCHEMA_I8,
    SCHEMA_I16,
    SCHEMA_U16,
    SCHEMA_I32,
    SCHEMA_I64,
    SCHEMA_F64,
    SCHEMA_UUID,
    SCHEMA_STRING,  // struct bytes
    SCHEMA_BYTES,   // struct bytes
    SCHEMA_RECORDS, // struct records
    SCHEMA_STRUCT,  // by value; a pointer when nullable and no array
};

enum {
    SCHEMA_ARRAY = 1,        // T *x; uint32_t x_count, the count right behind the pointer
    SCHEMA_NULLABLE = 2,     // in some version; null_min and null_max say which
    SCHEMA_DEFAULT_NULL = 4, // else empty
    SCHEMA_NOT_COMPACT = 8,  // an old-style string in every version
    SCHEMA_NO_TAG = 65535,
    SCHEMA_VERSION_OPEN = 255,
};

struct schema_field {
    uint16_t name;   // index in the schema's text
    uint16_t offset; // in the C struct
    uint16_t layout; // of a struct
    uint8_t kind;    // enum schema_kind
    uint8_t flags;
    uint8_t version_min, version_max;
    uint8_t null_min, null_max;
    uint16_t tag;
    uint8_t tag_version_min;
    uint8_t initial; // index in the schema's defaults; 0 is zero
};

struct schema_layout {
    uint16_t field_first, field_count;
    uint16_t size;        // of the C struct
    uint16_t least_bytes; // on the wire, in any version that has it; at least 1
};

struct schema {
    const struct schema_field *fields;
    const struct schema_layout *layouts;
    const int64_t *defaults;
    const char *text;
};

struct schema_message {
    const struct schema *schema;
    const char *name;
    int16_t key; // API key or record id; -1 for the rest
    uint16_t layout;
    uint8_t version_min, version_max;
    uint8_t flexible_min; // SCHEMA_VERSION_OPEN: never
};

static inline bool schema_flexible(const struct schema_message *m, int16_t version)
{
    return m->flexible_min != SCHEMA_VERSION_OPEN && version >= m->flexible_min;
}

// Sets every field of *out to the schema's default. Memory with zeros is no default: preferred_read_replica 0 is a
// node.
void schema_init(const struct schema_message *m, void *out);
// The same for one struct inside m (an element of an array, say); the generated x_init() of nested structs call it.
void schema_init_nested(const struct schema_message *m, uint16_t layout, void *out);

// Reads a message. Strings, bytes and records in *out are views into d's input; arrays and nullable structs lie in the
// arena. Fields the version does not have get their defaults. Bytes behind the message are left in d.
// RC_UNSUPPORTED_VERSION; RC_MALFORMED (d->bad is set); RC_NOMEM when the arena's limit is reached. *out is undefined
// then.
enum rc schema_decode(const struct schema_message *m, struct dec *d, int16_t version, struct arena *a, void *out);

// Writes a message; test enc_ok(e) at the end. A version outside the message's range is a bug of the caller.
void schema_encode(const struct schema_message *m, struct enc *e, int16_t version, const void *in);

// Appends the message as JSON-like text, for logs, tests and dumps: at most value_bytes_max bytes of each string.
void schema_print(const struct schema_message *m, int16_t version, const void *in, size_t value_bytes_max,
                  struct buf *out);

// The message with that key in a table sorted by key, or NULL.
const struct schema_message *schema_find(const struct schema_message *const *rows, size_t count, int16_t key);

// A record as stored: varint of its key, varint of its version, then the fields (flexible). decode of a record finds it
// in rows by key; *message tells which, and *out has room for any of them (size_max bytes, from schema_size_max()).
void schema_record_encode(const struct schema_message *m, struct enc *e, int16_t version, const void *in);
// RC_UNSUPPORTED for a key that rows lack, RC_UNSUPPORTED_VERSION for a version above its message's: both were written
// by a newer program. RC_MALFORMED, RC_NOMEM as above, and RC_MALFORMED when bytes are left over.
enum rc schema_record_decode(const struct schema_message *const *rows, size_t count, struct bytes in, struct arena *a,
                             void *out, size_t size_max, const struct schema_message **message);
// Size of the C struct of a message.
size_t schema_size(const struct schema_message *m);
