// Asks hangar before each call of OpenCode, its sub-agents' and MCP's among them, by the hook program that other agents have. Without an answer
// the call is not made.
import { spawn } from "node:child_process";

const PROGRAM = "{program}";

/** What the program says to a question; fails where it does not end well. */
function ask(question) {
  return new Promise((resolve, reject) => {
    const program = spawn(PROGRAM, [], { stdio: ["pipe", "pipe", "ignore"] });
    let said = "";
    program.stdout.setEncoding("utf8").on("data", (more) => (said += more));
    program.on("error", reject).on("close", (code) => {
      if (code === 0) resolve(said.trim());
      else reject(new Error(`hangar's hook ended with status ${code}, so the call is not made.`));
    });
    // A program that has ended reads nothing; how it ended says what that means.
    program.stdin.on("error", () => {});
    program.stdin.end(JSON.stringify(question));
  });
}

export const Hangar = async () => ({
  "tool.execute.before": async ({ tool, callID }, output) => {
    const said = await ask({ hook_event_name: "PreToolUse", tool_name: tool, tool_input: output.args, tool_use_id: callID });
    if (said === "") return;
    const { permissionDecision, permissionDecisionReason, updatedInput } = JSON.parse(said).hookSpecificOutput;
    if (permissionDecision !== "allow") throw new Error(permissionDecisionReason);
    for (const name of Object.keys(output.args)) delete output.args[name];
    Object.assign(output.args, updatedInput);
  },
  // OpenCode itself is to install nothing at its start; commands of the agent may.
  "shell.env": async (_, output) => {
    output.env.npm_config_offline = "false";
  },
});
