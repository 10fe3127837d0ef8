// What happened to who may do what, in words.

import type { PeopleChange } from "@hangar/protocol";

export function peopleChange(change: PeopleChange, by: string | null, nameOf: (user: string) => string): string {
  const who = by === null ? "hangar" : nameOf(by);
  switch (change.type) {
    case "member_added":
      if (change.invitation !== null) return `${change.person.name} accepted ${who}'s invitation and is a ${change.role}`;
      return `${who} made ${change.person.name} a ${change.role}`;
    case "role_changed":
      if (change.invitation !== null) return `${nameOf(change.user)} accepted ${who}'s invitation and is a ${change.role}`;
      return `${who} made ${nameOf(change.user)} a ${change.role}`;
    case "member_removed":
      return change.user === by ? `${who} left` : `${who} removed ${nameOf(change.user)}`;
    case "ownership_taken":
      return `${change.person.name} took ownership, as an owner of the server`;
    case "visibility_changed":
      return change.visibility === "private" ? `${who} made the session private` : `${who} opened the session to everybody of the server`;
    case "invitation_made":
      return `${who} made a link by which others join as a ${change.role}`;
    case "invitation_revoked":
      return `${who} took an invitation back`;
    case "session_archived":
      return `${who} archived the session`;
    case "session_unarchived":
      return `${who} took the session out of the archive`;
    case "session_deleted":
      return `${who} deleted the session; it can be taken back until ${new Date(change.purge_ms).toLocaleString()}`;
    case "session_restored":
      return `${who} took the deleted session back`;
  }
}
