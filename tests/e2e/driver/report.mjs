// Runs named checks one after the other and counts: a check that throws has failed, and the next one runs all the same.

export class Report {
  #passed = 0;
  #failed = 0;

  /** Runs `check`; what it gives is said after its name. True if it passed. */
  async check(name, check) {
    try {
      const note = await check();
      this.#passed++;
      console.log(`PASS  ${name}${note ? `  (${note})` : ""}`);
      return true;
    } catch (error) {
      this.#failed++;
      // Playwright appends the browser's whole log.
      const [why] = String(error.message ?? error).split("\nBrowser logs:");
      console.log(`FAIL  ${name}\n      ${why.replaceAll("\n", "\n      ")}`);
      return false;
    }
  }

  get failed() {
    return this.#failed;
  }

  close() {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
  }
}

/** Fails with `message` unless `condition` holds. */
export function expect(condition, message) {
  if (!condition) throw new Error(message);
}
