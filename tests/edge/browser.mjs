// A page of the endpoint in Chromium: loaded by https after a redirect, over HTTP/2, and from within it fetch, an event stream in lock-step,
// a fetch that streams, and WebSockets. Prints [what, seen, expected] for each check as JSON; the one who started it compares.
//
//     browser.mjs ROOT CHROMIUM NAME HTTP HTTPS KEY       KEY: the hash of the one public key to be believed

import { createRequire } from "node:module";
import path from "node:path";

const [root, executablePath, name, http, https, key] = process.argv.slice(2);
const { chromium } = createRequire(path.join(root, "target", "e2e", "driver", "here.js"))("playwright-core");

const browser = await chromium.launch({
  executablePath,
  args: [
    ..."--no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --disable-background-networking --disable-component-update --no-first-run --disable-sync".split(" "),
    `--host-resolver-rules=MAP ${name}:80 ${http}, MAP ${name}:443 ${https}`,
    `--ignore-certificate-errors-spki-list=${key}`,
  ],
});
const seen = [];
const check = (what, is, expected) => seen.push([what, is, expected]);
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  const response = await page.goto(`http://${name}/`);
  check("the page", [response.status(), response.url(), await page.title()], [200, `https://${name}/`, "endpoint"]);
  const from = response.request().redirectedFrom();
  check("came by the redirect", [from?.url(), (await from?.response())?.status()], [`http://${name}/`, 301]);
  const headers = await response.allHeaders();
  check("has HSTS", headers["strict-transport-security"], "max-age=31536000; includeSubDomains");
  check("may not be framed", headers["x-frame-options"], "DENY");
  check("over", await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol), "h2");
  check("in a secure context", await page.evaluate(() => isSecureContext), true);

  // The browser remembers: it does not ask in clear again.
  const again = await page.goto(`http://${name}/?again`);
  const before = again.request().redirectedFrom();
  check("remembers HSTS", [again.url(), (await before?.response())?.status()], [`https://${name}/?again`, 307]);

  // Each event is in the page before the next is asked for.
  const streamed = await page.evaluate(async () => {
    const got = [];
    const source = new EventSource("/events/browser");
    const next = () => new Promise((resolve, reject) => {
      source.onmessage = ({ data }) => resolve(data);
      source.onerror = () => reject(new Error("the stream broke"));
    });
    got.push(await next());
    for (const word of ["second", "third"]) {
      const coming = next();
      await fetch(`/release/browser/${word}`, { method: "POST" });
      got.push(await coming);
    }
    source.close();
    return got;
  });
  check("EventSource", streamed, ["first", "second", "third"]);

  const fetched = await page.evaluate(async () => {
    const got = [];
    const reader = (await fetch("/events/fetch")).body.pipeThrough(new TextDecoderStream()).getReader();
    for (const word of ["second", "end"]) {
      got.push((await reader.read()).value);
      await fetch(`/release/fetch/${word}`, { method: "POST" });
    }
    got.push((await reader.read()).value, (await reader.read()).done);
    return got;
  });
  check("a fetch that streams", fetched, ["data: first\n\n", "data: second\n\n", null, true]);

  const echoed = await page.evaluate(async () => {
    const socket = new WebSocket(`wss://${location.host}/ws`, ["chat"]);
    socket.binaryType = "arraybuffer";
    const event = (kind) => new Promise((resolve, reject) => {
      socket.addEventListener(kind, resolve, { once: true });
      if (kind !== "close") socket.addEventListener("error", () => reject(new Error("the socket broke")), { once: true });
    });
    await event("open");
    const got = [socket.protocol];
    for (const message of ["hello", "é".repeat(40_000), new Uint8Array(1_000_000).fill(7)]) {
      const coming = event("message");
      socket.send(message);
      const { data } = await coming;
      got.push(typeof data === "string" ? data === message : new Uint8Array(data).every((byte) => byte === 7) && data.byteLength === 1_000_000);
    }
    const closing = event("close");
    socket.send("close 4003 enough");
    const { code, reason, wasClean } = await closing;
    return [...got, code, reason, wasClean];
  });
  check("WebSocket", echoed, ["chat", true, true, true, 4003, "enough", true]);

  const errors = await page.evaluate(async () => {
    const answer = await fetch("/status/503");
    return [answer.status, answer.headers.get("x-content-type-options"), answer.headers.get("strict-transport-security")];
  });
  check("an error has the headers too", errors, [503, "nosniff", "max-age=31536000; includeSubDomains"]);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
