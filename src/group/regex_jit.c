// SPDX-License-Identifier: Apache-2.0
//
// PCRE2 without its just-in-time compiler, which is never asked for: an expression meets a few thousand names, and no
// page of a broker should be both writable and executable. The library holds the compiler in one object of 240 KiB,
// which these names keep out of the link; it calls them only for an expression compiled so, hence never. Weak: where the
// object is linked all the same, its own are taken.
#include "base/assert.h"

#define NEVER_CALLED(name)                                                                                             \
    __attribute__((weak)) _Noreturn void name(void);                                                                   \
    void name(void)                                                                                                    \
    {                                                                                                                  \
        UNREACHABLE();                                                                                                 \
    }

NEVER_CALLED(pcre2_jit_match_8)
NEVER_CALLED(_pcre2_jit_check_exec_8)
NEVER_CALLED(_pcre2_jit_free_8)
