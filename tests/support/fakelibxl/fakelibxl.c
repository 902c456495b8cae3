/* A stand-in for libxenlight and libxentoollog, for tests on machines without Xen.
 *
 * What it does follows from the domid that libxl_domain_pause is given:
 *   1  ends at once           2  ends after 50 ms        3  ends only when it is aborted
 *   4  fails at the start     5  fails in the end, with two lines of log
 *   6  is aborted too late: it has succeeded            7  needs room for 20 descriptors
 *   8  leaves an event of another operation first       9  ends by an event of another kind
 *  10  never ends, for from then on there is a disaster whenever something happens
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { FAIL = -3, TIMEDOUT = -9, NOT_READY = -11, BUFFERFULL = -13, ABORTED = -22, NOTFOUND = -23 };

struct logger { FILE *file; int level; };

struct logger *xtl_createlogger_stdiostream(FILE *file, int level, unsigned flags)
{
    struct logger *logger = malloc(sizeof(*logger));
    (void)flags;
    logger->file = file;
    logger->level = level;
    return logger;
}

void xtl_logger_destroy(struct logger *logger) { free(logger); }

struct how { void *callback; uint64_t for_event; };
struct event { uint64_t number; int rc; int kind; };

struct ctx {
    struct logger *logger;
    int running, fds, late;
    uint64_t number;
    int64_t ends_at, fails_with;
    struct event queue[16];
    int queued;
    const void *hooks;
    const struct event_hooks *event_hooks;
    int idle[2], disaster;
};

struct event_hooks {
    uint64_t mask;
    void *occurs;
    void (*disaster)(void *user, int type, const char *message, int number);
};

static int64_t now_ms(struct timeval now) { return now.tv_sec * 1000 + now.tv_usec / 1000; }

static void say(struct ctx *ctx, const char *text)
{
    fputs(text, ctx->logger->file);
    fflush(ctx->logger->file);
}

int libxl_ctx_alloc(struct ctx **out, int version, unsigned flags, struct logger *logger)
{
    struct ctx *ctx;
    (void)version, (void)flags;
    if (getenv("FAKELIBXL_NO_CONTEXT")) {
        fputs("libxl: error: libxl.c:90:libxl_ctx_alloc: cannot open libxc handle: No such file\n", logger->file);
        fflush(logger->file);
        return FAIL;
    }
    ctx = calloc(1, sizeof(*ctx));
    ctx->logger = logger;
    if (pipe(ctx->idle))
        abort();
    *out = ctx;
    return 0;
}

int fake_freed_at_work;

int libxl_ctx_free(struct ctx *ctx)
{
    fake_freed_at_work += ctx->running; /* where libxl aborts the process */
    close(ctx->idle[0]);
    close(ctx->idle[1]);
    free(ctx);
    return 0;
}

void libxl_childproc_setmode(struct ctx *ctx, const int *hooks, void *user)
{
    (void)user;
    if (*hooks != 3)
        abort();
    ctx->hooks = hooks;
}

void libxl_event_register_callbacks(struct ctx *ctx, const struct event_hooks *hooks, void *user)
{
    (void)user;
    ctx->event_hooks = hooks;
}

static void finish(struct ctx *ctx, uint64_t number, int rc, int kind)
{
    struct event event = { number, rc, kind };
    ctx->queue[ctx->queued++] = event;
}

int fake_calls, fake_calls_blocked;
/* How often libxl might have forked, and how often a child would not have heard of ^C. */

static void might_fork(void)
{
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    fake_calls++;
    fake_calls_blocked += sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGHUP);
}

int libxl_domain_pause(struct ctx *ctx, uint32_t domid, const struct how *how)
{
    struct timeval now;
    int64_t soon;
    might_fork();
    gettimeofday(&now, 0);
    soon = now_ms(now) + 50;
    if (how->callback)
        abort();
    if (ctx->running) {
        say(ctx, "libxl: error: libxl_domain.c:3:f: the last operation still runs\n");
        return FAIL;
    }
    ctx->number = how->for_event;
    ctx->fds = 1;
    ctx->late = ctx->fails_with = 0;
    switch (domid) {
    case 1:
        finish(ctx, how->for_event, 0, 0);
        return 0;
    case 3:
        soon = INT64_MAX;
        break;
    case 4:
        say(ctx, "libxl: error: libxl_domain.c:12:f: Domain 4:it is made of cheese: Bad address\n");
        return FAIL;
    case 5:
        say(ctx, "libxl: error: libxl_a.c:1:f: Domain 5:the cause\nand more\nlibxl: error: libxl_b.c:2:g: then\n");
        ctx->fails_with = TIMEDOUT;
        break;
    case 6:
        soon = INT64_MAX;
        ctx->late = 1;
        break;
    case 7:
        ctx->fds = 20;
        break;
    case 8:
        finish(ctx, how->for_event + 77, FAIL, 0);
        break;
    case 9:
        finish(ctx, how->for_event, 0, 1);
        return 0;
    case 10:
        ctx->disaster = 1;
        break;
    }
    ctx->ends_at = soon;
    ctx->running = 1;
    return 0;
}

int libxl_ao_abort(struct ctx *ctx, const struct how *how)
{
    struct timeval now;
    gettimeofday(&now, 0);
    if (!ctx->running || ctx->number != how->for_event)
        return NOTFOUND;
    ctx->fails_with = ctx->late ? 0 : ABORTED;
    ctx->ends_at = now_ms(now) + 50; /* it comes to rest in its own time */
    return 0;
}

int libxl_osevent_beforepoll(struct ctx *ctx, int *nfds, struct pollfd *fds, int *timeout, struct timeval now)
{
    int room = *nfds;
    *nfds = ctx->fds;
    if (room < ctx->fds)
        return BUFFERFULL;
    for (int i = 0; i < ctx->fds; i++) {
        fds[i].fd = ctx->idle[0];
        fds[i].events = POLLIN;
        fds[i].revents = 0;
    }
    if (ctx->running && ctx->ends_at != INT64_MAX) {
        int64_t left = ctx->ends_at - now_ms(now);
        *timeout = left < 0 ? 0 : (int)left;
    }
    return 0;
}

void libxl_osevent_afterpoll(struct ctx *ctx, int nfds, const struct pollfd *fds, struct timeval now)
{
    might_fork();
    if (nfds != ctx->fds || fds[nfds - 1].fd != ctx->idle[0])
        abort();
    if (ctx->disaster) {
        ctx->event_hooks->disaster(0, 0, "cannot check/read watches", EIO);
        return;
    }
    if (ctx->running && now_ms(now) >= ctx->ends_at) {
        ctx->running = 0;
        say(ctx, "xc: progress: Frames: 1/1  100%\n");
        finish(ctx, ctx->number, (int)ctx->fails_with, 0);
    }
}

int libxl_event_check(struct ctx *ctx, struct event **out, uint64_t mask, void *predicate, void *user)
{
    (void)mask, (void)predicate, (void)user;
    if (!ctx->queued)
        return NOT_READY;
    *out = malloc(sizeof(**out));
    **out = ctx->queue[0];
    memmove(ctx->queue, ctx->queue + 1, sizeof(ctx->queue[0]) * --ctx->queued);
    return 0;
}

void libxl_event_free(struct ctx *ctx, struct event *event) { (void)ctx, free(event); }

char *libxl_event_to_json(struct ctx *ctx, const struct event *event)
{
    char *text;
    (void)ctx;
    char rc[20] = "";
    if (event->rc)
        sprintf(rc, "\"rc\": %d", event->rc);
    if (asprintf(&text, "{\"domid\": 1, \"for_user\": %llu, \"type.%s\": {%s}}", (unsigned long long)event->number,
                 event->kind ? "domain_death" : "operation_complete", rc) < 0)
        abort();
    return text;
}

/* A structure of 40 bytes, the last 8 of which begin as 0xA5 and end as 0x5A. It knows the keys "name" and
 * "rest", and leaves out an empty one. */
struct config { char *name; char *rest; char room[16]; unsigned char last[8]; };

int fake_alive;

void libxl_domain_config_init(struct config *config)
{
    memset(config, 0, sizeof(*config));
    memset(config->last, 0xA5, 4);
    memset(config->last + 4, 0x5A, 4);
    fake_alive++;
}

void libxl_domain_config_dispose(struct config *config)
{
    free(config->name);
    free(config->rest);
    memset(config, 0, sizeof(*config));
    fake_alive--;
}

void libxl_domain_config_copy(struct ctx *ctx, struct config *to, const struct config *from)
{
    (void)ctx;
    to->name = from->name ? strdup(from->name) : NULL;
    to->rest = from->rest ? strdup(from->rest) : NULL;
}

static char *value_of(const char *json, const char *key)
{
    const char *found = strstr(json, key), *end;
    if (!found)
        return 0;
    found += strlen(key);
    end = strchr(found, '"');
    return strndup(found, end - found);
}

int libxl_domain_config_from_json(struct ctx *ctx, struct config *config, const char *json)
{
    if (strstr(json, "refuse me")) {
        say(ctx, "libxl: error: libxl_json.c:9:parse: that is no config\n");
        return FAIL;
    }
    config->name = value_of(json, "\"name\": \"");
    config->rest = value_of(json, "\"rest\": \"");
    return 0;
}

char *libxl_domain_config_to_json(struct ctx *ctx, const struct config *config)
{
    char *text;
    (void)ctx;
    if (asprintf(&text, "{\"name\": \"%s\"%s%s%s}", config->name ? config->name : "",
                 config->rest ? ", \"rest\": \"" : "", config->rest ? config->rest : "",
                 config->rest ? "\"" : "") < 0)
        abort();
    return text;
}

/* Domain 1 has no devices, 2 has two, and those of 5 cannot be read. */
void *libxl_device_nic_list(struct ctx *ctx, uint32_t domid, int *num)
{
    *num = 0;
    if (domid == 5)
        say(ctx, "libxl: error: libxl_nic.c:12:libxl__nic_from_xenstore: nic 0 does not exist (no backend path)\n");
    if (domid == 1)
        say(ctx, "libxl: warning: libxl_nic.c:13:f: it is late\n");
    if (domid != 2)
        return NULL;
    *num = 2;
    return calloc(2, sizeof(int));
}

void libxl_device_nic_init(int *nic) { *nic = 0; }
void libxl_device_nic_list_free(int *nics, int count) { (void)count, free(nics); }
char *libxl_device_nic_to_json(struct ctx *ctx, const int *nic) { (void)ctx, (void)nic; return strdup("{\"mtu\": 9}"); }

/* poll, to which a signal comes too late to be seen by Python and too early to interrupt it. */
int fake_late_poll(struct pollfd *fds, unsigned long count, int timeout)
{
    raise(SIGUSR1);
    return poll(fds, count, timeout);
}

void libxl_nothing_init(void *nothing) { (void)nothing; }

void libxl_swapped_init(unsigned char *swapped)
{
    memset(swapped, 0x5A, 12);
    memset(swapped + 8, 0xA5, 4);
}

void libxl_endless_init(void *endless) { memset(endless, 0, 1 << 13); }
