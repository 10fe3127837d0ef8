export type * from "./generated.ts";
export { Api, Refused, requestId } from "./api.ts";
export { apply, begin, fold, openTurn, question } from "./fold.ts";
export { clip } from "./text.ts";
export { queue } from "./queue.ts";
export { emptyList, listed, type SessionList, takeList, tellAnew } from "./session-list.ts";
export { follow, type Follower, type StreamStatus } from "./follow.ts";
export { emptyRoom, type Room, stillTyping, takeRoom, type Typing } from "./room.ts";
export {
  emptyTimeline,
  takeFrame,
  type ReplyBlock,
  type ReplyItem,
  type DeniedItem,
  type PeopleChange,
  type Timeline,
  type TimelineItem,
  type ToolItem,
} from "./timeline.ts";
