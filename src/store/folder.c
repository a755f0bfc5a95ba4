// SPDX-License-Identifier: Apache-2.0
#include "store/folder.h"

#include <stdio.h>
#include <string.h>

// The folder path lies in: "." and "/" are their own.
static void parent_of(char out[IO_PATH_BYTES_MAX], const char *path)
{
    size_t n = strnlen(path, IO_PATH_BYTES_MAX - 1);
    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 1 && path[n - 1] == '/')
        n--;
    snprintf(out, IO_PATH_BYTES_MAX, "%.*s", n ? (int)n : 1, n ? path : ".");
}

enum rc folder_sync_entry(struct io *io, const char *path)
{
    char parent[IO_PATH_BYTES_MAX];
    parent_of(parent, path);
    return io_sync_dir_now(io, parent);
}

enum rc folder_make(struct io *io, const char *path)
{
    enum rc rc = io_make_dir(io, path);
    if (rc != RC_NOT_FOUND)
        return rc;
    char parent[IO_PATH_BYTES_MAX];
    parent_of(parent, path);
    if (strlen(parent) >= strlen(path)) // "." has no parent here
        return rc;
    rc = folder_make(io, parent); // as deep as the path has names, which its length bounds
    if (rc == RC_OK)
        rc = folder_sync_entry(io, parent);
    return rc == RC_OK || rc == RC_EXISTS ? io_make_dir(io, path) : rc;
}
