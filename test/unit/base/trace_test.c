// SPDX-License-Identifier: Apache-2.0
#include <criterion/criterion.h>
#include <signal.h>

#include "base/assert.h"
#include "base/trace.h"

static char trace_last[2048];

static void trace_keep(struct trace_sink *sink, enum trace_level level, const char *line, size_t n)
{
    (void)sink;
    (void)level;
    memcpy(trace_last, line, n);
    trace_last[n] = 0;
}

Test(trace, level_and_length)
{
    struct trace_sink sink = {.level_min = TRACE_INFO, .write = trace_keep};
    trace_info(&sink, "hello %d", 1);
    cr_assert_str_eq(trace_last, "hello 1");
    trace_debug(&sink, "not this");
    cr_assert_str_eq(trace_last, "hello 1");
    char big[3000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    trace_info(&sink, "%s", big);
    cr_assert_eq(strlen(trace_last), 1023);
    cr_assert_str_eq(trace_last + 1020, "...");
}

Test(trace, quote_never_lets_control_bytes_through)
{
    char out[16];
    cr_assert_str_eq(trace_quote(out, sizeof(out), bytes_str("a\nb")), "a\\x0ab");
    cr_assert_str_eq(trace_quote(out, sizeof(out), bytes_str("0123456789abcdef")), "0123456789ab...");
    cr_assert_str_eq(trace_quote(out, sizeof(out), bytes_str("0123456789abcde")), "0123456789abcde");
    for (size_t n = 5; n < 16; n++)
        for (size_t len = 0; len < 20; len++) {
            trace_quote(out, n, bytes_of("\x01xx\x02yyyy\xff\xff\xffzzzzzzzzz", len));
            cr_assert_lt(strlen(out), n);
        }
}

Test(trace, one_line_a_second)
{
    struct trace_limit l = {0};
    uint64_t dropped = 9;
    cr_assert(trace_limit_pass(&l, 5, &dropped));
    cr_assert_eq(dropped, 0);
    cr_assert_not(trace_limit_pass(&l, 500, &dropped));
    cr_assert_not(trace_limit_pass(&l, 900, &dropped));
    cr_assert(trace_limit_pass(&l, 1000000005u, &dropped));
    cr_assert_eq(dropped, 2);
}

Test(assert, failing_aborts, .signal = SIGABRT)
{
    int three = 3;
    ASSERT(three == 4);
}
