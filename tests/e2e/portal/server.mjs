// Stands for the ASP.NET portal that issues the session: a sign-in form at /login, and a page for everything else.
// Usage: VALIDATION_KEY=hex DECRYPTION_KEY=hex node server.mjs. Prints "listening on URL".

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { mint } from "./katana.mjs";

const keys = { validation: process.env.VALIDATION_KEY, decryption: process.env.DECRYPTION_KEY };
const HOURS = 3600 * 1000;

// Only a path on this host: "//elsewhere" and "/\elsewhere" are addresses of other hosts to a browser.
const hostRelative = (url) => typeof url === "string" && /^\/(?![/\\])/.test(url);
const escape = (html) => html.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const form = (returnUrl) => `<!doctype html><title>Sign in</title><h1>Sign in</h1>
<form method="post" action="/login?returnUrl=${escape(encodeURIComponent(returnUrl))}">
<label>Name <input name="name" autocomplete="off" required></label> <button>Sign in</button></form>`;

async function login(request, answer, returnUrl) {
  if (request.method !== "POST") {
    answer.setHeader("content-type", "text/html; charset=utf-8");
    return answer.end(form(returnUrl));
  }
  const name = new URLSearchParams(await text(request)).get("name");
  if (!name) return answer.writeHead(400).end("a name is needed");
  const issued = new Date();
  const expires = new Date(issued.getTime() + 8 * HOURS);
  const cookie = mint({ id: "42", name, roles: ["user", "analyst"], issued, expires }, keys);
  answer.setHeader("set-cookie", `.AspNet.Cookies=${cookie}; path=/; HttpOnly`);
  answer.writeHead(302, { location: hostRelative(returnUrl) ? returnUrl : "/" }).end();
}

const server = createServer((request, answer) => {
  const url = new URL(request.url, "http://portal");
  if (url.pathname === "/login") {
    login(request, answer, url.searchParams.get("returnUrl") ?? "/").catch(() => answer.destroy());
  } else if (url.pathname === "/health") {
    answer.end("Healthy");
  } else {
    answer.setHeader("content-type", "text/html; charset=utf-8");
    answer.end("<!doctype html><title>Portal</title><h1>The portal</h1>");
  }
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
