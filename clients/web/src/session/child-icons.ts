// How far a session is that another one's agent began, as an icon.

import type { ChildPhase } from "@hangar/protocol";
import type { IconName } from "@hangar/ui";

export const CHILD_ICONS: Record<ChildPhase, IconName> = { working: "repeat", paused: "stop", done: "check", asking: "message", stopped: "stop", failed: "alert" };
