// What must be true of weir between a browser, a portal, CopilotKit's runtime and an agents server. Read from top to bottom.

import { readFile } from "node:fs/promises";
import { mint } from "../portal/katana.mjs";
import { now, until } from "./parts.mjs";
import { expect } from "./report.mjs";
import { ask, leaveAt, relay } from "./wire.mjs";

const CHAT = "/chat/";
const RUN = "/chat/copilotkit-api/agent/default/run";
const NAME = "ana@example.test";
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const HOURS = 3600 * 1000;

const json = async (url) => JSON.parse((await ask(url)).body);

/** What a client of AG-UI posts to have one message answered. */
const agUi = (thread, content) => ({
  threadId: thread,
  runId: `${thread}-run`,
  state: {},
  messages: [{ id: `${thread}-message`, role: "user", content }],
  tools: [],
  context: [],
  forwardedProps: {},
});

export async function checks(report, world) {
  const { browser, weir, admin, agents, observer, keys } = world;
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const check = async (name, body) => {
    if (!(await report.check(name, body))) await page.screenshot({ path: world.screenshot }).catch(() => {});
  };
  const cookieHeader = async () => {
    const cookie = (await context.cookies(weir)).find(({ name }) => name === ".AspNet.Cookies");
    expect(cookie, "the browser has no session cookie");
    return { cookie: `.AspNet.Cookies=${cookie.value}` };
  };

  await check("a page without a session leads to the login form", async () => {
    const { status, headers } = await ask(weir + CHAT, { headers: { accept: "text/html" } });
    expect(status === 302, `answered ${status}`);
    expect(headers.location === "/login?returnUrl=%2Fchat%2F", `leads to ${headers.location}`);
    await page.goto(weir + CHAT);
    expect(new URL(page.url()).pathname === "/login", `the browser is at ${page.url()}`);
  });

  await check("an API call without a session is refused with 401", async () => {
    const { status } = await ask(weir + "/chat/backend/data/x");
    expect(status === 401, `answered ${status}`);
  });

  await check("signing in through the portal's form leads back to the page", async () => {
    await page.getByLabel("Name").fill(NAME);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL(weir + CHAT);
    await page.locator("textarea").waitFor();
    const cookie = (await context.cookies(weir)).find(({ name }) => name === ".AspNet.Cookies");
    expect(cookie?.httpOnly, `the session cookie is ${JSON.stringify(cookie)}`);
  });

  await check("the agents server is told who asks, and no forged header reaches it", async () => {
    const headers = { ...(await cookieHeader()), "x-weir-user": "forged", "X-Weir-Roles": "admin", traceparent: `00-${TRACE}-00f067aa0ba902b7-01` };
    const { status, body } = await ask(weir + "/chat/backend/data/x?y=1", { headers });
    expect(status === 200, `answered ${status}: ${body}`);
    const arrived = JSON.parse(body);
    expect(arrived.path === "/data/x" && arrived.query === "y=1", `arrived as ${arrived.path}?${arrived.query}`);
    expect(arrived.headers["x-weir-user"] === NAME, `x-weir-user: ${arrived.headers["x-weir-user"]}`);
    expect(arrived.headers.traceparent?.startsWith(`00-${TRACE}-`), `traceparent: ${arrived.headers.traceparent}`);
    expect(arrived.headers["x-weir-roles"] === "user,analyst", `x-weir-roles: ${arrived.headers["x-weir-roles"]}`);
  });

  await check("an answer becomes visible while the model speaks, not in one lump", async () => {
    const before = (await json(agents + "/runs")).length;
    await say(page, "12 words, 150 ms apart, please.");
    const run = await until("the run to finish", async () => (await json(agents + "/runs"))[before]?.outcome === "finished" && (await json(agents + "/runs"))[before]);
    const last = "without ever stopping its";
    await until("the whole answer on the page", () => page.evaluate((text) => window.visible.at(-1)?.text.includes(text), last));
    const steps = await page.evaluate(() => window.visible.filter(({ text }) => text.includes("A weir") || text.endsWith("A")));
    const model = run.words.at(-1) - run.words[0];
    const seen = steps.at(-1).at - steps[0].at;
    const largest = Math.max(...steps.map(({ text }, i) => text.length - (i ? steps[i - 1].text.length : 0)));
    const note = `${steps.length} steps over ${seen.toFixed(0)} ms, the model took ${model.toFixed(0)} ms`;
    expect(steps.length >= 3, `not in steps: ${note}`);
    expect(seen >= 0.7 * model, `too late or in a lump: ${note}`);
    expect(largest <= steps.at(-1).text.length / 3, `one step brought ${largest} of ${steps.at(-1).text.length} characters`);
    return note;
  });

  await check("a forged, a foreign and an expired cookie are refused", async () => {
    const good = (await cookieHeader()).cookie;
    const middle = Math.floor(good.length / 2);
    const session = { id: "42", name: NAME, roles: [], issued: new Date(Date.now() - HOURS), expires: new Date(Date.now() + HOURS) };
    const foreign = { validation: "ab".repeat(64), decryption: "cd".repeat(32) };
    const bad = {
      forged: good.slice(0, middle) + (good[middle] === "A" ? "B" : "A") + good.slice(middle + 1),
      foreign: `.AspNet.Cookies=${mint(session, foreign)}`,
      expired: `.AspNet.Cookies=${mint({ ...session, expires: new Date(Date.now() - 60_000) }, keys)}`,
      present: ".AspNet.Cookies=1",
    };
    const before = (await json(agents + "/runs")).length;
    for (const [name, cookie] of Object.entries(bad)) {
      const headers = { cookie, "content-type": "application/json" };
      const api = await ask(weir + "/chat/backend/api", { method: "POST", headers, body: JSON.stringify(agUi(name, "hello")) });
      expect(api.status === 401, `${name}: an API call answered ${api.status}`);
      const navigation = await ask(weir + CHAT, { headers: { cookie, accept: "text/html" } });
      expect(navigation.status === 302, `${name}: a page answered ${navigation.status}`);
    }
    expect((await json(agents + "/runs")).length === before, "a refused call reached the agents server");
    const valid = { cookie: `.AspNet.Cookies=${mint(session, keys)}` };
    expect((await ask(weir + "/chat/backend/data", { headers: valid })).status === 200, "a cookie with an hour to go is refused");
  });

  await check("nobody's conversations are listed through the public route", async () => {
    for (const path of ["/chat/copilotkit-api/threads", "/chat/copilotkit-api/x/threads", "/chat/copilotkit-api/agent/default/run/../../../threads"]) {
      const { status } = await ask(weir + path);
      expect(status >= 400, `${path} answered ${status}`);
    }
    const { requests } = await json(observer);
    expect(!requests.some(({ path }) => path.includes("threads")), "a request for threads reached the runtime");
  });

  await check("a client that leaves closes weir's connection to the runtime within 100 ms", async () => {
    const mark = "raw-client";
    const left = await leaveAt(weir + RUN, {
      headers: { "x-test-mark": mark },
      body: agUi(mark, "200 words, 50 ms apart"),
      seen: "TEXT_MESSAGE_CONTENT",
    });
    const request = await connectionLeft(observer, (r) => r.mark === mark);
    return within(100, request.connection.left - left);
  });

  await check("closing the tab closes weir's connection to the runtime within 100 ms", async () => {
    const between = await relay(weir, `POST ${RUN} `);
    try {
      const tab = await context.newPage();
      await tab.goto(between.url + CHAT);
      await say(tab, "200 words, 50 ms apart, please.");
      await until("text in the tab", () => tab.evaluate(() => window.visible.length > 2));
      const { requests } = await json(observer);
      const index = requests.findLastIndex(({ path }) => path === "/agent/default/run");
      expect(requests[index].finished === null && requests[index].connection.left === null, "the run is over before the tab is closed");
      const closing = now();
      await tab.close();
      const request = await connectionLeft(observer, (_, i) => i === index);
      const carrier = between.connections.findLast(({ marked }) => marked);
      expect(carrier?.left, "the browser has not closed the connection that carried the run");
      return `${within(100, request.connection.left - carrier.left)}; ${(request.connection.left - closing).toFixed(1)} ms after the tab was told to close`;
    } finally {
      between.close();
    }
  });

  const leftRun = async (thread) => until("the run to end", async () => (await json(agents + "/runs")).find((run) => run.thread === thread && run.ended !== null));

  await check("a client that leaves a run on /chat/backend/api cancels it in the agents server within 1 s", async () => {
    const left = await leaveAt(weir + "/chat/backend/api", {
      headers: await cookieHeader(),
      body: agUi("left-by-client", "200 words, 50 ms apart"),
      seen: "TEXT_MESSAGE_CONTENT",
    });
    const run = await leftRun("left-by-client");
    expect(run.outcome === "cancelled", `the run has ${run.outcome}`);
    expect(run.user === NAME, `the agents server took the caller for ${run.user}`);
    return within(1000, run.ended - left);
  });

  await check("a page that aborts its own run cancels it in the agents server within 1 s", async () => {
    await page.evaluate(async (body) => {
      window.leaving = new AbortController();
      const answer = await fetch("/chat/backend/api", {
        method: "POST",
        headers: { accept: "text/event-stream", "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: window.leaving.signal,
      });
      if (!answer.ok) throw new Error(`answered ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let said = ""; !said.includes("TEXT_MESSAGE_CONTENT"); ) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`ended before it said a word: ${said}`);
        said += value;
      }
    }, agUi("left-by-page", "200 words, 50 ms apart"));
    const left = now();
    await page.evaluate(() => window.leaving.abort());
    const run = await leftRun("left-by-page");
    expect(run.outcome === "cancelled", `the run has ${run.outcome}`);
    return within(1000, run.ended - left);
  });

  await check("the metrics tell of the streams, whole and left", async () => {
    const text = await until("no stream to be open", async () => {
      const { body } = await ask(admin + "/metrics");
      return total(body, "weir_streams_open") === 0 && body;
    });
    const complete = total(text, "weir_streams_total", 'outcome="complete"');
    const gone = total(text, "weir_streams_total", 'outcome="client_gone"');
    const events = total(text, "weir_stream_events_total");
    expect(complete >= 1, `${complete} streams are said to be complete`);
    expect(gone >= 4, `of 4 streams that were left, ${gone} are said to be`);
    expect(events > 16, `only ${events} events counted`);
    expect(total(text, "weir_stream_first_event_seconds_count") >= 5, "first events were not timed");
    expect(total(text, "weir_refusals_total") >= 9, "the refusals were not counted");
    expect(total(text, "active_conversations") === 0, "conversations are said to be active without a stream");
    return `${complete} complete, ${gone} client_gone, ${events} events`;
  });

  await check("the access log has a line for each exchange, with what its stream did and nothing secret", async () => {
    const cookie = (await cookieHeader()).cookie.slice(".AspNet.Cookies=".length);
    const read = async () => (await readFile(world.accessLog, "utf8")).split("\n").filter(Boolean);
    const find = async (path, outcome) => (await read()).map((line) => JSON.parse(line)).find((line) => line.path === path && line.outcome === outcome && line.status === 200);
    const whole = await until("the line of the whole answer", () => find(RUN, "complete"));
    for (const key of ["timestamp", "level", "service", "trace_id", "span_id", "message", "method", "status", "duration_ms", "route", "upstream"]) {
      expect(whole[key] !== undefined, `no ${key} in ${JSON.stringify(whole)}`);
    }
    expect(whole.events >= 14 && whole.duration_ms > 1_500 && whole.max_gap_ms < 1_000, JSON.stringify(whole));
    await until("the line of a left stream", () => find(RUN, "client_gone"));
    const named = await until("the line of a left run", () => find("/chat/backend/api", "client_gone"));
    expect(named.user_id === NAME, JSON.stringify(named));
    const traced = await until("the line of the traced request", () => find("/chat/backend/data/x", "complete"));
    expect(traced.trace_id === TRACE, `trace_id ${traced.trace_id}`);
    const lines = await read();
    expect(!lines.some((line) => line.includes(cookie.slice(0, 32)) || line.includes("y=1")), "a cookie or a query stands in the log");
    return `${lines.length} lines`;
  });

  await check("weir ends on SIGTERM with status 0", async () => {
    await context.close();
    const status = await world.stopWeir();
    expect(status === 0, `ended with ${status}`);
  });
}

/** Sends a message as a person would. The button says "Stop" while the page still connects, so it is tried until the text is gone from the field. */
async function say(page, message) {
  const field = page.locator("textarea");
  await field.fill(message);
  await until("the message to be sent", async () => {
    await page.locator("button[aria-label=Send]:enabled").click({ timeout: 1_000 }).catch(() => {});
    return (await field.inputValue()) === "";
  });
}

/** Waits until the runtime saw the peer of the matching request's connection leave, and gives the request. */
function connectionLeft(observer, matches) {
  return until("the runtime to see its connection closed", async () => {
    const { requests } = await json(observer);
    const request = requests.find(matches);
    return request?.connection.left && request;
  });
}

function within(limit, took) {
  expect(took <= limit, `took ${took.toFixed(1)} ms`);
  return `${took.toFixed(1)} ms`;
}

/** The sum of a metric's series, of those whose labels contain `label`. */
function total(metrics, name, label = "") {
  const series = metrics.split("\n").filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label));
  return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}
