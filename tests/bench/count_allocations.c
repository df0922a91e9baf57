/* Counts calls of malloc and its kin in a program that it is loaded into (LD_PRELOAD), for tests/bench/engine. The count is in
 * the file that ALLOCATIONS names, eight bytes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static unsigned long before, *count = &before;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("ALLOCATIONS");
    int fd = path ? open(path, O_RDWR) : -1;
    void *shared = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) count = shared;
}

void *malloc(size_t size) {
    __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
    return __libc_realloc(old, size);
}
