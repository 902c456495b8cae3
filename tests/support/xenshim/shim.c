/*
 * Xen, as far as C xenstored needs it, for a machine without Xen. Loaded before the daemon's libraries.
 *
 * XENSHIM_DOMAINS  a file of a byte per domid: 1 exists, 2 has shut down, 4 is dying
 * XENSHIM_RINGS    a file of a page per domid: the store rings that grants map
 * XENSHIM_EVENTS   a descriptor; a byte read from it is an event: 'v' VIRQ_DOM_EXC, else a guest's
 * XENSHIM_NOTIFY   a descriptor; a byte is written to it when the daemon notifies a guest
 *
 * Time runs a thousand times as fast: the daemon slows busy guests down by the clock, which nobody here
 * wants to wait for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DOMIDS 0x8000
#define PAGE 4096
#define VIRQ_PORT 1
#define GUEST_PORT 2
#define FIRST_PORT 100 /* what a guest may offer; lower ones cannot be bound */

enum { EXISTS = 1, SHUT_DOWN = 2, DYING = 4 };

static int descriptor(const char *name)
{
    int number = 0;
    for (const char *digit = getenv(name); digit && *digit; digit++)
        number = number * 10 + (*digit - '0');
    return number;
}

static int state_of(uint32_t domid)
{
    static const volatile unsigned char *states;
    if (!states) {
        int fd = open(getenv("XENSHIM_DOMAINS"), O_RDONLY);
        states = mmap(NULL, DOMIDS, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    return domid < DOMIDS ? states[domid] : 0;
}

/* The files through which dom0's own ring would come: as if there were none. */
int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list arguments;
    int mode;

    if (!real)
        real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_start(arguments, flags);
    mode = va_arg(arguments, int);
    va_end(arguments);
    if (!strcmp(path, "/proc/xen/xsd_port"))
        path = getenv("XENSHIM_PORT");
    else if (!strcmp(path, "/dev/xen/xenstored") || !strcmp(path, "/proc/xen/xsd_kva"))
        path = getenv("XENSHIM_RINGS");
    return real(path, flags, mode);
}

/* Nothing is made outside of the test's folder, which is there. */
int mkdir(const char *path, unsigned int mode)
{
    return 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC) {
        uint64_t milliseconds = (now->tv_sec * 1000000000ull + now->tv_nsec) % 1000000000000000ull / 1000;
        now->tv_sec = milliseconds / 1000;
        now->tv_nsec = milliseconds % 1000 * 1000000;
    }
    return result;
}

void *xc_interface_open(void *log, void *crash_log, unsigned int flags)
{
    return (void *)1;
}

int xc_interface_close(void *handle)
{
    return 0;
}

/* xc_dominfo_t of 4.17's xenctrl.h, as far as the daemon looks */
struct dominfo_4_17 {
    uint32_t domid, ssidref;
    unsigned int dying : 1, crashed : 1, shutdown : 1;
    char rest[120];
};

int xc_domain_getinfo(void *handle, uint32_t domid, unsigned int count, struct dominfo_4_17 *info)
{
    int state = state_of(domid);
    if (!state)
        return 0;
    info->domid = domid;
    info->dying = !!(state & DYING);
    info->crashed = 0;
    info->shutdown = !!(state & SHUT_DOWN);
    return 1;
}

/* struct xen_domctl_getdomaininfo of public/domctl.h, as far as the daemon looks */
struct dominfo {
    uint16_t domid, pad;
    uint32_t flags; /* XEN_DOMINF_dying 1, XEN_DOMINF_shutdown 4 */
};

int xc_domain_getinfo_single(void *handle, uint32_t domid, struct dominfo *info)
{
    int state = state_of(domid);
    if (!state) {
        errno = ESRCH;
        return -1;
    }
    info->domid = domid;
    info->flags = (state & DYING ? 1 : 0) | (state & SHUT_DOWN ? 4 : 0);
    return 0;
}

void *xenevtchn_open(void *log, unsigned int flags)
{
    return (void *)1;
}

void *xenevtchn_fdopen(void *log, int fd, unsigned int flags)
{
    return (void *)1;
}

int xenevtchn_fd(void *handle)
{
    return descriptor("XENSHIM_EVENTS");
}

int xenevtchn_bind_interdomain(void *handle, uint32_t domid, uint32_t port)
{
    if (domid && port < FIRST_PORT) {
        errno = EINVAL;
        return -1;
    }
    return 1000 + domid;
}

int xenevtchn_bind_virq(void *handle, unsigned int virq)
{
    return VIRQ_PORT;
}

int xenevtchn_notify(void *handle, uint32_t port)
{
    /* A full pipe is as good: there is something to be read from it. */
    return write(descriptor("XENSHIM_NOTIFY"), "n", 1) < 0 ? 0 : 0;
}

int xenevtchn_pending(void *handle)
{
    char kind;
    if (read(descriptor("XENSHIM_EVENTS"), &kind, 1) != 1)
        return -1;
    return kind == 'v' ? VIRQ_PORT : GUEST_PORT;
}

int xenevtchn_unbind(void *handle, uint32_t port)
{
    return 0;
}

int xenevtchn_unmask(void *handle, uint32_t port)
{
    return 0;
}

void *xengnttab_open(void *log, unsigned int flags)
{
    return (void *)1;
}

int xengnttab_close(void *handle)
{
    return 0;
}

int xengnttab_set_max_grants(void *handle, uint32_t count)
{
    return 0;
}

void *xengnttab_map_grant_ref(void *handle, uint32_t domid, uint32_t reference, int protection)
{
    int fd = open(getenv("XENSHIM_RINGS"), O_RDWR);
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)domid * PAGE);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(void *handle, void *page, uint32_t count)
{
    return munmap(page, PAGE);
}
