/* The functions of the stable Xen libraries that xentool calls, with no Xen behind them.
 * fake_mapped counts what is mapped or allocated; a test reads it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

long fake_mapped, fake_open_errno, fake_interrupts, fake_handles;

static void *open_one(void)
{
    if ( fake_open_errno )
    {
        errno = fake_open_errno;
        return NULL;
    }
    fake_handles++;
    return malloc(1);
}

static int close_one(void *handle)
{
    fake_handles--;
    free(handle);
    return 0;
}

static void *map(size_t pages, int filler)
{
    void *p = mmap(NULL, pages << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(p, filler, pages << 12);
    fake_mapped += pages;
    return p;
}

static int unmap(void *p, size_t pages)
{
    fake_mapped -= pages;
    return munmap(p, pages << 12);
}

void *xencall_open(void *logger, unsigned flags) { return open_one(); }
int xencall_close(void *h) { return close_one(h); }
void *xencall_alloc_buffer_pages(void *h, size_t n) { return map(n, 0xA5); }
void xencall_free_buffer_pages(void *h, void *p, size_t n) { unmap(p, n); }

static int answer(unsigned op)
{
    if ( op != 99 )
        return op;
    errno = ESRCH;
    return -1;
}

int xencall0(void *h, unsigned op) { return answer(op); }
int xencall1(void *h, unsigned op, uint64_t a) { return answer(op) + (op == 99 ? 0 : a); }
int xencall2(void *h, unsigned op, uint64_t a, uint64_t b) { return answer(op); }
long xencall2L(void *h, unsigned op, uint64_t a, uint64_t b) { return op == 99 ? answer(op) : a + b; }
int xencall3(void *h, unsigned op, uint64_t a, uint64_t b, uint64_t c) { return answer(op); }
int xencall4(void *h, unsigned op, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return answer(op); }
int xencall5(void *h, unsigned op, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    return a == 1 && b == 2 && c == 3 && d == 4 && e == 5 ? answer(op) : 0;
}

void *xenforeignmemory_open(void *logger, unsigned flags) { return open_one(); }
int xenforeignmemory_close(void *h) { return close_one(h); }

/* Frame 0xbad cannot be mapped; frame 0xdead fails the whole call. */
void *xenforeignmemory_map(void *h, uint32_t dom, int prot, size_t n, const uint64_t *frames, int *failures)
{
    size_t i;

    for ( i = 0; i < n; i++ )
    {
        failures[i] = frames[i] == 0xbad ? -EBUSY : 0;
        if ( frames[i] == 0xdead )
        {
            errno = ESRCH;
            return NULL;
        }
    }
    return map(n, dom);
}

int xenforeignmemory_unmap(void *h, void *p, size_t n) { return unmap(p, n); }

struct resource { void *p; size_t n; };

void *xenforeignmemory_map_resource(void *h, uint16_t dom, unsigned type, unsigned id, unsigned long frame,
                                    unsigned long n, void **addr, int prot, int flags)
{
    struct resource *r;

    if ( type == 9 )
    {
        errno = EOPNOTSUPP;
        return NULL;
    }
    r = malloc(sizeof(*r));
    r->p = *addr = map(n, type);
    r->n = n;
    return r;
}

int xenforeignmemory_unmap_resource(void *h, void *resource)
{
    struct resource *r = resource;
    int rc = unmap(r->p, r->n);

    free(r);
    return rc;
}

void *xengnttab_open(void *logger, unsigned flags) { return open_one(); }
int xengnttab_close(void *h) { return close_one(h); }

void *xengnttab_map_domain_grant_refs(void *h, uint32_t n, uint32_t dom, uint32_t *refs, int prot)
{
    if ( refs[0] == 0 )
    {
        errno = EINVAL;
        return NULL;
    }
    return map(n, refs[0]);
}

int xengnttab_unmap(void *h, void *p, uint32_t n) { return unmap(p, n); }

void *xenevtchn_open(void *logger, unsigned flags) { return open_one(); }
int xenevtchn_close(void *h) { return close_one(h); }
int xenevtchn_fd(void *h) { return 123; }
int xenevtchn_notify(void *h, uint32_t port) { errno = ENOTCONN; return port == 9 ? -1 : 0; }
int xenevtchn_bind_unbound_port(void *h, uint32_t dom) { return dom + 1; }
int xenevtchn_bind_interdomain(void *h, uint32_t dom, uint32_t port) { return dom + port; }
int xenevtchn_bind_virq(void *h, unsigned virq) { return virq + 2; }
int xenevtchn_unbind(void *h, uint32_t port) { return 0; }
int xenevtchn_unmask(void *h, uint32_t port) { return 0; }

int xenevtchn_pending(void *h)
{
    if ( fake_interrupts-- > 0 )
    {
        errno = EINTR;
        return -1;
    }
    return 7;
}
