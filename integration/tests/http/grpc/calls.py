"""A gRPC server, or a client of it. The server says of each call what it has answered: `served PATH STATUS`."""

import os
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "story.Calls"


def say(*words):
    # In one piece: other threads speak too.
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def echo(request, context):
    return request


def missing(request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "there is no such thing")


def late(request, context):
    context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "what was asked for did not come in time")


def broken(request, context):
    raise RuntimeError("a fault in the server")


def stuck(request, context):
    given_up = threading.Event()
    if context.add_callback(given_up.set):
        given_up.wait()
    return b""


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def endless(request, context):
    while context.is_active():
        yield b"x" * 100


def add(requests, context):
    return b"%d" % sum(int(request) for request in requests)


def chat(requests, context):
    yield from requests


class Unknown(grpc.ServerInterceptor):
    """Says what is asked for and is not there."""

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        if handler is None:
            say("served", details.method, grpc.StatusCode.UNIMPLEMENTED.value[0])
        return handler


def said(name, answer, streams):
    def says(context, status):
        say("served", f"/{SERVICE}/{name}", status)

    def failed(context):
        # What the client gave up has no status: nobody waits for it.
        if not context.is_active():
            return "-"
        code = context.code()
        return code.value[0] if code else 2

    def once(request, context):
        try:
            result = answer(request, context)
        except BaseException:
            says(context, failed(context))
            raise
        says(context, 0 if context.is_active() else "-")
        return result

    def many(request, context):
        try:
            yield from answer(request, context)
        except BaseException:
            says(context, failed(context))
            raise
        says(context, 0 if context.is_active() else "-")

    return many if streams else once


def serve():
    def handler(kind, name, answer):
        streams = kind in (grpc.unary_stream_rpc_method_handler, grpc.stream_stream_rpc_method_handler)
        return kind(said(name, answer, streams))

    one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    handlers = {
        "Echo": handler(one, "Echo", echo),
        "Missing": handler(one, "Missing", missing),
        "Late": handler(one, "Late", late),
        "Broken": handler(one, "Broken", broken),
        "Stuck": handler(one, "Stuck", stuck),
        "Count": handler(many, "Count", count),
        "Endless": handler(many, "Endless", endless),
        "Add": handler(grpc.stream_unary_rpc_method_handler, "Add", add),
        "Chat": handler(grpc.stream_stream_rpc_method_handler, "Chat", chat),
    }
    server = grpc.server(futures.ThreadPoolExecutor(8), interceptors=[Unknown()])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say("port", port)
    server.wait_for_termination()


def expect(status, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == status, error
    else:
        raise AssertionError(f"no {status}")


def ask(port, rounds, messages, longest):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        path = f"/{SERVICE}/".__add__
        one = {name: channel.unary_unary(path(name)) for name in ("Echo", "Missing", "Late", "Broken", "Stuck", "None")}
        numbers = [b"1", b"2", b"3"]
        for _ in range(rounds):
            for length in (0, 10, longest):
                assert one["Echo"](b"e" * length) == b"e" * length
            expect(grpc.StatusCode.NOT_FOUND, lambda: one["Missing"](b""))
            expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: one["Late"](b""))
            expect(grpc.StatusCode.UNKNOWN, lambda: one["Broken"](b""))
            expect(grpc.StatusCode.UNIMPLEMENTED, lambda: one["None"](b""))
            expect(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: one["Stuck"](b"", timeout=0.05))
            assert len(list(channel.unary_stream(path("Count"))(b"%d" % messages))) == messages
            assert channel.stream_unary(path("Add"))(iter(numbers)) == b"6"
            assert list(channel.stream_stream(path("Chat"))(iter(numbers))) == numbers
            endless = channel.unary_stream(path("Endless"))(b"")
            for _ in range(3):
                next(endless)
            endless.cancel()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        port, rounds, messages, longest = map(int, sys.argv[2:])
        with futures.ThreadPoolExecutor(2) as clients:
            for client in [clients.submit(ask, port, rounds, messages, longest) for _ in range(2)]:
                client.result()
