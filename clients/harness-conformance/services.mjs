// A double of the models' services for tests with real agents: aimock, which knows nothing of hangar and takes the one right key only.
//
// It writes the address of the services as its first line, and ends when its standard input does. What it says follows from the last line of
// a person: `run «COMMAND»` makes it call the agent's own shell once, and then say `I am done.`; `delegate «COMMAND»` makes it begin a sub-agent
// that is to run it; anything else it answers with `Hello.`.
import assert from "node:assert/strict";
import { LLMock } from "@copilotkit/aimock";

const KEY = process.env.SERVICE_KEY ?? assert.fail("SERVICE_KEY is not set");
const services = new LLMock({ port: 0, chunkSize: 4, auth: { apiKeys: [KEY] } });
const usage = { input_tokens: 11, output_tokens: 7, prompt_tokens: 11, completion_tokens: 7 };

const words = (content) => (typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join(""));
/** Some agents put words of their own before a wish, or the wish before it that was never answered. */
const lastWish = (request) => words(request.messages.findLast((message) => message.role === "user")?.content).trim().split("\n").at(-1);

/** The agent's shell, as it describes it itself. */
function shell(request, command) {
  for (const { function: tool } of request.tools ?? []) {
    const argument = ["command", "cmd"].find((name) => tool.parameters?.properties?.[name]);
    if (argument && /shell|exec|bash/i.test(tool.name)) return { name: tool.name, arguments: { [argument]: command } };
  }
  throw new Error(`there is no shell among ${request.tools?.map((tool) => tool.function.name)}`);
}

/** The agent's way to a sub-agent, as it describes it itself. */
function delegate(request, command) {
  const tool = (request.tools ?? []).find(({ function: tool }) => tool.parameters?.properties?.subagent_type);
  assert(tool, "there are no sub-agents");
  const subagent_type = tool.function.name === "task" ? "general" : "general-purpose";
  const prompt = `Please run «${command}»`;
  return { name: tool.function.name, arguments: { description: "Run it", prompt, subagent_type } };
}

const RUN = /run «([^»]*)»/;
const DELEGATE = /delegate «([^»]*)»/;
const hasTools = (request) => (request.tools ?? []).length > 0;
/** The last thing is a result, and nobody said anything beside it but the agent to itself. */
const isAnswered = ({ messages }) => {
  const since = messages.slice(messages.findLastIndex((message) => message.role === "assistant") + 1);
  const isSaid = (message) => message.role === "user" && !words(message.content).trim().startsWith("<");
  return since.at(-1)?.role === "tool" && !since.some(isSaid);
};
// Some agents ask for titles and the like besides.
services.on({ predicate: (request) => !hasTools(request) }, { content: "An aside.", usage });
services.on({ predicate: isAnswered }, { content: "I am done.", usage });
services.on({ predicate: (request) => RUN.test(lastWish(request)) }, (request) => {
  const [, command] = RUN.exec(lastWish(request));
  return { content: "I run it.", toolCalls: [shell(request, command)], usage };
});
services.on({ predicate: (request) => DELEGATE.test(lastWish(request)) }, (request) => {
  const [, command] = DELEGATE.exec(lastWish(request));
  return { content: "I have it run.", toolCalls: [delegate(request, command)], usage };
});
services.onMessage(/./, { content: "Hello.", usage });
await services.start();
console.log(services.url);
process.stdin.on("end", () => services.stop().then(() => process.exit(0))).resume();
