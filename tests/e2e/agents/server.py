"""The agents server of the end-to-end test: pydantic-ai behind Starlette and uvicorn, speaking AG-UI on POST /api.

Its model needs no network: it answers with a known number of words at a known pace, which the last user message
may set ("12 words, 150 ms apart"). GET /runs tells when each run began, said its words, and finished or was cancelled;
times are milliseconds of CLOCK_MONOTONIC, the clock of every other part of the test on this machine.
"""

import asyncio
import contextvars
import re
import socket
import time
from collections.abc import AsyncIterator

import uvicorn
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

SENTENCE = "A weir measures and regulates the stream without ever stopping its water.".split()
PACE = re.compile(r"(\d+) words?, (\d+) ms apart")

runs: list[dict] = []
current_run: contextvars.ContextVar[dict] = contextvars.ContextVar("current_run")


def now() -> float:
    return time.monotonic_ns() / 1e6


def pace(messages: list[ModelMessage]) -> tuple[int, float]:
    """How many words, and how many seconds apart: as the last user message says, else 12 and 0.15."""
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):
                if isinstance(part, UserPromptPart):
                    match = PACE.search(str(part.content))
                    return (int(match[1]), int(match[2]) / 1000) if match else (12, 0.15)
    return 12, 0.15


async def say(messages: list[ModelMessage], _info: AgentInfo):
    """One word after the other; the run's record is closed here, so a cancelled run is known as one at once."""
    run = current_run.get()
    count, gap = pace(messages)
    try:
        for index in range(count):
            # The empty first wait lets RUN_STARTED out alone.
            await asyncio.sleep(gap if index else 0)
            run["words"].append(now())
            yield SENTENCE[index % len(SENTENCE)] + (" " if index + 1 < count else "")
        run["outcome"] = "finished"
    except (asyncio.CancelledError, GeneratorExit):
        run["outcome"] = "cancelled"
        raise
    finally:
        run["ended"] = now()


agent = Agent(FunctionModel(stream_function=say))


async def until_left(events: AsyncIterator, run: dict):
    """Passes the events on, and closes the record of a run that was left before its model began to speak."""
    try:
        async for event in events:
            yield event
    finally:
        if run["ended"] is None and not run["words"]:
            run.update(outcome="cancelled", ended=now())


async def api(request: Request) -> Response:
    try:
        body = await request.json()
    except ValueError:
        body = {}
    run = {
        "run": body.get("runId"),
        "thread": body.get("threadId"),
        "user": request.headers.get("x-weir-user"),
        "started": now(),
        "words": [],
        "ended": None,
        "outcome": None,
    }
    runs.append(run)
    current_run.set(run)
    response = await AGUIAdapter.dispatch_request(request, agent=agent)
    if isinstance(response, StreamingResponse):
        response.body_iterator = until_left(response.body_iterator, run)
    return response


async def health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def data(request: Request) -> Response:
    """What arrived here, so that the test can see what weir made of a request."""
    return JSONResponse({"path": request.url.path, "query": request.url.query, "headers": dict(request.headers)})


async def tell_runs(_request: Request) -> Response:
    return JSONResponse(runs)


app = Starlette(
    routes=[
        Route("/api", api, methods=["POST"]),
        Route("/health", health),
        Route("/data", data),
        Route("/data/{rest:path}", data),
        Route("/runs", tell_runs),
    ]
)


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        address, port = self.servers[0].sockets[0].getsockname()[:2]
        print(f"listening on http://{address}:{port}", flush=True)


if __name__ == "__main__":
    Server(uvicorn.Config(app, host="127.0.0.1", port=0, http="httptools", loop="uvloop", log_level="warning")).run()
