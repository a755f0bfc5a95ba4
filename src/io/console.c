// SPDX-License-Identifier: Apache-2.0
//
// Standard input, for the command line: read as it comes, from a terminal, a pipe or a file.
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "io/io.h"

bool io_stdin_wait(struct io *io, int timeout_ms)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    (void)io;
    // An error or the end is readable too: the read tells which.
    return poll(&p, 1, timeout_ms) > 0;
}

enum rc io_stdin_read(struct io *io, void *p, size_t n, size_t *got)
{
    ssize_t r;
    (void)io;
    do
        r = read(STDIN_FILENO, p, n);
    while (r < 0 && errno == EINTR);
    *got = r > 0 ? (size_t)r : 0;
    return r > 0 ? RC_OK : r == 0 ? RC_EOF : RC_IO;
}
