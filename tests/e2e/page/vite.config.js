import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/chat/",
  plugins: [react()],
  // The page is for one test on one machine: nobody waits for its bytes.
  build: { chunkSizeWarningLimit: 100_000, sourcemap: false, reportCompressedSize: false },
});
