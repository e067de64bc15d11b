// The CopilotKit runtime of the end-to-end test, and an eye on its connections.
// Usage: node server.mjs MODULES AGENTS_URL, where MODULES is the folder that holds node_modules. Prints two lines:
// "listening on URL" for the runtime and "observing on URL", where GET / lists every connection and request it ever had.
// Times are milliseconds of CLOCK_MONOTONIC, the clock of every other part of the test on this machine.

import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const [modules, agents] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "here.js"));
const { CopilotRuntime } = require("@copilotkit/runtime/v2");
const { createCopilotExpressHandler } = require("@copilotkit/runtime/v2/express");
const { HttpAgent } = require("@ag-ui/client");
const express = require("express");

const now = () => Number(process.hrtime.bigint()) / 1e6;

const runtime = new CopilotRuntime({ agents: { default: new HttpAgent({ url: `${agents}/api` }) } });
const app = express();
app.get("/health", (_request, answer) => answer.json({ status: "ok" }));
app.use(createCopilotExpressHandler({ runtime, basePath: "/" }));

const connections = [];
const requests = [];
const server = createServer();

server.on("connection", (socket) => {
  // `left`: the peer's FIN or RST arrived, whoever closes afterwards; `closed`: nothing of the socket is left.
  const connection = { id: connections.length, opened: now(), left: null, closed: null };
  connections.push(connection);
  socket.connectionOfTest = connection;
  const left = () => (connection.left ??= now());
  socket.on("end", left).on("error", left);
  socket.on("close", (broken) => {
    if (broken) left();
    connection.closed = now();
  });
});

// Before the application's own listener, so that a request is known from its head on.
server.on("request", (request, answer) => {
  const connection = request.socket.connectionOfTest;
  const record = {
    connection: connection.id,
    method: request.method,
    path: request.url,
    mark: request.headers["x-test-mark"] ?? null,
    user: request.headers["x-weir-user"] ?? null,
    started: now(),
    finished: null,
  };
  requests.push(record);
  answer.on("finish", () => (record.finished = now()));
});
server.on("request", app);

const observer = createServer((_request, answer) => {
  answer.setHeader("content-type", "application/json");
  answer.end(JSON.stringify({ connections, requests: requests.map((r) => ({ ...r, connection: connections[r.connection] })) }));
});

for (const [what, each] of [["listening", server], ["observing", observer]]) {
  each.listen(0, "127.0.0.1", () => console.log(`${what} on http://127.0.0.1:${each.address().port}`));
}
