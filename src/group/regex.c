// SPDX-License-Identifier: Apache-2.0
#include "group/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum {
    MATCH_LIMIT = 20000,   // steps of a backtracking match: some 0.3 ms
    DFA_WORKSPACE = 2048,  // ints, some 340 states at once: their square times 249 characters is 20 ms
    MATCH_HEAP_KIB = 1024,
    PARENTHESES_MAX = 250,
};

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *context;
    uint32_t hard; // names that backtracking gave up on
    int workspace[DFA_WORKSPACE];
};

static const char *explain(int error)
{
    switch (error) {
    case PCRE2_ERROR_CLASS_RANGE_ORDER:
    case PCRE2_ERROR_CLASS_INVALID_RANGE:
    case PCRE2_ERROR_UNKNOWN_POSIX_CLASS:
    case PCRE2_ERROR_UNKNOWN_UNICODE_PROPERTY:
        return "invalid character class range";
    case PCRE2_ERROR_QUANTIFIER_INVALID:
        return "missing argument to repetition operator";
    case PCRE2_ERROR_PARENTHESES_NEST_TOO_DEEP:
        return "expression nests too deeply";
    case PCRE2_ERROR_CODE_POINT_TOO_BIG:
        return "invalid escape sequence";
    case PCRE2_ERROR_PATTERN_TOO_LARGE:
    case PCRE2_ERROR_PATTERN_STRING_TOO_LONG:
        return "expression too large";
    default:
        return error < 0 ? "invalid UTF-8" : "invalid or unsupported Perl syntax";
    }
}

static enum rc compile(struct bytes pattern, struct regex *r, const char **why)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context)
        return RC_NOMEM;
    pcre2_set_parens_nest_limit(context, PARENTHESES_MAX);
    int error;
    PCRE2_SIZE at;
    r->code = pcre2_compile(pattern.p, pattern.n,
                            PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE, &error,
                            &at, context);
    pcre2_compile_context_free(context);
    if (!r->code && (error == PCRE2_ERROR_HEAP_FAILED || error == PCRE2_ERROR_NOMEMORY))
        return RC_NOMEM;
    if (!r->code) {
        *why = explain(error);
        return RC_INVALID_REGULAR_EXPRESSION;
    }
    r->data = pcre2_match_data_create(1, NULL);
    r->context = pcre2_match_context_create(NULL);
    if (!r->data || !r->context)
        return RC_NOMEM;
    pcre2_set_match_limit(r->context, MATCH_LIMIT);
    pcre2_set_heap_limit(r->context, MATCH_HEAP_KIB);
    return RC_OK;
}

enum rc regex_create(struct bytes pattern, struct regex **out, const char **why)
{
    *out = NULL;
    *why = "expression too large";
    if (pattern.n > REGEX_BYTES_MAX)
        return RC_INVALID_REGULAR_EXPRESSION;
    struct buf translated;
    buf_init(&translated, 8 * (size_t)REGEX_BYTES_MAX);
    const char *problem = regex_translate(pattern, &translated);
    struct regex *r = calloc(1, sizeof(*r));
    enum rc rc = !r || translated.failed ? RC_NOMEM : problem ? RC_INVALID_REGULAR_EXPRESSION : RC_OK;
    if (problem)
        *why = problem;
    if (rc == RC_OK)
        rc = compile(buf_bytes(&translated), r, why);
    buf_deinit(&translated);
    if (rc != RC_OK) {
        regex_destroy(r);
        return rc;
    }
    *out = r;
    return RC_OK;
}

void regex_destroy(struct regex *r)
{
    if (!r)
        return;
    pcre2_code_free(r->code);
    pcre2_match_data_free(r->data);
    pcre2_match_context_free(r->context);
    free(r);
}

enum rc regex_match(struct regex *r, struct bytes name)
{
    const uint8_t *p = name.p ? name.p : (const uint8_t *)"";
    int found = pcre2_match(r->code, p, name.n, 0, 0, r->data, r->context);
    if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT || found == PCRE2_ERROR_HEAPLIMIT) {
        if (r->hard == REGEX_HARD_MAX)
            return RC_FULL;
        r->hard++;
        found = pcre2_dfa_match(r->code, p, name.n, 0, PCRE2_DFA_SHORTEST, r->data, r->context, r->workspace,
                                DFA_WORKSPACE);
    }
    if (found >= 0)
        return RC_OK;
    return found == PCRE2_ERROR_NOMATCH ? RC_NOT_FOUND : RC_FULL;
}

uint32_t regex_hard(const struct regex *r)
{
    return r->hard;
}
