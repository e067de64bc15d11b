// Plain clients beside the browser: one request, one stream that is left on purpose, and a relay that sees a browser leave.

import { createServer, connect } from "node:net";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { now } from "./parts.mjs";

/** One exchange, as written: no redirect is followed and no dot segment tidied. Gives { status, headers, body }. */
export async function ask(url, { method = "GET", headers = {}, body } = {}) {
  const [, origin, path] = /^(https?:\/\/[^/]+)(.*)$/.exec(url);
  const answer = await new Promise((resolve, reject) => {
    const exchange = request(origin, { method, path, headers, agent: false }, resolve);
    exchange.on("error", reject);
    exchange.setTimeout(15_000, () => exchange.destroy(new Error(`${url} was silent for 15 s`)));
    exchange.end(body);
  });
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
}

/** Posts JSON, reads until `seen` stands in the answer, then leaves by closing the socket; gives the moment it left. */
export function leaveAt(url, { headers, body, seen }) {
  return new Promise((resolve, reject) => {
    const post = { method: "POST", agent: false, headers: { accept: "text/event-stream", "content-type": "application/json", ...headers } };
    const exchange = request(url, post, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${url} answered ${answer.statusCode}`));
      let said = "";
      answer.on("error", () => {}); // our own leaving
      answer.on("data", (chunk) => {
        said += chunk;
        if (!said.includes(seen)) return;
        answer.removeAllListeners("data");
        resolve(now());
        exchange.destroy();
      });
      answer.on("end", () => reject(new Error(`${url} ended before it said ${seen}: ${said.slice(-500)}`)));
    });
    exchange.on("error", reject);
    exchange.setTimeout(15_000, () => exchange.destroy(new Error(`${url} was silent for 15 s`)));
    exchange.end(JSON.stringify(body));
  });
}

/**
 * Stands between a browser and `target` and copies bytes both ways. When the browser closes a connection, that moment is
 * written down as `left` and the other side is closed at once, so what weir does about it can be told from what the
 * browser takes its time for. `mark`: a connection that carried it is known by `marked`.
 */
export async function relay(target, mark) {
  const { hostname, port } = new URL(target);
  const connections = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (browser) => {
    const connection = { left: null, marked: false };
    connections.push(connection);
    const weir = connect({ host: hostname, port, noDelay: true });
    const left = () => {
      connection.left ??= now();
      weir.destroy();
    };
    browser.on("data", (chunk) => {
      connection.marked ||= chunk.includes(mark);
      weir.write(chunk);
    });
    browser.on("end", left).on("close", left).on("error", left);
    weir.on("data", (chunk) => browser.write(chunk)).on("close", () => browser.destroy()).on("error", () => {});
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, connections, close: () => server.close() };
}
