// Starts every part, runs the checks, ends every part. Exit status 0 exactly when every check passed.

import { randomBytes } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checks } from "./checks.mjs";
import { Parts } from "./parts.mjs";
import { Report } from "./report.mjs";

const here = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const root = path.dirname(path.dirname(here));
const built = path.join(root, "target", "e2e");
const weirBinary = process.env.WEIR_BIN ?? path.join(root, "target", "release", "weir");
const python = path.join(built, "venv", "bin", "python");
const site = path.join(built, "page", "dist");
const chromium = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";

const missing = [python, site, chromium, path.join(built, "runtime", "node_modules"), path.join(built, "driver", "node_modules"), weirBinary].filter((need) => !existsSync(need));
if (missing.length > 0) {
  console.log(`SKIPPED end to end: missing ${missing.join(", ")} (tests/install brings the parts, cargo build --release weir)`);
  process.exit(process.env.WEIR_FULL ? 1 : 0);
}

const logs = path.join(built, "log");
const parts = new Parts(logs);
let browser;
const end = async () => {
  await browser?.close().catch(() => {});
  await parts.stopAll();
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => {
    console.log(`FAIL  interrupted by ${signal}; what follows is its consequence`);
    end().finally(() => process.exit(1));
  });
}
const overall = setTimeout(() => {
  console.log("FAIL  the whole test took over 5 minutes");
  end().finally(() => process.exit(1));
}, 300_000);
overall.unref();

const report = new Report();
try {
  const keys = { validation: randomBytes(64).toString("hex"), decryption: randomBytes(32).toString("hex") };
  const keysInEnvironment = { VALIDATION_KEY: keys.validation, DECRYPTION_KEY: keys.decryption };
  const { chromium: playwright } = createRequire(path.join(built, "driver", "here.js"))("playwright-core");

  const [agents, portal, launched] = await Promise.all([
    parts.start("agents", [python, path.join(here, "agents", "server.py")], { env: { PYTHONDONTWRITEBYTECODE: "1" } }),
    parts.start("portal", ["node", path.join(here, "portal", "server.mjs")], { env: keysInEnvironment }),
    playwright.launch({
      executablePath: chromium,
      // Its own handlers would end this process before it has ended the parts.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"],
    }),
  ]);
  browser = launched;
  const runtime = await parts.start("runtime", ["node", path.join(here, "runtime", "server.mjs"), path.join(built, "runtime"), agents.urls.listening[0]], {
    words: ["listening", "observing"],
    env: { COPILOTKIT_TELEMETRY_DISABLED: "true", DO_NOT_TRACK: "1" },
  });
  const address = (part) => new URL(part.urls.listening[0]).host;
  const accessLog = path.join(logs, "access.log");
  rmSync(accessLog, { force: true });
  const weir = await parts.start("weir", [weirBinary, "run", "--config", path.join(root, "config", "dr-migrate.toml")], {
    words: ["listening", "admin"],
    cwd: root,
    env: {
      ...keysInEnvironment,
      WEIR_LISTEN: "127.0.0.1:0",
      WEIR_ADMIN: "127.0.0.1:0",
      COPILOTKIT_ADDRESS: address(runtime),
      AGENTS_ADDRESS: address(agents),
      PORTAL_ADDRESS: address(portal),
      SITE_ROOT: site,
      WEIR_LOG: accessLog,
    },
  });
  await checks(report, {
    browser,
    keys,
    weir: weir.urls.listening[0],
    admin: weir.urls.admin[0],
    agents: agents.urls.listening[0],
    observer: runtime.urls.observing[0],
    accessLog,
    stopWeir: () => parts.stop(weir),
    screenshot: path.join(logs, "failure.png"),
  });
} catch (error) {
  await report.check("every part starts", () => {
    throw error;
  });
} finally {
  if (report.failed > 0) console.log(await parts.tails());
  await end();
}
report.close();
process.exit(report.failed > 0 ? 1 : 0);
