/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Purpose: attribute keys that everybody uses (OpenTelemetry's conventions old
 * and new, Jaeger's and OpenTracing's tags), so that a record can name one in
 * two bytes and still decode alone: the dictionary is the format itself.
 *
 * Part of the format: names are added at the end, never moved, never removed.
 * A reader that does not know a number takes its record for garbage.
 */
#ifndef HS_RECORD_KNOWN_H
#define HS_RECORD_KNOWN_H

#include <stddef.h>
#include <stdint.h>

/*
 * A key in a record with HS_RECORD_F_KNOWN: a varint v, then, if v is even,
 * v / 2 bytes. Odd: the name number v / 2 - HS_RECORD_KNOWN_BASE, in exactly
 * two bytes, so that whoever takes a key out can write another over it.
 */
#define HS_RECORD_KNOWN_BASE  64u
#define HS_RECORD_KNOWN_BYTES 2u
#define HS_RECORD_KNOWN_GONE  0u /* a key that was taken out */

/* clang-format off */
#define HS_RECORD_KNOWN_KEYS(X) \
	X("") \
	X("span.kind") \
	X("component") \
	X("error") \
	X("internal.span.format") \
	X("sampler.type") \
	X("sampler.param") \
	X("peer.service") \
	X("peer.address") \
	X("peer.hostname") \
	X("peer.ipv4") \
	X("peer.ipv6") \
	X("peer.port") \
	X("hostname") \
	X("ip") \
	X("jaeger.version") \
	X("client-uuid") \
	X("host.name") \
	X("host.id") \
	X("host.arch") \
	X("host.ip") \
	X("host.type") \
	X("http.method") \
	X("http.url") \
	X("http.target") \
	X("http.host") \
	X("http.scheme") \
	X("http.status_code") \
	X("http.flavor") \
	X("http.user_agent") \
	X("http.route") \
	X("http.client_ip") \
	X("http.server_name") \
	X("http.request_content_length") \
	X("http.response_content_length") \
	X("http.request.method") \
	X("http.request.method_original") \
	X("http.response.status_code") \
	X("http.request.body.size") \
	X("http.response.body.size") \
	X("http.request.resend_count") \
	X("http.request.size") \
	X("http.response.size") \
	X("http.path") \
	X("http.protocol") \
	X("url.full") \
	X("url.path") \
	X("url.query") \
	X("url.scheme") \
	X("url.fragment") \
	X("url.domain") \
	X("url.template") \
	X("user_agent.original") \
	X("user_agent.name") \
	X("user_agent.version") \
	X("server.address") \
	X("server.port") \
	X("client.address") \
	X("client.port") \
	X("network.peer.address") \
	X("network.peer.port") \
	X("network.local.address") \
	X("network.local.port") \
	X("network.protocol.name") \
	X("network.protocol.version") \
	X("network.transport") \
	X("network.type") \
	X("net.peer.name") \
	X("net.peer.ip") \
	X("net.peer.port") \
	X("net.host.name") \
	X("net.host.ip") \
	X("net.host.port") \
	X("net.transport") \
	X("net.sock.peer.addr") \
	X("net.sock.peer.port") \
	X("net.sock.peer.name") \
	X("net.sock.host.addr") \
	X("net.sock.host.port") \
	X("net.sock.family") \
	X("net.protocol.name") \
	X("net.protocol.version") \
	X("rpc.system") \
	X("rpc.service") \
	X("rpc.method") \
	X("rpc.grpc.status_code") \
	X("rpc.message.type") \
	X("rpc.message.id") \
	X("rpc.message.compressed_size") \
	X("rpc.message.uncompressed_size") \
	X("rpc.jsonrpc.version") \
	X("rpc.jsonrpc.request_id") \
	X("rpc.jsonrpc.error_code") \
	X("rpc.connect_rpc.error_code") \
	X("grpc.status_code") \
	X("grpc.method") \
	X("grpc.path") \
	X("db.system") \
	X("db.system.name") \
	X("db.name") \
	X("db.namespace") \
	X("db.statement") \
	X("db.query.text") \
	X("db.query.summary") \
	X("db.operation") \
	X("db.operation.name") \
	X("db.collection.name") \
	X("db.sql.table") \
	X("db.user") \
	X("db.connection_string") \
	X("db.instance") \
	X("db.type") \
	X("db.response.status_code") \
	X("db.redis.database_index") \
	X("db.mongodb.collection") \
	X("db.cassandra.table") \
	X("db.operation.batch.size") \
	X("db.stored_procedure.name") \
	X("messaging.system") \
	X("messaging.operation") \
	X("messaging.operation.name") \
	X("messaging.operation.type") \
	X("messaging.destination") \
	X("messaging.destination.name") \
	X("messaging.destination.template") \
	X("messaging.destination.partition.id") \
	X("messaging.message.id") \
	X("messaging.message.conversation_id") \
	X("messaging.message.body.size") \
	X("messaging.message.envelope.size") \
	X("messaging.batch.message_count") \
	X("messaging.client.id") \
	X("messaging.client_id") \
	X("messaging.consumer.group.name") \
	X("messaging.kafka.offset") \
	X("messaging.kafka.message.key") \
	X("messaging.kafka.message.offset") \
	X("messaging.kafka.consumer.group") \
	X("messaging.kafka.destination.partition") \
	X("messaging.rabbitmq.destination.routing_key") \
	X("message_bus.destination") \
	X("exception.type") \
	X("exception.message") \
	X("exception.stacktrace") \
	X("exception.escaped") \
	X("error.type") \
	X("error.message") \
	X("error.kind") \
	X("error.object") \
	X("event") \
	X("message") \
	X("stack") \
	X("level") \
	X("otel.status_code") \
	X("otel.status_description") \
	X("otel.library.name") \
	X("otel.library.version") \
	X("otel.scope.name") \
	X("otel.scope.version") \
	X("service.name") \
	X("service.version") \
	X("service.namespace") \
	X("service.instance.id") \
	X("deployment.environment") \
	X("deployment.environment.name") \
	X("telemetry.sdk.name") \
	X("telemetry.sdk.language") \
	X("telemetry.sdk.version") \
	X("telemetry.auto.version") \
	X("telemetry.distro.name") \
	X("telemetry.distro.version") \
	X("process.pid") \
	X("process.parent_pid") \
	X("process.executable.name") \
	X("process.executable.path") \
	X("process.command") \
	X("process.command_line") \
	X("process.command_args") \
	X("process.owner") \
	X("process.runtime.name") \
	X("process.runtime.version") \
	X("process.runtime.description") \
	X("os.type") \
	X("os.description") \
	X("os.name") \
	X("os.version") \
	X("container.id") \
	X("container.name") \
	X("container.image.name") \
	X("container.image.tag") \
	X("container.runtime") \
	X("k8s.cluster.name") \
	X("k8s.node.name") \
	X("k8s.namespace.name") \
	X("k8s.pod.name") \
	X("k8s.pod.uid") \
	X("k8s.pod.ip") \
	X("k8s.container.name") \
	X("k8s.container.restart_count") \
	X("k8s.deployment.name") \
	X("k8s.replicaset.name") \
	X("k8s.statefulset.name") \
	X("k8s.daemonset.name") \
	X("k8s.job.name") \
	X("k8s.cronjob.name") \
	X("cloud.provider") \
	X("cloud.account.id") \
	X("cloud.region") \
	X("cloud.availability_zone") \
	X("cloud.platform") \
	X("cloud.resource_id") \
	X("faas.name") \
	X("faas.version") \
	X("faas.instance") \
	X("faas.trigger") \
	X("faas.invocation_id") \
	X("faas.coldstart") \
	X("enduser.id") \
	X("enduser.role") \
	X("user.id") \
	X("session.id") \
	X("thread.id") \
	X("thread.name") \
	X("code.function") \
	X("code.function.name") \
	X("code.namespace") \
	X("code.filepath") \
	X("code.file.path") \
	X("code.lineno") \
	X("code.line.number") \
	X("code.stacktrace") \
	X("cache.hit") \
	X("cache.key") \
	X("dns.question.name") \
	X("tls.protocol.version") \
	X("graphql.operation.name") \
	X("graphql.operation.type") \
	X("feature_flag.key") \
	X("feature_flag.result.variant") \
	X("slurm.job.id") \
	X("mpi.rank") \
	X("rdma.qp.number")
/* clang-format on */

#define HS_RECORD_KNOWN_ONE(name) +1
#define HS_RECORD_KNOWN_NR	  (0u HS_RECORD_KNOWN_KEYS(HS_RECORD_KNOWN_ONE))

/* What stands for name number @i, as two little-endian bytes. */
static inline uint16_t hs_record_known_word(uint32_t i)
{
	uint32_t v = (HS_RECORD_KNOWN_BASE + i) << 1 | 1;

	return (uint16_t)((v & 0x7f) | 0x80 | (v >> 7) << 8);
}

/**
 * hs_record_known_name() - the name that a varint stands for
 * @v: odd
 *
 * Return: NULL: a number of the future, or none.
 */
const char *hs_record_known_name(uint64_t v, size_t *len_bytes);

#endif
