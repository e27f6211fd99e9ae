/*
 * Paho C, its MQTTClient: publishing from this thread, acknowledgements and messages in the library's own; a
 * semaphore holds the window. The asynchronous client (MQTTAsync) was measured too: less than half as fast with
 * QoS 0 publishing, within a tenth otherwise. Version 5 has functions of its own.
 */
#include "common.h"
#include <MQTTClient.h>
#include <semaphore.h>

static MQTTClient client;
static sem_t window, ended;

static void check(int code, const char *what) {
  if (code == MQTTCLIENT_SUCCESS) return;
  fprintf(stderr, "%s: %d\n", what, code);
  exit(1);
}

static void on_delivered(void *context, MQTTClient_deliveryToken token) {
  (void)context, (void)token;
  sem_post(&window);
}

static int on_message(void *context, char *topic, int topic_length, MQTTClient_message *message) {
  (void)context;
  size_t length = topic_length ? (size_t)topic_length : strlen(topic);
  if (take(topic, length, message->payload, message->payloadlen)) sem_post(&ended);
  MQTTClient_freeMessage(&message);
  MQTTClient_free(topic);
  return 1;
}

static void subscribe(const char *filter, int qos) {
  if (run.version == 5) check(MQTTClient_subscribe5(client, filter, qos, NULL, NULL).reasonCode > 2, "subscribe");
  else check(MQTTClient_subscribe(client, filter, qos), "subscribe");
}

static void publish(long count) {
  MQTTClient_message message = MQTTClient_message_initializer;
  MQTTClient_deliveryToken token;
  message.payload = payload_bytes;
  message.payloadlen = run.payload;
  message.qos = run.qos;
  for (long i = 0; i < count; i++) {
    if (run.qos) sem_wait(&window);             /* QoS 0 is written before the call returns */
    if (run.version == 5) check(MQTTClient_publishMessage5(client, topic_at(i), &message, &token).reasonCode, "publish");
    else check(MQTTClient_publishMessage(client, topic_at(i), &message, &token), "publish");
  }
  if (!run.qos) return;
  for (long i = 0; i < run.window; i++) sem_wait(&window);
  for (long i = 0; i < run.window; i++) sem_post(&window);
}

static void connect(void) {
  char uri[64];
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", run.port);
  MQTTClient_createOptions created = MQTTClient_createOptions_initializer;
  created.MQTTVersion = run.version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
  check(MQTTClient_createWithOptions(&client, uri, "bench", MQTTCLIENT_PERSISTENCE_NONE, NULL, &created), "create");
  check(MQTTClient_setCallbacks(client, NULL, NULL, on_message, on_delivered), "setCallbacks");
  MQTTClient_connectOptions options3 = MQTTClient_connectOptions_initializer;
  MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
  MQTTClient_connectOptions options = run.version == 5 ? options5 : options3;
  options.maxInflightMessages = run.window;
  options.reliable = 0;
  if (run.version == 5) {
    check(MQTTClient_connect5(client, &options, NULL, NULL).reasonCode, "connect");
  } else {
    options.MQTTVersion = MQTTVERSION_3_1_1;
    check(MQTTClient_connect(client, &options), "connect");
  }
}

int main(int argc, char **argv) {
  read_run(argc, argv);
  sem_init(&window, 0, run.window);
  sem_init(&ended, 0, 0);
  connect();
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
    subscribe(FILTER, run.qos);
    sem_wait(&ended);
    verify();
  }
  print_result();
  MQTTClient_disconnect(client, 100);
  return 0;
}
