// SPDX-License-Identifier: Apache-2.0
//
// Going on in the background, and asking such a process to end: for kafka-server-start and -stop. None of it is for a
// process that has threads.
#include "io/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

int64_t io_process_id(void)
{
    return getpid();
}

enum rc io_daemon(const char *output, int64_t *pid)
{
    int out = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int in = out >= 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    pid_t child = in >= 0 ? fork() : -1;
    enum rc rc = child >= 0 ? RC_OK : io_rc_of_errno(errno);
    if (child == 0) {
        setsid();
        if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
            rc = io_rc_of_errno(errno);
    }
    if (out >= 0)
        close(out);
    if (in >= 0)
        close(in);
    *pid = child;
    return rc;
}

enum rc io_process_end(int64_t pid, const char *name)
{
    char path[64], line[4096];
    snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
    if (pid <= 1 || pid > INT32_MAX)
        return RC_NOT_FOUND;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return RC_NOT_FOUND;
    line[n] = 0; // the first word ends in a zero of its own
    const char *slash = strrchr(line, '/');
    if (strncmp(slash ? slash + 1 : line, name, strlen(name)) != 0)
        return RC_NOT_FOUND; // another program has the number now
    if (kill((pid_t)pid, SIGTERM) == 0)
        return RC_OK;
    return errno == ESRCH ? RC_NOT_FOUND : io_rc_of_errno(errno);
}
