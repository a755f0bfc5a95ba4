// SPDX-License-Identifier: Apache-2.0
//
// The one executable: `weir server` is a node, everything else is a client of one (cli/cli.h).
#include "cli/cli.h"
#include "server/server.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv, server_main);
}
