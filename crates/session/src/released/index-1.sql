-- As hangar wrote it at version 1 of this schema. Never edited: a released version does not change.
BEGIN TRANSACTION;
CREATE TABLE forge_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), cursor INTEGER NOT NULL) STRICT;
INSERT INTO "forge_cursor" VALUES(1,42);
CREATE TABLE session (
            id TEXT PRIMARY KEY,
            summary TEXT NOT NULL,
            updated_ms INTEGER NOT NULL,
            awake INTEGER NOT NULL
        ) STRICT;
INSERT INTO "session" VALUES('k3x9m2p7qrst','{"id":"k3x9m2p7qrst","repo":"acme/tiny","title":"Make it blue","owner":"ada","status":"running","created_ms":1000,"updated_ms":1001,"pull_request":null}',1001,1);
INSERT INTO "session" VALUES('zzzzzzzzzzzz','{"id":"zzzzzzzzzzzz","repo":"acme/tiny","title":"Make it blue","owner":"ada","status":"running","created_ms":1000,"updated_ms":1001,"pull_request":null}',900,0);
CREATE INDEX session_by_time ON session (updated_ms DESC);
CREATE INDEX session_awake ON session (id) WHERE awake = 1;
COMMIT;
PRAGMA user_version = 1;
