/*
 * The physical limit in C: the same bytes, encoded beforehand, through write() and read() in pieces of just under
 * 64 KiB, as raw.mjs does it through a net.Socket: one segment of the loopback carries 65,483 bytes, and a write
 * that needs two costs two to four times as much per byte.
 */
#include "common.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PIECE = 65400 };

static int wire;
static uint8_t buffer[PIECE];

static long least(long a, long b) { return a < b ? a : b; }

static void send_all(const uint8_t *bytes, size_t length) {
  while (length) {
    ssize_t n = send(wire, bytes, length, MSG_NOSIGNAL);
    if (n <= 0) fail("send");
    bytes += n;
    length -= n;
  }
}

static long receive_some(void) {
  ssize_t n = recv(wire, buffer, PIECE, 0);
  if (n <= 0) fail("recv");
  return n;
}

static void receive_exactly(size_t length) {
  for (size_t got = 0; got < length;) {
    ssize_t n = recv(wire, buffer, length - got, 0);
    if (n <= 0) fail("recv");
    got += n;
  }
}

static size_t encode_string(uint8_t *at, const char *text) {
  size_t length = strlen(text);
  at[0] = length >> 8, at[1] = length & 255;
  memcpy(at + 2, text, length);
  return length + 2;
}

static size_t encode_length(uint8_t *at, size_t length) {
  size_t n = 0;
  do {
    at[n] = (length & 127) | (length > 127 ? 128 : 0);
    length >>= 7;
    n++;
  } while (length);
  return n;
}

static size_t encode_publish(uint8_t *at, const char *topic, int qos, unsigned id, long payload) {
  size_t n = 0;
  at[n++] = 0x30 | qos << 1;
  n += encode_length(at + n, 2 + strlen(topic) + (qos ? 2 : 0) + (run.version == 5) + payload);
  n += encode_string(at + n, topic);
  if (qos) at[n++] = id >> 8, at[n++] = id & 255;
  if (run.version == 5) at[n++] = 0;
  memcpy(at + n, payload_bytes, payload);
  return n + payload;
}

/* Acknowledgements with the ids 1 to `count`, twice over, so that any `count` of them are in one piece. */
static uint8_t *encode_acknowledgements(uint8_t first, long count) {
  uint8_t *bytes = malloc(8 * count);
  for (long i = 0; i < 2 * count; i++) {
    uint8_t *at = bytes + 4 * i;
    long id = i % count + 1;
    at[0] = first, at[1] = 2, at[2] = id >> 8, at[3] = id & 255;
  }
  return bytes;
}

/* Sends `count` of them from *cursor on; `places` is how many different ones there are. */
static void acknowledge(const uint8_t *all, long places, long *cursor, long count) {
  if (count) send_all(all + 4 * *cursor, 4 * count);
  *cursor = (*cursor + count) % places;
}

static void subscribe(const char *filter, int qos) {
  uint8_t packet[64] = { 0x82, 0, 255, 255 };
  size_t n = 4;
  if (run.version == 5) packet[n++] = 0;
  n += encode_string(packet + n, filter);
  packet[n++] = qos;
  packet[1] = n - 2;
  send_all(packet, n);
}

static void flush(void) {
  subscribe(FLUSH_TOPIC, 0);
  receive_exactly(run.version == 5 ? 6 : 5);
}

static uint8_t *ring, *releases;
static size_t size;
static long places;

static void make_ring(void) {
  size_t one = run.payload + 64;
  long wanted = run.qos ? run.window : (long)(PIECE / run.payload + 1);
  places = (wanted + run.topics - 1) / run.topics * run.topics;
  if (run.qos && places > 65535) places = 65535 / run.topics * run.topics;
  ring = malloc(places * one + PIECE);
  uint8_t *at = ring;
  for (long i = 0; i < places; i++) at += size = encode_publish(at, topic_at(i), run.qos, i + 1, run.payload);
  if (run.qos == 2) releases = encode_acknowledgements(0x62, places);
  for (size_t i = 0; i < PIECE; i++) at[i] = ring[i];   /* the beginning again, so that every piece is in one place */
}

static void publish(long count) {
  if (!run.qos) {
    size_t all = places * size, at = 0;
    for (size_t left = count * size; left;) {
      size_t n = least(PIECE, left);
      send_all(ring + at, n);
      left -= n;
      at = (at + n) % all;
    }
    return;
  }
  long sent = 0, cursor = 0, received = 0, released = 0, completed = 0, release_cursor = 0, skip = 0, bytes = 0;
  /* Half a window at most: with the whole of a small one in one piece, client and peer would wait for each other. */
  long per_piece = least(PIECE / size, (run.window + 1) / 2);
  if (!per_piece) per_piece = 1;
  while (completed < count || skip) {
    long n = least(least(count - sent, run.window - (sent - completed)), per_piece);
    if (n) {
      send_all(ring + cursor * size, n * size);
      sent += n;
      cursor = (cursor + n) % places;
      if (sent < count && sent - completed < run.window) continue;
    }
    long got = receive_some();
    if (run.qos == 1) {
      bytes += got;
      completed = bytes / 4;
      skip = bytes % 4;
      continue;
    }
    long at = skip;
    for (; at < got; at += 4) buffer[at] == 0x50 ? received++ : completed++;
    skip = at - got;
    acknowledge(releases, places, &release_cursor, received - released);
    released = received;
  }
}

static void receive(void) {
  uint8_t *message = malloc(run.payload + 64), last[32];
  size_t message_size = encode_publish(message, topic_at(0), run.qos, 1, run.payload);
  size_t last_size = encode_publish(last, END_TOPIC, 0, 0, 1);
  uint8_t *answers = run.qos ? encode_acknowledgements(run.qos == 1 ? 0x40 : 0x50, run.ring) : NULL;
  uint8_t *completions = run.qos == 2 ? encode_acknowledgements(0x70, run.ring) : NULL;
  size_t total = run.warmup + run.count, bytes = 0, skip = 0, arrived = 0;
  long cursor = 0, completion_cursor = 0;
  int ended = 0, started_already = !run.warmup;
  if (started_already) start_clock();
  subscribe(FILTER, run.qos);
  receive_exactly(run.version == 5 ? 6 : 5);
  while (!ended) {
    size_t got = receive_some(), messages = 0, releases = 0;
    if (run.qos < 2) {
      bytes += got;
      messages = bytes / message_size;
      if (messages > total) messages = total;
      messages -= arrived;
      ended = bytes == total * message_size + last_size;
    } else {
      size_t at = skip;
      while (at < got) {
        if (buffer[at] == 0x34) messages++, at += message_size;
        else if (buffer[at] == 0x62) releases++, at += 4;
        else ended = 1, at += last_size;
      }
      skip = at - got;
    }
    if (run.qos) acknowledge(answers, run.ring, &cursor, messages);
    if (run.qos == 2) acknowledge(completions, run.ring, &completion_cursor, releases);
    arrived += messages;
    if (!started_already && arrived >= (size_t)run.warmup) started_already = 1, start_clock();
  }
}

int main(int argc, char **argv) {
  read_run(argc, argv);
  wire = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(run.port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  if (connect(wire, (struct sockaddr *)&address, sizeof address)) fail("connect");
  setsockopt(wire, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
  uint8_t hello[24] = { 0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', run.version, 2, 0, 60 };
  size_t n = run.version == 5 ? 13 : 12;        /* 5: no properties */
  n += encode_string(hello + n, "bench");
  hello[1] = n - 2;
  send_all(hello, n);
  receive_exactly(run.version == 5 ? 8 : 4);
  if (run.publishes) {
    make_ring();
    if (run.warmup) {
      publish(run.warmup);
      flush();
    }
    start_clock();
    publish(run.count);
    flush();
  } else {
    receive();
  }
  print_result();
  send_all((uint8_t[]){ 0xe0, 0 }, 2);
  close(wire);
  return 0;
}
