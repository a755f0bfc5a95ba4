// SPDX-License-Identifier: Apache-2.0
//
// Assertions: bugs stop the process, in release builds too. Input from the wire or the disk must never reach one.
// VERIFY(x) is for checks that cost more than a comparison; it is compiled in only when WEIR_VERIFY is 1 (debug builds).
#pragma once

#ifndef WEIR_VERIFY
#define WEIR_VERIFY 0
#endif

// Prints the expression and its place on stderr and aborts. Any thread.
_Noreturn void assert_fail(const char *expression, const char *file, int line);

#define ASSERT(x) (__builtin_expect(!!(x), 1) ? (void)0 : assert_fail(#x, __FILE__, __LINE__))

#if WEIR_VERIFY
#define VERIFY(x) ASSERT(x)
#else
#define VERIFY(x) ((void)sizeof(!!(x)))
#endif

#define UNREACHABLE() assert_fail("unreachable", __FILE__, __LINE__)

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
