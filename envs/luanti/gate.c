/* Keeps the game in step with who plays it. Loaded into the unmodified game by LD_PRELOAD.
 *
 * The game lives in a loop: read the clock, take input, move, draw, show. Here its clock stands still, and where it would
 * show a frame it hands the picture over and waits to be told by how much the clock goes on. So one loop is one step,
 * however long it takes on this machine. When the other side is gone, the game ends.
 *
 * WORLDMODEL_GATE is "IN OUT FILE BYTES": two inherited pipes and a shared file for the picture, RGB, bottom row first.
 * To the player, for each picture: its width and height, 2 x int32. From the player: nanoseconds, int64.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GL_PACK_ALIGNMENT 0x0D05
#define GL_VIEWPORT 0x0BA2
#define GL_RGB 0x1907
#define GL_UNSIGNED_BYTE 0x1401

static int in = -1, out = -1;
static long bytes;
static unsigned char *picture;
static _Atomic int64_t now = 1000LL * 1000000000LL;
static int (*real_clock)(clockid_t, struct timespec *);
static void (*real_swap)(void *, unsigned long);
static void (*read_pixels)(int, int, int, int, unsigned, unsigned, void *);
static void (*get_integers)(unsigned, int *);
static void (*pixel_store)(unsigned, int);

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("WORLDMODEL_GATE");
    char path[4096];
    real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real_swap = (void (*)(void *, unsigned long))dlsym(RTLD_NEXT, "glXSwapBuffers");
    if (!text || sscanf(text, "%d %d %4095s %ld", &in, &out, path, &bytes) != 4)
        return;
    int file = open(path, O_RDWR);
    void *memory = file < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        _exit(97);
    close(file);
    picture = memory;
}

/* Only the clocks that the game itself reads stand still; X, GL and the C library have their own. */
int clock_gettime(clockid_t id, struct timespec *time)
{
    if (id != CLOCK_MONOTONIC_RAW || !picture)
        return real_clock(id, time);
    int64_t at = atomic_load(&now);
    time->tv_sec = at / 1000000000;
    time->tv_nsec = at % 1000000000;
    return 0;
}

/* The date, from which the game draws the seed of its clouds, never changes: how many steps it takes to start does. */
time_t time(time_t *into)
{
    struct timespec date = {1000, 0};
    if (!picture)
        real_clock(CLOCK_REALTIME, &date);
    if (into)
        *into = date.tv_sec;
    return date.tv_sec;
}

void glXSwapBuffers(void *display, unsigned long drawable)
{
    int view[4] = {0, 0, 0, 0};
    int64_t step;
    ssize_t got;
    if (picture) {
        if (!read_pixels) {
            get_integers = (void (*)(unsigned, int *))dlsym(RTLD_DEFAULT, "glGetIntegerv");
            pixel_store = (void (*)(unsigned, int))dlsym(RTLD_DEFAULT, "glPixelStorei");
            read_pixels = (void (*)(int, int, int, int, unsigned, unsigned, void *))dlsym(RTLD_DEFAULT, "glReadPixels");
            if (!get_integers || !pixel_store || !read_pixels)
                _exit(98);
        }
        get_integers(GL_VIEWPORT, view);
        if ((long)view[2] * view[3] * 3 <= bytes) {
            pixel_store(GL_PACK_ALIGNMENT, 1);
            read_pixels(0, 0, view[2], view[3], GL_RGB, GL_UNSIGNED_BYTE, picture);
            pixel_store(GL_PACK_ALIGNMENT, 4);
        }
    }
    real_swap(display, drawable);
    if (!picture)
        return;
    if (write(out, view + 2, 2 * sizeof(int)) != 2 * sizeof(int))
        _exit(0);
    do
        got = read(in, &step, sizeof step);
    while (got < 0 && errno == EINTR);
    if (got != sizeof step)
        _exit(0);
    atomic_fetch_add(&now, step);
}
