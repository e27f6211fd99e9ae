/*
 * Paho C, its asynchronous client (MQTTAsync): its own threads send, receive and call back; a semaphore holds the
 * window. Version 5 has callbacks of its own.
 */
#include "common.h"
#include <MQTTAsync.h>
#include <pthread.h>
#include <semaphore.h>

static MQTTAsync client;
static sem_t window, event;

static void check(int code, const char *what) {
  if (code != MQTTASYNC_SUCCESS) {
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
  }
}

static void on_event(void *context, MQTTAsync_successData *data) {
  (void)context, (void)data;
  sem_post(&event);
}

static void on_event5(void *context, MQTTAsync_successData5 *data) {
  (void)context, (void)data;
  sem_post(&event);
}

static void on_complete(void *context, MQTTAsync_successData *data) {
  (void)context, (void)data;
  sem_post(&window);
}

static void on_complete5(void *context, MQTTAsync_successData5 *data) {
  (void)context, (void)data;
  sem_post(&window);
}

static void on_failure(void *context, MQTTAsync_failureData *data) {
  (void)context;
  fail(data && data->message ? data->message : "an operation failed");
}

static void on_failure5(void *context, MQTTAsync_failureData5 *data) {
  (void)context;
  fail(data && data->message ? data->message : "an operation failed");
}

static int on_message(void *context, char *topic, int topic_length, MQTTAsync_message *message) {
  (void)context;
  if (take(topic, topic_length ? (size_t)topic_length : strlen(topic), message->payload, message->payloadlen)) {
    sem_post(&event);
  }
  MQTTAsync_freeMessage(&message);
  MQTTAsync_free(topic);
  return 1;
}

static MQTTAsync_responseOptions response(int completes) {
  MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;
  if (run.version == 5) {
    options.onSuccess5 = completes ? on_complete5 : on_event5;
    options.onFailure5 = on_failure5;
  } else {
    options.onSuccess = completes ? on_complete : on_event;
    options.onFailure = on_failure;
  }
  return options;
}

static void subscribe(const char *filter, int qos, int waits) {
  MQTTAsync_responseOptions options = response(0);
  MQTTSubscribe_options details = MQTTSubscribe_options_initializer;
  if (run.version == 5) options.subscribeOptions = details;
  if (!waits) options.onSuccess = NULL, options.onSuccess5 = NULL;
  check(MQTTAsync_subscribe(client, filter, qos, &options), "subscribe");
  if (waits) sem_wait(&event);
}

static void publish(long count) {
  MQTTAsync_responseOptions options = response(1);
  MQTTAsync_message message = MQTTAsync_message_initializer;
  message.payload = payload_bytes;
  message.payloadlen = run.payload;
  message.qos = run.qos;
  for (long i = 0; i < count; i++) {
    sem_wait(&window);
    check(MQTTAsync_sendMessage(client, topic_at(i), &message, &options), "sendMessage");
  }
  for (long i = 0; i < run.window; i++) sem_wait(&window);
  for (long i = 0; i < run.window; i++) sem_post(&window);
}

static void connect(void) {
  char uri[64];
  snprintf(uri, sizeof uri, "tcp://127.0.0.1:%d", run.port);
  MQTTAsync_createOptions created = MQTTAsync_createOptions_initializer;
  MQTTAsync_connectOptions options3 = MQTTAsync_connectOptions_initializer;
  MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
  MQTTAsync_connectOptions options = run.version == 5 ? options5 : options3;
  created.MQTTVersion = run.version == 5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
  created.maxBufferedMessages = run.window + 10;
  check(MQTTAsync_createWithOptions(&client, uri, "bench", MQTTCLIENT_PERSISTENCE_NONE, NULL, &created), "create");
  check(MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL), "setCallbacks");
  options.keepAliveInterval = 60;
  options.maxInflight = 65535;
  if (run.version == 5) {
    options.cleanstart = 1;
    options.onSuccess5 = on_event5;
    options.onFailure5 = on_failure5;
  } else {
    options.cleansession = 1;
    options.MQTTVersion = MQTTVERSION_3_1_1;
    options.onSuccess = on_event;
    options.onFailure = on_failure;
  }
  check(MQTTAsync_connect(client, &options), "connect");
  sem_wait(&event);
}

int main(int argc, char **argv) {
  read_run(argc, argv);
  sem_init(&window, 0, run.window);
  sem_init(&event, 0, 0);
  connect();
  if (run.publishes) {
    if (run.warmup) {
      publish(run.warmup);
      subscribe(FLUSH_TOPIC, 0, 1);
    }
    start_clock();
    publish(run.count);
    subscribe(FLUSH_TOPIC, 0, 1);
  } else {
    if (!run.warmup) start_clock();
    subscribe(FILTER, run.qos, 0);
    sem_wait(&event);
    verify();
  }
  print_result();
  MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
  MQTTAsync_disconnect(client, &options);
  return 0;
}
