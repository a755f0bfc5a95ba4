// SPDX-License-Identifier: Apache-2.0
//
// malloc and its sisters, wrapped by the linker (--wrap): counted, and made to fail on demand.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern int64_t heap_bytes; // allocated and not freed, with what glibc adds to a block

// Inside heap_enter() .. heap_leave() the nth allocation from now on fails, and every `each` after it. n 0: none does.
void heap_fail(uint64_t n, uint64_t each);
void heap_enter(void);
void heap_leave(void);
bool heap_failed(void); // since heap_fail()
