// SPDX-License-Identifier: Apache-2.0
//
// What a process has used, out of /proc/PID/stat: user and system time in hundredths of a second, all threads and those
// that ended included, and resident pages.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/perf.h"

enum { TICKS_PER_SECOND = 100, PAGE_BYTES = 4096, FIELD_UTIME = 14, FIELD_STIME = 15, FIELD_RSS = 24 };

struct perf_usage perf_usage_of(struct cli *cli, int64_t pid)
{
    struct perf_usage u = {0};
    struct io_file file = {0};
    char path[64], text[2048];
    size_t n = 0;
    if (pid)
        snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    else
        snprintf(path, sizeof(path), "/proc/self/stat");
    if (io_file_open(cli->io, &file, path, IO_OPEN_READ, IO_FILE_OTHER) != RC_OK)
        return u;
    enum rc rc = io_file_read_now(&file, text, sizeof(text) - 1, 0, &n);
    io_file_close(&file);
    text[n] = 0;
    // The name in parentheses may hold anything: fields are counted from behind it.
    char *at = rc == RC_OK ? strrchr(text, ')') : NULL;
    if (!at)
        return u;
    int64_t ticks = 0;
    at++;
    for (int field = 3; *at; field++) {
        long long v = strtoll(at + 1, NULL, 10);
        if (field == FIELD_UTIME || field == FIELD_STIME)
            ticks += v;
        if (field == FIELD_RSS)
            u.resident_bytes = v * PAGE_BYTES;
        at = strchr(at + 1, ' ');
        if (!at)
            break;
    }
    u.known = true;
    u.cpu_s = (double)ticks / TICKS_PER_SECOND;
    return u;
}
