/* What the engine is measured against: the least that a C program can do to send requests in batches and take the
 * answers. No time stamps, no error queue, no timers, no pacing, no checks of who answered: it counts.
 *
 *   echo_loop icmp FIRST COUNT ROUNDS              echo requests of 64 bytes to COUNT addresses from FIRST on
 *   echo_loop udp  FIRST COUNT ROUNDS PORT [FILE]  datagrams of 400 bytes; FILE has one request of 400 bytes per target
 *   echo_loop tcp  FIRST COUNT ROUNDS PORT FILE    connect, say 8 KiB, hear 8 KiB, close; 64 at once
 *   echo_loop serve PORT                           answers datagrams with themselves, until killed
 *
 * Prints: pairs, lost, seconds, seconds of CPU. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, ICMP_LEN = 64, UDP_LEN = 400, ROOM = 512, STREAM_LEN = 8192, AT_ONCE = 64, WINDOW = 256 };
#define SILENCE 0.5 /* seconds without an answer, after which the rest is lost */

static uint32_t first;
static unsigned count, rounds;
static uint16_t port;
static unsigned char *requests;
static const unsigned char filling[STREAM_LEN];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in target(unsigned index) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(first + index);
    return to;
}

static uint16_t checksum(const unsigned char *bytes, int length) {
    uint32_t sum = 0;
    for (int i = 0; i < length; i += 2) sum += bytes[i] << 8 | bytes[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    return ~((sum & 0xffff) + (sum >> 16));
}

static void datagrams(int icmp) {
    int fd = icmp ? socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) : socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) die("socket");
    int room = 1 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (icmp) {
        int filter = ~(1 << ICMP_ECHOREPLY);
        if (setsockopt(fd, SOL_RAW, 1 /* ICMP_FILTER */, &filter, sizeof filter)) die("ICMP_FILTER");
    }
    static unsigned char out[BATCH][UDP_LEN], in[BATCH][ROOM];
    static struct sockaddr_in to[BATCH];
    static struct iovec out_at[BATCH], in_at[BATCH];
    static struct mmsghdr send[BATCH], receive[BATCH];
    for (int i = 0; i < BATCH; i++) {
        out_at[i] = (struct iovec){out[i], icmp ? ICMP_LEN : UDP_LEN};
        in_at[i] = (struct iovec){in[i], ROOM};
        send[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &out_at[i], .msg_iovlen = 1};
        receive[i].msg_hdr = (struct msghdr){.msg_iov = &in_at[i], .msg_iovlen = 1};
    }
    uint16_t id = getpid();
    unsigned sent = 0, all = count * rounds, answered = 0;
    unsigned char *seen = calloc(all, 1);
    double began = now(CLOCK_MONOTONIC), last = began, cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    while (answered < all) {
        /* A responder that checks requests is slower than we are: no more of them than it has room for. */
        int is_full = requests && sent - answered >= WINDOW;
        if (sent < all && !is_full) {
            unsigned n = all - sent < BATCH ? all - sent : BATCH;
            for (unsigned i = 0; i < n; i++) {
                uint32_t number = sent + i;
                to[i] = target(number % count);
                if (icmp) {
                    memset(out[i], 0, ICMP_LEN);
                    out[i][0] = 8;
                    memcpy(out[i] + 4, &id, 2);
                    memcpy(out[i] + 8, &number, 4);
                    uint16_t sum = htons(checksum(out[i], ICMP_LEN));
                    memcpy(out[i] + 2, &sum, 2);
                } else {
                    if (requests) memcpy(out[i], requests + (size_t)(number % count) * UDP_LEN, UDP_LEN);
                    if (!requests) memcpy(out[i] + 8, &number, 4);
                }
            }
            int done = sendmmsg(fd, send, n, MSG_DONTWAIT);
            if (done > 0) sent += done;
            else if (errno != EAGAIN && errno != ENOBUFS) die("sendmmsg");
        }
        for (;;) {
            int n = recvmmsg(fd, receive, BATCH, MSG_DONTWAIT, NULL);
            for (int i = 0; i < n; i++) {
                unsigned char *message = in[i];
                if (icmp) {
                    message += (message[0] & 15) * 4;
                    if (memcmp(message + 4, &id, 2)) continue;
                }
                uint32_t number;
                memcpy(&number, message + 8, 4);
                if (requests) answered++;
                else if (number < all && !seen[number]) seen[number] = 1, answered++;
            }
            if (n > 0) last = 0;
            if (n < BATCH) break;
        }
        if (is_full || (requests && sent == all)) {
            struct pollfd ready = {.fd = fd, .events = POLLIN};
            if (answered < all && poll(&ready, 1, (int)(SILENCE * 1000)) == 0) break;
        } else if (sent == all) {
            double t = now(CLOCK_MONOTONIC);
            if (last == 0) last = t;
            if (t - last > SILENCE) break;
        }
    }
    double end = now(CLOCK_MONOTONIC);
    printf("%u %u %.6f %.6f\n", answered, all - answered, end - began, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

struct connection {
    int fd;
    unsigned said, heard;
};

static void streams(void) {
    int epoll = epoll_create1(0);
    unsigned begun = 0, open = 0, answered = 0, all = count * rounds;
    static struct connection connections[AT_ONCE];
    static unsigned char buffer[STREAM_LEN];
    unsigned vacant[AT_ONCE], vacancies = AT_ONCE;
    for (unsigned i = 0; i < AT_ONCE; i++) vacant[i] = i;
    double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    while (begun < all || open) {
        while (begun < all && vacancies) {
            unsigned place = vacant[--vacancies];
            struct connection *c = &connections[place];
            struct sockaddr_in to = target(begun % count);
            *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
            int one = 1;
            setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
            c->said = begun % count;
            struct epoll_event event = {.events = EPOLLOUT | EPOLLIN | EPOLLET, .data.u32 = place};
            epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
            c->heard = 0;
            begun++;
            open++;
        }
        struct epoll_event events[AT_ONCE];
        int n = epoll_wait(epoll, events, AT_ONCE, 2000);
        if (n <= 0) break;
        for (int i = 0; i < n; i++) {
            unsigned place = events[i].data.u32;
            struct connection *c = &connections[place];
            int over = 0;
            if (events[i].events & (EPOLLERR | EPOLLHUP)) over = 1;
            if (!over && c->said != ~0u && events[i].events & EPOLLOUT) {
                struct iovec parts[2] = {{requests + (size_t)c->said * UDP_LEN, 310}, {(void *)filling, STREAM_LEN - 310}};
                if (writev(c->fd, parts, 2) != STREAM_LEN) over = 1;
                c->said = ~0u;
            }
            while (!over) {
                ssize_t got = read(c->fd, buffer, sizeof buffer);
                if (got > 0) c->heard += got;
                if (got == 0 || c->heard >= STREAM_LEN) over = 1;
                if (got < 0 && errno == EAGAIN) break;
                if (got < 0) over = 1;
            }
            if (over) {
                answered += c->heard >= STREAM_LEN;
                close(c->fd);
                vacant[vacancies++] = place;
                open--;
            }
        }
    }
    printf("%u %u %.6f %.6f\n", answered, all - answered, now(CLOCK_MONOTONIC) - began, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

static void serve(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20, one = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) die("SO_RCVBUFFORCE");
    if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one)) die("IP_PKTINFO");
    if (bind(fd, (struct sockaddr *)&any, sizeof any)) die("bind");
    static unsigned char in[BATCH][ROOM], control[BATCH][64];
    static struct sockaddr_in from[BATCH];
    static struct iovec at[BATCH];
    static struct mmsghdr messages[BATCH];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            at[i] = (struct iovec){in[i], ROOM};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &at[i], .msg_iovlen = 1,
                                                  .msg_control = control[i], .msg_controllen = sizeof control[i]};
        }
        int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (n < 0) die("recvmmsg");
        for (int i = 0; i < n; i++) {
            at[i].iov_len = messages[i].msg_len;
            struct cmsghdr *info = CMSG_FIRSTHDR(&messages[i].msg_hdr);
            ((struct in_pktinfo *)CMSG_DATA(info))->ipi_ifindex = 0;
        }
        for (int done = 0; done < n;) {
            int more = sendmmsg(fd, messages + done, n - done, 0);
            done += more > 0 ? more : 1;
        }
    }
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve")) {
        port = atoi(argv[2]);
        serve();
    }
    if (argc < 5) return 2;
    struct in_addr address;
    if (!inet_aton(argv[2], &address)) return 2;
    first = ntohl(address.s_addr);
    count = atoi(argv[3]);
    rounds = atoi(argv[4]);
    if (argc > 5) port = atoi(argv[5]);
    if (argc > 6) {
        int fd = open(argv[6], O_RDONLY);
        size_t length = (size_t)count * UDP_LEN;
        requests = malloc(length);
        if (fd < 0 || read(fd, requests, length) != (ssize_t)length) die(argv[6]);
    }
    if (!strcmp(argv[1], "icmp")) datagrams(1);
    else if (!strcmp(argv[1], "udp")) datagrams(0);
    else if (!strcmp(argv[1], "tcp") && requests) streams();
    else return 2;
    return 0;
}
