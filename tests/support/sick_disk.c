/* A disk that fails while a file is there: writes and syncs of the journal end in
   EIO. Loaded into processes with LD_PRELOAD; the file is named by SICK_WHILE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_sick(int fd)
{
    char link[64], path[4096];
    const char *file = getenv("SICK_WHILE");
    ssize_t length;

    if (file == NULL || access(file, F_OK) != 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return strstr(path, "lowtide.db") != NULL;
}

#define SICK(fd)       \
    if (is_sick(fd)) { \
        errno = EIO;   \
        return -1;     \
    }

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    SICK(fd)
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, data, count, at);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    SICK(fd)
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "fdatasync");
    return real(fd);
}

int fsync(int fd)
{
    static int (*real)(int);
    SICK(fd)
    if (real == NULL)
        real = dlsym(RTLD_NEXT, "fsync");
    return real(fd);
}
