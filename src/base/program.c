// SPDX-License-Identifier: Apache-2.0
//
// The version, in one object file: a new commit rebuilds only this.
#include "base/program.h"

#include "version.h"

const char *program_version(void)
{
    return WEIR_VERSION;
}
