// SPDX-License-Identifier: Apache-2.0
//
// From RE2/J's syntax to PCRE2's. Only what is known here passes, so nothing of PCRE2's own (verbs, recursion,
// back-references, look-around, possessive repeats) can be reached. Groups lose their names: nobody asks what they
// caught.
#include "group/regex.h"

#include <stdlib.h>

enum last { NOTHING, ATOM, REPEAT }; // what stands before: what a repetition needs

struct scan {
    const uint8_t *p, *end;
    struct buf *out;
    const char *why;
    enum last last;
    uint32_t depth;
};

static bool is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_octal(uint8_t c)
{
    return c >= '0' && c <= '7';
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool one_of(uint8_t c, const char *set)
{
    return c && strchr(set, c);
}

static void fail(struct scan *s, const char *why)
{
    s->why = s->why ? s->why : why;
}

static void put_literal(struct scan *s, uint8_t c)
{
    if (c == 0) {
        buf_append(s->out, "\\x00", 4);
        return;
    }
    if (c < 0x80 && !is_alnum(c) && c > ' ')
        buf_put_u8(s->out, '\\');
    buf_put_u8(s->out, c);
}

static void put_code(struct scan *s, uint32_t code)
{
    buf_printf(s->out, "\\x{%x}", code);
}

// Behind "\x": two digits, or any number of them in braces.
static bool scan_hex(struct scan *s)
{
    uint32_t code = 0;
    bool braces = s->p < s->end && *s->p == '{';
    s->p += braces;
    uint32_t digits = 0;
    for (; s->p < s->end && hex_digit(*s->p) >= 0 && (braces || digits < 2); digits++) {
        code = code * 16 + (uint32_t)hex_digit(*s->p++);
        if (code > 0x10ffff)
            return false;
    }
    if (braces ? digits == 0 || s->p == s->end || *s->p++ != '}' : digits < 2)
        return false;
    put_code(s, code);
    return true;
}

// Behind the first digit c: octal. One digit but 0 alone would be a back-reference.
static bool scan_octal(struct scan *s, uint8_t c)
{
    if (!is_octal(c) || (c != '0' && (s->p == s->end || !is_octal(*s->p))))
        return false;
    uint32_t code = (uint32_t)(c - '0');
    for (int i = 0; i < 2 && s->p < s->end && is_octal(*s->p); i++)
        code = code * 8 + (uint32_t)(*s->p++ - '0');
    put_code(s, code);
    return true;
}

// Behind "\p" or "\P".
static bool scan_property(struct scan *s, uint8_t c)
{
    buf_put_u8(s->out, '\\');
    buf_put_u8(s->out, c);
    if (s->p < s->end && is_alnum(*s->p)) {
        buf_put_u8(s->out, *s->p++);
        return true;
    }
    if (s->p == s->end || *s->p != '{')
        return false;
    buf_put_u8(s->out, *s->p++);
    if (s->p < s->end && *s->p == '^')
        buf_put_u8(s->out, *s->p++);
    const uint8_t *first = s->p;
    while (s->p < s->end && (is_alnum(*s->p) || *s->p == '_' || *s->p == '&'))
        buf_put_u8(s->out, *s->p++);
    if (s->p == first || s->p == s->end || *s->p != '}')
        return false;
    buf_put_u8(s->out, *s->p++);
    return true;
}

// An escape that stands for characters, in a class or outside; s->p is behind the backslash.
static void scan_character_escape(struct scan *s)
{
    static const char names[] = "aftnrv";
    static const uint8_t codes[] = {7, 12, 9, 10, 13, 11};
    uint8_t c = *s->p++;
    bool good = true;
    if (one_of(c, "dDsSwW")) {
        buf_put_u8(s->out, '\\');
        buf_put_u8(s->out, c);
    } else if (one_of(c, names)) {
        put_code(s, codes[strchr(names, c) - names]);
    } else if (c == 'p' || c == 'P') {
        if (!scan_property(s, c))
            fail(s, "invalid character class range");
    } else if (c == 'x') {
        good = scan_hex(s);
    } else if (c >= '0' && c <= '9') {
        good = scan_octal(s, c);
    } else if (c >= 0x80 || is_alnum(c) || c < ' ') {
        good = false;
    } else {
        put_literal(s, c);
    }
    if (!good)
        fail(s, "invalid escape sequence");
}

static void scan_quoted(struct scan *s)
{
    while (s->p < s->end && !(s->p + 1 < s->end && s->p[0] == '\\' && s->p[1] == 'E')) {
        put_literal(s, *s->p++);
        s->last = ATOM;
    }
    s->p += s->p < s->end ? 2 : 0;
}

static void scan_escape(struct scan *s)
{
    if (s->p == s->end) {
        fail(s, "trailing backslash at end of expression");
        return;
    }
    if (*s->p == 'Q') {
        s->p++;
        scan_quoted(s);
        return;
    }
    if (one_of(*s->p, "AbBz")) {
        buf_put_u8(s->out, '\\');
        buf_put_u8(s->out, *s->p++);
    } else {
        scan_character_escape(s);
    }
    s->last = ATOM;
}

// "[:alpha:]" inside a class; false: it is none.
static bool scan_named_class(struct scan *s)
{
    const uint8_t *p = s->p + 1;
    if (p >= s->end || *p != ':')
        return false;
    for (p++; p + 1 < s->end && (is_alnum(*p) || *p == '^'); p++)
        ;
    if (p + 1 >= s->end || p[0] != ':' || p[1] != ']')
        return false;
    buf_append(s->out, s->p, (size_t)(p + 2 - s->p));
    s->p = p + 2;
    return true;
}

// Behind "[".
static void scan_class(struct scan *s)
{
    buf_put_u8(s->out, '[');
    if (s->p < s->end && *s->p == '^')
        buf_put_u8(s->out, *s->p++);
    for (bool first = true; s->p < s->end && (*s->p != ']' || first) && !s->why; first = false) {
        if (*s->p == '[' && scan_named_class(s))
            continue;
        uint8_t c = *s->p++;
        if (c == '\\' && s->p == s->end)
            break;
        if (c == '\\')
            scan_character_escape(s);
        else if (c == '-')
            buf_put_u8(s->out, '-');
        else
            put_literal(s, c);
    }
    if (s->p == s->end) {
        fail(s, "missing closing ]");
        return;
    }
    s->p++;
    buf_put_u8(s->out, ']');
    s->last = ATOM;
}

static bool scan_number(const uint8_t **at, const uint8_t *end, uint32_t *out)
{
    const uint8_t *p = *at;
    *out = 0;
    while (p < end && *p >= '0' && *p <= '9') {
        *out = *out * 10 + (uint32_t)(*p++ - '0');
        if (*out > REGEX_REPEAT_MAX)
            *out = REGEX_REPEAT_MAX + 1;
    }
    bool any = p > *at;
    *at = p;
    return any;
}

// "{n}", "{n,}" or "{n,m}" at s->p: moves behind it. Anything else is a brace that stands for itself.
static bool scan_counts(struct scan *s)
{
    const uint8_t *p = s->p + 1;
    uint32_t low, high;
    if (!scan_number(&p, s->end, &low))
        return false;
    high = low;
    if (p < s->end && *p == ',') {
        p++;
        if (!scan_number(&p, s->end, &high))
            high = low;
    }
    if (p == s->end || *p != '}')
        return false;
    if (low > REGEX_REPEAT_MAX || high > REGEX_REPEAT_MAX || high < low)
        fail(s, "invalid repeat count");
    s->p = p + 1;
    return true;
}

static void scan_repeat(struct scan *s)
{
    const uint8_t *first = s->p;
    if (*s->p != '{') {
        s->p++;
    } else if (!scan_counts(s)) {
        put_literal(s, *s->p++);
        s->last = ATOM;
        return;
    }
    if (s->last == NOTHING)
        fail(s, "missing argument to repetition operator");
    if (s->last == REPEAT)
        fail(s, "invalid nested repetition operator");
    if (s->p < s->end && *s->p == '?')
        s->p++;
    buf_append(s->out, first, (size_t)(s->p - first));
    s->last = REPEAT;
}

// Behind "(?": a name or flags.
static void scan_group_options(struct scan *s)
{
    s->p += s->p + 1 < s->end && s->p[0] == 'P' && s->p[1] == '<';
    if (s->p < s->end && *s->p == '<') {
        const uint8_t *first = ++s->p;
        while (s->p < s->end && (is_alnum(*s->p) || *s->p == '_'))
            s->p++;
        if (s->p == s->end || *s->p != '>' || s->p == first) {
            bool look_behind = first < s->end && (*first == '=' || *first == '!');
            fail(s, look_behind ? "invalid or unsupported Perl syntax" : "invalid named capture");
            return;
        }
        s->p++;
        buf_append(s->out, "(?:", 3);
        s->depth++;
        return;
    }
    buf_append(s->out, "(?", 2);
    for (bool minus = false; s->p < s->end; s->p++) {
        buf_put_u8(s->out, *s->p);
        if (*s->p == ':' || *s->p == ')') {
            s->depth += *s->p++ == ':';
            return;
        }
        if (!one_of(*s->p, "imsU") && (*s->p != '-' || minus))
            break;
        minus = minus || *s->p == '-';
    }
    fail(s, "invalid or unsupported Perl syntax");
}

static void scan_open(struct scan *s)
{
    if (s->p < s->end && *s->p == '?') {
        s->p++;
        scan_group_options(s);
    } else {
        buf_append(s->out, "(?:", 3);
        s->depth++;
    }
    s->last = NOTHING;
}

static void scan_one(struct scan *s)
{
    uint8_t c = *s->p;
    if (one_of(c, "*+?{")) {
        scan_repeat(s);
        return;
    }
    s->p++;
    switch (c) {
    case '\\':
        scan_escape(s);
        return;
    case '[':
        scan_class(s);
        return;
    case '(':
        scan_open(s);
        return;
    case ')':
        if (s->depth == 0)
            fail(s, "unexpected )");
        s->depth--;
        break;
    case '|':
        buf_put_u8(s->out, '|');
        s->last = NOTHING;
        return;
    case '^':
    case '$':
    case '.':
        break;
    default:
        put_literal(s, c);
        s->last = ATOM;
        return;
    }
    buf_put_u8(s->out, c);
    s->last = ATOM;
}

const char *regex_translate(struct bytes pattern, struct buf *out)
{
    struct scan s = {.p = pattern.p, .end = pattern.p + pattern.n, .out = out};
    buf_append(out, "\\A(?:", 5);
    while (s.p < s.end && !s.why)
        scan_one(&s);
    buf_append(out, ")\\z", 3);
    if (!s.why && s.depth > 0)
        s.why = "missing closing )";
    return s.why;
}
