// The demo's page: asks the assistant through weir, shows each word as it arrives and measures it, and lets one see what
// weir does when a stream breaks, a limit is hit, or a client leaves.

import { chart } from "/chat/chart.js";
import { median, readRun } from "/chat/stream.js";

const AGENT = "/chat/backend";
const at = (id) => document.getElementById(id);
const bars = chart(at("chart"));
const history = [];
const thread = crypto.randomUUID();
let running = null;

const ms = (value) => (value === undefined ? "–" : value < 10 ? value.toFixed(1) : Math.round(value).toString());
const state = (text, kind = "") => {
  at("state").textContent = text;
  at("state").className = `state ${kind}`;
};

/** Someone whose session ended signs in again and comes back. */
async function ask(path, options) {
  const response = await fetch(AGENT + path, options);
  if (response.status === 401) location.assign("/login?returnUrl=/chat/");
  return response;
}

function message(role) {
  at("hello").hidden = true;
  const place = document.createElement("article");
  place.className = role;
  place.setAttribute("aria-label", role === "user" ? "You" : "Assistant");
  at("log").append(place);
  at("log").scrollTop = at("log").scrollHeight;
  return place;
}

/** One word with the gap before it. The number is drawn by the style sheet, so that it is not read aloud. */
function word(place, text, gap, index) {
  const made = document.createElement("span");
  made.className = "word";
  made.textContent = text.trimEnd();
  made.dataset.gap = ms(gap);
  made.addEventListener("pointerenter", () => bars.mark(index));
  made.addEventListener("pointerleave", () => bars.mark(-1));
  place.append(made, " ");
}

function note(place, text, kind) {
  const made = document.createElement("p");
  made.className = `note ${kind}`;
  made.textContent = text;
  place.append(made);
  at("log").scrollTop = at("log").scrollHeight;
  return made;
}

async function run(question, extra = {}) {
  if (running) return;
  const pace = Number(at("pace").value);
  const id = crypto.randomUUID();
  running = new AbortController();
  document.body.classList.add("running");
  [at("send").hidden, at("stop").hidden] = [true, false];
  for (const name of ["break", "limit"]) at(name).disabled = true;
  at("raw").textContent = "";
  at("verdict").hidden = true;
  for (const name of ["first", "median", "max", "events", "way"]) at(name).textContent = "–";
  bars.begin(pace);
  state("asked, waiting for the first word");

  message("user").textContent = question;
  history.push({ id: crypto.randomUUID(), role: "user", content: question });
  const place = message("assistant");
  place.setAttribute("aria-busy", "true");

  const asked = performance.now();
  const facts = { events: 0, first: undefined, last: asked, way: [], text: "", error: null, finished: null };
  const each = (event, arrived, data) => {
    facts.events += 1;
    at("events").textContent = facts.events;
    at("raw").append(`+${ms(arrived - asked)} ms  ${data}\n`);
    if (event.timestamp) facts.way.push(performance.timeOrigin + arrived - event.timestamp);
    showWay(facts.way);
    if (event.type === "TEXT_MESSAGE_CONTENT") {
      const gap = arrived - facts.last;
      facts.last = arrived;
      facts.text += event.delta;
      if (facts.first === undefined) {
        facts.first = gap;
        at("first").textContent = ms(gap);
        word(place, event.delta, gap, 0);
        state("streaming", "live");
      } else {
        bars.add(gap);
        at("median").textContent = ms(median(bars.gaps()));
        at("max").textContent = ms(Math.max(...bars.gaps()));
        word(place, event.delta, gap, bars.gaps().length - 1);
      }
      at("log").scrollTop = at("log").scrollHeight;
    } else if (event.type === "RUN_ERROR") facts.error = event;
    else if (event.type === "RUN_FINISHED") facts.finished = event;
  };

  try {
    const response = await ask("/api", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify({
        threadId: thread, runId: id, state: {}, messages: history, tools: [], context: [],
        forwardedProps: { delayMs: pace, ...extra },
      }),
      signal: running.signal,
    });
    if (response.ok) finish(place, facts, await readRun(response, each), performance.now() - asked);
    else {
      note(place, `weir answered ${response.status}${wait(response)}. The assistant heard nothing of it.`, "bad");
      state(`refused with ${response.status}`, "bad");
    }
  } catch (failure) {
    finish(place, facts, { clean: false, failure }, performance.now() - asked);
  }
  if (facts.text) history.push({ id: crypto.randomUUID(), role: "assistant", content: facts.text });
  const left = running.signal.aborted;
  running = null;
  place.removeAttribute("aria-busy");
  document.body.classList.remove("running");
  [at("send").hidden, at("stop").hidden] = [false, true];
  for (const name of ["break", "limit"]) at(name).disabled = false;
  at("question").focus();
  if (left) await heard(place, id);
}

/** Two clocks are compared here: on one machine they are the same, and otherwise the figure would mean nothing. */
function showWay(way) {
  const middle = median(way);
  if (middle !== undefined && Math.abs(middle) < 250) at("way").textContent = middle < 1 ? "< 1" : ms(middle);
}

/** Says how the run ended; what the stream did not say is not made up. */
function finish(place, facts, ending, total) {
  at("chart").setAttribute(
    "aria-label",
    `Gaps between words: median ${ms(median(bars.gaps()))}, longest ${ms(Math.max(0, ...bars.gaps()))} milliseconds`,
  );
  if (ending.failure?.name === "AbortError") {
    note(place, "You stopped it.", "left");
    return state("stopped by you", "left");
  }
  if (facts.error) {
    const code = facts.error.code ? ` (${facts.error.code})` : "";
    note(place, `RUN_ERROR${code}: ${facts.error.message}`, "bad");
    if (!ending.clean) note(place, "Then the connection was cut without a clean end, so nobody takes this answer for a whole one.", "bad");
    return state("broken, and said so", "bad");
  }
  if (!ending.clean || !facts.finished) {
    note(place, "The connection broke off without a word of why.", "bad");
    return state("broken off", "bad");
  }
  state("complete", "good");
  if (facts.first !== undefined) {
    at("verdict").hidden = false;
    at("verdict").textContent = `A proxy that buffers would have shown the first word after ${(total / 1000).toFixed(1)} s, not ${ms(facts.first)} ms.`;
  }
}

/** Asks the assistant whether it noticed that its client left. */
async function heard(place, id) {
  const health = await (await ask("/health")).json().catch(() => null);
  const last = health?.last_cancelled;
  if (last?.run === id) note(place, `The assistant noticed: it gave up this run after ${last.words} words.`, "left");
}

const wait = (response) => {
  const seconds = response.headers.get("retry-after");
  return seconds ? `, try again in ${seconds} s` : "";
};

async function hitTheLimit() {
  at("limit").disabled = true;
  at("limited").hidden = false;
  at("limit-headers").textContent = "";
  at("limit-left").style.width = "0";
  for (let sent = 1; sent <= 500; sent += 1) {
    const response = await ask("/ping", { cache: "no-store" });
    at("limit-says").textContent = `${sent} sent, ${response.status}`;
    if (response.status !== 429) continue;
    const names = ["retry-after", "ratelimit", "ratelimit-policy"];
    const shown = names.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
    at("limit-headers").textContent = ["HTTP/1.1 429 Too Many Requests", ...shown].join("\n");
    at("limited").scrollIntoView({ block: "nearest" });
    await countdown(sent, Number(response.headers.get("retry-after") ?? 1));
    const again = await ask("/ping", { cache: "no-store" });
    at("limit-says").textContent = `Refused at request ${sent}; ${again.status} again after the wait.`;
    break;
  }
  at("limit").disabled = false;
}

function countdown(sent, seconds) {
  const end = performance.now() + seconds * 1000;
  return new Promise((done) => {
    const tick = () => {
      const left = Math.max(0, end - performance.now());
      at("limit-left").style.width = `${(left / (seconds * 1000)) * 100}%`;
      at("limit-says").textContent = `Request ${sent} got 429. weir says: try again in ${Math.ceil(left / 1000)} s.`;
      if (left > 0) setTimeout(tick, 100);
      else done();
    };
    tick();
  });
}

async function whoAmI() {
  const place = at("identity");
  place.hidden = !place.hidden;
  at("whoami").setAttribute("aria-expanded", String(!place.hidden));
  if (place.hidden) return;
  const response = await ask("/whoami");
  const told = response.ok ? await response.json() : { refused: String(response.status) + wait(response) };
  const says = document.createElement("p");
  says.textContent = response.ok ? "What weir told the assistant of you" : "weir did not let this through";
  const list = document.createElement("dl");
  list.append(...["user", "tenant", "roles", "forwarded_for", "traceparent", "refused"].filter((name) => name in told).map((name) => {
    const row = document.createElement("div");
    const [key, value] = [document.createElement("dt"), document.createElement("dd")];
    key.textContent = name.replace("_", " ");
    value.textContent = told[name] ?? "nothing";
    row.append(key, value);
    return row;
  }));
  place.replaceChildren(says, list);
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const question = at("question").value.trim();
  if (!question || running) return;
  at("question").value = "";
  run(question);
});
at("stop").addEventListener("click", () => running?.abort());
at("pace").addEventListener("input", () => {
  at("pace-says").textContent = `a word every ${at("pace").value} ms`;
});
at("break").addEventListener("click", () => run("What if you die mid-sentence?", { dieAfter: 5 }));
at("limit").addEventListener("click", hitTheLimit);
at("whoami").addEventListener("click", whoAmI);
at("suggestions").addEventListener("click", (event) => {
  if (event.target.tagName === "BUTTON") run(event.target.textContent);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
bars.begin(120);
at("question").focus();
