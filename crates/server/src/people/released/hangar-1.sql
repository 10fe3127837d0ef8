-- As hangar wrote it at version 1 of this schema. Never edited: a released version does not change.
BEGIN TRANSACTION;
CREATE TABLE cookies (
  hash BLOB PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users(id),
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE sign_in_codes (
  hash BLOB PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES users(id),
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  hash BLOB NOT NULL UNIQUE,
  user_id INTEGER NOT NULL REFERENCES users(id),
  label TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  used_ms INTEGER
) STRICT;
INSERT INTO "tokens" VALUES(1,X'00FF',1,'laptop',1000,NULL);
CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  login TEXT NOT NULL UNIQUE COLLATE NOCASE,
  name TEXT NOT NULL,
  email TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('owner', 'member')),
  created_ms INTEGER NOT NULL
) STRICT;
INSERT INTO "users" VALUES(1,'ada','Ada Byron','ada@example.org','owner',1000);
CREATE INDEX tokens_of_user ON tokens(user_id);
COMMIT;
PRAGMA user_version = 1;
