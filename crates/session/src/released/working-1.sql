-- As hangar wrote it at version 1 of this schema. Never edited: a released version does not change.
BEGIN TRANSACTION;
CREATE TABLE awake (session TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO "awake" VALUES('k3x9m2p7qrst');
CREATE TABLE damaged (session TEXT PRIMARY KEY, reason TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE forge_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL) STRICT;
INSERT INTO "forge_cursor" VALUES(1,42);
COMMIT;
PRAGMA user_version = 1;
