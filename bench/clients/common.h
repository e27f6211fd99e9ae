/*
 * What the C clients share: the options that run.mjs gives to every client, the stopwatch, the line of JSON at the
 * end, the topics and the payload. The clock runs as client.mjs describes it.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <signal.h>
#include <time.h>

#define END_TOPIC "bench/end"
#define FILTER "bench/#"
#define FLUSH_TOPIC "bench/flush"

static struct {
  int publishes, port, version, qos;            /* version: 4 or 5 */
  long payload, topics, window, count, warmup, ring;
} run;

static char **topic_names;
static unsigned char *payload_bytes;
static double started, started_cpu;
static long seen, marked;
static uint64_t letters, octets;                /* what touching the messages adds up to */

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static double seconds_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_now(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static inline void start_clock(void) {
  started_cpu = cpu_now();
  started = seconds_now();
}

static void print_result(void) {
  double seconds = seconds_now() - started, cpu = cpu_now() - started_cpu;
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"rss\":%ld}\n", seconds, cpu, u.ru_maxrss);
  fflush(stdout);
}

static inline const char *topic_at(long i) { return topic_names[run.topics == 1 ? 0 : i % run.topics]; }

/* Touches a message; true for the last one. Starts the clock with the last message of the warm-up. */
static inline int take(const char *topic, size_t topic_length, const unsigned char *payload, size_t length) {
  letters += (unsigned char)topic[topic_length - 1];
  octets += length + payload[0];
  seen++;
  if (seen == run.warmup) start_clock();
  return seen == marked;
}

static inline void verify(void) {
  uint64_t total = run.warmup + run.count;
  if (letters != 121 * total + 100 || octets != total * (run.payload + 97) + 98) fail("messages are missing or damaged");
}

static void read_run(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  run.version = 4;
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--role")) run.publishes = !strcmp(value, "publish");
    else if (!strcmp(name, "--port")) run.port = atoi(value);
    else if (!strcmp(name, "--version")) run.version = strcmp(value, "5") ? 4 : 5;
    else if (!strcmp(name, "--qos")) run.qos = atoi(value);
    else if (!strcmp(name, "--payload")) run.payload = atol(value);
    else if (!strcmp(name, "--topics")) run.topics = atol(value);
    else if (!strcmp(name, "--window")) run.window = atol(value);
    else if (!strcmp(name, "--count")) run.count = atol(value);
    else if (!strcmp(name, "--warmup")) run.warmup = atol(value);
    else if (!strcmp(name, "--ring")) run.ring = atol(value);
  }
  if (run.topics < 1) run.topics = 1;
  marked = run.warmup + run.count + 1;
  topic_names = malloc(run.topics * sizeof *topic_names);
  for (long i = 0; i < run.topics; i++) {
    topic_names[i] = malloc(48);
    snprintf(topic_names[i], 48, "bench/device-%04ld/telemetry", i);
  }
  payload_bytes = malloc(run.payload + 1);
  for (long i = 0; i < run.payload; i++) payload_bytes[i] = 'a' + i % 26;
}

#endif
