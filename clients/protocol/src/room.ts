// Who has a session open, and who is typing. Nothing of it is in the log: it comes in frames without a number, and is gone when
// the connection is.

import type { Frame, Present, UserId } from "./generated.ts";

export interface Room {
  /** Who has the session open, by login; at most those whom the server names. */
  people: Present[];
  /** How many people have it open, those included who are not named. */
  total: number;
  typing: Typing[];
}

export interface Typing {
  user: UserId;
  name: string;
  /** Until when this holds, by the client's clock in milliseconds. */
  until: number;
}

export function emptyRoom(): Room {
  return { people: [], total: 0, typing: [] };
}

/** Takes in a frame that came at `now`; the room, or another one where something changed. */
export function takeRoom(room: Room, frame: Frame, now: number): Room {
  switch (frame.frame) {
    case "presence": {
      const told = new Set(frame.people.map((person) => person.user));
      const kept = frame.scope === "everybody" ? [] : room.people.filter((person) => !told.has(person.user));
      const people = [...kept, ...frame.people].filter((person) => person.connections > 0);
      people.sort((a, b) => (a.user < b.user ? -1 : 1));
      return { ...room, people, total: frame.total };
    }
    case "typing": {
      const others = room.typing.filter((typing) => typing.user !== frame.user);
      return { ...room, typing: [...others, { user: frame.user, name: frame.name, until: now + frame.for_ms }] };
    }
    case "event": {
      // Who has said it types no more.
      const { cause } = frame.event;
      if (cause.by !== "user" || !room.typing.some((typing) => typing.user === cause.user)) return room;
      return { ...room, typing: room.typing.filter((typing) => typing.user !== cause.user) };
    }
    case "caught_up":
    case "cursor":
    case "text":
    case "text_reset":
    case "tool_output":
    case "session_changed":
    case "session_unlisted":
    case "list_complete":
    case "refused":
    case "bye":
      return room;
    default:
      frame satisfies never;
      return room;
  }
}

/** The room without those who have not typed for a while. */
export function stillTyping(room: Room, now: number): Room {
  const typing = room.typing.filter((one) => one.until > now);
  return typing.length === room.typing.length ? room : { ...room, typing };
}
