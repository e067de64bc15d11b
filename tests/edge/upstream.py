"""The service behind the endpoint: Starlette on uvicorn, with a page, an echo of what it was sent, streams that go on when they are told to,
and WebSockets. Prints "listening on HOST:PORT" once it listens on a port of its own choosing."""

import asyncio
import hashlib
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

peers: set[int] = set()
gates: dict[str, asyncio.Queue] = {}
closes: list[int] = []


def gate(name: str) -> asyncio.Queue:
    return gates.setdefault(name, asyncio.Queue())


async def page(_: Request) -> Response:
    return HTMLResponse("<!doctype html><title>endpoint</title><h1>endpoint</h1>")


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def headers(request: Request) -> Response:
    """What reached the service, and on how many connections so far. A copy of a security header shows whether it is doubled."""
    peers.add(request.client.port)
    body = {"target": request.url.path + "?" + request.url.query, "connections": len(peers)}
    body["headers"] = [[name.decode(), value.decode()] for name, value in request.headers.raw]
    return JSONResponse(body, headers={"X-Frame-Options": "SAMEORIGIN", "X-Content-Type-Options": "off"})


async def status(request: Request) -> Response:
    return PlainTextResponse("as asked\n", status_code=request.path_params["code"])


async def digest(request: Request) -> Response:
    sha = hashlib.sha256()
    length = 0
    async for piece in request.stream():
        sha.update(piece)
        length += len(piece)
    return JSONResponse({"sha256": sha.hexdigest(), "length": length})


async def events(request: Request) -> Response:
    """One event at once, and one for each call of /release."""
    waiting = gate(request.path_params["name"])

    async def stream():
        yield "data: first\n\n"
        while (word := await waiting.get()) != "end":
            yield f"data: {word}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


async def release(request: Request) -> Response:
    await gate(request.path_params["name"]).put(request.path_params["word"])
    return Response(status_code=204)


async def silent(_: Request) -> Response:
    await asyncio.sleep(3600)
    return PlainTextResponse("nobody waited\n")


async def stalled(_: Request) -> Response:
    async def stream():
        yield b"a beginning\n"
        await asyncio.sleep(3600)

    return StreamingResponse(stream(), media_type="text/plain")


async def closed(_: Request) -> Response:
    """The codes with which clients closed their sockets."""
    return JSONResponse(closes)


async def echo(socket: WebSocket) -> None:
    wanted = socket.scope["subprotocols"]
    await socket.accept(subprotocol="chat" if "chat" in wanted else None)
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            if (text := message.get("text")) is not None:
                if text.startswith("close "):
                    _, code, reason = text.split(" ", 2)
                    await socket.close(int(code), reason)
                    return
                await socket.send_text(text)
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect as left:
        closes.append(left.code)


async def refuse(socket: WebSocket) -> None:
    await socket.close()


async def handshake(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({name.decode(): value.decode() for name, value in socket.headers.raw})
    await socket.close()


app = Starlette(
    routes=[
        Route("/", page),
        Route("/healthz", healthz),
        Route("/headers", headers),
        Route("/status/{code:int}", status),
        Route("/digest", digest, methods=["POST", "PUT"]),
        Route("/events/{name}", events),
        Route("/release/{name}/{word}", release, methods=["POST"]),
        Route("/silent", silent),
        Route("/stalled", stalled),
        Route("/closed", closed),
        WebSocketRoute("/ws", echo),
        WebSocketRoute("/ws/refused", refuse),
        WebSocketRoute("/ws/headers", handshake),
    ]
)

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    # It pings by itself, so that what it starts in an idle tunnel must arrive too.
    config = uvicorn.Config(app, log_level="warning", ws="websockets-sansio", ws_ping_interval=0.5, ws_max_size=1 << 25, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    asyncio.run(server.serve(sockets=[listener]))
    sys.exit(0)
