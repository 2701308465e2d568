/*
 * A load generator that reads streams and compares the text of each with what the stand-in sends. It has a single
 * thread, which only finds and compares the text of each token.
 *
 * Usage: load <options>; it runs until `quit`, or until the number of --streams has ended.
 *   --ports 3000,3001     on 127.0.0.1; connections are distributed over them in turn
 *   --connections 64      concurrent connections
 *   --streams 0           the total number; 0: no limit
 *   --ramp-ms 0           the time over which the first connections begin
 *   --max-silent 0        connections that may wait for their first text before more begin; 0: no limit
 *   --round-us 0          the least time between two polls of the connections: waking up for every token is more work for
 *                         both sides; with such a pause, first tokens are not timed exactly
 *   --tokens 500          tokens per answer
 *   --format openai       events (ours), openai, ui (AI SDK UI messages) or socket (ours over WebSocket)
 *   --requests file       raw requests, each followed by a NUL, sent in turn
 *   --messages file       the same for WebSocket messages
 *   --readers file        `GET …{run}…` requests, in the order of --requests
 *   --readers-per-run 0   additional readers of each run
 *
 * A response of 429 or 503 is counted as a refusal, and the request is repeated after a pause. Any other deviation is an
 * error.
 *
 * On standard input, `mark` prints the figures since the last mark as a line of JSON, and `quit` ends the program.
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
#define MAX_HEAD 16384
#define READ_BYTES (256 * 1024)
#define MAX_LINE (64 * 1024 * 1024)
#define MAX_REPORTED 5
#define MAX_ERRORS 1000
#define REFUSED_PAUSE_NS 250000000u

enum format { EVENTS, OPENAI, UI, SOCKET };
enum state { HEAD, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, WHOLE, FRAMES };

struct texts { char **items; int *lengths; int count; };

struct stream {
  int fd, slot, is_reader, is_connecting;
  /* The index of its request. */
  int index;
  enum state state;
  const char *send;
  int to_send;
  char *own_send;
  uint64_t began;
  int has_text, is_done, keeps_alive, has_whole_text;
  /* The number of bytes of the expected text that were received. */
  int position;
  int64_t left;
  char *part;
  int length, capacity, searched;
};

static struct stream *streams[MAX_FDS];
static int epoll, ports[64], port_count, connections = 64, tokens = 500, ramp_ms, max_silent, round_us, readers_per_run;
static int64_t limit, started_streams, ended_streams;
static enum format format = OPENAI;
static struct pause { uint64_t due; int slot; } pauses[MAX_FDS];
static int pause_first, pause_count;
static struct texts requests, messages, readers;
static char *expected;
static int expected_length;
static char input[READ_BYTES + 1];

/* Since the last mark. */
static uint64_t marked_at;
static int64_t bytes, ended, refused;
static int64_t errors, open_streams, streaming;
static uint32_t *first_us;
static int first_count, first_capacity;
static struct rusage used;

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(2);
}

static int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double ms_of(struct rusage *usage) {
  return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e3 + (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e3;
}

static void mark(void) {
  uint64_t now = now_ns();
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  qsort(first_us, (size_t)first_count, sizeof *first_us, by_size);
  printf("{\"ms\":%.3f,\"tokens\":%.0f,\"streams\":%lld,\"refused\":%lld,\"errors\":%lld,\"open\":%lld,\"streaming\":%lld,\"cpuMs\":%.3f,\"first\":{\"count\":%d,\"p50Us\":%u,\"p99Us\":%u}}\n",
    (double)(now - marked_at) / 1e6, (double)bytes * tokens / expected_length, (long long)ended, (long long)refused, (long long)errors, (long long)open_streams,
    (long long)streaming, ms_of(&usage) - ms_of(&used), first_count,
    first_count ? first_us[first_count / 2] : 0, first_count ? first_us[(int)(first_count * 0.99)] : 0);
  fflush(stdout);
  marked_at = now;
  bytes = ended = refused = first_count = 0;
  used = usage;
}

/* The lifecycle of a stream */

static void begin(int slot);

static void close_stream(struct stream *s) {
  if (s->has_text) streaming--;
  open_streams--;
  streams[s->fd] = NULL;
  close(s->fd);
  free(s->part);
  free(s->own_send);
  free(s);
}

static void fail(struct stream *s, const char *what, const char *detail, int length) {
  if (++errors <= MAX_REPORTED) fprintf(stderr, "load: %s at byte %d of %d: %.*s\n", what, s->position, expected_length, length > 300 ? 300 : length, detail);
  if (errors >= MAX_ERRORS) die("too many streams went wrong");
  int slot = s->slot, is_reader = s->is_reader;
  close_stream(s);
  if (!is_reader) ended_streams++;
  if (!is_reader && (limit == 0 || started_streams < limit)) begin(slot);
}

static void watch(struct stream *s, int how, unsigned what) {
  struct epoll_event event = { .events = what, .data.fd = s->fd };
  epoll_ctl(epoll, how, s->fd, &event);
}

static void send_rest(struct stream *s) {
  ssize_t sent = send(s->fd, s->send, (size_t)s->to_send, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != ENOTCONN) return fail(s, "cannot send", strerror(errno), 100);
  if (sent < 0) sent = 0;
  s->send += sent;
  s->to_send -= (int)sent;
  if (s->to_send == 0 && s->is_connecting) watch(s, EPOLL_CTL_MOD, EPOLLIN);
  if (s->to_send == 0) s->is_connecting = 0;
}

static struct stream *connect_stream(int slot, int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  if (fd < 0 || fd >= MAX_FDS) die("no descriptor is left: raise `ulimit -n`");
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) die(strerror(errno));
  struct stream *s = streams[fd] = calloc(1, sizeof *s);
  s->fd = fd;
  s->slot = slot;
  s->is_connecting = 1;
  s->began = now_ns();
  open_streams++;
  watch(s, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
  return s;
}

static void begin(int slot) {
  struct stream *s = connect_stream(slot, ports[slot % port_count]);
  s->index = (int)(started_streams++ % requests.count);
  s->send = requests.items[s->index];
  s->to_send = requests.lengths[s->index];
}

/* The next stream on the same connection. */
static void begin_again(struct stream *s) {
  if (s->has_text) streaming--;
  s->has_text = s->is_done = s->has_whole_text = s->position = 0;
  s->began = now_ns();
  struct texts *from = format == SOCKET ? &messages : &requests;
  if (format != SOCKET) {
    s->state = HEAD;
    s->length = s->searched = 0;
  }
  s->index = (format == SOCKET ? s->slot : (int)started_streams) % from->count;
  started_streams++;
  s->send = from->items[s->index];
  s->to_send = from->lengths[s->index];
  send_rest(s);
}

/* Ends a stream. Returns 0 if its connection was closed. */
static int finish(struct stream *s) {
  if (s->position != expected_length) return fail(s, "a stream ended early", "", 0), 0;
  if (!s->is_done) return fail(s, "a stream lacks its last event", "", 0), 0;
  if (format == EVENTS && !s->has_whole_text) return fail(s, "a run ended without its whole text", "", 0), 0;
  int slot = s->slot, is_reader = s->is_reader;
  int goes_on = !is_reader && (limit == 0 || started_streams < limit);
  if (!is_reader) {
    ended++;
    ended_streams++;
  }
  if (goes_on && s->keeps_alive) return begin_again(s), 1;
  close_stream(s);
  if (goes_on) begin(slot);
  return 0;
}

static int begin_readers(struct stream *s, const char *head) {
  const char *field = strcasestr(head, "\r\nx-run-id: ");
  if (!field) return fail(s, "an answer names no run", head, 300), 0;
  char id[37];
  memcpy(id, field + 12, 36);
  id[36] = 0;
  for (int i = 0; i < readers_per_run; i++) {
    struct stream *reader = connect_stream(s->slot, ports[s->slot % port_count]);
    const char *template = readers.items[s->index % readers.count], *place = strstr(template, "{run}");
    reader->is_reader = 1;
    reader->to_send = asprintf(&reader->own_send, "%.*s%s%s", (int)(place - template), template, id, place + 5);
    reader->send = reader->own_send;
  }
  return 1;
}

/* The text */

static int put_utf8(unsigned code, char *out) {
  if (code < 0x80) return out[0] = (char)code, 1;
  if (code < 0x800) return out[0] = (char)(0xc0 | code >> 6), out[1] = (char)(0x80 | (code & 63)), 2;
  if (code < 0x10000) return out[0] = (char)(0xe0 | code >> 12), out[1] = (char)(0x80 | (code >> 6 & 63)), out[2] = (char)(0x80 | (code & 63)), 3;
  return out[0] = (char)(0xf0 | code >> 18), out[1] = (char)(0x80 | (code >> 12 & 63)), out[2] = (char)(0x80 | (code >> 6 & 63)), out[3] = (char)(0x80 | (code & 63)), 4;
}

static unsigned hex4(const char *at) {
  char digits[5] = { at[0], at[1], at[2], at[3], 0 };
  return (unsigned)strtoul(digits, NULL, 16);
}

/* Decodes the escape after a backslash. Returns the length of the escape, or 0 if it is invalid. */
static int unescape(const char *at, const char *end, char *out, int *length) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *simple = at < end ? memchr(from, *at, 8) : NULL;
  if (simple) return out[0] = to[simple - from], *length = 1, 1;
  if (end - at < 5 || *at != 'u') return 0;
  unsigned code = hex4(at + 1);
  if (code < 0xd800 || code > 0xdbff) return *length = put_utf8(code, out), 5;
  if (end - at < 11) return 0;
  return *length = put_utf8(0x10000 + ((code - 0xd800) << 10) + (hex4(at + 7) - 0xdc00), out), 11;
}

/* Compares the inside of a JSON string with the expected text from `*position` on. Returns 0 if they differ. */
static int compare(const char *at, const char *end, int *position) {
  int place = *position;
  while (at < end && *at != '"') {
    char decoded[4] = { *at };
    int length = 1, taken = 1;
    if (*at == '\\') {
      taken = unescape(at + 1, end, decoded, &length);
      if (taken == 0) return 0;
      taken++;
    }
    if (place + length > expected_length || memcmp(expected + place, decoded, (size_t)length) != 0) return 0;
    place += length;
    at += taken;
  }
  *position = place;
  return at < end;
}

/* Reads a line of an event stream or a message of a socket. Returns 0 if the stream has failed. */
static int take(struct stream *s, const char *line, int length) {
  const char *end = line + length, *key = format == UI ? "\"delta\":\"" : "\"content\":\"";
  const char *text = memmem(line, (size_t)length, key, strlen(key));
  if (text) {
    int before = s->position;
    if (!compare(text + strlen(key), end, &s->position)) return fail(s, "the text is wrong", line, length), 0;
    bytes += s->position - before;
    if (!s->has_text && s->position > 0) {
      s->has_text = 1;
      streaming++;
      if (first_count == first_capacity) first_us = realloc(first_us, (size_t)(first_capacity = first_capacity ? first_capacity * 2 : 4096) * sizeof *first_us);
      if (!s->is_reader) first_us[first_count++] = (uint32_t)((now_ns() - s->began) / 1000);
    }
    return 1;
  }
  if (format == EVENTS || format == SOCKET) {
    const char *whole = memmem(line, (size_t)length, "\"response\":\"", 12);
    int place = 0;
    if (whole && (!compare(whole + 12, end, &place) || place != expected_length)) return fail(s, "the whole text is wrong", line, length), 0;
    if (whole) s->has_whole_text = 1;
    if (whole && format == SOCKET) s->is_done = 1;
    if (memmem(line, (size_t)length, "\"error\":\"", 9) || memmem(line, (size_t)length, "\"rewind\"", 8)) return fail(s, "an event that should not be", line, length), 0;
  }
  if (length >= 12 && memcmp(line, "data: [DONE]", 12) == 0) s->is_done = 1;
  return 1;
}

static void append(struct stream *s, const char *at, int length) {
  if (s->length + length + 1 > s->capacity) {
    s->capacity = (s->length + length + 1) * 2;
    if (s->capacity > MAX_LINE) die("a line is too long");
    s->part = realloc(s->part, (size_t)s->capacity);
  }
  memcpy(s->part + s->length, at, (size_t)length);
  s->length += length;
  s->part[s->length] = 0;
}

/* Reads lines of the body, the last of which may be incomplete. Returns 0 if the stream has failed. */
static int read_lines(struct stream *s, const char *at, const char *end) {
  const char *newline;
  while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
    if (s->length > 0) {
      append(s, at, (int)(newline - at));
      int length = s->length;
      s->length = 0;
      if (!take(s, s->part, length)) return 0;
    } else if (newline > at && !take(s, at, (int)(newline - at))) return 0;
    at = newline + 1;
  }
  if (at < end) append(s, at, (int)(end - at));
  return 1;
}

/* HTTP and WebSocket */

static void put_frame(struct stream *s, const char *payload, int length, int opcode) {
  char *frame = malloc((size_t)length + 8);
  int head = length < 126 ? 6 : 8;
  frame[0] = (char)(0x80 | opcode);
  frame[1] = (char)(0x80 | (length < 126 ? length : 126));
  if (head == 8) frame[2] = (char)(length >> 8), frame[3] = (char)length;
  /* A mask of zero is valid. */
  memset(frame + head - 4, 0, 4);
  memcpy(frame + head, payload, (size_t)length);
  free(s->own_send);
  s->own_send = frame;
  s->send = frame;
  s->to_send = head + length;
  send_rest(s);
}

/* Reads complete WebSocket frames; the rest is kept. Returns 0 if the connection is closed. */
static int read_frames(struct stream *s, const char *at, const char *end) {
  int was_kept = s->length > 0;
  if (was_kept) {
    append(s, at, (int)(end - at));
    at = s->part;
    end = at + s->length;
  }
  while (end - at >= 2) {
    const unsigned char *head = (const unsigned char *)at;
    int64_t length = head[1] & 127, size = 2;
    if (length == 126) size = 4;
    if (length == 127) size = 10;
    if (end - at < size) break;
    if (size == 4) length = head[2] << 8 | head[3];
    if (size == 10) for (int i = length = 0; i < 8; i++) length = length << 8 | head[2 + i];
    if (end - at < size + length) break;
    const char *payload = at + size;
    int opcode = head[0] & 15;
    at = payload + length;
    if (opcode == 8) return fail(s, "the socket was closed", payload + 2, (int)length - 2), 0;
    if (opcode == 9) put_frame(s, payload, (int)length, 10);
    if (opcode != 1) continue;
    if (memmem(payload, (size_t)length, "{\"type\":\"connected\"", 19)) {
      s->began = now_ns();
      s->send = messages.items[s->slot % messages.count];
      s->to_send = messages.lengths[s->slot % messages.count];
      send_rest(s);
    } else if (!take(s, payload, (int)length)) return 0;
    if (s->is_done && !finish(s)) return 0;
  }
  if (!was_kept) append(s, at, (int)(end - at));
  else memmove(s->part, at, (size_t)(s->length = (int)(end - at)));
  return 1;
}

/* Schedules another request after a 429 or 503; any other status is a failure. */
static void refuse(struct stream *s, int status, const char *head) {
  const char *body = strstr(head, "\r\n\r\n");
  char detail[300];
  snprintf(detail, sizeof detail, "%.12s %s", head, body ? body + 4 : "");
  if ((status != 429 && status != 503) || s->is_reader) return fail(s, "the answer is", detail, (int)strlen(detail));
  refused++;
  pauses[(pause_first + pause_count++) % MAX_FDS] = (struct pause){ now_ns() + REFUSED_PAUSE_NS, s->slot };
  started_streams--;
  close_stream(s);
}

/* Repeats refused requests that are due. Returns when the next one is due, or 0. */
static uint64_t end_pauses(uint64_t now) {
  while (pause_count > 0 && pauses[pause_first].due <= now) {
    int slot = pauses[pause_first].slot;
    pause_first = (pause_first + 1) % MAX_FDS;
    pause_count--;
    begin(slot);
  }
  return pause_count > 0 ? pauses[pause_first].due : 0;
}

static int begin_body(struct stream *s, char *head) {
  int status = atoi(head + 9);
  if (format == SOCKET && status == 101) {
    s->state = FRAMES;
    s->keeps_alive = 1;
    return 1;
  }
  if (status != 200) return refuse(s, status, head), 0;
  s->keeps_alive = !strcasestr(head, "\r\nconnection: close");
  const char *field = strcasestr(head, "\r\ncontent-length:");
  s->left = field ? atoll(field + 17) : INT64_MAX;
  s->state = strcasestr(head, "\r\ntransfer-encoding: chunked") ? CHUNK_SIZE : WHOLE;
  if (!field && s->state == WHOLE) s->keeps_alive = 0;
  return readers_per_run == 0 || s->is_reader || begin_readers(s, head);
}

/* Reads a head, possibly in pieces. Returns where the body begins, or NULL. */
static const char *read_head(struct stream *s, const char *at, const char *end) {
  int before = s->length;
  append(s, at, (int)(end - at));
  char *last = strstr(s->part, "\r\n\r\n");
  if (!last) return s->length > MAX_HEAD ? fail(s, "the head is too long", "", 0), NULL : NULL;
  int head = (int)(last - s->part) + 4;
  s->length = 0;
  if (s->part[9] == '2' || s->part[9] == '1') *last = 0;
  return begin_body(s, s->part) ? at + (head - before) : NULL;
}

/* Processes the bytes of a read. */
static void consume(struct stream *s, const char *at, const char *end) {
  while (at && at < end) {
    int64_t room = end - at;
    switch (s->state) {
      case HEAD:
        at = read_head(s, at, end);
        break;
      case FRAMES:
        read_frames(s, at, end);
        return;
      case CHUNK_SIZE: {
        /* A chunk's size may be split between reads; the digits so far are kept in `searched`. */
        char c = *at++;
        if (c == '\n') {
          s->left = s->searched;
          s->searched = 0;
          s->state = s->left ? CHUNK : TRAILER;
        } else if (c != '\r') s->searched = s->searched * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        break;
      }
      case CHUNK:
      case WHOLE: {
        int64_t taken = room < s->left ? room : s->left;
        if (!read_lines(s, at, at + taken)) return;
        at += taken;
        s->left -= taken;
        if (s->left == 0 && s->state == WHOLE) return (void)finish(s);
        if (s->left == 0) s->state = CHUNK_END;
        break;
      }
      case CHUNK_END:
        if (*at++ == '\n') s->state = CHUNK_SIZE;
        break;
      case TRAILER:
        if (*at++ == '\n') return (void)finish(s);
        break;
    }
  }
}

static void on_input(struct stream *s) {
  ssize_t got = read(s->fd, input, READ_BYTES);
  if (got < 0 && errno == EAGAIN) return;
  if (got > 0) return consume(s, input, input + got);
  if (got == 0 && s->state == WHOLE && s->is_done) return (void)finish(s);
  fail(s, got < 0 ? strerror(errno) : "the connection was closed", "", 0);
}

/* Main program */

static struct texts read_texts(const char *path, int as_frames) {
  FILE *file = fopen(path, "r");
  if (!file) die("a file of requests cannot be read");
  struct texts texts = { 0 };
  char *text = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getdelim(&text, &capacity, 0, file)) > 1) {
    texts.items = realloc(texts.items, sizeof *texts.items * (size_t)(texts.count + 1));
    texts.lengths = realloc(texts.lengths, sizeof *texts.lengths * (size_t)(texts.count + 1));
    length--;
    char *item = malloc((size_t)length + 9);
    if (as_frames) {
      int head = length < 126 ? 6 : 8;
      item[0] = (char)0x81;
      item[1] = (char)(0x80 | (length < 126 ? length : 126));
      if (head == 8) item[2] = (char)(length >> 8), item[3] = (char)length;
      memset(item + head - 4, 0, 4);
      memcpy(item + head, text, (size_t)length);
      length += head;
    } else memcpy(item, text, (size_t)length + 1);
    texts.items[texts.count] = item;
    texts.lengths[texts.count++] = (int)length;
  }
  fclose(file);
  return texts;
}

static void read_options(int count, char **arguments) {
  for (int i = 1; i + 1 < count; i += 2) {
    const char *name = arguments[i], *value = arguments[i + 1];
    if (!strcmp(name, "--ports")) {
      for (char *at = strdup(value), *port; (port = strsep(&at, ",")) && port_count < 64;) ports[port_count++] = atoi(port);
    } else if (!strcmp(name, "--connections")) connections = atoi(value);
    else if (!strcmp(name, "--streams")) limit = atoll(value);
    else if (!strcmp(name, "--ramp-ms")) ramp_ms = atoi(value);
    else if (!strcmp(name, "--max-silent")) max_silent = atoi(value);
    else if (!strcmp(name, "--round-us")) round_us = atoi(value);
    else if (!strcmp(name, "--tokens")) tokens = atoi(value);
    else if (!strcmp(name, "--readers-per-run")) readers_per_run = atoi(value);
    else if (!strcmp(name, "--requests")) requests = read_texts(value, 0);
    else if (!strcmp(name, "--messages")) messages = read_texts(value, 1);
    else if (!strcmp(name, "--readers")) readers = read_texts(value, 0);
    else if (!strcmp(name, "--format")) format = !strcmp(value, "events") ? EVENTS : !strcmp(value, "ui") ? UI : !strcmp(value, "socket") ? SOCKET : OPENAI;
    else die("unknown option");
  }
  if (port_count == 0 || requests.count == 0 || tokens < 1 || tokens > MAX_TOKENS) die("--ports and --requests are needed");
  if (format == SOCKET && messages.count == 0) die("--messages are needed");
  if (readers_per_run > 0 && readers.count == 0) die("--readers are needed");
}

/* Whether the next connection must wait for earlier ones to receive text. */
static int is_held_back(void) {
  return max_silent > 0 && open_streams - streaming >= max_silent;
}

static void on_command(void) {
  char line[64];
  ssize_t got = read(0, line, sizeof line - 1);
  if (got <= 0) exit(0);
  line[got] = 0;
  if (strstr(line, "mark")) mark();
  if (strstr(line, "quit")) exit(0);
}

int main(int count, char **arguments) {
  read_options(count, arguments);
  struct rlimit descriptors;
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  expected = malloc((size_t)tokens * MAX_TOKEN);
  for (int n = 0; n < tokens; n++) expected_length += put_token(n, 0, expected + expected_length);

  epoll = epoll_create1(0);
  struct epoll_event events[1024], commands = { .events = EPOLLIN, .data.fd = 0 };
  epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &commands);
  uint64_t began = marked_at = now_ns(), step = connections > 0 ? (uint64_t)ramp_ms * 1000000 / (uint64_t)connections : 0;
  int next = 0;
  for (;;) {
    uint64_t now = now_ns();
    if (limit > 0 && started_streams >= limit) next = connections;
    while (next < connections && !is_held_back() && now >= began + step * (uint64_t)next) begin(next++);
    uint64_t due = end_pauses(now);
    if (limit > 0 && ended_streams >= limit && open_streams == 0) {
      mark();
      return errors > 0;
    }
    if (next < connections && !is_held_back() && (due == 0 || began + step * (uint64_t)next < due)) due = began + step * (uint64_t)next;
    int64_t wait = due > now ? (int64_t)(due - now) : 0;
    struct timespec timeout = { .tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000 };
    if (round_us > 0) clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = round_us * 1000L }, NULL);
    int happened = epoll_pwait2(epoll, events, 1024, due ? &timeout : NULL, NULL);
    for (int i = 0; i < happened; i++) {
      int fd = events[i].data.fd;
      if (fd == 0) { on_command(); continue; }
      struct stream *s = streams[fd];
      if (s && s->to_send > 0 && events[i].events & EPOLLOUT) send_rest(s);
      if ((s = streams[fd]) && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_input(s);
    }
  }
}
