// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/prng.h"
#include "group/regex.h"

static enum rc match(const char *pattern, const char *name)
{
    struct regex *r;
    const char *why;
    cr_assert_eq(regex_create(bytes_str(pattern), &r, &why), RC_OK, "%s: %s", pattern, why);
    enum rc rc = regex_match(r, bytes_str(name));
    regex_destroy(r);
    return rc;
}

Test(regex, the_whole_name_must_match)
{
    static const struct {
        const char *pattern, *yes, *no;
    } cases[] = {
        {"foo", "foo", "foo-bar"},
        {"foo.*", "foo-bar", "a-foo"},
        {"^foo$", "foo", "foo\n"},
        {"a|bc", "bc", "abc"},
        {"a|ab", "ab", "abb"},
        {"", "", "a"},
        {"[a-c]+\\.x", "abc.x", "abcxx"},
        {"[^-]*", "a_b", "a-b"},
        {"[]a]+", "]a]", "b"},
        {"[[:alpha:]]{2,3}", "ab", "abcd"},
        {"\\d{3}", "123", "12"},
        {"\\Qa.b*\\E.", "a.b*x", "aab*x"},
        {"(?i)Foo", "fOO", "fo"},
        {"(?P<name>a)(?<b>b)(?:c)", "abc", "ab"},
        {"(?i:a)b", "Ab", "AB"},
        {"\\x61\\x{62}\\143", "abc", "abd"},
        {"\\12|a", "\n", "b"},
        {"a{,2}", "a{,2}", "aa"},
        {"a{2}b{1,}c{0,1}", "aabb", "ab"},
        {"a+?b*?c??", "aab", "b"},
        {"\\pL+", "abc", "a1"},
        {"\\p{Greek}|\\PN", "a", "1"},
        {"\\v|v", "v", "\n"},
        {"a\\z|\\Ab", "b", "ab"},
        {"\\bfoo\\b", "foo", "foox"},
        {"a(b(c|d)*)?", "abcdc", "abe"},
        {"\xc3\xa9|e", "e", "\xc3"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        cr_assert_eq(match(cases[i].pattern, cases[i].yes), RC_OK, "%s %s", cases[i].pattern, cases[i].yes);
        cr_assert_neq(match(cases[i].pattern, cases[i].no), RC_OK, "%s %s", cases[i].pattern, cases[i].no);
    }
}

Test(regex, what_re2_does_not_know_is_refused)
{
    static const struct {
        const char *pattern, *why;
    } cases[] = {
        {"[", "missing closing ]"},
        {"[a", "missing closing ]"},
        {"[]", "missing closing ]"},
        {"[a\\", "missing closing ]"},
        {"(", "missing closing )"},
        {"(a", "missing closing )"},
        {"a)", "unexpected )"},
        {"*", "missing argument to repetition operator"},
        {"a|*", "missing argument to repetition operator"},
        {"(*UTF)a", "missing argument to repetition operator"},
        {"(+)", "missing argument to repetition operator"},
        {"a**", "invalid nested repetition operator"},
        {"a*+", "invalid nested repetition operator"},
        {"a{2}{3}", "invalid nested repetition operator"},
        {"a{1001}", "invalid repeat count"},
        {"a{99999999999999}", "invalid repeat count"},
        {"a{3,2}", "invalid repeat count"},
        {"(a)\\1", "invalid escape sequence"},
        {"\\8", "invalid escape sequence"},
        {"\\k<a>", "invalid escape sequence"},
        {"\\g1", "invalid escape sequence"},
        {"\\Z", "invalid escape sequence"},
        {"\\R", "invalid escape sequence"},
        {"\\K", "invalid escape sequence"},
        {"\\C", "invalid escape sequence"},
        {"\\x{110000}", "invalid escape sequence"},
        {"\\x{}", "invalid escape sequence"},
        {"\\xg", "invalid escape sequence"},
        {"\\E", "invalid escape sequence"},
        {"a\\", "trailing backslash at end of expression"},
        {"(?=a)", "invalid or unsupported Perl syntax"},
        {"(?!a).*", "invalid or unsupported Perl syntax"},
        {"(?<=a)b", "invalid or unsupported Perl syntax"},
        {"(?<!a)b", "invalid or unsupported Perl syntax"},
        {"(?>a)", "invalid or unsupported Perl syntax"},
        {"(?R)", "invalid or unsupported Perl syntax"},
        {"(?1)", "invalid or unsupported Perl syntax"},
        {"(?P=a)", "invalid or unsupported Perl syntax"},
        {"(?P>a)", "invalid or unsupported Perl syntax"},
        {"(?x)a", "invalid or unsupported Perl syntax"},
        {"(?i", "invalid or unsupported Perl syntax"},
        {"(?#a)", "invalid or unsupported Perl syntax"},
        {"(?<>a)", "invalid named capture"},
        {"(?P<a", "invalid named capture"},
        {"[z-a]", "invalid character class range"},
        {"[[:foo:]]", "invalid character class range"},
        {"\\p{Nonsense}", "invalid character class range"},
        {"\\p{", "invalid character class range"},
        {"((((a{1000}){1000}){1000}){1000})", "expression too large"},
        {"\xff", "invalid UTF-8"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct regex *r;
        const char *why = "";
        cr_assert_eq(regex_create(bytes_str(cases[i].pattern), &r, &why), RC_INVALID_REGULAR_EXPRESSION, "%s",
                     cases[i].pattern);
        cr_assert_str_eq(why, cases[i].why, "%s: %s", cases[i].pattern, why);
        cr_assert_null(r);
    }
}

Test(regex, patterns_are_bounded)
{
    static char pattern[REGEX_BYTES_MAX + 2];
    memset(pattern, 'a', sizeof(pattern) - 1);
    struct regex *r;
    const char *why;
    cr_assert_eq(regex_create(bytes_of(pattern, REGEX_BYTES_MAX + 1), &r, &why), RC_INVALID_REGULAR_EXPRESSION);
    cr_assert_eq(regex_create(bytes_of(pattern, REGEX_BYTES_MAX / 2), &r, &why), RC_OK, "%s", why);
    cr_assert_eq(regex_match(r, bytes_of(pattern, 249)), RC_NOT_FOUND);
    regex_destroy(r);
    memset(pattern, '(', sizeof(pattern) - 1);
    cr_assert_eq(regex_create(bytes_of(pattern, 1000), &r, &why), RC_INVALID_REGULAR_EXPRESSION);
    memset(pattern + 1000, ')', 1000);
    cr_assert_eq(regex_create(bytes_of(pattern, 2000), &r, &why), RC_INVALID_REGULAR_EXPRESSION);
    cr_assert_str_eq(why, "expression nests too deeply");
}

// What makes a backtracking matcher run for years.
Test(regex, no_pattern_explodes)
{
    static const struct {
        const char *pattern;
        enum rc rc;
    } cases[] = {
        {"(a+)+[bc]", RC_NOT_FOUND},       {"(a*)*[bc]", RC_NOT_FOUND},           {"(a|aa)+[bc]", RC_NOT_FOUND},
        {"(a|a?)+[bc]", RC_NOT_FOUND},     {"(.*.*)*[bc]", RC_NOT_FOUND},         {"(a?){60}a{200}", RC_OK},
        {"((a{0,5}){0,30})*[bc]", RC_NOT_FOUND}, {"(x+x+|aa?)+[yz]", RC_NOT_FOUND}, {"(.*){6}[bc]", RC_NOT_FOUND},
        {"((a?){30}){30}[bc]", RC_FULL},
    };
    char name[249];
    memset(name, 'a', sizeof(name));
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct regex *r;
        const char *why = "";
        cr_assert_eq(regex_create(bytes_str(cases[i].pattern), &r, &why), RC_OK, "%s: %s", cases[i].pattern, why);
        for (uint32_t round = 0; round < REGEX_HARD_MAX + 4; round++) {
            struct timespec a, b;
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
            enum rc rc = regex_match(r, bytes_of(name, sizeof(name)));
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
            double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
            if (getenv("REGEX_TIMES") && round == 0)
                cr_log_warn("%s: %s, %.3f ms", cases[i].pattern, rc_name(rc), ms);
            bool hard = regex_hard(r) > round || (round > 0 && regex_hard(r) == REGEX_HARD_MAX);
            if (round >= REGEX_HARD_MAX && hard)
                cr_assert_eq(rc, RC_FULL, "%s", cases[i].pattern);
            else // giving up is as good as no match
                cr_assert((rc == RC_OK) == (cases[i].rc == RC_OK), "%s: %s", cases[i].pattern, rc_name(rc));
            cr_assert_lt(ms, 500, "%s: %.0f ms", cases[i].pattern, ms); // under sanitizers, on any machine
        }
        regex_destroy(r);
    }
}

Test(regex, thousands_of_alternatives_are_easy)
{
    static char pattern[REGEX_BYTES_MAX];
    size_t n = 0;
    for (int i = 0; i < 1800; i++)
        n += (size_t)snprintf(pattern + n, sizeof(pattern) - n, "%stopic-%d", i ? "|" : "", i);
    struct regex *r;
    const char *why = "";
    cr_assert_eq(regex_create(bytes_of(pattern, n), &r, &why), RC_OK, "%s", why);
    cr_assert_eq(regex_match(r, bytes_str("topic-1799")), RC_OK);
    cr_assert_eq(regex_match(r, bytes_str("topic-1800")), RC_NOT_FOUND);
    cr_assert_eq(regex_hard(r), 0);
    regex_destroy(r);
}

Test(regex, random_bytes_compile_or_are_refused)
{
    static const char alphabet[] = "ab01()[]{}*+?|\\^$.-,:=!<>PiQEdpxz&#\x80";
    struct prng prng;
    prng_init(&prng, 5);
    uint32_t good = 0;
    for (int i = 0; i < 60000; i++) {
        char pattern[24];
        size_t n = prng_below(&prng, sizeof(pattern));
        for (size_t k = 0; k < n; k++)
            pattern[k] = alphabet[prng_below(&prng, sizeof(alphabet))]; // with the zero
        struct regex *r;
        const char *why = NULL;
        enum rc rc = regex_create(bytes_of(pattern, n), &r, &why);
        if (rc != RC_OK) {
            cr_assert_eq(rc, RC_INVALID_REGULAR_EXPRESSION);
            cr_assert_not_null(why);
            continue;
        }
        good++;
        rc = regex_match(r, bytes_str("ab01-a.b"));
        cr_assert(rc == RC_OK || rc == RC_NOT_FOUND, "%.*s: %s", (int)n, pattern, rc_name(rc));
        regex_destroy(r);
    }
    cr_assert_gt(good, 5000);
}
