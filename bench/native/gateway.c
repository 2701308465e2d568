/*
 * A stand-in for an OpenAI-compatible gateway that uses very little processor time: the bytes of an answer are built
 * once per mode, and a single thread writes them. The mode is found in the prompt, anywhere in the request:
 *
 *   bench d20-f20-t300-b1
 *     d  milliseconds between writes; 0: as fast as the reader takes them
 *     f  milliseconds before the first write
 *     t  tokens per answer
 *     b  frames per write
 *
 * Each frame is a separate HTTP chunk, as providers send it; a write is one system call.
 *
 * Usage: gateway <port>; 0 chooses a free one. It prints `listening <port>`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "text.h"

#define MAX_FDS 65536
#define MAX_REQUEST (256 * 1024)
#define MAX_MODES 64
#define MAX_FRAME 512

/* A timer wheel of one second in slots of 61 us. Larger slots would send many tokens at once, unlike real gateways. */
#define SLOT_NS 61035
#define SLOTS 16384

#define FRAME_HEAD "data: {\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\"," \
  "\"created\":1741569952,\"model\":\"google/gemini-2.5-flash\",\"system_fingerprint\":\"fp_34a54ae93c\","
#define FRAME_TAIL "\"logprobs\":null,\"finish_reason\":null}]}\n\n"
#define HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n" \
  "transfer-encoding: chunked\r\n\r\n"
#define ROLE FRAME_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}," FRAME_TAIL
#define MODELS "{\"object\":\"list\",\"data\":[{\"id\":\"google/gemini-2.5-flash\",\"object\":\"model\"}]}"

struct piece { const char *bytes; int length; };

struct mode {
  int delay_ms, first_ms, tokens, burst;
  /* The head and the writes in sequence, and the end of each. */
  char *bytes;
  int *ends, count, length;
  struct piece end, end_with_usage;
};

struct connection {
  int fd, is_sending, with_usage, next, is_ready, waits_for_room;
  struct mode *mode;
  /* Bytes that did not fit into the socket's buffer. */
  struct piece rest;
  char *request;
  int length, capacity;
  /* The position in the timer wheel. */
  uint64_t due;
  struct connection **slot, *before, *after;
};

static struct connection *connections[MAX_FDS];
static struct connection *ready[MAX_FDS];
static int ready_count;
static struct connection *wheel[SLOTS];
static uint64_t occupied[SLOTS / 64];
static int timers;
static uint64_t turned_to;
static struct mode modes[MAX_MODES];
static int mode_count;
static int epoll;

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* Building answers */

static struct piece keep(const char *bytes, int length) {
  char *copy = malloc((size_t)length);
  memcpy(copy, bytes, (size_t)length);
  return (struct piece){ copy, length };
}

static struct piece chunk(const char *body, int length) {
  char head[16];
  int head_length = sprintf(head, "%x\r\n", (unsigned)length);
  char *bytes = malloc((size_t)(head_length + length + 2));
  memcpy(bytes, head, (size_t)head_length);
  memcpy(bytes + head_length, body, (size_t)length);
  memcpy(bytes + head_length + length, "\r\n", 2);
  return (struct piece){ bytes, head_length + length + 2 };
}

static struct piece end_of(int tokens, int with_usage) {
  char body[2048];
  int length = sprintf(body, FRAME_HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
  if (with_usage) {
    length += sprintf(body + length, FRAME_HEAD "\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", tokens, tokens + 12);
  }
  length += sprintf(body + length, "data: [DONE]\n\n");
  struct piece last = chunk(body, length);
  char *bytes = realloc((char *)last.bytes, (size_t)last.length + 5);
  memcpy(bytes + last.length, "0\r\n\r\n", 5);
  return (struct piece){ bytes, last.length + 5 };
}

static void add_piece(struct mode *mode, struct piece piece) {
  mode->bytes = realloc(mode->bytes, (size_t)(mode->length + piece.length));
  memcpy(mode->bytes + mode->length, piece.bytes, (size_t)piece.length);
  mode->ends = realloc(mode->ends, sizeof *mode->ends * (size_t)(mode->count + 1));
  mode->ends[mode->count++] = mode->length += piece.length;
  free((char *)piece.bytes);
}

static void add_frames(struct mode *mode, int from, int to) {
  char body[MAX_FRAME];
  for (int n = from; n < to; n++) {
    int length = sprintf(body, FRAME_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
    length += put_token(n, 1, body + length);
    length += sprintf(body + length, "\"}," FRAME_TAIL);
    add_piece(mode, chunk(body, length));
  }
  /* These frames are one write. */
  mode->count -= to - from - 1;
  mode->ends[mode->count - 1] = mode->length;
}

static struct mode *find_mode(int delay_ms, int first_ms, int tokens, int burst) {
  for (int i = 0; i < mode_count; i++) {
    struct mode *mode = &modes[i];
    if (mode->delay_ms == delay_ms && mode->first_ms == first_ms && mode->tokens == tokens && mode->burst == burst) return mode;
  }
  if (mode_count == MAX_MODES) return NULL;
  struct mode *mode = &modes[mode_count++];
  *mode = (struct mode){ .delay_ms = delay_ms, .first_ms = first_ms, .tokens = tokens, .burst = burst };
  add_piece(mode, keep(HEAD, strlen(HEAD)));
  add_piece(mode, chunk(ROLE, strlen(ROLE)));
  /* The frame with the role is sent together with the head. */
  mode->ends[0] = mode->ends[1];
  mode->count = 1;
  for (int n = 0; n < tokens; n += burst) add_frames(mode, n, n + burst < tokens ? n + burst : tokens);
  mode->end = end_of(tokens, 0);
  mode->end_with_usage = end_of(tokens, 1);
  return mode;
}

/* The timer wheel */

static void set_timer(struct connection *c, uint64_t due) {
  /* A connection that is already late goes into the next slot, not to the next revolution. */
  uint64_t tick = due / SLOT_NS > turned_to ? due / SLOT_NS : turned_to + 1;
  unsigned index = tick % SLOTS;
  c->due = due;
  c->slot = &wheel[index];
  c->before = NULL;
  c->after = *c->slot;
  if (c->after) c->after->before = c;
  *c->slot = c;
  occupied[index / 64] |= 1ull << (index % 64);
  timers++;
}

static void clear_timer(struct connection *c) {
  if (!c->slot) return;
  if (c->before) c->before->after = c->after;
  else *c->slot = c->after;
  if (c->after) c->after->before = c->before;
  if (!*c->slot) occupied[(c->slot - wheel) / 64] &= ~(1ull << ((c->slot - wheel) % 64));
  c->slot = NULL;
  timers--;
}

/* Returns the nanoseconds until the next occupied slot, or -1. */
static int64_t until_next(uint64_t now) {
  if (timers == 0) return -1;
  for (uint64_t tick = turned_to + 1; tick <= turned_to + SLOTS;) {
    unsigned index = tick % SLOTS;
    uint64_t word = occupied[index / 64] >> (index % 64);
    if (word) {
      uint64_t at = (tick + (unsigned)__builtin_ctzll(word)) * SLOT_NS;
      return at > now ? (int64_t)(at - now) : 0;
    }
    tick += 64 - index % 64;
  }
  return 0;
}

/* Connections */

static void watch(struct connection *c, int for_room) {
  struct epoll_event event = { .events = EPOLLIN | (for_room ? EPOLLOUT : 0), .data.fd = c->fd };
  if (c->waits_for_room != for_room) epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
  c->waits_for_room = for_room;
}

static void drop(struct connection *c) {
  clear_timer(c);
  for (int i = 0; c->is_ready && i < ready_count; i++) if (ready[i] == c) ready[i] = NULL;
  connections[c->fd] = NULL;
  close(c->fd);
  free(c->request);
  free(c);
}

static void read_requests(struct connection *c);

/* Writes once. Returns 0 if the socket's buffer is full or the connection is closed. */
static int write_piece(struct connection *c, struct piece piece) {
  ssize_t written = send(c->fd, piece.bytes, (size_t)piece.length, MSG_NOSIGNAL);
  if (written == piece.length) return 1;
  if (written < 0 && errno != EAGAIN) {
    drop(c);
    return 0;
  }
  if (written < 0) written = 0;
  c->rest = (struct piece){ piece.bytes + written, piece.length - (int)written };
  watch(c, 1);
  return 0;
}

/* Makes the next write. Returns 0 if the connection has nothing more to write now. */
static int advance(struct connection *c) {
  struct mode *mode = c->mode;
  if (c->next < mode->count) {
    int from = c->next > 0 ? mode->ends[c->next - 1] : 0;
    return write_piece(c, (struct piece){ mode->bytes + from, mode->ends[c->next++] - from });
  }
  c->is_sending = 0;
  if (write_piece(c, c->with_usage ? mode->end_with_usage : mode->end)) read_requests(c);
  return 0;
}

static void be_ready(struct connection *c) {
  if (c->is_ready) return;
  c->is_ready = 1;
  ready[ready_count++] = c;
}

static int may_write(struct connection *c) {
  return c->is_sending && c->rest.length == 0 && !c->slot && c->mode->delay_ms == 0;
}

static void serve_ready(void) {
  int kept = 0;
  for (int i = 0; i < ready_count; i++) {
    if (ready[i] && may_write(ready[i])) advance(ready[i]);
    if (!ready[i]) continue;
    if (may_write(ready[i])) ready[kept++] = ready[i];
    else ready[i]->is_ready = 0;
  }
  ready_count = kept;
}

static void serve_due(uint64_t now) {
  uint64_t to = now / SLOT_NS;
  if (to - turned_to > SLOTS) turned_to = to - SLOTS;
  while (turned_to < to) {
    turned_to++;
    struct connection *after;
    for (struct connection *c = wheel[turned_to % SLOTS]; c; c = after) {
      after = c->after;
      /* Due in a later revolution of the wheel. */
      if (c->due / SLOT_NS > turned_to) continue;
      uint64_t due = c->due;
      int delay = c->mode->delay_ms;
      clear_timer(c);
      if (delay == 0) be_ready(c);
      else if (advance(c)) set_timer(c, due + (uint64_t)delay * 1000000);
    }
  }
}

static void begin_answer(struct connection *c, struct mode *mode, int with_usage) {
  c->mode = mode;
  c->with_usage = with_usage;
  c->next = 0;
  c->is_sending = 1;
  if (mode->delay_ms == 0 && mode->first_ms == 0) return be_ready(c);
  set_timer(c, now_ns() + (uint64_t)mode->first_ms * 1000000);
}

static void answer(struct connection *c, const char *path, const char *body) {
  int delay_ms, first_ms, tokens, burst;
  const char *asked = strstr(body, "bench d");
  if (strstr(path, "/models ")) {
    char text[512];
    int length = sprintf(text, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", (int)strlen(MODELS), MODELS);
    write_piece(c, keep(text, length));
  } else if (strstr(path, "/chat/completions ") && asked && sscanf(asked, "bench d%d-f%d-t%d-b%d", &delay_ms, &first_ms, &tokens, &burst) == 4 &&
      delay_ms >= 0 && first_ms >= 0 && tokens > 0 && tokens <= MAX_TOKENS && burst > 0 && burst <= 64) {
    struct mode *mode = find_mode(delay_ms, first_ms, tokens, burst);
    if (mode) begin_answer(c, mode, strstr(body, "\"include_usage\":true") != NULL);
    else drop(c);
  } else {
    write_piece(c, (struct piece){ "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 45 });
  }
}

/* Answers a complete request. */
static void read_requests(struct connection *c) {
  if (c->is_sending || c->rest.length > 0 || c->length == 0) return;
  char *end = strstr(c->request, "\r\n\r\n");
  if (!end) return;
  int head = (int)(end - c->request) + 4;
  *end = 0;
  char *field = strcasestr(c->request, "\r\ncontent-length:");
  int is_chunked = strcasestr(c->request, "\r\ntransfer-encoding: chunked") != NULL;
  *end = '\r';
  int total = head + (field && field < end ? atoi(field + 17) : 0);
  if (is_chunked) {
    char *last = strstr(end + 2, "\r\n0\r\n\r\n");
    if (!last) return;
    total = (int)(last - c->request) + 7;
  }
  if (c->length < total) return;
  char *path = strchr(c->request, ' ');
  char *copy = strndup(c->request, (size_t)total);
  int fd = c->fd;
  c->length -= total;
  memmove(c->request, c->request + total, (size_t)c->length + 1);
  if (path) answer(c, copy + (path - c->request) + 1, copy + head);
  else drop(c);
  free(copy);
  if (connections[fd] == c) read_requests(c);
}

static void on_input(struct connection *c) {
  if (c->capacity - c->length < 4096) {
    if (c->capacity >= MAX_REQUEST) return drop(c);
    c->capacity = c->capacity ? c->capacity * 2 : 8192;
    c->request = realloc(c->request, (size_t)c->capacity + 1);
  }
  ssize_t got = read(c->fd, c->request + c->length, (size_t)(c->capacity - c->length));
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) return drop(c);
  c->length += (int)got;
  c->request[c->length] = 0;
  read_requests(c);
}

static void on_room(struct connection *c) {
  struct piece rest = c->rest;
  c->rest.length = 0;
  watch(c, 0);
  if (!write_piece(c, rest)) return;
  if (!c->is_sending) read_requests(c);
  else if (c->mode->delay_ms == 0) be_ready(c);
  else set_timer(c, c->due + (uint64_t)c->mode->delay_ms * 1000000);
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0) return;
    if (fd >= MAX_FDS) { close(fd); continue; }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections[fd] = calloc(1, sizeof *connections[fd]);
    connections[fd]->fd = fd;
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

static int listen_at(int port) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, size) < 0) die("bind");
  if (listen(listener, 4096) < 0) die("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("listening %d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int count, char **arguments) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  epoll = epoll_create1(0);
  int listener = listen_at(count > 1 ? atoi(arguments[1]) : 0);
  struct epoll_event events[1024], listening = { .events = EPOLLIN, .data.fd = listener };
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &listening);
  turned_to = now_ns() / SLOT_NS;
  for (;;) {
    int64_t wait = ready_count > 0 ? 0 : until_next(now_ns());
    struct timespec timeout = { .tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000 };
    int happened = epoll_pwait2(epoll, events, 1024, wait < 0 ? NULL : &timeout, NULL);
    for (int i = 0; i < happened; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) { accept_all(listener); continue; }
      struct connection *c = connections[fd];
      if (c && events[i].events & EPOLLOUT) on_room(c);
      if ((c = connections[fd]) && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_input(c);
    }
    if (timers > 0) serve_due(now_ns());
    else turned_to = now_ns() / SLOT_NS;
    if (ready_count > 0) serve_ready();
  }
}
