/*
 * libmosquitto, in one thread, which on one core is faster than a second one of its own. mosquitto_loop() waits in
 * select() before every single packet. Reading on until the socket is empty is half as fast again with QoS 1 and 2,
 * where answers are written in between; with QoS 0 it was slower. The faster way of each is measured. The window of
 * unacknowledged messages (20 by default) is raised to that of the run.
 */
#include "common.h"
#include <errno.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>

static struct mosquitto *client;
static int connected, subscribed, ended;
static long completed;

static void check(int code) {
  if (code != MOSQ_ERR_SUCCESS) fail(mosquitto_strerror(code));
}

static void on_connect(struct mosquitto *m, void *data, int code, int flags, const mosquitto_property *properties) {
  (void)m, (void)data, (void)flags, (void)properties;
  if (code) fail(mosquitto_connack_string(code));
  connected = 1;
}

static void on_publish(struct mosquitto *m, void *data, int id, int code, const mosquitto_property *properties) {
  (void)m, (void)data, (void)id, (void)code, (void)properties;
  completed++;
}

static void on_subscribe(struct mosquitto *m, void *data, int id, int n, const int *qos, const mosquitto_property *p) {
  (void)m, (void)data, (void)id, (void)n, (void)qos, (void)p;
  subscribed = 1;
}

static void on_message(struct mosquitto *m, void *data, const struct mosquitto_message *message,
                       const mosquitto_property *properties) {
  (void)m, (void)data, (void)properties;
  if (take(message->topic, strlen(message->topic), message->payload, message->payloadlen)) ended = 1;
}

static void step(void) {
  if (!run.qos) {
    check(mosquitto_loop(client, 1000, 1));
    return;
  }
  errno = 0;
  for (int i = 0; i < 1000 && errno != EAGAIN; i++) check(mosquitto_loop_read(client, 1));
  if (mosquitto_want_write(client)) check(mosquitto_loop_write(client, 1));
  if (errno == EAGAIN) check(mosquitto_loop(client, 1000, 1));
}

static void subscribe(const char *filter, int qos) {
  subscribed = 0;
  check(mosquitto_subscribe(client, NULL, filter, qos));
  while (!subscribed) step();
}

static void publish(long count) {
  long sent = 0;
  completed = 0;
  while (completed < count) {
    for (; sent < count && sent - completed < run.window; sent++) {
      check(mosquitto_publish(client, NULL, topic_at(sent), run.payload, payload_bytes, run.qos, false));
    }
    if (completed < sent) step();
  }
}

int main(int argc, char **argv) {
  read_run(argc, argv);
  mosquitto_lib_init();
  client = mosquitto_new("bench", true, NULL);
  check(mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, run.version));
  if (run.publishes && run.qos) {
    check(mosquitto_max_inflight_messages_set(client, run.window));
    check(mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, run.window));
  }
  if (!run.publishes && run.version == 5) check(mosquitto_int_option(client, MOSQ_OPT_RECEIVE_MAXIMUM, 65535));
  mosquitto_connect_v5_callback_set(client, on_connect);
  mosquitto_publish_v5_callback_set(client, on_publish);
  mosquitto_subscribe_v5_callback_set(client, on_subscribe);
  mosquitto_message_v5_callback_set(client, on_message);
  check(mosquitto_connect(client, "127.0.0.1", run.port, 60));
  while (!connected) check(mosquitto_loop(client, 1000, 1));

  if (run.publishes) {
    if (run.warmup) {
      publish(run.warmup);
      subscribe(FLUSH_TOPIC, 0);
    }
    start_clock();
    publish(run.count);
    subscribe(FLUSH_TOPIC, 0);
  } else {
    if (!run.warmup) start_clock();
    check(mosquitto_subscribe(client, NULL, FILTER, run.qos));
    while (!ended) step();
    verify();
  }
  print_result();
  mosquitto_disconnect(client);
  mosquitto_loop(client, 100, 1);
  return 0;
}
