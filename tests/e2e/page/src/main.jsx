// A chat page as a deployment has it: CopilotKit's own provider and chat, and the runtime on the same host under /chat.
import { CopilotKit } from "@copilotkit/react-core";
import { CopilotChat } from "@copilotkit/react-ui";
import "@copilotkit/react-ui/styles.css";
import { createRoot } from "react-dom/client";
import { watch } from "./watch.js";

watch();
createRoot(document.getElementById("root")).render(
  <CopilotKit runtimeUrl="/chat/copilotkit-api" agent="default" showDevConsole={false}>
    <CopilotChat labels={{ title: "Assistant", initial: "Ask me something." }} />
  </CopilotKit>,
);
