// SPDX-License-Identifier: Apache-2.0
//
// The one place where a failed assertion ends the process.
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_fail(const char *expression, const char *file, int line)
{
    fprintf(stderr, "weir: bug: assertion failed: %s (%s:%d)\n", expression, file, line);
    abort();
}
