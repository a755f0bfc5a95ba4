// SPDX-License-Identifier: Apache-2.0
//
// A small JSON writer: commas, quotes and nesting right by construction, output in the order it is called, so that
// scripts find stable keys. Pure; reading JSON is jansson's work.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { JSON_DEPTH_MAX = 16 };

struct json {
    struct buf *out;
    uint32_t depth;
    bool pretty;                // one member a line, indented by two
    bool comma[JSON_DEPTH_MAX]; // something stands before at this depth
    bool after_key;
};

void json_init(struct json *j, struct buf *out, bool pretty);

void json_put_object(struct json *j); // {
void json_put_object_end(struct json *j);
void json_put_array(struct json *j); // [
void json_put_array_end(struct json *j);

void json_put_key(struct json *j, const char *key);
void json_put_int(struct json *j, int64_t v);
void json_put_real(struct json *j, double v, int decimals);
void json_put_bool(struct json *j, bool v);
void json_put_null(struct json *j);
// s.p == NULL writes null. Bytes that are not UTF-8 become U+FFFD; ask json_is_utf8() first where that matters.
void json_put_text(struct json *j, struct bytes s);

// key and value in one
void json_put_key_int(struct json *j, const char *key, int64_t v);
void json_put_key_bool(struct json *j, const char *key, bool v);
void json_put_key_text(struct json *j, const char *key, struct bytes s);
void json_put_key_str(struct json *j, const char *key, const char *s);
// The text when it is UTF-8; else the member is called key plus "_base64" and holds that.
void json_put_key_data(struct json *j, const char *key, struct bytes s);

bool json_is_utf8(struct bytes s);
// Appends standard base64 with padding.
void base64_append(struct buf *out, struct bytes s);
// Decodes standard base64 into out; false when it is not that.
bool base64_decode(struct bytes text, struct buf *out);
