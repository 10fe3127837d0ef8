# A program that speaks as much of the Agent Client Protocol as a test wants. What it hears it writes to the file `heard`.
say() { printf '%s\n' "$1"; }
hear() { IFS= read -r heard || exit 0; printf '%s\n' "$heard" >>heard; }
# Answers `initialize` and `session/new`, or `session/load`, and takes the prompt.
greet() {
  hear
  say '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":'"${LOADS:-false}"'},"agentInfo":{"name":"peer","version":"1"}}}'
  hear
  text "What was said long ago."
  say '{"jsonrpc":"2.0","id":2,"result":{"sessionId":"s1"}}'
  hear
}
update() { say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s1","update":'"$1"'}}'; }
text() { update '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"'"$1"'"}}'; }
thought() { update '{"sessionUpdate":"agent_thought_chunk","content":{"type":"text","text":"'"$1"'"}}'; }
call() { update '{"sessionUpdate":"tool_call","toolCallId":"'"$1"'","title":"'"$2"'","kind":"execute","status":"in_progress","rawInput":{"command":["bash","-lc","'"$2"'"]}}'; }
ended() { update '{"sessionUpdate":"tool_call_update","toolCallId":"'"$1"'","status":"'"${3:-completed}"'","rawOutput":{"formatted_output":"'"$2"'"}}'; }
# Asks leave and takes the answer.
ask() {
  say '{"jsonrpc":"2.0","id":"p","method":"session/request_permission","params":{"sessionId":"s1","toolCall":{"toolCallId":"'"$1"'","kind":"execute","title":"'"$2"'","rawInput":{"command":"'"$2"'"}},"options":[{"optionId":"always","kind":"allow_always"},{"optionId":"yes","kind":"allow_once"},{"optionId":"no","kind":"reject_once"}]}}'
  hear
}
# Answers the prompt with this number, and waits for whatever comes.
over() {
  say '{"jsonrpc":"2.0","id":'"${1:-3}"',"result":{"stopReason":"'"${2:-end_turn}"'"}}'
  hear
}
# Asks as the hook of the program does: the call's name, the tool, its command. What it is answered stands in the file named like the call.
hook() {
  curl -s -H "authorization: Bearer ${3:-$HANGAR_HOOKS_TOKEN}" -w '%{http_code}' \
    -d '{"tool_name":"'"${TOOL:-Bash}"'","tool_input":{"command":"'"$2"'"},"tool_use_id":"'"$1"'"}' "$HANGAR_HOOKS_URL" >>"$1"
}
