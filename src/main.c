// SPDX-License-Identifier: Apache-2.0
//
// The one executable: `weir server` is a node, everything else is a client of one (cli/cli.h).
#include <stddef.h>

#include "cli/cli.h"

// The node: argv[0] is "server". Defined by src/server.
__attribute__((weak)) int server_main(int argc, char **argv);

int main(int argc, char **argv)
{
    return cli_main(argc, argv, server_main);
}
