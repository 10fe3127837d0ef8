"""An MCP server as a test wants it. What it hears it writes to the file `heard`, a message a line."""
import base64, json, os, subprocess, sys, time

MODE = sys.argv[1] if len(sys.argv) > 1 else "plain"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="


def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tool(name, description, /, **properties):
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}}
    return {"name": name, "description": description, "inputSchema": schema}


def tools(cursor):
    if MODE == "many":
        return {"tools": [tool(f"tool_{number}", f"The tool number {number}.") for number in range(10_000)]}
    if MODE == "endless":
        page = int(cursor or 0)
        return {"tools": [tool(f"tool_{page}", "One more.")], "nextCursor": str(page + 1)}
    if cursor is None:
        return {"tools": [tool("echo", "Says a text again.", text="string"), tool("touch", "Makes a file.", path="string")], "nextCursor": "2"}
    return {"tools": [tool("show.all", "Shows one of everything."), tool("fail", "Fails."), tool("die", "Ends the server."),
                      tool("sleep", "Never answers."), tool("long", "Says many lines."), tool("env", "Says a variable.", name="string"),
                      tool("flood", "Sends a line that does not end."), tool("chatter", "Sends messages for ever."), tool("ask_model", "Asks the client's model.")]}


def text(words):
    return {"content": [{"type": "text", "text": words}]}


def call(name, arguments):
    if name == "echo":
        return text(arguments["text"])
    if name == "touch":
        open(arguments["path"], "w").close()
        return text("made")
    if name == "env":
        return text(os.environ.get(arguments["name"], "(not set)"))
    if name == "fail":
        return {"content": [{"type": "text", "text": "It did not work."}], "isError": True}
    if name == "long":
        return text("\n".join(f"line {number}" for number in range(5_000)))
    if name == "show.all":
        sound = base64.b64encode(b"RIFF").decode()
        return {
            "content": [
                {"type": "text", "text": "Words."},
                {"type": "image", "data": PIXEL, "mimeType": "image/png"},
                {"type": "image", "data": PIXEL, "mimeType": "image/png"},
                {"type": "audio", "data": sound, "mimeType": "audio/wav"},
                {"type": "resource", "resource": {"uri": "note://1", "text": "A note."}},
                {"type": "resource_link", "uri": "file:///a", "name": "a"},
            ],
            "structuredContent": {"answer": 42},
        }
    if name == "die":
        print("first line", file=sys.stderr)
        print("the disk is on fire", file=sys.stderr)
        sys.stderr.flush()
        os._exit(3)
    if name == "flood":
        while True:
            sys.stdout.write("x" * 65536)
    if name == "chatter":
        line = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}) + "\n"
        while True:
            sys.stdout.write(line * 100)
    if name == "ask_model":
        say({"id": 900, "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}})
        return text(hear().get("error", {}).get("message", "it was answered"))
    return None


def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    with open("heard", "a") as heard:
        heard.write(line)
    return json.loads(line)


if MODE == "dies":
    sys.exit("there is no database")
with open("starts", "a") as starts:
    starts.write("x")
# Something that it starts, and that must end with it.
child = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
with open("pids", "a") as pids:
    pids.write(f"{os.getpid()} {child.pid} ")
if MODE == "silent":
    time.sleep(1000)
while True:
    message = hear()
    method, number = message.get("method"), message.get("id")
    if method == "initialize" and MODE != "modern":
        known = {"tools": {}}
        say({"id": number, "result": {"protocolVersion": "2025-06-18", "capabilities": known, "serverInfo": {"name": "test", "version": "1"}}})
    elif method == "server/discover" and MODE == "modern":
        say({"id": number, "result": {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": {"name": "test", "version": "1"}}})
    elif method == "tools/list":
        say({"id": number, "result": tools(message.get("params", {}).get("cursor"))})
    elif method == "tools/call":
        name = message["params"]["name"]
        if name == "sleep":
            with open("sleeping", "w"):
                pass
            continue
        result = call(name, message["params"].get("arguments", {}))
        say({"id": number, "result": result} if result else {"id": number, "error": {"code": -32602, "message": f"no tool {name}"}})
    elif number is not None:
        say({"id": number, "error": {"code": -32601, "message": f"no method {method}"}})
