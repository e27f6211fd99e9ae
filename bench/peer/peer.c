/*
 * The other side of every benchmark: an MQTT 3.1.1 and 5 server that does as little as a server can, so that what
 * is measured is the client. One thread, epoll; it never sleeps while a connection is open (a sleeping peer adds the
 * cost of waking it to each exchange), and it ends by itself: when the last connection has ended, or at the limit.
 *
 *   peer sink    [--receive-maximum N] [--limit S]
 *   peer source  --count N [--qos Q] [--payload BYTES] [--topics K] [--window W] [--limit S]
 *   peer many    as sink, but sleeps between packets: for thousands of idle connections
 *   peer price   measures nothing but this machine: what the cheapest system call costs, as {"systemCall": ns}
 *
 * SINK answers CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH of every QoS, PUBREL and PINGREQ; the answers to all that
 * one read brought leave in one write. SOURCE does the same, and after the first SUBSCRIBE sends N PUBLISH from a
 * ring of messages encoded beforehand, where the message at place i has the packet id i + 1 for ever: nothing is
 * encoded or patched while time is measured. With QoS 1 and 2 at most W of them are unacknowledged. When all have
 * been sent, and with QoS 1 and 2 acknowledged, one message with the topic `bench/end` closes the run.
 *
 * The first line printed is {"port", "ring"} (places in the ring, 0 for a sink), the last one holds the counts.
 * A packet that MQTT forbids counts as a violation and closes the connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* One segment of the loopback carries 65,483 bytes; a write that needs two costs two to four times as much per byte. */
enum { LIMIT_SECONDS = 120, READ_BYTES = 256 * 1024, BUFFER_BYTES = 4 * 1024 * 1024, WRITE_BYTES = 65400 };
enum { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK,
       PINGREQ, PINGRESP, DISCONNECT, AUTH };
enum { FREE = 0, SENT, RELEASED };              /* the exchange of one place in the ring */

struct connection {
  int fd;
  int level;                                    /* 4 or 5; 0 before CONNECT */
  int waiting;                                  /* the socket takes no more: EPOLLOUT is asked for */
  int closing;
  unsigned receive_maximum;                     /* what the client announced */
  uint8_t *rest;                                /* the beginning of a packet whose end has not come yet */
  size_t rest_length;
  size_t skip;                                  /* bytes still to come of a PUBLISH that is only counted */
  int skip_qos;
  uint16_t skip_id;
  uint8_t *out;                                 /* answers not yet written: out[out_start .. out_end] */
  size_t out_start, out_end, out_capacity;
};

static struct {
  int spins, sends;
  unsigned receive_maximum, limit;
  uint64_t count;
  unsigned qos, payload, topics, window;
} options = { .receive_maximum = 65535, .limit = LIMIT_SECONDS, .payload = 64, .topics = 1, .window = 1000 };

static struct {
  uint64_t connections, publishes[3], bytes, duplicates, releases, subscribes, pings, violations;
  uint64_t sent, acknowledged, reads, writes;
} counts;

static struct {
  struct connection *to;                        /* who subscribed first */
  uint8_t *ring, *state;
  size_t size, slots, cursor, per_write;
  const uint8_t *tail;                          /* the rest of a message that was written in part */
  size_t tail_length;
  uint64_t open;
  unsigned window;
  int closed;                                   /* the closing message has been queued */
} source;

static uint8_t buffer[BUFFER_BYTES];
static int poller, open_connections;
static volatile sig_atomic_t out_of_time;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void tick(int signal_number) {
  (void)signal_number;
  out_of_time = 1;
}

/* ---- what goes out ---- */

static uint8_t *answer(struct connection *c, size_t bytes) {
  if (c->out_start == c->out_end) c->out_start = c->out_end = 0;
  if (c->out_end + bytes > c->out_capacity) {
    size_t capacity = c->out_capacity ? c->out_capacity : 256;
    while (capacity < c->out_end + bytes) capacity *= 2;
    c->out = realloc(c->out, capacity);
    if (!c->out) fail("realloc");
    c->out_capacity = capacity;
  }
  uint8_t *at = c->out + c->out_end;
  c->out_end += bytes;
  return at;
}

static inline void answer_id(struct connection *c, uint8_t first, uint16_t id) {
  uint8_t *at = answer(c, 4);
  at[0] = first, at[1] = 2, at[2] = id >> 8, at[3] = id & 255;
}

static size_t encode_length(uint8_t *at, size_t length) {
  size_t n = 0;
  do {
    at[n] = length & 127;
    length >>= 7;
    if (length) at[n] |= 128;
    n++;
  } while (length);
  return n;
}

/* One PUBLISH; the topics of a rotation differ in their digits only, so all messages have one size. */
static size_t encode_publish(uint8_t *at, int level, const char *topic, unsigned qos, uint16_t id, size_t payload) {
  size_t topic_length = strlen(topic), n = 0;
  at[n++] = PUBLISH << 4 | qos << 1;
  n += encode_length(at + n, 2 + topic_length + (qos ? 2 : 0) + (level == 5) + payload);
  at[n++] = topic_length >> 8, at[n++] = topic_length & 255;
  memcpy(at + n, topic, topic_length);
  n += topic_length;
  if (qos) at[n++] = id >> 8, at[n++] = id & 255;
  if (level == 5) at[n++] = 0;
  for (size_t i = 0; i < payload; i++) at[n++] = 'a' + i % 26;
  return n;
}

/* With QoS 1 and 2 the ring has a place for each message of the window, with QoS 0 about 256 KiB. */
static size_t ring_slots(void) {
  size_t wanted = options.qos ? options.window : READ_BYTES / (options.payload + 33) + 1;
  size_t slots = (wanted + options.topics - 1) / options.topics * options.topics;
  if (slots > 65535) slots = 65535 / options.topics * options.topics;
  return slots;
}

static void source_start(struct connection *c) {
  source.to = c;
  source.slots = ring_slots();
  source.state = calloc(source.slots, 1);
  source.window = options.window < c->receive_maximum ? options.window : c->receive_maximum;
  source.per_write = WRITE_BYTES / (options.payload + 34) + 1;
  size_t places = source.slots + source.per_write;      /* the beginning again, so that every write is in one place */
  source.ring = malloc(places * (options.payload + 64));
  if (!source.ring || !source.state) fail("malloc");
  size_t at = 0;
  for (size_t i = 0; i < places; i++) {
    char topic[48];
    size_t slot = i % source.slots;
    snprintf(topic, sizeof topic, "bench/device-%04u/telemetry", (unsigned)(slot % options.topics));
    source.size = encode_publish(source.ring + at, c->level, topic, options.qos, slot + 1, options.payload);
    at += source.size;
  }
  if (source.per_write > WRITE_BYTES / source.size) source.per_write = WRITE_BYTES / source.size;
  if (!source.per_write) source.per_write = 1;
}

static void source_settled(uint16_t id, int expected) {
  size_t slot = (size_t)id - 1;
  if (id == 0 || slot >= source.slots || source.state[slot] != expected) {
    counts.violations++;
    return;
  }
  source.state[slot] = FREE;
  source.open--;
  counts.acknowledged++;
}

/* How many messages may leave now from the cursor on, in one piece of memory. */
static size_t source_range(void) {
  uint64_t most = options.count - counts.sent;
  if (most > source.per_write) most = source.per_write;
  if (!options.qos) return most;
  if (most > source.window - source.open) most = source.window - source.open;
  size_t n = 0;
  for (size_t slot = source.cursor; n < most && source.state[slot] == FREE; n++) {
    if (++slot == source.slots) slot = 0;
  }
  return n;
}

static void source_took(size_t messages) {
  if (options.qos) source.open += messages;
  counts.sent += messages;
  for (size_t i = 0; i < messages; i++) {
    if (options.qos) source.state[source.cursor] = SENT;
    if (++source.cursor == source.slots) source.cursor = 0;
  }
}

static void source_close(struct connection *c) {
  if (source.closed || counts.sent < options.count || source.open) return;
  uint8_t *at = answer(c, 64);
  c->out_end -= 64 - encode_publish(at, c->level, "bench/end", 0, 0, 1);
  source.closed = 1;
}

static void watch(struct connection *c, int waiting) {
  if (c->waiting == waiting) return;
  c->waiting = waiting;
  struct epoll_event event = { .events = EPOLLIN | (waiting ? EPOLLOUT : 0), .data.ptr = c };
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

/* Writes, in this order, the rest of a message begun before, the answers, the next messages of the source.
 * True when there is more to write and the socket would take it. */
static int flush(struct connection *c) {
  int from_source = source.to == c;
  for (int turn = 0; turn < 8; turn++) {
    struct iovec parts[3];
    int n = 0;
    if (from_source) source_close(c);
    size_t tail = from_source ? source.tail_length : 0, answers = c->out_end - c->out_start;
    size_t messages = from_source ? source_range() : 0;
    if (tail) parts[n++] = (struct iovec){ (void *)source.tail, tail };
    if (answers) parts[n++] = (struct iovec){ c->out + c->out_start, answers };
    if (messages) parts[n++] = (struct iovec){ source.ring + source.cursor * source.size, messages * source.size };
    if (!n) {
      watch(c, 0);
      return 0;
    }
    ssize_t wrote = n == 1 ? send(c->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL)
                           : sendmsg(c->fd, &(struct msghdr){ .msg_iov = parts, .msg_iovlen = n }, MSG_NOSIGNAL);
    counts.writes++;
    if (wrote < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) c->closing = 1;
      else watch(c, 1);
      return 0;
    }
    size_t left = wrote, all = tail + answers + messages * source.size;
    size_t k = left < tail ? left : tail;
    if (tail) source.tail += k, source.tail_length -= k;
    left -= k;
    k = left < answers ? left : answers;
    c->out_start += k;
    left -= k;
    if (left) {
      const uint8_t *end = source.ring + source.cursor * source.size + left;
      size_t taken = (left + source.size - 1) / source.size;
      source.tail = end;
      source.tail_length = taken * source.size - left;
      source_took(taken);
    }
    if ((size_t)wrote < all) {
      watch(c, 1);
      return 0;
    }
  }
  return 1;
}

/* ---- what comes in ---- */

static inline unsigned u16(const uint8_t *p) { return p[0] << 8 | p[1]; }

static void violation(struct connection *c) {
  counts.violations++;
  c->closing = 1;
}

/* Reads a variable byte integer; its own length, 0 when it is cut off or too long. */
static size_t decode_length(const uint8_t *p, const uint8_t *end, size_t *value) {
  *value = 0;
  for (size_t i = 0; i < 4 && p + i < end; i++) {
    *value |= (size_t)(p[i] & 127) << (7 * i);
    if (!(p[i] & 128)) return i + 1;
  }
  return 0;
}

/* Passes over the properties of CONNECT, of which only Receive Maximum matters; NULL when they are malformed. */
static const uint8_t *connect_properties(struct connection *c, const uint8_t *p, const uint8_t *end) {
  size_t length, n = decode_length(p, end, &length);
  if (!n || length > (size_t)(end - p) - n) return NULL;
  p += n;
  end = p + length;
  while (p < end) {
    size_t left = end - p - 1;
    const uint8_t id = *p++;
    size_t size = 0;
    if (id == 0x17 || id == 0x19) size = 1;
    else if (id == 0x21 || id == 0x22) size = 2;
    else if (id == 0x11 || id == 0x27) size = 4;
    else if (id == 0x15 || id == 0x16) size = left < 2 ? left + 1 : 2 + u16(p);
    else if (id == 0x26) {
      size = left < 2 ? left + 1 : 2 + u16(p);
      size = left < size + 2 ? left + 1 : size + 2 + u16(p + size);
    }
    if (!size || size > left) return NULL;
    if (id == 0x21) c->receive_maximum = u16(p);
    p += size;
  }
  return p;
}

static void handle_connect(struct connection *c, const uint8_t *p, const uint8_t *end) {
  if (c->level || end - p < 6 || end - p < 6 + (ssize_t)u16(p)) return violation(c);
  p += 2 + u16(p);
  c->level = p[0];
  if (c->level != 4 && c->level != 5) return violation(c);
  p += 4;
  if (c->level == 5) p = connect_properties(c, p, end);
  if (!p || end - p < 2 || !c->receive_maximum) return violation(c);
  if (c->level == 4) {
    memcpy(answer(c, 4), (uint8_t[]){ CONNACK << 4, 2, 0, 0 }, 4);
    return;
  }
  int nameless = u16(p) == 0;                   /* 5: the server must tell the name that it chose */
  uint8_t *at = answer(c, 8 + (nameless ? 8 : 0));
  unsigned maximum = options.receive_maximum;
  memcpy(at, (uint8_t[]){ CONNACK << 4, nameless ? 14 : 6, 0, 0, nameless ? 11 : 3, 0x21, maximum >> 8, maximum }, 8);
  if (nameless) memcpy(at + 8, (uint8_t[]){ 0x12, 0, 5, 'b', 'e', 'n', 'c', 'h' }, 8);
}

static void handle_subscribe(struct connection *c, int type, const uint8_t *p, const uint8_t *end) {
  if (end - p < 2) return violation(c);
  unsigned id = u16(p), filters = 0;
  size_t length, n;
  p += 2;
  if (c->level == 5) {
    n = decode_length(p, end, &length);
    if (!n || length > (size_t)(end - p) - n) return violation(c);
    p += n + length;
  }
  int subscribe = type == SUBSCRIBE;
  uint8_t *codes = malloc(end - p + 1);
  if (!codes) fail("malloc");
  while (end - p >= 2 + subscribe && end - p >= 2 + subscribe + (ssize_t)u16(p)) {
    p += 2 + u16(p);
    codes[filters++] = subscribe ? *p++ & 3 : 0;
  }
  if (p != end || !filters) {
    violation(c);
  } else {
    size_t body = 2 + (c->level == 5) + (subscribe || c->level == 5 ? filters : 0);
    uint8_t head[5];
    head[0] = (subscribe ? SUBACK : UNSUBACK) << 4;
    size_t head_length = 1 + encode_length(head + 1, body);
    uint8_t *at = answer(c, head_length + body);
    memcpy(at, head, head_length);
    at += head_length;
    *at++ = id >> 8, *at++ = id & 255;
    if (c->level == 5) *at++ = 0;
    if (subscribe || c->level == 5) memcpy(at, codes, filters);
    if (subscribe) {
      counts.subscribes += filters;
      if (options.sends && !source.to) source_start(c);
    }
  }
  free(codes);
}

static void handle_control(struct connection *c, uint8_t first, const uint8_t *p, size_t length) {
  int type = first >> 4;
  const uint8_t *end = p + length;
  if (type == CONNECT) return handle_connect(c, p, end);
  if (!c->level) return violation(c);
  unsigned id = length >= 2 ? u16(p) : 0;
  int refused = length > 2 && p[2] >= 0x80;
  switch (type) {
    case PUBACK:
      if (length < 2 || options.qos != 1) return violation(c);
      return source_settled(id, SENT);
    case PUBREC:
      if (length < 2 || options.qos != 2) return violation(c);
      if (refused) return source_settled(id, SENT);
      if (id == 0 || id > source.slots || source.state[id - 1] != SENT) return violation(c);
      source.state[id - 1] = RELEASED;
      return answer_id(c, PUBREL << 4 | 2, id);
    case PUBCOMP:
      if (length < 2 || options.qos != 2) return violation(c);
      return source_settled(id, RELEASED);
    case PUBREL:
      if (length < 2 || (first & 15) != 2) return violation(c);
      counts.releases++;
      return answer_id(c, PUBCOMP << 4, id);
    case SUBSCRIBE:
    case UNSUBSCRIBE:
      if ((first & 15) != 2) return violation(c);
      return handle_subscribe(c, type, p, end);
    case PINGREQ:
      counts.pings++;
      memcpy(answer(c, 2), (uint8_t[]){ PINGRESP << 4, 0 }, 2);
      return;
    case DISCONNECT:
      c->closing = 1;
      return;
    default:
      return violation(c);
  }
}

static inline void handle_publish(struct connection *c, unsigned qos, uint16_t id) {
  counts.publishes[qos]++;
  if (qos) {
    if (!id) return violation(c);
    answer_id(c, (qos == 1 ? PUBACK : PUBREC) << 4, id);
  }
}

/* Takes all whole packets of [p, end); how many bytes that were. A PUBLISH needs only its beginning to be there. */
static size_t consume(struct connection *c, const uint8_t *p, const uint8_t *end) {
  const uint8_t *start = p;
  if (c->skip) {
    size_t k = (size_t)(end - p) < c->skip ? (size_t)(end - p) : c->skip;
    p += k;
    c->skip -= k;
    if (c->skip) return k;
    handle_publish(c, c->skip_qos, c->skip_id);
  }
  while (end - p >= 2 && !c->closing) {
    size_t length, n = 1;
    if (p[1] < 128) length = p[1];
    else if (!(n = decode_length(p + 1, end, &length))) {
      if (end - p >= 5) violation(c);
      break;
    }
    const uint8_t *body = p + 1 + n;
    size_t there = end - body;
    if (p[0] >> 4 != PUBLISH) {
      if (there < length) {
        if (length > BUFFER_BYTES - READ_BYTES - 8) violation(c);
        break;
      }
      handle_control(c, p[0], body, length);
      p = body + length;
      continue;
    }
    unsigned qos = p[0] >> 1 & 3;
    uint16_t id = 0;
    if (there < 2) break;
    size_t head = 2 + u16(body) + (qos ? 2 : 0);
    if (qos == 3 || head > length || !c->level) {
      violation(c);
      break;
    }
    if (qos) {
      if (there < head) break;
      id = u16(body + head - 2);
    }
    if (p[0] & 8) counts.duplicates++;
    counts.bytes += 1 + n + length;
    if (there < length) {
      c->skip = length - there;
      c->skip_qos = qos;
      c->skip_id = id;
      p = end;
      break;
    }
    handle_publish(c, qos, id);
    p = body + length;
  }
  return p - start;
}

/* Reads until the socket is empty; after each read the answers leave. True when flush() says there is more. */
static int pump(struct connection *c) {
  int more = 0;
  for (int turn = 0; turn < 16 && !c->closing; turn++) {
    size_t held = c->rest_length;
    if (held) memcpy(buffer, c->rest, held);
    ssize_t n = recv(c->fd, buffer + held, READ_BYTES, 0);
    counts.reads++;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n <= 0) {
      c->closing = 1;
      break;
    }
    const uint8_t *end = buffer + held + n;
    size_t used = consume(c, buffer, end);
    size_t left = c->closing ? 0 : held + n - used;
    if (left != held || used) {
      free(c->rest);
      c->rest = left ? malloc(left) : NULL;
      if (left && !c->rest) fail("malloc");
      if (left) memcpy(c->rest, buffer + used, left);
      c->rest_length = left;
    }
    more = c->waiting ? 0 : flush(c);
    if (n < READ_BYTES || c->out_end - c->out_start > BUFFER_BYTES) break;
  }
  return more;
}

/* ---- connections ---- */

static void open_connection(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
  struct connection *c = calloc(1, sizeof *c);
  if (!c) fail("calloc");
  c->fd = fd;
  c->receive_maximum = 65535;
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
  open_connections++;
  counts.connections++;
}

static void close_connection(struct connection *c) {
  if (source.to == c) options.sends = 0, source.to = NULL;
  close(c->fd);
  free(c->rest);
  free(c->out);
  free(c);
  open_connections--;
}

static unsigned number(const char *name, const char *text, unsigned long least, unsigned long most) {
  char *end;
  unsigned long value = strtoul(text ? text : "", &end, 10);
  if (!text || *end || end == text || value < least || value > most) {
    fprintf(stderr, "peer: %s must be a number from %lu to %lu\n", name, least, most);
    exit(2);
  }
  return value;
}

static int print_price(void) {
  enum { CALLS = 100000 };
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < CALLS; i++) getppid();
  clock_gettime(CLOCK_MONOTONIC, &to);
  printf("{\"systemCall\":%.0f}\n", ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / CALLS);
  return 0;
}

static void read_options(int argc, char **argv) {
  const char *role = argc > 1 ? argv[1] : "";
  options.spins = strcmp(role, "many") != 0;
  options.sends = strcmp(role, "source") == 0;
  if (strcmp(role, "sink") && options.sends == 0 && options.spins) {
    fprintf(stderr, "usage: peer price|sink|source|many [--count N] [--qos Q] [--payload BYTES] [--topics K] [--window W]"
                    " [--receive-maximum N] [--limit S]\n");
    exit(2);
  }
  for (int i = 2; i < argc; i += 2) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (!strcmp(name, "--count")) options.count = number(name, value, 1, 4000000000ul);
    else if (!strcmp(name, "--qos")) options.qos = number(name, value, 0, 2);
    else if (!strcmp(name, "--payload")) options.payload = number(name, value, 0, 1 << 20);
    else if (!strcmp(name, "--topics")) options.topics = number(name, value, 1, 10000);
    else if (!strcmp(name, "--window")) options.window = number(name, value, 1, 65535);
    else if (!strcmp(name, "--receive-maximum")) options.receive_maximum = number(name, value, 1, 65535);
    else if (!strcmp(name, "--limit")) options.limit = number(name, value, 1, LIMIT_SECONDS);
    else {
      fprintf(stderr, "peer: unknown option %s\n", name);
      exit(2);
    }
  }
}

static int listen_on_loopback(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t length = sizeof address;
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096) ||
      getsockname(listener, (struct sockaddr *)&address, &length)) fail("listen");
  printf("{\"port\":%u,\"ring\":%zu}\n", ntohs(address.sin_port), options.sends ? ring_slots() : 0);
  fflush(stdout);
  return listener;
}

static void print_counts(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"connections\":%lu,\"qos0\":%lu,\"qos1\":%lu,\"qos2\":%lu,\"bytes\":%lu,\"duplicates\":%lu,"
         "\"releases\":%lu,\"subscribes\":%lu,\"pings\":%lu,\"sent\":%lu,\"acknowledged\":%lu,\"violations\":%lu,"
         "\"reads\":%lu,\"writes\":%lu,\"outOfTime\":%s}\n",
         counts.connections, counts.publishes[0], counts.publishes[1], counts.publishes[2], counts.bytes,
         counts.duplicates, counts.releases, counts.subscribes, counts.pings, counts.sent, counts.acknowledged,
         counts.violations, counts.reads, counts.writes, out_of_time ? "true" : "false");
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "price")) return print_price();
  read_options(argc, argv);
  prctl(PR_SET_PDEATHSIG, SIGTERM);             /* whoever started it is gone: so is the run */
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 65536, 65536 });
  sigaction(SIGALRM, &(struct sigaction){ .sa_handler = tick }, NULL);
  alarm(options.limit);
  poller = epoll_create1(0);
  int listener = listen_on_loopback();
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
  if (epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event)) fail("epoll_ctl");

  int more = 0;
  while (!out_of_time && (open_connections || !counts.connections)) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, more || (options.spins && open_connections) ? 0 : -1);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (!c) {
        open_connection(listener);
        continue;
      }
      int unwritten = c->out_end - c->out_start > BUFFER_BYTES;   /* a client that does not read is not read */
      int again = 0;
      if (events[i].events & EPOLLOUT) again = flush(c);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !unwritten) again |= pump(c);
      if (source.to == c) more = again;
      if (c->closing) close_connection(c);
    }
    if (more && !n) {
      more = source.to ? flush(source.to) : 0;
      if (source.to && source.to->closing) close_connection(source.to), more = 0;
    }
  }
  print_counts();
  return 0;
}
