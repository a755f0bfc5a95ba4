// SPDX-License-Identifier: Apache-2.0
//
// Regular expressions over topic names, as Kafka's brokers read them (RE2/J's syntax, the whole name must match). PCRE2
// does the work: what RE2 does not know is refused, what the two read differently is written out. A match that
// backtracks too much is tried again following all alternatives at once (PCRE2's DFA), so that no pattern explodes.
// Pure; any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rc.h"

enum {
    REGEX_BYTES_MAX = 32767,
    REGEX_REPEAT_MAX = 1000,
    REGEX_HARD_MAX = 32, // names an expression may be hard for; the rest it does not match
};

struct regex;

// *out is the caller's until regex_destroy(); a compiled expression takes at most some 100 KiB. RC_NOMEM, or
// RC_INVALID_REGULAR_EXPRESSION with why in RE2's words ("missing closing ]").
enum rc regex_create(struct bytes pattern, struct regex **out, const char **why);
void regex_destroy(struct regex *r); // NULL: nothing

// RC_OK: matches; RC_NOT_FOUND: not. RC_FULL: more work or memory than it may cost; count it as no match. Under 1 ms,
// but for a name that is hard up to 50 ms.
enum rc regex_match(struct regex *r, struct bytes name);
// How many names have been hard so far: who matches many in a row ends a slice when this rises.
uint32_t regex_hard(const struct regex *r);

// Inside: the pattern in PCRE2's syntax. NULL, or why it is none.
const char *regex_translate(struct bytes pattern, struct buf *out);
