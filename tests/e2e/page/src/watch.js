// Writes down when which part of the assistant's text became visible, in the page itself, so that whoever drives the
// browser adds nothing to the times: `window.visible` is a list of { at, text }, `at` by performance.now().

const ASSISTANT = ".copilotKitAssistantMessage, [data-testid='copilot-assistant-message']";

export function watch() {
  window.visible = [];
  let last = "";
  const look = () => {
    const text = [...document.querySelectorAll(ASSISTANT)].map((message) => message.textContent).join("\n").trim();
    if (text !== last) {
      last = text;
      window.visible.push({ at: performance.now(), text });
    }
  };
  new MutationObserver(look).observe(document.body, { childList: true, characterData: true, subtree: true });
}
