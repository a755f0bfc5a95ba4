// SPDX-License-Identifier: Apache-2.0
//
// Who this program is.
#pragma once

// Its version: what `git describe` said when it was built. Static string.
const char *program_version(void);
