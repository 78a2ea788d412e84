/* Stands in for CTP's market-data library: same name, same two exported symbols, same virtual
 * tables, but its wire is the simulator's own. Plain C: a C++ object with virtual functions is a
 * pointer to a table of functions, in the order in which the class declares them (API 6.7.11).
 *
 * Wire, both ways: length (u32, little-endian, of what follows), kind (u8), body.
 * From the simulator: C connected; L RspInfo + RspUserLogin; A, U RspInfo + SpecificInstrument;
 * M market data; E RspInfo; D reason (i32), after which the line is cut.
 * To the simulator: l ReqUserLogin; s, u instruments, one a line; T what callbacks with market data
 * took, by the clock and of the processor (u32 nanoseconds each).
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRONTS 8
#define TOOK 256
#define LARGEST (1 << 20)
#define INFO 88
#define LOGIN_REQUEST 264
#define READ_FAILED 0x1001

struct api;

typedef struct {
    void (**calls)(void);
} spi_object;

struct api {
    void (**calls)(void);
    spi_object *spi;
    char fronts[FRONTS][256];
    int front_count;
    int line;
    volatile int stopping;
    volatile int logged_in;
    pthread_t thread;
    int started;
    pthread_mutex_t writing;
    uint32_t took[2 * TOOK];
    int took_count;
};

enum { CONNECTED, DISCONNECTED, WARNING, LOGGED_IN, LOGGED_OUT, MULTICAST, FAILED,
       SUBSCRIBED, UNSUBSCRIBED, QUOTE_SUBSCRIBED, QUOTE_UNSUBSCRIBED, DEPTH };

static int say(struct api *api, char kind, const void *body, uint32_t length)
{
    unsigned char head[5];
    uint32_t whole = length + 1;
    int done = -1;
    memcpy(head, &whole, 4);
    head[4] = (unsigned char)kind;
    pthread_mutex_lock(&api->writing);
    if (api->line >= 0 && send(api->line, head, 5, MSG_NOSIGNAL | MSG_MORE) == 5
        && (length == 0 || send(api->line, body, length, MSG_NOSIGNAL) == (ssize_t)length))
        done = 0;
    pthread_mutex_unlock(&api->writing);
    return done;
}

static int hear(int line, void *into, size_t length)
{
    size_t got = 0;
    while (got < length) {
        ssize_t now = recv(line, (char *)into + got, length - got, 0);
        if (now <= 0)
            return -1;
        got += (size_t)now;
    }
    return 0;
}

static int dial(const char *front)
{
    char host[256], *port;
    struct addrinfo hints = {0}, *found, *each;
    int line = -1, yes = 1;
    const char *start = strstr(front, "://");
    snprintf(host, sizeof host, "%s", start ? start + 3 : front);
    port = strrchr(host, ':');
    if (!port)
        return -1;
    *port++ = 0;
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found))
        return -1;
    for (each = found; each && line < 0; each = each->ai_next) {
        line = socket(each->ai_family, SOCK_STREAM, 0);
        if (line >= 0 && connect(line, each->ai_addr, each->ai_addrlen)) {
            close(line);
            line = -1;
        }
    }
    freeaddrinfo(found);
    if (line >= 0)
        setsockopt(line, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return line;
}

static void call_answer(struct api *api, int which, char *body)
{
    spi_object *spi = api->spi;
    if (spi)
        ((void (*)(spi_object *, void *, void *, int, _Bool))spi->calls[which])(
            spi, body + INFO, body, 1, 1);
}

static uint32_t since(clockid_t clock, const struct timespec *before)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint32_t)((now.tv_sec - before->tv_sec) * 1000000000L + now.tv_nsec - before->tv_nsec);
}

static void call_depth(struct api *api, char *body)
{
    struct timespec wall, busy;
    spi_object *spi = api->spi;
    if (!spi)
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &busy);
    clock_gettime(CLOCK_MONOTONIC, &wall);
    ((void (*)(spi_object *, void *))spi->calls[DEPTH])(spi, body);
    api->took[2 * api->took_count] = since(CLOCK_MONOTONIC, &wall);
    api->took[2 * api->took_count + 1] = since(CLOCK_THREAD_CPUTIME_ID, &busy);
    if (++api->took_count == TOOK) {
        say(api, 'T', api->took, sizeof api->took);
        api->took_count = 0;
    }
}

static void call_gone(struct api *api, int reason)
{
    spi_object *spi = api->spi;
    if (spi && !api->stopping)
        ((void (*)(spi_object *, int))spi->calls[DISCONNECTED])(spi, reason);
}

static int listen_to(struct api *api, char *body)
{
    spi_object *spi;
    uint32_t length;
    int reason = READ_FAILED;
    char kind;
    while (!api->stopping) {
        if (hear(api->line, &length, 4) || length < 1 || length > LARGEST
            || hear(api->line, &kind, 1) || hear(api->line, body, length - 1))
            break;
        spi = api->spi;
        switch (kind) {
        case 'C':
            if (spi)
                ((void (*)(spi_object *))spi->calls[CONNECTED])(spi);
            break;
        case 'L': call_answer(api, LOGGED_IN, body); break;
        case 'A': call_answer(api, SUBSCRIBED, body); break;
        case 'U': call_answer(api, UNSUBSCRIBED, body); break;
        case 'M': call_depth(api, body); break;
        case 'E':
            if (spi)
                ((void (*)(spi_object *, void *, int, _Bool))spi->calls[FAILED])(spi, body, 0, 1);
            break;
        case 'D': memcpy(&reason, body, 4); return reason;
        }
    }
    return reason;
}

static void *live(void *argument)
{
    struct api *api = argument;
    char *body = malloc(LARGEST);
    int next = 0;
    while (!api->stopping && body) {
        int reason, line = dial(api->fronts[next++ % api->front_count]);
        if (line < 0) {
            usleep(200000);
            continue;
        }
        api->line = line;
        reason = listen_to(api, body);
        pthread_mutex_lock(&api->writing);
        close(api->line);
        api->line = -1;
        pthread_mutex_unlock(&api->writing);
        call_gone(api, reason);
        if (!api->stopping)
            sleep(1);
    }
    free(body);
    return NULL;
}

static void api_release(struct api *api)
{
    api->stopping = 1;
    api->spi = NULL;
    if (api->line >= 0)
        shutdown(api->line, SHUT_RDWR);
}

static void api_init(struct api *api)
{
    if (!api->started && api->front_count) {
        api->started = 1;
        pthread_create(&api->thread, NULL, live, api);
    }
}

static int api_join(struct api *api)
{
    return api->started ? pthread_join(api->thread, NULL) : 0;
}

static const char *api_trading_day(struct api *api)
{
    (void)api;
    return "19800100";
}

static void api_register_front(struct api *api, char *front)
{
    if (api->front_count < FRONTS)
        snprintf(api->fronts[api->front_count++], sizeof api->fronts[0], "%s", front);
}

static void api_register_name_server(struct api *api, char *address)
{
    (void)api, (void)address;
}

static void api_register_fens(struct api *api, void *user)
{
    (void)api, (void)user;
}

static void api_register_spi(struct api *api, spi_object *spi)
{
    api->spi = spi;
}

static int ask(struct api *api, char kind, char *symbols[], int count)
{
    char *text;
    size_t length = 0;
    int at, code;
    if (api->line < 0)
        return -1;
    for (at = 0; at < count; at++)
        length += strlen(symbols[at]) + 1;
    text = calloc(length + 1, 1);
    for (at = 0; at < count; at++) {
        strcat(text, symbols[at]);
        strcat(text, "\n");
    }
    code = say(api, kind, text, (uint32_t)length);
    free(text);
    return code;
}

static int api_subscribe(struct api *api, char *symbols[], int count)
{
    return ask(api, 's', symbols, count);
}

static int api_unsubscribe(struct api *api, char *symbols[], int count)
{
    return ask(api, 'u', symbols, count);
}

static int api_none(struct api *api, char *symbols[], int count)
{
    (void)api, (void)symbols, (void)count;
    return 0;
}

static int api_login(struct api *api, void *request, int number)
{
    (void)number;
    return say(api, 'l', request, LOGIN_REQUEST);
}

static int api_request(struct api *api, void *request, int number)
{
    (void)api, (void)request, (void)number;
    return 0;
}

static void (*const CALLS[])(void) = {
    (void (*)(void))api_release,       (void (*)(void))api_init,
    (void (*)(void))api_join,          (void (*)(void))api_trading_day,
    (void (*)(void))api_register_front, (void (*)(void))api_register_name_server,
    (void (*)(void))api_register_fens, (void (*)(void))api_register_spi,
    (void (*)(void))api_subscribe,     (void (*)(void))api_unsubscribe,
    (void (*)(void))api_none,          (void (*)(void))api_none,
    (void (*)(void))api_login,         (void (*)(void))api_request,
    (void (*)(void))api_request,
};

/* CThostFtdcMdApi::CreateFtdcMdApi(char const*, bool, bool, bool) */
void *_ZN15CThostFtdcMdApi15CreateFtdcMdApiEPKcbbb(const char *flow, _Bool udp, _Bool multicast,
                                                   _Bool production)
{
    struct api *api = calloc(1, sizeof *api);
    (void)flow, (void)udp, (void)multicast, (void)production;
    api->calls = (void (**)(void))CALLS;
    api->line = -1;
    pthread_mutex_init(&api->writing, NULL);
    return api;
}

/* CThostFtdcMdApi::GetApiVersion() */
const char *_ZN15CThostFtdcMdApi13GetApiVersionEv(void)
{
    return "simulator";
}
