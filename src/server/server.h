// SPDX-License-Identifier: Apache-2.0
//
// `weir server`: command line, start lines, threads, signals. One node a process.
#pragma once

// argv[0] is "server". Returns the exit code: 0 clean stop or help, 1 the node cannot start or had to stop, 2 the command
// line is wrong.
int server_main(int argc, char **argv);
