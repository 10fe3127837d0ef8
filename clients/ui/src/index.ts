export { Avatar, Badge, Kbd, Spinner, type Tone } from "./atoms.tsx";
export { Button, CopyButton, IconButton } from "./button.tsx";
export { Dialog } from "./dialog.tsx";
export { Choice, Field, TextArea } from "./field.tsx";
export { Icon, type IconName } from "./icon.tsx";
export { Inline, Markdown } from "./markdown.tsx";
export { EmptyState, ErrorNote, Loading, Note, type Problem } from "./notes.tsx";
export { Select } from "./select.tsx";
export { bytes, clock, duration, money, tokens, When } from "./words.tsx";
